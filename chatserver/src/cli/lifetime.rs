//! How long a session ticket is good, as it is typed.

use std::time::Duration;

/// A number with its unit; 0 needs none.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("write a number and s, m, h or d, at most {}d, or 0", MAX.as_secs() / DAY);
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 60 * 60,
        Some("d") => DAY,
        Some("") if digits == "0" => 1,
        Some(_) | None => return Err(wrong()),
    };
    let number =
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    let lifetime = number.and_then(|number| number.checked_mul(unit)).map(Duration::from_secs);
    lifetime.filter(|lifetime| *lifetime <= MAX).ok_or_else(wrong)
}

/// As [`parse`], but at least a second: where 0 would mean no end, or nothing at all.
pub(super) fn parse_some(text: &str) -> Result<Duration, String> {
    let wrong = || format!("write a number and s, m, h or d, from 1s to {}d", MAX.as_secs() / DAY);
    parse(text).ok().filter(|lifetime| !lifetime.is_zero()).ok_or_else(wrong)
}

/// A week: whoever comes at least every few days seldom waits for a password to be stretched.
pub(super) const DEFAULT: &str = "7d";

/// A ticket that lasts longer would be a second password.
const MAX: Duration = Duration::from_secs(365 * DAY);

const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit_and_a_bound() {
        for (text, seconds) in
            [("0", 0), ("0s", 0), ("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "7", "d", "-1d", "+1d", "1.5h", "7 d", "7dd", "366d", "99999999999999999999s", "1w", "7d "]
        {
            let error = parse(text).unwrap_err();
            assert_eq!(error, "write a number and s, m, h or d, at most 365d, or 0", "{text}");
        }
    }

    #[test]
    fn a_time_that_must_be_some_is_never_none() {
        for (text, seconds) in [("1s", 1), ("30m", 1_800), ("365d", 31_536_000)] {
            assert_eq!(parse_some(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["0", "0s", "0d", "00h", "", "7", "366d"] {
            let error = parse_some(text).unwrap_err();
            assert_eq!(error, "write a number and s, m, h or d, from 1s to 365d", "{text}");
        }
        // No command takes a ban, a mute, an invitation or tickets for no time.
        use clap::Parser as _;
        for line in [
            "chatserver ban add @bob --for 0",
            "chatserver room mute tea bob --for 0s",
            "chatserver room ban tea bob --for 0d",
            "chatserver invite create --expires 0",
            "chatserver user import --tickets --ticket-lifetime 0 FILE",
        ] {
            let error = crate::cli::Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
            assert!(error.contains("from 1s to 365d"), "{line}: {error}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        crate::cli::Cli::command().debug_assert();
    }
}
