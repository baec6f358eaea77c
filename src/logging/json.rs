//! Log lines for programs.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::time::Timestamp;
use crate::Current;

/// One object a line, with the names that OpenTelemetry's log model has for its parts.
///
/// Of the handler on the thread: `node`, `component`, `instance`, `method`, `message_id`, `flow`,
/// `trace_id`, `span_id`. What the event says of itself goes into `attributes`, except for `component` and
/// `node`, which it may name in a handler's place.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
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
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("timestamp", Timestamp::now().to_string().into());
        put("severity", event.metadata().level().as_str().into());
        put("target", event.metadata().target().into());
        if let Some(current) = crate::current() {
            handler(&current, put);
        }
        let scope = cx.lookup_current().into_iter().flat_map(|it| it.scope());
        let spans: Vec<_> = scope.map(|span| Value::from(span.name())).collect();
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.insert("body".to_owned(), fields.message.into());
        for name in ["component", "node"] {
            if let Some(value) = fields.others.remove(name) {
                line.insert(name.to_owned(), value);
            }
        }
        if !fields.others.is_empty() {
            line.insert("attributes".to_owned(), fields.others.into());
        }
        if !spans.is_empty() {
            line.insert("spans".to_owned(), spans.into());
        }
        writeln!(to, "{}", Value::from(line))
    }
}

/// Says which handler a line is from, and what it is at.
fn handler(current: &Current, mut put: impl FnMut(&str, Value)) {
    put("node", current.node.as_str().into());
    put("component", current.component.as_str().into());
    put("instance", current.instance.into());
    put("method", current.method.as_str().into());
    if let Some(id) = current.message_id {
        put("message_id", id.into());
    }
    if !current.flow.is_empty() {
        put("flow", current.flow.as_str().into());
    }
    if current.trace.is_set() {
        put(
            "trace_id",
            format!("{:032x}", current.trace.trace_id).into(),
        );
        put("span_id", format!("{:016x}", current.trace.span_id).into());
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match value {
            Value::String(text) if field.name() == "message" => self.message = text,
            value => drop(self.others.insert(field.name().to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
}
