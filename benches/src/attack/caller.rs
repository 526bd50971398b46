//! One connection of an attacker: what it says, and how it ends.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};
use chatnet::Security;
use chatproto::conn::FrameReader;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::wire::{
    Blob, Body as _, Capabilities, ClientHello, CloseReason, DeviceId, ErrorCode, LoginResponse, LoginStart,
    MAGIC, MAX_FRAME, NameRef, NoteRef, ToClient, VERSION,
};

use crate::subject::account_name;

/// One connection.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) out: BytesMut,
    since: Option<Instant>,
    reader: FrameReader,
    /// Whose password it guesses.
    user: Option<String>,
    end: End,
    dripped: usize,
    is_poked: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It never stood.
    Failed,
    /// Without a byte.
    Unanswered,
    /// The server never had it: its system had no room for it, and has not told.
    Unknown,
    /// It is to come back later.
    Busy,
    /// Wrong ID or password.
    Refused,
    /// Too many wrong passwords.
    TooMany,
    /// With any other answer.
    Answered,
}

/// Accounts whose passwords are guessed; those beyond the few that there are do not exist.
const VICTIMS: u64 = 16;

/// A wrong password's answer to the challenge: as long as a right one.
const WRONG: [u8; 64] = [0x5a; 64];

impl Caller {
    /// One that says nothing by itself.
    pub(super) fn mute() -> Self {
        Self {
            out: BytesMut::new(),
            since: None,
            reader: FrameReader::new(MAX_FRAME),
            user: None,
            end: End::Failed,
            dripped: 0,
            is_poked: false,
        }
    }

    /// One that guesses a password.
    pub(super) fn guesser(number: u64) -> Self {
        let victim = usize::try_from(number % VICTIMS).unwrap_or(0);
        Self { user: Some(account_name(victim)), ..Self::mute() }
    }

    pub(super) fn connected(&mut self) {
        self.since = Some(Instant::now());
        self.end = End::Unanswered;
        if self.user.is_some() {
            hello().encode_frame(&mut self.out);
        }
    }

    /// Says a byte after all, long after every deadline: a connection that only this end believes in ends by that.
    pub(super) fn poke(&mut self) {
        if !self.is_poked {
            self.is_poked = true;
            // If the server knows it after all, then from now on.
            self.since = Some(Instant::now());
            self.out.put_u8(0);
        }
    }

    /// How long it has been connected.
    pub(super) fn stay(&self, now: Instant) -> Option<Duration> {
        self.since.map(|since| now.saturating_duration_since(since))
    }

    pub(super) fn end(&self) -> End {
        if self.is_poked && self.end == End::Unanswered { End::Unknown } else { self.end }
    }

    /// One byte more, of something that begins as it should.
    pub(super) fn drip(&mut self, security: &Security) {
        if self.since.is_none() {
            return;
        }
        let hello = hello().to_bytes();
        let script: &[u8] = if matches!(security, Security::Plain) { &hello } else { &TLS_BEGIN };
        self.out.put_u8(script.get(self.dripped).copied().unwrap_or(0));
        self.dripped += 1;
    }

    /// Takes what the server says; true when there is nothing more to come.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> bool {
        self.end = if self.end == End::Unanswered { End::Answered } else { self.end };
        loop {
            // An alert of TLS is no frame, and an answer all the same.
            let Ok(step) = self.reader.step(bytes) else { return false };
            bytes = bytes.get(step.used..).unwrap_or_default();
            let Some(raw) = step.frame else { return false };
            let frame = ToClient::decode(raw).ok().flatten();
            if let Some(ToClient::ServerHello(_)) = frame {
                login(self.user.as_deref(), &mut self.out);
            } else if let (Some(ToClient::LoginChallenge(_)), Ok(data)) = (&frame, Blob::new(&WRONG)) {
                LoginResponse { data }.encode_frame(&mut self.out);
            } else if let Some(ToClient::Error(error)) = frame {
                let is_flood = error.code == ErrorCode::TooManyAttempts;
                self.end = if is_flood { End::TooMany } else { End::Refused };
                return self.user.is_some();
            } else if let Some(ToClient::Bye(bye)) = frame
                && bye.reason == CloseReason::Busy
            {
                self.end = End::Busy;
            }
        }
    }
}

fn login(user: Option<&str>, out: &mut BytesMut) {
    let Some(user) = user.and_then(|user| NameRef::new(user).ok()) else { return };
    let Ok(password) = Password::new("a guess") else { return };
    let Ok((_, request)) = ClientLogin::start(password, &mut OsRng) else { return };
    if let (Ok(mechanism), Ok(data)) = (NoteRef::new(MECHANISM), Blob::new(&request)) {
        LoginStart { user, device: DeviceId([0x66; 16]), mechanism, data }.encode_frame(out);
    }
}

fn hello() -> ClientHello<'static> {
    ClientHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: Capabilities::NONE,
        max_frame: MAX_FRAME,
        agent: NoteRef::EMPTY,
    }
}

/// How a TLS handshake begins: a record of 512 bytes, of which the rest comes as zeros, if at all.
const TLS_BEGIN: [u8; 5] = [0x16, 0x03, 0x01, 0x02, 0x00];
