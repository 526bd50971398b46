//! Either end of a direct link: lists, transfers, chat.
//!
//! Two clients that were introduced by their server connect, and from then on both ends are alike: each serves the
//! folders it shares, fetches from the other, and talks. The server is not needed any more.
//!
//! A [`Peer`] does no I/O. The driver hands it what arrives ([`handle_input`](Peer::handle_input),
//! [`handle_eof`](Peer::handle_eof)) and the time ([`handle_timeout`](Peer::handle_timeout) when
//! [`poll_timeout`](Peer::poll_timeout) says so), sends what [`outgoing`](Peer::outgoing) holds, and stops reading while
//! [`wants_read`](Peer::wants_read) is `false`. The program reacts to [`poll_event`](Peer::poll_event) and calls the
//! plain verbs. Poll events after each of these, also after bytes were sent: that is when more file data is wanted.
//!
//! What needs a disk leaves as an event ([`ListWanted`](Event::ListWanted), [`FileWanted`](Event::FileWanted),
//! [`UnitWanted`](Event::UnitWanted), [`FileData`](Event::FileData), [`FileUnit`](Event::FileUnit)) and comes back as a
//! verb whenever it is done; meanwhile the link goes on. A transfer may have ended by then, also between two polls: a verb
//! that answers too late returns an error that says so, changes nothing, and the event that ended the transfer follows.
//!
//! # Example
//!
//! Two ends in memory: alice dials bob, and says hello.
//!
//! ```
//! use bytes::Buf as _;
//! use chatproto::Instant;
//! use chatproto::peer::{Config, Event, Introduction, Peer};
//! use chatproto::wire::{DeviceId, LinkTicket, Name, Note, OfferId, Purpose, Text};
//!
//! let now = Instant::from_millis(0);
//! let config = |name, device| -> Result<Config, chatproto::wire::WireError> {
//!     Ok(Config::new(Name::new(name)?, DeviceId([device; 16]), Note::new("example 1.0")?))
//! };
//! let introduction = Introduction {
//!     offer: OfferId(7),
//!     ticket: LinkTicket([9; 32]),
//!     purpose: Purpose::Files,
//!     peer: Name::new("bob")?,
//!     device: DeviceId([2; 16]),
//! };
//! let mut alice = Peer::dial(config("alice", 1)?, introduction, now);
//! let mut bob = Peer::listen(config("bob", 2)?, now);
//!
//! let mut heard = None;
//! while heard.is_none() {
//!     // What a socket would do.
//!     let queue = alice.outgoing();
//!     bob.handle_input(&queue.copy_to_bytes(queue.remaining()), now);
//!     let queue = bob.outgoing();
//!     alice.handle_input(&queue.copy_to_bytes(queue.remaining()), now);
//!
//!     while let Some(event) = alice.poll_event() {
//!         if let Event::Open { user, .. } = event {
//!             assert_eq!(user.as_str(), "bob");
//!             alice.say(&Text::new("hello")?)?;
//!         }
//!     }
//!     while let Some(event) = bob.poll_event() {
//!         match event {
//!             // Bob's program compares the ticket with what his server told him.
//!             Event::Hello { ticket, .. } if ticket == LinkTicket([9; 32]) => bob.admit(now)?,
//!             Event::Said { text, .. } => heard = Some(text),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(heard.unwrap().as_str(), "hello");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod chat;
mod config;
mod error;
mod event;
mod link;
mod lists;
mod memory;
mod outflow;
mod pace;
mod receive;
mod send;
mod state;
#[cfg(test)]
mod tests;
mod unit;
mod violation;
mod window;

use alloc::collections::VecDeque;
use alloc::string::ToString as _;

pub use config::{Config, Introduction};
pub use error::{
    FetchError, ListError, NoHello, PaceError, ProvideListError, SayError, SendFileError, TransferError,
    UnitError, ValuesError,
};
pub use event::{Closed, Event};
pub use lists::{Item, ListId, ListedEntry};
pub use send::{FileInfo, UnitData, Wanted};
pub use state::State;
pub use unit::{Part, Resume};
pub use violation::{ListFault, TransferFault, Violation};

