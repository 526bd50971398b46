use alloc::vec::Vec;

use opaque_ke::argon2::{Algorithm, Argon2, Block, Params, RECOMMENDED_SALT_LEN, Version};
use opaque_ke::errors::InternalError;
use opaque_ke::generic_array::{ArrayLength, GenericArray};
use opaque_ke::ksf::Ksf;
use zeroize::Zeroize as _;

use super::STRETCH_LEN;

/// How hard the client stretches a password: the parameters of Argon2id (RFC 9106).
///
/// They are chosen when the account is made, kept in its record, and sent to the client at each login. Whoever steals
/// the records must spend as much for each guess. The bounds are for the client: a hostile server must not make it
/// allocate without end or compute for minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    memory_kib: u32,
    passes: u8,
    lanes: u8,
}

/// Argon2id parameters outside the bounds of [`Stretch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StretchOutOfRange {
    /// Memory below [`Stretch::MEMORY_KIB_MIN`] or above [`Stretch::MEMORY_KIB_MAX`].
    #[error("{memory_kib} KiB of memory, {min} to {max} are allowed", min = Stretch::MEMORY_KIB_MIN, max = Stretch::MEMORY_KIB_MAX)]
    Memory {
        /// What was asked for, in KiB.
        memory_kib: u32,
    },
    /// No pass, or more than [`Stretch::PASSES_MAX`].
    #[error("{passes} passes, 1 to {max} are allowed", max = Stretch::PASSES_MAX)]
    Passes {
        /// What was asked for.
        passes: u8,
    },
    /// No lane, more than [`Stretch::LANES_MAX`], or less than 8 KiB for each.
    #[error("{lanes} lanes, 1 to {max} are allowed", max = Stretch::LANES_MAX)]
    Lanes {
        /// What was asked for.
        lanes: u8,
    },
    /// Memory times passes above [`Stretch::WORK_KIB_MAX`].
    #[error("{work_kib} KiB of memory written in all passes, at most {max} are allowed", max = Stretch::WORK_KIB_MAX)]
    Work {
        /// What was asked for, in KiB.
        work_kib: u64,
    },
}

impl Stretch {
    /// 19 MiB, 2 passes, 1 lane: about 35 ms on a desktop. The default.
    pub const STANDARD: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// 1 MiB, 3 passes, 1 lane: for devices without 19 MiB. Guesses cost about a thirteenth of the standard.
    pub const LIGHT: Self = Self { memory_kib: 1_024, passes: 3, lanes: 1 };

    /// Least memory, in KiB.
    pub const MEMORY_KIB_MIN: u32 = 64;
    /// Most memory, in KiB (256 MiB). Bounds what a server can make a client allocate.
    pub const MEMORY_KIB_MAX: u32 = 256 * 1024;
    /// Most passes.
    pub const PASSES_MAX: u8 = 16;
    /// Most lanes. 64 KiB, the least memory, are enough for all of them.
    pub const LANES_MAX: u8 = 8;
    /// Most memory times passes, in KiB. Bounds how long a server can make a client compute: about a second.
    pub const WORK_KIB_MAX: u64 = 1024 * 1024;

    /// Accepts parameters within the bounds.
    ///
    /// # Errors
    /// Says which parameter is out of its bounds.
    pub const fn new(memory_kib: u32, passes: u8, lanes: u8) -> Result<Self, StretchOutOfRange> {
        if memory_kib < Self::MEMORY_KIB_MIN || memory_kib > Self::MEMORY_KIB_MAX {
            return Err(StretchOutOfRange::Memory { memory_kib });
        }
        if passes == 0 || passes > Self::PASSES_MAX {
            return Err(StretchOutOfRange::Passes { passes });
        }
        if lanes == 0 || lanes > Self::LANES_MAX {
            return Err(StretchOutOfRange::Lanes { lanes });
        }
        let work_kib = memory_kib as u64 * passes as u64;
        if work_kib > Self::WORK_KIB_MAX {
            return Err(StretchOutOfRange::Work { work_kib });
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// Memory, in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(self) -> u8 {
        self.passes
    }

    /// Lanes. They are computed one after the other.
    #[must_use]
    pub const fn lanes(self) -> u8 {
        self.lanes
    }

    /// Memory in KiB as a big-endian `u32`, then a byte each for passes and lanes.
    pub(super) const fn to_bytes(self) -> [u8; STRETCH_LEN] {
        let [a, b, c, d] = self.memory_kib.to_be_bytes();
        [a, b, c, d, self.passes, self.lanes]
    }

    pub(super) const fn from_bytes(bytes: [u8; STRETCH_LEN]) -> Result<Self, StretchOutOfRange> {
        let [a, b, c, d, passes, lanes] = bytes;
        Self::new(u32::from_be_bytes([a, b, c, d]), passes, lanes)
    }
}

impl Default for Stretch {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// Argon2id with a zero salt: what it stretches is the output of the OPRF, which is unique to user and server.
impl Ksf for Stretch {
    fn hash<L: ArrayLength<u8>>(
        &self,
        input: GenericArray<u8, L>,
    ) -> Result<GenericArray<u8, L>, InternalError> {
        let params = Params::new(self.memory_kib, self.passes.into(), self.lanes.into(), None)
            .map_err(|_| InternalError::KsfError)?;
        // Reserved fallibly: a small device answers with an error instead of aborting.
        let mut blocks: Vec<Block> = Vec::new();
        let count = params.block_count();
        blocks.try_reserve_exact(count).map_err(|_| InternalError::KsfError)?;
        blocks.resize(count, Block::new());
        let mut output = GenericArray::default();
        let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            &input,
            &[0; RECOMMENDED_SALT_LEN],
            &mut output,
            &mut blocks,
        );
        for block in &mut blocks {
            block.as_mut().zeroize();
        }
        hashed.map(|()| output).map_err(|_| InternalError::KsfError)
    }
}
