//! Moving bytes and events between the sockets and the machines, until nothing moves any more.

use super::App;
use super::jobs::Done;
use super::links::{Link, LinkId};
use super::lists::Page;
use crate::notice::{Code, Notice};
use bytes::Buf as _;
use chatnet::{ConnToken, Read, Write};
use chatproto::peer::{self, Closed};
use chatproto::session;
use chatproto::wire::ErrorCode;
use std::time::Instant;

impl App {
    /// Handles every event of the machines and sends what they have to send.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = self.take_session_events();
            for id in self.links.ids() {
                moved |= self.take_link_events(id);
            }
            if !self.held.is_empty() {
                self.run_held();
            }
            moved |= self.write_server();
            for id in self.links.ids() {
                moved |= self.write_link(id);
            }
            if !moved {
                break;
            }
        }
        if self.is_done() {
            self.quit_quietly();
        } else if self.is_drained() && self.ending.is_none() {
            let text = "the server did not come back; what was not said is kept for the next time";
            self.voice.fatal(&Notice::error(ErrorCode::Timeout, text), ErrorCode::Timeout.into());
            self.quit();
        }
        if self.voice.ui.is_closed() {
            self.voice.note(Code::Wire(ErrorCode::Internal));
            self.quit();
        }
    }

    fn quit_quietly(&mut self) {
        if self.ending.is_none() {
            self.quit();
            self.settle();
        }
    }

    /// When the loop must turn even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let machines = self.server.session.poll_timeout().into_iter().chain(links);
        let drained = self.input_ended.map(|since| since + super::DRAIN_TIMEOUT);
        // Past it, it has been acted on or does not apply.
        let drained = drained.filter(|at| *at > Instant::now());
        let stalled = self.transfers.next_stall();
        machines.map(|at| self.clock.system(at)).chain(self.ending).chain(drained).chain(stalled).min()
    }

    /// Lets the machines do what is due.
    pub(super) fn tick(&mut self) {
        let now = self.clock.now();
        self.server.session.handle_timeout(now);
        for id in self.links.ids() {
            if let Some(link) = self.links.get_mut(id) {
                link.peer.handle_timeout(now);
            }
        }
        self.end_stalled();
    }

    /// Reads a socket as far as its machine wants.
    pub(super) fn read(&mut self, token: ConnToken) {
        if self.server.token == Some(token) {
            self.read_server(token);
        } else if let Some(id) = self.links.by_token(token) {
            self.read_link(id, token);
        } else {
            self.net.pause_read(token);
        }
    }

    fn read_server(&mut self, token: ConnToken) {
        let now = self.clock.now();
        while self.server.session.wants_read() {
            match self.net.read(token) {
                Read::Bytes(bytes) => self.server.session.handle_input(bytes, now),
                Read::Eof => {
                    self.net.close(token);
                    self.server.token = None;
                    return self.server.session.handle_eof(now);
                }
                Read::Empty | Read::Closed => return,
            }
        }
        self.server.paused = true;
        self.net.pause_read(token);
    }

    fn read_link(&mut self, id: LinkId, token: ConnToken) {
        let now = self.clock.now();
        while let Some(link) = self.links.get_mut(id).filter(|link| link.peer.wants_read()) {
            match self.net.read(token) {
                Read::Bytes(bytes) => link.peer.handle_input(bytes, now),
                Read::Eof => {
                    link.peer.handle_eof(now);
                    return;
                }
                Read::Empty | Read::Closed => return,
            }
        }
        if let Some(link) = self.links.get_mut(id) {
            link.paused = true;
            self.net.pause_read(token);
        }
    }

    fn write_server(&mut self) -> bool {
        let now = self.clock.now();
        let Some(token) = self.server.token else {
            // Without a socket the last words are heard by nobody.
            let is_closing = self.server.session.state() == session::State::Closing;
            if is_closing {
                self.server.session.handle_eof(now);
            }
            return is_closing;
        };
        if self.server.paused && self.server.session.wants_read() {
            self.server.paused = false;
            self.net.resume_read(token);
        }
        let queue = self.server.session.outgoing();
        let waiting = queue.remaining();
        if waiting > 0 && self.net.write(token, queue) == Write::Closed {
            queue.advance(queue.remaining());
        }
        let moved = self.server.session.outgoing().remaining() < waiting;
        if self.server.session.is_finished() {
            self.net.close(token);
            self.server.token = None;
            self.server.session.handle_eof(now);
            return true;
        }
        moved
    }

    fn write_link(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(id) else { return false };
        let token = link.token;
        if link.paused && link.peer.wants_read() {
            link.paused = false;
            self.net.resume_read(token);
        }
        let queue = link.peer.outgoing();
        let waiting = queue.remaining();
        if waiting > 0 && self.net.write(token, queue) == Write::Closed {
            queue.advance(queue.remaining());
        }
        let moved = link.peer.outgoing().remaining() < waiting;
        if link.peer.is_finished() {
            self.net.close(token);
            self.end_link(id);
            return true;
        }
        moved
    }

    /// Hears the last events of a link and forgets it.
    fn end_link(&mut self, id: LinkId) {
        self.take_link_events(id);
        self.links.remove(id);
    }

    /// The socket of a link is gone without its machine knowing.
    pub(super) fn on_link_gone(&mut self, id: LinkId) {
        let now = self.clock.now();
        if let Some(link) = self.links.get_mut(id) {
            link.peer.handle_eof(now);
        }
        self.end_link(id);
    }

    pub(super) fn take_results(&mut self) {
        for done in self.jobs.drain() {
            match done {
                Done::Resolved(found) => self.on_resolved(found),
                Done::LoginFinished { attempt, proof } => self.on_login_finished(attempt, proof),
                Done::Listed { link, id, listed } => self.on_listed(link, id, listed),
                Done::Opened { at, opened } => self.on_opened(at, opened),
                Done::Read { at, outgoing, read } => self.on_read(at, outgoing, read),
                Done::Begun { id, begun } => self.on_begun(id, begun),
                Done::Stored { id, incoming, stored } => self.on_stored(id, incoming, stored),
                Done::Finished { id, finished } => self.on_finished(id, finished),
                Done::Discarded => {}
            }
        }
        if self.jobs.is_broken() && self.ending.is_none() {
            let notice =
                Notice::error(ErrorCode::Internal, "a worker failed through a mistake in this program");
            self.voice.fatal(&notice, ErrorCode::Internal.into());
            self.quit();
        }
    }

    fn take_session_events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.server.session.poll_event() {
            moved = true;
            self.on_session_event(event);
        }
        moved
    }

    fn on_session_event(&mut self, event: session::Event) {
        use session::Event;
        match event {
            Event::Connect => self.dial_server(),
            Event::LoginWanted { server, mechanisms, .. } => {
                let kept = self.memory.on_log(server);
                self.report(kept);
                self.begin_login(&mechanisms);
            }
            Event::Challenge { data } => self.go_on_with_login(data.into_bytes()),
            Event::LoginFailed { code, note } => self.on_login_failed(code, &note),
            Event::Ready { default_room, resumed, .. } => self.on_ready(default_room, resumed),
            Event::Lost { reason, retry_in } => self.on_lost(&reason, retry_in),
            Event::NewLog { .. } => self.voice.info("the server begins a new history"),
            Event::Back { missed } => self.on_back(missed),
            Event::Away => self.on_away(),
            Event::Stopped | Event::CaughtUp { .. } => {}
            Event::Joined { room, request, .. } => self.on_joined(&room, request),
            Event::JoinRefused { room, request, refusal } => self.on_join_refused(&room, request, &refusal),
            Event::Left { room, code } => self.on_left(&room, code),
            Event::Message { message, missed } => self.on_message(message, missed),
            Event::Gap { room, from, to } => self.on_gap(room, from, to),
            Event::Presence { room, user, device, change } => self.on_presence(room, user, device, change),
            Event::Posted { counter, room, seq, .. } => self.on_posted(counter, room, seq),
            Event::SayRefused { counter, target, code, note } => {
                self.on_say_refused(counter, &target, code, &note);
            }
            Event::RoomList { request, rooms, more } => self.on_room_list(request, rooms, more),
            Event::Members { request, members, more, .. } => self.on_members(request, members, more),
            Event::Page { request, messages, more } => self.on_page(request, messages, more),
            Event::Refused { request, refusal } => self.on_refused(request, &refusal),
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
            Event::IntroductionExpired { offer, peer } => self.on_introduction_expired(offer, peer),
        }
    }

    fn take_link_events(&mut self, id: LinkId) -> bool {
        let mut moved = false;
        while let Some(event) = self.links.get_mut(id).and_then(|link| link.peer.poll_event()) {
            moved = true;
            self.on_link_event(id, event);
        }
        moved
    }

    fn on_link_event(&mut self, id: LinkId, event: peer::Event) {
        use peer::Event;
        match event {
            Event::Hello { offer, ticket, user, device, .. } => {
                self.on_hello(id, offer, &ticket, &user, device);
            }
            Event::Open { .. } => self.on_link_open(id),
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
                self.on_list_page(id, request, Page { generation, path, page, pages, total, entries });
            }
            Event::ListRefused { request, code } => self.on_list_refused(id, request, code),
            Event::ListWanted { id: list, path } => self.on_list_wanted(id, list, path),
            Event::FileQueued { transfer, position } => self.on_file_queued((id, transfer), position),
            Event::FileStarted { transfer, size, mtime, unit_log2, .. } => {
                self.on_file_started((id, transfer), size, mtime, unit_log2);
            }
            Event::FileData { transfer, offset, data } => self.on_file_data((id, transfer), offset, data),
            Event::FileUnit { transfer, unit, .. } => self.on_file_unit((id, transfer), unit),
            Event::FileComplete { transfer, root, .. } => self.on_file_complete((id, transfer), root),
            Event::FileFailed { transfer, code, .. } => self.on_file_failed((id, transfer), code),
            Event::FileWanted { transfer, wanted, unit_log2, offset, .. } => {
                self.on_file_wanted((id, transfer), wanted, unit_log2, offset);
            }
            Event::UnitWanted { transfer, .. } => self.on_unit_wanted((id, transfer)),
            Event::FileSent { transfer } => self.on_upload_over((id, transfer), None),
            Event::SendStopped { transfer, code } => self.on_upload_over((id, transfer), Some(code)),
            Event::Closed { reason } => self.on_link_closed(id, &reason),
        }
    }

    fn on_link_closed(&mut self, id: LinkId, reason: &Closed) {
        self.fail_downloads_of(id);
        self.lists.forget(id);
        let Some(link) = self.links.get_mut(id) else { return };
        let says = std::mem::take(&mut link.says);
        let Some(with) = link.with.clone() else { return };
        let (word, text) = end_of_link(reason);
        for errand in says.into_values() {
            let message = format!("{} may not have heard it: {text}", with.peer.as_str());
            self.voice.fail(Some(&errand), Code::LinkLost, message);
        }
        if with.told {
            self.voice.show(&Notice::PeerClosed { peer: with.peer.clone(), reason: word }, None);
        } else {
            self.fail_link(with.peer.clone(), with.errand.as_ref(), verdict(reason), text);
        }
        self.end_direct_with(&with.peer);
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
        Closed::Violation(violation) => ("violation".to_owned(), violation.to_string()),
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
