//! Bans of a room that cover addresses: they hold for whoever comes from there, and nobody in the room learns them.

use chatproto::hub::{ConnId, RoomOrder};
use chatproto::wire::*;

use crate::desk::*;

const HOME: &str = "192.0.2.7";
const ELSEWHERE: &str = "198.51.100.9";

/// Alice owns the den; Bob and his flatmate come from the same address, Carol from another. All are in.
fn den() -> (Desk, [ConnId; 4]) {
    let mut desk = Desk::with(|config| config.capabilities = Capabilities::NONE.with(Capability::Moderation));
    let people = [("203.0.113.1", "alice"), (HOME, "bob"), (HOME, "flatmate"), (ELSEWHERE, "carol")];
    let people = people.map(|(ip, user)| desk.login_from(ip, user, 1));
    for conn in people {
        desk.join(conn, "den", None);
    }
    desk.commit();
    people.iter().for_each(|conn| desk.skip(*conn));
    (desk, people)
}

fn order(desk: &mut Desk, conn: ConnId, action: Action, user: &str, seconds: u32) {
    let (den, user) = (name("den"), name(user));
    let (target, user) = (Target::Room(den.borrow()), Some(user.borrow()));
    let note = NoteRef::new("spam").unwrap();
    desk.send(conn, &Moderate { request: RequestId(7), target, action, user, seconds, note });
    desk.pass(COMMIT);
}

/// As the operator of the server; whether it was taken.
fn from_above(desk: &mut Desk, action: Action, network: &str) -> Result<(), &'static str> {
    let Ok(Subject::Network(network)) = network.parse() else { panic!("{network} is no network") };
    let (room, user, note) = (name("den"), None, note("spam"));
    let wanted = RoomOrder { room, action, user, network: Some(network), seconds: 0, note };
    let taken = desk.hub.moderate_as_host(wanted).map(drop).map_err(|(_, note)| note);
    desk.commit();
    taken
}