use chat::Chat;
use link::Remote;
use lists::{Asked, Served};
use outflow::Outflow;
use receive::Downloads;
use send::Uploads;
use state::Step;

use crate::Instant;
use crate::conn::{Conn, Due, FrameReader, SendQueue, Stage};
use crate::wire::{
    Bye, Capabilities, CloseReason, Error, ErrorCode, FrameType, MAX_HELLO_FRAME, MIN_FRAME, MIN_UNIT_LOG2,
    Note, Ping, Pong, RawFrame, ToPeer,
};

/// Events for which there is room even when there are none.
const KEEP_EVENTS: usize = 64;

/// One end of a direct link.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    state: State,
    conn: Conn,
    remote: Remote,
    /// What both ends can do, once the link stands.
    capabilities: Capabilities,
    /// Longest frame that this end accepts now.
    max_frame_in: u32,
    /// Longest frame that the other end accepts.
    max_frame_out: usize,
    chat: Chat,
    asked: Asked,
    served: Served,
    downloads: Downloads,
    uploads: Uploads,
    outflow: Outflow,
    /// The last error frame that was about no request: most often it explains the bye that follows.
    last_error: Option<(ErrorCode, Note)>,
    pings: u64,
    events: VecDeque<Event>,
    /// Bytes of input that came since the program had polled everything.
    unpolled: usize,
}

impl Peer {
    /// The end that dialled: says hello at once.
    #[must_use]
    pub fn dial(config: Config, introduction: Introduction, now: Instant) -> Self {
        let mut peer = Self::new(config, State::AwaitWelcome, now);
        peer.say_hello(introduction);
        peer
    }

    /// The end that was dialled: waits for the hello.
    #[must_use]
    pub fn listen(config: Config, now: Instant) -> Self {
        Self::new(config, State::AwaitHello, now)
    }

    fn new(config: Config, state: State, now: Instant) -> Self {
        let config = config.in_range();
        // Odd numbers belong to the side that dialled.
        let (own, other) = if state == State::AwaitWelcome { (1, 0) } else { (2, 1) };
        Self {
            conn: Conn::new(&config.limits, now),
            config,
            state,
            remote: Remote::Unknown,
            capabilities: Capabilities::NONE,
            max_frame_in: MAX_HELLO_FRAME,
            max_frame_out: usize::try_from(MIN_FRAME).unwrap_or(usize::MAX),
            chat: Chat::default(),
            asked: Asked::default(),
            served: Served::default(),
            downloads: Downloads::new(own),
            uploads: Uploads::new(other),
            outflow: Outflow::new(now),
            last_error: None,
            pings: 0,
            events: VecDeque::new(),
            unpolled: 0,
        }
    }

