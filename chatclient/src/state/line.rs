//! The lines of the journal: a checksum, a space, a JSON value, a line feed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::marker::PhantomData;

/// The longest line that is read back: the longest text with every byte escaped, and room for the rest.
const MAX_LINE_BYTES: u64 = 6 * super::MAX_SAY_BYTES as u64 + 4096;

/// 64 bits tell a torn line from a whole one; nobody is kept from forging them.
const CHECKSUM_DIGITS: usize = 16;

pub(super) fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())).into_bytes())
}

/// A line as it was found.
pub(super) enum Line<T> {
    Good(T),
    /// Torn, overwritten, too long or never ours.
    Bad,
}

/// Reads lines, holding one at a time.
pub(super) struct Lines<T> {
    file: BufReader<File>,
    line: Vec<u8>,
    of: PhantomData<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(super) fn new(file: File) -> Self {
        Self { file: BufReader::new(file), line: Vec::new(), of: PhantomData }
    }

    /// `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<T>>> {
        self.line.clear();
        if (&mut self.file).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
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
