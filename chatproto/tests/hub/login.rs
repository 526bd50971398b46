//! The hello and the login: an exchange that the program answers, within its deadlines.

use core::time::Duration;

use bytes::Bytes;
use chatproto::hub::{Ended, Event};
use chatproto::wire::*;

use crate::desk::*;

#[test]
fn login_goes_from_hello_over_challenge_to_ok() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    let frames = desk.frames(conn);
    let [ToClient::ServerHello(hello)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!(hello.mechanisms.as_str(), "none other");
    assert_eq!(hello.server, ServerId([7; 16]));

    desk.start_login(conn, "alice", 1);
    let events = desk.take_events();
    let [Event::LoginStarted { user, device, mechanism, data, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*device, DeviceId([1; 16]));
    assert_eq!((user.as_str(), mechanism.as_str(), &data[..]), ("alice", "none", &b"start"[..]));

    assert!(desk.hub.login_challenge(conn, b"prove it"));
    let challenge = LoginChallenge { data: Blob::new(b"prove it").unwrap() };
    assert_eq!(desk.frames(conn), [ToClient::LoginChallenge(challenge)]);
    desk.send(conn, &LoginResponse { data: Blob::new(b"proof").unwrap() });
    assert_eq!(desk.take_events(), [Event::LoginResponse { conn, data: Bytes::from_static(b"proof") }]);

    assert!(desk.hub.login_accept(conn, &accept("Alice")));
    let frames = desk.frames(conn);
    let [ToClient::LoginOk(ok)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!((ok.user.as_str(), ok.default_room.as_str()), ("Alice", "lobby"));
    assert_eq!(ok.observed.ip().to_string(), "192.0.2.1");
    assert_eq!((ok.ticket.as_bytes(), ok.ticket_lifetime), (&b"ticket"[..], 60));
    assert!(matches!(&desk.take_events()[..], [Event::LoggedIn { user, .. }] if *user == name("Alice")));
    assert_eq!(desk.hub.connections(), (1, 1));
}

#[test]
fn refused_login_says_so_and_ends_the_connection() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    desk.start_login(conn, "alice", 1);
    desk.skip(conn);
    assert!(desk.hub.login_refuse(conn, ErrorCode::LoginRefused, "wrong ID or password"));
    let frames = desk.frames(conn);
    assert_eq!(errors(&frames), [(ErrorCode::LoginRefused, 0, "wrong ID or password")]);
    let Some(ToClient::Error(error)) = frames.first() else { panic!("{frames:?}") };
    assert_eq!(error.about, FrameType::LoginStart.number());
    assert_eq!(bye(&frames), Some(CloseReason::LoginRefused));
    assert!(desk.hub.is_finished(conn));
}

#[test]
fn answers_that_come_too_late_or_twice_are_ignored() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    assert!(!desk.hub.login_accept(conn, &accept("alice")), "nobody asked yet");
    desk.hello(conn);
    assert!(!desk.hub.login_challenge(conn, b"x"), "nobody asked yet");
    desk.start_login(conn, "alice", 1);
    assert!(desk.hub.login_challenge(conn, b"x"));
    assert!(!desk.hub.login_challenge(conn, b"x"), "it is the client's turn");
    assert!(!desk.hub.login_accept(conn, &accept("alice")), "it is the client's turn");
    desk.send(conn, &LoginResponse { data: Blob::new(b"y").unwrap() });
    assert!(desk.hub.login_accept(conn, &accept("alice")));
    assert!(!desk.hub.login_accept(conn, &accept("alice")), "accepted already");
    assert!(!desk.hub.login_refuse(conn, ErrorCode::LoginRefused, ""), "accepted already");

    let gone = desk.connect("192.0.2.1");
    desk.hello(gone);
    desk.start_login(gone, "bob", 1);
    desk.hub.handle_eof(gone, desk.now);
    assert!(!desk.hub.login_accept(gone, &accept("bob")), "it has gone");
    assert!(!desk.hub.login_refuse(gone, ErrorCode::LoginRefused, ""), "it has gone");
}

#[test]
fn oversized_mechanism_bytes_of_the_program_are_refused() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    desk.start_login(conn, "alice", 1);
    assert!(!desk.hub.login_challenge(conn, &[0; Blob::MAX_LEN + 1]));
    assert!(desk.hub.login_challenge(conn, &[0; Blob::MAX_LEN]));
}