fn is_out(frames: &[ToClient<'static>]) -> bool {
    frames.iter().any(|frame| matches!(frame, ToClient::Left(left) if left.code == Some(ErrorCode::Banned)))
}

/// Why somebody does not get in, if not.
fn enters(desk: &mut Desk, conn: ConnId) -> Option<(ErrorCode, &'static str)> {
    desk.join(conn, "den", None);
    errors(&desk.frames(conn)).first().map(|(code, _, note)| (*code, *note))
}

/// What is imposed, as one who asks is told: action and subject.
fn imposed(desk: &mut Desk, conn: ConnId, about: Inquiry) -> Vec<(Action, &'static str)> {
    let den = name("den");
    let target = Some(Target::Room(den.borrow()));
    desk.send(conn, &Inquire { request: RequestId(8), target, about, before: 0, limit: 50 });
    match desk.frames(conn).last() {
        Some(ToClient::Report(report)) => {
            report.lines.iter().map(|it| (it.action, it.subject.as_str())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ban_with_the_address_holds_for_another_account_from_there_until_it_is_lifted() {
    let (mut desk, [alice, bob, flatmate, carol]) = den();
    order(&mut desk, alice, Action::BanAddress, "bob", 3_600);
    assert!(is_out(&desk.frames(bob)) && is_out(&desk.frames(flatmate)));
    let heard = desk.frames(carol);
    assert!(!is_out(&heard));
    assert!(!format!("{heard:?}").contains("192"), "no address is told: {heard:?}");
    let puppet = desk.login_from(HOME, "puppet", 2);
    let (code, why) = enters(&mut desk, puppet).expect("not from here");
    assert_eq!(code, ErrorCode::Banned);
    assert!(
        why.starts_with("nobody may enter this room from your address for another 3600 s: spam"),
        "{why}"
    );
    let puppet_elsewhere = desk.login_from("203.0.113.77", "puppet", 3);
    assert_eq!(enters(&mut desk, puppet_elsewhere), None);
    // Shown as what it is, without the address.
    assert_eq!(imposed(&mut desk, alice, Inquiry::Imposed), [(Action::BanAddress, "bob")]);
    let audit = imposed(&mut desk, alice, Inquiry::Audit);
    assert_eq!(audit[0], (Action::BanAddress, "bob"));
    // So after a restart; and an operator enters from everywhere.
    let mut desk = desk.restart();
    let flatmate = desk.login_from(HOME, "flatmate", 1);
    assert_eq!(enters(&mut desk, flatmate).unwrap().0, ErrorCode::Banned);
    let alice = desk.login_from(HOME, "alice", 1);
    assert_eq!(enters(&mut desk, alice), None);
    order(&mut desk, alice, Action::Unban, "bob", 0);
    assert_eq!(enters(&mut desk, flatmate), None);
    assert_eq!(imposed(&mut desk, alice, Inquiry::Imposed), []);
}

#[test]
fn it_ends_with_its_time_and_with_the_account() {
    let (mut desk, [alice, _, flatmate, _]) = den();
    order(&mut desk, alice, Action::BanAddress, "bob", 10);
    assert_eq!(enters(&mut desk, flatmate).unwrap().0, ErrorCode::Banned);
    desk.pass(10_000);
    assert_eq!(enters(&mut desk, flatmate), None);
    order(&mut desk, alice, Action::BanAddress, "flatmate", 0);
    desk.hub.remove_user(&name("flatmate"), desk.now);
    desk.commit();
    let other = desk.login_from(HOME, "other", 1);
    assert_eq!(enters(&mut desk, other), None);
}

#[test]
fn the_part_of_an_ipv6_address_that_one_customer_has_counts() {
    let (mut desk, [alice, ..]) = den();
    let dave = desk.login_from("2001:db8:1:2::1", "dave", 1);
    assert_eq!(enters(&mut desk, dave), None);
    order(&mut desk, alice, Action::BanAddress, "dave", 0);
    let near = desk.login_from("2001:db8:1:2:ffff::5", "erin", 1);
    let far = desk.login_from("2001:db8:1:3::1", "frank", 1);
    assert_eq!(enters(&mut desk, near).unwrap().0, ErrorCode::Banned);
    assert_eq!(enters(&mut desk, far), None);
}

#[test]
fn an_ipv4_address_inside_of_ipv6_is_the_same_address() {
    let (mut desk, [alice, _, flatmate, carol]) = den();
    let mapped = desk.login_from("::ffff:192.0.2.7", "erin", 1);
    assert_eq!(enters(&mut desk, mapped), None);
    desk.commit();
    desk.skip(mapped);
    // Said of one who came by IPv4, and of one who came by IPv6.
    order(&mut desk, alice, Action::BanAddress, "bob", 0);
    assert!(is_out(&desk.frames(mapped)) && is_out(&desk.frames(flatmate)));
    assert_eq!(enters(&mut desk, mapped).unwrap().0, ErrorCode::Banned);
    order(&mut desk, alice, Action::Unban, "bob", 0);
    order(&mut desk, alice, Action::BanAddress, "erin", 0);
    assert_eq!(enters(&mut desk, flatmate).unwrap().0, ErrorCode::Banned);
    assert!(!is_out(&desk.frames(carol)), "not all of IPv4");
    let all = from_above(&mut desk, Action::BanNetwork, "::ffff:0.0.0.0/97");
    assert_eq!(all, Ok(()), "half of IPv4");
    let root = desk.login_from("127.0.0.1", "root", 1);
    let shown = imposed(&mut desk, root, Inquiry::Imposed);
    assert!(shown.contains(&(Action::BanNetwork, "0.0.0.0/1")), "{shown:?}");
}

#[test]
fn a_device_of_the_same_person_elsewhere_stays_and_a_new_ban_takes_the_place_of_the_old() {
    let (mut desk, [alice, _, flatmate, carol]) = den();
    let away = desk.login_from("203.0.113.50", "flatmate", 9);
    assert_eq!(enters(&mut desk, away), None);
    desk.commit();
    order(&mut desk, alice, Action::BanAddress, "bob", 0);
    assert!(is_out(&desk.frames(flatmate)));
    assert!(!is_out(&desk.frames(away)), "the person is not banned");
    desk.hub.disconnect_user(&name("bob"), desk.now);
    // Bob comes from elsewhere now: the ban follows, and the old address is free.
    let bob = desk.login_from(ELSEWHERE, "bob", 7);
    assert_eq!(enters(&mut desk, bob).unwrap().0, ErrorCode::Banned);
    order(&mut desk, alice, Action::BanAddress, "bob", 0);
    assert!(is_out(&desk.frames(carol)));
    assert_eq!(enters(&mut desk, flatmate), None);
    // A ban without addresses lifts those.
    order(&mut desk, alice, Action::Ban, "bob", 0);
    assert_eq!(enters(&mut desk, carol), None);
    assert_eq!(imposed(&mut desk, alice, Inquiry::Imposed), [(Action::Ban, "bob")]);
}

#[test]
fn addresses_count_among_the_notes_of_the_room() {
    let mut desk = Desk::with(|config| {
        config.capabilities = Capabilities::NONE.with(Capability::Moderation);
        config.max_house_notes = 3;
    });
    let [alice, _bob] = [("203.0.113.1", "alice"), (HOME, "bob")].map(|(ip, user)| {
        let conn = desk.login_from(ip, user, 1);
        desk.join(conn, "den", None);
        desk.commit();
        desk.skip(conn);
        conn
    });
    // The owner, the ban and the address are three.
    order(&mut desk, alice, Action::BanAddress, "bob", 10);
    assert_eq!(errors(&desk.frames(alice)), []);
    assert_eq!(from_above(&mut desk, Action::BanNetwork, "198.51.100.0/24").map_err(|_| ()), Err(()));
    order(&mut desk, alice, Action::Mute, "bob", 10);
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::Busy);
    desk.pass(10_000);
    assert_eq!(from_above(&mut desk, Action::BanNetwork, "198.51.100.0/24"), Ok(()));
}

#[test]
fn networks_are_the_business_of_the_servers_operator() {
    let (mut desk, [alice, bob, _, carol]) = den();
    for action in [Action::BanNetwork, Action::UnbanNetwork] {
        order(&mut desk, alice, action, "bob", 0);
        assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::Forbidden);
    }
    assert_eq!(from_above(&mut desk, Action::UnbanNetwork, "192.0.2.0/24"), Err("there is no such ban"));
    from_above(&mut desk, Action::BanNetwork, "192.0.2.0/24").unwrap();
    assert!(is_out(&desk.frames(bob)) && !is_out(&desk.frames(carol)));
    assert_eq!(enters(&mut desk, bob).unwrap().0, ErrorCode::Banned);
    // The room's operator sees that, an administrator also where.
    assert_eq!(imposed(&mut desk, alice, Inquiry::Imposed), [(Action::BanNetwork, "")]);
    assert_eq!(imposed(&mut desk, alice, Inquiry::Audit)[0], (Action::BanNetwork, ""));
    let root = desk.login_from(HOME, "root", 1);
    assert_eq!(enters(&mut desk, root), None, "from everywhere");
    assert_eq!(imposed(&mut desk, root, Inquiry::Imposed), [(Action::BanNetwork, "192.0.2.0/24")]);
    assert_eq!(imposed(&mut desk, root, Inquiry::Audit)[0], (Action::BanNetwork, "192.0.2.0/24"));
    let mut desk = desk.restart();
    let bob = desk.login_from(HOME, "bob", 1);
    assert_eq!(enters(&mut desk, bob).unwrap().0, ErrorCode::Banned);
    from_above(&mut desk, Action::UnbanNetwork, "192.0.2.0/24").unwrap();
    assert_eq!(enters(&mut desk, bob), None);
}

#[test]
fn who_keeps_order_no_more_is_out_where_the_address_is_barred() {
    let (mut desk, [alice, bob, flatmate, carol]) = den();
    for user in ["bob", "carol"] {
        order(&mut desk, alice, Action::Op, user, 0);
    }
    from_above(&mut desk, Action::BanNetwork, HOME).unwrap();
    assert!(is_out(&desk.frames(flatmate)));
    assert!(!is_out(&desk.frames(bob)), "he keeps order, from everywhere");
    for user in ["bob", "carol"] {
        order(&mut desk, alice, Action::Deop, user, 0);
    }
    assert!(is_out(&desk.frames(bob)));
    assert_eq!(enters(&mut desk, bob).map(|(code, _)| code), Some(ErrorCode::Banned));
    assert!(!is_out(&desk.frames(carol)), "nothing is said of where she is");
}
