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
    /// The line, with the handler that came to it.
    pub(crate) site: String,
    /// Whose handler panicked; `None` for the test's own code.
    pub(crate) component: Option<String>,
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
        let site = match &current {
            Some(current) => format!("{}/{}{place}", current.component, current.method),
            None => place.trim_start().to_owned(),
        };
        panics.push(Panicked {
            text,
            message: current.as_ref().map_or(0, crate::property::message_of),
            site,
            component: current.map(|current| current.component.to_string()),
        });
        Some(())
    });
    noted.ok().flatten().is_some()
}

/// Returns the first panic since the last look of a handler of a component that must not panic.
pub(crate) fn of_a_handler(may_panic: impl Fn(&str) -> bool) -> Option<Panicked> {
    PANICS.with_borrow_mut(|panics| {
        let panics = panics.as_mut()?;
        panics.retain(|panic| !panic.component.as_deref().is_some_and(&may_panic));
        let first = panics.iter().position(|panic| panic.component.is_some())?;
        Some(panics.remove(first))
    })
}

/// Returns what the last panic said, and where it was.
pub(crate) fn last() -> Option<String> {
    PANICS.with_borrow(|panics| Some(panics.as_ref()?.last()?.text.clone()))
}

/// Returns the last panic, and stops noting them.
pub(crate) fn heard() -> Option<Panicked> {
    QUIET.set(false);
    PANICS.take().unwrap_or_default().pop()
}
