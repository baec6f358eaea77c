//! A run as a picture: one HTML file that needs nothing else.
//!
//! Nodes are lines, time goes to the right, messages are arrows, faults are bands. The page draws on a canvas what can
//! be seen, so it is as quick with a hundred thousand events as with ten. It loads nothing: its data, in columns, lies
//! in it, and a policy in its head forbids the rest.

use std::collections::BTreeMap;

use monofil_transport::record::Manner;
use serde::Serialize;

use crate::Story;
use crate::story::{EventKind, FaultKind, Moment};

const PAGE: &str = include_str!("view/page.html");
const STYLE: &str = include_str!("view/page.css");
/// One script, in parts: each uses what is above it.
const SCRIPT: &[&str] = &[
    include_str!("view/script/begin.js"),
    include_str!("view/script/data.js"),
    include_str!("view/script/state.js"),
    include_str!("view/script/drawing.js"),
    include_str!("view/script/arrows.js"),
    include_str!("view/script/marks.js"),
    include_str!("view/script/axis.js"),
    include_str!("view/script/details.js"),
    include_str!("view/script/moving.js"),
    include_str!("view/script/finding.js"),
    include_str!("view/script/hands.js"),
    include_str!("view/script/selftest.js"),
];

/// Draws a run.
///
/// `title` is what the page is called; `about` are names and values that it shows, the most important first.
#[must_use]
pub fn page(story: &Story, title: &str, about: &[(&str, String)]) -> String {
    let data = json(&Data::of(story, title, about));
    let parts = [
        ("{{title}}", escaped(title)),
        ("{{style}}", STYLE.to_owned()),
        ("{{data}}", data),
        ("{{script}}", SCRIPT.join("\n")),
    ];
    // Each mark is looked for after the one before, so that what was put in is never looked through.
    let (mut out, mut rest) = (String::new(), PAGE);
    for (mark, text) in parts {
        let (before, after) = rest
            .split_once(mark)
            .expect("invariant: the page has each mark, in this order");
        out.push_str(before);
        out.push_str(&text);
        rest = after;
    }
    out + rest
}

/// Writes JSON that may lie in a `script` element: nothing in it ends the element or begins a comment.
fn json(data: &Data<'_>) -> String {
    let json = serde_json::to_string(data).expect("invariant: numbers and texts can be written");
    json.replace('<', "\\u003c")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// What the page reads. Moments are places in `at`; texts are places in `texts`; -1 is nothing.
#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    about: &'a [(&'a str, String)],
    nodes: Vec<&'a str>,
    dropped: u64,
    /// Nanoseconds.
    at: Vec<u64>,
    node: Vec<i64>,
    m: Messages,
    h: Handlers,
    w: Waits,
    p: Packets,
    f: Faults,
    e: Events,
    x: Failures,
    texts: Vec<String>,
}

#[derive(Default, Serialize)]
struct Messages {
    at: Vec<Moment>,
    arrived: Vec<i64>,
    cause: Vec<i64>,
    sender: Vec<i64>,
    handler: Vec<i64>,
    end: Vec<i64>,
    /// 0: it did not end; 1: well; 2: otherwise.
    ok: Vec<u8>,
    out: Vec<i64>,
    late: Vec<i64>,
    kind: Vec<u8>,
    from: Vec<i64>,
    to: Vec<i64>,
    method: Vec<i64>,
    flow: Vec<i64>,
    place: Vec<i64>,
    payload: Vec<i64>,
    bytes: Vec<usize>,
}

#[derive(Default, Serialize)]
struct Handlers {
    at: Vec<Moment>,
    ended: Vec<i64>,
    error: Vec<i64>,
    component: Vec<i64>,
    instance: Vec<u32>,
    method: Vec<i64>,
    message: Vec<i64>,
}

#[derive(Default, Serialize)]
struct Waits {
    handler: Vec<usize>,
    at: Vec<Moment>,
    until: Vec<i64>,
    place: Vec<i64>,
}

#[derive(Default, Serialize)]
struct Packets {
    datagram: Vec<u8>,
    bytes: Vec<usize>,
    at: Vec<Moment>,
    to: Vec<i64>,
    arrived: Vec<i64>,
    lost: Vec<i64>,
}

