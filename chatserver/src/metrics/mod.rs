//! Counts and times for whoever watches the server, in the text format of Prometheus.
//!
//! | part | is |
//! |---|---|
//! | [`Histogram`] | how long something took, counted in buckets; written by one thread, read by another |
//! | [`Page`] | the text of one answer |
//! | `endpoint` | the thread that answers `GET /metrics` |

pub(crate) mod endpoint;
mod histogram;
mod page;

pub use histogram::Histogram;
pub use page::Page;
