//! Records on the heap, in memory that is used again.
//!
//! A burst of messages is as many allocations, and as many that are freed one by one while it is handled: more
//! than an allocator keeps at hand. Whatever ends here begins again here, on the same thread. A record is filled in
//! where it stays: what is written a few bytes at a time and copied at once keeps a processor waiting.
#![expect(unsafe_code, reason = "a box is taken out of what is being dropped")]
#![expect(
    clippy::vec_box,
    reason = "a place keeps its address as it goes from hand to hand"
)]

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use monofil_proto::wire::Kind;

use crate::CallError;
use crate::envelope::Envelope;

/// As many as one instance may have in its queue by default.
const SPARE_MAX: usize = 1024;

thread_local! {
    /// Invariant: as [`Envelope::about`] makes them.
    static SPARE: RefCell<Vec<Box<Envelope>>> = const { RefCell::new(Vec::new()) };
}

/// An [`Envelope`] on the heap: moved as one word.
pub(crate) struct Parcel(ManuallyDrop<Box<Envelope>>);

impl Parcel {
    /// Makes a record to be filled in.
    pub(crate) fn about(kind: Kind, id: u64) -> Self {
        // As the thread ends there is no pool any more.
        let spare = SPARE.try_with(|spare| spare.try_borrow_mut().ok()?.pop());
        let mut place = spare
            .ok()
            .flatten()
            .unwrap_or_else(|| Box::new(Envelope::about(kind, id)));
        place.kind = kind;
        place.id = id;
        Self(ManuallyDrop::new(place))
    }

    /// Makes the answer to a call that failed.
    pub(crate) fn failure(id: u64, error: CallError) -> Self {
        let mut failure = Self::about(Kind::Failure, id);
        failure.outcome = Some(Box::new(error));
        failure
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // SAFETY: `self.0` is not used again: `self` is being dropped.
        let mut place = unsafe { ManuallyDrop::take(&mut self.0) };
        place.clear();
        let _ = SPARE.try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut()
                && spare.len() < SPARE_MAX
            {
                spare.push(place);
            }
        });
    }
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
        Self(self.0.clone())
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
