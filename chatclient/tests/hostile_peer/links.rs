//! Tickets, keys and hellos that lie.

use chatnet::Identity;
use chatproto::wire::{
    Body as _, CloseReason, DeviceId, ErrorCode, LinkKey, LinkTicket, LinkWelcome, MAX_FRAME, Name, NoteRef,
    OfferId, Purpose, ToPeer, VERSION,
};

use crate::mallory::{End, Greeting, Mallory, page};
use crate::scene::{Scene, was_violation};

/// That a hello was refused, and nothing more was told than that.
fn was_refused(said: Result<(), End>) {
    let end = said.expect_err("it was let in");
    assert_eq!((end.error, end.bye), (Some(ErrorCode::BadTicket), Some(CloseReason::BadTicket)), "{end:?}");
}

#[test]
fn a_ticket_is_good_once() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let introduction = scene.mallory.asks("alice", Purpose::Files);
    let greeting = scene.mallory.greeting(&introduction);
    let first = scene.mallory.dial(&introduction);
    scene.mallory.greet(first, &greeting).expect("the first is let in");
    victim.alice.expect("peer_connected", |_| true);
    for _ in 0..3 {
        let again = scene.mallory.dial(&introduction);
        was_refused(scene.mallory.greet(again, &greeting));
    }
    // The first link stands.
    victim.alice.type_line("/peer mallory still there?");
    let said = scene.mallory.until(first, |frame| match frame {
        ToPeer::LinkSay(say) => Ok(say.text.to_owned()),
        _ => Err(Vec::new()),
    });
    assert_eq!(said.expect("it is said").as_str(), "still there?");
    scene.mallory.cut(first);
    victim.alice.expect("peer_closed", |_| true);
    assert!(victim.alice.others().iter().all(|event| event["event"] != "peer_connected"));
    // What was said last was never acknowledged.
    victim.complains("link_lost");
    victim.ends_well(1, &[]);
}

#[test]
fn a_hello_of_which_anything_is_wrong_is_refused_and_uses_nothing_up() {
    type Lie = fn(&mut Greeting);
    let lies: [(&str, Lie); 8] = [
        ("a forged ticket", |hello| hello.ticket = LinkTicket([0x5a; 32])),
        ("a ticket with its first bit wrong", |hello| hello.ticket.0[0] ^= 0x80),
        ("a ticket with its last bit wrong", |hello| hello.ticket.0[31] ^= 1),
        ("another offer", |hello| hello.offer = OfferId(hello.offer.0 + 1)),
        ("somebody else", |hello| hello.user = "bob".to_owned()),
        ("the victim herself", |hello| hello.user = "alice".to_owned()),
        ("another device", |hello| hello.device = DeviceId([9; 16])),
        ("another purpose", |hello| hello.purpose = Purpose::Direct),
    ];
    let mut scene = Scene::new();
    let victim = scene.victim();
    let introduction = scene.mallory.asks("alice", Purpose::Files);
    let greeting = scene.mallory.greeting(&introduction);
    for (what, lie) in lies {
        eprintln!("{what}");
        let mut lying = greeting.clone();
        lie(&mut lying);
        let link = scene.mallory.dial(&introduction);
        was_refused(scene.mallory.greet(link, &lying));
    }
    eprintln!("another key");
    let other = Identity::generate(["peer"]).expect("a key");
    let link = scene.mallory.dial_as(&introduction, &other, introduction.link_key).expect("anybody may call");
    was_refused(scene.mallory.greet(link, &greeting));
    eprintln!("another protocol");
    let link = scene.mallory.dial(&introduction);
    let end = scene.mallory.greet(link, &Greeting { magic: *b"http", ..greeting.clone() });
    was_violation(&end.expect_err("it was let in"));
    // The truth is still believed.
    let link = scene.mallory.dial(&introduction);
    scene.mallory.greet(link, &greeting).expect("it is let in");
    scene.mallory.cut(link);
    victim.ends_well(0, &[]);
}

#[test]
fn a_ticket_of_another_pair_is_worth_nothing() {
    let mut scene = Scene::new();
    scene.server.add_users(&["eve"]);
    let victim = scene.victim();
    let mut eve = Mallory::start(&scene.server, "eve");
    let hers = eve.asks("alice", Purpose::Files);
    let mine = scene.mallory.asks("alice", Purpose::Files);
    // Eve gives hers away: her ticket, her offer, and even who she is; but not her key.
    let stolen = eve.greeting(&hers);
    let own = scene.mallory.greeting(&mine);
    let mixed = [
        Greeting { offer: hers.offer, ticket: hers.ticket, ..own.clone() },
        Greeting { ticket: hers.ticket, ..own.clone() },
        Greeting { offer: hers.offer, ..own.clone() },
        stolen,
    ];
    for greeting in mixed {
        let link = scene.mallory.dial(&mine);
        was_refused(scene.mallory.greet(link, &greeting));
    }
    let link = scene.mallory.dial(&mine);
    scene.mallory.greet(link, &own).expect("her own is let in");
    scene.mallory.cut(link);
    victim.ends_well(0, &[]);
}

#[test]
fn a_ticket_that_has_expired_is_refused() {
    let mut scene = Scene::with_settings("[hub]\nticket_lifetime = \"1 s\"\n");
    let mut victim = scene.victim();
    let introduction = scene.mallory.asks("alice", Purpose::Files);
    // She is told when the time is over.
    let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
    let failed = mallory.meanwhile(|| alice.expect("peer_failed", |_| true));
    eprintln!("{failed}");
    let link = scene.mallory.dial(&introduction);
    let greeting = scene.mallory.greeting(&introduction);
    was_refused(scene.mallory.greet(link, &greeting));
    victim.ends_well(0, &[]);
}

