//! One member: how it gets in, and what it hears. Everybody's bytes pass through here, so it does as little as it can.

use bytes::BytesMut;
use chatproto::conn::FrameReader;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::ticket;
use chatproto::wire::{
    Blob, Body, Capabilities, ClientHello, DeviceId, FrameType, Join, Leave, LoginResponse, LoginStart,
    MAGIC, MAX_FRAME, MESSAGE_MISSED, Messages, Name, NoteRef, Pong, RawFrame, RequestId, RoomId, Say,
    Target, TextRef, ToClient, VERSION, Who,
};

use crate::Failure;
use crate::floor;
use crate::payload::Stamp;
use crate::roster::Roster;
use crate::subject::{Account, PASSWORD, Ticket};

/// One connection to the subject.
#[derive(Debug)]
pub struct Member {
    /// What it has to send.
    pub out: BytesMut,
    /// Messages that it has heard.
    pub heard: u64,
    /// Those of them that came from the log, because it was too slow for the live ones.
    pub missed: u64,
    reader: FrameReader,
    guest: Guest,
}

/// How a member gets in.
#[derive(Debug)]
enum Guest {
    Floor { is_in: bool },
    Chat(Box<ChatGuest>),
}

#[derive(Debug)]
struct ChatGuest {
    user: Name,
    device: DeviceId,
    /// It logs in with this instead of the password.
    ticket: Option<Ticket>,
    task: Task,
    binding: Vec<u8>,
    login: Option<ClientLogin>,
    default_room: Option<Name>,
    room: RoomId,
    /// Number of the last message that it has.
    last: u64,
    counter: u64,
    is_settled: bool,
    /// Who is in the room, if it looks.
    roster: Option<Roster>,
}

/// What a member does once it is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Nothing, until it is told to enter.
    Wait,
    /// Enters the default room.
    Enter,
}

impl Member {
    /// A member of the floor.
    #[must_use]
    pub fn of_floor() -> Self {
        Self::new(Guest::Floor { is_in: false })
    }

    /// Member `number` of the server: with the device of the account's ticket, or else with one of its own.
    #[must_use]
    pub fn of_server(account: &Account, number: u64, task: Task) -> Self {
        let mut device = [0; 16];
        device[..8].copy_from_slice(&number.to_be_bytes());
        let device = account.ticket.as_ref().map_or(DeviceId(device), |ticket| ticket.device);
        Self::new(Guest::Chat(Box::new(ChatGuest {
            user: account.name.clone(),
            device,
            ticket: account.ticket.clone(),
            task,
            binding: Vec::new(),
            login: None,
            default_room: None,
            room: RoomId(0),
            last: 0,
            counter: 0,
            is_settled: false,
            roster: None,
        })))
    }

    fn new(guest: Guest) -> Self {
        Self { out: BytesMut::new(), heard: 0, missed: 0, reader: FrameReader::new(MAX_FRAME), guest }
    }

    /// The connection stands; `binding` ties a login to its channel, and is empty for a plain one.
    pub fn connected(&mut self, binding: &[u8]) {
        match &mut self.guest {
            Guest::Floor { .. } => {}
            Guest::Chat(guest) => {
                guest.binding = binding.to_vec();
                ClientHello {
                    magic: MAGIC,
                    version_min: VERSION,
                    version_max: VERSION,
                    capabilities: Capabilities::NONE,
                    max_frame: MAX_FRAME,
                    agent: NoteRef::EMPTY,
                }
                .encode_frame(&mut self.out);
            }
        }
    }

