//! What the fuzz targets share: legal values out of any bytes, a reader for what a machine sends, a model of what a link may
//! tell, folders to work in, and how file systems compare names.

mod folder;
mod linked;
mod names;
mod sent;
mod told;
mod values;

pub use folder::folder;
pub use linked::{Linked, Most};
pub use names::may_be_one;
pub use sent::Sent;
pub use told::Told;
pub use values::{Value, frames};
