//! What stands at the gate of each container: it notes what is received, and does what injections say.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{Answered, CallError, Code, Gate, Message, Name, Passage, Payload, Status};
use monofil_inproc::NodeKey;
use monofil_transport::record::{Recorder, What};
use monofil_transport::{Instant, Stream};

use crate::{Deed, Injection, Leg, Span, sometimes};

/// How many messages a run remembers; the oldest go first.
const RECEIVED_MAX: usize = 100_000;

/// A request as it came to the node of its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When, by the clock of that node.
    pub at: Instant,
    /// Who sent it: `app/name`, where the name of a client is what the test calls it.
    pub from: Name,
    /// Whom it is for: `app/name`.
    pub component: Name,
    /// The operation.
    pub method: Name,
    /// The business flow; empty when there is none.
    pub flow: Name,
    /// Its content.
    pub payload: Payload,
}

/// One for all containers of a run, with the same rules for each.
#[derive(Clone)]
pub(crate) struct Gatekeeper {
    rules: Rc<RefCell<Rules>>,
    /// Where it notes what it does to messages, on behalf of its node, if somebody wants to know.
    recorder: Option<Recorder>,
}

struct Rules {
    seed: u64,
    rules: Vec<Rule>,
    /// Opens what was held until now.
    open: Rc<Cell<bool>>,
    /// Whether something was.
    holds: bool,
    received: VecDeque<Received>,
    /// How many requests there were.
    count: u64,
}

/// Tells whether a payload is meant.
pub(crate) type Selects = Box<dyn Fn(&Payload) -> bool>;

struct Rule {
    injection: Injection,
    /// What is reached when it is done to a message.
    mark: String,
    /// Which payloads are meant, if the injection does not say it all.
    selects: Option<Selects>,
    seen: u64,
    chances: Stream,
}

impl Gatekeeper {
    pub(crate) fn new(seed: u64, recorder: Option<Recorder>) -> Self {
        let rules = Rules {
            seed,
            rules: Vec::new(),
            open: Rc::default(),
            holds: false,
            received: VecDeque::new(),
            count: 0,
        };
        Self {
            rules: Rc::new(RefCell::new(rules)),
            recorder,
        }
    }

    /// Returns the one at a node.
    pub(crate) fn at(&self, node: NodeKey) -> Self {
        let number = u32::try_from(node.index()).unwrap_or(u32::MAX);
        Self {
            rules: self.rules.clone(),
            recorder: self.recorder.as_ref().map(|recorder| recorder.of(number)),
        }
    }

    pub(crate) fn add(&self, injection: Injection, selects: Option<Selects>) {
        let mut rules = self.rules.borrow_mut();
        let site = format!("injection/{}", rules.rules.len());
        let chances = Stream::new(rules.seed, &site);
        rules.rules.push(Rule {
            mark: injection.to_string(),
            injection,
            selects,
            seen: 0,
            chances,
        });
    }

    /// Forgets all injections, and lets pass what is held.
    pub(crate) fn clear(&self, now: Instant) {
        self.rules.borrow_mut().rules.clear();
        self.release(now);
    }

