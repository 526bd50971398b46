//! Where the state of one user at one server lives when nobody says otherwise.

use super::StateError;
use etcetera::BaseStrategy as _;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The longest directory name made from a server or a user; what is longer is cut and told apart by a hash.
const MAX_NAME_BYTES: usize = 120;

/// `$XDG_STATE_HOME/chatproto/SERVER/USER`, with both names made safe as directory names.
///
/// `server` is what the user typed (`host:port`); hosts are compared without regard to case, user names are not.
/// Different pairs give different directories, also where the file system ignores case.
///
/// # Errors
///
/// [`StateError::NoHome`] when the system names no home directory.
pub fn default_path(server: &str, user: &str) -> Result<PathBuf, StateError> {
    let base = etcetera::choose_base_strategy().map_err(|_| StateError::NoHome)?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("chatproto").join(directory_name(&server.to_ascii_lowercase())).join(directory_name(user)))
}

/// Percent-encodes all but lower-case letters, digits and inner `.`, `-`, `_`: one name in, one name out.
fn directory_name(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'-' | b'_')
            || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
    if out.is_empty() {
        // `%` alone never comes out of the loop, so the empty name collides with nothing.
        out.push('%');
    }
    if out.len() > MAX_NAME_BYTES {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        out.truncate(MAX_NAME_BYTES - hash.len() - 1);
        out.push('~');
        out.push_str(&hash);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_harmless_component() {
        assert_eq!(directory_name("chat.example.org:4000"), "chat.example.org%3a4000");
        assert_eq!(directory_name("[::1]:4000"), "%5b%3a%3a1%5d%3a4000");
        assert_eq!(directory_name(".."), "%2e.");
        assert_eq!(directory_name("a/b\\c"), "a%2fb%5cc");
        assert_eq!(directory_name(""), "%");
    }

    #[test]
    fn different_users_never_share_a_directory() {
        assert_ne!(directory_name("bob"), directory_name("Bob"));
        assert!(!directory_name("bob").eq_ignore_ascii_case(&directory_name("Bob")));
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        assert_ne!(directory_name(&long), directory_name(&longer));
        assert!(directory_name(&longer).len() <= MAX_NAME_BYTES);
    }

    #[test]
    fn hosts_are_compared_without_case() {
        let (one, other) = (default_path("Chat.Example:1", "a"), default_path("chat.example:1", "a"));
        assert_eq!(one.unwrap(), other.unwrap());
    }
}
