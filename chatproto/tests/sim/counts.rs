//! What happened in the lives of the [house](crate::house), to see that something did.

use std::collections::BTreeMap;

/// How often things must happen, in as many lives as are lived when nothing else is asked for.
const LEAST: [(&str, u64); 39] = [
    ("audit", 2),
    ("entered after a ban", 5),
    ("history", 5),
    ("join refused: Banned", 3),
    ("join refused: NoSuchRoom", 100),
    ("refused: Busy", 2),
    ("refused: Forbidden", 20),
    ("refused: NoSuchRoom", 50),
    ("refused: NotStored", 2),
    ("room: Ban", 10),
    ("room: BanAddress", 4),
    ("room: Deop", 1),
    ("room: Invite", 30),
    ("room: Kick", 12),
    ("room: Mute", 15),
    ("room: Op", 8),
    ("room: Owner", 3),
    ("room: Private", 3),
    ("room: Public", 3),
    ("room: Slow", 8),
    ("room: Topic", 8),
    ("room: Unban", 8),
    ("room: Unmute", 8),
    ("rooms", 8),
    ("said slowly", 10),
    ("say refused: LockedDown", 2),
    ("say refused: Muted", 5),
    ("say refused: NotMember", 50),
    ("say refused: NotStored", 2),
    ("say refused: SlowMode", 4),
    ("server: Ban", 8),
    ("server: Hush", 1),
    ("server: Lockdown", 1),
    ("server: Unban", 2),
    ("thrown out: Banned", 8),
    ("thrown out: Kicked", 8),
    ("told to go: Barred", 20),
    ("told to go: LockedDown", 10),
    ("who: Operator", 40),
];

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    pub fn add(&mut self, what: &str) {
        *self.0.entry(what.to_owned()).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }

    /// Orders in rooms that were carried out.
    pub fn of_rooms(&self) -> u64 {
        let orders = self.0.iter().filter(|(what, _)| what.starts_with("room: "));
        orders.map(|(_, count)| count).sum()
    }

    /// A simulation in which hardly anything is allowed, or hardly anything is refused, proves nothing.
    pub fn assert_rich(&self) {
        for (what, least) in LEAST {
            let count = self.0.get(what).copied().unwrap_or_default();
            assert!(count >= least, "{what} came {count} times, and {least} are expected: {self:#?}");
        }
    }
}
