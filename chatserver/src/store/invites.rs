//! Invitations: codes that let strangers make accounts. Only hashes are kept: who reads the database finds no code.

use std::fmt::Write as _;

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::rows;

/// An invitation, without its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRow {
    /// Its number, for the operator.
    pub id: u64,
    /// What the operator called it; may be empty.
    pub label: String,
    /// How many accounts it is still good for.
    pub uses_left: u32,
    /// From when on it is worth nothing, in Unix milliseconds.
    pub expires_ms: u64,
}

/// Letters and digits that nobody takes for one another, 32 of them.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// Random bytes of a code: 80 bits are out of reach of guessing, with or without budgets.
pub const CODE_BYTES: usize = 10;

/// Characters between two dashes.
const GROUP: usize = 4;

/// The code that these bytes stand for: four groups of four characters.
#[must_use]
pub fn code(bytes: &[u8; CODE_BYTES]) -> String {
    let bits = bytes.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let count = CODE_BYTES * 8 / 5;
    let mut code = String::new();
    for at in 0..count {
        if at > 0 && at % GROUP == 0 {
            code.push('-');
        }
        let digit = usize::try_from((bits >> (5 * (count - 1 - at))) & 31).unwrap_or_default();
        code.extend(ALPHABET.get(digit).map(|letter| char::from(*letter)));
    }
    code
}

/// Keeps a new invitation and gives its number.
pub(super) fn create(
    conn: &Connection,
    code: &str,
    label: &str,
    uses: u32,
    expires_ms: u64,
) -> Result<u64, rusqlite::Error> {
    conn.prepare_cached("INSERT INTO invites(hash, label, uses_left, expires_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((hash(code), label, uses, rows::to_i64(expires_ms)))?;
    Ok(u64::try_from(conn.last_insert_rowid()).unwrap_or_default())
}

/// All invitations, also those that are worth nothing any more.
pub(super) fn list(conn: &Connection) -> Result<Vec<InviteRow>, rusqlite::Error> {
    conn.prepare("SELECT id, label, uses_left, expires_ms FROM invites ORDER BY id")?
        .query_map([], |row| {
            Ok(InviteRow {
                id: rows::unsigned(row, 0)?,
                label: row.get(1)?,
                uses_left: row.get(2)?,
                expires_ms: rows::unsigned(row, 3)?,
            })
        })?
        .collect()
}

/// Removes an invitation; `false` when there is none of this number.
pub(super) fn remove(conn: &Connection, id: u64) -> Result<bool, rusqlite::Error> {
    Ok(conn.execute("DELETE FROM invites WHERE id = ?1", [rows::to_i64(id)])? > 0)
}

pub(super) fn is_good(conn: &Connection, code: &str, now_ms: u64) -> Result<bool, rusqlite::Error> {
    conn.prepare_cached("SELECT 1 FROM invites WHERE hash = ?1 AND uses_left > 0 AND expires_ms > ?2")?
        .exists((hash(code), rows::to_i64(now_ms)))
}

/// Uses it up by one.
pub(super) fn spend(conn: &Connection, code: &str) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("UPDATE invites SET uses_left = uses_left - 1 WHERE hash = ?1")?
        .execute([hash(code)])
        .map(drop)
}

/// Dashes, spaces and case are for people: they do not count.
fn hash(code: &str) -> [u8; 32] {
    let mut plain = String::with_capacity(code.len());
    for letter in code.chars().filter(|letter| !matches!(letter, '-' | ' ')) {
        // Writing to a string cannot fail.
        let _ = write!(plain, "{}", letter.to_ascii_lowercase());
    }
    Sha256::digest(plain.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_made_of_all_their_bytes() {
        assert_eq!(code(&[0; CODE_BYTES]), "2222-2222-2222-2222");
        assert_eq!(code(&[0xff; CODE_BYTES]), "zzzz-zzzz-zzzz-zzzz");
        assert_eq!(code(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "2222-2222-2222-2223");
        assert_ne!(code(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), code(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn a_code_may_be_typed_as_people_type() {
        assert_eq!(hash("k7fq-2m9d-x4tp-r8wz"), hash("K7FQ 2M9D x4tpr8wz"));
        assert_ne!(hash("k7fq-2m9d-x4tp-r8wz"), hash("k7fq-2m9d-x4tp-r8wy"));
    }
}
