//! The kinds of values that a settings file may hold. Each type carries its bounds, so that what was read is allowed, and
//! what is not allowed is refused where it stands in the file.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use chatproto::hub::Rate;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number<T, const MIN: u64, const MAX: u64>(pub(super) T);

/// A number of bytes from `MIN` to `MAX`: whole, or as text with a unit, such as `"64 KiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size<T, const MIN: u64, const MAX: u64>(pub(super) T);

/// A time from `MIN` to `MAX` milliseconds, as text with a unit, such as `"30 s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time<const MIN: u64, const MAX: u64>(pub(super) Duration);

/// A [`Size`] that may be `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound<const MIN: u64, const MAX: u64>(pub(super) Option<u64>);

/// A [`Time`] that may be `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period<const MIN: u64, const MAX: u64>(pub(super) Option<Duration>);

/// So many in a time, such as `"300 / 10 s"`, or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace(pub(super) Rate);

/// A socket address, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Endpoint(pub(super) Option<SocketAddr>);

impl<T, const MIN: u64, const MAX: u64> From<T> for Number<T, MIN, MAX> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T, const MIN: u64, const MAX: u64> From<T> for Size<T, MIN, MAX> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<const MIN: u64, const MAX: u64> From<Duration> for Time<MIN, MAX> {
    fn from(value: Duration) -> Self {
        Self(value)
    }
}

impl<const MIN: u64, const MAX: u64> From<Option<u64>> for Bound<MIN, MAX> {
    fn from(value: Option<u64>) -> Self {
        Self(value)
    }
}

impl<const MIN: u64, const MAX: u64> From<Option<Duration>> for Period<MIN, MAX> {
    fn from(value: Option<Duration>) -> Self {
        Self(value)
    }
}

impl<'de, T: TryFrom<u64>, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wanted = format!("a whole number from {MIN} to {MAX}");
        let visitor = Quantity { wanted: &wanted, units: &[], min: MIN, max: MAX };
        from.deserialize_any(visitor).and_then(|number| narrow(number, &wanted).map(Self))
    }
}

impl<'de, T: TryFrom<u64>, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (low, high) = (shown(MIN, &SIZES), shown(MAX, &SIZES));
        let wanted = format!("a number of bytes or a text such as \"64 KiB\", from {low} to {high}");
        let visitor = Quantity { wanted: &wanted, units: &SIZES, min: MIN, max: MAX };
        from.deserialize_any(visitor).and_then(|number| narrow(number, &wanted).map(Self))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Time<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (low, high) = (shown(MIN, &TIMES), shown(MAX, &TIMES));
        let wanted = format!("a text such as \"30 s\" (ms, s, min, h or d), from {low} to {high}");
        let visitor = Quantity { wanted: &wanted, units: &TIMES, min: MIN, max: MAX };
        from.deserialize_str(visitor).map(|millis| Self(Duration::from_millis(millis)))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bound<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (low, high) = (shown(MIN, &SIZES), shown(MAX, &SIZES));
        let wanted = format!("\"{UNLIMITED}\", or a text such as \"64 KiB\", from {low} to {high}");
        let text = String::deserialize(from)?;
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        let quantity = Quantity { wanted: &wanted, units: &SIZES, min: MIN, max: MAX };
        quantity.visit_str(&text).map(|bytes| Self(Some(bytes)))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Period<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (low, high) = (shown(MIN, &TIMES), shown(MAX, &TIMES));
        let wanted =
            format!("\"{FOREVER}\", or a text such as \"30 d\" (ms, s, min, h or d), from {low} to {high}");
        let text = String::deserialize(from)?;
        if text == FOREVER {
            return Ok(Self(None));
        }
        let quantity = Quantity { wanted: &wanted, units: &TIMES, min: MIN, max: MAX };
        quantity.visit_str(&text).map(|millis| Self(Some(Duration::from_millis(millis))))
    }
}

