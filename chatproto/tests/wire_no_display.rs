//! What came from remote has no `Display`: nobody prints it without having chosen the escaper of the sink. With a
//! `Display` for one of these types this file does not compile.

use std::fmt::Display;
use std::marker::PhantomData;

use chatproto::wire::{
    Blob, LinkTicket, Name, NameRef, Note, NoteRef, Rest, SafeName, SafeNameRef, SafeRelPath, SafeRelPathRef,
    Source, Target, Text, TextRef,
};

/// What every type has.
trait Silent {
    const PRINTS: bool = false;
}

impl<T: ?Sized> Silent for T {}

/// What only a type with a `Display` has; a constant of the type itself goes before that of a trait.
struct Printed<T: ?Sized>(PhantomData<T>);

impl<T: Display + ?Sized> Printed<T> {
    const PRINTS: bool = true;
}

macro_rules! prints {
    ($type:ty) => {
        <Printed<$type>>::PRINTS
    };
}

#[test]
fn the_question_is_asked_rightly() {
    const { assert!(prints!(str) && prints!(chatproto::wire::ErrorCode)) };
}

#[test]
fn remote_text_cannot_be_printed_by_itself() {
    const { assert!(!prints!(Name) && !prints!(NameRef<'static>)) };
    const { assert!(!prints!(Text) && !prints!(TextRef<'static>)) };
    const { assert!(!prints!(Note) && !prints!(NoteRef<'static>)) };
}

#[test]
fn remote_file_names_and_paths_cannot_be_printed_by_themselves() {
    const { assert!(!prints!(SafeName) && !prints!(SafeNameRef<'static>)) };
    const { assert!(!prints!(SafeRelPath) && !prints!(SafeRelPathRef<'static>)) };
    const { assert!(!prints!(Source) && !prints!(Target<'static>)) };
}

#[test]
fn remote_bytes_and_secrets_cannot_be_printed_by_themselves() {
    const { assert!(!prints!(Blob<'static>) && !prints!(Rest<'static>) && !prints!(LinkTicket)) };
}

#[test]
fn debug_of_a_secret_says_nothing() {
    assert_eq!(format!("{:?}", LinkTicket([0x5a; 32])), "LinkTicket(***)");
}
