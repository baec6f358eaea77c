//! Keeps the spans of suspended handlers apart.
//!
//! `tracing` keeps the spans that are entered on a stack of the *thread*. A handler that suspends inside a
//! span would leave it there, and whatever runs next would log inside it. So at each suspend the handler's
//! spans are exited, innermost first, and entered again in reverse at the next resume.

use tracing::Span;
use tracing::dispatcher::get_default;

/// The spans of a suspended handler, innermost first.
#[derive(Debug, Default)]
pub(crate) struct Suspended(Vec<Span>);

/// Returns the span the thread is in, if any.
pub(crate) fn current() -> Option<Span> {
    let span = Span::current();
    (!span.is_none()).then_some(span)
}

impl Suspended {
    /// Exits every span down to `base`, the one that was entered before the handler ran.
    pub(super) fn leave(base: Option<&Span>) -> Self {
        let base = base.and_then(Span::id);
        let mut left = Vec::new();
        while let Some(span) = current() {
            let Some(id) = span.id().filter(|id| Some(id) != base.as_ref()) else {
                break;
            };
            get_default(|dispatch| dispatch.exit(&id));
            left.push(span);
            if left.len() > 256 {
                // A subscriber that does not take a span off its stack when told to.
                break;
            }
        }
        Self(left)
    }

    /// Enters them again.
    pub(super) fn enter(&mut self) {
        for span in self.0.drain(..).rev() {
            if let Some(id) = span.id() {
                get_default(|dispatch| dispatch.enter(&id));
            }
        }
    }
}
