//! A running store whose callbacks end in channels, so that tests wait for events.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{path::Path, sync::Arc, time::Duration};

use chatserver::store::{
    Accounts, DataDir, Message, Outcome, Read, Reply, RoomKind, Search, Store, StoreConfig, Write,
};
use crossbeam_channel::{Receiver, unbounded};

/// Far beyond what any event takes, so that a lost one fails the test instead of hanging it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const DEVICE: [u8; 16] = [7; 16];

pub(crate) struct Running {
    pub(crate) store: Store,
    outcomes: Receiver<Vec<Outcome>>,
    replies: Receiver<Reply>,
}

impl Running {
    pub(crate) fn start(path: &Path) -> Self {
        Self::start_with(path, &StoreConfig::default())
    }

    pub(crate) fn start_with(path: &Path, config: &StoreConfig) -> Self {
        let lock = DataDir::open(path).unwrap().lock().unwrap();
        let (outcome, outcomes) = unbounded();
        let (reply, replies) = unbounded();
        let store = Store::start(
            lock,
            config,
            Box::new(move |batch| outcome.send(batch).unwrap()),
            Arc::new(move |answer| reply.send(answer).unwrap()),
        )
        .unwrap();
        Self { store, outcomes, replies }
    }

    pub(crate) fn send(&self, write: Write) {
        self.store.writer.try_send(write).unwrap();
    }

    /// The outcomes of one commit.
    pub(crate) fn batch(&self) -> Vec<Outcome> {
        self.outcomes.recv_timeout(PATIENCE).unwrap()
    }

    /// The next `count` outcomes, over as many commits as it takes.
    pub(crate) fn outcomes(&self, count: usize) -> Vec<Outcome> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.batch());
        }
        all
    }

    pub(crate) fn one(&self, write: Write) -> Outcome {
        self.send(write);
        self.outcomes(1).remove(0)
    }

    pub(crate) fn create_room(&self, room: u32, name: &str) {
        let created = self.one(create(u64::from(room), room, name));
        assert!(matches!(created, Outcome::RoomCreated { .. }), "{created:?}");
    }

    /// Says something and returns its number.
    pub(crate) fn say(&self, room: u32, counter: u64, text: &str) -> u64 {
        match self.one(append(counter, room, counter, text)) {
            Outcome::Committed { seq, .. } => seq,
            other => panic!("not committed: {other:?}"),
        }
    }

    /// The reply to a read, without what is told before it of removed accounts.
    pub(crate) fn read(&self, read: Read) -> Reply {
        self.ask(read);
        loop {
            let reply = self.reply();
            if !matches!(reply, Reply::Removed { .. }) {
                return reply;
            }
        }
    }

    pub(crate) fn ask(&self, read: Read) {
        self.store.reader.try_send(read).unwrap();
    }

    /// The next reply, to whatever.
    pub(crate) fn reply(&self) -> Reply {
        self.replies.recv_timeout(PATIENCE).unwrap()
    }

    /// All of a room's messages, page by page.
    pub(crate) fn whole_room(&self, room: u32) -> Vec<Message> {
        let mut all: Vec<Message> = Vec::new();
        loop {
            let after = all.last().map_or(0, |message| message.seq);
            match self.read(Read::Page { id: 1, room, after, limit: 1_000, max_bytes: 1 << 20 }) {
                Reply::Page { messages, more, .. } => {
                    all.extend(messages);
                    if !more {
                        return all;
                    }
                }
                other => panic!("not a page: {other:?}"),
            }
        }
    }

    /// The texts found, newest first, and whether these are all.
    pub(crate) fn search(&self, rooms: &[u32], words: &str, limit: usize) -> (Vec<String>, bool) {
        let search = Search { id: 9, rooms: rooms.to_vec(), words: words.to_owned(), limit };
        self.store.reader.try_search(search).unwrap();
        match self.replies.recv_timeout(PATIENCE).unwrap() {
            Reply::Found { id: 9, messages, complete } => {
                (messages.into_iter().map(|found| found.message.text).collect(), complete)
            }
            other => panic!("not a search's answer: {other:?}"),
        }
    }
}

pub(crate) fn create(id: u64, room: u32, name: &str) -> Write {
    Write::CreateRoom {
        id,
        room,
        kind: RoomKind::Group,
        name: name.to_owned(),
        by: None,
        owner: None,
        is_private: false,
    }
}

pub(crate) fn append(id: u64, room: u32, counter: u64, text: &str) -> Write {
    Write::Append { id, room, sender: "alice".to_owned(), device: DEVICE, counter, text: text.to_owned() }
}

pub(crate) fn recall(id: u64, counter: u64) -> Write {
    Write::Recall { id, sender: "alice".to_owned(), device: DEVICE, counter }
}

pub(crate) fn accounts(path: &Path) -> Accounts {
    Accounts::open(&DataDir::open(path).unwrap()).unwrap()
}
