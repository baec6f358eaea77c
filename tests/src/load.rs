//! A load for a link: two nodes, of which one sends the other numbered messages as fast as these are taken.
//! What happens to each message is noted.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Context, Executed, InstanceLimits, Message, Name, Payload, Reply, Request,
    Undelivered,
};

use crate::journal::{Entry, Happened};
use crate::{ComponentDef, Hooks, component, hooked};

const SINKS: [&str; 2] = ["sink-0", "sink-1"];
const CASTERS: [&str; 2] = ["caster-0", "caster-1"];
const CALLERS: [&str; 2] = ["caller-0", "caller-1"];
/// Streams from this one on have calls and casts.
const CALLS: u8 = 4;
const STREAMS: usize = 8;

/// The load runs for as long as it is wanted.
const EVER: Duration = Duration::from_secs(1_000_000);

/// Where what happens is noted.
pub type Note = Rc<dyn Fn(Entry)>;

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Messages have so many bytes.
    pub bytes: usize,
    /// Casts that one handler sends, if nothing refuses them.
    pub casts: usize,
    /// Calls that one component has under way. It sends a cast before each.
    pub calls: usize,
    /// How long a component waits when its casts are refused. Callers are sooner back, or they would get nothing.
    pub pause: Duration,
    /// How long a message lives.
    pub deadline: Duration,
}

/// What sends, and counts.
pub struct Load {
    amount: Amount,
    note: Note,
    sinks: [Name; 2],
    put: Name,
    sent: RefCell<[u64; STREAMS]>,
    /// The ids of casts, and their numbers.
    recent: RefCell<[VecDeque<(u64, u64)>; STREAMS]>,
    refused: Cell<u64>,
    rests: Cell<bool>,
    is_over: Cell<bool>,
}

/// Makes the components that handle. Each message that has number `every` or a multiple of it takes a while.
#[must_use]
pub fn sinks(note: &Note, queue: usize, every: u64, pause: Duration) -> Vec<ComponentDef> {
    let sink = |name| {
        let note = note.clone();
        let handle = move || {
            let note = note.clone();
            move |cx: &mut Context<'_>, message: Message| {
                let (stream, number) = read(&message.payload().to_bytes());
                note(Entry {
                    stream,
                    number,
                    what: Happened::Handled,
                });
                if every > 0 && number.is_multiple_of(every) {
                    cx.sleep(pause)?;
                }
                Ok(Reply::Empty)
            }
        };
        component(name, handle).limits(limits(queue))
    };
    SINKS.map(sink).into()
}

/// Names the components that [`sinks`] makes.
#[must_use]
pub fn sink_names() -> [String; 2] {
    SINKS.map(|name| format!("test/{name}"))
}

/// What the messages ask for.
const PUT: &str = "Put";
/// The casts of a component to another that may still come back.
const RECENT: usize = 1 << 17;

/// Makes a message: its number, of 56 bits, and which stream it is of.
fn write(bytes: usize, stream: u8, number: u64) -> Payload {
    let mut payload = vec![0; bytes.max(8)];
    payload[..8].copy_from_slice(&(number << 8 | u64::from(stream)).to_le_bytes());
    Payload::bytes(payload)
}

fn read(payload: &[u8]) -> (u8, u64) {
    let word = u64::from_le_bytes(*payload.first_chunk().expect("eight bytes"));
    (word.to_le_bytes()[0], word >> 8)
}

fn limits(queue: usize) -> InstanceLimits {
    InstanceLimits {
        queue_messages: queue,
        ..InstanceLimits::default()
    }
}

impl Load {
    /// Prepares a load.
    #[must_use]
    pub fn new(amount: Amount, note: Note) -> Rc<Self> {
        Rc::new(Self {
            amount,
            note,
            sinks: SINKS.map(Name::from),
            put: PUT.into(),
            sent: RefCell::default(),
            recent: RefCell::default(),
            refused: Cell::default(),
            rests: Cell::default(),
            is_over: Cell::default(),
        })
    }

