//! Legal values of every type on the wire, out of any bytes.
//!
//! Numbers and names are mostly drawn from a few, so that frames refer to the same rooms, requests and transfers often
//! enough to get anywhere in a state machine.

use core::net::SocketAddr;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use chatproto::wire::chars::{is_forbidden, is_invisible};
use chatproto::wire::*;

/// A value that can be drawn from bytes; what it borrows lives in `bump`.
pub trait Value<'a>: Sized {
    /// Draws a value.
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self>;
}

/// Small numbers that mean something somewhere: ids, unit exponents, ports.
const USUAL_NUMBERS: [u16; 16] = [0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 20, 255, 1024, 2048, 4000, 65_535];

const USUAL_NAMES: [&str; 6] = ["alice", "bob", "lobby", "carol", "a", "жанна.7"];

const USUAL_PATHS: [&str; 6] = ["", "a", "a/b", "2026/summer/beach.mkv", "photo.jpg", "b"];

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl<'a> Value<'a> for $number {
            fn draw(u: &mut Unstructured<'_>, _: &'a Bump) -> Result<Self> {
                let first = u.arbitrary::<u8>()?;
                match first.checked_sub(32) {
                    None => u.arbitrary(),
                    Some(usual) => Ok(USUAL_NUMBERS[usize::from(usual) % USUAL_NUMBERS.len()] as $number),
                }
            }
        }
    )*};
}
numbers! { u8 u16 u32 u64 }

impl<'a> Value<'a> for bool {
    fn draw(u: &mut Unstructured<'_>, _: &'a Bump) -> Result<Self> {
        u.arbitrary()
    }
}

macro_rules! wrapped {
    ($($id:ident)*) => {$(
        impl<'a> Value<'a> for $id {
            fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
                Value::draw(u, bump).map(Self)
            }
        }
    )*};
}
wrapped! { RoomId RequestId OfferId TransferId Generation DeviceId ServerId LinkKey Hash LinkTicket SideToken }

/// Mostly one of a few, told apart by their first byte.
impl<'a, const N: usize> Value<'a> for [u8; N] {
    fn draw(u: &mut Unstructured<'_>, _: &'a Bump) -> Result<Self> {
        let first = u.arbitrary::<u8>()?;
        if first < 16 { u.arbitrary() } else { Ok([first % 4; N]) }
    }
}

macro_rules! tables {
    ($($table:ident)*) => {$(
        impl<'a> Value<'a> for $table {
            fn draw(u: &mut Unstructured<'_>, _: &'a Bump) -> Result<Self> {
                u.choose(Self::ALL).copied()
            }
        }
    )*};
}
tables! { Action ErrorCode CloseReason Purpose DialRole RoomKind Change Anchor EntryKind Rank Inquiry Way }

impl<'a> Value<'a> for Capabilities {
    fn draw(u: &mut Unstructured<'_>, _: &'a Bump) -> Result<Self> {
        u.arbitrary::<u64>().map(Self::from)
    }
}

/// Up to `max` bytes of text made of characters that `is_good`.
fn text<'a>(
    u: &mut Unstructured<'_>,
    bump: &'a Bump,
    max: usize,
    is_good: impl Fn(char) -> bool,
) -> Result<&'a str> {
    let mut out = String::new();
    for c in u.arbitrary::<&str>()?.chars().filter(|&c| is_good(c)) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    Ok(bump.alloc_str(&out))
}

/// The longest beginning of `text` that `check` takes.
fn longest<'a, T, E>(mut text: &'a str, check: impl Fn(&'a str) -> core::result::Result<T, E>) -> Option<T> {
    loop {
        if let Ok(value) = check(text) {
            return Some(value);
        }
        let (end, _) = text.char_indices().next_back()?;
        text = &text[..end];
    }
}

impl<'a> Value<'a> for NameRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let usual = NameRef::new(u.choose(&USUAL_NAMES)?).expect("a legal name");
        if u.ratio(7, 8)? {
            return Ok(usual);
        }
        let text = text(u, bump, NameRef::MAX_LEN, |c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))?;
        Ok(longest(text, NameRef::new).unwrap_or(usual))
    }
}

