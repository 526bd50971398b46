//! What each frame of the server means. Whether it may come now was checked before.

use core::time::Duration;

use super::driver::Retry;
use super::event::SecretBytes;
use super::introductions::Terms;
use super::login::NAMES_TOLD;
use super::{
    ChatMessage, Event, Introduction, LineInfo, LostReason, MemberInfo, Refusal, RoomInfo, RoomKey, Session,
    State, Violation,
};
use crate::Instant;
use crate::reach::Signal;
use crate::wire::{
    Bye, Capability, CloseReason, Error, ErrorCode, FrameType, Governed, Joined, MAX_ADDRESSES, Members,
    MessagePage, Moderated, OfferId, PageMessage, PeerClosed, PeerIntroduce, Pong, Reached, Report,
    RequestId, RoomList, ToClient,
};

impl Session {
    pub(super) fn handle_frame(&mut self, frame: &ToClient<'_>, now: Instant) -> Result<(), Violation> {
        let Self { rooms, says, out, offers, introductions, .. } = self;
        match frame {
            ToClient::Ping(ping) => out.send(&Pong { nonce: ping.nonce }),
            // Whatever arrives counts as a sign of life.
            ToClient::Pong(pong) => {
                if pong.nonce == NAMES_TOLD {
                    says.names_told(out);
                }
            }
            ToClient::Bye(bye) => self.said_bye(bye, now),
            ToClient::Error(error) if self.state == State::Ready => self.complained(error, now),
            ToClient::Error(error) => self.login_error(error, now),

            ToClient::ServerHello(hello) => self.greeted(hello, now)?,
            ToClient::LoginChallenge(challenge) => {
                out.emit(Event::Challenge { data: SecretBytes::copied(challenge.data.as_bytes()) });
            }
            ToClient::LoginOk(ok) => self.accepted(ok, now)?,
            ToClient::AccountReply(reply) => self.account_reply(reply)?,
            ToClient::DeviceList(list) => self.listed_devices(list)?,
            ToClient::ServerKey(key) => out.emit(Event::ServerKey { fingerprint: key.fingerprint }),

            ToClient::Posted(posted) => says.posted(posted, rooms.key(posted.room), out),
            ToClient::Messages(messages) => rooms.messages(messages, out)?,
            ToClient::Joined(joined) => self.joined_room(joined)?,
            ToClient::Left(left) => rooms.left(left, out)?,
            ToClient::DirectRoom(direct) => {
                if let Some((was, now)) = rooms.direct_room(direct, out) {
                    says.retire(&was, &now);
                }
            }
            ToClient::CaughtUp(caught_up) => rooms.end_of_missed(caught_up, out)?,
            ToClient::Gap(gap) => rooms.gap(gap, out)?,
            ToClient::Moderated(moderated) => self.moderated(moderated)?,
            ToClient::Invited(invited) => {
                let room = RoomKey::Room(invited.name.to_owned());
                out.emit(Event::Invited { room, by: invited.by.map(|by| by.to_owned()) });
            }
            ToClient::Presence(presence) => {
                let room = rooms.entered_key(presence.room, FrameType::Presence)?.clone();
                let (user, device, change) = (presence.user.to_owned(), presence.device, presence.change);
                out.emit(Event::Presence { room, user, device, change });
            }
            ToClient::RoomList(list) => self.listed_rooms(list)?,
            ToClient::Members(members) => self.listed_members(members)?,
            ToClient::MessagePage(page) => self.turned_page(page)?,
            ToClient::Governed(governed) => self.governed(governed)?,
            ToClient::Report(report) => self.reported(report)?,

            ToClient::PeerOffer(offer) => offers.offered(offer, now, out),
            ToClient::PeerIntroduce(introduce) => self.introduced(introduce, now)?,
            ToClient::PeerClosed(closed) => self.peer_closed(closed),
            ToClient::PeerTry(ask) => introductions.signal(ask.offer, Signal::Try(ask.way), now, out),
            ToClient::PeerOutcome(outcome) => {
                let signal = Signal::Outcome(outcome.way, outcome.code);
                introductions.signal(outcome.offer, signal, now, out);
            }
            ToClient::PeerFailed(failed) => {
                introductions.signal(failed.offer, Signal::Failed(failed.code), now, out)
            }
            ToClient::PeerMeet(meet) => introductions.meet(meet, now, out),
            // It belongs on a connection of its own, and was refused before.
            ToClient::RelayOpened(_) => {}
            ToClient::Reached(reached) => {
                self.requests.answered(reached.request, FrameType::Reached, false)?;
                let &Reached { request, address, code } = reached;
                out.emit(Event::Reached { request, address, code });
            }
        }
        self.rooms.tell_back(&mut self.out);
        Ok(())
    }

