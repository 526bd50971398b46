//! What the program asks for.

use alloc::collections::BTreeSet;

use super::driver::Ending;
use super::requests::Ask;
use super::{
    AdmitError, Announcement, Decree, Event, Introduction, JoinError, LeaveError, Order, PeerVerbError,
    Refusal, RequestError, RoomKey, SayError, Session, State,
};
use crate::Instant;
use crate::reach::Policy;
use crate::wire::{
    Anchor, CloseReason, Create, DeviceId, ErrorCode, Govern, History, Inquire, Inquiry, LinkKey, LinkTicket,
    Moderate, Name, OfferId, PeerRequest, PeerWithdraw, Purpose, Reach, RequestId, Rooms, Search, Subject,
    Text, Way, Who,
};

/// Coming and going.
impl Session {
    /// Connects now instead of after the pause; also after the session has stopped. Nothing while a connection stands.
    pub fn reconnect_now(&mut self, now: Instant) {
        if matches!(self.state, State::Offline | State::Stopped) {
            self.dial(now);
        }
    }

    /// Leaves the server for a direct link: [`Event::Away`] follows when the bye has left. Nothing is lost, nothing is
    /// tried again until [`come_back`](Self::come_back). Introductions stay good.
    pub fn leave_for_direct(&mut self, now: Instant) {
        match self.state {
            State::Hello | State::Choosing | State::Registering | State::Proving | State::Ready => {
                self.close(CloseReason::Direct, Ending::Away, now);
            }
            State::Closing if self.ending != Ending::Stopped => self.ending = Ending::Away,
            State::Offline | State::Connecting => self.go_away(now),
            State::Closing | State::Away | State::Stopped => {}
        }
    }

    /// Comes back from a direct link: connects at once and catches up.
    pub fn come_back(&mut self, now: Instant) {
        if self.state == State::Away {
            self.dial(now);
        } else if self.state == State::Closing && self.ending == Ending::Away {
            self.ending = Ending::Back;
        }
    }

    /// Says bye and ends: [`Event::Stopped`] follows when everything before has left. What is not acknowledged stays in
    /// [`pending`](Self::pending).
    pub fn quit(&mut self, now: Instant) {
        match self.state {
            State::Hello | State::Choosing | State::Registering | State::Proving | State::Ready => {
                self.close(CloseReason::Done, Ending::Stopped, now);
            }
            State::Closing => self.ending = Ending::Stopped,
            State::Offline | State::Connecting | State::Away | State::Stopped => self.stop(now),
        }
    }
}

/// Rooms and words.
impl Session {
    /// Says something in a room or to a person, now or with the next login, and gives its number.
    ///
    /// It is kept and sent again until [`Event::Posted`] or [`Event::SayRefused`]. Says leave in order; only when the
    /// server puts some off ([`ErrorCode::Backlog`]) can later ones that were on their way overtake them.
    ///
    /// The number names these words for good: the log takes other words with it for a repetition, acknowledges them, and
    /// drops them. Where words must survive a crash of this program, write the number and the words to the disk before what
    /// [`outgoing`](Self::outgoing) has is sent, and go on from there with [`Restored`](super::Restored).
    ///
    /// # Errors
    /// When the session has stopped or too much waits already.
    pub fn say(&mut self, target: RoomKey, text: &Text) -> Result<u64, SayError> {
        if self.state == State::Stopped {
            return Err(SayError::Stopped);
        }
        if matches!(target, RoomKey::Former(..)) {
            return Err(SayError::Over);
        }
        let counter = self.says.say(target, text)?;
        if self.state == State::Ready {
            self.says.flush(&mut self.out);
        }
        Ok(counter)
    }

    /// Enters a room, or takes up a conversation, now or with the next login; it is entered again after each reconnect.
    ///
    /// [`Event::Joined`] or [`Event::JoinRefused`] answers, unless the room is left before.
    ///
    /// # Errors
    /// When the session has stopped or too many rooms are known.
    pub fn join(&mut self, room: RoomKey) -> Result<RequestId, JoinError> {
        if self.state == State::Stopped {
            return Err(JoinError::Stopped);
        }
        self.rooms.join(room, self.state == State::Ready, &mut self.out)
    }

    /// Leaves a room and forgets what was seen there; [`Event::Left`] follows. A conversation comes back with the next
    /// login, because the server reports it anew.
    ///
    /// # Errors
    /// When the session is not in it and does not want to be.
    pub fn leave(&mut self, room: &RoomKey) -> Result<(), LeaveError> {
        self.rooms.leave(room, self.state == State::Ready, &mut self.out)?;
        self.rooms.tell_back(&mut self.out);
        Ok(())
    }

