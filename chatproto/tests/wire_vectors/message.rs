//! The message family.

use chatproto::wire::{
    Action, Anchor, Body as _, CaughtUp, Change, Create, DeviceId, DirectRoom, ErrorCode, FrameWriter, Gap,
    Govern, Governed, HEADER_LEN, History, Inquire, Inquiry, Invited, Join, Joined, Leave, Left, List,
    MAX_PAGE_MESSAGES, MESSAGE_MISSED, MIN_FRAME, Member, Members, Message, MessagePage, Messages, Moderate,
    Moderated, Network, NoteRef, PageMessage, Posted, Presence, Rank, Report, ReportLine, RequestId,
    RoomEntry, RoomId, RoomKind, RoomList, Rooms, Say, Search, SubjectRef, Target, TextRef, Who,
};

use crate::show::{Fields, Show as _, show};
use crate::values::{ALICE, BOB, TIME, items, name, note, repeated, text};
use crate::{Vector, vector};

show! {
    Say<'_> { counter, target, text }
    Posted { counter, room, seq, time }
    PageMessage<'_> { room, seq, time, device, counter, from, text }
    Join<'_> { request, target, cursor }
    Joined<'_> { request, room, kind, name, topic, last, cursor }
    Leave { room }
    Left { room, code }
    Presence<'_> { room, change, device, user }
    Rooms { request }
    RoomEntry<'_> { room, name, people, last, topic }
    RoomList<'_> { request, more, rooms }
    Who<'_> { request, target }
    Member<'_> { user, devices, rank }
    Members<'_> { request, room, more, members }
    History<'_> { request, target, anchor, seq, limit }
    Search<'_> { request, target, limit, words }
    MessagePage<'_> { request, more, messages }
    DirectRoom<'_> { room, last, over, with }
    CaughtUp { room, seq }
    Gap { room, from, to }
    Invited<'_> { room, name, by }
    Govern<'_> { request, action, subject, seconds, note }
    Governed<'_> { request, action, subject, seconds, note }
    Inquire<'_> { request, target, about, before, limit }
    ReportLine<'_> { number, time, room, by, action, subject, seconds, note }
    Report<'_> { request, more, lines }
    Moderate<'_> { request, target, action, user, seconds, note }
    Moderated<'_> { request, room, action, by, device, user, seconds, note }
    Create<'_> { request, name, private }
}

const LOBBY: RoomId = RoomId(1);
const REQUEST: RequestId = RequestId(9);

pub(crate) fn vectors() -> Vec<Vector> {
    [says(), messages(), rooms(), people(), house(), server(), pages()].into_iter().flatten().collect()
}

fn says() -> Vec<Vector> {
    vec![
        vector(
            "to a room by name",
            Say { counter: 1, target: Target::Room(name("lobby")), text: text("hello") },
        ),
        vector(
            "to a room by number",
            Say { counter: u64::MAX, target: Target::Id(RoomId(u32::MAX)), text: text("x") },
        ),
        vector(
            "to a person",
            Say { counter: 2, target: Target::User(name("bob")), text: text("quotes \" and \\ stay") },
        ),
        vector(
            "longest text",
            Say {
                counter: 3,
                target: Target::Id(LOBBY),
                text: text(repeated("0123456789abcdef", TextRef::MAX_LEN / 16)),
            },
        ),
        vector(
            "joined emoji and a direction mark",
            Say {
                counter: 4,
                target: Target::Id(LOBBY),
                text: text("👨\u{200d}👩\u{200d}👧 ❤\u{fe0f} שלום\u{200f}!"),
            },
        ),
        vector("typical", Posted { counter: 1, room: LOBBY, seq: 42, time: TIME }),
        vector(
            "largest",
            Posted { counter: u64::MAX, room: RoomId(u32::MAX), seq: u64::MAX, time: u64::MAX },
        ),
    ]
}

