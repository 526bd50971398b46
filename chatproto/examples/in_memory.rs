//! A server and a client in one process, without a socket: the whole of embedding in one page.
//!
//! Run it with `cargo run -p chatproto --example in_memory`.

#![expect(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

use bytes::Buf as _;
use chatproto::Instant;
use chatproto::hub::{Accept, Config, Event as HubEvent, Hub, LogRequest, Stored};
use chatproto::session::{self, Event, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, Name, Note, ServerId, Text};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Instant::from_millis(0);
    let lobby = Name::new("lobby")?;
    let config = Config::new(ServerId([1; 16]), Note::new("demo")?, Note::new("none")?, lobby.clone());
    // A real program gives the system's randomness: introductions need secrets.
    let mut hub = Hub::new(config, [], |bytes: &mut [u8]| bytes.fill(0));
    let conn = hub.accept("127.0.0.1:50000".parse()?, now);

    let alice = session::Config::new(Name::new("alice")?, DeviceId([2; 16]));
    let mut alice = Session::new(alice, Restored::default(), 7, now);
    // Said before there is a connection: it waits, and is sent when there is one.
    alice.say(RoomKey::Room(lobby), &Text::new("hello, hub")?)?;

    let mut seq = 0;
    loop {
        // What sockets would do.
        let queue = alice.outgoing();
        hub.handle_input(conn, &queue.copy_to_bytes(queue.remaining()), now);
        if let Some(queue) = hub.outgoing(conn) {
            alice.handle_input(&queue.copy_to_bytes(queue.remaining()), now);
        }
        // What the server's program does: it knows the accounts, and keeps the log.
        while let Some(event) = hub.poll_event() {
            match event {
                HubEvent::LoginStarted { conn, user, .. } => {
                    let (ticket, data) = Default::default();
                    let accept =
                        Accept { user, is_admin: false, ticket, ticket_lifetime: Default::default(), data };
                    hub.login_accept(conn, &accept);
                }
                HubEvent::Log(LogRequest::Append { id, .. }) => {
                    seq += 1; // the log is durable from here on
                    hub.stored(id, Stored::Committed { seq, time: 0 });
                }
                other => println!("hub:   {other:?}"),
            }
        }
        // What the client's program does.
        while let Some(event) = alice.poll_event() {
            match event {
                Event::Connect => alice.connected(now),
                Event::LoginWanted { .. } => alice.login_one_way("none", b"")?,
                Event::Message { message, .. } => {
                    println!("alice: {:?} said {:?}, number {}", message.from, message.text, message.seq);
                    return Ok(());
                }
                other => println!("alice: {other:?}"),
            }
        }
    }
}
