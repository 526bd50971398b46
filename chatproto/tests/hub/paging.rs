//! Answers in pages: none longer than the client's frames, none larger than its bound.

use bytes::Buf as _;
use chatproto::hub::ConnId;
use chatproto::wire::*;

use crate::desk::*;

fn small_frames(desk: &mut Desk, user: &str, device: u8) -> ConnId {
    let conn = desk.connect("192.0.2.1");
    desk.send(conn, &ClientHello { max_frame: MIN_FRAME, ..client_hello() });
    desk.start_login(conn, user, device);
    assert!(desk.hub.login_accept(conn, &accept(user)));
    desk.join(conn, "lobby", None);
    desk.skip(conn);
    conn
}

fn check_lengths(frames: &[ToClient<'_>]) {
    for frame in frames {
        assert!(frame.frame_len() - 4 <= MIN_FRAME as usize, "{} bytes", frame.frame_len());
    }
}

fn history(desk: &mut Desk, conn: ConnId, anchor: Anchor, seq: u64, limit: u16) -> Vec<u64> {
    let lobby = name("lobby");
    let target = Target::Room(lobby.borrow());
    desk.send(conn, &History { request: RequestId(8), target, anchor, seq, limit });
    pages(&desk.frames(conn))
}

/// The numbers on all pages; only the last says that none follows.
fn pages(frames: &[ToClient<'_>]) -> Vec<u64> {
    let pages: Vec<MessagePage<'_>> = frames
        .iter()
        .map(|frame| match frame {
            ToClient::MessagePage(page) => *page,
            other => panic!("{other:?}"),
        })
        .collect();
    let (last, others) = pages.split_last().expect("there is always a page");
    assert!(!last.more && others.iter().all(|page| page.more));
    pages.iter().flat_map(|page| page.messages.iter()).map(|message| message.seq).collect()
}

#[test]
fn history_before_after_and_around() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    assert_eq!(history(&mut desk, alice, Anchor::Before, 0, 10), []);
    desk.fill(alice, 1, 50, 10);
    desk.skip(alice);
    let mut ask = |anchor, seq, limit| history(&mut desk, alice, anchor, seq, limit);
    assert_eq!(ask(Anchor::Before, 0, 3), [48, 49, 50]);
    assert_eq!(ask(Anchor::Before, 10, 3), [7, 8, 9]);
    assert_eq!(ask(Anchor::After, 10, 3), [11, 12, 13]);
    assert_eq!(ask(Anchor::Around, 10, 4), [8, 9, 10, 11]);
    assert_eq!(ask(Anchor::After, 50, 3), []);
    assert_eq!(ask(Anchor::Before, 0, 0), [50], "one at least");
    assert_eq!(ask(Anchor::After, 0, u16::MAX).len(), 50);
}

#[test]
fn large_history_keeps_to_the_frames_and_to_what_is_nearest() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.fill(alice, 1, 100, 4096);
    let bob = small_frames(&mut desk, "bob", 2);
    let lobby = name("lobby");
    for (anchor, seq) in [(Anchor::Before, 0), (Anchor::After, 0), (Anchor::Around, 50)] {
        let target = Target::Room(lobby.borrow());
        desk.send(bob, &History { request: RequestId(8), target, anchor, seq, limit: 100 });
        let frames = desk.frames(bob);
        check_lengths(&frames);
        assert!(frames.len() > 2, "several pages");
        let seqs = pages(&frames);
        assert!(seqs.len() >= 10 && seqs.len() < 20, "about 64 KiB: {}", seqs.len());
        assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        match anchor {
            Anchor::Before => assert_eq!(seqs.last(), Some(&100)),
            Anchor::After => assert_eq!(seqs[0], 1),
            Anchor::Around => assert!(seqs.contains(&50) && seqs.contains(&49)),
        }
    }
}

#[test]
fn search_finds_in_rooms_one_is_in_newest_first() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.join(bob, "secret", None);
    desk.say(alice, 1, "lobby", "red apple");
    desk.say(bob, 1, "secret", "red herring");
    desk.commit();
    desk.say(alice, 2, "lobby", "green apple");
    desk.say(alice, 3, "lobby", "apple red");
    desk.commit();
    desk.skip(alice);
    let search = |words, target| Search {
        request: RequestId(3),
        target,
        limit: 10,
        words: TextRef::new(words).unwrap(),
    };
    desk.send(alice, &search("apple", None));
    assert_eq!(pages(&desk.frames(alice)), [3, 2, 1]);
    desk.send(alice, &search("red", None));
    assert_eq!(pages(&desk.frames(alice)), [3, 1], "not what was said in rooms she is not in");
    let secret = name("secret");
    desk.send(alice, &search("red", Some(Target::Room(secret.borrow()))));
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::NoSuchRoom);
}

