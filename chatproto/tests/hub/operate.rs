//! What whoever runs the server can change and see while it runs.

use std::time::Duration;

use chatproto::wire::*;

use crate::desk::*;

#[test]
fn changed_limits_hold_at_once() {
    let mut desk = Desk::with(|config| config.max_strangers = 1);
    let first = desk.connect("192.0.2.1");
    let second = desk.connect("192.0.2.2");
    assert_eq!(bye(&desk.frames(second)), Some(CloseReason::Busy));
    assert_eq!(desk.hub.strangers(), 1, "who is told to come back later does not count");
    let mut config = desk.hub.config().clone();
    config.max_strangers = 2;
    config.limits.handshake_timeout = Duration::from_millis(500);
    desk.hub.set_limits(config);
    let third = desk.connect("192.0.2.3");
    assert_eq!(desk.frames(third), []);
    assert_eq!(desk.hub.strangers(), 2);
    // A shorter time holds for those who are waiting already, and wakes the program in time.
    assert_eq!(desk.hub.poll_timeout(), Some(desk.now + Duration::from_millis(500)));
    desk.pass(500);
    for conn in [first, third] {
        assert_eq!(bye(&desk.frames(conn)), Some(CloseReason::HandshakeTimeout));
    }
}

#[test]
fn what_clients_were_told_stays() {
    let mut desk = Desk::new();
    let before = desk.hub.config().clone();
    let mut config = before.clone();
    config.server = ServerId([9; 16]);
    config.default_room = name("elsewhere");
    config.limits.max_frame = MIN_FRAME;
    config.page_bytes = 1;
    config.recent_bytes = 1;
    config.max_devices = 1;
    desk.hub.set_limits(config);
    let after = desk.hub.config();
    assert_eq!((after.server, &after.default_room), (before.server, &before.default_room));
    assert_eq!(after.limits.max_frame, before.limits.max_frame);
    assert_eq!((after.page_bytes, after.recent_bytes), (before.page_bytes, before.recent_bytes));
    assert_eq!(after.max_devices, 1);
}

#[test]
fn deliveries_and_queues_are_counted() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.skip(bob);
    assert_eq!((desk.hub.deliveries(), desk.hub.queued_bytes()), (0, 0));
    desk.say(alice, 1, "lobby", "hello");
    desk.commit();
    assert_eq!(desk.hub.deliveries(), 2, "a message to two");
    assert!(desk.hub.queued_bytes() > 2 * "hello".len(), "{}", desk.hub.queued_bytes());
    desk.skip(alice);
    desk.skip(bob);
    assert_eq!(desk.hub.queued_bytes(), 0);
    let carol = desk.login("carol", 3);
    desk.join(carol, "lobby", Some(0));
    assert_eq!(seqs(&desk.frames(carol)), [1]);
    assert_eq!(desk.hub.deliveries(), 3, "and one that was missed");
}
