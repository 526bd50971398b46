//! A frame: `u32` length of what follows, `u8` type, body. Which side may send which frame is in the types.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    AccountReply, Announce, Bye, CaughtUp, ClientHello, Create, DeviceList, Devices, DirectRoom, Error,
    FileCancel, FileData, FileDone, FileEnd, FileHead, FilePause, FileQueued, FileRate, FileRequest,
    FileResume, FileUnit, FileValues, FrameError, FrameType, Gap, Govern, Governed, History, IGNORABLE,
    Inquire, Invited, Join, Joined, Leave, Left, LinkHello, LinkSaid, LinkSay, LinkWelcome, ListFolder,
    ListPage, LoginChallenge, LoginOk, LoginResponse, LoginStart, Members, MessagePage, Messages, Moderate,
    Moderated, PasswordFinish, PasswordStart, PeerAnswer, PeerClosed, PeerFailed, PeerIntroduce, PeerMeet,
    PeerOffer, PeerOutcome, PeerRequest, PeerTry, PeerWithdraw, Ping, Pong, Posted, Presence, Probe, Reach,
    Reached, RegisterFinish, RegisterStart, Relay, RelayOpened, Report, RoomList, Rooms, Say, Search,
    ServerHello, ServerKey, UnitRequest, Who, WireError,
};

/// Bytes before the body: the length and the type.
pub const HEADER_LEN: usize = 5;

/// Limit of the length field for a stranger, in bytes: at a server until the login is finished, elsewhere until the
/// hello was answered. Every frame of a login fits; a stranger costs no more.
pub const MAX_HELLO_FRAME: u32 = 1024;

/// Largest length field that any side may negotiate, in bytes: 64 KiB.
pub const MAX_FRAME: u32 = 65_536;

/// Smallest length field that a side may insist on, in bytes: a message of the longest text and its fields.
pub const MIN_FRAME: u32 = 16_384;

/// Most bytes of a file in one `file_data` frame: 63 KiB, so that a frame with its header stays below [`MAX_FRAME`].
pub const MAX_FILE_DATA: usize = 64_512;

/// A frame whose header was read and whose body is complete, not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// The type byte.
    pub number: u8,
    /// The body.
    pub body: &'a [u8],
}

/// The body of one frame type.
pub trait Body<'a>: Sized {
    /// The type byte that announces this body.
    const TYPE: FrameType;

    /// Reads the body, all of it.
    ///
    /// # Errors
    /// When a field is malformed, missing or followed by more bytes.
    fn decode_body(body: &'a [u8]) -> Result<Self, WireError>;

    /// Writes the body: exactly [`body_len`](Self::body_len) bytes.
    fn encode_body(&self, out: &mut impl BufMut);

    /// Length of the body in bytes.
    fn body_len(&self) -> usize;

    /// Length of the whole frame in bytes, header included.
    fn frame_len(&self) -> usize {
        HEADER_LEN + self.body_len()
    }

    /// Appends the whole frame, header included.
    fn encode_frame(&self, out: &mut impl BufMut) {
        encode_header(Self::TYPE, self.body_len(), out);
        self.encode_body(out);
    }

    /// The whole frame, header included.
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.frame_len());
        self.encode_frame(&mut out);
        out.freeze()
    }
}

/// Appends the header of a frame whose body has `body_len` bytes.
#[inline]
pub fn encode_header(frame: FrameType, body_len: usize, out: &mut impl BufMut) {
    // Bodies are bounded by their types far below 4 GiB.
    out.put_u32(u32::try_from(body_len.saturating_add(1)).unwrap_or(u32::MAX));
    out.put_u8(frame.number());
}

