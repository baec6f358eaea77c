//! Panics of a run: where they were, and no noise about them where somebody else tells of them.

use std::cell::{Cell, RefCell};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Present while a simulated run is on this thread.
    static PANICS: RefCell<Option<Vec<Panicked>>> = const { RefCell::new(None) };
    /// Whether they are noted without being printed.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A panic.
#[derive(Clone, Debug)]
pub(crate) struct Panicked {
    /// Where it was, and what it said.
    pub(crate) text: String,
    /// The message that was handled, as records call it; 0 for none.
    pub(crate) message: u64,
    /// Whether a handler panicked, not the test's own code.
    pub(crate) in_handler: bool,
}

/// Notes panics of this thread from now on, and prints them as before.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !(note(info) && QUIET.get()) {
                before(info);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
}

/// Prints no panic of this thread any more while they are noted.
pub(crate) fn hush() {
    QUIET.set(true);
}

fn note(info: &PanicHookInfo<'_>) -> bool {
    let noted = PANICS.try_with(|panics| {
        let mut panics = panics.try_borrow_mut().ok()?;
        let panics = panics.as_mut()?;
        let current = monofil_container::current();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("a panic without a message");
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" ({at})"));
        let text = match &current {
            Some(current) => format!(
                "`{}` in `{}`: {message}{place}",
                current.component, current.method
            ),
            None => format!("{message}{place}"),
        };
        panics.push(Panicked {
            text,
            message: current.as_ref().map_or(0, crate::property::message_of),
            in_handler: current.is_some(),
        });
        Some(())
    });
    noted.ok().flatten().is_some()
}

/// Returns the first panic of a handler since the last look.
pub(crate) fn of_a_handler() -> Option<Panicked> {
    PANICS.with_borrow_mut(|panics| {
        let panics = panics.as_mut()?;
        let first = panics.iter().position(|panic| panic.in_handler)?;
        Some(panics.remove(first))
    })
}

/// Returns the last panic, and stops noting them.
pub(crate) fn heard() -> Option<Panicked> {
    QUIET.set(false);
    PANICS.take().unwrap_or_default().pop()
}
