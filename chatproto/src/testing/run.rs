//! Lets actors act until nothing is left to do.

use thiserror::Error;

use super::Network;
use crate::Instant;

/// Somebody in a test world: a machine with its sockets, or a test's own script.
pub trait Actor {
    /// Does all that can be done at `now`. Returns whether anything was.
    fn step(&mut self, network: &mut Network, now: Instant) -> bool;

    /// When there is something to do at the latest.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// Rounds that one instant may take. A world that is still busy then has an error: two actors answer each other forever, or
/// one says that it did something when it did not.
pub const MAX_ROUNDS: u32 = 100_000;

/// The world never came to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("after {MAX_ROUNDS} rounds at {at:?} there is still something to do for actor {actor:?}")]
pub struct Stuck {
    /// When.
    pub at: Instant,
    /// The first that was still busy, by its place; `None` if none was and one has a timeout that stays due.
    pub actor: Option<usize>,
}

/// Lets the actors act, and time jump to the next thing that is due, until `until`, which is what `now` is then.
///
/// # Errors
/// When the world does not come to rest at one instant, after [`MAX_ROUNDS`].
pub fn run(
    network: &mut Network,
    actors: &mut [&mut dyn Actor],
    now: &mut Instant,
    until: Instant,
) -> Result<(), Stuck> {
    let mut rounds = 0;
    loop {
        network.settle(*now);
        let mut busy = None;
        for (at, actor) in actors.iter_mut().enumerate() {
            if actor.step(network, *now) {
                busy = busy.or(Some(at));
            }
        }
        rounds += 1;
        if rounds > MAX_ROUNDS {
            return Err(Stuck { at: *now, actor: busy });
        }
        if busy.is_some() {
            continue;
        }
        let timeouts = actors.iter().filter_map(|actor| actor.poll_timeout());
        let Some(next) = timeouts.chain(network.poll_timeout(*now)).min().filter(|next| *next <= until)
        else {
            *now = until.max(*now);
            return Ok(());
        };
        if next > *now {
            rounds = 0;
            *now = next;
        }
    }
}
