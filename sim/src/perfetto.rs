//! A run as a trace for <https://ui.perfetto.dev>, and for `chrome://tracing`.
//!
//! It is written as JSON, in the [trace event format], which both read and which needs no library. Each node is a
//! process, each instance of a component a thread of it; handlers are slices, with a slice inside for each wait;
//! messages and answers are flows from slice to slice; faults are spans of a process of their own. A frame or a
//! datagram is a span of the node that sent it, as long as it was on the way. Time is virtual, in microseconds.
//!
//! [trace event format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Story;
use crate::story::{Handler, Moment, Packet};

/// Writes the trace.
#[must_use]
pub fn trace(story: &Story) -> String {
    let threads = Threads::of(story);
    let mut events = Vec::new();
    processes(story, &threads, &mut events);
    for (number, handler) in story.handlers.iter().enumerate() {
        slices(story, &threads, number, handler, &mut events);
    }
    for number in 0..story.messages.len() {
        flows(story, &threads, number, &mut events);
    }
    for (number, packet) in story.packets.iter().enumerate() {
        on_the_way(story, number, packet, &mut events);
    }
    marks(story, &mut events);
    let trace = Trace { unit: "ns", events };
    serde_json::to_string(&trace).expect("invariant: numbers and texts can be written")
}

#[derive(Serialize)]
struct Trace {
    #[serde(rename = "displayTimeUnit")]
    unit: &'static str,
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

/// One event of the format. What is empty is left out.
#[derive(Serialize)]
struct Event {
    ph: &'static str,
    name: String,
    cat: &'static str,
    /// Microseconds.
    ts: f64,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of a flow's end: it ends at the slice around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    /// Of a moment: how far it is seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

impl Event {
    fn new(ph: &'static str, cat: &'static str, name: impl Into<String>, ts: f64) -> Self {
        Self {
            ph,
            name: name.into(),
            cat,
            ts,
            pid: FAULTS,
            tid: 0,
            dur: None,
            id: None,
            bp: None,
            s: None,
            args: Value::Null,
        }
    }

