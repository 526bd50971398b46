//! Links in direct mode that are lost and found again.

use chatproto::session::Introduction;
use chatproto::wire::{Body as _, CloseReason, ErrorCode, LinkSaid, LinkTicket, Purpose, Text, ToPeer};

use crate::harness::{Client, Options, Scratch};
use crate::mallory::Link;
use crate::scene::{Scene, Victim};

/// What the secret of a link found again is made for.
const SECRET_CONTEXT: &str = "chatproto 2026 direct link found again";

/// Mallory asks for direct mode, and is in it with alice.
fn go_direct(scene: &mut Scene, victim: &mut Victim) -> (Introduction, Link) {
    let introduction = scene.mallory.asks("alice", Purpose::Direct);
    let greeting = scene.mallory.greeting(&introduction);
    let link = scene.mallory.dial(&introduction);
    scene.mallory.greet(link, &greeting).expect("she is let in");
    victim.alice.expect("direct", |event| event["peer"] == "mallory");
    (introduction, link)
}

/// Mallory dials again with what both have from an earlier link of an introduction.
fn dial_again(scene: &mut Scene, introduction: &Introduction, earlier: Link) -> Result<Link, ErrorCode> {
    let secret = blake3::derive_key(SECRET_CONTEXT, &scene.mallory.binding(earlier));
    let again = Introduction { ticket: LinkTicket(secret), ..introduction.clone() };
    let greeting = scene.mallory.greeting(&again);
    let link = scene.mallory.dial(&again);
    scene.mallory.greet(link, &greeting).map_err(|end| end.error.expect("it is told why")).map(|()| link)
}

/// What alice says plainly, over the link on which it is heard; it is answered, so that she knows.
fn hears(scene: &mut Scene, link: Link) -> Text {
    let said = scene.mallory.until(link, |frame| match frame {
        ToPeer::LinkSay(say) => Ok((say.counter, say.text.to_owned())),
        _ => Err(Vec::new()),
    });
    let (counter, text) = said.expect("it is said");
    scene.mallory.say(link, &LinkSaid { counter }.to_bytes());
    text
}

/// Alice comes back to the server.
fn comes_back(victim: &mut Victim) {
    victim.alice.type_line("/server");
    victim.alice.expect("server_back", |_| true);
}

/// One end notices first that the link is dead, and dials. The other one believes it, whoever of the two had asked.
#[test]
fn whose_end_died_first_is_let_in_beside_the_dead_link() {
    let mut scene = Scene::new();
    for alice_asks in [true, false] {
        let mut victim = scene.victim();
        let (introduction, dead) = if alice_asks {
            victim.alice.type_line("/direct mallory");
            let introduction = scene.mallory.is_asked();
            let link = scene.mallory.is_called(introduction.link_key);
            scene.mallory.welcome(link);
            let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
            mallory.meanwhile(|| alice.expect("direct", |event| event["peer"] == "mallory"));
            (introduction, link)
        } else {
            go_direct(&mut scene, &mut victim)
        };
        let link = dial_again(&mut scene, &introduction, dead).expect("she is let in");
        let ended = scene.mallory.until::<()>(dead, |_| Err(Vec::new()));
        assert_eq!(ended.expect_err("it is over").bye, Some(CloseReason::Done), "the dead one is given up");
        victim.alice.type_line("are you there?");
        assert_eq!(hears(&mut scene, link).as_str(), "are you there?");
        comes_back(&mut victim);
        victim.ends_well(0, &[]);
        scene.mallory.cut(link);
    }
}

/// What was found once can be made the link for direct mode anew, and then be found again, too.
#[test]
fn a_link_found_again_has_a_secret_of_its_own() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let (introduction, lost) = go_direct(&mut scene, &mut victim);
    scene.mallory.cut(lost);
    // Alice looks for it, where Mallory listens.
    let found = scene.mallory.is_called(introduction.link_key);
    scene.mallory.welcome(found);
    victim.alice.expect("direct", |_| true);
    comes_back(&mut victim);
    let anew = scene.mallory.asks("alice", Purpose::Direct);
    victim.alice.expect("direct", |_| true);
    // Both know the secret of the link that stands.
    let again = dial_again(&mut scene, &anew, found).expect("she is let in");
    comes_back(&mut victim);
    victim.ends_well(0, &[]);
    scene.mallory.cut(again);
}

/// Who is back at the server, and says that somebody gets no link, is not called by them over what was before.
#[test]
fn who_is_never_let_in_does_not_come_back_over_an_earlier_link() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let (introduction, earlier) = go_direct(&mut scene, &mut victim);
    comes_back(&mut victim);
    let link = dial_again(&mut scene, &introduction, earlier).expect("she may still be in direct mode");
    victim.alice.type_line("/consent mallory never");
    victim.alice.expect("consent", |_| true);
    let refused = dial_again(&mut scene, &introduction, earlier);
    assert_eq!(refused.err(), Some(ErrorCode::BadTicket));
    scene.mallory.cut(link);
    victim.ends_well(0, &[]);
}

/// Who talks with somebody does not suddenly talk with somebody else.
#[test]
fn somebody_from_an_earlier_talk_does_not_take_over_the_next_one() {
    let mut scene = Scene::new();
    scene.server.add_users(&["bob"]);
    let mut victim = scene.victim();
    let (introduction, earlier) = go_direct(&mut scene, &mut victim);
    comes_back(&mut victim);
    let own = Scratch::new();
    let mut bob = Client::ready(Options::new("bob", &scene.server, &own).args(["--accept", "all"]));
    victim.alice.type_line("/direct bob");
    victim.alice.expect("direct", |event| event["peer"] == "bob");
    let link = dial_again(&mut scene, &introduction, earlier).expect("she may still be in direct mode");
    victim.alice.expect("peer_connected", |event| event["peer"] == "mallory");
    victim.alice.type_line("for bob alone");
    bob.expect("peer_message", |event| event["text"] == "for bob alone");
    let taken = victim.alice.others().iter().any(|event| event["event"] == "direct");
    assert!(!taken, "the direct mode is with somebody else now");
    comes_back(&mut victim);
    victim.ends_well(0, &[]);
    scene.mallory.cut(link);
    bob.kill();
}
