//! What components themselves say in a run, and what becomes known of them.

use std::cell::Cell;

use crate::property::{self, Broken, NO_PANIC, ONE_RUN};
use crate::{guard, panics};

thread_local! {
    /// How many listen on this thread.
    static LISTENERS: Cell<usize> = const { Cell::new(0) };
}

/// Listens, on this thread, to what components say must [always](crate::always) hold, to handlers that panic, and to what
/// the [guard](crate::guard) sees, until it is dropped.
///
/// A [`Sim`](crate::Sim) does so by itself. This is for those who run a [`Cluster`](crate::Cluster).
#[derive(Debug)]
pub struct Listening(());

impl Listening {
    /// Begins to listen. What was said before is forgotten, unless somebody else listens.
    #[must_use]
    pub fn begin() -> Self {
        if LISTENERS.replace(LISTENERS.get() + 1) == 0 {
            panics::listen();
            property::listen();
        }
        Self(())
    }

    /// Returns what was broken since the last look, if something was: the property, and what is wrong.
    #[must_use]
    pub fn broken(&self) -> Option<(String, String)> {
        let broken = self.heard(|_| false)?;
        Some((broken.property, broken.text))
    }

    /// Returns what was broken first since the last look.
    pub(crate) fn heard(&self, may_panic: impl Fn(&str) -> bool) -> Option<Broken> {
        let said = property::take_broken();
        // Each is asked, so that nothing is left for the next look.
        let panicked = panics::of_a_handler(may_panic);
        let panicked = panicked.map(|panicked| Broken {
            message: panicked.message,
            site: panicked.site,
            ..Broken::new(NO_PANIC, panicked.text)
        });
        let leaked = guard::leaked().map(|leaked| Broken {
            message: leaked.message,
            site: leaked.text.clone(),
            ..Broken::new(ONE_RUN, leaked.text)
        });
        said.or(panicked).or(leaked)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Threads that end drop what they have left in any order.
        let left = LISTENERS.try_with(|listeners| listeners.replace(listeners.get() - 1));
        if left == Ok(1) {
            panics::heard();
            property::heard();
        }
    }
}
