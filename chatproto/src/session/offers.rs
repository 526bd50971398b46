//! People who ask to be introduced. Nobody is introduced to this device unless it said yes.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::outbox::Outbox;
use super::{Event, PeerVerbError, Refusal};
use crate::Instant;
use crate::wire::{DeviceId, ErrorCode, Name, OfferId, PeerAnswer, PeerIntroduce, PeerOffer, Purpose};

/// How long after an offer's end its introduction is still awaited, once it was accepted: the time a yes and the
/// introduction need on the way.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The offers of the present connection.
#[derive(Debug)]
pub(super) struct Offers {
    open: BTreeMap<OfferId, Offer>,
    max: usize,
}

#[derive(Debug)]
struct Offer {
    from: Name,
    device: DeviceId,
    purpose: Purpose,
    expires: Instant,
    accepted: bool,
}

impl Offers {
    pub(super) fn new(max: usize) -> Self {
        Self { open: BTreeMap::new(), max }
    }

    pub(super) fn offered(&mut self, frame: &PeerOffer<'_>, now: Instant, out: &mut Outbox) {
        let &PeerOffer { offer, purpose, expires, device, from } = frame;
        if self.open.len() >= self.max {
            out.send(&PeerAnswer { offer, accept: false, concealed: false });
            return;
        }
        let (from, expires) = (from.to_owned(), now + Duration::from_millis(expires.into()));
        out.emit(Event::PeerOffer { offer, from: from.clone(), device, purpose, expires });
        self.open.insert(offer, Offer { from, device, purpose, expires, accepted: false });
    }

    /// Who asks.
    pub(super) fn asker(&self, offer: OfferId) -> Option<&Name> {
        self.open.get(&offer).map(|open| &open.from)
    }

    pub(super) fn answer(
        &mut self,
        offer: OfferId,
        accept: bool,
        concealed: bool,
        out: &mut Outbox,
    ) -> Result<(), PeerVerbError> {
        let open = self.open.get_mut(&offer).filter(|open| !open.accepted);
        let open = open.ok_or(PeerVerbError::NoSuchOffer(offer))?;
        if accept {
            open.accepted = true;
            open.expires = open.expires + INTRODUCTION_TIMEOUT;
        } else {
            self.open.remove(&offer);
        }
        out.send(&PeerAnswer { offer, accept, concealed });
        Ok(())
    }

    /// Whether this introduction is the one that was agreed to; if so, the offer is done.
    pub(super) fn introduced(&mut self, frame: &PeerIntroduce<'_>) -> bool {
        let agreed = self.open.get(&frame.offer).is_some_and(|offer| {
            offer.accepted
                && offer.from.borrow() == frame.peer
                && offer.device == frame.device
                && offer.purpose == frame.purpose
        });
        if agreed {
            self.open.remove(&frame.offer);
        }
        agreed
    }

    pub(super) fn closed(&mut self, offer: OfferId, refusal: Refusal, out: &mut Outbox) -> bool {
        let open = self.open.remove(&offer).is_some();
        if open {
            out.emit(Event::PeerOfferClosed { offer, refusal });
        }
        open
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.open.values().map(|offer| offer.expires).min()
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Outbox) {
        for (offer, _) in self.open.extract_if(.., |_, offer| now >= offer.expires) {
            out.emit(Event::PeerOfferClosed { offer, refusal: Refusal::because(ErrorCode::Expired) });
        }
    }

    /// The connection is gone, and the offers with it.
    pub(super) fn lost(&mut self, out: &mut Outbox) {
        for offer in core::mem::take(&mut self.open).into_keys() {
            out.emit(Event::PeerOfferClosed { offer, refusal: Refusal::ConnectionLost });
        }
    }
}
