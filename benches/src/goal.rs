//! What is aimed at, beside what was measured: a report says for each goal whether it holds.

use std::fmt::Write as _;

use serde::Serialize;

/// A figure with the most that it may be.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// What it may be at most, in words.
    pub goal: String,
    /// The same as a number.
    pub at_most: f64,
    /// What it is.
    pub measured: f64,
    /// Of both numbers.
    pub unit: &'static str,
    /// Whether it is at most that.
    pub holds: bool,
}

impl Goal {
    /// `measured` is `what`, and should be no more than `at_most`, which is `goal` in words.
    pub fn new(
        what: impl Into<String>,
        goal: impl Into<String>,
        at_most: f64,
        measured: f64,
        unit: &'static str,
    ) -> Self {
        Self { what: what.into(), goal: goal.into(), at_most, measured, unit, holds: measured <= at_most }
    }
}

/// Writes the goals as a Markdown table; nothing if there are none.
pub(crate) fn write(goals: &[Goal], out: &mut String) -> std::fmt::Result {
    if goals.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| what | goal | at most | measured | holds |")?;
    writeln!(out, "|---|---|--:|--:|---|")?;
    for Goal { what, goal, at_most, measured, unit, holds } in goals {
        let holds = if *holds { "yes" } else { "**no**" };
        writeln!(out, "| {what} | {goal} | {at_most:.3} {unit} | {measured:.3} {unit} | {holds} |")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_missed_shows() {
        let goals = [Goal::new("a", "b", 2.0, 2.0, "ms"), Goal::new("c", "d", 1.0, f64::NAN, "ms")];
        assert!(goals[0].holds && !goals[1].holds);
        let mut out = String::new();
        write(&goals, &mut out).unwrap();
        assert!(out.contains("| a | b | 2.000 ms | 2.000 ms | yes |"), "{out}");
        assert!(out.contains("**no**"), "{out}");
    }
}
