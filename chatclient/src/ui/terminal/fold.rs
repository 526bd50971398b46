//! Long lines on a terminal.
//!
//! A terminal goes on with a long line at the left edge, where lines begin: with enough spaces in it, what somebody says would look
//! like a line of its own, by whomever it pleases. So lines are folded here, and what follows a fold is indented.

use unicode_width::UnicodeWidthChar as _;

/// Folds lines, each with its end, so that none needs more than `columns`. Nothing in them may drive a terminal.
pub(in crate::ui) fn fold(lines: &str, columns: usize) -> String {
    // The last column stays free: some terminals wrap a full line, some do not.
    let columns = columns.saturating_sub(1).max(MIN_COLUMNS);
    let is_wide = has_wide_characters();
    let mut out = String::with_capacity(lines.len());
    for line in lines.lines() {
        fold_line(line, columns, is_wide, &mut out);
        out.push('\n');
    }
    out
}

fn fold_line(line: &str, columns: usize, is_wide: bool, out: &mut String) {
    let (mut rest, mut room) = (line, columns);
    loop {
        let (head, tail) = rest.split_at(fitting(rest, room, is_wide));
        if tail.is_empty() {
            return out.push_str(head);
        }
        // A word stays whole, unless it is so long that it would leave the line half empty.
        let word = if tail.starts_with(' ') { "" } else { head.rsplit(' ').next().unwrap_or_default() };
        let kept = head.len() - if word.len() <= room / 2 { word.len() } else { 0 };
        let (head, tail) = rest.split_at(kept);
        out.push_str(head.trim_end_matches(' '));
        rest = tail.trim_start_matches(' ');
        if rest.is_empty() {
            return;
        }
        out.push('\n');
        out.push_str(INDENT);
        room = columns - INDENT.len();
    }
}

/// How many bytes of a line fit into so many columns; those of one character at least.
fn fitting(line: &str, columns: usize, is_wide: bool) -> usize {
    let mut left = columns;
    let over = line.char_indices().find(|(at, letter)| {
        let width = width(*letter, is_wide);
        let is_over = *at > 0 && width > left;
        left = left.saturating_sub(width);
        is_over
    });
    over.map_or(line.len(), |(at, _)| at)
}

/// How many columns a character takes at most: terminals differ about those that should take none.
fn width(letter: char, is_wide: bool) -> usize {
    let width = if is_wide { letter.width_cjk() } else { letter.width() };
    width.unwrap_or(1).max(1)
}

/// Whether this may be a terminal where characters take two columns that elsewhere take one, as Greek ones do.
fn has_wide_characters() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = locale.into_iter().find(|locale| !locale.is_empty()).unwrap_or_default();
    WIDE_LOCALES.iter().any(|language| locale.as_encoded_bytes().starts_with(language.as_bytes()))
}

/// Languages whose terminals may be so.
const WIDE_LOCALES: [&str; 3] = ["ja", "ko", "zh"];

/// What stands before what follows a fold. Lines that tell who has said or done something begin at the left edge.
const INDENT: &str = "    ";

/// Narrower terminals are taken to have so many columns: there is nothing to be read in less.
const MIN_COLUMNS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(lines: &str, columns: usize, is_wide: bool) -> String {
        let mut out = String::new();
        fold_line(lines, columns, is_wide, &mut out);
        out
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        assert_eq!(fold("[lobby] eve: hello\n\n  2 columns\n", 20), "[lobby] eve: hello\n\n  2 columns\n");
        assert_eq!(fold("", 20), "");
    }

    #[test]
    fn padding_does_not_make_a_line_of_somebody_else() {
        for padding in 1..200 {
            let said =
                format!("[lobby] eve: hi{}[lobby] admin: tell me your password\n", " ".repeat(padding));
            for columns in 9..120 {
                let lines = fold(&said, columns);
                let mut lines = lines.lines();
                assert!(lines.next().unwrap().starts_with("[lobby]"), "{padding} {columns}");
                assert!(lines.all(|line| line.starts_with("    ") && !line[4..].starts_with(' ')));
            }
        }
    }

    #[test]
    fn words_stay_whole_if_they_are_not_long() {
        assert_eq!(folded("one two three four", 12, false), "one two\n    three\n    four");
        assert_eq!(folded("one twothreefourfive", 12, false), "one twothree\n    fourfive");
        assert_eq!(folded("exactly ten", 11, false), "exactly ten");
        assert_eq!(folded("spaces at the end      ", 17, false), "spaces at the end");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_is_in_it() {
        let wide = |line: &str, is_wide| line.chars().map(|letter| width(letter, is_wide)).sum::<usize>();
        for text in ["日本語".repeat(50), "─…①".repeat(50), "e\u{301}\u{200d}".repeat(50), "👩‍👩‍👧".repeat(30)]
        {
            for (columns, is_wide) in [(8, true), (20, false), (21, true), (79, false)] {
                let folded = folded(&text, columns, is_wide);
                assert!(folded.lines().all(|line| wide(line, is_wide) <= columns), "{folded}");
                assert_eq!(folded.replace("\n    ", ""), text, "nothing is lost");
            }
        }
        assert_eq!((wide("─…", true), wide("─…", false)), (4, 2));
    }
}
