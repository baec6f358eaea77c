//! Whether what was sent is what came.

use crate::fail;

/// The numbers that messages carry, checked where they arrive: each is the one after the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    next: u64,
    lost: u64,
}

impl Order {
    /// Expects number 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, lost: 0 }
    }

    /// Takes the number of the next message. A gap counts as lost; going back ends the process.
    #[inline]
    pub fn take(&mut self, number: u64) {
        if number != self.next {
            self.gap(number);
        }
        self.next = number + 1;
    }

    #[cold]
    fn gap(&mut self, number: u64) {
        if number < self.next {
            fail(format!("message {number} came after {}", self.next));
        }
        self.lost += number - self.next;
    }

    /// Returns how many did not come.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

/// The order of frames that go to and fro between two nodes, always the same ones.
#[derive(Clone, Copy, Debug)]
pub struct Bounce {
    next: u64,
    count: u64,
}

impl Bounce {
    /// The size of a frame, in bytes.
    pub const BYTES: usize = 64;

    /// Expects so many frames, again and again.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        Self {
            next: 0,
            count: count as u64,
        }
    }

    /// Makes the frame with a number.
    #[must_use]
    pub fn frame(number: usize) -> [u8; Self::BYTES] {
        let mut frame = [7; Self::BYTES];
        frame[..8].copy_from_slice(&(number as u64).to_le_bytes());
        frame
    }

    /// Takes the next frame. Another than the expected one ends the process.
    #[inline]
    pub fn take(&mut self, frame: &[u8]) {
        let number = number(frame);
        if number != self.next || frame.len() != Self::BYTES {
            fail(format!("frame {number} came in place of {}", self.next));
        }
        self.next += 1;
        if self.next == self.count {
            self.next = 0;
        }
    }
}

/// Returns the number that a message begins with.
///
/// # Panics
///
/// When it is shorter than that.
#[inline]
#[must_use]
pub fn number(message: &[u8]) -> u64 {
    let first = message.first_chunk().expect("a message has its number");
    u64::from_le_bytes(*first)
}