    /// Lets pass what is held.
    pub(crate) fn release(&self, now: Instant) {
        let rules = &mut *self.rules.borrow_mut();
        std::mem::take(&mut rules.open).set(true);
        if std::mem::take(&mut rules.holds)
            && let Some(recorder) = &self.recorder
        {
            recorder.add(now, What::Released);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.rules.borrow().count
    }

    /// Returns the requests after the first `seen` ones, as far as they are remembered.
    pub(crate) fn since(&self, seen: u64) -> Vec<Received> {
        let rules = self.rules.borrow();
        let new = usize::try_from(rules.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        let old = rules.received.len().saturating_sub(new);
        rules.received.iter().skip(old).cloned().collect()
    }

    pub(crate) fn received(&self, component: &str) -> Vec<Received> {
        let rules = self.rules.borrow();
        let for_it = |it: &&Received| is_named(&it.component, component);
        rules.received.iter().filter(for_it).cloned().collect()
    }
}

impl Gate for Gatekeeper {
    fn request(&mut self, now: Instant, component: &Name, message: &Message) -> Passage {
        let rules = &mut *self.rules.borrow_mut();
        if rules.received.len() == RECEIVED_MAX {
            rules.received.pop_front();
        }
        rules.count += 1;
        rules.received.push_back(Received {
            at: now,
            from: message.source().clone(),
            component: component.clone(),
            method: message.method().clone(),
            flow: message.flow().clone(),
            payload: message.payload().clone(),
        });
        let seen = Seen {
            leg: Leg::Request,
            component,
            method: message.method(),
            flow: message.flow(),
            payload: Some(message.payload()),
            number: message.trace().span_id,
        };
        self.recorded(now, &seen, rules.passage(&seen))
    }

    fn reply(&mut self, now: Instant, answered: &Answered<'_>) -> Passage {
        let seen = Seen {
            leg: Leg::Reply,
            component: answered.component,
            method: answered.method,
            flow: answered.flow,
            payload: answered.result.ok(),
            number: answered.trace.span_id,
        };
        let passage = self.rules.borrow_mut().passage(&seen);
        self.recorded(now, &seen, passage)
    }
}

impl Gatekeeper {
    /// Notes what becomes of a message, if it does not just pass.
    fn recorded(&self, now: Instant, seen: &Seen<'_>, passage: Passage) -> Passage {
        let (verb, how, lasts) = match &passage {
            Passage::Delay(time) => ("delay", format!(" by {}", Span(*time)), Some(*time)),
            Passage::Hold(_) => ("hold", String::new(), None),
            Passage::Drop => ("drop", String::new(), Some(Duration::ZERO)),
            Passage::Duplicate => ("duplicate", String::new(), Some(Duration::ZERO)),
            Passage::Fail(error) => ("fail", format!(": {error}"), Some(Duration::ZERO)),
            _ => return passage,
        };
        if let Some(recorder) = &self.recorder {
            let short = |name: &Name| {
                name.as_str()
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            let (method, component) = (short(seen.method), short(seen.component));
            let message = match seen.leg {
                Leg::Request => format!("request {method} to {component}"),
                Leg::Reply => format!("reply to {method} of {component}"),
            };
            let name = recorder.name(&format!("{verb} {message}{how}"));
            let message = seen.number;
            recorder.add(
                now,
                What::Injected {
                    message,
                    name,
                    lasts,
                },
            );
        }
        passage
    }
}

/// A message at the gate.
struct Seen<'a> {
    leg: Leg,
    component: &'a Name,
    method: &'a Name,
    flow: &'a Name,
    /// `None` for an error.
    payload: Option<&'a Payload>,
    /// As records call it; of a reply, what it answers.
    number: u64,
}

impl Rules {
    /// Does what the first injection says that touches a message.
    fn passage(&mut self, seen: &Seen<'_>) -> Passage {
        let touches = |rule: &mut Rule| rule.touches(seen);
        let Some(at) = self.rules.iter_mut().position(touches) else {
            return Passage::Pass;
        };
        sometimes(true, &self.rules[at].mark);
        match &self.rules[at].injection.deed {
            Deed::Delay { time } => Passage::Delay(time.0),
            Deed::Drop => Passage::Drop,
            Deed::Duplicate => Passage::Duplicate,
            Deed::Hold => {
                self.holds = true;
                Passage::Hold(self.open.clone())
            }
            Deed::Fail { error } => {
                let status = Status::new(Code::Unavailable, error.clone());
                Passage::Fail(CallError::Remote(status))
            }
        }
    }
}

impl Rule {
    /// Tells whether a message is touched, and counts it if it is one of those selected.
    fn touches(&mut self, seen: &Seen<'_>) -> bool {
        let wanted = &self.injection;
        let is_selected = wanted.leg == seen.leg
            && (wanted.component.is_empty() || is_named(seen.component, &wanted.component))
            && (wanted.method.is_empty() || is_named(seen.method, &wanted.method))
            && (wanted.flow.is_empty() || seen.flow.as_str() == wanted.flow)
            && contains(seen.payload, &wanted.contains)
            && self
                .selects
                .as_ref()
                .is_none_or(|it| seen.payload.is_some_and(it));
        if !is_selected {
            return false;
        }
        self.seen += 1;
        let after = self.seen.saturating_sub(wanted.skip);
        after > 0
            && wanted.count.is_none_or(|count| after <= count)
            && wanted
                .chance
                .is_none_or(|chance| self.chances.chance(chance.0))
    }
}

/// Tells whether a name is meant, in full or by its last part.
pub(crate) fn is_named(full: &Name, wanted: &str) -> bool {
    let full = full.as_str();
    full == wanted || full.rsplit('/').next() == Some(wanted)
}

fn contains(payload: Option<&Payload>, text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let bytes = payload.map(Payload::to_bytes).unwrap_or_default();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
