//! Moving bytes and events between the sockets and the machines, until nothing moves any more.

use super::App;
use super::jobs::Done;
use super::links::{Link, LinkId};
use super::paced::Paced;
use crate::notice::{Code, Notice};
use bytes::Buf as _;
use chatnet::{ConnToken, Read, Write};
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
            for id in self.links.in_turn() {
                moved |= self.write_link(id);
            }
            moved |= self.start_due();
            self.look_on();
            if !moved {
                break;
            }
        }
        self.show_begun();
        self.show_begun_uploads();
        self.finish_next();
        self.remember_sent();
        self.tell_done();
        if self.must_return() && !self.redial.is_searching() {
            self.direct = None;
            self.server.session.come_back(self.clock.now());
            self.settle();
        } else if self.is_done() {
            self.quit_quietly();
        } else if self.is_drained() && self.ending.is_none() {
            let text = "the server did not come back; what was not said is kept for the next time";
            self.voice.fatal(&Notice::error(ErrorCode::Timeout, text), ErrorCode::Timeout.into());
            self.quit();
        }
        self.write_out();
        if self.voice.ui.is_closed() {
            self.voice.note(Code::Wire(ErrorCode::Internal));
            self.quit();
        }
    }

    /// Writes what a turn has gathered, before the loop waits: in few pieces, however many files it was about.
    fn write_out(&mut self) {
        let written = self.memory.wanted.write_out();
        self.report(written);
        self.voice.ui.flush();
    }

    fn quit_quietly(&mut self) {
        if self.ending.is_none() {
            self.quit();
            self.settle();
        }
    }

    /// When the loop must turn even if nothing happens.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let paced = self.next_allowance(Instant::now()).into_iter().chain(self.pace.next_telling()).min();
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let machines = self.server.session.poll_timeout().into_iter().chain(links);
        let drained = self.input_ended.map(|since| since + super::DRAIN_TIMEOUT);
        // Past it, it has been acted on or does not apply.
        let drained = drained.filter(|at| *at > Instant::now());
        let stalled = self.transfers.next_stall(self.settings.pace.stall_timeout, self.last_word());
        let standing = self.next_standing_upload();
        machines
            .map(|at| self.clock.system(at))
            .chain(self.ending.map(|leaving| leaving.until(Instant::now(), self.is_writing())))
            .chain(drained)
            .chain(stalled)
            .chain(standing)
            .chain(paced)
            .chain(self.reaching.deadline())
            .chain(self.redial.deadline())
            .min()
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
        self.end_standing_uploads();
        self.rotate_idle_slots();
        self.tell_places();
        self.share_download_rate();
        self.meet_peers();
        self.redial_peers();
    }

    /// Reads a socket as far as its machine wants.
    pub(super) fn read(&mut self, token: ConnToken) {
        if self.server.token == Some(token) {
            self.read_server(token);
        } else if let Some(id) = self.links.by_token(token) {
            self.read_link(id, token);
        } else if self.reaching.has(token) {
            self.read_reached(token);
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
        while self.may_receive(Instant::now())
            && let Some(link) = self.links.get_mut(id).filter(|link| link.peer.wants_read())
        {
            match self.net.read(token) {
                Read::Bytes(bytes) => {
                    link.peer.handle_input(bytes, now);
                    // What came counts before more is read.
                    if self.pace.down.is_some() {
                        self.take_link_events(id);
                    }
                }
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
        let now = Instant::now();
        let may_receive = self.may_receive(now);
        let allowance = self.send_allowance(id, now);
        let Some(link) = self.links.get_mut(id) else { return false };
        let token = link.token;
        if link.paused && link.peer.wants_read() && may_receive {
            link.paused = false;
            self.net.resume_read(token);
        }
        let queue = link.peer.outgoing();
        let (waiting, files) = (queue.remaining(), queue.bulk_len());
        let outcome = match allowance {
            _ if waiting == 0 => Write::Done,
            None => self.net.write(token, queue),
            Some(files) => self.net.write(token, &mut Paced::new(queue, files)),
        };
        if outcome == Write::Closed {
            queue.advance(queue.remaining());
        }
        let queue = link.peer.outgoing();
        link.is_held = outcome == Write::Done && queue.bulk_len() > 0;
        let moved = queue.remaining() < waiting;
        let sent = files.saturating_sub(queue.bulk_len()) as u64;
        let is_finished = link.peer.is_finished();
        if sent > 0 {
            self.charge_sent(id, sent, now);
        }
        if is_finished {
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
            let held = done.held();
            held.into_iter().for_each(|id| self.jobs.let_go(id));
            match done {
                Done::Resolved(found) => self.on_resolved(found),
                Done::LoginFinished { attempt, proof } => self.on_login_finished(attempt, proof),
                Done::Enrolled { attempt, record } => self.on_enrolled(attempt, record),
                Done::PasswordReady { request, proof } => self.on_password_ready(request, proof),
                Done::Listed { link, id, listed } => self.on_listed(link, id, listed),
                Done::Opened { at, opened } => self.on_opened(at, opened),
                Done::Read { at, outgoing, read } => self.on_read(at, outgoing, read),
                Done::Begun { id, begun } => self.on_begun(id, begun),
                Done::Stored { id, incoming, stored } => self.on_stored(id, incoming, stored),
                Done::StoredWhole { id, stored } => self.on_stored_whole(id, stored),
                Done::Finished(ended) => self.on_finished(ended),
                Done::Hashed { at, outgoing, part, left } => self.on_hashed(at, outgoing, part, left),
                Done::Looked { id, looked } => self.on_looked(id, looked),
                Done::Rechecked { id, incoming, left } => self.on_rechecked(id, incoming, left),
                Done::Kept { id, kept } => self.on_kept(id, kept),
                Done::Forgotten { id, forgotten } => self.on_forgotten(id, forgotten),
                Done::Proved { id, values } => self.on_proved(id, values),
                Done::FolderMade(made) => self.on_folder_made(made),
                Done::Remembered => self.on_remembered(),
                Done::Nothing => {}
            }
            held.into_iter().for_each(|id| self.settle_bytes(id));
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

    fn take_link_events(&mut self, id: LinkId) -> bool {
        let mut moved = false;
        while let Some(event) = self.links.get_mut(id).and_then(|link| link.peer.poll_event()) {
            moved = true;
            self.on_link_event(id, event);
        }
        moved
    }
}