#[derive(Default, Serialize)]
struct Faults {
    kind: Vec<u8>,
    name: Vec<i64>,
    at: Vec<Moment>,
    until: Vec<i64>,
    nodes: Vec<Vec<u32>>,
    message: Vec<i64>,
}

#[derive(Default, Serialize)]
struct Events {
    at: Vec<Moment>,
    text: Vec<i64>,
    /// 0: of its life; 1: of the network; 2: looked out for.
    kind: Vec<u8>,
}

#[derive(Default, Serialize)]
struct Failures {
    at: Vec<Moment>,
    property: Vec<i64>,
    text: Vec<i64>,
    after: Vec<i64>,
    message: Vec<i64>,
}

/// Numbers texts; the empty one is nothing.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    numbers: BTreeMap<String, i64>,
}

impl Texts {
    fn number(&mut self, text: &str) -> i64 {
        if text.is_empty() {
            return -1;
        }
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn maybe(&mut self, text: Option<impl AsRef<str>>) -> i64 {
        text.map_or(-1, |text| self.number(text.as_ref()))
    }
}

fn index(number: Option<usize>) -> i64 {
    number.map_or(-1, |number| number as i64)
}

impl<'a> Data<'a> {
    fn of(story: &'a Story, title: &'a str, about: &'a [(&'a str, String)]) -> Self {
        let mut texts = Texts::default();
        let (h, w) = handlers(story, &mut texts);
        let moments = &story.moments;
        Self {
            title,
            about,
            nodes: story.nodes.iter().map(|name| &**name).collect(),
            dropped: story.dropped,
            at: moments.iter().map(|(at, _)| at.as_nanos()).collect(),
            node: moments
                .iter()
                .map(|(_, node)| node.map_or(-1, i64::from))
                .collect(),
            m: messages(story, &mut texts),
            h,
            w,
            p: packets(story),
            f: faults(story, &mut texts),
            e: events(story, &mut texts),
            x: failures(story, &mut texts),
            texts: texts.all,
        }
    }
}

fn messages(story: &Story, texts: &mut Texts) -> Messages {
    let mut columns = Messages::default();
    for message in &story.messages {
        let sent = &message.sent;
        columns.at.push(message.at);
        columns.arrived.push(index(message.arrived));
        columns.cause.push(index(message.cause));
        columns.sender.push(index(message.sender));
        columns.handler.push(index(message.handler));
        let end = message.ended.as_ref();
        let (ok, out) = match end.map(|end| &end.outcome) {
            None => (0, -1),
            Some(Ok(answer)) => (1, texts.number(answer)),
            Some(Err(error)) => (2, texts.number(error)),
        };
        columns.end.push(index(end.map(|end| end.at)));
        columns.ok.push(ok);
        columns.out.push(out);
        columns.late.push(index(message.late));
        columns.kind.push(match sent.manner {
            Manner::Call => 0,
            Manner::Cast => 1,
            Manner::Publish => 2,
        });
        columns.from.push(texts.number(&sent.from));
        columns.to.push(texts.number(&sent.to));
        columns.method.push(texts.number(&sent.method));
        columns.flow.push(texts.number(&sent.flow));
        let place = sent.place.map(crate::story::place);
        columns.place.push(texts.maybe(place));
        columns.payload.push(texts.number(&sent.payload));
        columns.bytes.push(sent.bytes);
    }
    columns
}

fn handlers(story: &Story, texts: &mut Texts) -> (Handlers, Waits) {
    let (mut columns, mut waits) = (Handlers::default(), Waits::default());
    for (number, handler) in story.handlers.iter().enumerate() {
        columns.at.push(handler.at);
        columns.ended.push(index(handler.ended));
        columns.error.push(texts.maybe(handler.error.as_ref()));
        columns.component.push(texts.number(&handler.component));
        columns.instance.push(handler.instance);
        columns.method.push(texts.number(&handler.method));
        columns.message.push(index(handler.message));
        for wait in &handler.waits {
            waits.handler.push(number);
            waits.at.push(wait.at);
            waits.until.push(index(wait.until));
            waits
                .place
                .push(texts.number(&crate::story::place(wait.place)));
        }
    }
    (columns, waits)
}

