//! The order of the whole server: what is durable before it holds, hand-over, bans, lockdown, and what is told of it.

use core::time::Duration;

use chatproto::hub::{ConnId, Event, LogRequest, RoomOrder};
use chatproto::testing::{MemoryLog, Trouble};
use chatproto::wire::*;

use crate::desk::*;

fn desk() -> Desk {
    desk_with(|_| {})
}

fn desk_with(change: impl FnOnce(&mut chatproto::hub::Config)) -> Desk {
    let log = MemoryLog::new(Duration::from_millis(COMMIT));
    let mut desk = Desk::over(log, |config| {
        config.capabilities = Capabilities::NONE.with(Capability::Moderation);
        change(config);
    });
    desk.commit();
    desk
}

/// Asks without waiting for the log.
fn begin(desk: &mut Desk, conn: ConnId, room: &str, action: Action, user: &str) {
    let room = name(room);
    let person = (!user.is_empty()).then(|| name(user));
    let user = person.as_ref().map(Name::borrow);
    let (request, target) = (RequestId(7), Target::Room(room.borrow()));
    desk.send(conn, &Moderate { request, target, action, user, seconds: 0, note: NoteRef::EMPTY });
}

fn order(desk: &mut Desk, conn: ConnId, room: &str, action: Action, user: &str) {
    begin(desk, conn, room, action, user);
    desk.commit();
}

fn govern(desk: &mut Desk, conn: ConnId, action: Action, subject: &str, seconds: u32) {
    let subject = (!subject.is_empty()).then(|| subject.parse::<Subject>().unwrap());
    let note = NoteRef::new("spam").unwrap();
    let subject = subject.as_ref().map(Subject::borrow);
    desk.send(conn, &Govern { request: RequestId(9), action, subject, seconds, note });
    desk.commit();
}

fn codes(frames: &[ToClient<'static>]) -> Vec<ErrorCode> {
    errors(frames).into_iter().map(|(code, ..)| code).collect()
}

fn ranks(desk: &mut Desk, conn: ConnId, room: &str) -> Vec<(&'static str, Rank)> {
    let room = name(room);
    desk.skip(conn);
    desk.send(conn, &Who { request: RequestId(3), target: Target::Room(room.borrow()) });
    let frames = desk.frames(conn);
    let [ToClient::Members(page)] = &frames[..] else { panic!("{frames:?}") };
    page.members.iter().map(|member| (member.user.as_str(), member.rank)).collect()
}

fn report(
    desk: &mut Desk,
    conn: ConnId,
    room: Option<&str>,
    about: Inquiry,
    before: u64,
) -> Vec<ReportLine<'static>> {
    let room = room.map(name);
    let target = room.as_ref().map(|room| Target::Room(room.borrow()));
    desk.skip(conn);
    desk.send(conn, &Inquire { request: RequestId(4), target, about, before, limit: 2 });
    let frames = desk.frames(conn);
    let [ToClient::Report(page)] = &frames[..] else { panic!("{frames:?}") };
    page.lines.iter().collect()
}

/// Alice owns the garden, Bob is in it.
fn garden(desk: &mut Desk) -> [ConnId; 2] {
    let people = [("alice", 1), ("bob", 2)].map(|(user, device)| desk.login(user, device));
    for conn in people {
        desk.join(conn, "garden", None);
    }
    desk.commit();
    people.map(|conn| {
        desk.skip(conn);
        conn
    })
}

fn is_out(frames: &[ToClient<'static>], code: ErrorCode) -> bool {
    frames.iter().any(|frame| matches!(frame, ToClient::Left(left) if left.code == Some(code)))
}

#[test]
fn a_change_holds_and_is_told_only_once_it_is_durable() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    begin(&mut desk, alice, "garden", Action::Mute, "bob");
    assert!(desk.frames(alice).is_empty() && desk.frames(bob).is_empty());
    desk.say(bob, 1, "garden", "still here");
    assert!(codes(&desk.frames(bob)).is_empty());
    desk.commit();
    let told =
        |frames: &[ToClient<'static>]| frames.iter().any(|frame| matches!(frame, ToClient::Moderated(_)));
    assert!(told(&desk.frames(alice)) && told(&desk.frames(bob)));
    desk.say(bob, 2, "garden", "and now");
    desk.commit();
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Muted]);

    // A crash between asking and storing: nobody has heard of it, and it never holds.
    begin(&mut desk, alice, "garden", Action::Kick, "bob");
    assert!(desk.frames(bob).is_empty());
    let mut desk = desk.restart();
    let bob = desk.login("bob", 2);
    desk.join(bob, "garden", None);
    joined(&desk.frames(bob));
}

