//! A text that carries when it was due and who said it, so that whoever receives it can tell its age.

use bytes::BufMut;

/// Shortest text, in bytes: the time and the sender.
pub const MIN_LEN: usize = TIME_LEN + SENDER_LEN;

/// Hexadecimal digits of the time.
const TIME_LEN: usize = 16;

/// Hexadecimal digits of the sender.
const SENDER_LEN: usize = 2;

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the message was due, in nanoseconds of the crowd's clock.
    pub due: u64,
    /// Which sender said it.
    pub sender: u8,
}

impl Stamp {
    /// Appends a text of `len` bytes, at least [`MIN_LEN`]. It has no character that a server would refuse.
    pub fn write(self, len: usize, out: &mut impl BufMut) {
        for shift in (0..TIME_LEN).rev() {
            out.put_u8(digit(self.due >> (4 * shift)));
        }
        out.put_u8(digit(u64::from(self.sender) >> 4));
        out.put_u8(digit(u64::from(self.sender)));
        out.put_bytes(b'.', len.saturating_sub(MIN_LEN));
    }

    /// Reads a text back; `None` if it is none of ours.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        let (time, rest) = text.split_at_checked(TIME_LEN)?;
        let (sender, _) = rest.split_at_checked(SENDER_LEN)?;
        Some(Self { due: number(time)?, sender: u8::try_from(number(sender)?).ok()? })
    }
}

fn digit(value: u64) -> u8 {
    // One of sixteen values: it is there, and fits.
    DIGITS.get(usize::try_from(value & 0xf).unwrap_or(0)).copied().unwrap_or(b'0')
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u64::from(value))
    })
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_from_a_text_of_any_length() {
        for (due, sender) in [(0, 0), (1_234_567_890_123, 3), (u64::MAX, 255)] {
            for len in [MIN_LEN, 64, 4096] {
                let mut text = Vec::new();
                Stamp { due, sender }.write(len, &mut text);
                assert_eq!(text.len(), len);
                assert_eq!(Stamp::read(&text), Some(Stamp { due, sender }));
            }
        }
    }

    #[test]
    fn what_is_too_short_or_no_number_is_no_stamp() {
        assert_eq!(Stamp::read(b"0123"), None);
        assert_eq!(Stamp::read(b"000000000000000g00"), None);
    }
}
