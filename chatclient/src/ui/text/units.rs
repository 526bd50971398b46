//! Sizes, speeds and times as people read them.

use std::time::Duration;

/// A size in bytes, as `512 B` or `1.2 MiB`.
pub(in crate::ui) fn size(bytes: u64) -> String {
    if bytes < KIBI {
        return format!("{bytes} B");
    }
    let mut unit = KIBI;
    let mut names = UNITS.iter();
    let mut name = names.next().unwrap_or(&"");
    // The step comes early enough that nothing rounds up to 1024.0.
    while u128::from(bytes) * 100 >= u128::from(unit) * 102_395 {
        let Some(next) = names.next() else { break };
        name = next;
        unit *= KIBI;
    }
    // In tenths, rounded; 128 bits, since ten times the largest size does not fit in 64.
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// Bytes over a time, as `12.3 MiB/s`; `None` when the time is too short to tell.
pub(in crate::ui) fn speed(bytes: u64, time: Duration) -> Option<String> {
    let millis = time.as_millis();
    if millis == 0 {
        return None;
    }
    let per_second = u128::from(bytes) * 1000 / millis;
    Some(format!("{}/s", size(u64::try_from(per_second).unwrap_or(u64::MAX))))
}

/// A time to wait, in milliseconds, as `0.5 s` or `40 s`.
pub(in crate::ui) fn pause(millis: u64) -> String {
    if millis < 10_000 {
        format!("{}.{} s", millis / 1000, millis % 1000 / 100)
    } else {
        seconds(millis / 1000)
    }
}

/// A time in seconds, as `40 s`, `3 min 5 s` or `2 h 40 min`.
pub(in crate::ui) fn seconds(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600.. => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

const KIBI: u64 = 1024;
const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_step_at_1024_and_never_show_it() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1280, "1.3 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1024 * 1023, "1023.0 KiB"),
            (1_258_291, "1.2 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn times_and_speeds_are_short() {
        assert_eq!(pause(500), "0.5 s");
        assert_eq!(pause(60_000), "1 min 0 s");
        assert_eq!(seconds(9_600), "2 h 40 min");
        assert_eq!(speed(3 << 20, Duration::from_millis(1500)).unwrap(), "2.0 MiB/s");
        assert_eq!(speed(1, Duration::from_micros(999)), None);
        assert_eq!(speed(u64::MAX, Duration::from_millis(1)).unwrap(), "16.0 EiB/s");
    }
}
