//! What the operator reads while the server runs: who comes and goes, where something is said, who asks whom.
//! Never what is said.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use chatnet::{AcceptPause, CloseReason, Fingerprint, Signal};
use chatproto::hub::{Ended, Event, Hub, Label, LogRequest};
use chatproto::wire::{Name, Purpose, RoomId, Subject};

use super::reload::Changes;
use crate::exit::Failure;

pub(super) fn listening(addr: SocketAddr, fingerprint: Option<Fingerprint>, data: &Path) {
    tracing::info!(%addr, data = %data.display(), "the server is up");
    match fingerprint {
        Some(fingerprint) => {
            tracing::info!("clients connect with: --server 'chat://{addr}/?fp={fingerprint}'")
        }
        None => tracing::warn!("plaintext: whoever can see the network can read everything"),
    }
}

pub(super) fn not_reloaded(failure: &Failure) {
    tracing::error!("nothing is reloaded, the old settings and certificate stay: {failure}");
}

pub(super) fn reloaded(fingerprint: Option<Fingerprint>, changes: &Changes) {
    let list = |keys: &BTreeSet<String>| keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if changes.now.is_empty() {
        tracing::info!("reloaded: no setting has changed");
    } else {
        tracing::info!("reloaded: {} changed", list(&changes.now));
    }
    if let Some(fingerprint) = fingerprint {
        tracing::info!("new connections get the certificate {fingerprint}");
    }
    if !changes.at_start.is_empty() {
        tracing::warn!(
            "changed in the settings, but in force only after a restart: {}",
            list(&changes.at_start)
        );
    }
}

pub(super) fn next_certificate(next: Fingerprint) {
    tracing::info!("clients are told that the next certificate is {next}");
}

pub(super) fn stopping(signal: Signal) {
    tracing::info!(?signal, "shutting down");
}

pub(super) fn stopped() {
    tracing::info!("everything acknowledged is stored; bye");
}

pub(super) fn accept_paused(cause: &AcceptPause) {
    match cause {
        AcceptPause::TooManyConnections => {
            tracing::warn!("no more connections for now: the limit is reached")
        }
        AcceptPause::TooManyHandshakes => tracing::warn!("no more connections for now: too many handshakes"),
        AcceptPause::System(error) => tracing::error!(%error, "no more connections for now"),
    }
}

pub(super) fn connection_failed(reason: &CloseReason) {
    if !matches!(reason, CloseReason::Local | CloseReason::Finished) {
        tracing::info!("a connection came to nothing: {reason}");
    }
}

