//! What changes in a room, in words.

use chatproto::wire::{Action, Name, Note};

use super::units;
use crate::notice::{Line, timestamp};

pub(super) fn topic(room: &Name, topic: &Note, by: Option<&Name>) -> String {
    let (room, topic) = (room.as_str(), topic.as_str());
    match by.map(Name::as_str) {
        None if topic.is_empty() => format!("* {room} has no topic"),
        None => format!("* the topic of {room}: {topic}"),
        Some(by) if topic.is_empty() => format!("* {by} takes the topic of {room} away"),
        Some(by) => format!("* {by} sets the topic of {room}: {topic}"),
    }
}

/// `people` are who did it, and to whom.
pub(super) fn change(
    room: &Name,
    action: Action,
    people: (Option<&Name>, Option<&Name>),
    seconds: u32,
    reason: Option<&Note>,
) -> String {
    let name = |name: Option<&Name>, nobody: &str| name.map_or(nobody, |name| name.as_str()).to_owned();
    let (by, user, room) = (name(people.0, "the server"), name(people.1, "somebody"), room.as_str());
    let time = match seconds {
        0 => String::new(),
        seconds => format!(" for {}", units::seconds(seconds.into())),
    };
    let what = match action {
        Action::Topic => format!("{by} sets the topic of {room}"),
        Action::Slow if seconds == 0 => format!("{by} ends the slow mode of {room}"),
        Action::Slow => format!("{by} lets everybody in {room} wait{time} between two messages"),
        Action::Invite => format!("{by} invites {user} to {room}"),
        Action::Kick => format!("{by} removes {user} from {room}"),
        Action::Mute => format!("{by} mutes {user} in {room}{time}"),
        Action::Unmute => format!("{by} lets {user} speak in {room} again"),
        Action::Ban => format!("{by} bans {user} from {room}{time}"),
        Action::BanAddress => format!("{by} bans {user} and their address from {room}{time}"),
        Action::BanNetwork => format!("{by} bans an address from {room}{time}"),
        Action::UnbanNetwork => format!("{by} lets an address enter {room} again"),
        Action::Unban => format!("{by} lets {user} enter {room} again"),
        Action::Op => format!("{by} makes {user} an operator of {room}"),
        Action::Deop => format!("{user} is no operator of {room} any more, says {by}"),
        Action::Private => format!("{by} makes {room} private"),
        Action::Public => format!("{by} opens {room} to all"),
        Action::Owner => format!("{by} hands {room} over to {user}"),
        Action::Remove => format!("{by} removes {room}"),
        Action::Create => format!("{by} makes {room}"),
        Action::Lockdown | Action::Hush | Action::Unlock => format!("{by} does {action} in {room}"),
    };
    match reason {
        Some(reason) => format!("* {what}: {}", reason.as_str()),
        None => format!("* {what}"),
    }
}

/// What was changed for the whole server.
pub(super) fn decree(action: Action, subject: Option<&str>, seconds: u32, reason: Option<&Note>) -> String {
    let subject = subject.unwrap_or("somebody");
    let what = match (action, seconds) {
        (Action::Ban, 0) => format!("{subject} is kept out of the server"),
        (Action::Ban, seconds) => {
            format!("{subject} is kept out of the server for {}", units::seconds(seconds.into()))
        }
        (Action::Unban, _) => format!("{subject} may use the server again"),
        (Action::Lockdown, _) => "only administrators may log in".to_owned(),
        (Action::Hush, _) => "only administrators may log in, and speak".to_owned(),
        (Action::Unlock, _) => "everybody may log in again".to_owned(),
        (other, _) => format!("done: {other}"),
    };
    match reason {
        Some(reason) => format!("* {what}: {}", reason.as_str()),
        None => format!("* {what}"),
    }
}

/// The audit log, or what is imposed, a line each; `nothing` if there is none.
pub(super) fn lines(lines: &[Line], nothing: &str) -> Vec<String> {
    if lines.is_empty() {
        return vec![nothing.to_owned()];
    }
    lines.iter().map(line).collect()
}

fn line(line: &Line) -> String {
    let Line { number: _, time, room, by, action, subject, seconds, note } = line;
    let mut shown = String::new();
    if let Some(time) = time {
        let word = |word: &Option<Note>| word.as_ref().map_or("*", |word| word.as_str()).to_owned();
        shown += &format!("{} {} {} ", timestamp(*time), word(room), word(by));
    }
    shown += if matches!(action, Action::BanAddress | Action::BanNetwork) {
        Action::Ban.name()
    } else if *action == Action::UnbanNetwork {
        Action::Unban.name()
    } else {
        action.name()
    };
    match (action, subject) {
        (Action::BanAddress, Some(subject)) => shown += &format!(" {} and their address", subject.as_str()),
        // Only administrators are told which.
        (Action::BanNetwork | Action::UnbanNetwork, None) => shown += " an address",
        (_, Some(subject)) => shown += &format!(" {}", subject.as_str()),
        (_, None) => {}
    }
    if *seconds > 0 {
        let for_another = if time.is_some() { "for" } else { "for another" };
        shown += &format!(" {for_another} {}", units::seconds((*seconds).into()));
    }
    if let Some(note) = note {
        shown += &format!(": {}", note.as_str());
    }
    shown
}
