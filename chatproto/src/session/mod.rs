//! The client's side of a server connection: one machine that lives across reconnects.
//!
//! A [`Session`] keeps what a person cares about (rooms, the last number seen in each, words that are not
//! acknowledged) while connections come and go below it. It does no I/O and reads no clock: the driver moves bytes,
//! tells the time and dials when asked.
//!
//! # Driving it
//!
//! After every call into the session, in any order and as often as one likes:
//!
//! - [`poll_event`](Session::poll_event) until it is empty; on [`Event::Connect`] dial, then call
//!   [`connected`](Session::connected) or [`connect_failed`](Session::connect_failed);
//! - write [`outgoing`](Session::outgoing), a [`bytes::Buf`], to the socket;
//! - set a timer to [`poll_timeout`](Session::poll_timeout) and call [`handle_timeout`](Session::handle_timeout) then;
//! - read only while [`wants_read`](Session::wants_read), into [`handle_input`](Session::handle_input);
//! - when [`is_finished`](Session::is_finished), close the socket if there is one, and call
//!   [`handle_eof`](Session::handle_eof) once it is closed.
//!
//! ```
//! use bytes::Buf as _;
//! use chatproto::Instant;
//! use chatproto::session::{Config, Event, Restored, RoomKey, Session};
//! use chatproto::wire::{DeviceId, Name, Text};
//!
//! let config = Config::new(Name::new("alice")?, DeviceId([7; 16]));
//! let now = Instant::from_millis(0);
//! let mut session = Session::new(config, Restored::default(), 1, now);
//!
//! // Words can be said at any time; they wait for the login.
//! let lobby = RoomKey::Room(Name::new("lobby")?);
//! assert_eq!(session.say(lobby, &Text::new("hello")?), Ok(1));
//!
//! assert_eq!(session.poll_event(), Some(Event::Connect));
//! session.connected(now);
//! assert!(session.outgoing().has_remaining(), "the hello waits to be sent");
//! # Ok::<(), chatproto::wire::WireError>(())
//! ```

mod account;
mod backoff;
mod config;
mod dispatch;
mod driver;
mod error;
mod event;
mod introductions;
mod key;
mod login;
mod memory;
mod offers;
mod outbox;
mod requests;
mod rooms;
mod says;
mod state;
mod verbs;
mod violation;

use alloc::vec::Vec;
use core::net::IpAddr;

pub use config::{Announcement, Backoff, Config, PendingSay, Restored};
pub use error::{
    AdmitError, AnnouncementError, JoinError, LeaveError, LoginError, PeerVerbError, RequestError, SayError,
};
pub use event::{
    ChatMessage, Decree, Event, LineInfo, LostReason, MemberInfo, Order, Refusal, RoomInfo, SecretBytes,
};
pub use introductions::Introduction;
pub use key::RoomKey;
pub use state::State;
pub use violation::Violation;

use self::backoff::Pauses;
use self::dispatch::Complaint;
use self::driver::Ending;
use self::introductions::Introductions;
use self::offers::Offers;
use self::outbox::Outbox;
use self::requests::Requests;
use self::rooms::Rooms;
use self::says::Says;
use crate::Instant;
use crate::conn::SendQueue;
use crate::wire::{Capabilities, MAX_FRAME, MIN_FRAME, Name, Note, ServerId};

/// The client's side of a server connection. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Session {
    config: Config,
    state: State,
    out: Outbox,
    /// Offline: when to dial. Connecting: until when. Not used elsewhere.
    until: Instant,
    /// What is told and where it leads, once the bye has left.
    ending: Ending,
    pauses: Pauses,
    /// Since when the present login stands.
    ready_since: Option<Instant>,
    /// Whether any login of this session succeeded.
    was_ready: bool,
    server: Option<ServerId>,
    /// What both sides can do, as of the last hello.
    capabilities: Capabilities,
    /// What the server offers, while the program chooses.
    mechanisms: Vec<Note>,
    /// A login is under way in which the server has to prove itself and has not.
    is_unproved: bool,
    /// The last complaint of the server about the connection itself.
    complaint: Option<Complaint>,
    pings: u64,
    rooms: Rooms,
    says: Says,
    requests: Requests,
    offers: Offers,
    introductions: Introductions,
    /// Where the server of the last login sees this device.
    observed: Option<IpAddr>,
}

