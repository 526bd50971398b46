//! One connection: its socket, its TLS session, and what is known about their readiness.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
};

use bytes::Buf;
use mio::net::TcpStream;

use crate::{
    CloseReason, Write,
    tls::{MAX_SLICES, Received, Session},
};

/// One connection. Small, because thousands of them are idle: no buffer lives here.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    pub(super) tls: Option<Box<Session>>,
    pub(super) generation: u32,
    pub(super) phase: Phase,
    write_half: WriteHalf,
    /// The socket may have bytes: an edge came, and no read found it dry since.
    pub(super) readable: bool,
    /// The socket may have room: an edge came, and no write found it full since.
    pub(super) writable: bool,
    /// The other side has ended its direction of the socket, so that a short read does not mean a dry socket.
    pub(super) peer_shut: bool,
    /// The first byte decides whether this is TLS.
    pub(super) may_be_plain: bool,
    /// The program does not want to read.
    pub(super) paused: bool,
    /// The program was told that the other side has ended.
    pub(super) eof_told: bool,
    /// The program has bytes left from a blocked write and waits for `Writable`.
    pub(super) write_blocked: bool,
    /// On the still-ready list.
    pub(super) queued: bool,
    budget_turn: u64,
    read_left: usize,
    write_left: usize,
}

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The TCP connection is being made.
    Connecting,
    /// The TLS handshake is under way.
    Handshaking,
    /// The program reads and writes.
    Open,
    /// Closed for the program; the last bytes are on their way, and what still arrives is thrown away.
    Lingering {
        /// Told when it is over; `None` when the program knows already.
        reason: Option<CloseReason>,
        discard_left: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteHalf {
    Open,
    /// To be shut as soon as the TLS session is flushed.
    Ending,
    Shut,
}

/// The loop's buffers, shared by all of its connections.
#[derive(Debug)]
pub(super) struct Buffers {
    /// From the socket.
    pub(super) raw: Box<[u8]>,
    /// Decrypted from it.
    pub(super) plain: Vec<u8>,
}

/// Where the bytes of a read are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This many at the start of [`Buffers::raw`].
    Raw(usize),
    /// All of [`Buffers::plain`].
    Plain,
    Nothing,
    Eof,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { raw: vec![0; READ_SIZE].into_boxed_slice(), plain: Vec::with_capacity(READ_SIZE) }
    }
}