/// Makes the enum of the frames that one side may send.
macro_rules! direction {
    ($(#[$doc:meta])* $name:ident { $($variant:ident($body:ident $(<$life:lifetime>)?)),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum $name<'a> {
            $( #[doc = concat!("See [`", stringify!($body), "`](crate::wire::", stringify!($body), ").")] $variant($body $(<$life>)?), )*
        }

        impl<'a> $name<'a> {
            /// The frame types of this direction.
            pub const TYPES: &'static [FrameType] = &[$(FrameType::$variant),*];

            /// Decodes the body; `None` for an unknown frame that may be ignored.
            ///
            /// # Errors
            /// When the type is unknown, of another direction, or the body malformed.
            #[inline]
            pub fn decode(raw: RawFrame<'a>) -> Result<Option<Self>, FrameError> {
                let Some(frame) = FrameType::from_number(raw.number) else {
                    return if raw.number & IGNORABLE == 0 { Err(FrameError::Unknown(raw.number)) } else { Ok(None) };
                };
                let decoded = match frame {
                    $( FrameType::$variant => <$body $(::<$life>)? as Body<'a>>::decode_body(raw.body).map(Self::$variant), )*
                    // Every other type goes in another direction.
                    _ => return Err(FrameError::Direction(frame)),
                };
                decoded.map(Some).map_err(|error| FrameError::Body { frame, error })
            }

            /// Which frame this is.
            #[must_use]
            pub fn frame_type(&self) -> FrameType {
                match self {
                    $( Self::$variant(_) => FrameType::$variant, )*
                }
            }

            /// Length of the whole frame in bytes.
            #[must_use]
            pub fn frame_len(&self) -> usize {
                match self {
                    $( Self::$variant(body) => body.frame_len(), )*
                }
            }

            /// Appends the whole frame, header included.
            pub fn encode(&self, out: &mut impl BufMut) {
                match self {
                    $( Self::$variant(body) => body.encode_frame(out), )*
                }
            }
        }

        $(
            impl<'a> From<$body $(<$life>)?> for $name<'a> {
                fn from(body: $body $(<$life>)?) -> Self {
                    Self::$variant(body)
                }
            }
        )*
    };
}

direction! {
    /// What a client may send to a server.
    ToServer {
        Ping(Ping), Pong(Pong), Bye(Bye<'a>), Error(Error<'a>),
        ClientHello(ClientHello<'a>), LoginStart(LoginStart<'a>), LoginResponse(LoginResponse<'a>),
        RegisterStart(RegisterStart<'a>), RegisterFinish(RegisterFinish<'a>),
        PasswordStart(PasswordStart<'a>), PasswordFinish(PasswordFinish<'a>), Devices(Devices),
        Say(Say<'a>), Join(Join<'a>), Leave(Leave), Rooms(Rooms), Who(Who<'a>), History(History<'a>), Search(Search<'a>),
        Create(Create<'a>), Moderate(Moderate<'a>), Govern(Govern<'a>), Inquire(Inquire<'a>),
        Announce(Announce<'a>), PeerRequest(PeerRequest<'a>), PeerAnswer(PeerAnswer), PeerWithdraw(PeerWithdraw),
        PeerOutcome(PeerOutcome), PeerTry(PeerTry), Probe(Probe), Relay(Relay), PeerFailed(PeerFailed), Reach(Reach),
    }
}

direction! {
    /// What a server may send to a client.
    ToClient {
        Ping(Ping), Pong(Pong), Bye(Bye<'a>), Error(Error<'a>),
        ServerHello(ServerHello<'a>), LoginChallenge(LoginChallenge<'a>), LoginOk(LoginOk<'a>),
        AccountReply(AccountReply<'a>), ServerKey(ServerKey), DeviceList(DeviceList<'a>),
        Posted(Posted), Messages(Messages<'a>), Joined(Joined<'a>), Left(Left), Presence(Presence<'a>),
        RoomList(RoomList<'a>), Members(Members<'a>), MessagePage(MessagePage<'a>), DirectRoom(DirectRoom<'a>),
        CaughtUp(CaughtUp), Gap(Gap), Moderated(Moderated<'a>), Invited(Invited<'a>), Governed(Governed<'a>),
        Report(Report<'a>),
        PeerOffer(PeerOffer<'a>), PeerIntroduce(PeerIntroduce<'a>), PeerClosed(PeerClosed),
        PeerOutcome(PeerOutcome), PeerTry(PeerTry), RelayOpened(RelayOpened), PeerMeet(PeerMeet), PeerFailed(PeerFailed),
        Reached(Reached),
    }
}

direction! {
    /// What either end of a direct link may send.
    ToPeer {
        Ping(Ping), Pong(Pong), Bye(Bye<'a>), Error(Error<'a>),
        LinkHello(LinkHello<'a>), LinkWelcome(LinkWelcome<'a>), LinkSay(LinkSay<'a>), LinkSaid(LinkSaid),
        List(ListFolder<'a>), ListPage(ListPage<'a>),
        FileRequest(FileRequest), FileHead(FileHead<'a>), FileData(FileData<'a>), FileUnit(FileUnit), FileEnd(FileEnd),
        FileCancel(FileCancel), FileQueued(FileQueued), FileDone(FileDone),
        FilePause(FilePause), FileResume(FileResume), FileRate(FileRate),
        UnitRequest(UnitRequest), FileValues(FileValues<'a>),
    }
}
