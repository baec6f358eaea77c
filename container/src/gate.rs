//! What a simulation may do to single messages.
//!
//! ```text
//!   links, this container's own calls ──▶ gate ──▶ an instance's queue ──▶ handler
//!   links, this container's own calls ◀────────────────────── gate ◀── its result
//! ```
//!
//! A container in production has no gate; each of the two places then tests an `Option`.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use monofil_transport::Instant;

use crate::calls::Origin;
use crate::core::{Core, Task, Timer};
use crate::counters::Counter;
use crate::heading;
use crate::parcel::Parcel;
use crate::{CallError, HandlerError, Message, Name, Payload, Reply, Trace};

/// How often a message that is held is looked at.
const HELD: Duration = Duration::from_millis(1);

/// Decides about each message between a container and its handlers. For simulations: what it does, no network does.
pub trait Gate {
    /// Decides about a request before it is queued for `component` (`app/name`).
    fn request(&mut self, now: Instant, component: &Name, message: &Message) -> Passage;

    /// Decides about what a handler answered to a call. Streams are not asked about.
    fn reply(&mut self, now: Instant, answered: &Answered<'_>) -> Passage;
}

/// What a handler answered to a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answered<'a> {
    /// Whose handler: `app/name`.
    pub component: &'a Name,
    /// Which of its methods.
    pub method: &'a Name,
    /// The flow of the call.
    pub flow: &'a Name,
    /// The call, in its trace.
    pub trace: &'a Trace,
    /// The payload, or the error.
    pub result: Result<&'a Payload, &'a CallError>,
}

/// What becomes of a message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Passage {
    /// It passes.
    Pass,
    /// It is gone, and nobody is told.
    Drop,
    /// It passes after so long; others overtake it. A request that has expired by then is refused as such.
    Delay(Duration),
    /// It passes once this says so.
    Hold(Rc<Cell<bool>>),
    /// It passes twice; of two answers to a call the first one counts.
    Duplicate,
    /// It ends with this instead.
    Fail(CallError),
}

/// A message that passes later.
pub(crate) struct Gated {
    what: What,
    /// When this says so, if it is not just a matter of time.
    open: Option<Rc<Cell<bool>>>,
}

enum What {
    Request(usize, Parcel),
    Reply(Origin, Result<Payload, CallError>),
}

impl fmt::Debug for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gated").finish_non_exhaustive()
    }
}

impl Core {
    /// Asks the gate about a request, and admits it accordingly.
    #[cold]
    pub(crate) fn gated(&mut self, index: usize, envelope: Parcel) -> Result<(), CallError> {
        let (now, component) = (self.now, self.instances[index].name.clone());
        let message = Message(envelope);
        let passage = self.gate.as_mut().map_or(Passage::Pass, |gate| {
            gate.request(now, &component, &message)
        });
        let envelope = message.0;
        match passage {
            Passage::Pass => self.admit(index, envelope),
            Passage::Drop => {
                self.let_go(&envelope.origin);
                Ok(())
            }
            Passage::Delay(time) => {
                self.later(time, What::Request(index, envelope), None);
                Ok(())
            }
            Passage::Hold(open) => {
                self.later(HELD, What::Request(index, envelope), Some(open));
                Ok(())
            }
            Passage::Duplicate => {
                let mut copy = envelope.clone();
                copy.origin = Origin::LocalCast {
                    id: copy.id,
                    sender: None,
                };
                self.admit(index, envelope)?;
                // There may be no room for it; then it was sent once.
                let _ = self.admit(index, copy);
                Ok(())
            }
            Passage::Fail(error) => Err(error),
        }
    }

    /// Asks the gate about a handler's result. Returns it if it passes.
    #[cold]
    pub(crate) fn gated_reply(
        &mut self,
        task: &Task,
        origin: &Origin,
        result: Result<Reply, HandlerError>,
    ) -> Option<Result<Reply, HandlerError>> {
        let result = match result {
            Ok(Reply::Stream(_)) => return Some(result),
            Ok(Reply::Payload(payload)) => Ok(payload),
            Ok(Reply::Empty) => Ok(Payload::default()),
            Err(error) => {
                self.counters.add(Counter::HandlersFailed);
                Err(CallError::from(error))
            }
        };
        let answered = Answered {
            component: &task.sender.component,
            method: &task.method,
            flow: &task.sender.flow,
            trace: &task.sender.trace,
            result: result.as_ref(),
        };
        let now = self.now;
        let passage = self
            .gate
            .as_mut()
            .map_or(Passage::Pass, |gate| gate.reply(now, &answered));
        match passage {
            Passage::Pass => self.conclude(origin, result),
            Passage::Drop => self.let_go(origin),
            Passage::Delay(time) => self.later(time, What::Reply(*origin, result), None),
            Passage::Hold(open) => {
                self.later(HELD, What::Reply(*origin, result), Some(open));
            }
            Passage::Duplicate => {
                self.conclude(origin, result.clone());
                self.conclude(&unnumbered(origin), result);
            }
            Passage::Fail(error) => self.conclude(origin, Err(error)),
        }
        None
    }

    fn later(&mut self, time: Duration, what: What, open: Option<Rc<Cell<bool>>>) {
        let gated = Box::new(Gated { what, open });
        self.timers.set(self.now + time, Timer::Gated(gated));
    }

    /// A message that waited at the gate may pass.
    pub(crate) fn gate_due(&mut self, gated: Gated) {
        if gated.open.as_ref().is_some_and(|open| !open.get()) {
            return self.later(HELD, gated.what, gated.open);
        }
        match gated.what {
            What::Request(index, envelope) => {
                let (origin, heading) = (envelope.origin, envelope.heading.clone());
                let expired = envelope.deadline.is_some_and(|by| by <= self.now);
                let admitted = match expired {
                    true => Err(crate::serve::expired_in_queue(&self.instances[index].name)),
                    false => self.admit(index, envelope),
                };
                if let Err(error) = admitted {
                    self.rejected(&error);
                    let heading = heading.as_deref().unwrap_or(&heading::NONE);
                    self.not_handled(&origin, heading, error);
                }
            }
            What::Reply(origin, result) => self.conclude(&origin, result),
        }
    }

    /// A message is gone. Its link need not resend it.
    fn let_go(&mut self, origin: &Origin) {
        if let Origin::Remote { link, sequence, .. } = *origin {
            self.settle_cast(link, sequence);
        }
    }
}

/// Returns where a second answer goes: its record was settled by the first.
fn unnumbered(origin: &Origin) -> Origin {
    match *origin {
        Origin::Remote {
            link, id, answer, ..
        } => Origin::Remote {
            link,
            id,
            sequence: 0,
            answer,
        },
        ref other => *other,
    }
}