fn messages() -> Vec<Vector> {
    let first = Message {
        room: LOBBY,
        seq: 42,
        time: TIME,
        flags: 0,
        device: ALICE,
        counter: 7,
        from: name("alice"),
        text: text("hello"),
    };
    let next = |before: &Message<'static>, later: u64| Message {
        seq: before.seq + 1,
        time: before.time + later,
        counter: before.counter + 1,
        ..*before
    };
    let second = Message { text: text("and again"), ..next(&first, 0) };
    let third = Message { text: text("zweite ✓"), ..next(&second, 1_500) };
    let bobs =
        Message { device: BOB, counter: u64::MAX, from: name("bob"), text: text("hi"), ..next(&third, 1) };
    let on_another = Message {
        seq: bobs.seq + 1,
        time: bobs.time + 2,
        counter: 1,
        from: name("alice"),
        text: text("from my other device"),
        ..bobs
    };
    let missed = |message: Message<'static>| Message { flags: MESSAGE_MISSED, ..message };
    let largest = Message {
        room: RoomId(u32::MAX),
        seq: u64::MAX,
        time: u64::MAX,
        flags: 0xff,
        counter: u64::MAX,
        device: DeviceId([0xff; 16]),
        ..first
    };
    vec![
        vector("one", together(&[first])),
        vector("one missed", together(&[missed(bobs)])),
        vector("64 bytes of text", together(&[Message { text: text(repeated("abcdefgh", 8)), ..first }])),
        vector("three in a row", together(&[first, second, third])),
        vector("two people, and a device more", together(&[first, second, third, bobs, on_another])),
        vector("the same, missed", together(&[first, second, third, bobs, on_another].map(missed))),
        vector("the longest time between two", together(&[first, next(&first, u32::MAX.into())])),
        vector(
            "the last number, the last time, flags of the future",
            together(&[Message { seq: u64::MAX - 1, ..largest }, largest]),
        ),
        vector("as long as a frame that all members share", together(&longest(first))),
    ]
}

/// As many messages as go together, the last one cut so that not another byte does.
fn longest(first: Message<'static>) -> Vec<Message<'static>> {
    let long = repeated("0123456789abcdef", TextRef::MAX_LEN / 16);
    let mut messages: Vec<_> = (0..4)
        .map(|at| Message { seq: first.seq + at, counter: first.counter + at, text: text(long), ..first })
        .collect();
    let longest = 4 + usize::try_from(MIN_FRAME).unwrap();
    let mut lengths = (1..=long.len()).rev();
    while encoded(&messages).len() != longest {
        messages[3].text = text(&long[..lengths.next().expect("one of the lengths fits")]);
    }
    messages
}

fn encoded(messages: &[Message<'_>]) -> Vec<u8> {
    let mut out = FrameWriter::default();
    messages.iter().for_each(|message| out.message(message));
    out.take().to_vec()
}

/// Messages of which a writer makes one frame.
fn together(messages: &[Message<'_>]) -> Messages<'static> {
    let bytes = encoded(messages).leak();
    let read = Messages::decode_body(&bytes[HEADER_LEN..]).unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), messages);
    read
}

/// The fields as the wire has them: what a run has in common stands before it.
impl Fields for Messages<'_> {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let all: Vec<_> = self.iter().collect();
        let Message { room, seq, time, flags, .. } = all[0];
        let mut before = time;
        let mut said = |message: &Message<'_>| {
            let later = message.time - core::mem::replace(&mut before, message.time);
            let (counter, text) = (message.counter, message.text.show());
            format!("{{\"later\": {later}, \"counter\": {counter}, \"text\": {text}}}")
        };
        let runs = all.chunk_by(|one, other| (one.device, one.from) == (other.device, other.from));
        let runs = runs.map(|run| {
            let (device, from) = (run[0].device.show(), run[0].from.show());
            let said: Vec<_> = run.iter().map(&mut said).collect();
            format!("{{\"device\": {device}, \"from\": {from}, \"said\": [{}]}}", said.join(", "))
        });
        let runs = format!("[{}]", runs.collect::<Vec<_>>().join(", "));
        vec![
            ("room", room.show()),
            ("seq", seq.show()),
            ("time", time.show()),
            ("flags", flags.show()),
            ("runs", runs),
        ]
    }
}

