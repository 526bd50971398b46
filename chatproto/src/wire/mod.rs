//! The wire: primitive codec, validated types, numbers and frames. Knows nothing above.
//!
//! [`ToServer`], [`ToClient`] and [`ToPeer`] are what each side may send. Decoding borrows from the input and allocates
//! nothing; encoding cannot fail, because a value that exists is legal.
//!
//! ```
//! use chatproto::wire::{Body, FrameType, RawFrame, Say, Target, TextRef, NameRef, ToServer};
//!
//! let say = Say {
//!     counter: 1,
//!     target: Target::Room(NameRef::new("lobby")?),
//!     text: TextRef::new("hello")?,
//! };
//! let bytes = say.to_bytes();
//!
//! let raw = RawFrame { number: FrameType::Say.number(), body: &bytes[5..] };
//! assert_eq!(ToServer::decode(raw).unwrap(), Some(ToServer::Say(say)));
//! # Ok::<(), chatproto::wire::WireError>(())
//! ```

mod account;
mod announce;
mod body;
pub mod chars;
mod codec;
mod error;
mod file;
mod frame;
mod ids;
mod list;
mod login;
mod message;
mod messages;
mod numbers;
pub mod path;
mod subject;
mod table;
mod text;
mod writer;

pub use account::*;
pub use announce::*;
pub use chars::escaped;
pub use codec::{Blob, Reader, Rest, Wire};
pub use error::{FrameError, WireError};
pub use file::*;
pub use frame::*;
pub use ids::*;
pub use list::List;
pub use login::*;
pub use message::*;
pub use messages::{Message, Messages};
pub use numbers::*;
pub use path::{SafeName, SafeNameRef, SafeRelPath, SafeRelPathRef};
pub use subject::{Network, Subject, SubjectError, SubjectRef};
pub use table::Row;
pub use text::{Name, NameRef, Note, NoteRef, Text, TextRef};
pub use writer::FrameWriter;