    const fn on(mut self, (pid, tid): (u32, u32)) -> Self {
        (self.pid, self.tid) = (pid, tid);
        self
    }
}

/// The process of faults; those of nodes follow.
const FAULTS: u32 = 1;

fn micros(story: &Story, moment: Moment) -> f64 {
    story.at(moment).as_nanos() as f64 / 1e3
}

fn pid(story: &Story, moment: Moment) -> u32 {
    story.moments[moment]
        .1
        .map_or(FAULTS, |node| node + FAULTS + 1)
}

/// Which thread each handler is on. Handlers of one instance follow each other, but for those that make the items of
/// streams: these get threads of their own where they overlap.
struct Threads {
    of_handler: Vec<(u32, u32)>,
    names: BTreeMap<(u32, u32), String>,
}

impl Threads {
    fn of(story: &Story) -> Self {
        let mut threads = Self {
            of_handler: Vec::new(),
            names: BTreeMap::new(),
        };
        // Of each instance: its threads, and until when they are busy.
        let mut lanes: BTreeMap<_, Vec<(u32, Moment)>> = BTreeMap::new();
        let mut next: BTreeMap<u32, u32> = BTreeMap::new();
        for handler in &story.handlers {
            let pid = pid(story, handler.at);
            let (component, instance) = (&*handler.component, handler.instance);
            let lanes = lanes.entry((pid, component, instance)).or_default();
            let until = handler.ended.unwrap_or(Moment::MAX);
            let free = lanes.iter_mut().find(|(_, until)| *until <= handler.at);
            let tid = match free {
                Some((tid, busy)) => {
                    *busy = until;
                    *tid
                }
                None => {
                    let tid = next.entry(pid).or_default();
                    *tid += 1;
                    lanes.push((*tid, until));
                    let name = match (instance, lanes.len()) {
                        (0, 1) => component.to_owned(),
                        (number, 1) => format!("{component} #{number}"),
                        (number, lane) => format!("{component} #{number}, {lane}"),
                    };
                    threads.names.insert((pid, *tid), name);
                    *tid
                }
            };
            threads.of_handler.push((pid, tid));
        }
        threads
    }
}

fn named(ph: &'static str, (pid, tid): (u32, u32), name: &str) -> Event {
    let mut event = Event::new("M", "__metadata", ph, 0.0).on((pid, tid));
    event.args = json!({ "name": name });
    event
}

fn processes(story: &Story, threads: &Threads, events: &mut Vec<Event>) {
    events.push(named("process_name", (FAULTS, 0), "faults"));
    for (name, number) in story.nodes.iter().zip(FAULTS + 1..) {
        events.push(named("process_name", (number, 0), name));
    }
    for (thread, name) in &threads.names {
        events.push(named("thread_name", *thread, name));
    }
}

fn slices(
    story: &Story,
    threads: &Threads,
    number: usize,
    handler: &Handler,
    events: &mut Vec<Event>,
) {
    let thread = threads.of_handler[number];
    let last = story.moments.len() - 1;
    let end = handler.ended.unwrap_or(last);
    let begin = micros(story, handler.at);
    let method = handler.method.rsplit('/').next().unwrap_or_default();
    let mut slice = Event::new("X", "handler", method, begin).on(thread);
    slice.dur = Some(micros(story, end) - begin);
    let message = handler.message.map(|message| &story.messages[message].sent);
    slice.args = json!({
        "method": &*handler.method,
        "from": message.map(|sent| &*sent.from),
        "flow": message.map(|sent| &*sent.flow),
        "payload": message.map(|sent| &*sent.payload),
        "error": handler.error.as_deref(),
        "returned": handler.ended.is_some(),
    });
    events.push(slice);
    for wait in &handler.waits {
        let begin = micros(story, wait.at);
        let mut slice = Event::new("X", "wait", "waits", begin).on(thread);
        slice.dur = Some(micros(story, wait.until.unwrap_or(end)) - begin);
        slice.args = json!({ "source": crate::story::place(wait.place) });
        events.push(slice);
    }
}

/// Joins the slice of a sender to the one of its message's handler, and back. What was not handled has no arrow.
fn flows(story: &Story, threads: &Threads, number: usize, events: &mut Vec<Event>) {
    let message = &story.messages[number];
    let (Some(sender), Some(handler)) = (message.sender, message.handler) else {
        return;
    };
    let mut arrow = |name: &str, answer: bool, from: (usize, Moment), to: (usize, Moment)| {
        let id = format!("{number}{}", if answer { "b" } else { "a" });
        let mut begin = Event::new("s", "message", name, micros(story, from.1));
        begin.id = Some(id.clone());
        let mut end = Event::new("f", "message", name, micros(story, to.1));
        end.id = Some(id);
        end.bp = Some("e");
        events.push(begin.on(threads.of_handler[from.0]));
        events.push(end.on(threads.of_handler[to.0]));
    };
    let method = message.sent.method.rsplit('/').next().unwrap_or_default();
    let began = story.handlers[handler].at;
    arrow(method, false, (sender, message.at), (handler, began));
    if let (Some(returned), Some(end)) = (story.handlers[handler].ended, &message.ended)
        && returned <= end.at
    {
        arrow("answer", true, (handler, returned), (sender, end.at));
    }
}

/// Writes a frame or a datagram: there are many at once, so each is a span that knows its own end.
fn on_the_way(story: &Story, number: usize, packet: &Packet, events: &mut Vec<Event>) {
    let last = story.moments.len() - 1;
    let kind = if packet.datagram { "datagram" } else { "frame" };
    let to = packet.to.map_or("nobody", |to| story.name(to));
    let name = format!("{kind} → {to}");
    let end = packet.arrived.or(packet.lost).unwrap_or(last);
    let process = (pid(story, packet.at), 0);
    for (ph, moment) in [("b", packet.at), ("e", end)] {
        let mut event = Event::new(ph, "network", name.as_str(), micros(story, moment));
        event.id = Some(format!("n{number}"));
        event.args = json!({
            "bytes": packet.bytes,
            "arrived": packet.arrived.is_some(),
            "lost": packet.lost.is_some(),
        });
        events.push(event.on(process));
    }
}

fn marks(story: &Story, events: &mut Vec<Event>) {
    let last = story.moments.len().saturating_sub(1);
    for (number, fault) in story.faults.iter().enumerate() {
        let nodes: Vec<_> = fault.nodes.iter().map(|node| story.name(*node)).collect();
        let name = match nodes[..] {
            [node] => format!("{node}: {}", fault.name),
            _ => fault.name.to_string(),
        };
        for (ph, moment) in [("b", fault.at), ("e", fault.until.unwrap_or(last))] {
            let mut event = Event::new(ph, "fault", name.as_str(), micros(story, moment));
            event.id = Some(number.to_string());
            event.args = json!({ "nodes": nodes });
            events.push(event);
        }
    }
    for event in &story.events {
        let (pid, at) = (pid(story, event.at), micros(story, event.at));
        let mut mark = Event::new("i", "node", &*event.text, at).on((pid, 0));
        mark.s = Some("p");
        events.push(mark);
    }
    for failure in &story.failures {
        let name = format!("✗ {}", failure.property);
        let mut mark = Event::new("i", "failure", name, micros(story, failure.at));
        mark.s = Some("g");
        mark.args = json!({ "text": &*failure.text });
        events.push(mark);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Checks what the format asks of each kind of event, and that slices of one thread lie in each other or apart.
    #[test]
    fn a_trace_is_as_the_format_asks() {
        let trace = trace(&crate::story::sample::failing());
        let trace: Value = serde_json::from_str(&trace).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("events");
        let mut slices: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
        let (mut begun, mut ended, mut spans) = (Vec::new(), Vec::new(), BTreeMap::new());
        for event in events {
            let text = |key: &str| {
                event[key]
                    .as_str()
                    .unwrap_or_else(|| panic!("{key}: {event}"))
            };
            let number = |key: &str| {
                event[key]
                    .as_f64()
                    .unwrap_or_else(|| panic!("{key}: {event}"))
            };
            let whole = |key: &str| {
                event[key]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{key}: {event}"))
            };
            let (thread, ts) = ((whole("pid"), whole("tid")), number("ts"));
            assert!(ts >= 0.0 && !text("name").is_empty() && !text("cat").is_empty());
            match text("ph") {
                "M" => assert!(matches!(text("name"), "process_name" | "thread_name")),
                "X" => {
                    let dur = number("dur");
                    assert!(dur >= 0.0, "{event}");
                    slices.entry(thread).or_default().push((ts, ts + dur));
                }
                "s" => begun.push((text("id").to_owned(), thread, ts)),
                "f" => {
                    assert_eq!(text("bp"), "e");
                    ended.push((text("id").to_owned(), thread, ts));
                }
                "b" => *spans.entry(text("id").to_owned()).or_insert(0) += 1,
                "e" => *spans.entry(text("id").to_owned()).or_insert(0) -= 1,
                "i" => assert!(matches!(text("s"), "p" | "g")),
                other => panic!("{other} is no kind of event"),
            }
        }
        assert!(spans.values().all(|open| *open == 0) && !spans.is_empty());
        let network = events.iter().filter(|event| event["cat"] == "network");
        let network: Vec<_> = network
            .map(|event| {
                (
                    event["ph"].as_str(),
                    event["name"].as_str(),
                    event["pid"].as_u64(),
                )
            })
            .collect();
        let frame = Some("frame → payments");
        assert_eq!(
            network,
            [(Some("b"), frame, Some(3)), (Some("e"), frame, Some(3))]
        );
        for slices in slices.values() {
            for (at, (begin, end)) in slices.iter().enumerate() {
                for (other, until) in &slices[..at] {
                    let apart = end <= other || until <= begin;
                    let inside =
                        (begin >= other && end <= until) || (other >= begin && until <= end);
                    assert!(apart || inside, "{begin}..{end} and {other}..{until}");
                }
            }
        }
        // Each arrow has both ends, and each end lies in a slice.
        assert!(begun.len() >= 4);
        let ids = |ends: &[(String, (u64, u64), f64)]| -> Vec<String> {
            ends.iter().map(|(id, ..)| id.clone()).collect()
        };
        assert_eq!(ids(&begun), ids(&ended));
        for (id, thread, ts) in begun.iter().chain(&ended) {
            let around = slices[thread]
                .iter()
                .any(|(begin, end)| begin <= ts && ts <= end);
            assert!(around, "{id} is in no slice");
        }
    }
}
