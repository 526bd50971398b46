//! Other threads reach the loop: mailboxes, worker threads and signals end its wait, and queues keep their bounds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use chatnet::{MailError, Mailbox, Net, NetConfig, NetEvent, PoolFull, Signal, WorkerPool};

#[test]
fn mail_from_another_thread_ends_the_wait_and_arrives_in_order() {
    let mut net = net();
    let (sender, mut mailbox) = Mailbox::new(net.waker(), 4);
    let writer = thread::spawn(move || (0..1000).for_each(|value| sender.send(value).unwrap()));
    let mut received = Vec::new();
    while !mailbox.is_finished() {
        woken(&mut net);
        let before = received.len();
        received.extend(mailbox.drain());
        assert!(received.len() - before <= 4, "no more than the capacity at once");
    }
    writer.join().unwrap();
    assert_eq!(received, (0..1000).collect::<Vec<_>>());
}

#[test]
fn full_mailbox_gives_the_value_back() {
    let net = net();
    let (sender, mailbox) = Mailbox::new(net.waker(), 2);
    assert_eq!(sender.try_send('a'), Ok(()));
    assert_eq!(sender.try_send('b'), Ok(()));
    assert_eq!(sender.try_send('c'), Err(MailError::Full('c')));
    drop(mailbox);
    assert_eq!(sender.try_send('d'), Err(MailError::Gone('d')));
    assert_eq!(sender.send('e'), Err(MailError::Gone('e')));
}

#[test]
fn loop_is_told_when_the_last_sender_goes() {
    let mut net = net();
    let (sender, mut mailbox) = Mailbox::<()>::new(net.waker(), 2);
    let second = sender.clone();
    drop(sender);
    woken(&mut net);
    assert_eq!(mailbox.drain().count(), 0);
    assert!(!mailbox.is_finished());
    drop(second);
    woken(&mut net);
    assert_eq!(mailbox.drain().count(), 0);
    assert!(mailbox.is_finished());
}

#[test]
fn many_wakes_are_one_event() {
    let mut net = net();
    let waker = net.waker();
    (0..100).for_each(|_| waker.wake());
    woken(&mut net);
    let mut events = Vec::new();
    net.turn(Some(Instant::now() + Duration::from_millis(10)), &mut events).unwrap();
    assert!(events.is_empty(), "{events:?}");
    waker.wake();
    woken(&mut net);
}

#[test]
fn workers_do_every_job_and_wake_the_loop() {
    let mut net = net();
    let mut pool = WorkerPool::new("square", 2, 8, &net.waker(), |n: u64| n * n).unwrap();
    let mut jobs = (0..500).peekable();
    let mut results = Vec::new();
    while results.len() < 500 {
        while let Some(job) = jobs.peek() {
            if pool.submit(*job).is_err() {
                break;
            }
            jobs.next();
        }
        woken(&mut net);
        results.extend(pool.drain());
    }
    results.sort_unstable();
    assert_eq!(results, (0..500).map(|n| n * n).collect::<Vec<_>>());
}

#[test]
fn full_pool_gives_the_job_back_and_never_waits() {
    let mut net = net();
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let (started, starts) = mpsc::channel();
    let mut pool = WorkerPool::new("gated", 1, 2, &net.waker(), move |n: u32| {
        started.send(n).unwrap();
        gate.lock().unwrap().recv().unwrap();
        n
    })
    .unwrap();
    pool.submit(1).unwrap();
    assert_eq!(starts.recv_timeout(PATIENCE), Ok(1));
    pool.submit(2).unwrap();
    pool.submit(3).unwrap();
    assert_eq!(pool.submit(4), Err(PoolFull(4)));
    (0..3).for_each(|_| release.send(()).unwrap());
    let mut results = Vec::new();
    while results.len() < 3 {
        woken(&mut net);
        results.extend(pool.drain());
    }
    assert_eq!(results, [1, 2, 3]);
}

