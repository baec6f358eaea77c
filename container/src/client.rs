//! Calling components from a plain program.

use std::fmt;
use std::time::Duration;

use monofil_proto::control::{Describe, Description, Stop, request::Verb, response};
use monofil_transport::{Driver, Next, Node};

use crate::commands::response_of;
use crate::context::take_answer;
use crate::core::{Core, Sender};
use crate::{
    CallError, Caller, Container, ContainerConfig, Name, Payload, RawPending, RawReplies, Request,
};

/// A program that calls components and is none itself: blocking, from plain `main`.
///
/// It is a node that offers nothing and need not be reachable: it is answered on the connections it opens.
/// It works only while one of its methods runs, on the thread that calls it.
pub struct Client {
    container: Container,
    driver: Box<dyn Driver>,
}

impl Client {
    /// Makes a client over a backend. The components of `config` run only while the client waits.
    #[must_use]
    pub fn new(config: ContainerConfig, driver: Box<dyn Driver>) -> Self {
        let mut client = Self {
            container: Container::new(config),
            driver,
        };
        client.turn();
        client
    }

    fn turn(&mut self) -> Next {
        self.container.turn(&mut *self.driver)
    }

    /// Lets time pass until something is there.
    fn drive<R>(&mut self, mut done: impl FnMut(&mut Core) -> Option<R>) -> R {
        loop {
            if let Some(result) = done(&mut self.container.shared().borrow_mut()) {
                return result;
            }
            let next = self.turn();
            if let Some(result) = done(&mut self.container.shared().borrow_mut()) {
                return result;
            }
            self.driver.wait(next);
        }
    }

    /// Sends a command once the node that runs `component` has introduced itself.
    fn command(
        &mut self,
        component: &Name,
        verb: Verb,
        within: Duration,
    ) -> Result<response::Result, CallError> {
        let deadline = self.now() + within;
        let endpoint = loop {
            let found = self.container.shared().borrow().control_endpoint(component);
            match found {
                Some(endpoint) => break endpoint,
                None if self.now() >= deadline => {
                    let text = format!("whoever runs `{component}` has not introduced itself");
                    return Err(CallError::Unreachable(text));
                }
                None => {
                    let next = self.turn();
                    let at = match next {
                        Next::At(at) => at.min(deadline),
                        Next::Now => continue,
                        Next::Idle | Next::Ended => deadline,
                    };
                    self.driver.wait(Next::At(at));
                }
            }
        };
        let id = {
            let shared = self.container.shared().clone();
            let mut core = shared.borrow_mut();
            core.command(&mut *self.driver, &endpoint, verb, within)
        };
        let pending = RawPending {
            core: self.container.shared().clone(),
            id,
        };
        response_of(&self.wait(pending)?)
    }

    fn now(&mut self) -> monofil_transport::Instant {
        self.driver.now()
    }

    /// Asks the node that runs a component who it is, what it runs and how it is.
    ///
    /// # Errors
    ///
    /// [`CallError::Unreachable`] or [`CallError::Timeout`] when it does not answer in time.
    pub fn describe(
        &mut self,
        component: impl Into<Name>,
        descriptors: bool,
        within: Duration,
    ) -> Result<Description, CallError> {
        let verb = Verb::Describe(Describe { descriptors });
        match self.command(&component.into(), verb, within)? {
            response::Result::Description(description) => Ok(description),
            other => Err(CallError::Malformed(format!(
                "not a description: {other:?}"
            ))),
        }
    }

    /// Asks the node that runs a component to finish what it has and end.
    ///
    /// # Errors
    ///
    /// [`CallError::Unreachable`] or [`CallError::Timeout`] when it does not answer in time.
    pub fn stop(&mut self, component: impl Into<Name>, within: Duration) -> Result<(), CallError> {
        let verb = Verb::Stop(Stop {
            within_micros: 0,
            now: false,
        });
        match self.command(&component.into(), verb, within)? {
            response::Result::Accepted(_) => Ok(()),
            other => Err(CallError::Malformed(format!(
                "not an acknowledgement: {other:?}"
            ))),
        }
    }
}

impl Caller for Client {
    fn start_call(&mut self, request: Request) -> RawPending {
        let now = self.now();
        let shared = self.container.shared().clone();
        let id = {
            let mut core = shared.borrow_mut();
            core.now = now;
            core.start_call(&Sender::default(), request, false)
        };
        self.turn();
        RawPending { core: shared, id }
    }

    fn wait(&mut self, pending: RawPending) -> Result<Payload, CallError> {
        self.drive(|core| {
            core.calls
                .get(&pending.id)
                .is_none_or(crate::calls::OutgoingCall::is_ready)
                .then_some(())
        });
        take_answer(&pending)
    }

    fn cast(&mut self, request: Request) -> Result<(), CallError> {
        let now = self.now();
        let sent = {
            let mut core = self.container.shared().borrow_mut();
            core.now = now;
            core.send_cast(&Sender::default(), request).1
        };
        self.turn();
        sent
    }

    fn publish(&mut self, topic: &str, payload: Payload) -> usize {
        let now = self.now();
        let count = {
            let mut core = self.container.shared().borrow_mut();
            core.now = now;
            core.publish(&Sender::default(), &topic.into(), &payload)
        };
        self.turn();
        count
    }

    fn start_stream(&mut self, request: Request) -> RawReplies {
        let now = self.now();
        let shared = self.container.shared().clone();
        let id = {
            let mut core = shared.borrow_mut();
            core.now = now;
            core.start_call(&Sender::default(), request, true)
        };
        self.turn();
        RawReplies {
            pending: RawPending { core: shared, id },
        }
    }

    fn next_item(&mut self, replies: &mut RawReplies) -> Option<Result<Payload, CallError>> {
        let id = replies.pending.id;
        self.drive(|core| {
            core.calls
                .get(&id)
                .is_none_or(crate::calls::OutgoingCall::is_ready)
                .then_some(())
        });
        self.container.shared().borrow_mut().take_item(id)
    }
}

/// How long a client that ends waits for what it sent to arrive.
const PARTING: Duration = Duration::from_secs(1);

impl Drop for Client {
    /// Waits, within a second, until what was sent has arrived, and says goodbye.
    fn drop(&mut self) {
        let deadline = self.now() + PARTING;
        self.container.shut_down();
        loop {
            let next = self.turn();
            if next == Next::Ended {
                return;
            }
            if self.now() >= deadline {
                self.container
                    .shared()
                    .borrow_mut()
                    .shut_down(monofil_transport::Shutdown::Now);
                continue;
            }
            self.driver.wait(match next {
                Next::At(at) => Next::At(at.min(deadline)),
                Next::Idle => Next::At(deadline),
                next => next,
            });
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}
