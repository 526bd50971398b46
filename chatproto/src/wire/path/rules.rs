//! What makes a file name safe on every common file system.

use alloc::string::String;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use super::SafeNameRef;
use crate::wire::chars::{is_forbidden, is_invisible};

/// The rule that a file name breaks. Offsets are in bytes of UTF-8, from the start of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// No character at all; in a path, two slashes in a row or one at an end.
    #[error("a file name is empty")]
    Empty,
    /// More than [`SafeNameRef::MAX_LEN`] bytes.
    #[error("a file name of {len} bytes, at most {max} are allowed", max = SafeNameRef::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// `.` or `..`.
    #[error("a file name that means this folder or the one above")]
    Dots,
    /// A slash, a backslash, or the colon of a drive or an alternate stream.
    #[error("the separator `{found}` at byte {at} of a file name")]
    Separator {
        /// The separator.
        found: char,
        /// Where it is.
        at: usize,
    },
    /// A control, bidirectional or invisible character.
    #[error("the character U+{:04X} at byte {at} of a file name", u32::from(*found))]
    ForbiddenChar {
        /// The character.
        found: char,
        /// Where it is.
        at: usize,
    },
    /// White space at the start.
    #[error("a file name begins with white space")]
    LeadingSpace,
    /// White space or a dot at the end, which some systems drop silently.
    #[error("a file name ends with white space or a dot")]
    TrailingSpaceOrDot,
    /// A name that Windows gives to a device, with whatever extension.
    #[error("a file name that is a device on some systems")]
    DeviceName,
    /// Not in Unicode normalization form C: it would look the same as another name.
    #[error("a file name is not in Unicode normalization form C")]
    NotNfc,
}

/// Checks one component of a path.
pub(super) fn check(name: &str) -> Result<(), FileNameError> {
    if name.is_empty() {
        return Err(FileNameError::Empty);
    }
    if name.len() > SafeNameRef::MAX_LEN {
        return Err(FileNameError::TooLong { len: name.len() });
    }
    if matches!(name, "." | "..") {
        return Err(FileNameError::Dots);
    }
    for (at, found) in name.char_indices() {
        if matches!(found, '/' | '\\' | ':') {
            return Err(FileNameError::Separator { found, at });
        }
        if is_forbidden(found) || is_invisible(found) {
            return Err(FileNameError::ForbiddenChar { found, at });
        }
    }
    if name.starts_with(char::is_whitespace) {
        return Err(FileNameError::LeadingSpace);
    }
    if name.ends_with(|c: char| c == '.' || c.is_whitespace()) {
        return Err(FileNameError::TrailingSpaceOrDot);
    }
    if is_device(name) {
        return Err(FileNameError::DeviceName);
    }
    if !is_nfc(name) {
        return Err(FileNameError::NotNfc);
    }
    Ok(())
}

/// The same for all names that a file system may take for one and the same: whichever case they are in, with accents
/// however encoded, and with or without variation selectors.
///
/// Names with equal keys must not be created side by side in one folder. Coarser than any single file system (`ß`
/// equals `ss`), so at worst a file is renamed that could have kept its name.
#[must_use]
pub fn case_fold_key(name: SafeNameRef<'_>) -> String {
    let visible = name.as_str().nfd().filter(|c| !matches!(c, '\u{fe00}'..='\u{fe0f}'));
    // Upper case is where the final sigma, the long s and the dotless i meet their relatives; lower case before that,
    // since the capital sharp s has none in upper case.
    let folded =
        visible.flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.nfc().collect()
}

/// Windows looks only at what precedes the first dot, and drops spaces before that.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    let mut chars = stem.chars();
    let Some(last) = chars.next_back() else { return false };
    let family = chars.as_str();
    matches!(last, '0'..='9' | '¹' | '²' | '³')
        && (family.eq_ignore_ascii_case("com") || family.eq_ignore_ascii_case("lpt"))
}

const DEVICES: [&str; 7] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"];
