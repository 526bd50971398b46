//! Callers that say nothing, and callers that say one byte a second, at a server with TLS and at one without: all of them are
//! closed, and who comes to talk is served meanwhile.

use std::time::Duration;

use crate::attack::{Kind, Origins, Outcome, Outcomes, Siege, part_processors};
use crate::cli::SilentArgs;
use crate::goal::Goal;
use crate::report::{Report, float};
use crate::subject::Setup;
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// The longest that it is waited for the end of all of them.
const LONGEST: Duration = Duration::from_secs(150);

/// Seconds that a caller may stay: the deadline of the handshake or of the hello, that of the last bytes, and a moment.
const LONGEST_STAY: f64 = 17.0;

/// Each kind on a server of its own, and publishes the report.
///
/// # Errors
/// Says which step failed.
pub fn run(args: &SilentArgs) -> Result<(), Failure> {
    let mut setup = Setup::new(&args.server)?;
    setup.keeps_limits = true;
    raise_descriptor_limit(args.talk.members + args.connections + SPARE_DESCRIPTORS)?;
    // Asked before this process keeps to one of them.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let is_parted = part_processors(&mut setup)?;
    let mut outcomes = Vec::new();
    for (security, tls) in [("TLS", true), ("plaintext", false)] {
        setup.tls = tls;
        for (what, kind) in
            [("silent", Kind::Silent(args.connections)), ("a byte a second", Kind::Drip(args.connections))]
        {
            let siege = Siege {
                name: format!("{what}, {security}"),
                kind,
                origins: Origins(args.addresses),
                quiet: Duration::from_secs_f64(args.seconds),
                longest: LONGEST,
            };
            outcomes.push(siege.run(args.talk, &setup)?);
        }
    }
    let outcomes = Outcomes { attacks: outcomes };
    let mut goals = outcomes.goals();
    outcomes.attacks.iter().for_each(|outcome| goals.extend(ends(outcome)));
    let load = format!(
        "A message each {} ms to {} members, {}, the server's own limits{}; then {} connections from {} addresses.",
        args.talk.every,
        args.talk.members,
        args.talk.durability.name(),
        if is_parted { ", the server on a processor of its own" } else { "" },
        args.connections,
        args.addresses,
    );
    let mut report = Report::new(load, outcomes, goals);
    report.processors = processors;
    report.publish(args.server.json.as_deref())
}

fn ends(outcome: &Outcome) -> [Goal; 2] {
    let name = &outcome.name;
    let left = float(outcome.attackers.left);
    let stay = outcome.attackers.longest_stay;
    [
        Goal::new(format!("{name}: not closed by the server"), "none", 0.0, left, ""),
        Goal::new(format!("{name}: longest stay"), "its deadlines", LONGEST_STAY, stay, "s"),
    ]
}