/// The victim asks, and whoever calls back wants something else than she asked for: her command ends.
#[test]
fn a_call_for_another_purpose_leaves_the_question_to_its_deadline() {
    let mut scene = Scene::with_settings("[hub]\nticket_lifetime = \"2 s\"\n");
    let mut victim = scene.victim();
    // Without a port of her own she is the one who calls.
    scene.mallory.accepts_nobody();
    victim.alice.type_line("[FILE] mallory");
    let introduction = scene.mallory.is_asked();
    let mut greeting = scene.mallory.greeting(&introduction);
    greeting.purpose = Purpose::Direct;
    let link = scene.mallory.dial(&introduction);
    was_refused(scene.mallory.greet(link, &greeting));
    let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
    let failed = mallory.meanwhile(|| alice.expect("peer_failed", |_| true));
    // All that was found out about the way to her.
    assert_eq!(failed["verdict"], "no_peer_port", "{failed}");
    victim.complains("no_peer_port");
    victim.ends_well(6, &[]);
}

/// Who answers with another key than was introduced, as a man in the middle must, hears not even the ticket.
#[test]
fn an_answer_with_another_key_is_no_link() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let other = Identity::generate(["peer"]).expect("a key");
    scene.mallory.shows(&other);
    victim.alice.type_line("[FILE] mallory");
    scene.mallory.is_asked();
    let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
    let failed = mallory.meanwhile(|| alice.expect("peer_failed", |_| true));
    assert_eq!(failed["verdict"], "wrong_key", "{failed}");
    assert!(!mallory.has_met(), "the victim spoke to a stranger");
    victim.complains("wrong_key");
    victim.ends_well(7, &[]);
}

#[test]
fn a_welcome_by_somebody_else_is_no_link() {
    type Lie = fn(&mut Answer);
    let lies: [(&str, Lie); 4] = [
        ("another person", |answer| answer.user = "bob"),
        ("another device", |answer| answer.device = DeviceId([9; 16])),
        ("another version", |answer| answer.version = VERSION + 1),
        ("frames too short for a text", |answer| answer.max_frame = 64),
    ];
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    for (what, lie) in lies {
        eprintln!("{what}");
        victim.alice.type_line("[FILE] mallory");
        let introduction = scene.mallory.is_asked();
        let link = scene.mallory.is_called(introduction.link_key);
        scene.mallory.next_frame(link).expect("a hello");
        let mut answer =
            Answer { version: VERSION, max_frame: MAX_FRAME, user: "mallory", device: scene.mallory.device };
        lie(&mut answer);
        let user = Name::new(answer.user).expect("a name");
        let welcome = LinkWelcome {
            version: answer.version,
            capabilities: chatproto::wire::Capabilities::NONE,
            max_frame: answer.max_frame,
            user: user.borrow(),
            device: answer.device,
            agent: NoteRef::EMPTY,
        };
        scene.mallory.say(link, &welcome.to_bytes());
        was_violation(&scene.mallory.serve(link, |_| Vec::new()));
        let failed = victim.alice.expect("peer_failed", |_| true);
        assert_eq!(failed["verdict"], "link_broken", "{failed}");
        victim.complains("link_broken");
    }
    victim.ends_well(1, &[]);
}

/// What a test changes of a welcome.
struct Answer {
    version: u8,
    max_frame: u32,
    user: &'static str,
    device: DeviceId,
}

/// Who accepts the call and says nothing is given up in time.
#[test]
fn a_peer_that_never_answers_is_given_up() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    victim.alice.type_line("[FILE] mallory");
    let introduction = scene.mallory.is_asked();
    let link = scene.mallory.is_called(introduction.link_key);
    let hello = scene.mallory.next_frame(link).expect("a hello");
    assert!(matches!(hello.decode(), ToPeer::LinkHello(_)), "{hello:?}");
    scene.mallory.serve(link, |_| Vec::new());
    let failed = victim.alice.expect("peer_failed", |_| true);
    assert_eq!(failed["verdict"], "link_broken", "{failed}");
    victim.complains("link_broken");
    victim.ends_well(1, &[]);
}

/// Who is asked and never answers is given up when the server says so.
#[test]
fn a_question_that_nobody_answers_expires() {
    let mut scene = Scene::with_settings("[hub]\noffer_timeout = \"1 s\"\n");
    let mut victim = scene.victim();
    victim.alice.type_line("[FILE] mallory");
    scene.mallory.ignores();
    victim.complains("expired");
    victim.ends_well(8, &[]);
}

/// The key of a device is remembered: another one under its name stops everything.
#[test]
fn a_device_with_another_key_than_before_is_no_link() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = scene.link(&mut victim);
    scene.play(
        &mut victim,
        link,
        |frame| match frame {
            ToPeer::List(asked) => page(&asked, &[]).to_bytes().to_vec(),
            _ => Vec::new(),
        },
        |victim| {
            victim.alice.expect("file_list", |_| true);
            victim.hangs_up();
        },
    );
    let other = Identity::generate(["peer"]).expect("a key");
    scene.mallory.announces(LinkKey(*other.link_key().as_bytes()));
    scene.mallory.shows(&other);
    victim.alice.type_line("[FILE] mallory");
    scene.mallory.is_asked();
    victim.complains("key_mismatch");
    victim.ends_well(7, &[]);
}
