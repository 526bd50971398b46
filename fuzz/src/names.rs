//! Names as file systems compare them, told without the code that is tried.

use unicode_normalization::UnicodeNormalization as _;

/// Whether some file system may take two names for one: it folds to lower case or to upper case, writes accents apart,
/// or passes over variation selectors.
pub fn may_be_one(one: &str, other: &str) -> bool {
    let apart =
        |name: &str| -> String { name.nfd().filter(|c| !('\u{fe00}'..='\u{fe0f}').contains(c)).collect() };
    let (one, other) = (apart(one), apart(other));
    one.to_lowercase() == other.to_lowercase() || one.to_uppercase() == other.to_uppercase()
}
