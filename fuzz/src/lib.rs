//! What the fuzz targets share: legal values out of any bytes, and a reader for what a machine sends.

mod sent;
mod told;
mod values;

pub use sent::Sent;
pub use told::Told;
pub use values::{Value, frames};