#[test]
fn what_cannot_be_stored_is_refused_and_never_holds() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    desk.log.set_trouble(Some(Trouble::Full));
    order(&mut desk, alice, "garden", Action::Kick, "bob");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::NotStored]);
    assert!(desk.frames(bob).is_empty());
    let den = name("den");
    let create = Create { request: RequestId(5), name: den.borrow(), private: true };
    desk.send(alice, &create);
    desk.commit();
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::NotStored]);
    desk.log.set_trouble(None);
    desk.send(alice, &create);
    assert!(desk.frames(alice).is_empty(), "nobody is told of a room that is not durable");
    desk.commit();
    assert_eq!(joined(&desk.frames(alice)).name.as_str(), "den");
}

#[test]
fn a_room_is_handed_over_closed_opened_and_removed() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    assert_eq!(ranks(&mut desk, bob, "garden"), [("alice", Rank::Owner), ("bob", Rank::Guest)]);
    order(&mut desk, bob, "garden", Action::Owner, "bob");
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden]);
    order(&mut desk, alice, "garden", Action::Owner, "bob");
    assert_eq!(ranks(&mut desk, bob, "garden"), [("alice", Rank::Operator), ("bob", Rank::Owner)]);
    desk.skip(alice);
    order(&mut desk, alice, "garden", Action::Private, "");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Forbidden], "an operator is no owner");

    let carol = desk.login("carol", 3);
    desk.join(carol, "garden", None);
    order(&mut desk, bob, "garden", Action::Private, "");
    // Whoever was there is let in, for good.
    assert!(ranks(&mut desk, carol, "garden").contains(&("carol", Rank::Member)));
    let dave = desk.login("dave", 4);
    desk.join(dave, "garden", None);
    assert_eq!(codes(&desk.frames(dave)), [ErrorCode::NoSuchRoom]);
    let mut desk = desk.restart();
    let [bob, carol, dave] =
        [("bob", 2), ("carol", 3), ("dave", 4)].map(|(user, device)| desk.login(user, device));
    desk.join(carol, "garden", None);
    joined(&desk.frames(carol));
    desk.join(dave, "garden", None);
    assert_eq!(codes(&desk.frames(dave)), [ErrorCode::NoSuchRoom]);
    desk.skip(dave);
    order(&mut desk, bob, "garden", Action::Public, "");
    desk.join(dave, "garden", None);
    joined(&desk.frames(dave));
}

#[test]
fn a_removed_room_is_gone_with_its_number() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    order(&mut desk, alice, "lobby", Action::Remove, "");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Forbidden]);
    // On its way when the room goes.
    begin(&mut desk, alice, "garden", Action::Remove, "");
    desk.say(bob, 1, "garden", "wait");
    desk.commit();
    let frames = desk.frames(bob);
    assert!(is_out(&frames, ErrorCode::NoSuchRoom), "{frames:?}");
    assert!(codes(&frames).contains(&ErrorCode::NotStored), "{frames:?}");
    desk.join(bob, "garden", None);
    assert_eq!(joined(&desk.frames(bob)).room, RoomId(3), "a room of the same name is another room");
    desk.commit();
    let mut desk = desk.restart();
    let bob = desk.login("bob", 2);
    desk.join(bob, "meadow", None);
    assert_eq!(joined(&desk.frames(bob)).room, RoomId(4));
}

