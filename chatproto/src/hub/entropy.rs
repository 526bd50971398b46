//! Where a hub's secrets come from: the machine has no source of randomness of its own.

/// A source of unpredictable bytes. A program gives the operating system's; a test gives a seeded one and replays.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
