//! The allocator of a fold: an instance lives for one call, so nothing is ever taken back.

/// Hands out the instance's memory in one direction: what lies behind the module's own data first, more pages when that is used up.
/// Only the last piece can grow or go. `fold!` makes it the module's allocator.
#[derive(Debug, Clone, Copy)]
pub struct Bump;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::alloc::{GlobalAlloc, Layout};
    use core::arch::wasm32::{memory_grow, memory_size};
    use core::ptr::{addr_of, null_mut};
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const PAGE: usize = 1 << 16;

    /// Where the next piece begins; 0 before the first.
    static NEXT: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" {
        /// The linker's: the first byte behind data and stack.
        static __heap_base: u8;
    }

    fn next() -> usize {
        match NEXT.load(Relaxed) {
            0 => addr_of!(__heap_base) as usize,
            next => next,
        }
    }

    /// Whether the memory reaches to `end`, grown where it did not.
    fn reaches(end: usize) -> bool {
        let held = memory_size(0);
        let missing = end.div_ceil(PAGE).saturating_sub(held);
        missing == 0 || memory_grow(0, missing) != usize::MAX
    }

    fn take(layout: Layout, start: usize) -> *mut u8 {
        match start.checked_add(layout.size()) {
            Some(end) if reaches(end) => {
                NEXT.store(end, Relaxed);
                start as *mut u8
            }
            _ => null_mut(),
        }
    }

    // SAFETY: pieces lie behind one another, inside the memory, and are never handed out twice: `NEXT` goes back only over the last
    // piece, when its owner gives it up. There is one thread.
    unsafe impl GlobalAlloc for super::Bump {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            match next().checked_next_multiple_of(layout.align()) {
                Some(start) => take(layout, start),
                None => null_mut(),
            }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            if pointer as usize + layout.size() == next() {
                NEXT.store(pointer as usize, Relaxed);
            }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller keeps `GlobalAlloc::realloc`'s contract: the size suits the alignment.
            let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
            if pointer as usize + layout.size() == next() {
                return take(wanted, pointer as usize);
            }
            // SAFETY: as above; the new piece overlaps no other.
            unsafe {
                let new = self.alloc(wanted);
                if !new.is_null() {
                    core::ptr::copy_nonoverlapping(pointer, new, layout.size().min(size));
                }
                new
            }
        }
    }
}
