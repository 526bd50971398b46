//! Two properties of every machine here: how the stream was cut does not matter, nor in which order one polls.

use bytes::Buf as _;
use chatproto::hub::{ConnId, Event};
use chatproto::wire::*;
use proptest::prelude::*;

use crate::desk::*;

/// Frames that a logged-in client may send, by choice.
fn frame(choice: u8, counter: u64) -> Vec<u8> {
    let lobby = NameRef::new("lobby").unwrap();
    let bob = NameRef::new("bob").unwrap();
    let text = "t".repeat(usize::from(choice) * 16 + 1);
    let text = TextRef::new(&text).unwrap();
    let request = RequestId(u32::from(choice) + 1);
    let room = Target::Room(lobby);
    match choice % 10 {
        0 | 1 => Say { counter, target: room, text }.to_bytes(),
        2 => Say { counter, target: Target::User(bob), text }.to_bytes(),
        3 => Join { request, target: room, cursor: Some(counter / 2) }.to_bytes(),
        4 => Leave { room: RoomId(1) }.to_bytes(),
        5 => Who { request, target: room }.to_bytes(),
        6 => History { request, target: room, anchor: Anchor::Before, seq: 0, limit: 5 }.to_bytes(),
        7 => Rooms { request }.to_bytes(),
        8 => PeerRequest { request, purpose: Purpose::Files, concealed: false, to: bob }.to_bytes(),
        _ => Ping { nonce: counter }.to_bytes(),
    }
    .to_vec()
}

fn world() -> (Desk, ConnId, ConnId) {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    for conn in [alice, bob] {
        desk.send(conn, &Announce { port: 5000, link_key: LinkKey([1; 32]), candidates: List::new(&[]) });
    }
    desk.skip(alice);
    (desk, alice, bob)
}

/// Everything that the world has heard in the end.
fn outcome(
    desk: &mut Desk,
    conns: [ConnId; 2],
) -> (Vec<ToClient<'static>>, Vec<ToClient<'static>>, Vec<Event>) {
    desk.commit();
    let [alice, bob] = conns;
    (desk.frames(alice), desk.frames(bob), desk.take_events())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_of_the_stream_gives_the_same(
        choices in prop::collection::vec(any::<u8>(), 1..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        garbage in prop::option::of(prop::collection::vec(any::<u8>(), 1..20)),
    ) {
        let frames = choices.iter().zip(1..).flat_map(|(choice, counter)| frame(*choice, counter));
        let stream: Vec<u8> = frames.chain(garbage.into_iter().flatten()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();

        let (mut whole, alice, bob) = world();
        whole.hub.handle_input(alice, &stream, whole.now);
        let expected = outcome(&mut whole, [alice, bob]);

        let (mut cut, alice, bob) = world();
        for pair in cuts.windows(2) {
            cut.hub.handle_input(alice, &stream[pair[0]..pair[1]], cut.now);
        }
        prop_assert_eq!(outcome(&mut cut, [alice, bob]), expected);
    }

    #[test]
    fn any_order_of_polls_gives_the_same_messages(
        choices in prop::collection::vec(any::<u8>(), 1..20),
        polls in prop::collection::vec(0_u8..6, 20),
    ) {
        let (mut calm, alice, bob) = world();
        let (mut busy, ..) = world();
        let mut busy_bytes = [Vec::new(), Vec::new()];
        for ((choice, counter), poll) in choices.iter().zip(1..).zip(&polls) {
            let bytes = frame(*choice, counter);
            calm.hub.handle_input(alice, &bytes, calm.now);
            calm.commit();
            busy.hub.handle_input(alice, &bytes, busy.now);
            // In the busy world somebody looks at everything, in another order each time.
            for step in 0..6 {
                match (step + poll) % 6 {
                    0 => drop(busy.hub.poll_writable()),
                    1 => drop(busy.hub.poll_timeout()),
                    2 => busy.hub.handle_timeout(busy.now),
                    3 => for (conn, bytes) in [alice, bob].into_iter().zip(&mut busy_bytes) {
                        let queue = busy.hub.outgoing(conn).unwrap();
                        let taken = queue.remaining() / 2;
                        bytes.extend(queue.copy_to_bytes(taken));
                    },
                    4 => drop((busy.hub.wants_read(alice), busy.hub.is_finished(bob))),
                    _ => if let Some(event) = busy.hub.poll_event() {
                        busy.events.extend(busy.log.take(event, busy.now));
                    },
                }
            }
            busy.commit();
        }
        calm.commit();
        busy.commit();
        for (conn, mut bytes) in [alice, bob].into_iter().zip(busy_bytes) {
            loop {
                busy.settle();
                let queue = busy.hub.outgoing(conn).unwrap();
                if !queue.has_remaining() {
                    break;
                }
                bytes.extend(queue.copy_to_bytes(queue.remaining()));
            }
            prop_assert_eq!(decode(bytes.into()), calm.frames(conn));
        }
        prop_assert_eq!(busy.take_events(), calm.take_events());
    }
}