impl<'a> Value<'a> for TextRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        if u.ratio(1, 32)? {
            return Ok(TextRef::new(bump.alloc_str(&"long ".repeat(800))).expect("a legal text"));
        }
        let text = text(u, bump, TextRef::MAX_LEN, |c| !is_forbidden(c))?;
        Ok(TextRef::new(if text.is_empty() { "hello" } else { text }).expect("a legal text"))
    }
}

impl<'a> Value<'a> for NoteRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let text = text(u, bump, NoteRef::MAX_LEN, |c| !is_forbidden(c))?;
        Ok(NoteRef::new(text).expect("a legal note"))
    }
}

impl<'a> Value<'a> for SafeNameRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let text = text(u, bump, SafeNameRef::MAX_LEN, |c| !is_forbidden(c) && !is_invisible(c))?;
        Ok(longest(text, SafeNameRef::new).unwrap_or(SafeNameRef::new("a").expect("a legal name")))
    }
}

impl<'a> Value<'a> for SafeRelPathRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        if u.ratio(7, 8)? {
            return Ok(SafeRelPathRef::new(u.choose(&USUAL_PATHS)?).expect("a legal path"));
        }
        let text = text(u, bump, SafeRelPathRef::MAX_LEN, |c| !is_forbidden(c) && !is_invisible(c))?;
        Ok(longest(text, SafeRelPathRef::new).unwrap_or(SafeRelPathRef::ROOT))
    }
}

fn bytes<'a>(u: &mut Unstructured<'_>, bump: &'a Bump, max: usize) -> Result<&'a [u8]> {
    let bytes = u.arbitrary::<&[u8]>()?;
    Ok(bump.alloc_slice_copy(bytes.get(..max).unwrap_or(bytes)))
}

impl<'a> Value<'a> for Blob<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        Ok(Blob::new(bytes(u, bump, Blob::MAX_LEN)?).expect("a legal blob"))
    }
}

impl<'a> Value<'a> for Rest<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        if u.ratio(1, 4)? {
            return Ok(Rest(bump.alloc_slice_fill_copy(1024, 7)));
        }
        bytes(u, bump, MAX_FILE_DATA).map(Rest)
    }
}

impl<'a> Value<'a> for SocketAddr {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let port = u16::draw(u, bump)?;
        Ok(if u.arbitrary()? {
            (u.arbitrary::<[u8; 4]>()?, port).into()
        } else {
            (u.arbitrary::<[u8; 16]>()?, port).into()
        })
    }
}

impl<'a> Value<'a> for Target<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        Ok(match u.int_in_range(0..=2)? {
            0 => Self::Id(Value::draw(u, bump)?),
            1 => Self::Room(Value::draw(u, bump)?),
            _ => Self::User(Value::draw(u, bump)?),
        })
    }
}

impl<'a> Value<'a> for SubjectRef<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        if u.arbitrary()? {
            return Value::draw(u, bump).map(Self::User);
        }
        let addr = SocketAddr::draw(u, bump)?.ip();
        let prefix = u.int_in_range(0..=if addr.is_ipv4() { 32 } else { 128 })?;
        Ok(Self::Network(Network::new(addr, prefix).expect("no more bits than an address has")))
    }
}

impl<'a> Value<'a> for Source {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        Ok(if u.arbitrary()? {
            Self::Number { generation: Value::draw(u, bump)?, number: Value::draw(u, bump)? }
        } else {
            Self::Root(Value::draw(u, bump)?)
        })
    }
}

impl<'a, T: Value<'a>> Value<'a> for Option<T> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        if u.arbitrary()? { T::draw(u, bump).map(Some) } else { Ok(None) }
    }
}

/// Most items of a drawn list.
const MAX_ITEMS: usize = 12;

impl<'a, T: Value<'a> + Wire<'a> + Copy, const MAX: usize> Value<'a> for List<'a, T, MAX> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let count = u.int_in_range(0..=MAX.min(MAX_ITEMS))?;
        let items = (0..count).map(|_| T::draw(u, bump)).collect::<Result<Vec<_>>>()?;
        Ok(List::new(bump.alloc_slice_copy(&items)))
    }
}

/// Draws bodies and parts field by field; a field that is forgotten does not compile.
macro_rules! bodies {
    ($($name:ident $(<$life:lifetime>)? { $($field:ident),* })*) => {$(
        impl<'a> Value<'a> for $name $(<$life>)? {
            fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
                Ok(Self { $($field: Value::draw(u, bump)?),* })
            }
        }
    )*};
}

