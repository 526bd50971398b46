//! What the fuzz targets share: legal values out of any bytes, a reader for what a machine sends, models of what a machine
//! must tell, folders to work in, and how file systems compare names.

mod folder;
mod heard;
mod linked;
mod names;
mod sent;
mod told;
mod values;

pub use folder::folder;
pub use heard::{Asked, Due, Heard};
pub use linked::{Linked, Most};
pub use names::may_be_one;
pub use sent::Sent;
pub use told::Told;
pub use values::{Value, frames};
