//! When a connection has to say something, and when it has waited long enough.

use core::time::Duration;

use chatproto::Instant;
use chatproto::conn::{Deadlines, Due, Limits, Stage};
use proptest::prelude::*;

const START: Instant = Instant::from_millis(1_000);
const TICK: Duration = Duration::from_millis(1);

/// Just before `after` has passed since the start nothing is due; then `due` is.
fn expect(deadlines: &mut Deadlines, limits: &Limits, after: Duration, due: Due) {
    let at = START + after;
    assert_eq!(deadlines.next(limits), at);
    assert_eq!(deadlines.check(limits, START + after.checked_sub(TICK).expect("a long time")), None);
    assert_eq!(deadlines.check(limits, at), Some(due));
}

#[test]
fn each_stage_has_its_own_deadline() {
    let limits = Limits::default();
    let mut deadlines = Deadlines::new(&limits, START);
    assert_eq!(deadlines.stage(), Stage::Handshake);
    expect(&mut deadlines, &limits, limits.handshake_timeout, Due::Handshake);

    deadlines.enter(Stage::Login, START);
    expect(&mut deadlines, &limits, limits.login_timeout, Due::Login);

    deadlines.enter(Stage::Open, START);
    expect(&mut deadlines, &limits, limits.ping_interval, Due::Ping);
    expect(&mut deadlines, &limits, limits.idle_timeout, Due::Idle);

    deadlines.enter(Stage::Closing, START);
    assert_eq!(deadlines.stage(), Stage::Closing);
    expect(&mut deadlines, &limits, limits.close_timeout, Due::Close);
}

#[test]
fn who_trickles_bytes_does_not_stay_in_a_handshake_or_a_login() {
    let limits = Limits::default();
    for (stage, timeout, due) in [
        (Stage::Handshake, limits.handshake_timeout, Due::Handshake),
        (Stage::Login, limits.login_timeout, Due::Login),
        (Stage::Closing, limits.close_timeout, Due::Close),
    ] {
        let mut deadlines = Deadlines::new(&limits, START);
        deadlines.enter(stage, START);
        deadlines.heard(START + timeout.checked_sub(TICK).unwrap());
        assert_eq!(deadlines.check(&limits, START + timeout), Some(due), "{stage:?}");
    }
}

#[test]
fn one_ping_is_due_for_each_silence() {
    let limits = Limits::default();
    let mut deadlines = Deadlines::new(&limits, START);
    deadlines.enter(Stage::Open, START);
    let silent = START + limits.ping_interval;
    assert_eq!(deadlines.check(&limits, silent), Some(Due::Ping));
    assert_eq!(deadlines.check(&limits, silent), None, "the ping was sent");

    let heard = silent + TICK;
    deadlines.heard(heard);
    assert_eq!(deadlines.next(&limits), heard + limits.ping_interval);
    assert_eq!(deadlines.check(&limits, heard + limits.ping_interval), Some(Due::Ping));
    assert_eq!(deadlines.check(&limits, heard + limits.idle_timeout), Some(Due::Idle));
}

#[test]
fn without_time_for_a_ping_silence_ends_the_connection() {
    let limits = Limits { idle_timeout: Duration::from_secs(5), ..Limits::default() };
    let mut deadlines = Deadlines::new(&limits, START);
    deadlines.enter(Stage::Open, START);
    expect(&mut deadlines, &limits, Duration::from_secs(5), Due::Idle);
}

proptest! {
    #[test]
    fn nothing_is_due_before_the_announced_time_and_something_is_at_it(
        stage in prop::sample::select(vec![Stage::Handshake, Stage::Login, Stage::Open, Stage::Closing]),
        heard in prop::collection::vec(0_u64..200_000, 0..8),
        looks in prop::collection::vec(0_u64..200_000, 0..8),
    ) {
        let limits = Limits::default();
        let mut deadlines = Deadlines::new(&limits, START);
        deadlines.enter(stage, START);
        let mut moments: Vec<_> =
            heard.iter().map(|&at| (at, true)).chain(looks.iter().map(|&at| (at, false))).collect();
        moments.sort_unstable();
        for (at, is_heard) in moments {
            let now = START + Duration::from_millis(at);
            if is_heard {
                deadlines.heard(now);
            } else {
                let next = deadlines.next(&limits);
                prop_assert_eq!(deadlines.check(&limits, now).is_some(), now >= next);
            }
        }
    }
}