    /// Whether what it was told to do is done: it is logged in, or hears everything that is said in the room from now
    /// on, or has left.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match &self.guest {
            Guest::Floor { is_in } => *is_in,
            Guest::Chat(guest) => guest.is_settled,
        }
    }

    /// Enters the default room after a login in which it was to [wait](Task::Wait), and looks who is there from then on.
    pub fn enter(&mut self) {
        if let Guest::Chat(guest) = &mut self.guest {
            guest.roster = Some(Roster::default());
            guest.enter(&mut self.out);
        }
    }

    /// Leaves the room again.
    pub fn leave(&mut self) {
        if let Guest::Chat(guest) = &mut self.guest {
            guest.is_settled = false;
            Leave { room: guest.room }.encode_frame(&mut self.out);
        }
    }

    /// Who is in the room, if it [looks](Self::enter).
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        match &self.guest {
            Guest::Floor { .. } => None,
            Guest::Chat(guest) => guest.roster.as_ref(),
        }
    }

    /// Says a text of `len` bytes.
    ///
    /// # Errors
    /// When the protocol does not allow such a text.
    pub fn say(&mut self, stamp: Stamp, len: usize) -> Result<(), Failure> {
        match &mut self.guest {
            Guest::Floor { .. } => {
                let length = u32::try_from(len + 1).map_err(|error| Failure::new("say a text", error))?;
                self.out.extend_from_slice(&length.to_be_bytes());
                self.out.extend_from_slice(&[floor::SAID]);
                stamp.write(len, &mut self.out);
            }
            Guest::Chat(guest) => {
                let mut text = Vec::with_capacity(len);
                stamp.write(len, &mut text);
                let text = str::from_utf8(&text).map_err(|error| Failure::new("say a text", error))?;
                let text = TextRef::new(text).map_err(|error| Failure::new("say a text", error))?;
                guest.counter += 1;
                Say { counter: guest.counter, target: Target::Id(guest.room), text }
                    .encode_frame(&mut self.out);
            }
        }
        Ok(())
    }

    /// Takes what arrived, and calls `hear` with the stamp of every message in it.
    ///
    /// # Errors
    /// When the subject breaks off, refuses something, or breaks the order: nothing that is measured then means
    /// anything.
    pub fn take(&mut self, mut bytes: &[u8], mut hear: impl FnMut(Stamp)) -> Result<(), Failure> {
        loop {
            let step = self.reader.step(bytes).map_err(|error| Failure::new("read a frame", error))?;
            bytes = bytes.get(step.used..).unwrap_or_default();
            let Some(raw) = step.frame else { return Ok(()) };
            let mut count = |Heard { stamp, missed }| {
                self.heard += 1;
                self.missed += u64::from(missed);
                hear(stamp);
            };
            match &mut self.guest {
                Guest::Floor { is_in } => floor_frame(is_in, raw)?.into_iter().for_each(count),
                Guest::Chat(guest) if raw.number == FrameType::Messages.number() => {
                    guest.on_messages(raw.body, &mut count)?;
                }
                Guest::Chat(guest) => guest.on_frame(raw, &mut self.out)?,
            }
        }
    }
}

struct Heard {
    stamp: Stamp,
    missed: bool,
}

fn floor_frame(is_in: &mut bool, raw: RawFrame<'_>) -> Result<Option<Heard>, Failure> {
    if raw.number == floor::GREETING {
        *is_in = true;
        return Ok(None);
    }
    let stamp =
        Stamp::read(raw.body).ok_or_else(|| Failure::new("hear a message", "it was changed on its way"))?;
    Ok(Some(Heard { stamp, missed: false }))
}

impl ChatGuest {
    /// Looks at the fields that matter where they are (PROTOCOL.md: `messages`), instead of decoding a frame that was
    /// validated by the server and that nobody will read.
    fn on_messages(&mut self, body: &[u8], mut hear: impl FnMut(Heard)) -> Result<(), Failure> {
        const WHAT: &str = "hear messages";
        let (head, runs) =
            body.split_first_chunk::<HEAD_LEN>().ok_or_else(|| Failure::new(WHAT, "they are too short"))?;
        let [_, _, _, _, seq @ ..] = head;
        let seq = seq.first_chunk().map_or(0, |seq| u64::from_be_bytes(*seq));
        let missed = head.get(FLAGS_AT).is_some_and(|flags| flags & MESSAGE_MISSED != 0);
        if seq != self.last + 1 {
            return Err(Failure::new(WHAT, format!("number {seq} came after {}", self.last)));
        }
        if self.last == 0 {
            check_layout(body, runs)?;
        }
        for text in (Texts { runs, said: &[] }) {
            let stamp = Stamp::read(text).ok_or_else(|| Failure::new(WHAT, "one was changed on its way"))?;
            self.last += 1;
            hear(Heard { stamp, missed });
        }
        Ok(())
    }

