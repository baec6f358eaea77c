//! Counts what a thread allocates. Tests of other crates include this file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with the bytes that this thread holds and the most it ever held.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is the only one who sees every allocation"
)]
// SAFETY: it does what the system's allocator does, and counts in thread-local cells that never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: what was allocated here was allocated by the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

fn count(more: usize, less: usize) {
    // A thread that ends may free what it holds after its cells are gone.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + more).saturating_sub(less));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the most that was held at once while `run` ran, beyond what was held before.
pub(crate) fn most<T>(run: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    MOST.set(before);
    let result = run();
    let most = MOST.get() - before;
    drop(result);
    most
}