    /// Asks for the public rooms: [`Event::RoomList`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn rooms(&mut self) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Rooms)?;
        self.out.send(&Rooms { request });
        Ok(request)
    }

    /// Asks who is in a room: [`Event::Members`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn who(&mut self, room: &RoomKey) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Who(room.clone()))?;
        self.out.send(&Who { request, target: room.target() });
        Ok(request)
    }

    /// Asks for messages before, after or around a number, at most `limit`: [`Event::Page`], oldest first.
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn history(
        &mut self,
        room: &RoomKey,
        anchor: Anchor,
        seq: u64,
        limit: u16,
    ) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::History(room.clone()))?;
        self.out.send(&History { request, target: room.target(), anchor, seq, limit });
        Ok(request)
    }

    /// Asks for messages that contain all `words`, in one room or in all, at most `limit`: [`Event::Page`], newest first.
    ///
    /// Needs [`Capability::Search`](crate::wire::Capability::Search) among the session's
    /// [`capabilities`](crate::session::Config::capabilities) and at the server; without it the answer is
    /// [`ErrorCode::NotSupported`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn search(
        &mut self,
        room: Option<&RoomKey>,
        words: &Text,
        limit: u16,
    ) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Search)?;
        self.out.send(&Search { request, target: room.map(RoomKey::target), limit, words: words.borrow() });
        Ok(request)
    }

    /// Makes a room and enters it: [`Event::Joined`] or [`Event::JoinRefused`] answers. Whoever makes a room owns it; a
    /// private one is entered by those who are invited. The server needs
    /// [`Capability::Moderation`](crate::wire::Capability::Moderation) for this and the next three.
    ///
    /// # Errors
    /// When not logged in, too many requests are open, or too many rooms are known.
    pub fn create(&mut self, name: &Name, private: bool) -> Result<RequestId, RequestError> {
        let key = RoomKey::Room(name.clone());
        if !self.rooms.has_space_for(&key) {
            return Err(RequestError::TooManyRooms);
        }
        let request = self.open(Ask::Create(key))?;
        self.out.send(&Create { request, name: name.borrow(), private });
        Ok(request)
    }

    /// Changes a room, or what a person may do there: [`Event::Moderated`] with this request, or [`Event::Refused`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn moderate(&mut self, room: &RoomKey, order: &Order) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Moderate(room.clone()))?;
        let Order { action, user, seconds, note } = order;
        self.out.send(&Moderate {
            request,
            target: room.target(),
            action: *action,
            user: user.as_ref().map(Name::borrow),
            seconds: *seconds,
            note: note.borrow(),
        });
        Ok(request)
    }

    /// Bars an account or a network from the server, lets them in again, or changes the lockdown, as administrators may:
    /// [`Event::Governed`], or [`Event::Refused`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn govern(&mut self, decree: &Decree) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Govern)?;
        let Decree { action, subject, seconds, note } = decree;
        self.out.send(&Govern {
            request,
            action: *action,
            subject: subject.as_ref().map(Subject::borrow),
            seconds: *seconds,
            note: note.borrow(),
        });
        Ok(request)
    }

    /// Asks for lines of the audit log below the number `before` (0: the newest), at most `limit`, or for what is imposed;
    /// in a room, or on the whole server: [`Event::Report`].
    ///
    /// # Errors
    /// When not logged in, or too many requests are open.
    pub fn inquire(
        &mut self,
        room: Option<&RoomKey>,
        about: Inquiry,
        before: u64,
        limit: u16,
    ) -> Result<RequestId, RequestError> {
        let request = self.open(Ask::Inquire)?;
        self.out.send(&Inquire { request, target: room.map(RoomKey::target), about, before, limit });
        Ok(request)
    }

    pub(super) fn open(&mut self, ask: Ask) -> Result<RequestId, RequestError> {
        if self.state != State::Ready {
            return Err(RequestError::NotReady { state: self.state });
        }
        self.requests.open(ask, &mut self.out)
    }
}

/// Peers.
impl Session {
    /// Changes where peers are accepted; the server is told now or with the next login.
    pub fn announce(&mut self, announcement: Announcement) {
        self.config.announcement = Some(announcement);
        if self.state == State::Ready {
            self.send_announcement();
        }
    }

    /// Asks to be introduced to a person: [`Event::Introduced`] or [`Event::PeerRequestClosed`] answers.
    ///
    /// # Errors
    /// When not logged in, nothing is announced, or too many requests are open.
    pub fn request_peer(&mut self, to: &Name, purpose: Purpose) -> Result<RequestId, RequestError> {
        if self.config.announcement.is_none() {
            return Err(RequestError::NoAnnouncement);
        }
        let request = self.open(Ask::Peer(purpose))?;
        let concealed = self.policy_for(to) == Policy::OnlyRelay;
        self.out.send(&PeerRequest { request, purpose, concealed, to: to.borrow() });
        Ok(request)
    }

