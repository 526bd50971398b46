//! Dialled connections.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use mio::net::TcpStream;

use super::{Alarm, Net, Phase, shared, too_many};
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

    /// As [`connect`](Self::connect), from a port of this machine, which a listener of
    /// [`listen_shared`](Self::listen_shared) and other connections may have too; 0 lets the system choose. With this,
    /// two ends can connect to each other at the same moment. Either role of TLS will do.
    ///
    /// # Errors
    /// As `connect`, and when the port cannot be had.
    pub fn connect_from(
        &mut self,
        port: u16,
        addr: SocketAddr,
        options: ConnectOptions,
    ) -> io::Result<ConnToken> {
        let any: IpAddr =
            if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        self.connect_between(SocketAddr::new(any, port), addr, options)
    }

    /// As [`connect_from`](Self::connect_from), from one of this machine's addresses; `local` is of the same family as `addr`.
    ///
    /// # Errors
    /// As `connect_from`, and when this machine does not have that address.
    pub fn connect_between(
        &mut self,
        local: SocketAddr,
        addr: SocketAddr,
        options: ConnectOptions,
    ) -> io::Result<ConnToken> {
        if self.connections() >= self.config.max_connections {
            return Err(too_many());
        }
        let tls = Session::new(&options.security, addr.ip(), self.send_limit()).map_err(io::Error::other)?;
        let stream = shared::connect(local, addr)?;
        self.admit(stream, tls, false, Some(Instant::now() + options.timeout), addr)
    }

    /// Begins TLS on a plain connection that is open, for instance once something in between has been told whom to
    /// connect. `early` is what was read of the other side's TLS already. What follows is as after a dial:
    /// [`NetEvent::Connected`](crate::NetEvent::Connected) once more, or `Closed`.
    ///
    /// # Errors
    /// `NotConnected` when the connection is not open, `InvalidInput` when it is not plain, and what TLS says of `early`,
    /// after which the connection is of no use.
    pub fn start_tls(&mut self, token: ConnToken, options: &ConnectOptions, early: &[u8]) -> io::Result<()> {
        let limit = self.send_limit();
        let Some(conn) = self.conn_mut(token).filter(|conn| matches!(conn.phase, Phase::Open)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let peer = conn.stream.peer_addr()?;
        let session = Session::new(&options.security, peer.ip(), limit).map_err(io::Error::other)?;
        let (Some(mut session), None) = (session, &conn.tls) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        session.feed(early).map_err(io::Error::other)?;
        conn.tls = Some(session);
        conn.phase = Phase::Handshaking;
        // The client's first flight waits to be sent, and the answer to `early`.
        conn.readable = true;
        self.handshakes += 1;
        self.timers.set(Alarm::Conn(token), Instant::now() + options.timeout);
        self.enqueue(token);
        Ok(())
    }
}
