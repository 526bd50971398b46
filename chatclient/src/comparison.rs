//! The code that two people compare to know that nobody stands between their devices.
//!
//! Made of both link keys, the same at both ends (PROTOCOL.md, section 9.1). Forty digits are about 132 bits; and as each guess
//! of somebody who wants two links to show one code takes [`ROUNDS`] hashes, meeting in the middle takes about 2^82.

use chatproto::wire::{LinkKey, Name};

/// Digits of the code, in groups of [`GROUP`].
const DIGITS: usize = 40;
const GROUP: usize = 5;

/// Hashes for one code: some milliseconds here, and a factor of 2^16 for whoever tries.
const ROUNDS: u32 = 1 << 16;

const LABEL: &[u8] = b"chatproto comparison 1\0";

/// The code of two devices, each with its account's name: 8 groups of 5 digits. Takes some milliseconds.
#[must_use]
pub(crate) fn comparison_code(one: (&Name, LinkKey), other: (&Name, LinkKey)) -> String {
    let side = |(name, key): (&Name, LinkKey)| [&key.0[..], name.as_str().as_bytes()].concat();
    let mut sides = [side(one), side(other)];
    sides.sort();
    let mut hash = *blake3::hash(&[LABEL, &sides[0], &[0], &sides[1]].concat()).as_bytes();
    for _ in 1..ROUNDS {
        hash = *blake3::hash(&hash).as_bytes();
    }
    // Enough bytes that no digit is noticeably more likely than another.
    let mut stream = blake3::Hasher::new().update(&hash).finalize_xof();
    let mut code = String::with_capacity(DIGITS + DIGITS / GROUP);
    for group in 0..DIGITS / GROUP {
        let mut bytes = [0; 8];
        stream.fill(&mut bytes);
        if group > 0 {
            code.push(' ');
        }
        code.push_str(&format!("{:05}", u64::from_be_bytes(bytes) % 100_000));
    }
    code
}

/// Whether a code as somebody typed it is this one: only the digits count.
#[must_use]
pub(crate) fn is_same_code(typed: &str, code: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    digits(typed) == digits(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn both_ends_see_one_code_and_anybody_else_another() {
        let (alice, bob) = (name("alice"), name("bob"));
        let (a, b, eve) = (LinkKey([1; 32]), LinkKey([2; 32]), LinkKey([3; 32]));
        let code = comparison_code((&alice, a), (&bob, b));
        assert_eq!(comparison_code((&bob, b), (&alice, a)), code);
        assert_ne!(comparison_code((&alice, eve), (&bob, b)), code);
        assert_ne!(comparison_code((&alice, a), (&bob, eve)), code);
        assert_ne!(comparison_code((&alice, b), (&bob, a)), code, "the keys belong to the names");
        assert_ne!(comparison_code((&name("alicf"), a), (&bob, b)), code);
    }

    #[test]
    fn the_code_is_as_the_protocol_says() {
        let code = comparison_code((&name("alice"), LinkKey([1; 32])), (&name("bob"), LinkKey([2; 32])));
        assert_eq!(code.len(), DIGITS + DIGITS / GROUP - 1);
        assert!(
            code.split(' ').all(|group| group.len() == GROUP && group.bytes().all(|b| b.is_ascii_digit()))
        );
        assert!(is_same_code(&code.replace(' ', ""), &code));
        assert!(is_same_code(&code.replace(' ', "-"), &code));
        assert!(!is_same_code(&code[1..], &code));
        assert!(!is_same_code("", &code));
    }
}
