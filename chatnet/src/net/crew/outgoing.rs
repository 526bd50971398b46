//! The pieces that wait for one socket, as one buffer.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

/// What the loop has handed over for one connection, oldest first. Its bound is that of the connection's flow.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let filled = self.pieces.iter().zip(into.iter_mut());
        filled.map(|(piece, slot)| *slot = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        while left > 0 {
            let Some(front) = self.pieces.front_mut() else { return };
            let taken = left.min(front.len());
            front.advance(taken);
            left -= taken;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty() && self.pieces.capacity() > IDLE_PIECES {
            self.pieces = VecDeque::new();
        }
    }
}

/// Pieces whose room an empty buffer may keep.
const IDLE_PIECES: usize = 4;
