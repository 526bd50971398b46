//! Times as RFC 3339 in UTC.

use jiff::Timestamp;

/// Milliseconds since 1970-01-01 UTC as `2025-01-31T12:00:00.000Z`. A server may claim any number: what no calendar
/// holds becomes the last moment of one.
pub(crate) fn timestamp(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_have_milliseconds_and_any_number_gives_one() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert!(timestamp(u64::MAX).starts_with("9999-12-30T22:00:00.999"), "{}", timestamp(u64::MAX));
    }
}