    fn on_frame(&mut self, raw: RawFrame<'_>, out: &mut BytesMut) -> Result<(), Failure> {
        let frame = ToClient::decode(raw).map_err(|error| Failure::new("read a frame", error))?;
        match frame {
            Some(ToClient::ServerHello(_)) => self.start_login(out),
            Some(ToClient::LoginChallenge(challenge)) => self.prove(challenge.data.as_bytes(), out),
            Some(ToClient::LoginOk(ok)) => {
                self.default_room = Some(ok.default_room.to_owned());
                match self.task {
                    Task::Wait => self.is_settled = true,
                    Task::Enter => self.enter(out),
                }
                Ok(())
            }
            Some(ToClient::Joined(joined)) => {
                self.room = joined.room;
                self.last = joined.cursor;
                Ok(())
            }
            Some(ToClient::CaughtUp(_)) => {
                // Changes are told from here on, so who was there before is asked now.
                if self.roster.is_some() && !self.is_settled {
                    Who { request: RequestId(2), target: Target::Id(self.room) }.encode_frame(out);
                }
                self.is_settled = true;
                Ok(())
            }
            Some(ToClient::Left(_)) => {
                self.is_settled = true;
                Ok(())
            }
            Some(ToClient::Presence(presence)) => {
                self.roster.iter_mut().for_each(|roster| roster.on_presence(&presence));
                Ok(())
            }
            Some(ToClient::Members(page)) => {
                self.roster.iter_mut().for_each(|roster| roster.on_members(&page));
                Ok(())
            }
            Some(ToClient::Ping(ping)) => {
                Pong { nonce: ping.nonce }.encode_frame(out);
                Ok(())
            }
            Some(ToClient::Error(error)) => {
                let why = format!("{} ({})", error.code, error.note.as_str());
                Err(Failure::new(format!("{} at the server", self.user.as_str()), why))
            }
            Some(ToClient::Bye(bye)) => {
                let why = format!("{} ({})", bye.reason, bye.note.as_str());
                Err(Failure::new(format!("{} at the server", self.user.as_str()), why))
            }
            Some(ToClient::Gap(gap)) => {
                Err(Failure::new("hear everything", format!("{} to {} are gone", gap.from, gap.to)))
            }
            Some(
                ToClient::Pong(_)
                | ToClient::AccountReply(_)
                | ToClient::ServerKey(_)
                | ToClient::DeviceList(_)
                | ToClient::Posted(_)
                | ToClient::Messages(_)
                | ToClient::RoomList(_)
                | ToClient::MessagePage(_)
                | ToClient::DirectRoom(_)
                | ToClient::Moderated(_)
                | ToClient::Invited(_)
                | ToClient::Governed(_)
                | ToClient::Report(_)
                | ToClient::PeerOffer(_)
                | ToClient::PeerIntroduce(_)
                | ToClient::PeerClosed(_)
                | ToClient::PeerOutcome(_)
                | ToClient::PeerTry(_)
                | ToClient::RelayOpened(_)
                | ToClient::PeerMeet(_)
                | ToClient::PeerFailed(_)
                | ToClient::Reached(_),
            )
            | None => Ok(()),
        }
    }

    fn enter(&mut self, out: &mut BytesMut) {
        let Some(room) = &self.default_room else { return };
        self.is_settled = false;
        Join { request: RequestId(1), target: Target::Room(room.borrow()), cursor: None }.encode_frame(out);
    }

    fn start_login(&mut self, out: &mut BytesMut) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new("log in", error);
        if let Some(ticket) = &self.ticket {
            return self.send_login(ticket::MECHANISM, &ticket.secret, out);
        }
        let password = Password::new(PASSWORD).map_err(|error| failed(&error))?;
        let (login, request) = ClientLogin::start(password, &mut OsRng).map_err(|error| failed(&error))?;
        self.login = Some(login);
        self.send_login(MECHANISM, &request, out)
    }

    fn send_login(&self, mechanism: &str, data: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new("log in", error);
        LoginStart {
            user: self.user.borrow(),
            device: self.device,
            mechanism: NoteRef::new(mechanism).map_err(|error| failed(&error))?,
            data: Blob::new(data).map_err(|error| failed(&error))?,
        }
        .encode_frame(out);
        Ok(())
    }

    fn prove(&mut self, challenge: &[u8], out: &mut BytesMut) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new("log in", error);
        let login = self.login.take().ok_or_else(|| failed(&"a challenge without a login"))?;
        let (proof, _) = login
            .finish(challenge, self.user.as_str(), &self.binding, &mut OsRng)
            .map_err(|error| failed(&error))?;
        LoginResponse { data: Blob::new(&proof).map_err(|error| failed(&error))? }.encode_frame(out);
        Ok(())
    }
}

/// Holds the shortcut of [`Texts`] against the real thing, once.
fn check_layout(body: &[u8], runs: &[u8]) -> Result<(), Failure> {
    let messages = Messages::decode_body(body).map_err(|error| Failure::new("read messages", error))?;
    let texts = messages.iter().map(|message| message.text.as_str().as_bytes());
    if texts.eq(Texts { runs, said: &[] }) {
        Ok(())
    } else {
        Err(Failure::new("read messages", "this program no longer knows where their fields are"))
    }
}

/// The texts of a frame of messages, found by the lengths before them.
struct Texts<'a> {
    runs: &'a [u8],
    /// What is left of the run that has begun.
    said: &'a [u8],
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.said.is_empty() {
            let name_len = usize::from(*self.runs.get(DEVICE_LEN)?);
            let (len, rest) = self.runs.get(DEVICE_LEN + 1 + name_len..)?.split_first_chunk()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            (self.said, self.runs) = rest.split_at_checked(len)?;
        }
        let (len, rest) = self.said.get(TEXT_AT..)?.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        self.said = rest;
        Some(text)
    }
}

/// Where the flags of a frame of messages are: after room, number and time.
const FLAGS_AT: usize = 4 + 8 + 8;

/// What stands before the runs: flags, and the length of the runs.
const HEAD_LEN: usize = FLAGS_AT + 1 + 4;

/// Bytes of a device, at the start of a run.
const DEVICE_LEN: usize = 16;

/// Where the length of a text is: after the time since the message before, and the counter.
const TEXT_AT: usize = 4 + 8;
