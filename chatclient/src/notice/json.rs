//! How single facts look in JSON: ids as strings, times as RFC 3339 UTC.

use std::fmt::Display;
use std::path::PathBuf;

use chatproto::wire::{Action, Name, Note, Purpose, Rank, SafeName, SafeRelPath, Text};
use serde::{Serialize, Serializer};

use super::{Code, MessageId, Place};

pub(super) fn name<S: Serializer>(name: &Name, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(name.as_str())
}

pub(super) fn name_if_any<S: Serializer>(name: &Option<Name>, out: S) -> Result<S::Ok, S::Error> {
    name.as_ref().map(Name::as_str).serialize(out)
}

pub(super) fn names<S: Serializer>(names: &[Name], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(names.iter().map(Name::as_str))
}

pub(super) fn text<S: Serializer>(text: &Text, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(text.as_str())
}

pub(super) fn note<S: Serializer>(note: &Note, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(note.as_str())
}

pub(super) fn action<S: Serializer>(action: &Action, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(action.name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
pub(super) fn rank<S: Serializer>(rank: &Rank, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(rank.name())
}

pub(super) fn safe_name<S: Serializer>(name: &SafeName, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(name.as_str())
}

pub(super) fn path<S: Serializer>(path: &SafeRelPath, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(path.as_str())
}

pub(super) fn is_root(path: &SafeRelPath) -> bool {
    path.borrow().is_root()
}

pub(super) fn purpose<S: Serializer>(purpose: &Purpose, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(purpose.name())
}

/// `room`, or `with`: a gap says `to` for its last number.
pub(super) fn conversation<S: Serializer>(place: &Place, out: S) -> Result<S::Ok, S::Error> {
    let (key, name) = match place {
        Place::Room(name) => ("room", name),
        Place::To(name) => ("with", name),
        Place::Former(name) => ("former", name),
    };
    out.collect_map([(key, name.as_str())])
}

/// As it prints: decimal or hex digits.
pub(super) fn shown<S: Serializer>(id: &impl Display, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(id)
}

pub(super) fn shown_if_any<S: Serializer>(id: &Option<impl Display>, out: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => out.collect_str(id),
        None => out.serialize_none(),
    }
}

pub(super) fn note_if_any<S: Serializer>(note: &Option<Note>, out: S) -> Result<S::Ok, S::Error> {
    note.as_ref().map(Note::as_str).serialize(out)
}

/// A path of this machine. What is not UTF-8 in it cannot be said in JSON and is replaced.
pub(super) fn local_path<S: Serializer>(path: &Option<PathBuf>, out: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(out)
}

/// Milliseconds since 1970-01-01 UTC. A server may claim any number: what no calendar holds becomes its last moment.
pub(super) fn time<S: Serializer>(millis: &u64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&super::timestamp(*millis))
}

pub(super) fn time_if_any<S: Serializer>(millis: &Option<u64>, out: S) -> Result<S::Ok, S::Error> {
    match millis {
        Some(millis) => time(millis, out),
        None => out.serialize_none(),
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{}-{}", self.device, self.counter))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}
