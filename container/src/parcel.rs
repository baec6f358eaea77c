//! Records on the heap, in memory that is used again.
//!
//! A burst of messages is as many allocations, and as many that are freed one by one while it is handled: more
//! than an allocator keeps at hand. Whatever ends here begins again here, on the same thread.
#![expect(unsafe_code, reason = "memory without a value in it is kept")]
#![expect(
    clippy::vec_box,
    reason = "a place keeps its address as it goes from hand to hand"
)]

use std::cell::RefCell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};

use crate::envelope::Envelope;

/// As many as one instance may have in its queue by default.
const SPARE_MAX: usize = 1024;

thread_local! {
    static SPARE: RefCell<Vec<Box<MaybeUninit<Envelope>>>> = const { RefCell::new(Vec::new()) };
}

/// An [`Envelope`] on the heap: moved as one word.
pub(crate) struct Parcel(ManuallyDrop<Box<Envelope>>);

impl Parcel {
    pub(crate) fn new(envelope: Envelope) -> Self {
        // As the thread ends there is no pool any more.
        let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
        let place = spare.ok().flatten().unwrap_or_else(Box::new_uninit);
        Self(ManuallyDrop::new(Box::write(place, envelope)))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // SAFETY: `self.0` is not used again: `self` is being dropped.
        let place = Box::into_raw(unsafe { ManuallyDrop::take(&mut self.0) });
        // SAFETY: it came from a box, so it is valid and has a value, which is dropped once: whoever gets the
        // place takes it for one without.
        unsafe {
            place.drop_in_place();
            keep(place);
        }
    }
}

/// Keeps a place whose value is gone.
///
/// # Safety
///
/// It was a box of an envelope, and nobody else has it.
unsafe fn keep(place: *mut Envelope) {
    // SAFETY: by contract; a value that may be missing has the same layout.
    let place = unsafe { Box::from_raw(place.cast::<MaybeUninit<Envelope>>()) };
    let _ = SPARE.try_with(|spare| {
        if let Ok(mut spare) = spare.try_borrow_mut()
            && spare.len() < SPARE_MAX
        {
            spare.push(place);
        }
    });
}

impl Deref for Parcel {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.0
    }
}

impl DerefMut for Parcel {
    fn deref_mut(&mut self) -> &mut Envelope {
        &mut self.0
    }
}

impl Clone for Parcel {
    fn clone(&self) -> Self {
        Self::new((**self).clone())
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
