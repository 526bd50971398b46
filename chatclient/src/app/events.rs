//! What the machines tell, passed on to whoever deals with it.

use super::App;
use super::house::Change;
use super::links::LinkId;
use super::lists::Page;
use crate::notice::{Code, Notice};
use chatproto::peer::{self, Closed};
use chatproto::session;
use chatproto::wire::{CloseReason, ErrorCode};

impl App {
    pub(super) fn on_session_event(&mut self, event: session::Event) {
        use session::Event;
        match event {
            Event::Connect => self.dial_server(),
            Event::LoginWanted { server, mechanisms, .. } => {
                let kept = self.memory.on_log(server);
                self.report(kept);
                self.begin_login(&mechanisms);
            }
            Event::Challenge { data } => self.go_on_with_login(data.into_bytes()),
            Event::RegisterChallenge { data } => self.go_on_with_registration(data.into_bytes()),
            Event::Registered => self.on_registered(),
            Event::PasswordChallenge { request, data } => {
                self.on_password_challenge(request, data.into_bytes());
            }
            Event::PasswordChanged { request } => self.on_password_changed(request),
            Event::Devices { request, devices } => self.on_devices(request, devices),
            Event::ServerKey { fingerprint } => self.on_server_key(fingerprint),
            Event::LoginFailed { code, note } => self.on_login_failed(code, &note),
            Event::Ready { default_room, observed, resumed, ticket, ticket_lifetime, .. } => {
                self.on_observed(observed);
                self.on_ready(default_room, resumed, &ticket, ticket_lifetime);
            }
            Event::Lost { reason, retry_in } => self.on_lost(&reason, retry_in),
            Event::NewLog { .. } => self.voice.info("the server begins a new history"),
            Event::Back { missed } => self.on_back(missed),
            Event::Away => self.on_away(),
            Event::Stopped | Event::CaughtUp { .. } => {}
            Event::Joined { room, topic, request, .. } => self.on_joined(&room, topic, request),
            Event::JoinRefused { room, request, refusal } => self.on_join_refused(&room, request, &refusal),
            Event::Left { room, code } => self.on_left(&room, code),
            Event::Retired { was, room } => self.on_retired(&was, &room),
            Event::Message { message, missed } => self.on_message(message, missed),
            Event::Gap { room, from, to } => self.on_gap(room, from, to),
            Event::Presence { room, user, device, change } => self.on_presence(room, user, device, change),
            Event::Moderated { room, action, by, user, seconds, note, request } => {
                self.on_moderated(Change { room, action, by, user, seconds, note }, request);
            }
            Event::Invited { room, by } => self.on_invited(&room, by),
            Event::Posted { counter, room, seq, .. } => self.on_posted(counter, room, seq),
            Event::SayRefused { counter, target, code, note } => {
                self.on_say_refused(counter, &target, code, &note);
            }
            Event::RoomList { request, rooms, more } => self.on_room_list(request, rooms, more),
            Event::Members { request, members, more, .. } => self.on_members(request, members, more),
            Event::Page { request, messages, more } => self.on_page(request, messages, more),
            Event::Governed { request, action, subject, seconds, note } => {
                self.on_governed(request, action, subject.as_ref(), seconds, note);
            }
            Event::Report { request, lines, more } => self.on_report(request, lines, more),
            Event::Refused { request, refusal } => {
                if !self.on_change_refused(request, &refusal) {
                    self.on_refused(request, &refusal);
                }
            }
            Event::ServerError { code, note, .. } => {
                let text = if note.as_str().is_empty() {
                    super::facts::sentence(code)
                } else {
                    note.as_str().to_owned()
                };
                self.voice.fail(None, code, format!("the server says: {text}"));
            }
            Event::PeerOffer { offer, from, purpose, .. } => self.on_peer_offer(offer, from, purpose),
            Event::PeerOfferClosed { offer, refusal } => self.on_peer_offer_closed(offer, &refusal),
            Event::PeerRequestClosed { request, refusal } => self.on_peer_request_closed(request, &refusal),
            Event::Introduced(introduction) => self.on_introduced(introduction),
            Event::Reach { offer, action } => self.on_reach(offer, action),
            Event::LinkFailed { offer, peer, verdict, .. } => self.on_link_failed(offer, peer, &verdict),
            Event::Reached { request, address, code } => self.on_reach_tested(request, address, code),
        }
    }

