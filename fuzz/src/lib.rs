//! What the fuzz targets share: legal values out of any bytes, a reader for what a machine sends, and folders to work in.

mod folder;
mod sent;
mod told;
mod values;

pub use folder::folder;
pub use sent::Sent;
pub use told::Told;
pub use values::{Value, frames};
