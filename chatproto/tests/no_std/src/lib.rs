//! Builds only if nothing below `chatproto` needs `std`: with `std` there would be two panic handlers.
#![no_std]
#![forbid(unsafe_code)]

use chatproto::wire::{Name, WireError};
use embedded_alloc::LlffHeap;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// Uses something that allocates, so that the allocator above is really the one.
pub fn name(text: &str) -> Result<Name, WireError> {
    Name::new(text)
}

#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
