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
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        crate::cli::Cli::command().debug_assert();
    }
}
