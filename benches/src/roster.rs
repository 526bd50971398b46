//! Who is in the room, as one member is told. Many members keep one each, so a person is a bit.

use chatproto::wire::{Change, Members, Presence};

use crate::subject::account_number;

/// The people in a room, by the number of their account.
#[derive(Debug, Default)]
pub struct Roster {
    people: Vec<u64>,
    count: usize,
    /// Whether the last page of the present state has come: the next one begins another.
    is_whole: bool,
}

impl Roster {
    /// How many people are there.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the whole state was told once, and exactly the accounts below `count` are there.
    #[must_use]
    pub fn is_first(&self, count: usize) -> bool {
        self.is_whole && self.count == count && (0..count).all(|number| self.holds(number))
    }

    /// Takes one page of the present state.
    pub fn on_members(&mut self, page: &Members<'_>) {
        if self.is_whole {
            (self.people, self.count) = (Vec::new(), 0);
        }
        self.is_whole = !page.more;
        for member in page.members.iter() {
            self.set(member.user.as_str(), true);
        }
    }

    /// Takes a change.
    pub fn on_presence(&mut self, presence: &Presence<'_>) {
        match presence.change {
            Change::Entered => self.set(presence.user.as_str(), true),
            Change::Departed => self.set(presence.user.as_str(), false),
        }
    }

    fn set(&mut self, name: &str, is_there: bool) {
        let Some(number) = account_number(name) else { return };
        let (word, bit) = place(number);
        if word >= self.people.len() {
            self.people.resize(word + 1, 0);
        }
        let Some(word) = self.people.get_mut(word) else { return };
        let was_there = *word & bit != 0;
        *word = if is_there { *word | bit } else { *word & !bit };
        self.count = self.count + usize::from(is_there) - usize::from(was_there);
    }

    fn holds(&self, number: usize) -> bool {
        let (word, bit) = place(number);
        self.people.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(number: usize) -> (usize, u64) {
    (number / BITS, 1 << (number % BITS))
}

/// People in one word.
const BITS: usize = 64;

#[cfg(test)]
mod tests {
    use chatproto::wire::{DeviceId, List, Member, NameRef, RequestId, RoomId};

    use super::*;
    use crate::subject::account_name;

    fn page(roster: &mut Roster, numbers: &[usize], more: bool) {
        let names = numbers.iter().map(|number| account_name(*number)).collect::<Vec<_>>();
        let member = |name| Member {
            user: NameRef::new(name).unwrap(),
            devices: 1,
            rank: chatproto::wire::Rank::Guest,
        };
        let members = names.iter().map(|name| member(name)).collect::<Vec<_>>();
        roster.on_members(&Members {
            request: RequestId(1),
            room: RoomId(1),
            more,
            members: List::new(&members),
        });
    }

    #[test]
    fn pages_replace_what_was_known_and_changes_are_counted_once() {
        let mut roster = Roster::default();
        page(&mut roster, &[0, 70], true);
        assert!(!roster.is_first(2));
        page(&mut roster, &[1], false);
        assert_eq!(roster.count(), 3);
        let mut change = |number, change| {
            let name = account_name(number);
            let user = NameRef::new(&name).unwrap();
            roster.on_presence(&Presence { room: RoomId(1), change, device: DeviceId([0; 16]), user });
        };
        change(2, Change::Entered);
        change(2, Change::Entered);
        change(70, Change::Departed);
        assert!(roster.is_first(3));
        page(&mut roster, &[5], false);
        assert!(!roster.is_first(1));
        assert_eq!(roster.count(), 1);
    }
}
