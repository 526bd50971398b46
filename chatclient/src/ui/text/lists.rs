//! Answers that are lists.

use chatproto::wire::{Name, Rank, SafeRelPath};

use super::{progress, units};
use crate::command::COMMANDS;
use crate::notice::{
    AccountDevice, ConsentLine, FileEntry, FileKind, Peer, PeerKey, PeerState, Person, Room, Transfer,
};
use crate::settings::RelayPolicy;
use crate::state::ConsentRule;

/// A page of a numbered list; `place` is its page, the pages, and the entries on all of them.
pub(super) fn files(
    peer: &Name,
    path: &SafeRelPath,
    place: (u32, u32, u32),
    entries: &[FileEntry],
) -> Vec<String> {
    let (page, pages, total) = place;
    let folder = format!("{}:/{}", peer.as_str(), path.as_str());
    if total == 0 {
        return vec![format!("{folder} is empty")];
    }
    let mut lines = vec![if pages > 1 {
        format!("{folder} - {}, page {page} of {pages}", count(total.into(), "entry", "entries"))
    } else {
        format!("{folder} - {}", count(total.into(), "entry", "entries"))
    }];
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let size = entry.size.map_or_else(String::new, units::size);
            let (size, slash) = match entry.kind {
                FileKind::File => (size, ""),
                FileKind::Dir => ("folder".to_owned(), "/"),
            };
            (entry.number.to_string(), size, format!("{}{slash}", entry.name.as_str()))
        })
        .collect();
    let numbers = rows.iter().map(|(number, ..)| number.len()).max().unwrap_or(0);
    let sizes = rows.iter().map(|(_, size, _)| size.len()).max().unwrap_or(0);
    // The name comes last: nobody knows how wide it is.
    lines.extend(
        rows.iter().map(|(number, size, name)| format!("  {number:>numbers$}  {size:>sizes$}  {name}")),
    );
    if page < pages {
        let path = if path.as_str().is_empty() { String::new() } else { format!(" {}", path.as_str()) };
        lines.push(format!("more: /ls @{}{path} --page {}", peer.as_str(), page + 1));
    }
    lines
}

pub(super) fn rooms(rooms: &[Room]) -> Vec<String> {
    if rooms.is_empty() {
        return vec!["no rooms".to_owned()];
    }
    rooms
        .iter()
        .map(|room| {
            let here = if room.joined { "*" } else { " " };
            let people = count(room.people.into(), "person", "people");
            let topic =
                room.topic.as_ref().map_or_else(String::new, |topic| format!(" - {}", topic.as_str()));
            format!(
                "{here} {} ({people}, {}){topic}",
                room.room.as_str(),
                count(room.last, "message", "messages")
            )
        })
        .collect()
}

pub(super) fn people(room: &Name, people: &[Person]) -> Vec<String> {
    let names: Vec<_> = people
        .iter()
        .map(|person| {
            let rank = (person.rank >= Rank::Operator).then(|| person.rank.name().to_owned());
            let devices = (person.devices > 1).then(|| format!("{} devices", person.devices));
            let more: Vec<_> = rank.into_iter().chain(devices).collect();
            let user = person.user.as_str();
            if more.is_empty() { user.to_owned() } else { format!("{user} ({})", more.join(", ")) }
        })
        .collect();
    if names.is_empty() {
        return vec![format!("nobody is in {}", room.as_str())];
    }
    vec![format!("in {}: {}", room.as_str(), names.join(", "))]
}

pub(super) fn transfers(transfers: &[Transfer]) -> Vec<String> {
    if transfers.is_empty() {
        return vec!["no transfers".to_owned()];
    }
    transfers.iter().map(progress::summary).collect()
}

pub(super) fn peers(peers: &[Peer]) -> Vec<String> {
    if peers.is_empty() {
        return vec!["no direct links".to_owned()];
    }
    peers.iter().map(|peer| format!("{}: {}", peer.peer.as_str(), peer_state(peer))).collect()
}

fn peer_state(peer: &Peer) -> String {
    let path = peer.path.map_or_else(String::new, |path| format!(" ({})", super::link_path(path)));
    let trust = if peer.verified { "verified" } else { "not verified" };
    match (peer.state, peer.id) {
        (PeerState::Waiting, Some(id)) => format!("asks - /accept {id} or /deny {id}"),
        (PeerState::Waiting, None) => "asks".to_owned(),
        (PeerState::Asked, _) => "was asked".to_owned(),
        (PeerState::Connecting, _) => "connecting".to_owned(),
        (PeerState::Connected, _) => format!("connected{path}, {trust}"),
        (PeerState::Direct, _) => format!("connected{path}, without the server, {trust}"),
    }
}

pub(super) fn keys(peer: &Name, keys: &[PeerKey]) -> Vec<String> {
    let name = peer.as_str();
    let mut lines = vec![format!("you and {name} see the same code if nobody stands in between:")];
    lines.extend(keys.iter().map(|key| {
        let state = if key.verified { "verified" } else { "not verified" };
        format!("  {}  {state}, device {}", key.code, key.device)
    }));
    if keys.iter().any(|key| !key.verified) {
        lines.push(format!("compare it over the phone or in person, then: /verify {name} CODE"));
    }
    lines
}

pub(super) fn consent(rules: &[ConsentLine], otherwise: ConsentRule) -> Vec<String> {
    let word = |rule| match rule {
        ConsentRule::Always => "always",
        ConsentRule::Ask => "ask",
        ConsentRule::Never => "never",
    };
    let line = |line: &ConsentLine| {
        let room = line.room.as_ref().map(|room| format!("#{room}"));
        let whom = line.user.clone().or(room).unwrap_or_default();
        format!("  {whom}: {}", word(line.rule))
    };
    let others = format!("  everybody else: {}", word(otherwise));
    rules.iter().map(line).chain([others]).collect()
}

pub(super) fn relay(only: &[String], otherwise: RelayPolicy) -> Vec<String> {
    const ONLY: &str = "the relay only; no address of yours is shown";
    let rest = match otherwise {
        RelayPolicy::Last => "the relay last, when nothing else works",
        RelayPolicy::Never => "no relay",
        RelayPolicy::Only => ONLY,
    };
    let people = only.iter().map(|name| format!("  {name}: {ONLY}"));
    people.chain([format!("  everybody else: {rest}")]).collect()
}

pub(super) fn devices(devices: &[AccountDevice]) -> Vec<String> {
    if devices.is_empty() {
        return vec!["no devices".to_owned()];
    }
    let line = |device: &AccountDevice| {
        let last = crate::notice::timestamp(device.last);
        let last = last.get(..super::MINUTE_LENGTH).unwrap_or(&last).replace('T', " ");
        let state = match (device.this, device.online) {
            (true, _) => ", this one",
            (false, true) => ", connected",
            (false, false) => "",
        };
        let ticket = if device.ticket { ", logs in without the password" } else { "" };
        format!("  {}  last {last}Z from {}{state}{ticket}", device.device, device.address)
    };
    devices.iter().map(line).collect()
}

pub(super) fn help() -> Vec<String> {
    let width = COMMANDS.iter().map(|command| command.usage.len()).max().unwrap_or(0);
    let commands = COMMANDS.iter().map(|command| format!("{:width$}  {}", command.usage, command.meaning));
    let rest = "Anything else is said in the current room, or over the link in direct mode; //x says /x.";
    commands.chain([rest.to_owned()]).collect()
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