impl Conn {
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<Box<Session>>,
        generation: u32,
        connected: bool,
    ) -> Self {
        let phase = match (connected, &tls) {
            (false, _) => Phase::Connecting,
            (true, Some(_)) => Phase::Handshaking,
            (true, None) => Phase::Open,
        };
        let tls_or_plain = tls.as_ref().is_some_and(|tls| tls.may_be_plain());
        Self {
            stream,
            tls,
            generation,
            phase,
            write_half: WriteHalf::Open,
            readable: false,
            writable: connected,
            peer_shut: false,
            may_be_plain: tls_or_plain,
            paused: false,
            eof_told: false,
            write_blocked: false,
            queued: false,
            budget_turn: 0,
            read_left: 0,
            write_left: 0,
        }
    }

    /// Whether a step would get anywhere without a new edge from the socket.
    pub(super) fn has_work(&self) -> bool {
        let flush = self.writable && (self.unsent() || self.write_half == WriteHalf::Ending);
        match self.phase {
            Phase::Connecting => self.writable,
            Phase::Handshaking | Phase::Lingering { .. } => self.readable || flush,
            Phase::Open => self.wants_read() || flush || (self.writable && self.write_blocked),
        }
    }

    /// Whether the other side may have begun its handshake, and it was not its turn yet.
    pub(super) fn is_unheard(&self) -> bool {
        self.readable && self.tls.as_ref().is_some_and(|tls| tls.is_untouched())
    }

    /// Whether the program is to be told that it can read.
    pub(super) fn wants_read(&self) -> bool {
        self.readable && !self.paused && !self.eof_told
    }

    /// Whether encrypted bytes wait for the socket.
    pub(super) fn unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether both directions have ended.
    pub(super) fn is_finished(&self) -> bool {
        self.eof_told && self.write_half == WriteHalf::Shut
    }

    /// Whether our direction of the socket has ended.
    pub(super) fn has_shut_write(&self) -> bool {
        self.write_half == WriteHalf::Shut
    }

    /// Gives a turn's budgets, once a turn.
    pub(super) fn renew_budgets(&mut self, turn: u64, read: usize, write: usize) {
        if self.budget_turn != turn {
            self.budget_turn = turn;
            self.read_left = read;
            self.write_left = write;
        }
    }

    /// Whether the TCP connection stands. Readiness alone does not tell: it also comes for no reason.
    pub(super) fn check_connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stream.set_nodelay(true)?;
                self.phase = if self.tls.is_some() { Phase::Handshaking } else { Phase::Open };
                self.readable = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.writable = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Bounds what the system takes beyond what is on its way.
    pub(super) fn limit_unsent(&self, limit: Option<u32>) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(limit) = limit {
            // Without it the connection works all the same, and its queue is longer.
            let _ = socket2::SockRef::from(&self.stream).set_tcp_notsent_lowat(limit);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = limit;
    }

    /// Goes on with the TLS handshake as far as the socket allows; true when it is complete.
    pub(super) fn handshake(&mut self) -> Result<bool, CloseReason> {
        if self.may_be_plain && !self.decide()? {
            return Ok(false);
        }
        self.flush().map_err(CloseReason::Lost)?;
        let Some(tls) = &mut self.tls else { return Ok(true) };
        // A flight of the longest certificates takes a handful of reads; whoever sends more waits for the next turn.
        for _ in 0..MAX_HANDSHAKE_READS {
            if !tls.is_handshaking() || !self.readable {
                break;
            }
            if tls.read_handshake(&mut self.stream)? == Received::Blocked {
                self.readable = false;
            }
        }
        let complete = !tls.is_handshaking();
        self.flush().map_err(CloseReason::Lost)?;
        if complete {
            self.phase = Phase::Open;
            // The last read may have brought plaintext along, of which the socket will not tell.
            self.readable = true;
        }
        Ok(complete)
    }

    /// Looks at the first byte without taking it; true when it is known whether this is TLS. What begins with 0 is not.
    fn decide(&mut self) -> Result<bool, CloseReason> {
        let mut first = [0];
        match self.stream.peek(&mut first) {
            Ok(0) => return Err(CloseReason::HandshakeCut),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(CloseReason::Lost(error)),
        }
        self.may_be_plain = false;
        if first == [0] {
            self.tls = None;
            self.phase = Phase::Open;
            self.readable = true;
        }
        Ok(true)
    }

    /// Reads what is next for the program.
    pub(super) fn read(&mut self, buffers: &mut Buffers) -> Result<Found, CloseReason> {
        if self.eof_told {
            return Ok(Found::Eof);
        }
        if !self.readable || self.read_left == 0 {
            return Ok(Found::Nothing);
        }
        if self.tls.is_some() {
            return self.read_decrypted(buffers);
        }
        Ok(match self.read_socket(&mut buffers.raw)? {
            Socket::Bytes(count) => Found::Raw(count),
            Socket::Dry => Found::Nothing,
            Socket::End => {
                self.eof_told = true;
                Found::Eof
            }
        })
    }

    /// Takes from `bytes` what the socket, the TLS session and the turn's budget allow.
    pub(super) fn write(&mut self, bytes: &mut impl Buf) -> Result<Write, CloseReason> {
        if self.write_half != WriteHalf::Open {
            return Ok(Write::Closed);
        }
        while bytes.has_remaining() {
            match &mut self.tls {
                Some(tls) => {
                    tls.encrypt(bytes)?;
                    self.flush().map_err(CloseReason::Lost)?;
                }
                None => self.write_plain(bytes).map_err(CloseReason::Lost)?,
            }
            if bytes.has_remaining() && (!self.writable || self.write_left == 0) {
                self.write_blocked = true;
                return Ok(Write::Blocked);
            }
        }
        self.write_blocked = false;
        Ok(Write::Done)
    }

    /// Moves encrypted bytes to the socket, and ends our direction once they are all there if that is due.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls
            && self.writable
        {
            match tls.flush(&mut self.stream, self.write_left) {
                Ok(written) => self.write_left = self.write_left.saturating_sub(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        if self.write_half == WriteHalf::Ending && !self.unsent() {
            self.write_half = WriteHalf::Shut;
            // Fails only when the connection is broken, and then reading will tell better why.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Ends our direction after all that was written.
    pub(super) fn end_write(&mut self) -> io::Result<()> {
        if self.write_half == WriteHalf::Open {
            self.write_half = WriteHalf::Ending;
            self.write_blocked = false;
            if let Some(tls) = &mut self.tls {
                tls.close_notify();
            }
        }
        self.flush()
    }

    /// Goes on with [`Phase::Lingering`]; true when it is over, for better or worse.
    pub(super) fn linger(&mut self, buffers: &mut Buffers) -> bool {
        if self.flush().is_err() {
            return true;
        }
        while self.readable && self.read_left > 0 && !self.eof_told {
            match self.read_socket(&mut buffers.raw) {
                Ok(Socket::Bytes(count)) => {
                    let Phase::Lingering { discard_left, .. } = &mut self.phase else { return true };
                    *discard_left = discard_left.saturating_sub(count);
                    if *discard_left == 0 {
                        return true;
                    }
                }
                Ok(Socket::Dry) => {}
                Ok(Socket::End) => self.eof_told = true,
                Err(_) => return true,
            }
        }
        if self.eof_told {
            self.readable = false;
        }
        self.is_finished()
    }

    fn read_decrypted(&mut self, buffers: &mut Buffers) -> Result<Found, CloseReason> {
        let plain = &mut buffers.plain;
        plain.clear();
        let mut received = 0;
        loop {
            let Some(tls) = &mut self.tls else { return Ok(Found::Nothing) };
            tls.decrypt(buffers.raw.get(..received).unwrap_or_default(), plain)?;
            if tls.peer_closed() {
                // Of the end the socket may have told already, so it must be remembered until the program knows.
                self.readable = true;
                if plain.is_empty() {
                    self.eof_told = true;
                    return Ok(Found::Eof);
                }
            }
            if !plain.is_empty() {
                return Ok(Found::Plain);
            }
            if !self.readable || self.read_left == 0 {
                return Ok(Found::Nothing);
            }
            received = match self.read_socket(&mut buffers.raw)? {
                Socket::Bytes(count) => count,
                Socket::Dry => return Ok(Found::Nothing),
                Socket::End => return Err(CloseReason::Truncated),
            };
        }
    }

    fn read_socket(&mut self, raw: &mut [u8]) -> Result<Socket, CloseReason> {
        let wanted = self.read_left.min(raw.len());
        let Some(buffer) = raw.get_mut(..wanted) else { return Ok(Socket::Dry) };
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(Socket::End),
                Ok(count) => {
                    self.read_left -= count;
                    // A short read has emptied the socket: what comes later makes an edge of its own. Only the end
                    // may have been told before.
                    self.readable = count == wanted || self.peer_shut;
                    return Ok(Socket::Bytes(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(Socket::Dry);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CloseReason::Lost(error)),
            }
        }
    }

    fn write_plain(&mut self, bytes: &mut impl Buf) -> io::Result<()> {
        while bytes.has_remaining() && self.writable && self.write_left > 0 {
            let chunk = bytes.chunk();
            // One piece is the rule, and the system takes it for a tenth less than a list of one.
            let outcome = if chunk.len() == bytes.remaining() {
                self.stream.write(chunk)
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = bytes.chunks_vectored(&mut slices);
                self.stream.write_vectored(slices.get(..count).unwrap_or_default())
            };
            match outcome {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes.advance(written);
                    self.write_left = self.write_left.saturating_sub(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

enum Socket {
    Bytes(usize),
    Dry,
    End,
}

/// One read of the socket: a few full TLS records, and enough for a loopback stream to come in few calls.
const READ_SIZE: usize = 64 * 1024;

const MAX_HANDSHAKE_READS: usize = 16;
