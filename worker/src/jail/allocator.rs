//! A worker that is refused memory says so and ends.

use std::alloc::{GlobalAlloc, Layout, System};

use protocol::jail::Ending;

/// The system's allocator; where it refuses (RLIMIT_DATA), the process ends with [`Ending::Memory`]. Without it a refused allocation
/// aborts, which the keeper cannot tell from a fault.
#[derive(Debug, Clone, Copy)]
pub struct Capped;

fn or_end(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        // SAFETY: `_exit` takes any number and runs nothing of ours.
        unsafe { libc::_exit(i32::from(Ending::Memory.code())) }
    }
    pointer
}

// SAFETY: every call goes to `System` with the caller's own arguments; a null pointer is never returned, which the contract allows.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract.
        or_end(unsafe { System.alloc(layout) })
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc::alloc_zeroed`'s contract.
        or_end(unsafe { System.alloc_zeroed(layout) })
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `pointer` came from `System` with this layout; the caller keeps the contract for `new_size`.
        or_end(unsafe { System.realloc(pointer, layout, new_size) })
    }
}