#[test]
fn search_that_was_not_agreed_on_is_not_supported() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    desk.send(conn, &ClientHello { capabilities: Capabilities::NONE, ..client_hello() });
    desk.start_login(conn, "alice", 1);
    assert!(desk.hub.login_accept(conn, &accept("alice")));
    desk.skip(conn);
    let words = TextRef::new("apple").unwrap();
    desk.send(conn, &Search { request: RequestId(3), target: None, limit: 10, words });
    let frames = desk.frames(conn);
    let [(code, request, _)] = errors(&frames)[..] else { panic!("{frames:?}") };
    assert_eq!((code, request), (ErrorCode::NotSupported, 3));
}

#[test]
fn history_that_is_not_kept_is_told_from_the_beginning_and_the_end() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.fill(alice, 1, 10, 10);
    desk.skip(alice);
    desk.log.forget(&chatproto::hub::Label::Group(name("lobby")), 6);
    let mut ask = |anchor, seq| {
        let lobby = name("lobby");
        let target = Target::Room(lobby.borrow());
        desk.send(alice, &History { request: RequestId(4), target, anchor, seq, limit: 3 });
        let frames = desk.frames(alice);
        match errors(&frames)[..] {
            [(code, 4, _)] => Err(code),
            _ => Ok(pages(&frames)),
        }
    };
    assert_eq!(ask(Anchor::Before, 9), Ok(vec![7, 8]));
    assert_eq!(ask(Anchor::Before, 7), Err(ErrorCode::Gone));
    assert_eq!(ask(Anchor::Before, 1), Ok(vec![]), "nothing was ever there");
    assert_eq!(ask(Anchor::After, 0), Ok(vec![7, 8, 9]));
    assert_eq!(ask(Anchor::After, 10), Ok(vec![]), "nothing is there yet");
    assert_eq!(ask(Anchor::Around, 2), Ok(vec![7, 8, 9]));
    desk.log.forget(&chatproto::hub::Label::Group(name("lobby")), 10);
    let lobby = name("lobby");
    let target = Target::Room(lobby.borrow());
    for anchor in [Anchor::Before, Anchor::Around] {
        desk.send(alice, &History { request: RequestId(4), target, anchor, seq: 8, limit: 3 });
        assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::Gone);
    }
    assert!(desk.hub.wants_read(alice), "no request is left open");
}

#[test]
fn questions_past_the_limit_are_refused() {
    let mut desk = Desk::with(|config| config.max_requests = 2);
    let alice = desk.member("alice", 1);
    let lobby = name("lobby");
    let ask = |request| {
        let target = Target::Room(lobby.borrow());
        History { request: RequestId(request), target, anchor: Anchor::Before, seq: 0, limit: 1 }.to_bytes()
    };
    let bytes: Vec<u8> = (1..=3).flat_map(ask).collect();
    desk.hub.handle_input(alice, &bytes, desk.now);
    assert!(!desk.hub.wants_read(alice));
    let frames = desk.frames(alice);
    let refused = errors(&frames);
    assert_eq!(refused, [(ErrorCode::TooManyRequests, 3, "too many requests are open")]);
    assert!(desk.hub.wants_read(alice));
    assert_eq!(history(&mut desk, alice, Anchor::Before, 0, 1), []);
}

