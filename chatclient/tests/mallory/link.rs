//! Links made by hand: connections with pinned keys, and raw frames.

use std::time::{Duration, Instant};

use bytes::Buf as _;

use chatnet::{ClientTls, ConnToken, ConnectOptions, Identity, Security};
use chatproto::session::Introduction;
use chatproto::wire::{
    Body as _, Capabilities, CloseReason, DeviceId, ErrorCode, LinkHello, LinkKey, LinkTicket, LinkWelcome,
    ListFolder, MAGIC, MAX_FRAME, NoteRef, OfferId, Ping, Pong, Purpose, RawFrame, ToPeer, VERSION,
};

use super::{Mallory, Wire, key_of};
use crate::harness::PATIENCE;

/// A connection to or from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(ConnToken);

/// A frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    number: u8,
    body: Vec<u8>,
}

impl Frame {
    pub fn decode(&self) -> ToPeer<'_> {
        let raw = RawFrame { number: self.number, body: &self.body };
        ToPeer::decode(raw).expect("a good frame").expect("a known frame")
    }
}

/// How a link ended.
#[derive(Debug, Default)]
pub struct End {
    /// What the other side complained about.
    pub error: Option<ErrorCode>,
    /// What it said at the end, if it did.
    pub bye: Option<CloseReason>,
}

/// What a caller says first, as Mallory says it: all true, until a test changes it.
#[derive(Clone, Debug)]
pub struct Greeting {
    pub offer: OfferId,
    pub ticket: LinkTicket,
    pub user: String,
    pub device: DeviceId,
    pub purpose: Purpose,
    pub magic: [u8; 4],
}

impl Mallory {
    /// Is asked, says yes, is called, and opens the link: after it, both ends are alike. This end has accepted the connection.
    pub fn link(&mut self) -> Link {
        let introduction = self.is_asked();
        let link = self.is_called(introduction.link_key);
        self.welcome(link);
        link
    }

    /// Waits until whoever has this key has connected.
    pub fn is_called(&mut self, by: LinkKey) -> Link {
        self.wait("a call", |mallory| {
            let token = mallory.called.pop_front()?;
            let wire = mallory.wires.get(&token)?;
            assert_eq!(wire.key, Some(by), "somebody else called");
            Some(Link(token))
        })
    }

    /// Answers the hello of a caller as she should.
    pub fn welcome(&mut self, link: Link) {
        let hello = self.next_frame(link).expect("a hello");
        let ToPeer::LinkHello(hello) = hello.decode() else { panic!("no hello: {hello:?}") };
        let capabilities = hello.capabilities;
        self.welcome_with(link, capabilities);
    }

    /// Answers a hello that was read, with these capabilities.
    pub fn welcome_with(&mut self, link: Link, capabilities: Capabilities) {
        let (name, device) = (self.name.clone(), self.device);
        let welcome = LinkWelcome {
            version: VERSION,
            capabilities,
            max_frame: MAX_FRAME,
            user: name.borrow(),
            device,
            agent: NoteRef::EMPTY,
        };
        self.say(link, &welcome.to_bytes());
    }

    /// Connects to the other side of an introduction, as somebody with this key, whoever answers having one of `expected`;
    /// or what went wrong.
    pub fn dial_as(
        &mut self,
        introduction: &Introduction,
        identity: &Identity,
        expected: LinkKey,
    ) -> Result<Link, String> {
        let expected = chatnet::LinkKey::from_bytes(expected.0);
        let tls = ClientTls::to_peer(identity, [expected]).expect("a client's TLS");
        let options = ConnectOptions { security: Security::TlsClient(tls), timeout: PATIENCE };
        let addr = *introduction.addresses.first().expect("an address");
        let token = self.net.connect(addr, options).expect("a socket");
        self.wires.insert(token, Wire::default());
        self.wait("an answer to a dial", |mallory| {
            let at = mallory.called.iter().position(|called| *called == token);
            if at.and_then(|at| mallory.called.remove(at)).is_some() {
                return Some(Ok(Link(token)));
            }
            mallory.wires.get(&token).and_then(|wire| wire.over.clone()).map(Err)
        })
    }

    /// Connects as herself, as she was told to.
    pub fn dial(&mut self, introduction: &Introduction) -> Link {
        let identity = Identity::from_pem(self.identity.to_pem()).expect("her own key");
        self.dial_as(introduction, &identity, introduction.link_key).expect("the peer is there")
    }

    /// What she has to say first under an introduction.
    pub fn greeting(&self, introduction: &Introduction) -> Greeting {
        Greeting {
            offer: introduction.offer,
            ticket: introduction.ticket,
            user: self.name.as_str().to_owned(),
            device: self.device,
            purpose: introduction.purpose,
            magic: MAGIC,
        }
    }

    /// Says hello, and what came of it: the link stands, or its end.
    pub fn greet(&mut self, link: Link, greeting: &Greeting) -> Result<(), End> {
        let user = chatproto::wire::Name::new(&greeting.user).expect("a name");
        let hello = LinkHello {
            magic: greeting.magic,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: Capabilities::NONE,
            max_frame: MAX_FRAME,
            offer: greeting.offer,
            ticket: greeting.ticket,
            user: user.borrow(),
            device: greeting.device,
            purpose: greeting.purpose,
            agent: NoteRef::EMPTY,
        };
        self.say(link, &hello.to_bytes());
        self.until(link, |frame| matches!(frame, ToPeer::LinkWelcome(_)).then_some(()).ok_or(Vec::new()))
    }

