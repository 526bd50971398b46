//! What the driver calls: the connection's life, input, time.

use core::time::Duration;

use super::state::{Destination, Turn};
use super::{Event, LostReason, Session, State, Violation};
use crate::Instant;
use crate::conn::{Conn, Due, FrameReader, Stage};
use crate::wire::{
    ClientHello, CloseReason, FrameType, MAGIC, MAX_HELLO_FRAME, Ping, RawFrame, ToClient, VERSION,
};

/// What the end of a connection means, decided when it begins to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Comes back by itself.
    Lost(LostReason),
    /// The program was told that the login failed.
    LoginFailed,
    /// Left for a direct link.
    Away,
    /// Left for a direct link, and wanted back before the bye had left.
    Back,
    /// The program has finished.
    Stopped,
}

/// Whether and when the session comes back after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// After the next pause, and not before the server's advice.
    After(Duration),
    /// Only when the program asks for it.
    Never,
}

impl Session {
    /// The driver has a connection (after TLS, where that is used). Ignored unless [`Event::Connect`] asked for one
    /// and the attempt still counts; [`is_finished`](Self::is_finished) tells.
    pub fn connected(&mut self, now: Instant) {
        if !self.turn(Turn::Connected) {
            return;
        }
        self.out.conn = Conn::new(&self.config.limits, now);
        self.out.send(&ClientHello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: self.config.capabilities,
            max_frame: self.config.limits.max_frame,
            agent: self.config.agent.borrow(),
        });
    }

    /// The driver could not connect.
    pub fn connect_failed(&mut self, now: Instant) {
        if self.state == State::Connecting {
            self.lose(LostReason::Unreachable, Retry::After(Duration::ZERO), now);
        }
    }

    /// Bytes from the server.
    pub fn handle_input(&mut self, mut input: &[u8], now: Instant) {
        if !self.state.reads() {
            return;
        }
        self.out.conn.deadlines.heard(now);
        self.out.heard(input.len());
        // Frames borrow from the reader while the rest of the session works on them.
        let mut reader = core::mem::replace(&mut self.out.conn.reader, FrameReader::new(MAX_HELLO_FRAME));
        while self.state.reads() {
            let step = match reader.step(input) {
                Ok(step) => step,
                Err(error) => {
                    self.violated(error.into(), now);
                    break;
                }
            };
            input = input.get(step.used..).unwrap_or_default();
            let Some(raw) = step.frame else { break };
            if let Err(violation) = self.handle_raw(raw, now) {
                self.violated(violation, now);
            }
            if self.state == State::Choosing {
                reader.set_max_frame(self.config.limits.max_frame);
            }
        }
        self.out.conn.reader = reader;
        self.check_queue(now);
    }

    fn handle_raw(&mut self, raw: RawFrame<'_>, now: Instant) -> Result<(), Violation> {
        // Messages have no budget: catching up is fast on purpose, and `wants_read` is their brake.
        let counts = raw.number != FrameType::Messages.number();
        if counts && !self.out.conn.budget.spend(now) {
            return Err(Violation::Flood);
        }
        let Some(frame) = ToClient::decode(raw)? else { return Ok(()) };
        if !self.state.accepts(&frame) {
            return Err(Violation::State { frame: frame.frame_type(), state: self.state });
        }
        self.handle_frame(&frame, now)
    }

    /// The connection has ended: closed by the server, failed, or closed by the driver after
    /// [`is_finished`](Self::is_finished).
    pub fn handle_eof(&mut self, now: Instant) {
        if self.state == State::Closing {
            self.finish(now);
        } else if self.state.reads() {
            let cut = self.out.conn.reader.buffered();
            self.lose(LostReason::Closed { cut }, Retry::After(Duration::ZERO), now);
        }
    }

    /// Does what is due. Calls at any other time are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Offline if now >= self.until => self.dial(now),
            State::Connecting if now >= self.until => self.connect_failed(now),
            State::Hello
            | State::Choosing
            | State::Registering
            | State::Proving
            | State::Ready
            | State::Closing => self.handle_due(now),
            State::Offline | State::Connecting | State::Away | State::Stopped => {}
        }
        self.says.resume(now, &mut self.out);
        if self.state == State::Ready {
            self.rooms.resume(now, &mut self.out);
        }
        self.offers.expire(now, &mut self.out);
        self.introductions.handle_timeout(now, &mut self.out);
        self.check_queue(now);
    }

    fn handle_due(&mut self, now: Instant) {
        let Some(due) = self.out.conn.deadlines.check(&self.config.limits, now) else { return };
        let stage = match due {
            Due::Ping => {
                self.pings = self.pings.wrapping_add(1);
                return self.out.send(&Ping { nonce: self.pings });
            }
            Due::Close => return self.finish(now),
            Due::Handshake => Stage::Handshake,
            Due::Login => Stage::Login,
            Due::Idle => Stage::Open,
        };
        // A server that says nothing hears no goodbye either.
        self.lose(LostReason::Timeout(stage), Retry::After(Duration::ZERO), now);
    }

    /// Ends a connection whose server asks and asks (for pongs) and does not read.
    fn check_queue(&mut self, now: Instant) {
        if self.state.reads() && self.out.conn.queue.len() > self.config.limits.max_queue_hard {
            self.lose(LostReason::TooSlow, Retry::After(Duration::ZERO), now);
        }
    }

    /// Asks the driver to dial.
    pub(super) fn dial(&mut self, now: Instant) {
        if self.turn(Turn::Dial) {
            self.until = now + self.config.connect_timeout;
            self.out.emit(Event::Connect);
        }
    }

    /// Makes a turn if there is such a way from here.
    pub(super) fn turn(&mut self, turn: Turn) -> bool {
        let next = self.state.after(turn);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    fn violated(&mut self, violation: Violation, now: Instant) {
        // A frame handled before may have ended the connection already.
        if self.state.reads() {
            let note = alloc::format!("{violation}");
            self.out.conn.send_error(violation.code(), violation.about(), 0, &note);
            self.close(CloseReason::Violation, Ending::Lost(LostReason::Violation(violation)), now);
        }
    }

    /// Says bye; the rest follows when it has left, or when that takes too long.
    pub(super) fn close(&mut self, reason: CloseReason, ending: Ending, now: Instant) {
        if self.turn(Turn::Close) {
            self.out.conn.close(reason, "");
            self.out.conn.deadlines.enter(Stage::Closing, now);
            self.ending = ending;
        }
    }

    /// The bye has left, or could not.
    fn finish(&mut self, now: Instant) {
        match core::mem::replace(&mut self.ending, Ending::Stopped) {
            Ending::Lost(reason) => self.lose(reason, Retry::After(Duration::ZERO), now),
            Ending::LoginFailed => self.end(Destination::Stopped, now),
            Ending::Away => self.go_away(now),
            Ending::Back => {
                self.go_away(now);
                self.dial(now);
            }
            Ending::Stopped => self.stop(now),
        }
    }

    pub(super) fn go_away(&mut self, now: Instant) {
        self.end(Destination::Away, now);
        self.out.emit(Event::Away);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.end(Destination::Stopped, now);
        self.out.emit(Event::Stopped);
    }

    /// The connection, or the attempt to make one, is gone.
    pub(super) fn lose(&mut self, reason: LostReason, retry: Retry, now: Instant) {
        let retry_in = match retry {
            Retry::After(advised) => {
                self.end(Destination::Offline, now);
                let pause = self.pauses.next(advised);
                self.until = now + pause;
                Some(pause)
            }
            Retry::Never => {
                self.end(Destination::Stopped, now);
                None
            }
        };
        self.out.emit(Event::Lost { reason, retry_in });
    }

    /// Forgets what belonged to the connection and tells what ends with it.
    pub(super) fn end(&mut self, destination: Destination, now: Instant) {
        if self.ready_since.take().is_some_and(|since| now.since(since) >= self.config.backoff.stable) {
            self.pauses.reset();
        }
        self.turn(Turn::Ended(destination));
        self.out.conn.queue.clear();
        self.mechanisms.clear();
        self.complaint = None;
        self.says.lost();
        self.rooms.lost(&mut self.out);
        self.requests.lost(&mut self.out);
        self.offers.lost(&mut self.out);
        self.introductions.cut();
    }
}