#[test]
fn room_list_and_members_are_cut_into_pages() {
    let mut desk = Desk::new();
    let names: Vec<String> = (0..900).map(|at| format!("room-with-a-long-name-{at:04}")).collect();
    for (filled, chunk) in names.chunks(200).enumerate() {
        let conn = desk.login(&format!("maker{filled}"), 1);
        chunk.iter().for_each(|room| desk.join(conn, room, None));
        desk.skip(conn);
    }
    let alice = small_frames(&mut desk, "alice", 2);
    desk.send(alice, &Rooms { request: RequestId(5) });
    let frames = desk.frames(alice);
    check_lengths(&frames);
    assert!(frames.len() > 2);
    let mut listed = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let ToClient::RoomList(page) = frame else { panic!("{frame:?}") };
        assert_eq!((page.request, page.more), (RequestId(5), at + 1 < frames.len()));
        listed.extend(page.rooms.iter().map(|room| room.name.as_str().to_owned()));
    }
    let mut expected = names.clone();
    expected.push("lobby".to_owned());
    expected.sort();
    assert_eq!(listed, expected);

    for at in 0..800 {
        let conn = desk.login(&format!("somebody-with-a-name-{at:04}"), 1);
        desk.join(conn, "lobby", None);
    }
    desk.skip(alice);
    let lobby = name("lobby");
    desk.send(alice, &Who { request: RequestId(6), target: Target::Room(lobby.borrow()) });
    let frames = desk.frames(alice);
    check_lengths(&frames);
    assert!(frames.len() > 1);
    let people: usize = frames
        .iter()
        .map(|frame| match frame {
            ToClient::Members(page) => page.members.iter().count(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(people, 801);
}

/// The names on all pages of all room lists, and how many lists ended.
fn listed(frames: &[ToClient<'static>]) -> (Vec<&'static str>, usize) {
    let lists = frames.iter().filter_map(|frame| match frame {
        ToClient::RoomList(list) => Some(*list),
        _ => None,
    });
    let lists = lists.collect::<Vec<_>>();
    let names = lists.iter().flat_map(|list| list.rooms.iter()).map(|entry| entry.name.as_str());
    (names.collect(), lists.iter().filter(|list| !list.more).count())
}

#[test]
fn lists_longer_than_a_queue_come_as_they_are_read_however_often_they_are_asked_for() {
    let queue = 16 * 1024;
    let mut desk = Desk::with(|config| {
        (config.limits.max_queue, config.limits.max_queue_hard) = (queue, 2 * queue);
        config.max_rooms_joined = 2_000;
    });
    let alice = desk.login("alice", 1);
    let names = (0..1_000).map(|at| format!("room-with-a-long-name-{at:04}")).collect::<Vec<_>>();
    for name in &names {
        desk.join(alice, name, None);
        desk.skip(alice);
    }
    let bob = small_frames(&mut desk, "bob", 2);
    for request in 1..=3 {
        desk.hub.handle_input(bob, &Rooms { request: RequestId(request) }.to_bytes(), desk.now);
        let waiting = desk.hub.outgoing(bob).unwrap().len();
        assert!(waiting <= queue, "{waiting} bytes wait");
    }
    let frames = desk.frames(bob);
    check_lengths(&frames);
    let (heard, ended) = listed(&frames);
    let mut all = names.iter().map(String::as_str).chain(["lobby"]).collect::<Vec<_>>();
    all.sort_unstable();
    assert!(heard == all.repeat(3), "{} names", heard.len());
    assert_eq!(ended, 3);
}

#[test]
fn a_list_that_goes_on_leaves_nobody_out() {
    let mut desk = Desk::with(|config| config.limits.max_queue = 4 * 1024);
    let names = (0..400).map(|at| format!("somebody-with-a-long-name-{at:03}")).collect::<Vec<_>>();
    let people = (1..).zip(&names).map(|(device, user)| {
        let conn = desk.login(user, u8::try_from(device % 250).unwrap());
        desk.join(conn, "lobby", None);
        desk.skip(conn);
        conn
    });
    let people = people.collect::<Vec<_>>();
    let alice = small_frames(&mut desk, "alice", 1);
    let lobby = name("lobby");
    let who = Who { request: RequestId(5), target: Target::Room(lobby.borrow()) };
    desk.hub.handle_input(alice, &who.to_bytes(), desk.now);
    // Before its second page, the first of those who were on the first one is gone.
    desk.hub.handle_eof(people[0], desk.now);
    let frames = desk.frames(alice);
    let pages = frames.iter().filter_map(|frame| match frame {
        ToClient::Members(page) if page.request == RequestId(5) => Some(*page),
        _ => None,
    });
    let pages = pages.collect::<Vec<_>>();
    let heard = pages.iter().flat_map(|page| page.members.iter()).map(|it| it.user.as_str());
    let heard = heard.collect::<Vec<_>>();
    let all = ["alice"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>();
    assert!(heard == all, "{} of {} names", heard.len(), all.len());
}

#[test]
fn a_list_of_bans_goes_on_behind_what_was_told_whatever_is_lifted_meanwhile() {
    let mut desk = Desk::with(|config| {
        config.capabilities = Capabilities::NONE.with(Capability::Moderation);
        config.limits.max_queue = 1024;
    });
    let root = small_frames(&mut desk, "root", 1);
    let ban = |number: u32| ban_text(number).parse::<Subject>().unwrap();
    let govern = |desk: &mut Desk, action, number| {
        desk.hub.govern_as_host(action, Some(ban(number)), 0, note("because")).unwrap();
    };
    for number in 0..2_000 {
        govern(&mut desk, Action::Ban, number);
    }
    desk.commit();
    let ask = Inquire { request: RequestId(9), about: Inquiry::Imposed, target: None, before: 0, limit: 0 };
    desk.send(root, &ask);
    let mut told = Vec::new();
    loop {
        let bytes = desk.hub.outgoing(root).map(|queue| queue.copy_to_bytes(queue.remaining())).unwrap();
        let frames = decode(bytes);
        check_lengths(&frames);
        for frame in &frames {
            let ToClient::Report(report) = frame else { continue };
            told.extend(report.lines.iter().map(|line| line.subject.as_str().to_owned()));
        }
        if frames.iter().any(|frame| matches!(frame, ToClient::Report(report) if !report.more)) {
            break;
        }
        // The reader has seen the first ones, and they are lifted before the next page.
        if told.len() < 1_000 {
            let lifted: Vec<u32> = (0..2_000).filter(|number| told.len() < 500 && number % 50 == 0).collect();
            let lifted = lifted.into_iter().filter(|number| told.contains(&ban_text(*number)));
            lifted.for_each(|number| govern(&mut desk, Action::Unban, number));
            desk.commit();
        }
    }
    assert_eq!(told, (0..2_000).map(ban_text).collect::<Vec<_>>());
}

fn ban_text(number: u32) -> String {
    format!("10.0.{}.{}", number / 256, number % 256)
}