#[test]
fn mechanism_that_is_not_offered_is_refused() {
    let mut desk = Desk::new();
    for mechanism in ["plain", "non", "", "none other"] {
        let conn = desk.connect("192.0.2.1");
        desk.hello(conn);
        desk.skip(conn);
        let (user, mechanism) = (name("alice"), note(mechanism));
        desk.send(
            conn,
            &LoginStart {
                user: user.borrow(),
                device: DeviceId([1; 16]),
                mechanism: mechanism.borrow(),
                data: Blob::default(),
            },
        );
        let frames = desk.frames(conn);
        assert_eq!(errors(&frames)[0].0, ErrorCode::UnknownMechanism, "{mechanism:?}");
        assert_eq!(bye(&frames), Some(CloseReason::LoginRefused));
    }
}

#[test]
fn hello_of_another_protocol_or_version_is_refused() {
    let cases = [
        (ClientHello { magic: *b"http", ..client_hello() }, ErrorCode::Malformed),
        (ClientHello { version_min: VERSION + 1, version_max: 9, ..client_hello() }, ErrorCode::Version),
        (ClientHello { version_min: 0, version_max: 0, ..client_hello() }, ErrorCode::Version),
        (ClientHello { max_frame: MIN_FRAME - 1, ..client_hello() }, ErrorCode::Malformed),
    ];
    for (hello, code) in cases {
        let mut desk = Desk::new();
        let conn = desk.connect("192.0.2.1");
        desk.send(conn, &hello);
        let frames = desk.frames(conn);
        assert_eq!(errors(&frames)[0].0, code, "{hello:?}");
        assert_eq!(bye(&frames), Some(CloseReason::Violation));
    }
}

#[test]
fn silence_before_the_hello_and_before_the_login_ends_the_connection() {
    let mut desk = Desk::new();
    let silent = desk.connect("192.0.2.1");
    let slow = desk.connect("192.0.2.1");
    desk.hello(slow);
    desk.skip(slow);
    assert_eq!(desk.hub.poll_timeout(), Some(desk.now + Duration::from_secs(10)));
    desk.pass(9_999);
    assert_eq!(bye(&desk.frames(silent)), None);
    desk.pass(1);
    assert_eq!(bye(&desk.frames(silent)), Some(CloseReason::HandshakeTimeout));
    assert_eq!(bye(&desk.frames(slow)), None);
    desk.start_login(slow, "alice", 1);
    desk.pass(19_999);
    assert_eq!(bye(&desk.frames(slow)), None);
    desk.pass(1);
    assert_eq!(bye(&desk.frames(slow)), Some(CloseReason::LoginTimeout));
    assert!(!desk.hub.login_accept(slow, &accept("alice")), "too late");
    assert_eq!(desk.hub.connections().1, 0);
}

