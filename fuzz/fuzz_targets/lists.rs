//! The pages of lists from a peer that sends anything, through the end that asked for them and to the names on the disk.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use chatclient::downloads::GivenNames;
use chatproto::Instant;
use chatproto::peer::{Config, Event, Introduction, ListedEntry, Peer, State};
use chatproto::wire::{
    Blob, Body, Capabilities, Capability, DeviceId, Entry, EntryKind, Error, ErrorCode, FrameType,
    Generation, LinkTicket, LinkWelcome, List, ListPage, MAX_FRAME, MAX_INLINE, Name, NameRef, NoteRef,
    OfferId, Purpose, RequestId, SafeName, SafeNameRef, SafeRelPath, SafeRelPathRef,
};
use chatproto_fuzz::{Value, may_be_one};
use libfuzzer_sys::fuzz_target;

const MAX_LISTS: usize = 3;

/// Entries of a page that the target draws.
const MAX_ENTRIES: usize = 8;

const CAPABILITIES: Capabilities = Capabilities::NONE.with(Capability::Inline);

const PATHS: [&str; 3] = ["", "a", "a/b"];

fn name(text: &str) -> Name {
    Name::new(text).expect("a legal name")
}

/// What was asked for.
struct Asked {
    path: SafeRelPath,
    generation: Generation,
    page: u32,
    content: bool,
}

struct World {
    peer: Peer,
    now: Instant,
    asked: BTreeMap<RequestId, Asked>,
    /// Names of each generation that was seen, as they would be given on the disk.
    given: BTreeMap<(SafeRelPath, Generation), (GivenNames, Vec<SafeName>)>,
    closed: bool,
}

impl World {
    fn ask(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let path = SafeRelPath::new(u.choose(&PATHS)?).expect("a legal path");
        let (generation, page) = (Generation(u.int_in_range(0..=2)?), u.int_in_range(0..=3)?);
        let content = u.arbitrary()?;
        let peer = &mut self.peer;
        let asked = if content {
            peer.list_with_content(&path, generation, page)
        } else {
            peer.list(&path, generation, page)
        };
        match asked {
            Ok(request) => {
                assert!(
                    self.asked.len() < MAX_LISTS && page > 0 && (generation != Generation(0) || page == 1)
                );
                let asked = Asked { path, generation, page, content };
                assert!(self.asked.insert(request, asked).is_none(), "a number is in use once");
            }
            Err(_) => {
                let is_wrong = page == 0 || (generation == Generation(0) && page != 1);
                assert!(is_wrong || self.closed || self.asked.len() >= MAX_LISTS);
            }
        }
        Ok(())
    }

    /// Mostly what was asked for.
    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let open = self.asked.iter().nth(u.int_in_range(0..=MAX_LISTS - 1)?);
        let (mut request, mut path) = (RequestId(1), SafeRelPathRef::ROOT);
        let (mut generation, mut page) = (Generation(1), 1);
        if let Some((id, asked)) = open {
            (request, path, page) = (*id, asked.path.borrow(), asked.page);
            generation = if asked.generation == Generation(0) { Generation(1) } else { asked.generation };
        }
        let mut total = 20;
        let mut entries = Vec::new();
        let mut number = 0_u32;
        for _ in 0..u.int_in_range(0..=MAX_ENTRIES)? {
            number = if u.ratio(15, 16)? { number.saturating_add(1) } else { Value::draw(u, &bump)? };
            entries.push(entry(u, &bump, number)?);
        }
        let mut pages = page.saturating_add(1);
        match u.int_in_range(0..=31)? {
            0 => request = Value::draw(u, &bump)?,
            1 => path = Value::draw(u, &bump)?,
            2 => generation = Value::draw(u, &bump)?,
            3 => page = Value::draw(u, &bump)?,
            4 => pages = Value::draw(u, &bump)?,
            5 => total = Value::draw(u, &bump)?,
            _ => {}
        }
        let entries = List::new(&entries);
        let mut bytes =
            ListPage { request, generation, page, pages, total, path, entries }.to_bytes().to_vec();
        if u.ratio(1, 8)? {
            let at = u.int_in_range(0..=bytes.len() - 1)?;
            bytes[at] ^= u.int_in_range(1..=255)?;
        }
        let cut = u.int_in_range(0..=bytes.len())?;
        self.peer.handle_input(&bytes[..cut], self.now);
        self.peer.handle_input(&bytes[cut..], self.now);
        Ok(())
    }

    fn refuse(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let frame = Error {
            code: ErrorCode::Changed,
            about: FrameType::List.number(),
            request: Value::draw(u, &bump)?,
            retry_after: 0,
            note: NoteRef::EMPTY,
        };
        self.peer.handle_input(&frame.to_bytes(), self.now);
        Ok(())
    }

    fn take_events(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            assert!(!self.closed, "{event:?} after the end");
            match event {
                Event::ListPage { request, generation, path, page, pages, total, entries } => {
                    let asked = self.asked.remove(&request).expect("it was asked for, and comes once");
                    assert_eq!((&path, page), (&asked.path, asked.page));
                    assert!(asked.generation == Generation(0) || generation == asked.generation);
                    assert!(generation != Generation(0) && (1..=pages).contains(&page));
                    check_entries(&entries, total, asked.content);
                    self.give_names(path, generation, &entries);
                }
                Event::ListRefused { request, .. } => {
                    self.asked.remove(&request).expect("it was asked for, and is refused once");
                }
                Event::Closed { .. } => self.closed = true,
                _ => {}
            }
        }
    }

    /// Names of one folder, as a `/get` of all of it gives them to files.
    fn give_names(&mut self, path: SafeRelPath, generation: Generation, entries: &[ListedEntry]) {
        let (given, others) = self.given.entry((path, generation)).or_default();
        for entry in entries {
            let Some(name) = given.give(&entry.name) else { continue };
            let twin = others.iter().find(|other| may_be_one(other.as_str(), name.as_str()));
            assert_eq!(twin, None, "{name:?} may be the same file");
            others.push(name);
        }
    }
}

