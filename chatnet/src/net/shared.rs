//! Ports that a listener and connections share, for ends that connect to each other at the same moment.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};

/// Callers that may wait to be accepted; the system may have a lower bound of its own.
const BACKLOG: i32 = 128;

/// A listener whose port can be shared.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = shared_socket(addr)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Begins to connect from an address and port that may be shared.
pub(super) fn connect(local: SocketAddr, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = shared_socket(addr)?;
    socket.bind(&local.into())?;
    match socket.connect(&addr.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn shared_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Only processes of the same user can share a port.
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

/// Whether a connection is only under way: what Unix says then has a kind without a stable name.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}