    fn said_bye(&mut self, bye: &Bye<'_>, now: Instant) {
        let note = bye.note.to_owned();
        // A complaint of long ago has nothing to do with a server that goes away.
        let is_verdict = matches!(bye.reason, CloseReason::Violation | CloseReason::LoginRefused);
        let complaint = self.complaint.take().filter(|_| is_verdict);
        let advised = Duration::from_millis(bye.retry_after.into());
        let retry = match bye.reason {
            CloseReason::LoginRefused => match complaint {
                Some((code, _)) if is_passing(code) => Retry::After(advised),
                Some((code, note)) => return self.fail_login(code, note, now),
                None => return self.fail_login(ErrorCode::LoginRefused, note, now),
            },
            CloseReason::Replaced | CloseReason::Removed | CloseReason::Revoked => Retry::Never,
            CloseReason::Done
            | CloseReason::Direct
            | CloseReason::ShuttingDown
            | CloseReason::Idle
            | CloseReason::HandshakeTimeout
            | CloseReason::LoginTimeout
            | CloseReason::Violation
            | CloseReason::TooSlow
            | CloseReason::Busy
            | CloseReason::BadTicket => Retry::After(advised),
        };
        let error = complaint.as_ref().map(|(code, _)| *code);
        let note = match complaint {
            Some((_, complaint)) if note.as_str().is_empty() => complaint,
            Some(_) | None => note,
        };
        self.lose(LostReason::Bye { reason: bye.reason, error, note }, retry, now);
    }

    /// An error frame while logged in: finds what it is about.
    fn complained(&mut self, error: &Error<'_>, now: Instant) {
        let Self { rooms, says, requests, offers, out, .. } = self;
        let &Error { code, request: number, .. } = error;
        let note = error.note.to_owned();
        let advised = Duration::from_millis(error.retry_after.into());
        let retry_after = (error.retry_after != 0).then_some(advised);
        let refusal = Refusal::Code { code, retry_after, note: note.clone() };
        let about = FrameType::from_number(error.about);
        let found = if about == Some(FrameType::Say) {
            says.refused(number, code, advised, &note, now, out)
        } else if about == Some(FrameType::PeerAnswer) {
            offers.closed(OfferId(number), refusal, out)
        } else if let Some(request) = u32::try_from(number).ok().map(RequestId) {
            // A peer request that is not open any more was taken back before the refusal came.
            rooms.refused(request, refusal.clone(), now, out)
                || requests.refused(request, refusal, out)
                || about == Some(FrameType::PeerRequest)
        } else {
            false
        };
        if !found {
            self.complaint = Some((code, note.clone()));
            self.out.emit(Event::ServerError { code, about, note });
        }
    }

    fn joined_room(&mut self, joined: &Joined<'_>) -> Result<(), Violation> {
        let is_made = self.requests.is_create(joined.request);
        if is_made {
            self.requests.answered(joined.request, FrameType::Joined, false)?;
        }
        self.rooms.entered(joined, is_made, &mut self.out)
    }

    /// What this device asked for comes twice, as an answer and as news: it is told once, as the answer.
    fn moderated(&mut self, moderated: &Moderated<'_>) -> Result<(), Violation> {
        const FRAME: FrameType = FrameType::Moderated;
        let &Moderated { request, room, action, device, seconds, .. } = moderated;
        let request = (request.0 != 0).then_some(request);
        let room = match request {
            Some(request) => {
                let ask = self.requests.answered(request, FRAME, false)?;
                let room = self.rooms.key(room).or(ask.room());
                room.cloned().ok_or(Violation::NoSuchRequest { frame: FRAME, request })?
            }
            None => self.rooms.entered_key(room, FRAME)?.clone(),
        };
        if request.is_none() && moderated.by.is_some() && device == self.config.device {
            return Ok(());
        }
        let by = moderated.by.map(|name| name.to_owned());
        let user = moderated.user.map(|name| name.to_owned());
        let note = moderated.note.to_owned();
        self.out.emit(Event::Moderated { room, action, by, user, seconds, note, request });
        Ok(())
    }

    fn listed_rooms(&mut self, list: &RoomList<'_>) -> Result<(), Violation> {
        let &RoomList { request, more, rooms } = list;
        self.requests.answered(request, FrameType::RoomList, more)?;
        let rooms = rooms.iter().map(|entry| RoomInfo {
            id: entry.room,
            name: entry.name.to_owned(),
            people: entry.people,
            last: entry.last,
            topic: entry.topic.to_owned(),
        });
        self.out.emit(Event::RoomList { request, rooms: rooms.collect(), more });
        Ok(())
    }