fn entry<'a>(u: &mut Unstructured<'_>, bump: &'a Bump, number: u32) -> Result<Entry<'a>> {
    let kind = if u.ratio(1, 4)? { EntryKind::Folder } else { EntryKind::File };
    let len = *u.choose(&[0, 1, MAX_INLINE - 1, MAX_INLINE, MAX_INLINE + 1])?;
    let has_content = u.ratio(1, 4)?;
    let content: &'a [u8] = bump.alloc_slice_fill_copy(if has_content { len } else { 0 }, 5);
    Ok(Entry {
        number,
        kind,
        size: if u.ratio(7, 8)? { len as u64 } else { Value::draw(u, bump)? },
        mtime: Value::draw(u, bump)?,
        root: Value::draw(u, bump)?,
        inline: Blob::new(content).ok().filter(|_| has_content),
        name: SafeNameRef::draw(u, bump)?,
    })
}

fn check_entries(entries: &[ListedEntry], total: u32, content: bool) {
    let mut last = 0;
    let mut sum = 0;
    for entry in entries {
        assert!(entry.number > last && entry.number <= total, "numbers rise: {entry:?}");
        last = entry.number;
        assert!(SafeNameRef::new(entry.name.as_str()).is_ok());
        if let Some(bytes) = &entry.content {
            assert!(content && entry.root.is_some(), "content that cannot be checked, or was not asked for");
            assert!(bytes.len() <= MAX_INLINE && bytes.len() as u64 == entry.size);
            sum += bytes.len();
        }
    }
    assert!(sum <= MAX_FRAME as usize);
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let now = Instant::from_millis(1);
    let (bob, device) = (NameRef::new("bob").expect("a legal name"), DeviceId([1; 16]));
    let mut config = Config::new(name("alice"), DeviceId([0; 16]), NoteRef::EMPTY.to_owned());
    (config.capabilities, config.max_lists) = (CAPABILITIES, MAX_LISTS);
    let introduction = Introduction {
        offer: OfferId(7),
        ticket: LinkTicket([3; 32]),
        purpose: Purpose::Files,
        peer: bob.to_owned(),
        device,
    };
    let mut peer = Peer::dial(config, introduction, now);
    let (capabilities, agent) = (CAPABILITIES, NoteRef::EMPTY);
    let welcome = LinkWelcome { version: 1, capabilities, max_frame: MAX_FRAME, user: bob, device, agent };
    peer.handle_input(&welcome.to_bytes(), now);
    assert_eq!(peer.state(), State::Open);
    let mut world = World { peer, now, asked: BTreeMap::new(), given: BTreeMap::new(), closed: false };
    world.take_events();
    while !u.is_empty() && !world.closed {
        let step = match u.int_in_range(0..=15) {
            Ok(0..=5) => world.ask(&mut u),
            Ok(6..=13) => world.answer(&mut u),
            Ok(14) => world.refuse(&mut u),
            Ok(_) => {
                let bytes = u.arbitrary::<&[u8]>().unwrap_or_default();
                world.peer.handle_input(bytes, now);
                Ok(())
            }
            Err(_) => break,
        };
        world.take_events();
        if step.is_err() {
            break;
        }
    }
    // Whatever was asked for and did not come is told to be lost.
    world.peer.handle_eof(now);
    world.take_events();
    assert!(world.closed && world.asked.is_empty());
});
