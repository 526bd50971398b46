//! Who may be sent files now, and who waits: slots, and a queue that is fair among peers.

use super::jobs::LinkTransfer;
use chatproto::wire::Name;
use std::collections::{BTreeMap, VecDeque};

/// How many files are sent at once, and the others that wait for their turn.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    per_peer: usize,
    busy: BTreeMap<LinkTransfer, Name>,
    /// In the order in which the peers have their turns; each peer once, with its files in their order.
    waiting: VecDeque<(Name, VecDeque<LinkTransfer>)>,
}

impl Slots {
    pub(super) fn new(total: usize, per_peer: usize) -> Self {
        Self {
            total: total.max(1),
            per_peer: per_peer.max(1),
            busy: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Queues a file for a peer, behind those that this peer waits for already.
    pub(super) fn join(&mut self, peer: &Name, at: LinkTransfer) {
        match self.waiting.iter_mut().find(|(name, _)| name == peer) {
            Some((_, files)) => files.push_back(at),
            None => self.waiting.push_back((peer.clone(), VecDeque::from([at]))),
        }
    }

    /// Takes a file out, whether it waits or is being sent; `false` if it does neither.
    pub(super) fn leave(&mut self, at: LinkTransfer) -> bool {
        if self.busy.remove(&at).is_some() {
            return true;
        }
        let mut found = false;
        for (_, files) in &mut self.waiting {
            let before = files.len();
            files.retain(|file| *file != at);
            found |= files.len() < before;
        }
        self.waiting.retain(|(_, files)| !files.is_empty());
        found
    }

    /// The next file whose turn has come, if there is a slot for one. Its peer goes behind the others.
    pub(super) fn admit(&mut self) -> Option<LinkTransfer> {
        if self.busy.len() >= self.total {
            return None;
        }
        let may = |(peer, _): &(Name, VecDeque<LinkTransfer>)| self.busy_with(peer) < self.per_peer;
        let turn = self.waiting.iter().position(may)?;
        let (peer, mut files) = self.waiting.remove(turn)?;
        let at = files.pop_front()?;
        self.busy.insert(at, peer.clone());
        if !files.is_empty() {
            self.waiting.push_back((peer, files));
        }
        Some(at)
    }

    /// The files that have a slot while somebody else waits for one.
    pub(super) fn kept_from_others(&self) -> impl Iterator<Item = LinkTransfer> + '_ {
        let others = |peer: &Name| self.waiting.iter().any(|(name, _)| name != peer);
        self.busy.iter().filter(move |(_, peer)| others(peer)).map(|(at, _)| *at)
    }

    /// Whether anybody waits.
    pub(super) fn is_crowded(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a file waits.
    pub(super) fn waits(&self, at: LinkTransfer) -> bool {
        self.waiting.iter().any(|(_, files)| files.contains(&at))
    }

    /// Every file that waits with its place, from 1, as the turns would be taken if all slots were the same.
    pub(super) fn places(&self) -> Vec<(LinkTransfer, u32)> {
        let rounds = self.waiting.iter().map(|(_, files)| files.len()).max().unwrap_or(0);
        let in_turn =
            (0..rounds).flat_map(|round| self.waiting.iter().filter_map(move |(_, files)| files.get(round)));
        in_turn.copied().zip(1..).collect()
    }

    fn busy_with(&self, peer: &Name) -> usize {
        self.busy.values().filter(|name| *name == peer).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::links::LinkId;
    use chatproto::wire::TransferId;

    fn peer(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn at(link: u64, transfer: u32) -> LinkTransfer {
        (LinkId::of(link), TransferId(transfer))
    }

    #[test]
    fn slots_are_bounded_in_all_and_for_each_peer() {
        let mut slots = Slots::new(3, 2);
        (1..=4).for_each(|file| slots.join(&peer("alice"), at(1, file)));
        (1..=4).for_each(|file| slots.join(&peer("carol"), at(2, file)));
        let admitted: Vec<_> = std::iter::from_fn(|| slots.admit()).collect();
        assert_eq!(admitted, [at(1, 1), at(2, 1), at(1, 2)], "each in its turn");
        assert!(slots.leave(at(2, 1)));
        assert_eq!(slots.admit(), Some(at(2, 2)), "alice has as many as a peer may have");
        assert_eq!(slots.admit(), None);
        assert!(!slots.leave(at(2, 1)), "once");
    }

    #[test]
    fn who_came_later_does_not_wait_for_all_that_others_want() {
        let mut slots = Slots::new(1, 1);
        (1..=100).for_each(|file| slots.join(&peer("alice"), at(1, file)));
        assert_eq!(slots.admit(), Some(at(1, 1)));
        slots.join(&peer("carol"), at(2, 1));
        let places = slots.places();
        assert_eq!(places.len(), 100);
        assert_eq!(places[..3], [(at(1, 2), 1), (at(2, 1), 2), (at(1, 3), 3)]);
        slots.leave(at(1, 1));
        assert_eq!(slots.admit(), Some(at(1, 2)));
        slots.leave(at(1, 2));
        assert_eq!(slots.admit(), Some(at(2, 1)));
    }

    #[test]
    fn a_place_is_when_the_turn_comes() {
        let mut slots = Slots::new(1, 1);
        for (name, link, files) in [("alice", 1, 3), ("bob", 2, 1), ("carol", 3, 2)] {
            (1..=files).for_each(|file| slots.join(&peer(name), at(link, file)));
        }
        let places = slots.places();
        let mut turns = Vec::new();
        while let Some(file) = slots.admit() {
            slots.leave(file);
            turns.push(file);
        }
        assert_eq!(places.iter().map(|(file, _)| *file).collect::<Vec<_>>(), turns);
        assert!(places.iter().map(|(_, place)| *place).eq(1..=6));
    }

    #[test]
    fn a_slot_is_kept_from_others_only() {
        let mut slots = Slots::new(3, 1);
        (1..=2).for_each(|file| slots.join(&peer("alice"), at(1, file)));
        slots.admit();
        assert_eq!(slots.kept_from_others().count(), 0, "alice waits for herself");
        slots.join(&peer("carol"), at(2, 1));
        assert_eq!(slots.kept_from_others().collect::<Vec<_>>(), [at(1, 1)]);
    }

    #[test]
    fn who_leaves_the_queue_moves_the_others_up() {
        let mut slots = Slots::new(1, 1);
        (1..=3).for_each(|file| slots.join(&peer("alice"), at(1, file)));
        slots.admit();
        assert!(slots.waits(at(1, 2)) && slots.leave(at(1, 2)) && !slots.waits(at(1, 2)));
        assert_eq!(slots.places(), [(at(1, 3), 1)]);
    }
}
