//! A clock that is wrong for a while, at one look after the other.

use super::*;

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * DAY_MS;

/// Any day.
const NOW: u64 = 20_000 * DAY_MS;

fn caution(believed: Option<u64>) -> Caution {
    Caution { now_ms: believed, ran: Duration::ZERO, doubted: None, saved_ms: 0, started: Instant::now() }
}

fn after(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_clock_that_runs_is_believed_and_so_is_the_first_look() {
    let mut caution = caution(None);
    for hours in 0..100 {
        assert_eq!(caution.look(NOW + hours * HOUR_MS, after(hours * HOUR_MS)), NOW + hours * HOUR_MS);
    }
}

#[test]
fn a_clock_that_is_a_year_ahead_for_less_than_an_hour_is_never_believed() {
    let mut caution = caution(None);
    caution.look(NOW, after(0));
    for minutes in 1..60 {
        let passed = minutes * 60_000;
        assert_eq!(caution.look(NOW + YEAR_MS + passed, after(passed)), NOW + passed);
    }
    assert_eq!(caution.look(NOW + HOUR_MS, after(HOUR_MS)), NOW + HOUR_MS);
    // The next time it has to stand for an hour again.
    assert_eq!(caution.look(NOW + YEAR_MS, after(HOUR_MS + 1)), NOW + HOUR_MS + 1);
}

#[test]
fn a_clock_that_stays_ahead_is_believed_after_an_hour_and_followed_back() {
    let mut caution = caution(Some(NOW));
    assert_eq!(
        caution.look(NOW + 60 * DAY_MS, after(0)),
        NOW,
        "the server was off for long, or the clock is wrong"
    );
    let late = NOW + 60 * DAY_MS + HOUR_MS;
    assert_eq!(caution.look(late, after(HOUR_MS)), late);
    assert_eq!(caution.look(NOW, after(HOUR_MS + 1)), NOW);
}