    /// Takes a peer request back: [`Event::PeerRequestClosed`] follows at once, and whatever answer was on its way is
    /// dropped.
    ///
    /// # Errors
    /// When no such request is open.
    pub fn withdraw_peer(&mut self, request: RequestId) -> Result<(), PeerVerbError> {
        self.requests.close_peer(request).ok_or(PeerVerbError::NoSuchRequest(request))?;
        self.out.send(&PeerWithdraw { request });
        let refusal = Refusal::because(ErrorCode::Withdrawn);
        self.out.emit(Event::PeerRequestClosed { request, refusal });
        Ok(())
    }

    /// Answers [`Event::PeerOffer`]. After a yes, [`Event::Introduced`] or [`Event::PeerOfferClosed`] follows.
    ///
    /// # Errors
    /// When no such offer waits for an answer.
    pub fn answer_peer(&mut self, offer: OfferId, accept: bool) -> Result<(), PeerVerbError> {
        let concealed =
            self.offers.asker(offer).is_some_and(|from| self.policy_for(from) == Policy::OnlyRelay);
        self.offers.answer(offer, accept, concealed, &mut self.out)
    }

    /// Changes which ways the user wants, from the next request or answer on: `policy` for all, and the relay alone for the
    /// people of `relay_only`. Whoever gets the relay alone learns no address of this device.
    pub fn set_policy(&mut self, policy: Policy, relay_only: BTreeSet<Name>) {
        self.config.policy = policy;
        self.config.relay_only = relay_only;
    }

    /// Which ways the user wants to somebody.
    pub(super) fn policy_for(&self, peer: &Name) -> Policy {
        if self.config.relay_only.contains(peer) { Policy::OnlyRelay } else { self.config.policy }
    }

    /// Whether somebody who connected is the one introduced under this offer. A yes uses the introduction up.
    ///
    /// `link_key` is the key that the connection itself has proved, `user`, `device` and `ticket` what its hello says.
    /// Introductions outlive the connection to the server until they expire. With the introduction comes the way that was
    /// being tried.
    ///
    /// # Errors
    /// Says what does not fit. Tell the other side no more than [`ErrorCode::BadTicket`].
    pub fn admit(
        &mut self,
        offer: OfferId,
        ticket: &LinkTicket,
        link_key: LinkKey,
        user: &Name,
        device: DeviceId,
        now: Instant,
    ) -> Result<(Introduction, Option<Way>), AdmitError> {
        self.introductions.admit(offer, ticket, link_key, user, device, now)
    }

    /// An introduction that has not become a link, for a program to compare what else a caller claims before it
    /// [admits](Self::admit) it, which uses the introduction up.
    #[must_use]
    pub fn introduction(&self, offer: OfferId) -> Option<&Introduction> {
        self.introductions.get(offer)
    }

    /// What [`Event::Reach`] asked for did not work: the next way is tried, or [`Event::LinkFailed`] follows.
    pub fn way_failed(&mut self, offer: OfferId, way: Way, code: ErrorCode, now: Instant) {
        self.introductions.way_failed(offer, way, code, now, &mut self.out);
    }

    /// A connection that this side made stands, and its other end has proved the introduced key. `false` when something
    /// else is tried by now: close it.
    pub fn linking(&mut self, offer: OfferId, way: Way) -> bool {
        self.introductions.linking(offer, way)
    }

    /// This side wants no link under this offer, for instance because the device's key is not the one it knows. The other
    /// side is told; no event follows.
    pub fn abandon_link(&mut self, offer: OfferId, code: ErrorCode) {
        self.introductions.abandon(offer, code, &mut self.out);
    }

    /// The link that this side opened stands: the introduction is used up.
    pub fn linked(&mut self, offer: OfferId) {
        self.introductions.linked(offer);
    }

    /// Asks the server whether peers can reach this device: [`Event::Reached`] or [`Event::Refused`] answers.
    ///
    /// Needs [`Capability::Probe`](crate::wire::Capability::Probe) among the session's
    /// [`capabilities`](crate::session::Config::capabilities) and at the server; without it the answer is
    /// [`ErrorCode::NotSupported`].
    ///
    /// # Errors
    /// When not logged in, nothing is announced, or too many requests are open.
    pub fn test_reach(&mut self) -> Result<RequestId, RequestError> {
        if self.config.announcement.is_none() {
            return Err(RequestError::NoAnnouncement);
        }
        let request = self.open(Ask::Reach)?;
        self.out.send(&Reach { request });
        Ok(request)
    }
}
