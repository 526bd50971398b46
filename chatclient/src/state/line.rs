//! The lines of files that are appended to: a checksum, a space, a JSON value, a line feed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead as _, BufReader, Read};
use std::marker::PhantomData;

/// The longest line that is read back: the longest text with every byte escaped, and room for the rest.
const MAX_LINE_BYTES: u64 = 6 * super::MAX_SAY_BYTES as u64 + 4096;

/// 64 bits tell a torn line from a whole one; nobody is kept from forging them.
const CHECKSUM_DIGITS: usize = 16;

pub(crate) fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())).into_bytes())
}

/// A line as it was found.
pub(crate) enum Line<T> {
    Good(T),
    /// Torn, overwritten, too long or never ours.
    Bad,
}

/// Reads lines, holding one at a time.
pub(crate) struct Lines<R, T> {
    file: BufReader<R>,
    line: Vec<u8>,
    taken: u64,
    of: PhantomData<T>,
}

impl<R: Read, T: DeserializeOwned> Lines<R, T> {
    pub(crate) fn new(file: R) -> Self {
        Self { file: BufReader::new(file), line: Vec::new(), taken: 0, of: PhantomData }
    }

    /// How many bytes all lines so far had.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<T>>> {
        self.line.clear();
        if (&mut self.file).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.taken += self.line.len() as u64;
        Ok(Some(decode(&self.line).map_or(Line::Bad, Line::Good)))
    }
}

fn decode<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (digits, rest) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM_DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != digits {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let mut digits = blake3::hash(json).to_hex().to_string();
    digits.truncate(CHECKSUM_DIGITS);
    digits
}