#[test]
fn barred_accounts_and_networks_stay_out_even_after_a_restart() {
    let mut desk = desk();
    let [root, bob] = [desk.login("root", 1), desk.login("bob", 2)];
    let eve = desk.login_from("203.0.113.9", "eve", 3);
    govern(&mut desk, bob, Action::Ban, "eve", 60);
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden]);
    govern(&mut desk, root, Action::Ban, "203.0.113.0/24", 60);
    let done = desk.frames(root);
    assert!(matches!(done[..], [ToClient::Governed(it)] if it.request == RequestId(9) && it.seconds == 60));
    let frames = desk.frames(eve);
    assert_eq!((codes(&frames), bye(&frames)), (vec![ErrorCode::Barred], Some(CloseReason::LoginRefused)));
    assert!(desk.hub.bars_address("::ffff:203.0.113.77".parse().unwrap(), desk.now), "IPv4 inside of IPv6");
    assert!(!desk.hub.bars_address("203.0.114.1".parse().unwrap(), desk.now));
    let late = desk.connect("203.0.113.10");
    let frames = desk.frames(late);
    assert_eq!((codes(&frames), bye(&frames)), (vec![ErrorCode::Barred], Some(CloseReason::LoginRefused)));

    govern(&mut desk, root, Action::Ban, "bob", 0);
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Barred]);
    for mine in ["root", "192.0.2.0/24"] {
        govern(&mut desk, root, Action::Ban, mine, 0);
        assert_eq!(codes(&desk.frames(root)), [ErrorCode::Forbidden], "{mine}");
    }
    let mut desk = desk.restart();
    let again = desk.connect("192.0.2.1");
    desk.hello(again);
    desk.start_login(again, "bob", 2);
    desk.skip(again);
    desk.hub.login_accept(again, &accept("bob"));
    let frames = desk.frames(again);
    assert_eq!((codes(&frames), bye(&frames)), (vec![ErrorCode::Barred], Some(CloseReason::LoginRefused)));
    assert!(errors(&frames)[0].2.ends_with("until that is lifted: spam"), "{frames:?}");
    // A minute later only the account's ban holds.
    for _ in 0..6 {
        desk.pass(10_000);
    }
    assert!(!desk.hub.bars_address("203.0.113.77".parse().unwrap(), desk.now));
}

#[test]
fn lockdown_lets_administrators_in_and_hush_lets_only_them_speak() {
    let mut desk = desk();
    let [root, bob] = [desk.member("root", 1), desk.member("bob", 2)];
    govern(&mut desk, root, Action::Lockdown, "", 0);
    let new = desk.connect("192.0.2.1");
    desk.hello(new);
    desk.start_login(new, "carol", 3);
    desk.skip(new);
    desk.hub.login_accept(new, &accept("carol"));
    assert_eq!(codes(&desk.frames(new)), [ErrorCode::LockedDown]);
    desk.login("root", 9);
    desk.say(bob, 1, "lobby", "I am here still");
    desk.commit();
    assert!(codes(&desk.frames(bob)).is_empty());
    govern(&mut desk, root, Action::Hush, "", 0);
    desk.say(bob, 2, "lobby", "and now");
    desk.say(root, 1, "lobby", "order!");
    desk.commit();
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::LockedDown]);
    assert!(codes(&desk.frames(root)).is_empty());
    let imposed = report(&mut desk, root, None, Inquiry::Imposed, 0);
    assert_eq!((imposed.len(), imposed[0].action, imposed[0].note.as_str()), (1, Action::Hush, "spam"));
    govern(&mut desk, root, Action::Unlock, "", 0);
    desk.say(bob, 3, "lobby", "thanks");
    desk.commit();
    assert!(codes(&desk.frames(bob)).is_empty());
}

#[test]
fn nothing_of_a_removed_account_falls_to_the_next_of_its_name() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Op, "bob");
    order(&mut desk, alice, "garden", Action::Mute, "carol");
    for gone in ["alice", "bob", "carol"] {
        desk.hub.remove_user(&name(gone), desk.now);
    }
    assert_eq!(bye(&desk.frames(bob)), Some(CloseReason::Removed));
    let house = desk.hub.router().house(RoomId(2)).unwrap();
    assert!(house.roles.is_empty() && house.mutes.is_empty() && house.bans.is_empty());
}

