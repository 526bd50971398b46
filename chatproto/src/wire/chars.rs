//! Which characters remote text must not carry, and the escaper for terminals and logs.

use core::fmt;

/// Whether `c` is refused in every text from remote: it could drive a terminal, break a line, reorder what stands
/// around it, or is no character at all.
///
/// Controls (C0, DEL, C1), line and paragraph separators, the bidirectional embeddings, overrides and isolates, the
/// deprecated shaping controls, annotation anchors, the byte order mark, and the noncharacters. Joiners and single
/// direction marks are allowed, since emoji, Persian and Hebrew need them.
#[must_use]
pub const fn is_forbidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{206f}'
        | '\u{fdd0}'..='\u{fdef}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}')
        || (c as u32) & 0xfffe == 0xfffe
}

/// Whether `c` is refused in names on top of [`is_forbidden`]: it leaves no mark of its own, so that two names which
/// differ only by it look the same.
///
/// What Unicode calls default ignorable, and the blank Braille pattern. Variation selectors stay allowed: they follow
/// ordinary emoji.
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2065}'
        | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Shows `text` on a terminal or in a log: forbidden characters become `\n`, `\t`, `\r` or `\u{1b}`, all others
/// stay.
///
/// For eyes, not for machines: a backslash stays single, so what was escaped cannot be told from what was typed so.
#[must_use]
pub const fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// The [`Display`](fmt::Display) form that [`escaped`] returns.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_forbidden(c)) {
            f.write_str(rest.get(..at).unwrap_or_default())?;
            write!(f, "{}", c.escape_default())?;
            rest = rest.get(at + c.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_terminal_never_sees_a_control_or_an_override() {
        assert_eq!(escaped("\x1b]0;owned\x07").to_string(), "\\u{1b}]0;owned\\u{7}");
        assert_eq!(escaped("a\nb\tc\r").to_string(), "a\\nb\\tc\\r");
        assert_eq!(escaped("exe\u{202e}gpj").to_string(), "exe\\u{202e}gpj");
        assert_eq!(escaped("\u{9b}31m").to_string(), "\\u{9b}31m");
        assert_eq!(escaped("").to_string(), "");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in
            ["C:\\dir", "שלום\u{200f}!", "می\u{200c}خواهم", "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}", "日本語"]
        {
            assert!(!text.chars().any(is_forbidden), "{text}");
            assert_eq!(escaped(text).to_string(), text);
        }
    }

    #[test]
    fn debug_shows_what_cannot_be_seen() {
        assert_eq!(format!("{:?}", escaped("a\u{200b}\"\\\x07é")), "\"a\\u{200b}\\\"\\\\\\u{7}é\"");
    }

    #[test]
    fn noncharacters_of_every_plane_are_forbidden() {
        for plane in 0..=0x10_u32 {
            for last in [0xfffe, 0xffff] {
                assert!(is_forbidden(char::from_u32(plane << 16 | last).unwrap()));
            }
            assert!(!is_forbidden(char::from_u32(plane << 16 | 0xfffd).unwrap()));
        }
    }

    proptest! {
        #[test]
        fn escaping_leaves_nothing_forbidden_and_loses_no_other_character(text in any::<alloc::string::String>()) {
            let shown = escaped(&text).to_string();
            prop_assert!(!shown.chars().any(is_forbidden));
            if !text.chars().any(is_forbidden) {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
