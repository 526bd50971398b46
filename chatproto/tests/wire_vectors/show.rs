//! Values as JSON, so that the vectors can be read by anything.

use core::net::SocketAddr;

use chatproto::wire::{
    Action, Anchor, Blob, Capabilities, Change, CloseReason, DeviceId, DialRole, EntryKind, ErrorCode,
    Generation, Hash, Inquiry, LinkKey, LinkTicket, List, NameRef, NoteRef, OfferId, Purpose, Rank,
    RequestId, Rest, RoomId, RoomKind, SafeNameRef, SafeRelPathRef, ServerId, SideToken, Source, SubjectRef,
    Target, TextRef, TransferId, Way, Wire,
};

/// A value as one JSON value.
pub(crate) trait Show {
    fn show(&self) -> String;
}

/// The fields of a frame body as `(name, JSON value)` in the order of the wire.
pub(crate) trait Fields {
    fn fields(&self) -> Vec<(&'static str, String)>;
}

/// Lists the fields of frame bodies and parts once; a field that is forgotten does not compile.
macro_rules! show {
    ($($name:ident $(<$life:lifetime>)? { $($field:ident),* })*) => {$(
        impl crate::show::Fields for $name $(<$life>)? {
            fn fields(&self) -> Vec<(&'static str, String)> {
                let Self { $($field),* } = self;
                vec![$((stringify!($field), crate::show::Show::show($field))),*]
            }
        }

        impl crate::show::Show for $name $(<$life>)? {
            fn show(&self) -> String {
                let fields = crate::show::Fields::fields(self);
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    )*};
}
pub(crate) use show;

macro_rules! show_as {
    (number: $($number:ty),*) => {$(
        impl Show for $number {
            fn show(&self) -> String { self.to_string() }
        }
    )*};
    (name: $($name:ty),*) => {$(
        impl Show for $name {
            fn show(&self) -> String { format!("\"{}\"", self.name()) }
        }
    )*};
    (text: $($text:ty),*) => {$(
        impl Show for $text {
            fn show(&self) -> String { quoted(self.as_str()) }
        }
    )*};
    (bytes: $($bytes:ty),*) => {$(
        impl Show for $bytes {
            fn show(&self) -> String { format!("\"{}\"", hex(&self.0)) }
        }
    )*};
}

show_as! { number: bool, u8, u16, u32, u64, RoomId, RequestId, OfferId, TransferId, Generation }
show_as! { name: Action, Anchor, Change, CloseReason, DialRole, EntryKind, ErrorCode, Inquiry, Purpose, Rank,
RoomKind, Way }
show_as! { text: NameRef<'_>, TextRef<'_>, NoteRef<'_>, SafeNameRef<'_>, SafeRelPathRef<'_> }
show_as! { bytes: DeviceId, ServerId, LinkKey, Hash, LinkTicket, SideToken, Rest<'_> }

impl Show for [u8; 4] {
    fn show(&self) -> String {
        format!("\"{}\"", hex(self))
    }
}

impl Show for [u8; 32] {
    fn show(&self) -> String {
        format!("\"{}\"", hex(self))
    }
}

impl Show for Blob<'_> {
    fn show(&self) -> String {
        format!("\"{}\"", hex(self.as_bytes()))
    }
}

impl Show for Capabilities {
    fn show(&self) -> String {
        self.bits().to_string()
    }
}

impl Show for SocketAddr {
    fn show(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Show for Target<'_> {
    fn show(&self) -> String {
        match self {
            Self::Id(room) => format!("{{\"id\": {}}}", room.show()),
            Self::Room(name) => format!("{{\"room\": {}}}", name.show()),
            Self::User(name) => format!("{{\"user\": {}}}", name.show()),
        }
    }
}

impl Show for SubjectRef<'_> {
    fn show(&self) -> String {
        match self {
            Self::User(name) => format!("{{\"user\": {}}}", name.show()),
            Self::Network(network) => format!("{{\"network\": \"{}/{}\"}}", network.base(), network.prefix()),
        }
    }
}

impl Show for Source {
    fn show(&self) -> String {
        match self {
            Self::Number { generation, number } => {
                format!("{{\"generation\": {}, \"number\": {number}}}", generation.show())
            }
            Self::Root(root) => format!("{{\"root\": {}}}", root.show()),
        }
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "null".into(), Show::show)
    }
}

impl<'a, T: Show + Wire<'a> + Copy, const MAX: usize> Show for List<'a, T, MAX> {
    fn show(&self) -> String {
        let items: Vec<_> = self.iter().map(|item| item.show()).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Lower-case hex without separators.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON string in ASCII: what is not visible in an editor must be visible in a vector.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte @ (b'"' | b'\\')) => format!("\\{}", char::from(byte)),
        Ok(byte @ 0x20..0x7f) => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