impl From<Rate> for Pace {
    fn from(value: Rate) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wanted = format!(
            "\"{UNLIMITED}\", or a text such as \"300 / 10 s\": 1 to {MAX_TIMES} in a time (s, min or h) from 1 s to 24 h"
        );
        let text = String::deserialize(from)?;
        if text == UNLIMITED {
            return Ok(Self(Rate::UNLIMITED));
        }
        let wrong = || D::Error::custom(format_args!("expected {wanted}"));
        let (times, per) = text.split_once('/').ok_or_else(wrong)?;
        let times = times.trim_end();
        let is_number = times.bytes().all(|byte| byte.is_ascii_digit());
        let times = times.parse().ok().filter(|times| is_number && (1..=MAX_TIMES).contains(times));
        let quantity = Quantity { wanted: &wanted, units: &TIMES, min: 1_000, max: 24 * 3_600_000 };
        let per = Duration::from_millis(quantity.visit_str(per.trim_start())?);
        Ok(Self(Rate { times: times.ok_or_else(wrong)?, per }))
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.times == 0 {
            return to.serialize_str(UNLIMITED);
        }
        let per = shown(u64::try_from(self.0.per.as_millis()).unwrap_or(u64::MAX), &TIMES);
        to.serialize_str(&format!("{} / {per}", self.0.times))
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == OFF {
            return Ok(Self(None));
        }
        let wanted = || D::Error::custom("expected \"off\", or an address such as \"127.0.0.1:9464\"");
        text.parse().map(|addr| Self(Some(addr))).map_err(|_| wanted())
    }
}

/// Reads a socket address.
pub(super) fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| D::Error::custom("expected an address with a port, such as \"0.0.0.0:4848\""))
}

impl<const MIN: u64, const MAX: u64> Serialize for Bound<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(bytes) => to.serialize_str(&shown(bytes, &SIZES)),
            None => to.serialize_str(UNLIMITED),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Period<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(time) => Time::<MIN, MAX>(time).serialize(to),
            None => to.serialize_str(FOREVER),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(addr) => to.collect_str(&addr),
            None => to.serialize_str(OFF),
        }
    }
}

impl<T: Copy + TryInto<u64>, const MIN: u64, const MAX: u64> Serialize for Number<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0.try_into().unwrap_or(u64::MAX))
    }
}

impl<T: Copy + TryInto<u64>, const MIN: u64, const MAX: u64> Serialize for Size<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&shown(self.0.try_into().unwrap_or(u64::MAX), &SIZES))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Time<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&shown(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIMES))
    }
}

/// The greatest number of times in a [`Pace`].
const MAX_TIMES: u32 = 1_000_000;

const UNLIMITED: &str = "unlimited";
const FOREVER: &str = "forever";
const OFF: &str = "off";

/// A unit's name and what it is worth; the smallest first.
type Unit = (&'static str, u64);

const SIZES: [Unit; 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const TIMES: [Unit; 5] = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// In the largest unit in which it is whole.
fn shown(value: u64, units: &[Unit]) -> String {
    let fits = |&&(_, worth): &&Unit| value >= worth && value.is_multiple_of(worth);
    let (name, worth) = units.iter().rev().find(fits).or(units.first()).copied().unwrap_or(("", 1));
    format!("{} {name}", value / worth)
}

/// Reads a number, or a text with one of the units, and holds it against its bounds.
struct Quantity<'a> {
    wanted: &'a str,
    units: &'a [Unit],
    min: u64,
    max: u64,
}

impl Quantity<'_> {
    fn within<E: Error>(&self, value: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&value) { Ok(value) } else { Err(self.refusal()) }
    }

    fn refusal<E: Error>(&self) -> E {
        E::custom(format_args!("expected {}", self.wanted))
    }

    fn parse(&self, text: &str) -> Option<u64> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, worth) = self.units.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u64>().ok()?.checked_mul(*worth)
    }
}

impl Visitor<'_> for Quantity<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| self.refusal()).and_then(|value| self.within(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        self.within(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.parse(text).ok_or_else(|| self.refusal()).and_then(|value| self.within(value))
    }
}

/// Within the bounds, and still too large where numbers are smaller than on the machine that the bounds were chosen on.
fn narrow<T: TryFrom<u64>, E: Error>(number: u64, wanted: &str) -> Result<T, E> {
    T::try_from(number)
        .map_err(|_| E::custom(format_args!("expected {wanted}, in the range of this machine")))
}
