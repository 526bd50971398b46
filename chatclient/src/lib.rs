//! The reference client: group chat, and files straight from peer to peer.

pub mod downloads;
mod handle;
pub mod share;
pub mod state;
