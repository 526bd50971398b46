//! One TLS connection between plaintext and a socket.

use std::{
    fmt, io,
    io::{BufRead as _, IoSlice, Write as _},
    net::IpAddr,
};

use bytes::Buf;
use rustls::{ClientConnection, Connection, Error, ServerConnection, pki_types::ServerName};

use super::{ClientTls, PeerCertificate, Security, ServerTls, TlsInfo, complaint, verify};
use crate::CloseReason;

/// One TLS connection. Holds no plaintext longer than one call, and ciphertext up to its send limit.
pub(crate) struct Session {
    connection: Connection,
    /// Nothing was received yet: the first byte tells whether the other side speaks TLS at all.
    untouched: bool,
    /// The other side's hello was whole, and has its answer.
    answered: bool,
    /// The other side need not speak TLS.
    or_plain: bool,
    peer_closed: bool,
}

/// What a step of the handshake found in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Some,
    Blocked,
}

impl Session {
    /// The session for a connection to or from `peer`; `None` for a plain one.
    pub(crate) fn new(
        security: &Security,
        peer: IpAddr,
        send_limit: usize,
    ) -> Result<Option<Box<Self>>, CloseReason> {
        let or_plain = matches!(security, Security::TlsOrPlain(_));
        let mut connection = match security {
            Security::Plain => return Ok(None),
            Security::TlsServer(ServerTls(config)) | Security::TlsOrPlain(ServerTls(config)) => {
                ServerConnection::new(config.clone()).map(Connection::Server)
            }
            Security::TlsClient(ClientTls { config, name }) => {
                let name = name.clone().unwrap_or_else(|| ServerName::IpAddress(peer.into()));
                ClientConnection::new(config.clone(), name).map(Connection::Client)
            }
        }
        .map_err(|error| CloseReason::Tls(error.to_string()))?;
        connection.set_buffer_limit(Some(send_limit));
        Ok(Some(Box::new(Self {
            connection,
            untouched: true,
            answered: false,
            or_plain,
            peer_closed: false,
        })))
    }

    /// Whether the first byte decides if this is TLS.
    pub(crate) fn may_be_plain(&self) -> bool {
        self.or_plain
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether nothing was received yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// Whether the other side's hello was whole and has its answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Takes one read's worth of the handshake from the socket.
    pub(crate) fn read_handshake(&mut self, socket: &mut impl io::Read) -> Result<Received, CloseReason> {
        let mut first = FirstByte { inner: socket, seen: None };
        match self.connection.read_tls(&mut first) {
            Ok(0) => return Err(CloseReason::HandshakeCut),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Received::Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Blocked),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(CloseReason::HandshakeCut);
            }
            Err(error) => return Err(CloseReason::Lost(error)),
        }
        let foreign = self.untouched && first.seen.is_some_and(|byte| !RECORD_TYPES.contains(&byte));
        self.untouched = false;
        // Also when it is no TLS: what comes out is an alert that tells the other side.
        let outcome = self.process();
        self.answered |= self.connection.wants_write();
        if foreign { Err(CloseReason::NotTls) } else { outcome.map(|()| Received::Some) }
    }

    /// Takes what was read from the socket before the session existed.
    pub(crate) fn feed(&mut self, mut early: &[u8]) -> Result<(), CloseReason> {
        while !early.is_empty() {
            self.read_handshake(&mut early)?;
        }
        Ok(())
    }

    /// What the complete handshake established.
    pub(crate) fn info(&self) -> Result<TlsInfo, CloseReason> {
        let failed = |error: Error| CloseReason::Tls(error.to_string());
        let peer: Option<PeerCertificate> = match self.connection.peer_certificates() {
            Some([certificate, ..]) => Some(verify::names(certificate).map_err(failed)?),
            Some([]) | None => None,
        };
        let channel_binding = self
            .connection
            .export_keying_material([0_u8; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .map_err(failed)?;
        let key_exchange = self
            .connection
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name()));
        Ok(TlsInfo { peer, channel_binding, key_exchange })
    }

    /// Decrypts `received` and appends the plaintext, together with what the last step of the handshake left.
    /// Nothing complete stays behind.
    pub(crate) fn decrypt(&mut self, mut received: &[u8], plain: &mut Vec<u8>) -> Result<(), CloseReason> {
        self.take_plaintext(plain)?;
        while !received.is_empty() && !self.peer_closed {
            match self.connection.read_tls(&mut received) {
                Ok(0) => return Err(CloseReason::Tls("a record is too long".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(CloseReason::Tls(error.to_string())),
            }
            self.process()?;
            self.take_plaintext(plain)?;
        }
        Ok(())
    }

    /// Whether the other side has ended its direction with a close_notify.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Encrypts from `plain` what fits the send limit; returns the number of bytes taken.
    pub(crate) fn encrypt(&mut self, plain: &mut impl Buf) -> Result<usize, CloseReason> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let count = plain.chunks_vectored(&mut slices);
        let taken = self
            .connection
            .writer()
            .write_vectored(slices.get(..count).unwrap_or_default())
            .map_err(|error| CloseReason::Tls(error.to_string()))?;
        plain.advance(taken);
        Ok(taken)
    }

    /// Writes ciphertext, at most about `budget` bytes; returns how many. Stops early only when all is written.
    pub(crate) fn flush(&mut self, socket: &mut impl io::Write, budget: usize) -> io::Result<usize> {
        let mut written = 0;
        while self.connection.wants_write() && written < budget {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Whether ciphertext waits for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Ends our direction: a close_notify after all that was encrypted.
    pub(crate) fn close_notify(&mut self) {
        self.connection.send_close_notify();
    }

    fn process(&mut self) -> Result<(), CloseReason> {
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.peer_closed = state.peer_has_closed();
                Ok(())
            }
            Err(error) => Err(reason(&error)),
        }
    }

    fn take_plaintext(&mut self, plain: &mut Vec<u8>) -> Result<(), CloseReason> {
        let mut reader = self.connection.reader();
        loop {
            let taken = match reader.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(chunk) => {
                    plain.extend_from_slice(chunk);
                    chunk.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(CloseReason::Tls(error.to_string())),
            };
            reader.consume(taken);
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

/// Passes reads through and remembers the first byte.
struct FirstByte<'a, R> {
    inner: &'a mut R,
    seen: Option<u8>,
}

impl<R: io::Read> io::Read for FirstByte<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 && self.seen.is_none() {
            self.seen = buffer.first().copied();
        }
        Ok(count)
    }
}

fn reason(error: &Error) -> CloseReason {
    if let Some(refusal) = verify::refusal(error) {
        return refusal;
    }
    if let Error::AlertReceived(alert) = error {
        return CloseReason::RefusedByPeer(format!("alert {alert:?}"));
    }
    if let Some(complaint) = complaint::about(error) {
        return CloseReason::BadCertificate(complaint);
    }
    CloseReason::Tls(error.to_string())
}

/// Slices of one vectored write: the loop's bound for a system call, well below any system's own.
pub(crate) const MAX_SLICES: usize = 64;

/// Content types with which a TLS stream can begin: alert and handshake (RFC 8446, section 5.1).
const RECORD_TYPES: [u8; 2] = [0x15, 0x16];
