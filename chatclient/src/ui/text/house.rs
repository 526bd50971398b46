//! What changes in a room, in words.

use chatproto::wire::{Action, Name, Note};

use super::units;

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
    let name =
        |name: Option<&Name>| name.map_or_else(|| "somebody".to_owned(), |name| name.as_str().to_owned());
    let (by, user, room) = (name(people.0), name(people.1), room.as_str());
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
        Action::Unban => format!("{by} lets {user} enter {room} again"),
        Action::Op => format!("{by} makes {user} an operator of {room}"),
        Action::Deop => format!("{user} is no operator of {room} any more, says {by}"),
    };
    match reason {
        Some(reason) => format!("* {what}: {}", reason.as_str()),
        None => format!("* {what}"),
    }
}