/// The magic is that of the protocol more often than not.
macro_rules! hellos {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl<'a> Value<'a> for $name<'a> {
            fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
                let magic = if u.ratio(1, 32)? { u.arbitrary()? } else { MAGIC };
                let max_frame = if u.ratio(1, 8)? { u.arbitrary()? } else { MAX_FRAME };
                Ok(Self { magic, max_frame, $($field: Value::draw(u, bump)?),* })
            }
        }
    )*};
}

hellos! {
    ClientHello { version_min, version_max, capabilities, agent }
    LinkHello { version_min, version_max, capabilities, offer, ticket, user, device, purpose, agent }
}

bodies! {
    Ping { nonce }
    Pong { nonce }
    Bye<'a> { reason, retry_after, note }
    Error<'a> { code, about, request, retry_after, note }
    ServerHello<'a> { version, capabilities, max_frame, server, agent, mechanisms }
    LoginStart<'a> { user, device, mechanism, data }
    LoginChallenge<'a> { data }
    LoginResponse<'a> { data }
    LoginOk<'a> { user, default_room, observed, ticket, ticket_lifetime, data }
    RegisterStart<'a> { user, mechanism, invite, data }
    RegisterFinish<'a> { data }
    PasswordStart<'a> { request, mechanism, data }
    PasswordFinish<'a> { request, data }
    AccountReply<'a> { request, data }
    ServerKey { fingerprint }
    Devices { request, revoke }
    DeviceEntry { device, first, last, address, ticket, online }
    DeviceList<'a> { request, devices }
    LinkWelcome<'a> { version, capabilities, max_frame, user, device, agent }
    Say<'a> { counter, target, text }
    Posted { counter, room, seq, time }
    Message<'a> { room, seq, time, flags, device, counter, from, text }
    PageMessage<'a> { room, seq, time, device, counter, from, text }
    Join<'a> { request, target, cursor }
    Joined<'a> { request, room, kind, name, topic, last, cursor }
    Leave { room }
    Left { room, code }
    Presence<'a> { room, change, device, user }
    Rooms { request }
    RoomEntry<'a> { room, name, people, last, topic }
    RoomList<'a> { request, more, rooms }
    Who<'a> { request, target }
    Member<'a> { user, devices, rank }
    Members<'a> { request, room, more, members }
    History<'a> { request, target, anchor, seq, limit }
    Search<'a> { request, target, limit, words }
    MessagePage<'a> { request, more, messages }
    DirectRoom<'a> { room, last, over, with }
    CaughtUp { room, seq }
    Gap { room, from, to }
    Invited<'a> { room, name, by }
    Moderate<'a> { request, target, action, user, seconds, note }
    Moderated<'a> { request, room, action, by, device, user, seconds, note }
    Create<'a> { request, name, private }
    Govern<'a> { request, action, subject, seconds, note }
    Governed<'a> { request, action, subject, seconds, note }
    Inquire<'a> { request, target, about, before, limit }
    ReportLine<'a> { number, time, room, by, action, subject, seconds, note }
    Report<'a> { request, more, lines }
    LinkSay<'a> { counter, text }
    LinkSaid { counter }
    Announce<'a> { port, link_key, candidates }
    PeerRequest<'a> { request, purpose, concealed, to }
    PeerOffer<'a> { offer, purpose, expires, device, from }
    PeerAnswer { offer, accept, concealed }
    PeerIntroduce<'a> { offer, request, purpose, role, expires, ticket, token, device, link_key, hidden, peer, addresses }
    PeerClosed { offer, request, code }
    PeerWithdraw { request }
    PeerOutcome { offer, way, code }
    PeerTry { offer, way }
    Probe { token, way }
    Relay { token }
    RelayOpened { offer }
    PeerMeet { offer, way, after, address }
    PeerFailed { offer, code }
    Reach { request }
    Reached { request, address, code }
    ListFolder<'a> { request, generation, page, flags, path }
    Entry<'a> { number, kind, size, mtime, root, inline, name }
    ListPage<'a> { request, generation, page, pages, total, path, entries }
    FileRequest { transfer, source, unit_log2, offset, held }
    FileHead<'a> { transfer, size, mtime, unit_log2, offset, root, path }
    FileData<'a> { transfer, offset, data }
    FileUnit { transfer, unit, value }
    FileEnd { transfer, root }
    FileCancel { transfer, code }
    FileQueued { transfer, position }
    FilePause { transfer }
    FileResume { transfer }
    FileRate { bytes_per_second }
    FileDone { transfer }
    UnitRequest { transfer, root, unit_log2, first, count, flags }
    FileValues<'a> { transfer, first, values }
}

