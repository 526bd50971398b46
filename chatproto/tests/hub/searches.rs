//! Searches take turns: one of each account is under way.

use bytes::Buf as _;
use chatproto::hub::{ConnId, Event, LogRequest, QueryId};
use chatproto::wire::*;

use crate::desk::*;

fn search(desk: &mut Desk, conn: ConnId, request: u32, words: &str) {
    let words = Text::new(words).unwrap();
    let search = Search { request: RequestId(request), target: None, limit: 9, words: words.borrow() };
    desk.hub.handle_input(conn, &search.to_bytes(), desk.now);
}

/// What the hub wants searched now.
fn asked(desk: &mut Desk) -> Vec<(QueryId, String)> {
    let mut asked = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        match event {
            Event::Log(LogRequest::Search { id, words, .. }) => asked.push((id, words.as_str().to_owned())),
            other => desk.events.extend(desk.log.take(other, desk.now)),
        }
    }
    asked
}

fn words(asked: &[(QueryId, String)]) -> Vec<&str> {
    asked.iter().map(|(_, words)| words.as_str()).collect()
}

/// What waits for a connection; what the hub wants searched stays with it.
fn frames(desk: &mut Desk, conn: ConnId) -> Vec<ToClient<'static>> {
    let queue = desk.hub.outgoing(conn).unwrap();
    decode(queue.copy_to_bytes(queue.remaining()))
}

/// The requests that were answered with a page.
fn answered(desk: &mut Desk, conn: ConnId) -> Vec<u32> {
    let page = |frame: &ToClient<'_>| match frame {
        ToClient::MessagePage(page) => Some(page.request.0),
        _ => None,
    };
    frames(desk, conn).iter().filter_map(page).collect()
}

#[test]
fn one_search_of_each_account_is_under_way_whatever_they_want() {
    let mut desk = Desk::new();
    let [alice, phone, bob] = [desk.member("alice", 1), desk.member("alice", 2), desk.member("bob", 3)];
    for conn in [alice, phone, bob] {
        desk.skip(conn);
    }
    for request in 1..=3 {
        search(&mut desk, alice, request, &format!("a{request}"));
    }
    search(&mut desk, phone, 1, "p1");
    search(&mut desk, bob, 1, "b1");
    let first = asked(&mut desk);
    assert_eq!(words(&first), ["a1", "b1"]);
    assert!(desk.hub.records(first[0].0, Some(&[])));
    assert_eq!(answered(&mut desk, alice), [1]);
    // Neither a search without an answer nor one without a searcher holds the others up.
    let second = asked(&mut desk);
    assert_eq!(words(&second), ["a2"]);
    assert!(desk.hub.put_off_query(second[0].0));
    let third = asked(&mut desk);
    assert_eq!(words(&third), ["a3"]);
    assert_eq!(errors(&frames(&mut desk, alice))[0].0, ErrorCode::Busy);
    desk.hub.handle_eof(alice, desk.now);
    assert!(desk.hub.records(third[0].0, None));
    let fourth = asked(&mut desk);
    assert_eq!(words(&fourth), ["p1"]);
    assert!(desk.hub.records(fourth[0].0, Some(&[])));
    assert_eq!(answered(&mut desk, phone), [1]);
    search(&mut desk, phone, 2, "p2");
    assert_eq!(words(&asked(&mut desk)), ["p2"]);
}

#[test]
fn who_leaves_takes_what_waits_along() {
    let mut desk = Desk::new();
    let [alice, phone] = [desk.member("alice", 1), desk.member("alice", 2)];
    search(&mut desk, phone, 1, "p1");
    for request in 1..=8 {
        search(&mut desk, alice, request, "never asked");
    }
    assert!(!desk.hub.wants_read(alice));
    desk.hub.handle_eof(alice, desk.now);
    let asked_first = asked(&mut desk);
    assert_eq!(words(&asked_first), ["p1"]);
    assert!(desk.hub.records(asked_first[0].0, Some(&[])));
    assert_eq!(asked(&mut desk), []);
}