#[test]
fn strangers_past_the_limit_are_told_to_come_back() {
    let mut desk = Desk::with(|config| config.max_strangers = 2);
    let (first, second) = (desk.connect("192.0.2.1"), desk.connect("192.0.2.1"));
    let third = desk.connect("192.0.2.1");
    let frames = desk.frames(third);
    let [ToClient::Bye(busy)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!(busy.reason, CloseReason::Busy);
    assert!(busy.retry_after > 0);
    assert_eq!(desk.hub.connections(), (3, 0));
    desk.hub.handle_eof(third, desk.now);

    // Whoever logs in is a stranger no more, and whoever goes makes room.
    desk.hello(first);
    desk.start_login(first, "alice", 1);
    assert!(desk.hub.login_accept(first, &accept("alice")));
    let fourth = desk.connect("192.0.2.1");
    assert_eq!(desk.frames(fourth), []);
    desk.hub.handle_eof(second, desk.now);
    let fifth = desk.connect("192.0.2.1");
    assert_eq!(desk.frames(fifth), []);
    let sixth = desk.connect("192.0.2.1");
    assert_eq!(bye(&desk.frames(sixth)), Some(CloseReason::Busy));
}

#[test]
fn strangers_of_one_address_leave_room_for_others() {
    let mut desk = Desk::with(|config| config.max_strangers_per_address = 2);
    // Neighbours in one network are one; an IPv4 address is itself in either form.
    for [own, alike, other] in [
        ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"],
        ["2001:db8::1", "2001:db8::ffff:0:0:2", "2001:db8:0:1::1"],
    ] {
        let first = desk.connect(own);
        let second = desk.connect(alike);
        let third = desk.connect(own);
        assert_eq!(bye(&desk.frames(third)), Some(CloseReason::Busy));
        let stranger = desk.connect(other);
        assert_eq!(desk.frames(stranger), [], "others have room of their own");

        // Those who were turned away hold nothing; who logs in, or goes, makes room.
        desk.hello(first);
        desk.start_login(first, "alice", 1);
        assert!(desk.hub.login_accept(first, &accept("alice")));
        desk.hub.handle_eof(second, desk.now);
        for _ in 0..2 {
            let conn = desk.connect(alike);
            assert_eq!(desk.frames(conn), []);
        }
        let conn = desk.connect(own);
        assert_eq!(bye(&desk.frames(conn)), Some(CloseReason::Busy));
    }
}

#[test]
fn the_one_who_has_been_silent_for_longest_gives_way() {
    let mut desk = Desk::with(|config| {
        config.max_strangers = 3;
        config.max_strangers_per_address = 2;
    });
    let [silent, drips] = ["192.0.2.1", "192.0.2.2"].map(|ip| desk.connect(ip));
    let speaks = desk.connect("192.0.2.3");
    desk.hello(speaks);
    desk.skip(speaks);
    // A byte is no hello.
    desk.hub.handle_input(drips, &[0], desk.now);
    let early = desk.connect("192.0.2.4");
    assert_eq!(bye(&desk.frames(early)), Some(CloseReason::Busy), "they have just come");
    desk.pass(1_000);

    let late = desk.connect("192.0.2.4");
    assert_eq!(desk.frames(late), []);
    assert_eq!(bye(&desk.frames(silent)), Some(CloseReason::Busy));
    let later = desk.connect("192.0.2.4");
    assert_eq!(desk.frames(later), []);
    assert_eq!(bye(&desk.frames(drips)), Some(CloseReason::Busy));
    desk.pass(1_000);
    // Whose address has its share takes nobody's place, and who has said hello keeps it.
    let greedy = desk.connect("192.0.2.4");
    assert_eq!(bye(&desk.frames(greedy)), Some(CloseReason::Busy));
    assert_eq!((desk.frames(late), desk.frames(later), desk.frames(speaks)), (vec![], vec![], vec![]));
    assert_eq!(desk.hub.strangers(), 3);
}

#[test]
fn who_has_come_less_far_gives_way_first_and_nobody_who_waits_for_the_program() {
    let mut desk = Desk::with(|config| config.max_strangers = 4);
    let conns = [1, 2, 3, 4].map(|host| desk.connect(&format!("192.0.2.{host}")));
    let [greeted, challenged, starting, silent] = conns;
    [greeted, challenged, starting].into_iter().for_each(|conn| desk.hello(conn));
    for (conn, device) in [(challenged, 1), (starting, 2)] {
        desk.start_login(conn, "alice", device);
    }
    assert!(desk.hub.login_challenge(challenged, &[1]));
    conns.into_iter().for_each(|conn| desk.skip(conn));
    // Each of them after its time, which is longer for those who have come further.
    let mut newcomers = Vec::new();
    for (wait, gone) in [(1_000, silent), (3_000, greeted), (12_000, challenged)] {
        desk.pass(wait - 1);
        let early = desk.connect("192.0.2.99");
        assert_eq!(bye(&desk.frames(early)), Some(CloseReason::Busy), "before {gone:?} has had its time");
        desk.pass(1);
        let conn = desk.connect("192.0.2.9");
        assert_eq!(desk.frames(conn), []);
        assert_eq!(bye(&desk.frames(gone)), Some(CloseReason::Busy));
        // Somebody else is logged in at once, so that nobody new gives way.
        desk.hello(conn);
        desk.start_login(conn, "bob", u8::try_from(newcomers.len()).unwrap());
        newcomers.push(conn);
    }
    desk.pass(10_000);
    let late = desk.connect("192.0.2.99");
    assert_eq!(bye(&desk.frames(late)), Some(CloseReason::Busy), "all others wait for the program");
    assert!(desk.hub.login_accept(starting, &accept("alice")));
}

#[test]
fn of_those_who_had_their_time_one_of_the_address_with_most_gives_way() {
    let mut desk = Desk::with(|config| config.max_strangers = 4);
    let first = desk.connect("192.0.2.1");
    desk.pass(1);
    let crowd = [(); 3].map(|()| desk.connect("192.0.2.2"));
    desk.pass(1_000);
    for gone in [crowd[0], crowd[1], first] {
        let conn = desk.connect("192.0.2.3");
        assert_eq!(desk.frames(conn), []);
        assert_eq!(bye(&desk.frames(gone)), Some(CloseReason::Busy));
    }
}

/// A thousand addresses that connect again and again and say a byte a second, more of them than there are places; and people
/// whose every word takes a second and a half.
#[test]
fn who_gets_on_logs_in_however_many_drip() {
    const BEAT: u64 = 10;
    let mut desk = Desk::new();
    let hello = client_hello().to_bytes();
    // Two for each beat are as many as the grace lets go.
    let mut crowd = std::collections::VecDeque::new();
    let (mut callers, mut logins) = (0_u32, 0);
    let mut visitor = None;
    for beat in 0..24_000 / BEAT {
        for _ in 0..2 {
            let at = callers % 1_000;
            crowd.push_back((desk.connect(&format!("10.0.{}.{}", at / 250, at % 250)), desk.now));
            callers += 1;
        }
        for (number, (conn, since)) in crowd.iter().enumerate() {
            let age = desk.now.since(*since).as_millis() as usize;
            if age.is_multiple_of(1_000) && number.is_multiple_of(2) {
                desk.hub.handle_input(*conn, &hello[(age / 1_000) % hello.len()..][..1], desk.now);
            }
        }
        crowd.retain(|(conn, _)| bye(&desk.frames(*conn)).is_none());
        match visitor {
            None => {
                let conn = desk.connect("192.0.2.1");
                assert_eq!(desk.frames(conn), [], "there is a place");
                visitor = Some((conn, beat));
            }
            Some((conn, since)) => match (beat - since) * BEAT {
                900 => desk.hello(conn),
                2_400 => desk.start_login(conn, "alice", 1),
                2_500 => assert!(desk.hub.login_challenge(conn, &[1])),
                4_000 => {
                    desk.send(conn, &LoginResponse { data: Blob::new(&[2]).unwrap() });
                    assert!(desk.hub.login_accept(conn, &accept("alice")), "the place is kept");
                    logins += 1;
                    desk.hub.handle_eof(conn, desk.now);
                    visitor = None;
                }
                _ => {}
            },
        }
        desk.pass(BEAT);
    }
    assert!(callers > 1_000 && desk.hub.strangers() >= 200, "{} places", desk.hub.strangers());
    assert_eq!(logins, 5);
}

#[test]
fn same_device_of_the_same_account_replaces_its_older_connection() {
    let mut desk = Desk::new();
    let old = desk.member("alice", 1);
    let other_device = desk.member("alice", 2);
    let other_person = desk.member("bob", 1);
    desk.skip(old);
    let new = desk.login("alice", 1);
    assert_eq!(bye(&desk.frames(old)), Some(CloseReason::Replaced));
    for conn in [other_device, other_person, new] {
        assert_eq!(bye(&desk.frames(conn)), None);
    }
    assert_eq!(desk.hub.connections(), (4, 3));
}

#[test]
fn one_device_too_many_is_refused_and_never_was_logged_in() {
    let mut desk = Desk::with(|config| config.max_devices = 2);
    desk.login("alice", 1);
    desk.login("alice", 2);
    desk.take_events();
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    desk.start_login(conn, "alice", 3);
    desk.take_events();
    assert!(!desk.hub.login_accept(conn, &accept("alice")));
    assert_eq!(bye(&desk.frames(conn)), Some(CloseReason::Busy));
    let events = desk.take_events();
    assert!(
        matches!(
            &events[..],
            [Event::Closed { user: None, reason: Ended::Closed(CloseReason::Busy, _), .. }]
        ),
        "{events:?}"
    );
    // The same device again is not one more.
    let again = desk.login("alice", 2);
    assert_eq!(bye(&desk.frames(again)), None);
    assert_eq!(desk.hub.connections().1, 2);
}

#[test]
fn end_of_a_connection_is_told_once_with_its_reason() {
    let mut desk = Desk::new();
    let conn = desk.login("alice", 1);
    desk.take_events();
    desk.send(conn, &Bye { reason: CloseReason::Direct, retry_after: 0, note: NoteRef::EMPTY });
    let events = desk.take_events();
    assert!(
        matches!(&events[..], [Event::Closed { user: Some(_), reason: Ended::Bye(CloseReason::Direct), .. }]),
        "{events:?}"
    );
    desk.skip(conn);
    assert!(desk.hub.is_finished(conn));
    desk.hub.handle_eof(conn, desk.now);
    desk.hub.handle_eof(conn, desk.now);
    assert_eq!(desk.take_events(), []);

    let conn = desk.login("alice", 1);
    desk.take_events();
    let half = &Ping { nonce: 1 }.to_bytes()[..7];
    desk.hub.handle_input(conn, half, desk.now);
    desk.hub.handle_eof(conn, desk.now);
    let events = desk.take_events();
    assert!(matches!(&events[..], [Event::Closed { reason: Ended::Lost { partial: 7 }, .. }]), "{events:?}");
    assert_eq!(desk.hub.connections(), (0, 0));
    assert_eq!(desk.hub.poll_timeout(), None, "nothing is left of connections that have gone");
}

#[test]
fn removed_account_and_shutdown_end_connections_with_their_reason() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.hub.remove_user(&name("alice"), desk.now);
    assert_eq!(bye(&desk.frames(alice)), Some(CloseReason::Removed));
    assert_eq!(presence(&desk.frames(bob)), [(Change::Departed, "alice")]);
    desk.hub.shut_down(desk.now);
    assert_eq!(bye(&desk.frames(bob)), Some(CloseReason::ShuttingDown));
    assert_eq!(desk.hub.connections().1, 0);
}

