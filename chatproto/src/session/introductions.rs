//! Who may connect to this device: introductions that wait for the other side. Each is good once, and not for long.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hint::black_box;
use core::net::SocketAddr;

use super::{AdmitError, Event};
use crate::Instant;
use crate::wire::{
    DeviceId, DialRole, LinkKey, LinkTicket, Name, OfferId, PeerIntroduce, Purpose, RequestId,
};

/// The other side of a link, as the server named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The offer that was accepted.
    pub offer: OfferId,
    /// The request that it answers; `None` on the side that accepted.
    pub request: Option<RequestId>,
    /// What the link is for.
    pub purpose: Purpose,
    /// What this end does first.
    pub role: DialRole,
    /// The other person.
    pub peer: Name,
    /// The other device.
    pub device: DeviceId,
    /// The other device's key, which its certificate must have.
    pub link_key: LinkKey,
    /// Where the other side accepts peers, best first; may be empty.
    pub addresses: Vec<SocketAddr>,
    /// The secret of the link.
    pub ticket: LinkTicket,
    /// Until when the ticket is good.
    pub expires: Instant,
}

impl Introduction {
    pub(super) fn from_wire(frame: &PeerIntroduce<'_>, now: Instant) -> Self {
        Self {
            offer: frame.offer,
            request: (frame.request.0 != 0).then_some(frame.request),
            purpose: frame.purpose,
            role: frame.role,
            peer: frame.peer.to_owned(),
            device: frame.device,
            link_key: frame.link_key,
            addresses: frame.addresses.iter().collect(),
            ticket: frame.ticket,
            expires: now + core::time::Duration::from_millis(frame.expires.into()),
        }
    }
}

/// Introductions with the role to wait, by their offers.
#[derive(Debug)]
pub(super) struct Introductions {
    waiting: BTreeMap<OfferId, Introduction>,
    max: usize,
}

impl Introductions {
    pub(super) fn new(max: usize) -> Self {
        Self { waiting: BTreeMap::new(), max }
    }

    /// Keeps an introduction; past the bound, the one that expires first gives way and is returned as an event.
    pub(super) fn keep(&mut self, introduction: Introduction) -> Option<Event> {
        self.waiting.insert(introduction.offer, introduction);
        if self.waiting.len() <= self.max {
            return None;
        }
        let first =
            self.waiting.values().min_by_key(|waiting| waiting.expires).map(|waiting| waiting.offer)?;
        self.waiting.remove(&first).map(expired)
    }

    /// Takes the introduction out, if whoever connected has proved to be the one introduced.
    ///
    /// A wrong ticket does not use it up: otherwise any stranger could spend it.
    pub(super) fn admit(
        &mut self,
        offer: OfferId,
        ticket: &LinkTicket,
        link_key: LinkKey,
        user: &Name,
        device: DeviceId,
        now: Instant,
    ) -> Result<Introduction, AdmitError> {
        let waiting = self.waiting.get(&offer).ok_or(AdmitError::Unknown)?;
        if now >= waiting.expires {
            return Err(AdmitError::Expired);
        }
        if !same_secret(&waiting.ticket.0, &ticket.0) {
            return Err(AdmitError::Ticket);
        }
        if waiting.link_key != link_key {
            return Err(AdmitError::Key);
        }
        if waiting.peer != *user || waiting.device != device {
            return Err(AdmitError::Identity);
        }
        self.waiting.remove(&offer).ok_or(AdmitError::Unknown)
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.expires).min()
    }

    pub(super) fn expire(&mut self, now: Instant) -> impl Iterator<Item = Event> {
        let due = self.waiting.extract_if(.., move |_, waiting| now >= waiting.expires);
        due.map(|(_, introduction)| expired(introduction))
    }
}

fn expired(introduction: Introduction) -> Event {
    Event::IntroductionExpired { offer: introduction.offer, peer: introduction.peer }
}

/// Compares in a time that does not depend on where the first difference is.
fn same_secret(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (left, right)| black_box(sum | (left ^ right)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Instant = Instant::from_millis(1_000);

    fn introduction(offer: u64, expires: u64) -> Introduction {
        Introduction {
            offer: OfferId(offer),
            request: None,
            purpose: Purpose::Files,
            role: DialRole::Await,
            peer: Name::new("bob").unwrap(),
            device: DeviceId([2; 16]),
            link_key: LinkKey([3; 32]),
            addresses: Vec::new(),
            ticket: LinkTicket([4; 32]),
            expires: Instant::from_millis(expires),
        }
    }

    fn admit(table: &mut Introductions, offer: u64, now: Instant) -> Result<Introduction, AdmitError> {
        let bob = Name::new("bob").unwrap();
        let (ticket, key) = (LinkTicket([4; 32]), LinkKey([3; 32]));
        table.admit(OfferId(offer), &ticket, key, &bob, DeviceId([2; 16]), now)
    }

    #[test]
    fn an_introduction_is_good_once() {
        let mut table = Introductions::new(4);
        assert_eq!(table.keep(introduction(1, 2_000)), None);
        assert_eq!(admit(&mut table, 1, LATER), Ok(introduction(1, 2_000)));
        assert_eq!(admit(&mut table, 1, LATER), Err(AdmitError::Unknown));
    }

    #[test]
    fn every_proof_must_be_right_and_a_wrong_one_uses_nothing_up() {
        let mut table = Introductions::new(4);
        table.keep(introduction(1, 2_000));
        let (bob, eve) = (Name::new("bob").unwrap(), Name::new("eve").unwrap());
        let (device, key) = (DeviceId([2; 16]), LinkKey([3; 32]));
        let ticket = LinkTicket([4; 32]);
        for position in [0, 15, 31] {
            let mut wrong = ticket;
            wrong.0[position] ^= 1;
            assert_eq!(table.admit(OfferId(1), &wrong, key, &bob, device, LATER), Err(AdmitError::Ticket));
        }
        let mut try_with = |key, user, device| table.admit(OfferId(1), &ticket, key, user, device, LATER);
        assert_eq!(try_with(LinkKey([9; 32]), &bob, device), Err(AdmitError::Key));
        assert_eq!(try_with(key, &eve, device), Err(AdmitError::Identity));
        assert_eq!(try_with(key, &bob, DeviceId([9; 16])), Err(AdmitError::Identity));
        assert!(try_with(key, &bob, device).is_ok());
    }

    #[test]
    fn an_introduction_expires() {
        let mut table = Introductions::new(4);
        table.keep(introduction(1, 2_000));
        table.keep(introduction(2, 1_500));
        assert_eq!(table.next_expiry(), Some(Instant::from_millis(1_500)));
        assert_eq!(admit(&mut table, 2, Instant::from_millis(1_500)), Err(AdmitError::Expired));
        let expired: Vec<_> = table.expire(Instant::from_millis(1_500)).collect();
        assert!(matches!(expired[..], [Event::IntroductionExpired { offer: OfferId(2), .. }]), "{expired:?}");
        assert_eq!(table.next_expiry(), Some(Instant::from_millis(2_000)));
    }

    #[test]
    fn past_the_bound_the_first_to_expire_gives_way() {
        let mut table = Introductions::new(2);
        table.keep(introduction(1, 3_000));
        table.keep(introduction(2, 1_500));
        let gone = table.keep(introduction(3, 2_000));
        assert!(matches!(gone, Some(Event::IntroductionExpired { offer: OfferId(2), .. })), "{gone:?}");
        assert!(admit(&mut table, 1, LATER).is_ok());
        assert!(admit(&mut table, 3, LATER).is_ok());
    }
}