fn house() -> Vec<Vector> {
    let bob = Some(name("bob"));
    let mute = Moderate {
        request: REQUEST,
        target: Target::Room(name("lobby")),
        action: Action::Mute,
        user: bob,
        seconds: 600,
        note: note("too loud"),
    };
    let muted = Moderated {
        request: RequestId(0),
        room: LOBBY,
        action: Action::Mute,
        by: Some(name("alice")),
        device: ALICE,
        user: bob,
        seconds: 600,
        note: note("too loud"),
    };
    let topic = Moderated { action: Action::Topic, user: None, seconds: 0, note: note("be kind"), ..muted };
    vec![
        vector("public", Create { request: REQUEST, name: name("garden"), private: false }),
        vector("private", Create { request: REQUEST, name: name("garden"), private: true }),
        vector("to the garden", Invited { room: RoomId(2), name: name("garden"), by: Some(name("alice")) }),
        vector("by the operator", Invited { room: RoomId(u32::MAX), name: name("garden"), by: None }),
        vector("a mute", mute),
        vector(
            "a topic",
            Moderate {
                target: Target::Id(LOBBY),
                action: Action::Topic,
                user: None,
                seconds: 0,
                note: note("be kind"),
                ..mute
            },
        ),
        vector("an operator", Moderate { action: Action::Op, seconds: 0, note: NoteRef::EMPTY, ..mute }),
        vector("news of a mute", muted),
        vector("the answer to who asked", Moderated { request: REQUEST, ..muted }),
        vector("news of a topic", topic),
        vector("the present topic", Moderated { by: None, device: DeviceId([0; 16]), ..topic }),
    ]
}

fn network(addr: &str, prefix: u8) -> Option<SubjectRef<'static>> {
    Network::new(addr.parse().unwrap(), prefix).map(SubjectRef::Network)
}

fn server() -> Vec<Vector> {
    let bob = Some(SubjectRef::User(name("bob")));
    let ban =
        Govern { request: REQUEST, action: Action::Ban, subject: bob, seconds: 3600, note: note("spam") };
    let done =
        Governed { request: REQUEST, action: Action::Ban, subject: bob, seconds: 3600, note: note("spam") };
    let lockdown = Govern {
        action: Action::Lockdown,
        subject: None,
        seconds: 0,
        note: note("a flood of new accounts"),
        ..ban
    };
    let inquire = Inquire {
        request: REQUEST,
        target: Some(Target::Room(name("lobby"))),
        about: Inquiry::Audit,
        before: 0,
        limit: 50,
    };
    let line = ReportLine {
        number: 7,
        time: TIME,
        room: note("lobby"),
        by: note("alice"),
        action: Action::Mute,
        subject: note("bob"),
        seconds: 600,
        note: note("too loud"),
    };
    let of_server = ReportLine {
        number: 0,
        time: 0,
        room: NoteRef::EMPTY,
        by: NoteRef::EMPTY,
        action: Action::Ban,
        subject: note("192.0.2.0/24"),
        seconds: 0,
        note: NoteRef::EMPTY,
    };
    vec![
        vector("an account", ban),
        vector("one address", Govern { subject: network("192.0.2.7", 32), seconds: 0, ..ban }),
        vector("a network", Govern { subject: network("2001:db8::", 32), ..ban }),
        vector("lockdown", lockdown),
        vector("an account is barred", done),
        vector("a network is barred", Governed { subject: network("192.0.2.0", 24), ..done }),
        vector("what was done in a room", inquire),
        vector(
            "what is imposed on the whole server",
            Inquire { target: None, about: Inquiry::Imposed, limit: 0, ..inquire },
        ),
        vector("before a number", Inquire { target: None, before: u64::MAX, limit: u16::MAX, ..inquire }),
        vector("nothing", Report { request: REQUEST, more: false, lines: List::new(&[]) }),
        vector(
            "two lines and more",
            Report { request: REQUEST, more: true, lines: List::new(items(vec![line, of_server])) },
        ),
    ]
}

