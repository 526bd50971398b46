//! The reference client: group chat, and files straight from peer to peer.

mod handle;
pub mod state;
