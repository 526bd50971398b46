//! Names of connections and listeners that are safe to keep after the thing itself is gone.

use std::fmt;

/// Names one connection of one [`Net`](crate::Net), for good: a token is not given to a second connection
/// (before 2^32 others have come and gone), and verbs on a token whose connection is gone do nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnToken {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnToken {
    /// The token as a number, for programs that key their own state by integers.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        (u64::from(self.generation) << 32) | u64::from(self.slot)
    }

    /// The token that [`to_u64`](Self::to_u64) turned into `number`.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        let [g0, g1, g2, g3, s0, s1, s2, s3] = number.to_be_bytes();
        Self { generation: u32::from_be_bytes([g0, g1, g2, g3]), slot: u32::from_be_bytes([s0, s1, s2, s3]) }
    }
}

impl fmt::Debug for ConnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnToken({}.{})", self.slot, self.generation)
    }
}

/// Names one listener of one [`Net`](crate::Net).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub(crate) usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_survives_its_number() {
        let token = ConnToken { slot: 7, generation: u32::MAX - 1 };
        assert_eq!(ConnToken::from_u64(token.to_u64()), token);
    }
}
