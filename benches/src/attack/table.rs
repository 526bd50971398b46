//! What attacks came to, as Markdown and as goals.

use std::fmt::Write as _;

use serde::Serialize;

use super::Outcome;
use crate::goal::Goal;
use crate::report::{Figures, float, mib};

/// The outcomes of several attacks.
#[derive(Clone, Debug, Serialize)]
pub struct Outcomes {
    /// One after the other.
    pub attacks: Vec<Outcome>,
}

/// Members' latency may be so many times what it is without an attack.
const MAX_TIMES: f64 = 3.0;

impl Figures for Outcomes {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| attack | chat p50 ms before | p50 ms | p99 ms | max ms | logins through | after `busy` | failed | login p50 ms before | \
             p50 ms | max ms | server grew, MiB |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for outcome in &self.attacks {
            let Outcome { name, quiet_ms, siege_ms, quiet_visits, siege_visits, .. } = outcome;
            writeln!(
                out,
                "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                quiet_ms.p50,
                siege_ms.p50,
                siege_ms.p99,
                siege_ms.max,
                siege_visits.through,
                siege_visits.busy,
                siege_visits.failed,
                quiet_visits.login_ms.p50,
                siege_visits.login_ms.p50,
                siege_visits.login_ms.max,
                mib(outcome.grown()),
            )?;
        }
        writeln!(
            out,
            "\nWhat the attackers were told:\n\n| attack | attempts | a second | not connected | unknown to the server | closed unanswered | busy | \
             refused | too many tries | another answer | left | longest stay, s |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for Outcome { name, attackers, .. } in &self.attacks {
            writeln!(
                out,
                "| {name} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} |",
                attackers.attempts,
                attackers.rate(),
                attackers.failed,
                attackers.unknown,
                attackers.unanswered,
                attackers.busy,
                attackers.refused,
                attackers.too_many,
                attackers.answered,
                attackers.left,
                attackers.longest_stay,
            )?;
        }
        writeln!(
            out,
            "\nWhat the server counted, visitors included:\n\n| attack | taken in | closed: the address too often | closed: \
             all too often | closed: too many handshakes | busy | logins refused |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|")?;
        for Outcome { name, server, .. } in &self.attacks {
            writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                server.taken_in,
                server.too_often,
                server.too_many,
                server.half_open,
                server.busy,
                server.refused,
            )?;
        }
        for Outcome { name, siege_visits, .. } in &self.attacks {
            if let Some(why) = &siege_visits.why {
                writeln!(out, "\n{name}: the last login that failed: {why}")?;
            }
        }
        Ok(())
    }
}

impl Outcomes {
    /// What every attack has to keep to.
    #[must_use]
    pub fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        for outcome in &self.attacks {
            let name = &outcome.name;
            let mut aim = |what: &str, goal: &str, at_most: f64, measured: f64, unit| {
                goals.push(Goal::new(format!("{name}: {what}"), goal, at_most, measured, unit));
            };
            aim("median latency of chat", "3 x of the quiet before", MAX_TIMES, outcome.times(), "x");
            let bound = mib(outcome.bound);
            aim("growth of the server", "the bounds before a login", bound, mib(outcome.grown()), "MiB");
            aim(
                "correct logins from elsewhere that failed",
                "none",
                0.0,
                float(outcome.siege_visits.failed),
                "",
            );
        }
        goals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn a_report_of_attacks_can_be_written_as_json() {
        let report = Report::new(String::new(), Outcomes { attacks: Vec::new() }, Vec::new());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["attacks"], serde_json::json!([]));
    }
}
