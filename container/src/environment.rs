//! What an instance keeps between messages, and across its own restarts.

use std::any::Any;

use monofil_transport::Stream;

/// Values, one of a type, and the instance's random numbers.
pub(crate) struct Environment {
    /// In the order in which they were first asked for, and dropped in this order: destructors may send.
    values: Vec<Box<dyn Any>>,
    pub(crate) rng: Stream,
}

impl Environment {
    pub(crate) fn new(rng: Stream) -> Self {
        Self {
            values: Vec::new(),
            rng,
        }
    }

    pub(crate) fn get<T: Default + 'static>(&mut self) -> &mut T {
        let place = self.values.iter().position(|value| value.is::<T>());
        let place = place.unwrap_or_else(|| {
            self.values.push(Box::new(T::default()));
            self.values.len() - 1
        });
        self.values[place]
            .downcast_mut()
            .expect("invariant: there is a value of this type at this place")
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }
}