    /// How far the link has come.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes what arrived. Any split of the stream gives the same events.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        // Frames borrow from the reader, so it steps out of the machine while they are handled.
        let mut reader = core::mem::replace(&mut self.conn.reader, FrameReader::new(0));
        let mut rest = bytes;
        self.outflow.set_time(now);
        self.unpolled = if self.events.is_empty() { 0 } else { self.unpolled }.saturating_add(bytes.len());
        // Each round takes a frame out of the input.
        while self.state != State::Closed {
            let outcome = match reader.step(rest) {
                Ok(step) => {
                    rest = rest.get(step.used..).unwrap_or_default();
                    let Some(raw) = step.frame else { break };
                    self.handle_frame(raw, now)
                }
                Err(error) => Err(error.into()),
            };
            if let Err(violation) = outcome.and_then(|()| self.check_backlog()) {
                self.break_off(violation, now);
            }
            reader.set_max_frame(self.max_frame_in);
        }
        self.conn.reader = reader;
    }

    /// The other side closed the connection, or it failed. Nothing can be sent any more.
    pub fn handle_eof(&mut self, now: Instant) {
        let in_frame = self.conn.reader.buffered() > 0;
        self.end(Closed::Eof { in_frame }, now);
        self.conn.close(CloseReason::Done, "");
        self.conn.queue.clear();
    }

    /// Does what is due. May be called at any time. A driver that sends files should call it before it answers
    /// [`UnitWanted`](Event::UnitWanted): how long data takes counts from the latest time that this end was told.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outflow.set_time(now);
        match self.conn.deadlines.check(&self.config.limits, now) {
            None => {}
            Some(Due::Ping) => {
                self.pings += 1;
                self.conn.send(&Ping { nonce: self.pings });
            }
            Some(Due::Handshake | Due::Login) => self.time_out(CloseReason::HandshakeTimeout, now),
            // Who does not listen cannot say that nothing was heard.
            Some(Due::Idle) if !self.wants_read() => self.conn.deadlines.heard(now),
            Some(Due::Idle) => self.time_out(CloseReason::Idle, now),
            Some(Due::Close) => self.conn.queue.clear(),
        }
    }

    /// The next event, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.unpolled = 0;
            self.events.shrink_to(KEEP_EVENTS);
        }
        event.or_else(|| self.next_unit_wanted())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_finished()).then(|| self.conn.deadlines.next(&self.config.limits))
    }

    /// What is to be sent. Taking part of it is fine.
    pub fn outgoing(&mut self) -> &mut SendQueue {
        &mut self.conn.queue
    }

    /// Whether to read on: `false` while the program is behind with storing or with polling events.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.state == State::Closed
            || (self.events.len() < self.config.max_events
                && self.unpolled < self.config.max_event_bytes
                && self.downloads.wants_data(self.config.max_unstored))
    }

    /// Whether the link has ended and all that was to be sent was taken: time to close the connection.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Closed && self.conn.is_finished()
    }

    /// Ends the link with a bye. What was queued before it still goes out, except file data.
    pub fn close(&mut self, reason: CloseReason, now: Instant) {
        if self.state != State::Closed {
            self.conn.close(reason, "");
            self.end(Closed::Local, now);
        }
    }

    fn handle_frame(&mut self, raw: RawFrame<'_>, now: Instant) -> Result<(), Violation> {
        let decoded = ToPeer::decode(raw)?;
        if !decoded.is_some_and(|frame| self.was_asked_for(&frame)) && !self.conn.budget.spend(now) {
            return Err(Violation::Flood { max: self.config.limits.max_frames });
        }
        self.conn.deadlines.heard(now);
        let Some(frame) = decoded else { return Ok(()) };
        if !self.state.allows(&frame) {
            return Err(Violation::WrongState { frame: frame.frame_type(), state: self.state });
        }
        match frame {
            ToPeer::Ping(Ping { nonce }) => self.conn.send(&Pong { nonce }),
            ToPeer::Pong(pong) => self.on_pong(pong),
            ToPeer::Bye(bye) => self.on_bye(&bye, now),
            ToPeer::Error(error) => self.on_error(&error),
            ToPeer::LinkHello(hello) => self.on_hello(&hello)?,
            ToPeer::LinkWelcome(welcome) => self.on_welcome(&welcome, now)?,
            ToPeer::LinkSay(say) => self.on_say(&say)?,
            ToPeer::LinkSaid(said) => self.on_said(said)?,
            ToPeer::List(list) => self.on_list(&list)?,
            ToPeer::ListPage(page) => self.on_list_page(&page)?,
            ToPeer::FileRequest(request) => self.on_file_request(request)?,
            ToPeer::FileHead(head) => self.on_head(&head)?,
            ToPeer::FileData(data) => self.on_data(&data)?,
            ToPeer::FileUnit(unit) => self.on_unit(unit)?,
            ToPeer::FileEnd(end) => self.on_end(end)?,
            ToPeer::FileCancel(cancel) => self.on_cancel(cancel)?,
            ToPeer::FileQueued(queued) => self.on_queued(queued)?,
            ToPeer::FileDone(done) => self.on_done(done)?,
            ToPeer::FilePause(pause) => self.on_pause(FrameType::FilePause, pause.transfer, true)?,
            ToPeer::FileResume(resume) => self.on_pause(FrameType::FileResume, resume.transfer, false)?,
            ToPeer::FileRate(rate) => {
                self.events.push_back(Event::RateWanted { bytes_per_second: rate.bytes_per_second })
            }
            ToPeer::UnitRequest(request) => self.on_unit_request(request)?,
            ToPeer::FileValues(values) => self.on_values(&values)?,
        }
        Ok(())
    }

    /// Whether a frame is the answer to something and costs its sender as much as us: it is then bounded by what was
    /// asked, and does not spend the budget, so that a fast transfer is not taken for a flood. Data in crumbs is.
    fn was_asked_for(&self, frame: &ToPeer<'_>) -> bool {
        match frame {
            ToPeer::FileHead(head) => self.downloads.is_open(head.transfer),
            ToPeer::FileData(data) => {
                data.data.0.len() >= 1 << MIN_UNIT_LOG2 && self.downloads.is_open(data.transfer)
            }
            ToPeer::FileUnit(unit) => self.downloads.is_open(unit.transfer),
            ToPeer::FileValues(values) => {
                values.values.0.len() >= 1 << MIN_UNIT_LOG2 && self.downloads.is_open(values.transfer)
            }
            ToPeer::FileEnd(end) => self.downloads.is_open(end.transfer),
            ToPeer::FileDone(done) => self.uploads.is_open(done.transfer),
            ToPeer::Ping(_)
            | ToPeer::Pong(_)
            | ToPeer::Bye(_)
            | ToPeer::Error(_)
            | ToPeer::LinkHello(_)
            | ToPeer::LinkWelcome(_)
            | ToPeer::LinkSay(_)
            | ToPeer::LinkSaid(_)
            | ToPeer::List(_)
            | ToPeer::ListPage(_)
            | ToPeer::FileRequest(_)
            | ToPeer::FileCancel(_)
            | ToPeer::FileQueued(_)
            | ToPeer::FilePause(_)
            | ToPeer::FileResume(_)
            | ToPeer::FileRate(_)
            | ToPeer::UnitRequest(_) => false,
        }
    }

    fn on_bye(&mut self, bye: &Bye<'_>, now: Instant) {
        let (code, explained) = self.last_error.take().unzip();
        let note = explained.filter(|_| bye.note.as_str().is_empty()).unwrap_or_else(|| bye.note.to_owned());
        // A frame that has begun is finished, or the bye would be read as the rest of it.
        self.conn.close(CloseReason::Done, "");
        self.end(Closed::Bye { reason: bye.reason, code, note }, now);
    }

    fn on_error(&mut self, error: &Error<'_>) {
        let about_list = error.about == FrameType::List.number();
        if !(about_list && self.on_list_refused(error.request, error.code)) {
            self.last_error = Some((error.code, error.note.to_owned()));
        }
    }

    fn time_out(&mut self, reason: CloseReason, now: Instant) {
        self.conn.close(reason, "");
        self.end(Closed::Timeout(reason), now);
    }

    /// Tells the other end which rule it broke, and ends the link.
    fn break_off(&mut self, violation: Violation, now: Instant) {
        self.conn.send_error(violation.code(), violation.about(), 0, &violation.to_string());
        self.conn.close(violation.close_reason(), "");
        self.end(Closed::Violation(violation), now);
    }

    /// Fails what is open, says why, and lets the last bytes leave. The first reason stays.
    fn end(&mut self, reason: Closed, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        let (code, local) = (reason.transfer_code(), reason.is_local());
        let lists = self.asked.drain().map(|request| Event::ListRefused { request, code });
        let downloads = self.downloads.drain().map(|transfer| Event::FileFailed { transfer, code, local });
        let uploads = self.uploads.drain().map(|transfer| Event::SendStopped { transfer, code });
        self.events.extend(lists.chain(downloads).chain(uploads));
        self.events.push_back(Event::Closed { reason });
        self.served.clear();
        self.outflow.clear();
        self.state = self.state.after(Step::Ended);
        self.conn.deadlines.enter(Stage::Closing, now);
    }

    fn check_open(&self) -> Result<(), State> {
        if self.state == State::Open { Ok(()) } else { Err(self.state) }
    }

    /// Bytes that wait to be sent, without file data.
    fn chat_waiting(&self) -> usize {
        self.conn.queue.len() - self.conn.queue.bulk_len()
    }
}
