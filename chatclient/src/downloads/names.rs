//! The names that a file has in the download folder: one while it comes, one of several when it is there.

use chatproto::wire::SafeNameRef;
use std::borrow::Cow;

const TEMPORARY_SUFFIX: &str = ".part";
const RECORD_SUFFIX: &str = ".held";
const TAG_DIGITS: usize = 8;

/// `.NAME.xxxxxxxx.part`: hidden, and told apart by a random tag. At most 15 bytes longer than `name`, which keeps the
/// longest name within what file systems take.
pub(super) fn temporary(name: &str, tag: u32) -> String {
    format!(".{name}.{tag:08x}{TEMPORARY_SUFFIX}")
}

/// The record of a temporary file: the same name with another ending, as long as the first.
pub(super) fn record(temporary: &str) -> String {
    format!("{}{RECORD_SUFFIX}", temporary.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(temporary))
}

/// The temporary name that a record of `name` belongs to; none if `found` is not the name of one.
pub(super) fn recorded(found: &str, name: &str) -> Option<String> {
    let temporary = found.strip_suffix(RECORD_SUFFIX)?;
    let temporary = format!("{temporary}{TEMPORARY_SUFFIX}");
    (name_of(&temporary, TEMPORARY_SUFFIX) == Some(name)).then_some(temporary)
}

/// Whether a name has the form of a temporary one, or of its record.
pub(crate) fn is_temporary(name: &str) -> bool {
    [TEMPORARY_SUFFIX, RECORD_SUFFIX].into_iter().any(|suffix| name_of(name, suffix).is_some())
}

/// Whether a name has the form of a temporary one.
pub(super) fn is_of_part(name: &str) -> bool {
    name_of(name, TEMPORARY_SUFFIX).is_some()
}

/// What a file with this temporary name is to be called.
fn name_of<'a>(temporary: &'a str, suffix: &str) -> Option<&'a str> {
    let (name, tag) = temporary.strip_prefix('.')?.strip_suffix(suffix)?.rsplit_once('.')?;
    let is_tag = tag.len() == TAG_DIGITS && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    (!name.is_empty() && is_tag).then_some(name)
}

/// The name itself, then `name (1).ext`, `name (2).ext` and so on. Of a name that would become too long for one, the end before the
/// number goes.
pub(super) fn variant(name: &str, number: u32) -> Cow<'_, str> {
    if number == 0 {
        return Cow::Borrowed(name);
    }
    let number = format!(" ({number})");
    let room = SafeNameRef::MAX_LEN.saturating_sub(number.len());
    let is_extension = |at: &usize| *at > 0 && name.len() - at <= room / 2;
    let stem_end = name.rfind('.').filter(is_extension).unwrap_or(name.len());
    let (stem, extension) = name.split_at(stem_end);
    let stem = stem.get(..stem.floor_char_boundary(room - extension.len())).unwrap_or(stem);
    Cow::Owned(format!("{stem}{number}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_keep_the_extension() {
        assert_eq!(variant("song.mp3", 0), "song.mp3");
        assert_eq!(variant("song.mp3", 1), "song (1).mp3");
        assert_eq!(variant("a.tar.gz", 12), "a.tar (12).gz");
        assert_eq!(variant("README", 2), "README (2)");
        assert_eq!(variant(".bashrc", 2), ".bashrc (2)");
    }

    #[test]
    fn temporary_names_are_recognised_and_nothing_else() {
        let song = temporary("song.mp3", 0x1f);
        assert!(is_temporary(&song));
        assert!(is_temporary(&record(&song)));
        assert_eq!(recorded(&record(&song), "song.mp3"), Some(song.clone()));
        assert_eq!(recorded(&record(&song), "song"), None);
        assert_eq!(recorded(&song, "song.mp3"), None);
        for name in
            [".part", ".x.part", "x.12345678.part", ".x.1234567.part", ".x.1234567g.part", "..12345678.part"]
        {
            assert!(!is_temporary(name), "{name}");
        }
    }

    #[test]
    fn the_longest_name_still_fits_the_file_system() {
        let name = "x".repeat(SafeNameRef::MAX_LEN);
        assert_eq!(temporary(&name, u32::MAX).len(), 255);
        assert_eq!(record(&temporary(&name, u32::MAX)).len(), 255);
    }

    #[test]
    fn a_variant_of_a_long_name_is_a_name() {
        // Two, three and four bytes a character, so that the cut would meet the middle of some.
        for (stem, extension) in [("x", ""), ("\u{e9}", ".mp3"), ("\u{20ac}", ".tar.gz"), ("\u{1f600}", ".x")]
        {
            for len in SafeNameRef::MAX_LEN - 16..=SafeNameRef::MAX_LEN {
                let name = stem.repeat((len - extension.len()) / stem.len()) + extension;
                let mut variants: Vec<_> =
                    [0, 1, 9, 10, super::super::MAX_COPIES].map(|number| variant(&name, number)).into();
                let last = extension.rfind('.').map_or("", |at| &extension[at..]);
                for variant in &variants {
                    assert!(SafeNameRef::new(variant).is_ok() && variant.ends_with(last), "{variant}");
                }
                variants.sort();
                variants.dedup();
                assert_eq!(variants.len(), 5, "all are different");
            }
        }
        let all_extension = format!("x.{}", "y".repeat(SafeNameRef::MAX_LEN - 2));
        assert!(SafeNameRef::new(&variant(&all_extension, 7)).is_ok());
    }
}