impl Session {
    /// A session that wants to connect at once: its first event is [`Event::Connect`].
    ///
    /// `seed` is the only randomness: it spreads the pauses between attempts.
    #[must_use]
    pub fn new(mut config: Config, restored: Restored, seed: u64, now: Instant) -> Self {
        config.limits.max_frame = config.limits.max_frame.clamp(MIN_FRAME, MAX_FRAME);
        let mut rooms = Rooms::new(config.device, config.max_rooms);
        for (key, cursor) in restored.cursors {
            rooms.restore(key, cursor);
        }
        for name in config.rooms.iter().flatten() {
            rooms.want(RoomKey::Room(name.clone()));
        }
        let mut says = Says::new(&config, Pauses::new(config.backoff, !seed), restored.next_counter.max(1));
        for say in restored.pending {
            says.restore(say);
        }
        let mut session = Self {
            state: State::Offline,
            out: Outbox::new(&config.limits, now),
            until: now,
            ending: Ending::Stopped,
            pauses: Pauses::new(config.backoff, seed),
            ready_since: None,
            was_ready: false,
            server: restored.server,
            capabilities: Capabilities::NONE,
            mechanisms: Vec::new(),
            is_unproved: false,
            complaint: None,
            pings: 0,
            rooms,
            says,
            requests: Requests::new(config.max_requests),
            offers: Offers::new(config.max_offers),
            introductions: Introductions::new(config.max_introductions),
            observed: None,
            config,
        };
        session.dial(now);
        session
    }

    /// The next thing that happened, if anything did.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_state = match self.state {
            State::Offline | State::Connecting => Some(self.until),
            State::Hello
            | State::Choosing
            | State::Registering
            | State::Proving
            | State::Ready
            | State::Closing => Some(self.out.conn.deadlines.next(&self.config.limits)),
            State::Away | State::Stopped => None,
        };
        let others = [
            self.says.paused_until(),
            self.rooms.put_off(),
            self.offers.next_expiry(),
            self.introductions.next_timeout(),
        ];
        others.into_iter().flatten().chain(of_state).min()
    }

    /// What waits to be written to the socket.
    pub fn outgoing(&mut self) -> &mut SendQueue {
        &mut self.out.conn.queue
    }

    /// Whether the driver should read from the socket. False while the program is behind with the events.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.out.events.len() < self.config.max_events && self.out.unpolled < self.config.max_event_bytes
    }

    /// Whether the present socket, if there is one, is of no more use: close it, then call
    /// [`handle_eof`](Self::handle_eof).
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.state {
            State::Offline | State::Away | State::Stopped => true,
            State::Closing => self.out.conn.is_finished(),
            State::Connecting
            | State::Hello
            | State::Choosing
            | State::Registering
            | State::Proving
            | State::Ready => false,
        }
    }

    /// Where the session is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The account's ID as it was configured.
    #[must_use]
    pub fn user(&self) -> &Name {
        &self.config.user
    }

    /// What this client and the server of the last hello can both do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The rooms entered on the present connection, in the order of the server's numbers.
    pub fn joined(&self) -> impl Iterator<Item = &RoomKey> {
        self.rooms.joined()
    }

    /// What was said and is not acknowledged, in the order of the counters.
    pub fn pending(&self) -> impl Iterator<Item = &PendingSay> {
        self.says.pending()
    }

    /// The number that the next say will have.
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        self.says.next_counter()
    }

    /// All that a program must keep for the next run to go on from here. One that is older than the last
    /// [`say`](Self::say) that was sent loses words: see there.
    #[must_use]
    pub fn snapshot(&self) -> Restored {
        Restored {
            server: self.server,
            cursors: self.rooms.cursors().map(|(key, cursor)| (key.clone(), cursor)).collect(),
            next_counter: self.says.next_counter(),
            pending: self.says.pending().cloned().collect(),
        }
    }
}