fn rooms() -> Vec<Vector> {
    let joined = Joined {
        request: REQUEST,
        room: LOBBY,
        kind: RoomKind::Group,
        name: name("lobby"),
        topic: note("be kind"),
        last: 42,
        cursor: 40,
    };
    let lobby = RoomEntry { room: LOBBY, name: name("lobby"), people: 3, last: 42, topic: note("be kind") };
    let quiet =
        RoomEntry { room: RoomId(u32::MAX), name: name("quiet"), people: 0, last: 0, topic: NoteRef::EMPTY };
    vec![
        vector("at its end", Join { request: REQUEST, target: Target::Room(name("lobby")), cursor: None }),
        vector("after a number", Join { request: REQUEST, target: Target::Id(LOBBY), cursor: Some(40) }),
        vector(
            "a conversation from its start",
            Join { request: REQUEST, target: Target::User(name("bob")), cursor: Some(0) },
        ),
        vector("a group room", joined),
        vector(
            "an empty conversation",
            Joined {
                kind: RoomKind::Direct,
                name: name("bob"),
                topic: NoteRef::EMPTY,
                last: 0,
                cursor: 0,
                ..joined
            },
        ),
        vector("typical", Leave { room: LOBBY }),
        vector("largest", Leave { room: RoomId(u32::MAX) }),
        vector("asked for", Left { room: LOBBY, code: None }),
        vector("not asked for", Left { room: LOBBY, code: Some(ErrorCode::NotMember) }),
        vector("typical", Rooms { request: REQUEST }),
        vector("largest", Rooms { request: RequestId(u32::MAX) }),
        vector("no room", RoomList { request: REQUEST, more: false, rooms: List::new(&[]) }),
        vector(
            "two rooms and more",
            RoomList { request: REQUEST, more: true, rooms: List::new(items(vec![lobby, quiet])) },
        ),
    ]
}

fn people() -> Vec<Vector> {
    let members = vec![
        Member { user: name("alice"), devices: 2, rank: Rank::Owner },
        Member { user: name("bob"), devices: u16::MAX, rank: Rank::Guest },
    ];
    vec![
        vector("entered", Presence { room: LOBBY, change: Change::Entered, device: BOB, user: name("bob") }),
        vector(
            "departed",
            Presence { room: LOBBY, change: Change::Departed, device: ALICE, user: name("alice") },
        ),
        vector("in a room", Who { request: REQUEST, target: Target::Room(name("lobby")) }),
        vector("in a conversation", Who { request: REQUEST, target: Target::User(name("bob")) }),
        vector("nobody", Members { request: REQUEST, room: LOBBY, more: false, members: List::new(&[]) }),
        vector(
            "two people, sent without a request",
            Members { request: RequestId(0), room: LOBBY, more: true, members: List::new(items(members)) },
        ),
        vector("first", DirectRoom { room: RoomId(12), last: 1, over: false, with: name("bob") }),
        vector(
            "over, largest",
            DirectRoom { room: RoomId(u32::MAX), last: u64::MAX, over: true, with: name("bob") },
        ),
    ]
}

fn pages() -> Vec<Vector> {
    let history =
        History { request: REQUEST, target: Target::Id(LOBBY), anchor: Anchor::Before, seq: 0, limit: 50 };
    let first = PageMessage {
        room: LOBBY,
        seq: 1,
        time: TIME,
        device: ALICE,
        counter: 1,
        from: name("alice"),
        text: text("first"),
    };
    let second = PageMessage {
        seq: 2,
        time: TIME + 1,
        device: BOB,
        counter: u64::MAX,
        from: name("bob"),
        text: text("zweite ✓"),
        ..first
    };
    vec![
        vector("the newest", history),
        vector("after a number", History { anchor: Anchor::After, seq: 17, ..history }),
        vector(
            "around a number, as many as may be",
            History { anchor: Anchor::Around, seq: u64::MAX, limit: MAX_PAGE_MESSAGES, ..history },
        ),
        vector("everywhere", Search { request: REQUEST, target: None, limit: 20, words: text("lost keys") }),
        vector(
            "in one room",
            Search {
                request: REQUEST,
                target: Some(Target::Room(name("lobby"))),
                limit: u16::MAX,
                words: text("鍵"),
            },
        ),
        vector("nothing found", MessagePage { request: REQUEST, more: false, messages: List::new(&[]) }),
        vector(
            "two messages and more",
            MessagePage { request: REQUEST, more: true, messages: List::new(items(vec![first, second])) },
        ),
        vector("typical", CaughtUp { room: LOBBY, seq: 42 }),
        vector("empty room", CaughtUp { room: LOBBY, seq: 0 }),
        vector("one number", Gap { room: LOBBY, from: 5, to: 5 }),
        vector("many numbers", Gap { room: LOBBY, from: 1, to: u64::MAX }),
    ]
}
