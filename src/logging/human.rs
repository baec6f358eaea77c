//! Log lines for people.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::time::Timestamp;

/// Time, level, who, what: `12:00:01.000250 WARN payments/Charge [checkout] too slow took=2s`.
pub(super) struct Human;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        cx: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let ansi = to.has_ansi_escapes();
        let style = |code: &'static str| if ansi { code } else { "" };
        let (dim, bold, plain) = (style("\x1b[2m"), style("\x1b[1m"), style("\x1b[0m"));
        let level = style(match *event.metadata().level() {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => "\x1b[2m",
        });
        write!(to, "{dim}{}{plain} ", Timestamp::now().clock())?;
        write!(to, "{level}{:>5}{plain} ", event.metadata().level())?;
        if let Some(current) = crate::current() {
            let component = current.component.as_str();
            let component = component.split_once('/').map_or(component, |(_, it)| it);
            let method = current.method.as_str();
            let method = method.rsplit('/').next().unwrap_or(method);
            write!(to, "{bold}{component}/{method}{plain} ")?;
            if !current.flow.is_empty() {
                write!(to, "{dim}[{}]{plain} ", current.flow)?;
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(to, "{}", fields.message)?;
        if !fields.others.is_empty() {
            write!(to, " {dim}{}{plain}", fields.others)?;
        }
        spans(cx, &mut to, dim, plain)?;
        writeln!(to)
    }
}

/// Writes the spans that the event is in, the innermost first.
fn spans<S, N>(
    cx: &FmtContext<'_, S, N>,
    to: &mut Writer<'_>,
    dim: &str,
    plain: &str,
) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    for span in cx.lookup_current().into_iter().flat_map(|it| it.scope()) {
        let extensions = span.extensions();
        let fields = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>();
        let fields = fields.map_or("", |fields| fields.as_str());
        let name = span.name();
        write!(to, " {dim}in {name}{{{fields}}}{plain}")?;
    }
    Ok(())
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &dyn fmt::Display) {
        use std::fmt::Write;
        if field.name() == "message" {
            self.message = value.to_string();
            return;
        }
        let gap = if self.others.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _ = write!(self.others, "{gap}{}={value}", field.name());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format_args!("{value:?}"));
    }
}
