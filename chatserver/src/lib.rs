//! The reference server's parts. The program itself is thin: it puts these together.

pub mod store;
