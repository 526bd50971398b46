//! The floor: the least that a server has to do so that everybody in a room gets everything.
//!
//! A message is a big-endian `u32` length and that many bytes. What arrives in one turn of the loop is put together
//! once, and written to every member with one system call, straight from where it was put together. There is no login,
//! no order but that of arrival, no log, no promise: whoever does more is measured by how much more it costs.
//!
//! Every connection is a member at once, and is greeted with one byte, so that it knows.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// The kind of the greeting: the first byte of a message.
pub const GREETING: u8 = 0;

/// The kind of what members say.
pub const SAID: u8 = 1;

/// Longest message, in bytes. Answers a stream that is no stream of messages.
const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes that may wait for one member; whoever reads less is cut.
const MAX_PENDING: usize = 64 * 1024 * 1024;

/// Bytes read at once, and from one member in one turn at most four times as many.
const READ_SIZE: usize = 64 * 1024;
const READS_PER_TURN: usize = 4;

const MAX_EVENTS: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

/// Runs the floor until the last member has gone. Says `listening on ADDR` on standard output first.
///
/// # Errors
/// When the system refuses the listener or the poll.
pub fn run(listen: SocketAddr) -> io::Result<()> {
    let mut floor = Floor::listen(listen)?;
    let mut out = io::stdout();
    writeln!(out, "listening on {}", floor.listener.local_addr()?)?;
    out.flush()?;
    let mut events = Events::with_capacity(MAX_EVENTS);
    loop {
        floor.turn(&mut events)?;
        if floor.had_members && floor.members.is_empty() {
            return Ok(());
        }
    }
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    members: Slab<Member>,
    had_members: bool,
    buffer: Box<[u8]>,
    /// What arrived in this turn, whole messages.
    batch: Vec<u8>,
    /// Members that had more to read than one turn allows.
    unread: Vec<usize>,
}

struct Member {
    stream: TcpStream,
    /// The beginning of a message whose rest has not arrived.
    partial: Vec<u8>,
    /// What the socket did not take, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
}

impl Floor {
    fn listen(addr: SocketAddr) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(addr)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            members: Slab::new(),
            had_members: false,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            batch: Vec::new(),
            unread: Vec::new(),
        })
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = (!self.unread.is_empty()).then_some(std::time::Duration::ZERO);
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for slot in std::mem::take(&mut self.unread) {
            self.read(slot);
        }
        for event in events.iter() {
            let Token(slot) = event.token();
            if event.token() == LISTENER {
                self.accept()?;
                continue;
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(slot);
            }
            if event.is_writable() {
                self.keep_if(slot, Member::flush);
            }
        }
        self.broadcast();
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.members.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let slot = entry.key();
            entry.insert(Member { stream, partial: Vec::new(), pending: Vec::new(), sent: 0 });
            self.had_members = true;
            self.keep_if(slot, |member| member.send(&[0, 0, 0, 1, GREETING]));
        }
    }

    fn read(&mut self, slot: usize) {
        for _ in 0..READS_PER_TURN {
            let Some(member) = self.members.get_mut(slot) else { return };
            let taken = match member.stream.read(&mut self.buffer) {
                Ok(0) => false,
                Ok(count) => {
                    let taken = member.take(self.buffer.get(..count).unwrap_or_default(), &mut self.batch);
                    if taken && count < READ_SIZE {
                        // The socket is dry; what comes later makes an edge of its own.
                        return;
                    }
                    taken
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            };
            if !taken {
                self.members.remove(slot);
                return;
            }
        }
        self.unread.push(slot);
    }

    /// One write for every member.
    fn broadcast(&mut self) {
        if !self.batch.is_empty() {
            let batch = &self.batch;
            self.members.retain(|_, member| member.send(batch));
            self.batch.clear();
        }
    }

    fn keep_if(&mut self, slot: usize, act: impl FnOnce(&mut Member) -> bool) {
        if self.members.get_mut(slot).is_some_and(|member| !act(member)) {
            self.members.remove(slot);
        }
    }
}

impl Member {
    /// Appends the whole messages of what arrived to `batch`; `false` if it is no stream of messages.
    fn take(&mut self, received: &[u8], batch: &mut Vec<u8>) -> bool {
        if self.partial.is_empty() {
            let Some(whole) = whole_messages(received) else { return false };
            let (whole, rest) = received.split_at(whole);
            batch.extend_from_slice(whole);
            self.partial.extend_from_slice(rest);
            return true;
        }
        self.partial.extend_from_slice(received);
        let Some(whole) = whole_messages(&self.partial) else { return false };
        batch.extend(self.partial.drain(..whole));
        true
    }

    /// Sends `bytes` after what waits; `false` if the member is to be cut.
    fn send(&mut self, bytes: &[u8]) -> bool {
        if !self.pending.is_empty() {
            if self.sent > self.pending.len() / 2 {
                self.pending.drain(..self.sent);
                self.sent = 0;
            }
            self.pending.extend_from_slice(bytes);
            return self.pending.len() <= MAX_PENDING;
        }
        match write(&mut self.stream, bytes) {
            Ok(written) => {
                self.pending.extend_from_slice(bytes.get(written..).unwrap_or_default());
                true
            }
            Err(_) => false,
        }
    }

    /// Sends what waits, as far as the socket takes it.
    fn flush(&mut self) -> bool {
        let waiting = self.pending.get(self.sent..).unwrap_or_default();
        let Ok(written) = write(&mut self.stream, waiting) else { return false };
        self.sent += written;
        if self.sent == self.pending.len() {
            self.pending.clear();
            self.sent = 0;
        }
        true
    }
}

/// Writes until the socket is full; returns how many bytes it took.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Bytes of the whole messages at the start of `bytes`; `None` for one that is too long.
fn whole_messages(bytes: &[u8]) -> Option<usize> {
    let mut whole = 0;
    while let Some(length) = bytes.get(whole..).and_then(<[u8]>::first_chunk::<4>) {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE {
            return None;
        }
        let end = whole + 4 + length;
        if end > bytes.len() {
            break;
        }
        whole = end;
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_are_counted_and_a_cut_one_is_left() {
        assert_eq!(whole_messages(b""), Some(0));
        assert_eq!(whole_messages(b"\0\0\0\x02hi\0\0\0\x01"), Some(6));
        assert_eq!(whole_messages(b"\0\0\0\x02hi\0\0\0\x01!"), Some(11));
        assert_eq!(whole_messages(b"\x7f\0\0\x02hi"), None);
    }
}
