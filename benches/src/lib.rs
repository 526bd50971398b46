//! The load generator: many members in one room over real sockets, against the real server and against the floor.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`plan`] | what one run is asked to do |
//! | [`campaign`] | fan-out and latency: the floor and the server, side by side |
//! | [`stalled`] | a member that stops reading |
//! | [`storm`] | floods of callers and of wrong passwords, while members talk |
//! | [`silent`] | callers that say nothing, or next to nothing |
//! | [`attack`] | who does that |
//! | [`join`] | many people who come and go at once |
//! | [`transfer`] | a file from peer to peer |
//! | [`idle`] | connections that only are there |
//! | [`subject`] | who is measured: a process, and how to speak to it |
//! | [`crowd`] | the members, on one loop |
//! | [`member`] | one member: login, framing, counting |
//! | [`roster`] | who is in the room, as a member is told |
//! | [`payload`] | a text that carries when it was due |
//! | [`latency`] | a histogram of bounded size |
//! | [`process`] | CPU time and memory of a process, from `/proc` |
//! | [`floor`] | the floor: a bare broadcaster |
//! | [`disk`] | the floors of the log: one flush, and a bare insert loop |
//! | [`goal`] | what was aimed at, and whether it was met |
//! | [`report`] | Markdown and JSON |
//!
//! The criterion benches are in `benches/benches/`.

use std::{fmt, io};

pub mod attack;
pub mod campaign;
pub mod cli;
pub mod crowd;
pub mod disk;
pub mod floor;
pub mod goal;
pub mod idle;
pub mod join;
pub mod latency;
pub mod member;
pub mod payload;
pub mod plan;
pub mod process;
pub mod report;
pub mod roster;
pub mod silent;
pub mod stalled;
pub mod storm;
pub mod subject;
pub mod transfer;

/// Why a run has no result: what was being done, and what went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Failure {
    what: String,
    why: String,
}

impl Failure {
    /// `what` was being done, and `why` is what went wrong.
    pub fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }

    /// Says of an I/O error what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::new(what, error)
    }
}

/// Descriptors of this process beside those of the members.
pub const SPARE_DESCRIPTORS: usize = 64;

/// Every connection is a descriptor: lifts this process' limit as far as the system lets it.
///
/// # Errors
/// When even the highest limit is below `wanted` descriptors.
pub fn raise_descriptor_limit(wanted: usize) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let what = "raise the limit of open files";
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|error| Failure::new(what, error))?;
    match maximum {
        Some(maximum) if maximum < wanted as u64 => {
            Err(Failure::new(what, format!("{wanted} are needed, the system allows {maximum}")))
        }
        Some(_) | None => Ok(()),
    }
}
