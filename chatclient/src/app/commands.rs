//! What the user asks for, done or begun.

use super::App;
use super::errand::Errand;
use super::history::History;
use super::memory::NotSaid;
use super::rooms::{Answer, Question};
use crate::command::{Command, Request};
use crate::exit::ExitStatus;
use crate::notice::{Code, Notice, Peer, PeerState};
use crate::ui::Input;
use chatproto::session::{JoinError, LeaveError, Order, RequestError, RoomKey, SayError, State};
use chatproto::wire::{
    Action, Anchor, CloseReason, ErrorCode, Inquiry, Name, NoteRef, Purpose, RequestId, Text,
};
use std::time::Instant;

/// Messages that `/history` and `/search` show when no number is given.
const DEFAULT_COUNT: u16 = 20;

impl App {
    pub(super) fn on_input(&mut self, input: Input) {
        match input {
            Input::Request(Request { command, line, reference }) => {
                let errand = self.begin_errand(reference, line);
                // What is held keeps its order; only what others wait for may overtake.
                if self.must_wait(&command) {
                    if matches!(command, Command::Quit) {
                        // Nothing is read any more.
                        self.input_ended.get_or_insert_with(Instant::now);
                    }
                    self.held.push_back((command, errand));
                } else {
                    self.run_command(command, errand);
                }
            }
            Input::Malformed { error, reference } => {
                let errand = self.begin_errand(reference, String::new());
                self.voice.fail(Some(&errand), Code::Usage, error.to_string());
            }
            Input::NewPassword(passwords) => {
                let errand = self.errands.begin();
                let (old, new) = passwords.into_parts();
                self.change_password_from(errand, old, new);
            }
            Input::End => self.end_of_input(),
            Input::Interrupt => {
                self.voice.note_status(ExitStatus::Interrupted);
                self.quit();
            }
        }
    }

    fn begin_errand(&mut self, reference: Option<String>, line: String) -> Errand {
        match reference {
            Some(reference) => self.errands.begin_marked(reference, line),
            None => self.errands.begin(),
        }
    }

    /// Tells of the commands that are over and had nothing to tell.
    pub(super) fn tell_done(&mut self) {
        for errand in self.errands.unanswered() {
            if self.ending.is_some() {
                self.tell_abandoned(&errand);
            } else {
                self.voice.done(&errand);
            }
        }
    }

    /// The program ends: whoever waits for an answer waits in vain.
    pub(super) fn tell_all_abandoned(&mut self) {
        self.tell_done();
        for errand in self.errands.all_unanswered() {
            self.tell_abandoned(&errand);
        }
    }

    /// Who leaves in the middle knows that: it is no failure of the program.
    fn tell_abandoned(&mut self, errand: &Errand) {
        let notice = Notice::error(Code::Interrupted, "the program ended before this was done");
        self.voice.show(&notice, Some(errand));
    }

    /// Does what had to wait, as far as it need not any more.
    pub(super) fn run_held(&mut self) {
        for _ in 0..self.held.len() {
            let Some((command, errand)) = self.held.pop_front() else { return };
            if self.must_wait(&command) {
                self.held.push_back((command, errand));
            } else {
                self.run_command(command, errand);
            }
        }
    }

