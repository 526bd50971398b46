//! The journal: says that are not acknowledged yet, and the cursor of each room.
//!
//! One line per fact, each under a checksum, appended without waiting for the disk: what was written is in the page
//! cache and survives `kill -9`. It is rewritten, flushed, with only what still counts at each open and whenever it
//! has doubled.

use super::device::DEVICE_ID_BYTES;
use super::folder::Folder;
use super::{StateError, hex, line};
use line::{Line, Lines};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// So many says may wait for their acknowledgement; it bounds the memory and the file of a client that is long offline.
pub const MAX_PENDING_SAYS: usize = 10_000;

/// The longest text that is kept. It is far above what the protocol lets anyone say.
pub const MAX_SAY_BYTES: usize = 64 * 1024;

/// Below this size the journal is never rewritten.
const MIN_COMPACTION_BYTES: u64 = 1024 * 1024;

const FILE: &str = "journal";
const DAMAGED_FILE: &str = "journal.damaged";

/// A message that the server has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSay {
    /// Its number from [`Device::next_counter`](super::Device::next_counter).
    pub counter: u64,
    /// Where it is said.
    pub target: SayTarget,
    /// What is said.
    pub text: String,
}

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SayTarget {
    /// In a room.
    Room(String),
    /// To one user.
    User(String),
    /// In what is left of a conversation with somebody who is gone, as its cursor is named: only to hear whether it was said
    /// before.
    Former(String),
}

/// What opening the journal brought back, beside [`Journal::pending`] and [`Journal::cursors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Lines in the middle that were unreadable, as after a power cut. When there are some, says may be lost, the user
    /// should be told, and the damaged journal was kept as `journal.damaged`. A torn last line is not counted: it is
    /// a say that the client was killed over before it showed it.
    pub damaged_lines: u64,
}

/// The open journal. Its methods append one line each, a few microseconds.
#[derive(Debug)]
pub struct Journal {
    folder: Arc<Folder>,
    device: [u8; DEVICE_ID_BYTES],
    file: std::fs::File,
    /// Where the next line goes: after the last one that was written in full.
    end: u64,
    compact_at: u64,
    pending: BTreeMap<u64, PendingSay>,
    cursors: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    /// Always the first: whose counters these are.
    Device(String),
    Say(PendingSay),
    Ack(u64),
    Cursor(String, u64),
    Forget(String),
}

impl Journal {
    pub(super) fn open(
        folder: &Arc<Folder>,
        device: [u8; DEVICE_ID_BYTES],
    ) -> Result<(Self, Replay), StateError> {
        let mut state = Replayed::default();
        if let Some(file) = folder.open_existing(FILE)? {
            state.read(folder, file.into_std(), device)?;
        }
        if state.damaged_lines > 0 {
            folder.keep_as(FILE, DAMAGED_FILE)?;
        }
        let replay = Replay { damaged_lines: state.damaged_lines };
        let Replayed { pending, cursors, .. } = state;
        let (file, end) = rewrite(folder, device, &pending, &cursors)?;
        let compact_at = next_compaction(end);
        Ok((Self { folder: Arc::clone(folder), device, file, end, compact_at, pending, cursors }, replay))
    }

    /// Keeps a say until it is acknowledged. To be called before it is sent.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] past [`MAX_PENDING_SAYS`], [`StateError::TooLong`] past [`MAX_SAY_BYTES`], or
    /// [`StateError::Io`]; the say is not kept then.
    pub fn say(&mut self, say: PendingSay) -> Result<(), StateError> {
        if say.text.len() > MAX_SAY_BYTES {
            return Err(StateError::TooLong { bytes: say.text.len(), limit: MAX_SAY_BYTES });
        }
        if self.pending.len() >= MAX_PENDING_SAYS {
            let path = self.folder.file_path(FILE);
            return Err(StateError::Full { path, what: "unacknowledged messages", limit: MAX_PENDING_SAYS });
        }
        self.append(&Record::Say(say.clone()))?;
        self.pending.insert(say.counter, say);
        Ok(())
    }

    /// What was to be said in one place is to be said in another from now on.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; what was not written stays where it was.
    pub fn retarget(&mut self, was: &SayTarget, now: &SayTarget) -> Result<(), StateError> {
        let moved = self.pending.values().filter(|say| say.target == *was);
        let moved = moved.map(|say| PendingSay { target: now.clone(), ..say.clone() }).collect::<Vec<_>>();
        for say in moved {
            self.append(&Record::Say(say.clone()))?;
            self.pending.insert(say.counter, say);
        }
        Ok(())
    }

    /// Drops an acknowledged (or finally refused) say; `None` when there was none with this counter.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the say stays pending then.
    pub fn ack(&mut self, counter: u64) -> Result<Option<PendingSay>, StateError> {
        if !self.pending.contains_key(&counter) {
            return Ok(None);
        }
        self.append(&Record::Ack(counter))?;
        Ok(self.pending.remove(&counter))
    }

