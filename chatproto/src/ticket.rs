//! The login with a session ticket: what a password bought once comes back without its price.
//!
//! Whoever holds the ticket of a device is that device, so it goes to nobody but the server that gave it: over TLS, to
//! the certificate that it came from. See PROTOCOL.md, section 6.2.

/// The mechanism's name in hello and login. Its only message is the ticket itself, to be sent with
/// [`Session::login_one_way`](crate::session::Session::login_one_way).
pub const MECHANISM: &str = "ticket";

/// Length of a ticket in bytes. They are random: a guess hits none of a million tickets within the age of the universe.
pub const LEN: usize = 32;
