//! Requests that wait for their answers. All of them end: with an answer, a refusal, or the connection.

use alloc::collections::BTreeMap;

use super::outbox::Outbox;
use super::{Event, Refusal, RequestError, RoomKey, Violation};
use crate::wire::{FrameType, Purpose, RequestId};

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    Rooms,
    Who(RoomKey),
    History(RoomKey),
    Search,
    Peer(Purpose),
    Create(RoomKey),
    Moderate(RoomKey),
    Reach,
    Govern,
    Inquire,
    /// Whether the proof and the new record were sent.
    Password {
        is_finished: bool,
    },
    Devices,
}

impl Ask {
    /// The frame type that answers it.
    fn answer(&self) -> FrameType {
        match self {
            Self::Rooms => FrameType::RoomList,
            Self::Who(_) => FrameType::Members,
            Self::History(_) | Self::Search => FrameType::MessagePage,
            Self::Peer(_) => FrameType::PeerIntroduce,
            Self::Create(_) => FrameType::Joined,
            Self::Moderate(_) => FrameType::Moderated,
            Self::Reach => FrameType::Reached,
            Self::Govern => FrameType::Governed,
            Self::Inquire => FrameType::Report,
            Self::Password { .. } => FrameType::AccountReply,
            Self::Devices => FrameType::DeviceList,
        }
    }

    /// The room that it is about. The answer may name it by a number that is not known any more.
    pub(super) fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Who(room) | Self::History(room) | Self::Create(room) | Self::Moderate(room) => Some(room),
            Self::Rooms
            | Self::Search
            | Self::Peer(_)
            | Self::Reach
            | Self::Govern
            | Self::Inquire
            | Self::Password { .. }
            | Self::Devices => None,
        }
    }
}

/// The open requests of the present connection.
#[derive(Debug)]
pub(super) struct Requests {
    open: BTreeMap<RequestId, Ask>,
    max: usize,
}

impl Requests {
    pub(super) fn new(max: usize) -> Self {
        Self { open: BTreeMap::new(), max }
    }

    pub(super) fn open(&mut self, ask: Ask, out: &mut Outbox) -> Result<RequestId, RequestError> {
        if self.open.len() >= self.max {
            return Err(RequestError::TooMany { max: self.max });
        }
        let request = out.next_request();
        self.open.insert(request, ask);
        Ok(request)
    }

    /// What an answering frame answers. The request stays open while more pages follow.
    pub(super) fn answered(
        &mut self,
        request: RequestId,
        frame: FrameType,
        more: bool,
    ) -> Result<Ask, Violation> {
        let ask = self.open.get(&request).filter(|ask| ask.answer() == frame).cloned();
        if !more && ask.is_some() {
            self.open.remove(&request);
        }
        ask.ok_or(Violation::NoSuchRequest { frame, request })
    }

    /// Whether this request makes a room.
    pub(super) fn is_create(&self, request: RequestId) -> bool {
        matches!(self.open.get(&request), Some(Ask::Create(_)))
    }

    /// Ends a peer request; `None` when it is not open (any more).
    pub(super) fn close_peer(&mut self, request: RequestId) -> Option<Purpose> {
        match self.open.get(&request)? {
            &Ask::Peer(purpose) => {
                self.open.remove(&request);
                Some(purpose)
            }
            Ask::Rooms
            | Ask::Who(_)
            | Ask::History(_)
            | Ask::Search
            | Ask::Create(_)
            | Ask::Moderate(_)
            | Ask::Govern
            | Ask::Inquire
            | Ask::Password { .. }
            | Ask::Devices
            | Ask::Reach => None,
        }
    }

    /// Notes that the proof for a change of the password is on its way; `false` when no such request waits for it.
    pub(super) fn finish_password(&mut self, request: RequestId) -> bool {
        let waits = self.open.get_mut(&request).filter(|ask| **ask == Ask::Password { is_finished: false });
        waits.map(|ask| *ask = Ask::Password { is_finished: true }).is_some()
    }

    /// Forgets a change of the password whose proof was never sent.
    pub(super) fn forget_password(&mut self, request: RequestId) {
        if self.open.get(&request) == Some(&Ask::Password { is_finished: false }) {
            self.open.remove(&request);
        }
    }

    /// Ends a request with a refusal; `false` when it is not open.
    pub(super) fn refused(&mut self, request: RequestId, refusal: Refusal, out: &mut Outbox) -> bool {
        let Some(ask) = self.open.remove(&request) else { return false };
        out.emit(refused(request, &ask, refusal));
        true
    }

    /// The connection is gone, and the answers with it.
    pub(super) fn lost(&mut self, out: &mut Outbox) {
        for (request, ask) in core::mem::take(&mut self.open) {
            out.emit(refused(request, &ask, Refusal::ConnectionLost));
        }
    }
}

fn refused(request: RequestId, ask: &Ask, refusal: Refusal) -> Event {
    match ask {
        Ask::Create(room) => Event::JoinRefused { room: room.clone(), request: Some(request), refusal },
        Ask::Rooms
        | Ask::Who(_)
        | Ask::History(_)
        | Ask::Search
        | Ask::Moderate(_)
        | Ask::Govern
        | Ask::Inquire
        | Ask::Password { .. }
        | Ask::Devices
        | Ask::Reach => Event::Refused { request, refusal },
        Ask::Peer(_) => Event::PeerRequestClosed { request, refusal },
    }
}
