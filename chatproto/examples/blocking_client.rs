//! A client on `std::net` and nothing else: says one line in the lobby, and prints what is said there until it has
//! heard so many messages.
//!
//! ```sh
//! chatserver --listen 127.0.0.1:4848 --data /tmp/chat --insecure-plaintext &
//! echo secret | chatserver user add alice --data /tmp/chat --password-stdin
//! cargo run -p chatproto --features opaque --example blocking_client -- 127.0.0.1:4848 alice secret 1 "hello" # one
//! ```
//!
//! It speaks plaintext, which a server only does when told to. Put any TLS stream in the place of the `TcpStream`, and
//! its channel binding in the place of [`NO_CHANNEL`].

#![expect(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use bytes::Buf as _;
use chatproto::Instant;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::session::{Config, Event, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, Name, Text, escaped};

/// What ties the login to the channel: nothing, for plaintext.
const NO_CHANNEL: &[u8] = b"";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password, count, text] = &args[..] else {
        return Err("usage: blocking_client ADDR USER PASSWORD COUNT TEXT".into());
    };
    let mut client = Client::connect(server, user, password)?;
    client.session.say(RoomKey::Room(Name::new("lobby")?), &Text::new(text)?)?;
    for _ in 0..count.parse()? {
        let (from, text) = client.next_message()?;
        println!("{}: {}", escaped(from.as_str()), escaped(text.as_str()));
    }
    client.quit()
}

/// A session and the socket that it uses, with blocking calls.
struct Client {
    session: Session,
    stream: TcpStream,
    user: String,
    password: String,
    login: Option<ClientLogin>,
    started: Clock,
}

impl Client {
    fn connect(server: &str, user: &str, password: &str) -> Result<Self, Box<dyn Error>> {
        let mut device = [0; 16];
        // A program that lives longer keeps the id of its device, and the counter of its messages.
        chatproto::opaque::RngCore::fill_bytes(&mut OsRng, &mut device);
        let config = Config::new(Name::new(user)?, DeviceId(device));
        let session = Session::new(config, Restored::default(), 1, Instant::default());
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let (user, password) = (user.to_owned(), password.to_owned());
        Ok(Self { session, stream, user, password, login: None, started: Clock::now() })
    }

    /// Waits for the next message of any room.
    fn next_message(&mut self) -> Result<(Name, Text), Box<dyn Error>> {
        loop {
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Message { message, .. } => return Ok((message.from, message.text)),
                    event => self.on_event(event)?,
                }
            }
            self.move_bytes()?;
        }
    }

    /// Says bye and waits until it has left.
    fn quit(mut self) -> Result<(), Box<dyn Error>> {
        let now = self.now();
        self.session.quit(now);
        while !self.session.is_finished() {
            self.move_bytes()?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        match event {
            Event::Connect => self.session.connected(self.now()),
            Event::LoginWanted { .. } => {
                let (login, request) = ClientLogin::start(Password::new(&self.password)?, &mut OsRng)?;
                self.login = Some(login);
                self.session.login(MECHANISM, &request)?;
            }
            Event::Challenge { data } => {
                let login = self.login.take().ok_or("a challenge without a login")?;
                let (proof, _) = login.finish(&data, &self.user, NO_CHANNEL, &mut OsRng)?;
                self.session.respond(&proof)?;
            }
            Event::LoginFailed { code, .. } => return Err(code.meaning().into()),
            Event::SayRefused { code, .. } => return Err(code.meaning().into()),
            Event::Lost { reason, .. } => return Err(format!("the connection was lost: {reason:?}").into()),
            _ => {}
        }
        Ok(())
    }

    /// Sends all that waits, then waits for bytes or for the session's next deadline.
    fn move_bytes(&mut self) -> Result<(), Box<dyn Error>> {
        let queue = self.session.outgoing();
        while queue.has_remaining() {
            let sent = self.stream.write(queue.chunk())?;
            queue.advance(sent);
        }
        let wait = self.session.poll_timeout().map(|at| at.since(self.now()).max(Duration::from_millis(1)));
        self.stream.set_read_timeout(wait)?;
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.session.handle_eof(self.now()),
            Ok(len) => self.session.handle_input(buffer.get(..len).unwrap_or_default(), self.now()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                self.session.handle_timeout(self.now());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
    }
}
