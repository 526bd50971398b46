//! A peer that only wants to be a burden.

use chatproto::wire::{
    Body as _, ErrorCode, FileRequest, FrameType, Generation, LinkSay, ListFolder, MAX_FRAME, Ping,
    RequestId, SafeRelPathRef, Source, TextRef, ToPeer, TransferId,
};

use crate::harness::{Client, Options, Scratch, download, noise, read};
use crate::mallory::{Link, page};
use crate::scene::{Scene, Victim, was_violation};

/// A link over which the victim has seen an empty list, and waits for nothing.
fn quiet_link(scene: &mut Scene, victim: &mut Victim) -> Link {
    let link = scene.link(victim);
    let asked = scene.mallory.until(link, |frame| match frame {
        ToPeer::List(asked) => Ok(page(&asked, &[]).to_bytes()),
        _ => Err(Vec::new()),
    });
    let page = asked.expect("a list is asked for");
    scene.mallory.say(link, &page);
    victim.alice.expect("file_list", |_| true);
    link
}

fn list(request: u32) -> Vec<u8> {
    let list = ListFolder {
        request: RequestId(request),
        generation: Generation(0),
        page: 1,
        flags: 0,
        path: SafeRelPathRef::ROOT,
    };
    list.to_bytes().to_vec()
}

#[test]
fn floods_and_giants_end_the_link() {
    let say = |counter| LinkSay { counter, text: TextRef::new("hello").expect("a text") }.to_bytes();
    let burdens: [(&str, Vec<u8>); 6] = [
        ("pings", Ping { nonce: 1 }.to_bytes().repeat(60_000)),
        ("words", (1..60_000).flat_map(say).collect()),
        ("lists", (1..60_000).flat_map(list).collect()),
        ("a giant frame", (MAX_FRAME + 1).to_be_bytes().to_vec()),
        ("the greatest frame", u32::MAX.to_be_bytes().to_vec()),
        ("a frame without a type", vec![0; 4]),
    ];
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    for (what, bytes) in burdens {
        eprintln!("{what}");
        let link = quiet_link(&mut scene, &mut victim);
        scene.mallory.say(link, &bytes);
        was_violation(&scene.mallory.serve(link, |_| Vec::new()));
        victim.alice.expect("peer_closed", |event| event["reason"] == "violation");
        victim.alice.forget();
    }
    victim.ends_well(0, &[]);
}

/// Half of the greatest frame that may come costs as much as has come, and holds up nobody.
#[test]
fn half_a_frame_holds_up_nobody() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = quiet_link(&mut scene, &mut victim);
    let mut half = MAX_FRAME.to_be_bytes().to_vec();
    half.push(FrameType::FileData.number());
    scene.mallory.say(link, &half);
    scene.mallory.flush(link);
    victim.alice.type_line("meanwhile");
    victim.alice.expect("posted", |_| true);
    victim.alice.type_line("/hangup mallory");
    scene.mallory.serve(link, |_| Vec::new());
    victim.ends_well(0, &[]);
}

/// Whoever asks and asks and never reads is let go, and costs no more than a queue.
#[test]
fn a_peer_that_never_reads_is_let_go() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    for number in 0..2_000 {
        let name = format!("a file with a name that is rather long, so that pages are large {number}");
        std::fs::write(victim.share().join(name), b"x").expect("a file");
    }
    let link = quiet_link(&mut scene, &mut victim);
    // The first page shows what there is; then each of them is asked for again and again.
    scene.mallory.say(link, &list(1));
    let generation = scene.mallory.until(link, |frame| match frame {
        ToPeer::ListPage(page) => Ok(page.generation),
        _ => Err(Vec::new()),
    });
    let generation = generation.expect("a list");
    scene.mallory.stop_reading(link);
    let again = |request| {
        let path = SafeRelPathRef::ROOT;
        let list = ListFolder { request: RequestId(request), generation, page: 1, flags: 0, path };
        list.to_bytes()
    };
    let bytes: Vec<u8> = (2..10_000).flat_map(again).collect();
    scene.mallory.say(link, &bytes);
    let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
    let closed = mallory.meanwhile(|| alice.expect("peer_closed", |_| true));
    assert_eq!(closed["reason"], "too_slow", "{closed}");
    scene.mallory.cut(link);
    victim.ends_well(0, &[]);
}

