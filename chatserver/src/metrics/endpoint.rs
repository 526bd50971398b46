//! The thread that answers `GET /metrics`, and nothing else: one caller at a time, so many bytes, so long. A caller that
//! is slow or silent delays the next caller and never the chat.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use chatnet::MailSender;
use crossbeam_channel::{Sender, bounded};

use crate::exit::Failure;

/// The longest request that is read, in bytes: a scraper sends a few hundred.
const MAX_REQUEST: usize = 8 * 1024;

/// Bytes that are read and thrown away after the answer.
const MAX_DISCARDED: usize = 64 * 1024;

/// Time that one caller has for its request and for taking the answer.
const CALLER_TIMEOUT: Duration = Duration::from_secs(2);

/// Time that the loop has to compose the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause after the system refused to accept, for instance for lack of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// A question to the loop: the text of the metrics as they are now.
pub(crate) type Question = Sender<String>;

/// The listening socket, before its thread is started.
#[derive(Debug)]
pub(crate) struct Endpoint {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Endpoint {
    /// Listens on `addr`; callers wait until [`start`](Self::start).
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn bind(addr: SocketAddr) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("cannot serve metrics on {addr}"), error);
        let listener = TcpListener::bind(addr).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr })
    }

    /// The address with the real port.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers callers with what the loop says, until the process ends.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(self, questions: MailSender<Question>) -> Result<(), Failure> {
        let serve = move || {
            loop {
                match self.listener.accept() {
                    // What goes wrong with a caller is the caller's loss: it asks again in some seconds.
                    Ok((stream, _)) => drop(serve_one(stream, &questions)),
                    Err(error) => {
                        tracing::warn!(%error, "no metrics for now");
                        thread::sleep(ACCEPT_RETRY);
                    }
                }
            }
        };
        thread::Builder::new()
            .name("metrics".into())
            .spawn(serve)
            .map(drop)
            .map_err(|error| Failure::new("cannot start the metrics thread", error))
    }
}

fn serve_one(mut stream: TcpStream, questions: &MailSender<Question>) -> io::Result<()> {
    let deadline = Instant::now() + CALLER_TIMEOUT;
    let mut request = Vec::new();
    let (status, body) = match read_head(&mut stream, &mut request, deadline)? {
        Head::TooLong => ("431 Request Header Fields Too Large", "the request is too long\n".into()),
        Head::Whole => answer(&request, questions),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    write_all(&mut stream, &[head.as_bytes(), body.as_bytes()].concat(), deadline)?;
    discard(&mut stream, deadline)
}

/// Reads what is left of the request, so that the answer is not destroyed by a reset.
fn discard(stream: &mut TcpStream, deadline: Instant) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut buffer = [0; 1024];
    for _ in 0..MAX_DISCARDED / buffer.len() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        if stream.read(&mut buffer)? == 0 {
            break;
        }
    }
    Ok(())
}

enum Head {
    Whole,
    TooLong,
}

/// Reads up to the empty line that ends a request's head.
fn read_head(stream: &mut TcpStream, request: &mut Vec<u8>, deadline: Instant) -> io::Result<Head> {
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST {
            return Ok(Head::TooLong);
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    Ok(Head::Whole)
}

fn answer(request: &[u8], questions: &MailSender<Question>) -> (&'static str, String) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics")) => match ask(questions) {
            Some(text) => ("200 OK", text),
            None => ("503 Service Unavailable", "the server is busy or shutting down\n".into()),
        },
        (Some(b"GET"), _) => ("404 Not Found", "there is only /metrics\n".into()),
        _ => ("405 Method Not Allowed", "only GET\n".into()),
    }
}

fn ask(questions: &MailSender<Question>) -> Option<String> {
    let (question, answer) = bounded(1);
    questions.try_send(question).ok()?;
    answer.recv_timeout(ANSWER_TIMEOUT).ok()
}

fn write_all(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let written = stream.write(bytes)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// The time that is left; a socket's timeout must not be zero.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