/// Most messages that are drawn to follow the first of a frame.
const MAX_FOLLOWING: usize = 5;

/// One message and those that follow it, as far as they fit into its frame.
impl<'a> Value<'a> for Messages<'a> {
    fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
        let mut message = Message::draw(u, bump)?;
        let mut out = FrameWriter::default();
        out.message(&message);
        for _ in 0..u.int_in_range(0..=MAX_FOLLOWING)? {
            let Some(seq) = message.seq.checked_add(1) else { break };
            let time = message.time.saturating_add(u32::draw(u, bump)?.into());
            let Message { room, flags, .. } = message;
            let spoken = if u.arbitrary()? {
                Message { counter: u64::draw(u, bump)?, text: TextRef::draw(u, bump)?, ..message }
            } else {
                Message::draw(u, bump)?
            };
            message = Message { room, seq, time, flags, ..spoken };
            out.message(&message);
        }
        let bytes = bump.alloc_slice_copy(&out.take());
        let (length, rest) = bytes.split_first_chunk().expect("a header");
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a short frame");
        Ok(Messages::decode_body(&rest[1..length]).expect("what was written can be read"))
    }
}

/// Makes the drawing of any frame of one direction.
macro_rules! directions {
    ($($direction:ident { $($variant:ident)* })*) => {$(
        impl<'a> Value<'a> for $direction<'a> {
            fn draw(u: &mut Unstructured<'_>, bump: &'a Bump) -> Result<Self> {
                let draws: &[fn(&mut Unstructured<'_>, &'a Bump) -> Result<Self>] =
                    &[$(|u, bump| Value::draw(u, bump).map(Self::$variant)),*];
                assert_eq!(draws.len(), Self::TYPES.len(), "a frame is missing here");
                u.choose(draws)?(u, bump)
            }
        }
    )*};
}

directions! {
    ToServer {
        Ping Pong Bye Error ClientHello LoginStart LoginResponse RegisterStart RegisterFinish
        PasswordStart PasswordFinish Devices Say Join Leave Rooms Who History Search Create
        Moderate Govern Inquire Announce PeerRequest PeerAnswer PeerWithdraw PeerOutcome PeerTry Probe Relay PeerFailed Reach
    }
    ToClient {
        Ping Pong Bye Error ServerHello LoginChallenge LoginOk AccountReply ServerKey DeviceList Posted Messages Joined Left Presence RoomList Members
        MessagePage DirectRoom CaughtUp Gap Moderated Invited Governed Report PeerOffer PeerIntroduce PeerClosed PeerOutcome PeerTry RelayOpened PeerMeet PeerFailed Reached
    }
    ToPeer {
        Ping Pong Bye Error LinkHello LinkWelcome LinkSay LinkSaid List ListPage FileRequest FileHead FileData FileUnit
        FileEnd FileCancel FileQueued FileDone FilePause FileResume FileRate UnitRequest FileValues
    }
}

/// Any frame of any direction, encoded: `check` gets its value and its bytes.
pub fn frames(
    u: &mut Unstructured<'_>,
    bump: &Bump,
    mut check: impl FnMut(&[u8], &dyn Fn(RawFrame<'_>) -> bool),
) -> Result<()> {
    macro_rules! one {
        ($direction:ident) => {{
            let frame = $direction::draw(u, bump)?;
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(bytes.len(), frame.frame_len(), "{frame:?}");
            check(&bytes, &|raw| $direction::decode(raw) == Ok(Some(frame)));
        }};
    }
    match u.int_in_range(0..=2)? {
        0 => one!(ToServer),
        1 => one!(ToClient),
        _ => one!(ToPeer),
    }
    Ok(())
}