    /// Notes the number of the last message seen in a room.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the cursor stays where it was.
    pub fn set_cursor(&mut self, room: &str, seq: u64) -> Result<(), StateError> {
        if self.cursors.get(room) == Some(&seq) {
            return Ok(());
        }
        self.append(&Record::Cursor(room.to_owned(), seq))?;
        self.cursors.insert(room.to_owned(), seq);
        Ok(())
    }

    /// Forgets a room that was left for good.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the room stays then.
    pub fn forget_room(&mut self, room: &str) -> Result<(), StateError> {
        if self.cursors.contains_key(room) {
            self.append(&Record::Forget(room.to_owned()))?;
            self.cursors.remove(room);
        }
        Ok(())
    }

    /// The says that are not acknowledged, in the order of their counters.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = &PendingSay> {
        self.pending.values()
    }

    /// The last message seen in each room.
    #[must_use]
    pub fn cursors(&self) -> &BTreeMap<String, u64> {
        &self.cursors
    }

    fn append(&mut self, record: &Record) -> Result<(), StateError> {
        if self.end >= self.compact_at {
            let (file, end) = rewrite(&self.folder, self.device, &self.pending, &self.cursors)?;
            (self.file, self.end, self.compact_at) = (file, end, next_compaction(end));
        }
        let failed = |error| self.folder.failed("write", FILE, error);
        let line = line::encode(record).map_err(failed)?;
        // At an explicit place: after a failed write the next line overwrites what came of it.
        self.file.write_all_at(&line, self.end).map_err(failed)?;
        self.end += line.len() as u64;
        Ok(())
    }
}

/// Twice what counts, so that the rewriting costs each line a constant share.
fn next_compaction(size: u64) -> u64 {
    size.saturating_mul(2).max(MIN_COMPACTION_BYTES)
}

fn rewrite(
    folder: &Folder,
    device: [u8; DEVICE_ID_BYTES],
    pending: &BTreeMap<u64, PendingSay>,
    cursors: &BTreeMap<String, u64>,
) -> Result<(std::fs::File, u64), StateError> {
    let records = std::iter::once(Record::Device(hex::encode(&device)))
        .chain(cursors.iter().map(|(room, seq)| Record::Cursor(room.clone(), *seq)))
        .chain(pending.values().cloned().map(Record::Say));
    let mut content = Vec::new();
    for record in records {
        content.extend(line::encode(&record).map_err(|error| folder.failed("write", FILE, error))?);
    }
    let file = folder.replace(FILE, &content)?;
    Ok((file.into_std(), content.len() as u64))
}

#[derive(Default)]
struct Replayed {
    pending: BTreeMap<u64, PendingSay>,
    cursors: BTreeMap<String, u64>,
    damaged_lines: u64,
}

impl Replayed {
    fn read(
        &mut self,
        folder: &Folder,
        file: std::fs::File,
        device: [u8; DEVICE_ID_BYTES],
    ) -> Result<(), StateError> {
        let mut lines = Lines::new(file);
        let mut at_start = true;
        // Bad lines count as damage only once a good one follows; at the end they are the torn tail.
        let mut bad_lines = 0;
        while let Some(line) = lines.next().map_err(|error| folder.failed("read", FILE, error))? {
            match line {
                Line::Bad if at_start => {
                    return Err(folder.corrupt(FILE, "its first line is unreadable"));
                }
                Line::Bad => bad_lines += 1,
                Line::Good(Record::Device(of)) if at_start => {
                    let ours = hex::encode(&device);
                    if of != ours {
                        let what = format!("it belongs to device {of:?}, and this is device {ours}");
                        return Err(folder.corrupt(FILE, what));
                    }
                }
                Line::Good(record) => {
                    if at_start {
                        return Err(folder.corrupt(FILE, "its first line names no device"));
                    }
                    self.damaged_lines += std::mem::take(&mut bad_lines);
                    self.apply(folder, record)?;
                }
            }
            at_start = false;
        }
        Ok(())
    }

    fn apply(&mut self, folder: &Folder, record: Record) -> Result<(), StateError> {
        match record {
            Record::Device(_) => return Err(folder.corrupt(FILE, "it names a second device")),
            Record::Say(say) => {
                self.pending.insert(say.counter, say);
                if self.pending.len() > MAX_PENDING_SAYS {
                    let what = format!("more than {MAX_PENDING_SAYS} messages are pending");
                    return Err(folder.corrupt(FILE, what));
                }
            }
            Record::Ack(counter) => drop(self.pending.remove(&counter)),
            Record::Cursor(room, seq) => drop(self.cursors.insert(room, seq)),
            Record::Forget(room) => drop(self.cursors.remove(&room)),
        }
        Ok(())
    }
}