#[test]
fn a_login_that_is_accepted_and_does_not_stand_is_told_to_the_program() {
    let mut desk = Desk::with(|config| config.max_devices = 1);
    desk.login("alice", 1);
    let second = desk.connect("192.0.2.1");
    desk.hello(second);
    desk.start_login(second, "alice", 2);
    assert!(!desk.hub.login_accept(second, &accept("alice")));
    assert_eq!(bye(&desk.frames(second)), Some(CloseReason::Busy));
    let bob = Subject::User(name("bob"));
    desk.hub.govern_as_host(Action::Ban, Some(bob), 0, note("spam")).unwrap();
    desk.commit();
    let barred = desk.connect("192.0.2.1");
    desk.hello(barred);
    desk.start_login(barred, "bob", 3);
    assert!(!desk.hub.login_accept(barred, &accept("bob")));
    assert_eq!(errors(&desk.frames(barred))[0].0, ErrorCode::Barred);
    let logged_in = |event: &&Event| matches!(event, Event::LoggedIn { .. });
    assert_eq!(desk.take_events().iter().filter(logged_in).count(), 1);
}

#[test]
fn limits_that_the_protocol_does_not_allow_are_brought_within_it() {
    let small = |config: &mut chatproto::hub::Config| {
        config.limits.max_frame = 8 * 1024;
        config.limits.max_queue_hard = 1;
    };
    let mut desk = Desk::with(small);
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    let frames = desk.frames(conn);
    let [ToClient::ServerHello(hello)] = frames[..] else { panic!("{frames:?}") };
    assert_eq!(hello.max_frame, MIN_FRAME);
    let check = |desk: &Desk| {
        let config = desk.hub.config();
        assert_eq!(config.limits.max_queue_hard, config.limits.max_queue + config.page_bytes);
    };
    check(&desk);
    let mut config = desk.hub.config().clone();
    small(&mut config);
    config.limits.max_queue *= 2;
    desk.hub.set_limits(config);
    check(&desk);
}

#[test]
fn the_first_room_of_a_log_whose_rooms_are_gone_gets_a_new_number() {
    let mut desk = Desk::with(|config| config.last_room = RoomId(41));
    desk.commit();
    let lobby = chatproto::hub::Label::Group(name("lobby"));
    assert_eq!(desk.hub.router().find(&lobby), Some(RoomId(42)));
}