    /// Whether a command can only be understood once something that is under way has come to its end: the first login,
    /// the way back to the server, or a link and its list.
    fn must_wait(&self, command: &Command) -> bool {
        let link = |peer: Option<&Name>| {
            self.linking.is_busy(peer)
                || self.reaching.is_busy(peer)
                || self.links.is_opening(peer)
                || self.lists.is_busy(peer)
        };
        match command {
            // A script means what it has said before; a person who waits can leave.
            Command::Quit => {
                let waits = self.is_answered_soon()
                    || self.held.iter().any(|(command, _)| !matches!(command, Command::Quit));
                let is_late = self.input_ended.is_some_and(|since| since.elapsed() >= super::DRAIN_TIMEOUT);
                waits && !is_late && !self.voice.ui.is_interactive()
            }
            Command::Help
            | Command::Cancel { .. }
            | Command::Discard { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::Retry { .. }
            | Command::Accept { .. }
            | Command::Deny { .. }
            | Command::Transfers
            | Command::Consent { .. }
            | Command::Relay { .. }
            | Command::Peers => false,
            Command::Server => !self.server.told_ready || self.is_on_the_way(),
            Command::Ls { peer, .. } | Command::Get { peer, .. } => {
                !self.server.told_ready || link(peer.as_ref())
            }
            Command::PeerSay { user, .. }
            | Command::Hangup { user }
            | Command::Trust { user }
            | Command::Verify { user, .. } => !self.server.told_ready || link(Some(user)),
            Command::Passwd { .. }
            | Command::Devices
            | Command::Revoke { .. }
            | Command::Rooms
            | Command::Reach
            | Command::Who { .. }
            | Command::History { .. }
            | Command::Search { .. }
            | Command::File { .. }
            | Command::Direct { .. }
            | Command::Join { .. }
            | Command::Create { .. }
            | Command::Topic
            | Command::Moderate(_)
            | Command::Remove { .. }
            | Command::Govern(_)
            | Command::Inquire { .. }
            | Command::Leave { .. } => !self.server.told_ready || self.server.returning.is_some(),
            Command::Say { .. } | Command::Msg { .. } => !self.server.told_ready,
        }
    }

    /// Whether something was asked that is answered without a person's doing: what a script wants to read before it ends. Files
    /// are none of it; they go on at the next start.
    fn is_answered_soon(&self) -> bool {
        let by_server = !(self.questions.is_empty() && self.joins.is_empty() && self.leaves.is_empty());
        let is_there = self.server.session.state() == State::Ready;
        let by_peers = self.lists.is_busy(None) || self.links.iter().any(|link| !link.says.is_empty());
        (by_server && is_there) || by_peers
    }

    /// Whether this client is about to leave the server for a link, or about to be back. A pause between two attempts
    /// is not: `/server` cuts it short.
    fn is_on_the_way(&self) -> bool {
        match self.server.session.state() {
            State::Offline | State::Stopped => false,
            State::Closing => true,
            State::Connecting
            | State::Hello
            | State::Choosing
            | State::Registering
            | State::Proving
            | State::Ready
            | State::Away => {
                self.linking.is_busy(None)
                    || self.reaching.is_busy(None)
                    || self.links.is_opening(None)
                    || self.server.returning.is_some()
            }
        }
    }

    fn run_command(&mut self, command: Command, errand: Errand) {
        match command {
            Command::Say { text } => self.say_here(errand, &text),
            Command::Msg { user, text } => self.say(errand, RoomKey::User(user), &text),
            Command::Join { room } => self.join(errand, room),
            Command::Leave { room } => self.leave(errand, room),
            Command::Create { room, private } => match self.server.session.create(&room, private) {
                Ok(request) => drop(self.joins.insert(request, errand)),
                Err(error) => self.refuse_request(&errand, &error),
            },
            Command::Topic => self.show_topic(&errand),
            Command::Moderate(order) => {
                if let Some(room) = self.room_or_current(&errand, None) {
                    let asked = self.server.session.moderate(&room, &order);
                    self.ask(errand, asked, Answer::Change);
                }
            }
            Command::Remove { room } => {
                let order =
                    Order { action: Action::Remove, user: None, seconds: 0, note: NoteRef::EMPTY.to_owned() };
                let asked = self.server.session.moderate(&RoomKey::Room(room), &order);
                self.ask(errand, asked, Answer::Change);
            }
            Command::Govern(decree) => {
                let asked = self.server.session.govern(&decree);
                self.ask(errand, asked, Answer::Change);
            }
            Command::Inquire { of_server, about, count } => self.inquire(errand, of_server, about, count),
            Command::Rooms => {
                let asked = self.server.session.rooms();
                self.ask(errand, asked, Answer::Rooms(Vec::new()));
            }
            Command::Who { room } => {
                if let Some(room) = self.room_or_current(&errand, room) {
                    let asked = self.server.session.who(&room);
                    self.ask(errand, asked, Answer::People(room.name().clone(), Vec::new()));
                }
            }
            Command::History { count } => {
                if let Some(room) = self.room_or_current(&errand, None) {
                    let limit = count.map_or(DEFAULT_COUNT, |count| u16::try_from(count).unwrap_or(u16::MAX));
                    let asked = self.server.session.history(&room, Anchor::Before, 0, limit);
                    self.ask(errand, asked, Answer::History(History::new(room, limit.into())));
                }
            }
            Command::Search { words } => {
                let asked = self.server.session.search(None, &words, DEFAULT_COUNT);
                self.ask(errand, asked, Answer::Found(Vec::new()));
            }
            Command::File { user } => match self.links.with(&user) {
                Some(link) => self.list_root(errand, link),
                None => self.ask_peer(errand, user, Purpose::Files),
            },
            Command::Ls { peer, path, page, inline } => self.list_folder(errand, peer, path, page, inline),
            Command::Get { peer, files } => self.get(&errand, peer, &files),
            Command::PeerSay { user, text } => self.say_on_link(errand, &user, &text),
            Command::Transfers => self.show_transfers(&errand),
            Command::Cancel { transfers } => self.cancel_transfers(&errand, &transfers),
            Command::Discard { id } => self.discard_transfer(errand, id),
            Command::Pause { transfers } => self.pause_transfers(&errand, &transfers, true),
            Command::Resume { transfers } => self.pause_transfers(&errand, &transfers, false),
            Command::Retry { transfers } => self.retry_transfers(&errand, &transfers),
            Command::Accept { id } => self.answer_by_user(&errand, id, true),
            Command::Deny { id } => self.answer_by_user(&errand, id, false),
            Command::Passwd { file } => self.change_password_to_file(errand, &file),
            Command::Devices => self.ask_devices(errand, None),
            Command::Revoke { device } => self.ask_devices(errand, Some(device)),
            Command::Trust { user } => self.trust_person(&errand, &user),
            Command::Verify { user, code } => self.verify_person(&errand, &user, code.as_deref()),
            Command::Consent { change } => self.change_consent(&errand, change),
            Command::Relay { change } => self.change_relay(&errand, change),
            Command::Peers => self.show_peers(&errand),
            Command::Reach => {
                let asked = self.server.session.test_reach();
                self.ask(errand, asked, Answer::Reach);
            }
            Command::Hangup { user } => self.hang_up(&errand, &user),
            Command::Direct { user } => self.ask_peer(errand, user, Purpose::Direct),
            Command::Server => self.come_back(errand),
            Command::Help => self.voice.show(&Notice::Help, Some(&errand)),
            Command::Quit => {
                self.voice.done(&errand);
                self.quit();
            }
        }
    }

    /// Plain words: over the link in direct mode, else in the current room.
    fn say_here(&mut self, errand: Errand, text: &Text) {
        if let Some(direct) = &self.direct
            && self.server.session.state() == State::Away
        {
            let peer = direct.peer.clone();
            return self.say_on_link(errand, &peer, text);
        }
        match self.room.clone() {
            Some(room) => self.say(errand, RoomKey::Room(room), text),
            None => {
                self.voice.fail(Some(&errand), Code::NoRoom, "no room is the current one; try /join ROOM")
            }
        }
    }

    fn say(&mut self, errand: Errand, room: RoomKey, text: &Text) {
        match self.memory.say(&mut self.server.session, room, text) {
            Ok(counter) => drop(self.says.insert(counter, errand)),
            Err(error) => {
                let code = match &error {
                    NotSaid::State(_) => Code::State,
                    NotSaid::Session(SayError::Stopped | SayError::Over) => Code::NotConnected,
                    NotSaid::Session(SayError::TooMany { .. } | SayError::TooManyBytes { .. }) => {
                        ErrorCode::Backlog.into()
                    }
                };
                self.voice.fail(Some(&errand), code, format!("not said: {error}"));
            }
        }
    }

    fn join(&mut self, errand: Errand, room: Name) {
        if self.is_in(&room) {
            self.room = Some(room.clone());
            let user = self.settings.user.clone();
            self.voice.show(&Notice::Joined { room, user }, Some(&errand));
            return self.refresh_prompt();
        }
        match self.server.session.join(RoomKey::Room(room)) {
            Ok(request) => drop(self.joins.insert(request, errand)),
            Err(error @ JoinError::Stopped) => {
                self.voice.fail(Some(&errand), Code::NotConnected, error.to_string());
            }
            Err(error @ JoinError::TooMany { .. }) => {
                self.voice.fail(Some(&errand), ErrorCode::TooManyRooms, error.to_string());
            }
        }
    }

    fn leave(&mut self, errand: Errand, room: Option<Name>) {
        let Some(room) = self.room_or_current(&errand, room) else { return };
        match self.server.session.leave(&room) {
            Ok(()) => drop(self.leaves.insert(room, errand)),
            Err(error @ LeaveError::NotIn(_)) => {
                self.voice.fail(Some(&errand), ErrorCode::NotMember, error.to_string());
            }
        }
    }

    fn room_or_current(&mut self, errand: &Errand, room: Option<Name>) -> Option<RoomKey> {
        let room = room.or_else(|| self.room.clone());
        if room.is_none() {
            self.voice.fail(Some(errand), Code::NoRoom, "no room is the current one; try /join ROOM");
        }
        room.map(RoomKey::Room)
    }

    fn inquire(&mut self, errand: Errand, of_server: bool, about: Inquiry, count: Option<u32>) {
        let room = if of_server { None } else { self.room_or_current(&errand, None) };
        if room.is_none() && !of_server {
            return;
        }
        let limit = count.map_or(DEFAULT_COUNT, |count| u16::try_from(count).unwrap_or(u16::MAX));
        let asked = self.server.session.inquire(room.as_ref(), about, 0, limit);
        let room = room.map(|room| room.name().clone());
        self.ask(errand, asked, Answer::Report(room, about, Vec::new()));
    }

    pub(super) fn ask(&mut self, errand: Errand, asked: Result<RequestId, RequestError>, answer: Answer) {
        match asked {
            Ok(request) => drop(self.questions.insert(request, Question::new(errand, answer))),
            Err(error) => self.refuse_request(&errand, &error),
        }
    }

    pub(super) fn refuse_request(&mut self, errand: &Errand, error: &RequestError) {
        let (code, text) = match error {
            RequestError::NotReady { state: State::Away } => {
                (Code::NotConnected, "the server was left for the direct link; /server goes back".to_owned())
            }
            RequestError::NotReady { .. } => (Code::NotConnected, error.to_string()),
            RequestError::TooMany { .. } => (ErrorCode::TooManyRequests.into(), error.to_string()),
            RequestError::Data(_) => (ErrorCode::Malformed.into(), error.to_string()),
            RequestError::TooManyRooms => (ErrorCode::TooManyRooms.into(), error.to_string()),
            RequestError::NoAnnouncement => (ErrorCode::NoAnnounce.into(), error.to_string()),
        };
        self.voice.fail(Some(errand), code, text);
    }

    fn show_peers(&mut self, errand: &Errand) {
        let none = |peer: &Name, state| Peer {
            peer: peer.clone(),
            state,
            device: None,
            path: None,
            id: None,
            verified: false,
        };
        let mut peers = Vec::new();
        for link in self.links.iter() {
            let Some(with) = &link.with else { continue };
            let is_direct = self.direct.as_ref().is_some_and(|direct| direct.peer == with.peer);
            let state = match (link.stands(), is_direct && self.server.session.state() == State::Away) {
                (true, true) => PeerState::Direct,
                (true, false) => PeerState::Connected,
                (false, _) => PeerState::Connecting,
            };
            let path = link.stands().then_some(with.path);
            let verified = self.is_verified(&with.peer, with.device);
            let (peer, device) = (with.peer.clone(), Some(with.device));
            peers.push(Peer { peer, state, device, path, id: None, verified });
        }
        peers.extend(self.reaching.people().map(|peer| none(peer, PeerState::Connecting)));
        peers.extend(self.linking.asked.values().map(|asked| none(&asked.peer, PeerState::Asked)));
        for (id, offer) in self.linking.offers.iter().filter(|(_, offer)| offer.waits) {
            peers.push(Peer { id: Some(id.0), ..none(&offer.from, PeerState::Waiting) });
        }
        self.voice.show(&Notice::Peers { peers }, Some(errand));
    }

    fn hang_up(&mut self, errand: &Errand, user: &Name) {
        let now = self.clock.now();
        let links = self.links.all_with(user);
        if links.is_empty() {
            let text = format!("there is no link with {}", user.as_str());
            return self.voice.fail(Some(errand), Code::NoPeer, text);
        }
        for id in links {
            if let Some(link) = self.links.get_mut(id) {
                link.peer.close(CloseReason::Done, now);
                link.hangup = Some(errand.clone());
            }
        }
    }
}
