//! A bot that answers `!time`, on tokio: the machines do not care which runtime drives them.
//!
//! ```sh
//! cargo run -p chatproto --features opaque --example time_bot -- 127.0.0.1:4848 bot secret
//! ```
//!
//! It speaks plaintext, like `blocking_client`, and comes back by itself when the server has been away.

#![expect(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

use std::error::Error;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, BytesMut};
use chatproto::Instant;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password, RngCore as _};
use chatproto::session::{Config, Event, Restored, Session};
use chatproto::wire::{DeviceId, Name, Text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the bot answers to.
const QUESTION: &str = "!time";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password] = &args[..] else { return Err("usage: time_bot ADDR USER PASSWORD".into()) };

    let mut device = [0; 16];
    OsRng.fill_bytes(&mut device);
    let config = Config::new(Name::new(user)?, DeviceId(device));
    let started = Clock::now();
    let now = || Instant::from_millis(started.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
    let mut session = Session::new(config, Restored::default(), OsRng.next_u64(), now());
    let mut socket: Option<TcpStream> = None;
    let mut login = None;
    let mut input = BytesMut::with_capacity(16 * 1024);

    loop {
        while let Some(event) = session.poll_event() {
            match event {
                Event::Connect => match TcpStream::connect(server).await {
                    Ok(stream) => {
                        socket = Some(stream);
                        session.connected(now());
                    }
                    Err(_) => session.connect_failed(now()),
                },
                Event::LoginWanted { .. } => {
                    let (state, request) = ClientLogin::start(Password::new(password)?, &mut OsRng)?;
                    login = Some(state);
                    session.login(MECHANISM, &request)?;
                }
                Event::Challenge { data } => {
                    let state = login.take().ok_or("a challenge without a login")?;
                    let (proof, _) = state.finish(&data, user, b"", &mut OsRng)?;
                    session.respond(&proof)?;
                }
                Event::LoginFailed { code, .. } => return Err(code.meaning().into()),
                Event::Joined { room, .. } => println!("{user} is in the {}", room.name().as_str()),
                // The account is gone, or the server speaks another version: nothing comes of trying again.
                Event::Lost { retry_in: None, reason } => {
                    return Err(format!("not tried again: {reason:?}").into());
                }
                Event::Lost { .. } => socket = None,
                Event::Message { message, missed: false } if message.text.as_str() == QUESTION => {
                    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
                    let answer = format!("{}: {seconds} seconds since 1970", message.from.as_str());
                    // When too much waits to be said already, somebody plays with the bot.
                    if let Err(error) = session.say(message.room, &Text::new(&answer)?) {
                        eprintln!("not answered: {error}");
                    }
                }
                _ => {}
            }
        }
        let wait = session.poll_timeout().map_or(Duration::MAX, |at| at.since(now()));
        tokio::select! {
            // Without a connection, only the next attempt is waited for.
            moved = move_bytes(&mut socket, &mut session, &mut input) => match moved {
                Ok(0) | Err(_) => session.handle_eof(now()),
                Ok(_) => session.handle_input(&input.split(), now()),
            },
            () = tokio::time::sleep(wait) => session.handle_timeout(now()),
        }
    }
}

/// Sends what waits, then waits for input. Safe to drop at any point: what was sent is taken off the queue at once.
async fn move_bytes(
    socket: &mut Option<TcpStream>,
    session: &mut Session,
    input: &mut BytesMut,
) -> std::io::Result<usize> {
    let Some(socket) = socket else { return std::future::pending().await };
    let queue = session.outgoing();
    while queue.has_remaining() {
        let sent = socket.write(queue.chunk()).await?;
        queue.advance(sent);
    }
    socket.read_buf(input).await
}
