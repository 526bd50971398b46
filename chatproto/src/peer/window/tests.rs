//! The window beside a wire of a fixed rate with a buffer before it, in virtual time.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::{BASE_LIFE, CEILING, FIRST_NONCE, FLOOR, INITIAL, MAX_MARKERS, SHARE, TARGET, Window};
use crate::Instant;

/// How long data may have to wait before the wire, in milliseconds, whatever happens there: not three times the target.
const TOLERATED: u64 = 3 * TARGET - 1;

/// As much, where the way is so long that the target is longer, and what comes at once is more.
const fn tolerated(round_trip: u64) -> u64 {
    if round_trip / SHARE > TARGET { 5 * round_trip / (2 * SHARE) } else { TOLERATED }
}

/// Some senders of files that share a wire.
struct Wire {
    /// Bytes that it carries in a millisecond.
    rate: u64,
    /// Milliseconds from the end of the wire to the receiver, and back again.
    round_trip: u64,
    senders: Vec<Window>,
    /// Before the wire: whose bytes, and the marker behind them.
    queue: VecDeque<(usize, u64, Option<u64>)>,
    /// Answers on their way, by when they arrive.
    answers: BTreeMap<u64, Vec<(usize, u64)>>,
    now: u64,
    /// Answers come only at multiples of this: the machines have other things to do.
    pause: u64,
    /// What each has brought through.
    carried: Vec<u64>,
    /// The longest time that data had to wait before the wire since this was reset, in milliseconds.
    longest: u64,
}

impl Wire {
    fn new(rate: u64, round_trip: u64, senders: usize) -> Self {
        let start = Instant::from_millis(0);
        Self {
            rate,
            round_trip,
            senders: (0..senders).map(|_| Window::new(start)).collect(),
            queue: VecDeque::new(),
            answers: BTreeMap::new(),
            now: 0,
            pause: 1,
            carried: alloc::vec![0; senders],
            longest: 0,
        }
    }

    /// What a sender with an endless file does.
    fn send(&mut self, sender: usize) {
        let now = Instant::from_millis(self.now);
        let window = &mut self.senders[sender];
        window.wake(now);
        while window.room() > 0 {
            let piece = window.piece();
            window.let_go(piece, now);
            self.queue.push_back((sender, piece, window.mark(now)));
        }
        window.set_limits(true);
        if let Some(nonce) = window.mark(now) {
            self.queue.push_back((sender, 0, Some(nonce)));
        }
        assert!(window.markers.len() <= MAX_MARKERS);
    }

    /// One millisecond, in which these senders have something to send.
    fn step(&mut self, busy: &[usize]) {
        for (sender, nonce) in self.answers.remove(&self.now).unwrap_or_default() {
            self.senders[sender].answer(nonce, Instant::from_millis(self.now));
            if busy.contains(&sender) {
                self.send(sender);
            }
        }
        for sender in 0..self.senders.len() {
            if busy.contains(&sender) {
                self.send(sender);
            } else {
                self.senders[sender].set_limits(false);
            }
        }
        self.longest = self.longest.max(self.queued() / self.rate);
        let mut left = self.rate;
        while left > 0
            && let Some((sender, bytes, _)) = self.queue.front_mut()
        {
            let carried = left.min(*bytes);
            *bytes -= carried;
            left -= carried;
            self.carried[*sender] += carried;
            if *bytes > 0 {
                break;
            }
            if let Some((sender, _, Some(nonce))) = self.queue.pop_front() {
                let at = (self.now + 1 + self.round_trip).next_multiple_of(self.pause);
                self.answers.entry(at).or_default().push((sender, nonce));
            }
        }
        self.now += 1;
    }

    fn queued(&self) -> u64 {
        self.queue.iter().map(|(_, bytes, _)| bytes).sum()
    }

    fn run(&mut self, millis: u64, busy: &[usize]) {
        for _ in 0..millis {
            self.step(busy);
        }
    }

    /// The share of the wire that all got together in this while, in percent.
    fn measure(&mut self, millis: u64, busy: &[usize]) -> u64 {
        let before: u64 = self.carried.iter().sum();
        self.longest = 0;
        self.run(millis, busy);
        (self.carried.iter().sum::<u64>() - before) * 100 / (self.rate * millis)
    }
}