    fn listed_members(&mut self, frame: &Members<'_>) -> Result<(), Violation> {
        const FRAME: FrameType = FrameType::Members;
        let &Members { request, more, .. } = frame;
        let request = (request.0 != 0).then_some(request);
        let room = match request {
            None => self.rooms.entered_key(frame.room, FRAME)?.clone(),
            Some(request) => {
                let ask = self.requests.answered(request, FRAME, more)?;
                let room = self.rooms.key(frame.room).or(ask.room());
                room.cloned().ok_or(Violation::NoSuchRequest { frame: FRAME, request })?
            }
        };
        let members = frame.members.iter();
        let members = members.map(|member| MemberInfo {
            user: member.user.to_owned(),
            devices: member.devices,
            rank: member.rank,
        });
        self.out.emit(Event::Members { request, room, members: members.collect(), more });
        Ok(())
    }

    fn governed(&mut self, governed: &Governed<'_>) -> Result<(), Violation> {
        let &Governed { request, action, seconds, .. } = governed;
        self.requests.answered(request, FrameType::Governed, false)?;
        let subject = governed.subject.map(|subject| subject.to_owned());
        let note = governed.note.to_owned();
        self.out.emit(Event::Governed { request, action, subject, seconds, note });
        Ok(())
    }

    fn reported(&mut self, report: &Report<'_>) -> Result<(), Violation> {
        let &Report { request, more, lines } = report;
        self.requests.answered(request, FrameType::Report, more)?;
        let lines = lines.iter().map(|line| LineInfo {
            number: line.number,
            time: line.time,
            room: line.room.to_owned(),
            by: line.by.to_owned(),
            action: line.action,
            subject: line.subject.to_owned(),
            seconds: line.seconds,
            note: line.note.to_owned(),
        });
        self.out.emit(Event::Report { request, lines: lines.collect(), more });
        Ok(())
    }

    fn turned_page(&mut self, page: &MessagePage<'_>) -> Result<(), Violation> {
        let &MessagePage { request, more, .. } = page;
        let asked = self.requests.answered(request, FrameType::MessagePage, more)?;
        // A search may still find what was said in a room that was left since; that is not shown.
        let messages = page.messages.iter().filter_map(|message| {
            let room = self.rooms.key(message.room).or(asked.room())?.clone();
            Some(chat_message(&message, room))
        });
        let messages = messages.collect();
        self.out.emit(Event::Page { request, messages, more });
        Ok(())
    }

    /// The server names the other side of a link. What nobody here asked for or agreed to is dropped: it may answer a
    /// request that was taken back, and otherwise the server would decide who may connect.
    fn introduced(&mut self, frame: &PeerIntroduce<'_>, now: Instant) -> Result<(), Violation> {
        if frame.addresses.iter().count() > MAX_ADDRESSES {
            let what = "more addresses than an introduction may have";
            return Err(Violation::Content { frame: FrameType::PeerIntroduce, what });
        }
        let agreed = match frame.request {
            RequestId(0) => self.offers.introduced(frame),
            request => self.requests.close_peer(request) == Some(frame.purpose),
        };
        if !agreed {
            return Ok(());
        }
        let introduction = Introduction::from_wire(frame, now);
        let terms = Terms {
            negotiates: self.capabilities.has(Capability::Ways),
            policy: self.policy_for(&introduction.peer),
            bounds: self.config.bounds,
            observed: self.observed,
        };
        self.out.emit(Event::Introduced(introduction.clone()));
        self.introductions.begin(introduction, &terms, now, &mut self.out);
        Ok(())
    }

    fn peer_closed(&mut self, closed: &PeerClosed) {
        let refusal = Refusal::because(closed.code);
        if closed.request.0 == 0 {
            self.offers.closed(closed.offer, refusal, &mut self.out);
        } else if self.requests.close_peer(closed.request).is_some() {
            self.out.emit(Event::PeerRequestClosed { request: closed.request, refusal });
        }
    }
}

/// Whether the same login can succeed a little later.
fn is_passing(code: ErrorCode) -> bool {
    use ErrorCode::{Busy, Flood, Internal, ShuttingDown, Timeout};
    matches!(code, Busy | Flood | Internal | ShuttingDown | Timeout)
}

fn chat_message(message: &PageMessage<'_>, room: RoomKey) -> ChatMessage {
    ChatMessage {
        room,
        seq: message.seq,
        time: message.time,
        from: message.from.to_owned(),
        device: message.device,
        counter: message.counter,
        text: message.text.to_owned(),
    }
}