    pub(super) fn on_link_event(&mut self, id: LinkId, event: peer::Event) {
        use peer::Event;
        match event {
            Event::Hello { offer, ticket, user, device, purpose, .. } => {
                self.on_hello(id, offer, &ticket, &user, device, purpose);
            }
            Event::Open { capabilities, .. } => {
                if let Some(link) = self.links.get_mut(id) {
                    link.capabilities = capabilities;
                }
                self.on_link_open(id);
            }
            Event::Said { text, .. } => {
                if let Some(peer) = self.links.get_mut(id).and_then(|link| link.name().cloned()) {
                    self.voice.show(&Notice::PeerMessage { peer, text }, None);
                }
            }
            Event::SayReceived { counter } => {
                if let Some(link) = self.links.get_mut(id) {
                    link.says.retain(|said, _| *said > counter);
                }
            }
            Event::ListPage { request, generation, path, page, pages, total, entries } => {
                let page = Page { generation, path, page, pages, total, entries };
                if let Err(page) = self.on_gathered(id, request, page) {
                    self.on_list_page(id, request, page);
                }
            }
            Event::ListRefused { request, code } => {
                if !self.on_gather_refused(id, request, code) {
                    self.on_list_refused(id, request, code);
                }
            }
            Event::ListWanted { id: list, path, content } => self.on_list_wanted(id, list, path, content),
            Event::FileQueued { transfer, position } => self.on_file_queued((id, transfer), position),
            Event::FilePaused { transfer } => self.on_paused((id, transfer), true),
            Event::FileResumed { transfer } => self.on_paused((id, transfer), false),
            Event::RateWanted { bytes_per_second } => self.on_rate_wanted(id, bytes_per_second),
            Event::FileStarted { transfer, size, mtime, .. } => {
                self.on_file_started((id, transfer), size, mtime);
            }
            Event::FileValues { transfer, values, .. } => self.on_file_values((id, transfer), values),
            Event::FileData { transfer, data, .. } => self.on_file_data((id, transfer), data),
            Event::FileUnit { transfer, unit, value } => self.on_file_unit((id, transfer), unit, value),
            Event::FileComplete { transfer, root, .. } => self.on_file_complete((id, transfer), root),
            Event::FileFailed { transfer, code, .. } => self.on_file_failed((id, transfer), code),
            Event::FileWanted { transfer, wanted, unit_log2, offset, held } => {
                self.on_file_wanted((id, transfer), wanted, unit_log2, offset, held);
            }
            Event::UnitWanted { transfer, .. } => self.on_unit_wanted((id, transfer)),
            Event::FileSent { transfer } => self.on_upload_over((id, transfer), None),
            Event::SendStopped { transfer, code } => self.on_upload_over((id, transfer), Some(code)),
            Event::Closed { reason } => self.on_link_closed(id, &reason),
        }
    }

    fn on_link_closed(&mut self, id: LinkId, reason: &Closed) {
        self.park_downloads_of(id);
        self.end_gathering(id);
        self.again.forget(id);
        self.lists.forget(id);
        self.use_other_link(id);
        let Some(link) = self.links.get_mut(id) else { return };
        let (says, hangup) = (std::mem::take(&mut link.says), link.hangup.take());
        let (is_surplus, link_again) = (link.is_surplus, link.again.is_some());
        if let Some((offer, way)) = link.seeking.take() {
            // It never stood: maybe another way does.
            return self.server.session.way_failed(offer, way, ErrorCode::LinkBroken, self.clock.now());
        }
        let Some(with) = link.with.clone() else { return };
        let (word, text) = end_of_link(reason);
        for errand in says.into_values() {
            let message = format!("{} may not have heard it: {text}", with.peer.as_str());
            self.voice.fail(Some(&errand), Code::LinkLost, message);
        }
        if is_surplus || (link_again && !with.told) {
            // Of an attempt to find a lost link again nobody needs to hear.
        } else if with.told {
            let notice = Notice::PeerClosed { peer: with.peer.clone(), reason: word };
            self.voice.show(&notice, hangup.as_ref());
        } else {
            self.fail_link(with.peer.clone(), with.errand.as_ref(), verdict(reason), text);
        }
        if !is_surplus {
            // Who has heard nothing for too long has lost the link, and not ended it: that may be heard, and no answer to it.
            let is_lost = matches!(
                reason,
                Closed::Eof { .. } | Closed::Timeout(_) | Closed::Bye { reason: CloseReason::Idle, .. }
            );
            self.end_direct_with(&with.peer, is_lost);
        }
    }
}

/// Why a link has ended: a word for programs, a sentence for people.
fn end_of_link(reason: &Closed) -> (String, String) {
    match reason {
        Closed::Bye { reason, code, note } => {
            let text = if note.as_str().is_empty() {
                code.map_or_else(|| reason.meaning().to_owned(), super::facts::sentence)
            } else {
                note.as_str().to_owned()
            };
            (reason.name().to_owned(), text)
        }
        Closed::Local => ("done".to_owned(), "closed on this side".to_owned()),
        Closed::Violation(violation) => (violation.close_reason().name().to_owned(), violation.to_string()),
        Closed::Eof { in_frame: true } => ("cut".to_owned(), "the connection was cut".to_owned()),
        Closed::Eof { in_frame: false } => ("lost".to_owned(), "the connection was lost".to_owned()),
        Closed::Timeout(reason) => (reason.name().to_owned(), reason.meaning().to_owned()),
    }
}

fn verdict(reason: &Closed) -> Code {
    match reason {
        Closed::Bye { code: Some(code), .. } => (*code).into(),
        Closed::Timeout(_) => ErrorCode::Timeout.into(),
        Closed::Violation(violation) => violation.code().into(),
        Closed::Bye { code: None, .. } | Closed::Local | Closed::Eof { .. } => Code::LinkLost,
    }
}