#[test]
fn a_wire_is_full_and_its_queue_is_short_whatever_its_rate_and_length() {
    // 10 Mbit/s to 10 Gbit/s.
    for rate in [1_250, 12_500, 125_000, 1_250_000] {
        for round_trip in [1, 5, 20, 25] {
            let mut wire = Wire::new(rate, round_trip, 1);
            wire.run(5_000, &[0]);
            let share = wire.measure(60_000, &[0]);
            assert!(share >= 88, "{share} % of {rate} bytes/ms, {round_trip} ms");
            // On a slow wire the least window takes longer than that.
            let tolerated = TOLERATED.max(FLOOR * 3 / 2 / rate);
            assert!(wire.longest <= tolerated, "{} ms at {rate} bytes/ms, {round_trip} ms", wire.longest);
        }
    }
    // Where the way is long, it opens for longer.
    for round_trip in [50, 100, 250] {
        let mut wire = Wire::new(12_500, round_trip, 1);
        wire.run(20_000, &[0]);
        let share = wire.measure(60_000, &[0]);
        assert!(share >= 85, "{share} % with {round_trip} ms");
        assert!(wire.longest <= tolerated(round_trip), "{} ms with {round_trip} ms", wire.longest);
    }
}

#[test]
fn it_opens_within_a_few_round_trips_and_hardly_too_far() {
    let mut wire = Wire::new(12_500, 20, 1);
    let share = wire.measure(1_000, &[0]);
    assert!(share >= 75, "{share} %");
    assert!(wire.longest <= 2 * TOLERATED, "{} ms", wire.longest);
}

#[test]
fn where_the_way_takes_no_time_it_opens_to_the_last() {
    let mut window = Window::new(Instant::from_millis(0));
    let mut nonces = Vec::new();
    let now = Instant::from_millis(1);
    while window.size < CEILING {
        while window.room() > 0 {
            window.let_go(window.piece(), now);
            nonces.extend(window.mark(now));
        }
        window.set_limits(true);
        nonces.extend(window.mark(now));
        nonces.drain(..).for_each(|nonce| window.answer(nonce, now));
        assert!(window.sent < 64 * CEILING);
    }
}

#[test]
fn two_files_share_the_wire_and_the_second_gets_its_half() {
    let mut wire = Wire::new(12_500, 20, 2);
    wire.run(10_000, &[0]);
    wire.run(20_000, &[0, 1]);
    let before = wire.carried.clone();
    let share = wire.measure(30_000, &[0, 1]);
    assert!(share >= 90, "{share} %");
    // What the other sends is not ours, and for a while it is believed to stay.
    assert!(wire.longest <= 3 * TOLERATED, "{} ms", wire.longest);
    let got = [0, 1].map(|sender| wire.carried[sender] - before[sender]);
    assert!(got.iter().max() < got.iter().min().map(|least| least * 2).as_ref(), "{got:?}");
    // And when one is over, the other takes what is left.
    wire.run(2_000, &[0]);
    let share = wire.measure(20_000, &[0]);
    assert!(share >= 85, "{share} %");
}

#[test]
fn a_way_that_becomes_longer_is_found_out() {
    let mut wire = Wire::new(12_500, 20, 1);
    wire.run(30_000, &[0]);
    wire.round_trip = 90;
    wire.run(4_000, &[0]);
    let share = wire.measure(20_000, &[0]);
    assert!(share >= 85, "{share} %");
    assert!(wire.longest <= tolerated(90), "{} ms", wire.longest);
    wire.round_trip = 5;
    wire.run(2 * BASE_LIFE, &[0]);
    let share = wire.measure(20_000, &[0]);
    assert!(share >= 85, "{share} %");
    assert!(wire.longest <= TOLERATED, "{} ms", wire.longest);
}

