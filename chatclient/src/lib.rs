//! The reference client: group chat, and files straight from peer to peer.

pub mod app;
pub mod cli;
pub mod command;
mod comparison;
pub mod discover;
pub mod downloads;
pub mod exit;
mod handle;
pub mod notice;
pub mod portmap;
pub mod settings;
pub mod share;
pub mod state;
pub mod ui;
