//! Building blocks of the vectors.

use core::net::SocketAddr;

use chatproto::wire::{
    Blob, DeviceId, Hash, LinkKey, LinkTicket, NameRef, NoteRef, SafeNameRef, SafeRelPathRef, ServerId,
    SideToken, TextRef,
};

pub(crate) const ALICE: DeviceId = DeviceId(counting(0x00));
pub(crate) const BOB: DeviceId = DeviceId(counting(0xf0));
pub(crate) const SERVER: ServerId = ServerId(counting(0x50));
pub(crate) const KEY: LinkKey = LinkKey(counting(0x80));
pub(crate) const TICKET: LinkTicket = LinkTicket(counting(0xc0));
pub(crate) const TOKEN: SideToken = SideToken(counting(0x30));
pub(crate) const HASH: Hash = Hash(counting(0xa0));
pub(crate) const ZERO_HASH: Hash = Hash([0; 32]);

/// 2026-02-03 04:05:06.789 UTC.
pub(crate) const TIME: u64 = 1_770_091_506_789;

/// `first`, `first + 1`, ... so that a byte out of place shows.
const fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut next = first;
    let mut at = 0;
    while at < N {
        bytes[at] = next;
        next = next.wrapping_add(1);
        at += 1;
    }
    bytes
}

pub(crate) fn name(text: &'static str) -> NameRef<'static> {
    NameRef::new(text).expect(text)
}

pub(crate) fn text(text: &'static str) -> TextRef<'static> {
    TextRef::new(text).expect(text)
}

pub(crate) fn note(text: &'static str) -> NoteRef<'static> {
    NoteRef::new(text).expect(text)
}

pub(crate) fn file(text: &'static str) -> SafeNameRef<'static> {
    SafeNameRef::new(text).expect(text)
}

pub(crate) fn path(text: &'static str) -> SafeRelPathRef<'static> {
    SafeRelPathRef::new(text).expect(text)
}

pub(crate) fn blob(bytes: &'static [u8]) -> Blob<'static> {
    Blob::new(bytes).expect("a legal blob")
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect(text)
}

/// `text` repeated; lives as long as the test.
pub(crate) fn repeated(text: &str, times: usize) -> &'static str {
    text.repeat(times).leak()
}

/// Items that live as long as the test.
pub(crate) fn items<T>(items: Vec<T>) -> &'static [T] {
    items.leak()
}
