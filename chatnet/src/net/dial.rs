//! Dialled connections.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::net::TcpStream;

use super::{Net, too_many};
use crate::{ConnToken, Security, tls::Session};

/// How to dial.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What to speak.
    pub security: Security,
    /// Time until [`NetEvent::Connected`](crate::NetEvent::Connected), with the TLS handshake.
    pub timeout: Duration,
}

impl Net {
    /// Starts to connect to `addr`. The outcome comes as [`NetEvent::Connected`](crate::NetEvent::Connected) or
    /// [`NetEvent::Closed`](crate::NetEvent::Closed). Name lookup is the program's, as it may take seconds.
    ///
    /// # Errors
    /// When no connection can be started at all: `QuotaExceeded` at
    /// [`max_connections`](crate::NetConfig::max_connections), or what the system says at once, for instance that
    /// there is no route.
    pub fn connect(&mut self, addr: SocketAddr, options: ConnectOptions) -> io::Result<ConnToken> {
        if self.connections() >= self.config.max_connections {
            return Err(too_many());
        }
        let tls = Session::new(&options.security, addr.ip(), self.send_limit()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(addr)?;
        self.admit(stream, tls, false, Some(Instant::now() + options.timeout), addr)
    }
}