/// One line for what a person wants to see; the rest is for `--log debug`.
pub(super) fn event(hub: &Hub, event: &Event) {
    match event {
        Event::LoggedIn { conn, user, addr, .. } => {
            tracing::info!(%conn, %addr, "{} logged in", user.as_str())
        }
        Event::Closed { conn, user, addr, reason } => {
            // A probe has done what it came for.
            if user.is_none() && matches!(reason, Ended::Closed(chatproto::wire::CloseReason::Done, _)) {
                return tracing::debug!(%conn, %addr, "an address was shown");
            }
            let who = user.as_ref().map_or("somebody who was not logged in", |user| user.as_str());
            match reason {
                Ended::Bye(reason) => tracing::info!(%conn, %addr, "{who} left ({reason})"),
                Ended::Closed(reason, note) => {
                    let note = note.as_ref().map_or("", |note| note.as_str());
                    let note = chatproto::wire::escaped(note);
                    tracing::info!(%conn, %addr, "{who} was disconnected ({reason}): {note}");
                }
                Ended::Lost { partial: 0 } => {
                    tracing::info!(%conn, %addr, "{who} is gone: the connection ended")
                }
                Ended::Lost { partial } => {
                    tracing::info!(%conn, %addr, "{who} is gone: the connection ended {partial} bytes into a frame");
                }
            }
        }
        Event::Log(request) => asked(hub, request),
        Event::PeerRequested { from, to, purpose, .. } => {
            let what = match purpose {
                Purpose::Files => "[FILE]",
                Purpose::Direct => "[DIRECT]",
            };
            tracing::info!("{} asks {} {what}", from.as_str(), to.as_str());
        }
        Event::PeerIntroduced { from, to, .. } => {
            tracing::info!("{} and {} are introduced", from.as_str(), to.as_str());
        }
        Event::Relayed { from, to, .. } => {
            tracing::info!("the link of {} and {} is relayed", from.as_str(), to.as_str());
        }
        Event::TestReach { conn, address, .. } => tracing::debug!(%conn, %address, "can it be reached?"),
        Event::PeerRefused { from, to, code } => {
            tracing::info!("{} is not introduced to {}: {code}", from.as_str(), to.as_str());
        }
        Event::LoginStarted { conn, user, .. } => {
            tracing::debug!(%conn, user = user.as_str(), "login started")
        }
        Event::LoginResponse { conn, .. } => tracing::debug!(%conn, "login response"),
        Event::RegisterStarted { conn, user, .. } => {
            tracing::debug!(%conn, user = user.as_str(), "registration started")
        }
        Event::RegisterFinished { conn, .. } => tracing::debug!(%conn, "registration goes on"),
        Event::PasswordStarted { user, .. } => {
            tracing::debug!(user = user.as_str(), "change of password started")
        }
        Event::PasswordFinished { conn, .. } => tracing::debug!(%conn, "change of password goes on"),
        Event::DevicesAsked { user, .. } => tracing::debug!(user = user.as_str(), "devices asked for"),
    }
}

/// What the log is asked for; never the words that are said or looked for.
fn asked(hub: &Hub, request: &LogRequest) {
    match request {
        LogRequest::RoomCreated { room, label, .. } => {
            let name = named(label);
            tracing::info!(%room, "new {name}");
        }
        LogRequest::Moderate { room, by, action, user, seconds, .. } => {
            let whom = user.as_ref().map_or("", |user| user.as_str());
            let (by, what) = (by.as_ref().map_or("*", |by| by.as_str()), action.name());
            tracing::info!(seconds, "{}: {by} does {what} {whom}", room_name(hub, *room));
        }
        LogRequest::Govern { by, action, subject, seconds, .. } => {
            let whom = subject.as_ref().map(Subject::as_written).unwrap_or_default();
            let (by, what) = (by.as_ref().map_or("*", |by| by.as_str()), action.name());
            tracing::info!(seconds, "{by} does {what} {whom}");
        }
        LogRequest::Append { room, from, text, .. } => {
            let bytes = text.as_str().len();
            tracing::info!(bytes, "{} says something in {}", from.as_str(), room_name(hub, *room));
        }
        LogRequest::Search { rooms, .. } => tracing::debug!(rooms = rooms.len(), "a search"),
        LogRequest::Recall { .. }
        | LogRequest::Read { .. }
        | LogRequest::History { .. }
        | LogRequest::FindUser { .. }
        | LogRequest::Retired { .. }
        | LogRequest::Audit { .. } => tracing::debug!(?request, "asked of the log"),
    }
}

/// A relay is over.
pub(super) fn relay_ended(from: &str, to: &str, bytes: u64, seconds: u64, why: &str) {
    tracing::info!(bytes, seconds, "the link of {from} and {to} is no longer relayed: {why}");
}

/// A login that the client gave up: the server's answer did not fit the password that was typed.
pub(super) fn login_abandoned(user: &Name) {
    tracing::warn!("a login as {} was given up by the client: most often a wrong password", user.as_str());
}

fn room_name(hub: &Hub, room: RoomId) -> String {
    hub.router().info(room).map_or_else(|| format!("room {room}"), |(label, ..)| named(label))
}

fn named(label: &Label) -> String {
    match label {
        Label::Group(name) => format!("room {}", name.as_str()),
        Label::Direct(first, second) | Label::Former(first, second) => {
            format!("conversation {} / {}", first.as_str(), second.as_str())
        }
    }
}