#[test]
fn operators_are_told_of_their_room_and_administrators_of_all() {
    let mut desk = desk();
    let [alice, bob] = garden(&mut desk);
    for user in ["carol", "dave", "eve"] {
        order(&mut desk, alice, "garden", Action::Mute, user);
    }
    let page = report(&mut desk, alice, Some("garden"), Inquiry::Audit, 0);
    let told: Vec<_> =
        page.iter().map(|line| (line.number, line.by.as_str(), line.subject.as_str())).collect();
    assert_eq!(told, [(3, "alice", "eve"), (2, "alice", "dave")], "newest first");
    let page = report(&mut desk, alice, Some("garden"), Inquiry::Audit, 2);
    assert_eq!((page.len(), page[0].number, page[0].room.as_str()), (1, 1, "garden"));
    assert_eq!(report(&mut desk, alice, Some("garden"), Inquiry::Imposed, 0).len(), 3);
    let garden = name("garden");
    for (conn, target) in [(bob, Some(Target::Room(garden.borrow()))), (bob, None), (alice, None)] {
        desk.skip(conn);
        let about = Inquiry::Audit;
        desk.send(conn, &Inquire { request: RequestId(4), target, about, before: 0, limit: 1 });
        assert_eq!(codes(&desk.frames(conn)), [ErrorCode::Forbidden]);
    }
    let root = desk.login("root", 9);
    assert_eq!(report(&mut desk, root, None, Inquiry::Audit, 0).len(), 2);
}

#[test]
fn a_full_room_has_a_place_for_those_who_keep_order() {
    let mut desk = desk_with(|config| config.max_room_members = 2);
    let [alice, _] = garden(&mut desk);
    let carol = desk.login("carol", 3);
    desk.join(carol, "garden", None);
    assert_eq!(codes(&desk.frames(carol)), [ErrorCode::RoomFull]);
    // Another device of somebody who is there takes no place.
    let phone = desk.login("bob", 9);
    desk.join(phone, "garden", None);
    joined(&desk.frames(phone));
    order(&mut desk, alice, "garden", Action::Op, "carol");
    desk.join(carol, "garden", None);
    joined(&desk.frames(carol));
}

#[test]
fn the_operator_of_the_server_is_above_all_and_told_as_nobody() {
    let mut desk = desk();
    let [alice, _] = garden(&mut desk);
    let wanted = |action, user: Option<&str>| RoomOrder {
        room: name("garden"),
        action,
        user: user.map(name),
        network: None,
        seconds: 0,
        note: note(""),
    };
    desk.hub.moderate_as_host(wanted(Action::Kick, Some("alice"))).unwrap();
    desk.commit();
    let frames = desk.frames(alice);
    assert!(is_out(&frames, ErrorCode::Kicked), "{frames:?}");
    assert!(frames.iter().any(|frame| matches!(frame, ToClient::Moderated(it) if it.by.is_none())));
    let refused = desk.hub.moderate_as_host(wanted(Action::Invite, Some("bob")));
    assert_eq!(refused, Err((ErrorCode::Forbidden, "everybody may enter this room")));
    let made = desk.hub.create_room_as_host(name("den"), Some(&name("bob")), true).unwrap();
    let events: Vec<Event> = core::iter::from_fn(|| desk.hub.poll_event()).collect();
    let [Event::Log(LogRequest::RoomCreated { id, by: None, house, .. })] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(*id == made && house.is_private && house.rank(&name("bob")) == Rank::Owner);
}

#[test]
fn an_administrator_who_is_away_is_banned_from_no_room() {
    let mut desk = desk();
    desk.log.set_admins([name("root")]);
    let [alice, _] = garden(&mut desk);
    for action in [Action::Ban, Action::BanAddress, Action::Kick, Action::Mute] {
        order(&mut desk, alice, "garden", action, "root");
        assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Forbidden], "{action:?}");
    }
    // Known to the room since then, and still looked at.
    order(&mut desk, alice, "garden", Action::Owner, "root");
    order(&mut desk, alice, "garden", Action::Ban, "root");
    desk.skip(alice);
    let banned = |desk: &mut Desk| {
        let user = Some(name("root"));
        let (room, action, note) = (name("garden"), Action::Ban, note(""));
        desk.hub.moderate_as_host(RoomOrder { room, action, user, network: None, seconds: 0, note })
    };
    let root = desk.login("root", 9);
    assert_eq!(banned(&mut desk).map_err(|(code, _)| code), Err(ErrorCode::Forbidden));
    desk.join(root, "garden", None);
    joined(&desk.frames(root));
    assert!(desk.hub.router().house(RoomId(2)).unwrap().bans.is_empty());
}