#[test]
fn a_wire_that_becomes_slower_soon_has_a_short_queue_again() {
    let mut wire = Wire::new(125_000, 20, 1);
    wire.run(10_000, &[0]);
    wire.rate = 12_500;
    wire.run(2_000, &[0]);
    let share = wire.measure(20_000, &[0]);
    assert!(share >= 85, "{share} %");
    assert!(wire.longest <= TOLERATED, "{} ms", wire.longest);
}

#[test]
fn after_a_pause_a_window_does_not_leave_at_once() {
    let mut wire = Wire::new(12_500, 20, 1);
    wire.run(5_000, &[0]);
    for _ in 0..10 {
        wire.run(500, &[]);
        wire.longest = 0;
        wire.run(500, &[0]);
        assert!(wire.longest <= TOLERATED, "{} ms", wire.longest);
    }
}

#[test]
fn a_receiver_that_stalls_now_and_then_keeps_its_speed() {
    // Loopback: nothing but the receiver takes time, and its disk takes half a second now and then.
    let mut wire = Wire::new(800_000, 0, 1);
    wire.run(1_000, &[0]);
    let before = wire.carried[0];
    for _ in 0..10 {
        wire.rate = 1;
        wire.run(500, &[0]);
        wire.rate = 800_000;
        wire.run(500, &[0]);
    }
    let share = (wire.carried[0] - before) * 100 / (800_000 * 5_000);
    assert!(share >= 85, "{share} %");
}

#[test]
fn only_an_answer_that_is_due_moves_the_window() {
    let now = Instant::from_millis(5);
    let mut window = Window::new(now);
    assert_eq!(window.mark(now), None, "nothing was let go");
    window.let_go(INITIAL, now);
    let nonce = window.mark(now).unwrap();
    assert!(nonce >= FIRST_NONCE);
    assert_eq!(window.mark(now), None, "nothing was let go since");
    for wrong in [0, 1, nonce - 1, nonce + 1, u64::MAX] {
        window.answer(wrong, now);
        assert_eq!(window.room(), 0);
    }
    window.answer(nonce, now);
    let room = window.room();
    assert_eq!(room, window.size);
    window.let_go(1, now);
    window.answer(nonce, now);
    assert_eq!(window.room(), room - 1, "twice is as good as once");
}

#[test]
fn small_files_now_and_then_cost_hardly_a_marker() {
    let mut window = Window::new(Instant::from_millis(0));
    let marks = (0..1000_u64).filter_map(|file| {
        let now = Instant::from_millis(file);
        window.let_go(10 * 1024, now);
        let nonce = window.mark(now)?;
        window.answer(nonce, now);
        Some(nonce)
    });
    assert!((100..=260).contains(&marks.count()));
    assert_eq!(window.size, INITIAL, "nothing was held back, so nothing is known");
}

#[test]
fn lies_about_time_leave_it_within_its_bounds() {
    for answer_after in [0, 1, 3_600_000] {
        let mut window = Window::new(Instant::from_millis(0));
        let mut millis = 0;
        for _ in 0..2_000 {
            let now = Instant::from_millis(millis);
            window.wake(now);
            let mut nonce = None;
            while window.room() > 0 {
                window.let_go(window.piece(), now);
                nonce = window.mark(now).or(nonce);
            }
            window.set_limits(true);
            let nonce = window.mark(now).or(nonce);
            millis += answer_after;
            if let Some(nonce) = nonce.or(window.markers.back().map(|marker| marker.nonce)) {
                window.answer(nonce, Instant::from_millis(millis));
            }
            assert!((FLOOR..=CEILING).contains(&window.size));
        }
        // Nothing stands still.
        assert!(window.sent >= 2_000 * FLOOR / 2, "{}", window.sent);
    }
}

#[test]
fn on_a_busy_machine_what_takes_long_is_not_taken_for_a_queue() {
    // 100 MB/s and 4 MB/s: the answers wait until the machine has time.
    for rate in [100_000, 4_000] {
        for pause in [10, 30, 60] {
            let mut wire = Wire::new(rate, 0, 1);
            wire.run(2_000, &[0]);
            wire.pause = pause;
            wire.run(2_000, &[0]);
            let share = wire.measure(20_000, &[0]);
            assert!(share >= 85, "{share} % of {rate} bytes/ms every {pause} ms");
        }
    }
}
