//! How much memory a piece of work takes: the heap of the whole process, counted at each allocation.
//!
//! Counted is what is asked for, also where it is never touched. What the zstd library takes for its window is not
//! seen; a limit of its own bounds that.

#![expect(unsafe_code, reason = "an allocator cannot be written otherwise; it only counts, and hands all on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static COUNTING: Counting = Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Does the work, and says how many bytes it held at most, beyond those held before. Whatever else runs in the process
/// meanwhile counts, too.
pub fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let done = work();
    (done, MOST.load(Ordering::Relaxed).saturating_sub(before))
}

fn grow(bytes: usize) {
    let now = NOW.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(now, Ordering::Relaxed);
}

fn shrink(bytes: usize) {
    NOW.fetch_sub(bytes, Ordering::Relaxed);
}

struct Counting;

// SAFETY: every call goes to the system's allocator with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrink(layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is copied, both are held.
        grow(size);
        shrink(layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_counts_and_what_was_given_back_does_not() {
        let (_, most) = most_held(|| {
            (0..10).for_each(|_| drop(std::hint::black_box(vec![0_u8; 1 << 20])));
            std::hint::black_box(vec![0_u8; 3 << 20]).len()
        });
        assert!((3 << 20..8 << 20).contains(&most), "{most}");
    }
}
