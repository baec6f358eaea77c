//! What a method says about itself.

use std::time::Duration;

use prost_types::method_options::IdempotencyLevel;
use protox::prost_reflect::{DynamicMessage, MethodDescriptor};

use crate::Reason;

/// What a method says about itself, checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) idempotent: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) flow: Option<String>,
    pub(crate) topic: Option<String>,
}

impl Options {
    /// Reads the options of a method, and adds to `reasons` what is wrong with them.
    pub(crate) fn read(method: &MethodDescriptor, reasons: &mut Vec<Reason>) -> Self {
        let standard = method
            .method_descriptor_proto()
            .options
            .clone()
            .unwrap_or_default();
        let mut options = Self {
            idempotent: standard.idempotency_level() != IdempotencyLevel::IdempotencyUnknown,
            ..Self::default()
        };
        let Some(own) = own(method) else {
            return options;
        };
        if let Some(idempotent) = field(&own, "idempotent", |value| value.as_bool()) {
            options.idempotent = idempotent;
        }
        if let Some(text) = text(&own, "deadline") {
            match parse_deadline(&text) {
                Some(deadline) => options.deadline = Some(deadline),
                None => reasons.push(Reason::Deadline(text)),
            }
        }
        options.flow = text(&own, "flow");
        options.topic = text(&own, "topic");
        for (name, value) in [("flow", &options.flow), ("topic", &options.topic)] {
            if value.as_deref() == Some("") {
                reasons.push(Reason::EmptyOption(name));
            }
        }
        if let Some(topic) = options
            .topic
            .clone()
            .filter(|_| method.is_server_streaming())
        {
            reasons.push(Reason::TopicStreams { topic });
        }
        options
    }
}

/// Returns the value of `(monofil.method)`. `prost-types` drops it, hence the reflection.
fn own(method: &MethodDescriptor) -> Option<DynamicMessage> {
    let extension = method
        .parent_pool()
        .get_extension_by_name("monofil.method")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

fn field<T>(
    message: &DynamicMessage,
    name: &str,
    read: impl Fn(&protox::prost_reflect::Value) -> Option<T>,
) -> Option<T> {
    if !message.has_field_by_name(name) {
        return None;
    }
    read(&*message.get_field_by_name(name)?)
}

fn text(message: &DynamicMessage, name: &str) -> Option<String> {
    field(message, name, |value| value.as_str().map(str::to_owned))
}

/// Reads `250ms`, `5s`, `1m`.
fn parse_deadline(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_whole_number_and_a_unit() {
        for (text, deadline) in [
            ("100us", Some(Duration::from_micros(100))),
            ("250ms", Some(Duration::from_millis(250))),
            ("5s", Some(Duration::from_secs(5))),
            ("1m", Some(Duration::from_secs(60))),
            ("2h", Some(Duration::from_secs(7200))),
            ("0s", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
            ("5d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse_deadline(text), deadline, "{text:?}");
        }
    }
}
