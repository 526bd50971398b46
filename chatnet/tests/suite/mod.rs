//! What holds whichever thread the sockets are on: how many I/O threads there are, the test program says.

mod chaos;
pub(crate) mod common;
mod limits;
mod streams;
mod trust;