    /// Returns how many messages were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.borrow().iter().sum()
    }

    /// Returns how many casts were refused before anything was sent.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Sends nothing for a while, or goes on.
    pub fn rest(&self, rests: bool) {
        self.rests.set(rests);
    }

    /// Sends no more.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    /// Makes the components that send.
    #[must_use]
    pub fn sources(self: &Rc<Self>) -> Vec<ComponentDef> {
        let casters = CASTERS
            .iter()
            .zip(0..)
            .map(|(name, at)| self.source(name, move |load, cx| load.cast(cx, at)));
        let callers = CALLERS
            .iter()
            .zip(0..)
            .map(|(name, at)| self.source(name, move |load, cx| load.call(cx, at)));
        casters.chain(callers).collect()
    }

    /// Makes a component that sends until it is refused something, and soon again.
    fn source(
        self: &Rc<Self>,
        name: &'static str,
        send: impl Fn(&Self, &mut Context<'_>) -> Result<Duration, CallError> + Copy + 'static,
    ) -> ComponentDef {
        let load = self.clone();
        let again = move |cx: &mut Context<'_>, pause| {
            let tick = Request::new(name, "Tick", Payload::default()).with_deadline(EVER);
            cx.after(pause, tick)
        };
        hooked(name, move || {
            let (sends, back) = (load.clone(), load.clone());
            Hooks::new(move |cx, _| {
                if !sends.is_over.get() {
                    let pause = if sends.rests.get() {
                        sends.amount.pause
                    } else {
                        send(&sends, cx)?
                    };
                    again(cx, pause)?;
                }
                Ok(Reply::Empty)
            })
            .start(move |cx, _| Ok(again(cx, Duration::ZERO)?))
            .undelivered(move |_, it| back.came_back(name, &it))
        })
    }

    fn request(&self, to: u8, stream: u8) -> Request {
        let number = self.sent.borrow()[usize::from(stream)];
        let payload = write(self.amount.bytes, stream, number);
        Request::new(&self.sinks[usize::from(to)], &self.put, payload)
            .with_deadline(self.amount.deadline)
    }

    fn note(&self, stream: u8, number: u64, what: Happened) {
        let entry = Entry {
            stream,
            number,
            what,
        };
        (self.note)(entry);
    }

    fn note_sent(&self, stream: u8, how: Happened) -> u64 {
        let mut sent = self.sent.borrow_mut();
        let next = &mut sent[usize::from(stream)];
        let number = *next;
        *next += 1;
        drop(sent);
        self.note(stream, number, how);
        number
    }

    /// Casts, and returns how long to wait before the next time.
    fn cast(&self, cx: &mut Context<'_>, from: u8) -> Result<Duration, CallError> {
        for at in 0..self.amount.casts {
            let to = u8::from(at % 2 > 0);
            if !self.cast_one(cx, to, 2 * from + to)? {
                return Ok(self.amount.pause);
            }
        }
        Ok(Duration::ZERO)
    }

    /// Casts, and tells whether that was accepted.
    fn cast_one(&self, cx: &mut Context<'_>, to: u8, stream: u8) -> Result<bool, CallError> {
        match cx.cast(self.request(to, stream)) {
            Ok(id) => {
                let number = self.note_sent(stream, Happened::Sent);
                let recent = &mut self.recent.borrow_mut()[usize::from(stream)];
                if recent.len() == RECENT {
                    recent.pop_front();
                }
                recent.push_back((id, number));
                Ok(true)
            }
            // Full is a value: what was refused here was not sent.
            Err(error) if error.executed() == Executed::No => {
                self.refused.set(self.refused.get() + 1);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Calls, with a cast to the same component before each, and returns how long to wait before the next time.
    fn call(&self, cx: &mut Context<'_>, from: u8) -> Result<Duration, CallError> {
        let mut calls = Vec::new();
        for at in 0..self.amount.calls {
            let to = u8::from(at % 2 > 0);
            let stream = CALLS + 2 * from + to;
            self.cast_one(cx, to, stream)?;
            let request = self.request(to, stream);
            let call = cx.start_call(request);
            let is_over = call.is_ready();
            calls.push((stream, self.note_sent(stream, Happened::Called), call));
            // What ends at once was refused, and the next would be.
            if is_over {
                break;
            }
        }
        let mut was_refused = false;
        for (stream, number, call) in calls {
            let end = match cx.wait(call) {
                Ok(_) => Happened::Answered,
                Err(error) => end_of(&error),
            };
            was_refused |= end == Happened::Refused;
            self.note(stream, number, end);
        }
        Ok(if was_refused {
            self.amount.pause / 4
        } else {
            Duration::ZERO
        })
    }

    fn came_back(&self, name: &str, it: &Undelivered) {
        assert_eq!(it.method.as_str(), PUT, "{}", it.error);
        let from = u8::from([CASTERS[1], CALLERS[1]].contains(&name));
        let to = u8::from(it.target.as_str().ends_with(SINKS[1]));
        let first = if CALLERS.contains(&name) { CALLS } else { 0 };
        let stream = first + 2 * from + to;
        let recent = self.recent.borrow();
        let recent = &recent[usize::from(stream)];
        let at = recent.binary_search_by_key(&it.id, |(id, _)| *id);
        let (_, number) = recent[at.expect("an id of ours, not long ago")];
        self.note(stream, number, end_of(&it.error));
    }
}

fn end_of(error: &CallError) -> Happened {
    match error.executed() {
        Executed::No => Happened::Refused,
        Executed::Unknown if matches!(error, CallError::Timeout(_)) => Happened::Overdue,
        Executed::Unknown | Executed::InPart => Happened::Lost,
    }
}
