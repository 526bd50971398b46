//! Storms at the door: connections as often as one processor can begin them, and logins with wrong passwords, each from one
//! address and from many.

use std::time::Duration;

use crate::attack::{Kind, Origins, Outcomes, Siege, part_processors};
use crate::cli::StormArgs;
use crate::report::Report;
use crate::subject::Setup;
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// Descriptors of all attackers and visitors.
const ATTACKERS: usize = 4096;

/// Each storm on a server of its own, and publishes the report.
///
/// # Errors
/// Says which step failed.
pub fn run(args: &StormArgs) -> Result<(), Failure> {
    let mut setup = Setup::new(&args.server)?;
    (setup.tls, setup.keeps_limits) = (true, true);
    raise_descriptor_limit(args.talk.members + ATTACKERS + SPARE_DESCRIPTORS)?;
    // Asked before this process keeps to one of them.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let is_parted = part_processors(&mut setup)?;
    let time = Duration::from_secs_f64(args.seconds);
    let mut outcomes = Vec::new();
    for (what, kind) in [("connections", Kind::Knock), ("wrong passwords", Kind::Guess(args.logins))] {
        for (from, origins) in [("one address", Origins(1)), ("many addresses", Origins(args.addresses))] {
            let name = format!("{what}, {from}");
            let siege = Siege { name, kind, origins, quiet: time, longest: time };
            outcomes.push(siege.run(args.talk, &setup)?);
        }
    }
    let outcomes = Outcomes { attacks: outcomes };
    let goals = outcomes.goals();
    let load = format!(
        "A message each {} ms to {} members, {}, TLS, the server's own limits; then connections as fast as {}, and {} logins a \
         second with wrong passwords, from one address and from {}, for {} s each.",
        args.talk.every,
        args.talk.members,
        args.talk.durability.name(),
        if is_parted { "one processor can, the server on the other" } else { "it goes" },
        args.logins,
        args.addresses,
        args.seconds,
    );
    let mut report = Report::new(load, outcomes, goals);
    report.processors = processors;
    report.publish(args.server.json.as_deref())
}
