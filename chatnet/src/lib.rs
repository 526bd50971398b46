//! chatnet.
