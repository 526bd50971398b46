//! From the server's hello to a login that stands.

use core::time::Duration;

use super::driver::{Ending, Retry};
use super::event::SecretBytes;
use super::state::{Destination, Turn};
use super::{Event, LoginError, LostReason, RoomKey, Session, State, Violation};
use crate::Instant;
use crate::conn::Stage;
use crate::wire::{
    Announce, Blob, CloseReason, Error, ErrorCode, FrameType, List, LoginOk, LoginResponse, LoginStart,
    MIN_FRAME, Note, NoteRef, Ping, ServerHello, VERSION,
};

/// Nonce of the ping whose answer tells that the server has named all conversations. Those for signs of life count from 1.
pub(super) const NAMES_TOLD: u64 = 0;

impl Session {
    /// Begins the login with one of the mechanisms offered and the mechanism's first bytes.
    ///
    /// The announcement goes with it, so that peers find this device from the first moment.
    ///
    /// The server must prove itself too: until [`respond`](Self::respond) says that its challenge was right, a
    /// `login_ok` is a violation. An impostor who skips the exchange hears nothing and is believed nothing.
    ///
    /// # Errors
    /// When it is not wanted now, the mechanism was not offered, or the bytes are too long.
    pub fn login(&mut self, mechanism: &str, data: &[u8]) -> Result<(), LoginError> {
        self.begin_login(mechanism, data, true)
    }

    /// Like [`login`](Self::login), for a mechanism that asks nothing of the server: whoever answers is believed.
    ///
    /// # Errors
    /// As [`login`](Self::login).
    pub fn login_one_way(&mut self, mechanism: &str, data: &[u8]) -> Result<(), LoginError> {
        self.begin_login(mechanism, data, false)
    }

    fn begin_login(&mut self, mechanism: &str, data: &[u8], is_mutual: bool) -> Result<(), LoginError> {
        if self.state != State::Choosing {
            return Err(LoginError::NotNow { state: self.state });
        }
        let mechanism = self.mechanisms.iter().find(|offered| *offered == mechanism);
        let mechanism = mechanism.ok_or(LoginError::NotOffered)?.clone();
        let data = Blob::new(data).map_err(LoginError::Data)?;
        self.turn(Turn::Begun);
        self.is_unproved = is_mutual;
        self.send_announcement();
        let (user, device) = (self.config.user.borrow(), self.config.device);
        self.out.send(&LoginStart { user, device, mechanism: mechanism.borrow(), data });
        Ok(())
    }

    /// Answers [`Event::Challenge`], which was right: the server may accept from now on.
    ///
    /// # Errors
    /// When no login is under way, or the bytes are too long.
    pub fn respond(&mut self, data: &[u8]) -> Result<(), LoginError> {
        if self.state != State::Proving {
            return Err(LoginError::NotNow { state: self.state });
        }
        let data = Blob::new(data).map_err(LoginError::Data)?;
        self.out.send(&LoginResponse { data });
        self.is_unproved = false;
        Ok(())
    }

    /// Gives the login up because the server's answer was wrong: a wrong password, or an impostor.
    ///
    /// # Errors
    /// When no login is under way.
    pub fn abandon_login(&mut self, now: Instant) -> Result<(), LoginError> {
        if !matches!(self.state, State::Choosing | State::Registering | State::Proving) {
            return Err(LoginError::NotNow { state: self.state });
        }
        self.close(CloseReason::LoginRefused, Ending::LoginFailed, now);
        self.out.emit(Event::LoginFailed { code: ErrorCode::LoginRefused, note: NoteRef::EMPTY.to_owned() });
        Ok(())
    }

    pub(super) fn send_announcement(&mut self) {
        if let Some(announcement) = &self.config.announcement {
            self.out.send(&Announce {
                port: announcement.port(),
                link_key: announcement.link_key(),
                candidates: List::new(announcement.candidates()),
            });
        }
    }

    pub(super) fn greeted(&mut self, hello: &ServerHello<'_>, now: Instant) -> Result<(), Violation> {
        if hello.version != VERSION {
            return Err(Violation::Version { found: hello.version });
        }
        if hello.max_frame < MIN_FRAME {
            let what = "`max_frame` is too small for the longest message";
            return Err(Violation::Content { frame: FrameType::ServerHello, what });
        }
        self.turn(Turn::Greeted);
        self.capabilities = self.config.capabilities.common(hello.capabilities);
        self.out.conn.deadlines.enter(Stage::Login, now);
        if self.server.replace(hello.server).is_some_and(|known| known != hello.server) {
            self.rooms.forget_cursors();
            self.out.emit(Event::NewLog { server: hello.server });
        }
        let mechanisms = hello.mechanisms.as_str().split(' ').filter(|mechanism| !mechanism.is_empty());
        self.mechanisms = mechanisms.map(|mechanism| NoteRef::truncated(mechanism).to_owned()).collect();
        self.out.emit(Event::LoginWanted {
            server: hello.server,
            agent: hello.agent.to_owned(),
            mechanisms: self.mechanisms.clone(),
        });
        Ok(())
    }

    pub(super) fn accepted(&mut self, ok: &LoginOk<'_>, now: Instant) -> Result<(), Violation> {
        if self.is_unproved {
            return Err(Violation::Unproved);
        }
        self.turn(Turn::Accepted);
        self.out.conn.deadlines.enter(Stage::Open, now);
        self.observed = Some(ok.observed.ip().to_canonical());
        let resumed = core::mem::replace(&mut self.was_ready, true);
        self.ready_since = Some(now);
        self.out.emit(Event::Ready {
            user: ok.user.to_owned(),
            default_room: ok.default_room.to_owned(),
            observed: ok.observed,
            resumed,
            ticket: SecretBytes::copied(ok.ticket.as_bytes()),
            ticket_lifetime: Duration::from_secs(ok.ticket_lifetime.into()),
            data: SecretBytes::copied(ok.data.as_bytes()),
        });
        // Only the first time: whoever has left the default room since does not want it back.
        if !resumed && self.config.rooms.is_none() {
            self.rooms.want(RoomKey::Room(ok.default_room.to_owned()));
        }
        self.rooms.ready(resumed, &mut self.out);
        if self.says.await_names() {
            // The answer follows what the server tells of conversations right after the login.
            self.out.send(&Ping { nonce: NAMES_TOLD });
        }
        self.says.flush(&mut self.out);
        Ok(())
    }

    /// An error frame before the login stands.
    pub(super) fn login_error(&mut self, error: &Error<'_>, now: Instant) {
        let (code, note) = (error.code, error.note.to_owned());
        if code == ErrorCode::Version {
            let reason = LostReason::Bye { reason: CloseReason::Violation, error: Some(code), note };
            self.lose(reason, Retry::Never, now);
        } else if is_final(code) {
            self.fail_login(code, note, now);
        } else {
            // The bye that follows says what comes of it.
            self.complaint = Some((code, note));
        }
    }

    pub(super) fn fail_login(&mut self, code: ErrorCode, note: Note, now: Instant) {
        self.end(Destination::Stopped, now);
        self.out.emit(Event::LoginFailed { code, note });
    }
}

/// Whether another attempt with the same ID, password and mechanism is of no use.
fn is_final(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::LoginRefused
            | E::UnknownMechanism
            | E::AccountRemoved
            | E::RegistrationClosed
            | E::NameTaken
            | E::BadInvite
            | E::TooManyAttempts
    )
}