#[test]
fn who_leaves_a_pool_waits_for_no_job() {
    let net = net();
    let (release, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let (started, starts) = mpsc::channel();
    let pool = WorkerPool::new("left", 1, 2, &net.waker(), move |n: u32| {
        started.send(n).unwrap();
        gate.lock().unwrap().recv().unwrap();
    })
    .unwrap();
    pool.submit(1).unwrap();
    pool.submit(2).unwrap();
    assert_eq!(starts.recv_timeout(PATIENCE), Ok(1));
    pool.leave();
    // Its thread ends with the job under way, and begins no other.
    release.send(()).unwrap();
    assert_eq!(starts.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn job_that_panics_costs_only_itself() {
    let mut net = net();
    let mut pool = WorkerPool::new("fragile", 1, 4, &net.waker(), |n: u32| 100 / n).unwrap();
    for job in [0, 5] {
        pool.submit(job).unwrap();
    }
    let mut results = Vec::new();
    while results.is_empty() {
        woken(&mut net);
        results.extend(pool.drain());
    }
    assert_eq!(results, [20]);
    assert_eq!(pool.panics(), 1);
}

#[test]
fn dropped_pool_ends_its_threads_although_nobody_took_the_results() {
    let net = net();
    let pool = WorkerPool::new("ignored", 2, 2, &net.waker(), |n: u32| n).unwrap();
    let mut accepted = 0;
    let deadline = Instant::now() + PATIENCE;
    // Until results and jobs are both full.
    while accepted < 6 && Instant::now() < deadline {
        accepted += u32::from(pool.submit(accepted).is_ok());
    }
    assert_eq!(accepted, 6);
    drop(pool);
}

#[test]
fn watched_signal_is_an_event() {
    let mut net = net();
    net.watch_signals(&[Signal::Hangup, Signal::Terminate]).unwrap();
    signal_hook::low_level::raise(signal_hook::consts::SIGHUP).unwrap();
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while seen.len() < 2 {
        assert!(Instant::now() < deadline, "{seen:?}");
        let mut events = Vec::new();
        net.turn(Some(deadline), &mut events).unwrap();
        for event in events {
            let NetEvent::Signal(signal) = event else { panic!("{event:?}") };
            seen.push(signal);
        }
    }
    assert!(seen.contains(&Signal::Hangup) && seen.contains(&Signal::Terminate), "{seen:?}");
}

#[test]
fn loop_and_its_handles_may_move_to_other_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Net>();
    assert_send::<chatnet::Waker>();
    assert_send::<chatnet::MailSender<u8>>();
    assert_send::<Mailbox<u8>>();
    assert_send::<WorkerPool<u8, u8>>();
}

#[test]
fn turn_ends_at_its_deadline() {
    let mut net = net();
    let deadline = Instant::now() + Duration::from_millis(20);
    let mut events = Vec::new();
    while Instant::now() < deadline {
        net.turn(Some(deadline), &mut events).unwrap();
    }
    assert!(events.is_empty(), "{events:?}");
}

fn net() -> Net {
    Net::new(NetConfig::default()).unwrap()
}

/// Turns until the loop is woken.
fn woken(net: &mut Net) {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, NetEvent::Woken)) {
        assert!(Instant::now() < deadline, "nobody woke the loop");
        net.turn(Some(deadline), &mut events).unwrap();
    }
}

#[test]
fn looking_into_an_empty_mailbox_does_not_wake_the_loop() {
    let mut net = net();
    let (sender, mut mailbox) = Mailbox::<u8>::new(net.waker(), 1);
    assert_eq!(mailbox.drain().count(), 0);
    let mut events = Vec::new();
    // Its deadline has come: it tells what there is, and does not wait.
    net.turn(Some(Instant::now()), &mut events).unwrap();
    assert!(events.is_empty(), "a loop that wakes itself never sleeps: {events:?}");
    drop(sender);
}

/// Longer than anything here takes; a test that fails ends all the same.
const PATIENCE: Duration = Duration::from_secs(20);