fn packets(story: &Story) -> Packets {
    let mut columns = Packets::default();
    for packet in &story.packets {
        columns.datagram.push(packet.datagram.into());
        columns.bytes.push(packet.bytes);
        columns.at.push(packet.at);
        columns.to.push(packet.to.map_or(-1, i64::from));
        columns.arrived.push(index(packet.arrived));
        columns.lost.push(index(packet.lost));
    }
    columns
}

fn faults(story: &Story, texts: &mut Texts) -> Faults {
    let mut columns = Faults::default();
    for fault in &story.faults {
        columns.kind.push(match fault.kind {
            FaultKind::Down => 0,
            FaultKind::Paused => 1,
            FaultKind::Cut => 2,
            FaultKind::Link => 3,
            // Of a node, and drawn alike.
            FaultKind::Planned | FaultKind::Node => 4,
            FaultKind::Message => 5,
        });
        columns.message.push(index(fault.message));
        columns.name.push(texts.number(&fault.name));
        columns.at.push(fault.at);
        columns.until.push(index(fault.until));
        columns.nodes.push(fault.nodes.clone());
    }
    columns
}

fn events(story: &Story, texts: &mut Texts) -> Events {
    let mut columns = Events::default();
    for event in &story.events {
        columns.at.push(event.at);
        columns.text.push(texts.number(&event.text));
        columns.kind.push(match event.kind {
            EventKind::Life => 0,
            EventKind::Network => 1,
            EventKind::Reached => 2,
        });
    }
    columns
}

fn failures(story: &Story, texts: &mut Texts) -> Failures {
    let mut columns = Failures::default();
    for failure in &story.failures {
        columns.at.push(failure.at);
        columns.property.push(texts.number(&failure.property));
        columns.text.push(texts.number(&failure.text));
        columns.after.push(index(failure.after));
        columns.message.push(index(failure.message));
    }
    columns
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use monofil_transport::Instant;
    use monofil_transport::record::{Record, Recording, Sent, What};

    use super::*;

    const NASTY: &str = "</script><script>alert(1)</script><!-- {{script}} {{data}} \u{2028} \"";

    fn nasty() -> String {
        let text: Arc<str> = NASTY.into();
        let sent = Sent {
            message: 1,
            cause: 0,
            call: 1,
            manner: Manner::Cast,
            from: text.clone(),
            to: text.clone(),
            method: text.clone(),
            flow: text.clone(),
            payload: text.clone(),
            bytes: 7,
            place: None,
        };
        let recording = Recording {
            nodes: vec![text],
            records: vec![Record {
                sequence: 1,
                at: Instant::ZERO,
                node: Some(0),
                what: What::Sent(Box::new(sent)),
            }],
            dropped: 0,
        };
        page(&Story::of(&recording), NASTY, &[("seed", NASTY.to_owned())])
    }

    #[test]
    fn no_text_of_a_run_breaks_the_page() {
        let page = nasty();
        let (_, rest) = page
            .split_once("<script type=\"application/json\" id=\"data\">")
            .expect("the data");
        let (data, rest) = rest.split_once("</script>").expect("their end");
        let data: serde_json::Value = serde_json::from_str(data).expect("all of the data");
        for name in ["payload", "method", "flow", "from", "to"] {
            let number = data["m"][name][0].as_u64().expect("a text") as usize;
            assert_eq!(data["texts"][number], NASTY);
        }
        assert_eq!(data["about"][0][1], NASTY);
        assert_eq!(rest.matches("<script>").count(), 1);
        assert_eq!(page.matches("alert(1)</script>").count(), 0);
    }

    #[test]
    fn a_page_needs_nothing_else() {
        let page = nasty();
        assert!(page.contains("default-src 'none'"));
        for reference in [
            "http:", "https:", "src=", "href=", "@import", "url(", "fetch(",
        ] {
            assert!(!page.contains(reference), "{reference}");
        }
        for mark in ["{{title}}", "{{style}}"] {
            assert!(!page.contains(mark), "{mark}");
        }
    }
}
