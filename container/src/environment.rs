//! What an instance keeps between messages, and across its own restarts.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use monofil_transport::Stream;

/// Values by their type, and the instance's random numbers.
pub(crate) struct Environment {
    values: HashMap<TypeId, Box<dyn Any>>,
    pub(crate) rng: Stream,
}

impl Environment {
    pub(crate) fn new(rng: Stream) -> Self {
        Self {
            values: HashMap::new(),
            rng,
        }
    }

    pub(crate) fn get<T: Default + 'static>(&mut self) -> &mut T {
        let value = self
            .values
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::new(T::default()));
        value
            .downcast_mut()
            .expect("invariant: values are stored under their own type")
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }
}
