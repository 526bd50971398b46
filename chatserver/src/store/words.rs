//! What somebody searches for, as the index is asked for it and as a text is held against it.

/// The words of a search, folded: a text matches when it contains all of them, anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(Vec<String>);

impl Words {
    /// Splits at white space. What exceeds the bounds is left out, which can only find more.
    pub(super) fn parse(query: &str) -> Self {
        let separates = |char: char| char.is_whitespace() || char == NUL;
        let words = query.split(separates).filter(|word| !word.is_empty());
        Self(words.take(MAX_WORDS).map(fold).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn match_text(&self, text: &str) -> bool {
        let text = fold(text);
        self.iter().all(|word| text.contains(word))
    }
}

/// The trigrams of a word, in order; none when it is shorter than three characters.
pub(super) fn trigrams(word: &str) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().map(|(at, char)| at + char.len_utf8()).skip(2);
    let starts = word.char_indices().map(|(at, _)| at);
    starts.zip(ends).take(MAX_TRIGRAMS).filter_map(|(start, end)| word.get(start..end))
}

/// A string that the index takes for itself, whatever is in it.
pub(super) fn quote(term: &str) -> String {
    format!("\"{}\"", term.replace('"', "\"\""))
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Ends the index's expressions, wherever it stands in them; no text has one.
const NUL: char = '\0';

/// Words of one search. A flood of words must not become a flood of index look-ups.
const MAX_WORDS: usize = 16;

/// Trigrams that the index is asked for, for each word; the rest of a long word is held against the text alone.
const MAX_TRIGRAMS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trigrams_are_windows_of_three_characters() {
        assert_eq!(trigrams("hello").collect::<Vec<_>>(), ["hel", "ell", "llo"]);
        assert_eq!(trigrams("안녕하세").collect::<Vec<_>>(), ["안녕하", "녕하세"]);
        assert_eq!(trigrams("ab").count(), 0);
        assert_eq!(trigrams("").count(), 0);
        assert_eq!(trigrams(&"x".repeat(1_000)).count(), MAX_TRIGRAMS);
    }

    #[test]
    fn all_words_must_be_contained_in_any_case() {
        let words = Words::parse("  WORLD hel ");
        assert!(words.match_text("Hello, world"));
        assert!(!words.match_text("hello, moon"));
        assert!(Words::parse("ÄRGER").match_text("viel ärger"));
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