/// Files asked for without end: so many wait, and the rest is refused by name.
#[test]
fn a_thousand_uploads_are_bounded() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    std::fs::write(victim.share().join("notes.txt"), vec![7; 3 << 20]).expect("a file");
    let link = quiet_link(&mut scene, &mut victim);
    scene.mallory.say(link, &list(1));
    let generation = scene.mallory.until(link, |frame| match frame {
        ToPeer::ListPage(page) => Ok(page.generation),
        _ => Err(Vec::new()),
    });
    let generation = generation.expect("a list");
    // Her numbers are even: she was dialled.
    let request = |number: u32| {
        let source = Source::Number { generation, number: 1 };
        let (transfer, unit_log2) = (TransferId(2 * number), 20);
        FileRequest { transfer, source, unit_log2, offset: 0, held: None }.to_bytes()
    };
    let bytes: Vec<u8> = (1..=1_000).flat_map(request).collect();
    scene.mallory.say(link, &bytes);
    let (mut heads, mut refused) = (0, 0);
    let all = scene.mallory.until(link, |frame| {
        match frame {
            ToPeer::FileHead(_) => heads += 1,
            ToPeer::FileCancel(cancel) => {
                assert_eq!(cancel.code, ErrorCode::TooManyTransfers);
                refused += 1;
            }
            _ => {}
        }
        // What she never acknowledges keeps its place.
        if refused >= 488 { Ok(()) } else { Err(Vec::new()) }
    });
    all.expect("the link stands");
    eprintln!("{heads} began, {refused} were refused");
    victim.alice.type_line("meanwhile");
    let (mallory, alice) = (&mut scene.mallory, &mut victim.alice);
    mallory.meanwhile(|| alice.expect("posted", |_| true));
    scene.mallory.cut(link);
    victim.alice.expect("peer_closed", |_| true);
    victim.ends_well(0, &[]);
}

/// Whoever has the only slot and takes nothing waits behind the others in the end.
#[test]
fn a_slot_that_is_not_used_goes_to_who_waits() {
    let mut scene = Scene::new();
    scene.server.add_users(&["bob"]);
    let mut victim = scene.victim_with(|options| {
        options.args(["--upload-slots", "1", "--stall-timeout", "1", "--upload-rate", "16M"])
    });
    let content = noise(8 << 20, 5);
    std::fs::write(victim.share().join("film.mkv"), &content).expect("a file");
    let link = quiet_link(&mut scene, &mut victim);
    scene.mallory.say(link, &list(1));
    let generation = scene.mallory.until(link, |frame| match frame {
        ToPeer::ListPage(page) => Ok(page.generation),
        _ => Err(Vec::new()),
    });
    let source = Source::Number { generation: generation.expect("a list"), number: 1 };
    let request = FileRequest { transfer: TransferId(2), source, unit_log2: 20, offset: 0, held: None };
    scene.mallory.say(link, &request.to_bytes());
    let head = scene.mallory.until(link, |frame| match frame {
        ToPeer::FileHead(_) => Ok(()),
        _ => Err(Vec::new()),
    });
    head.expect("it begins");
    scene.mallory.stop_reading(link);
    let own = Scratch::new();
    let options = Options::new("bob", &scene.server, &own);
    let got = scene.mallory.meanwhile(|| {
        let mut bob = Client::ready(options);
        bob.type_line("[FILE] alice");
        bob.expect("file_list", |_| true);
        bob.type_line("/get 1");
        bob.expect("transfer", |event| event["state"] == "done");
        bob.quit();
        read(&download(&own, "bob", "film.mkv"))
    });
    assert!(got == content);
    scene.mallory.cut(link);
    victim.ends_well(0, &[]);
}