    /// The key that a caller or an answerer has proved to have.
    pub fn key(&self, link: Link) -> Option<LinkKey> {
        self.wires.get(&link.0)?.key
    }

    /// What ties the two ends of a connection.
    pub fn binding(&self, link: Link) -> [u8; 32] {
        self.wires.get(&link.0).expect("a connection").binding
    }

    /// Says bytes, whatever they are; they leave while she waits for something.
    pub fn say(&mut self, link: Link, bytes: &[u8]) {
        if let Some(wire) = self.wires.get_mut(&link.0) {
            wire.out.extend_from_slice(bytes);
        }
        self.write();
    }

    /// Bytes that she has said and that have not left.
    pub fn unsent(&self, link: Link) -> usize {
        self.wires.get(&link.0).map_or(0, |wire| wire.out.len())
    }

    /// The next frame, whatever it is; none when the link is over and all was heard.
    pub fn next_frame(&mut self, link: Link) -> Option<Frame> {
        self.wait("a frame", |mallory| {
            let wire = mallory.wires.get_mut(&link.0)?;
            match wire.take_frame() {
                Some(frame) => Some(Some(frame)),
                None if wire.over.is_some() => Some(None),
                None => None,
            }
        })
    }

    /// Hears frames and answers each with bytes (`Err`) until one is what she waits for (`Ok`), or until the link is over.
    /// Pings are answered honestly.
    pub fn until<T>(
        &mut self,
        link: Link,
        mut answer: impl FnMut(ToPeer<'_>) -> Result<T, Vec<u8>>,
    ) -> Result<T, End> {
        let mut end = End::default();
        while let Some(frame) = self.next_frame(link) {
            match frame.decode() {
                ToPeer::Ping(Ping { nonce }) => self.say(link, &Pong { nonce }.to_bytes()),
                ToPeer::Error(error) => {
                    end.error = Some(error.code);
                    if let Ok(found) = answer(ToPeer::Error(error)) {
                        return Ok(found);
                    }
                }
                ToPeer::Bye(bye) => {
                    end.bye = Some(bye.reason);
                    // Whoever hears a bye hangs up.
                    self.net.close(link.0);
                    return Err(end);
                }
                frame => match answer(frame) {
                    Ok(found) => return Ok(found),
                    Err(bytes) => self.say(link, &bytes),
                },
            }
        }
        Err(end)
    }

    /// Answers what comes until a list is asked for, and that too.
    pub fn hears_of_list(&mut self, link: Link, answer: impl Fn(&ListFolder<'_>) -> Vec<u8>) {
        let listed = self.until(link, |frame| match frame {
            ToPeer::List(asked) => Ok(answer(&asked)),
            _ => Err(Vec::new()),
        });
        self.say(link, &listed.expect("a list is asked for"));
    }

    /// Answers whatever comes until the link is over, and says how it ended.
    pub fn serve(&mut self, link: Link, mut answer: impl FnMut(ToPeer<'_>) -> Vec<u8>) -> End {
        let ended = self.until::<()>(link, |frame| Err(answer(frame)));
        ended.expect_err("it goes on until the link is over")
    }

    /// Says one thing after the other, one in each moment, until something comes back or the link is over; how many she said.
    pub fn drip(
        &mut self,
        link: Link,
        drops: impl IntoIterator<Item = impl AsRef<[u8]>>,
        moment: Duration,
    ) -> usize {
        let mut said = 0;
        for drop in drops {
            self.say(link, drop.as_ref());
            said += 1;
            let until = Instant::now() + moment;
            while Instant::now() < until {
                self.turn(until);
            }
            let wire = self.wires.get(&link.0);
            if wire.is_none_or(|wire| wire.over.is_some() || !wire.input.is_empty()) {
                break;
            }
        }
        said
    }

    /// From now on she hears nothing on this link.
    pub fn stop_reading(&mut self, link: Link) {
        if let Some(wire) = self.wires.get_mut(&link.0) {
            wire.is_unread = true;
        }
    }

    /// She listens again.
    pub fn read_again(&mut self, link: Link) {
        if let Some(wire) = self.wires.get_mut(&link.0) {
            wire.is_unread = false;
        }
        self.net.resume_read(link.0);
    }

    /// Waits until nothing more of what she said can leave, or all has.
    pub fn flush(&mut self, link: Link) {
        self.wait("the other side to read", |mallory| {
            let wire = mallory.wires.get(&link.0)?;
            (wire.out.is_empty() || wire.over.is_some()).then_some(())
        });
    }

    /// Ends a link without a word.
    pub fn cut(&mut self, link: Link) {
        self.net.abort(link.0);
        self.wires.remove(&link.0);
    }

    /// Her own key, as it was announced.
    pub fn link_key(&self) -> LinkKey {
        key_of(&self.identity)
    }
}

impl Wire {
    fn take_frame(&mut self) -> Option<Frame> {
        let length = self.input.first_chunk::<4>()?;
        let end = 4 + usize::try_from(u32::from_be_bytes(*length)).expect("a length");
        let (number, body) = self.input.get(4..end)?.split_first().expect("a type");
        let frame = Frame { number: *number, body: body.to_vec() };
        self.input.advance(end);
        Some(frame)
    }
}
