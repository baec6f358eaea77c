//! Calling components from a plain program.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use monofil_proto::control::{Describe, Description, Stop, request::Verb, response};
use monofil_transport::{Driver, Endpoint, Instant, Next, Node, Shutdown};

use crate::commands::response_of;
use crate::context::take_answer;
use crate::core::{Core, Sender, Stage};
use crate::{
    CallError, Caller, Container, ContainerConfig, Name, Payload, RawPending, RawReplies, Request,
};

/// A program that calls components and is none itself: blocking, from plain `main`.
///
/// It is a node that offers nothing and need not be reachable: it is answered on the connections it opens.
/// It works only while one of its methods runs, on the thread that calls it.
///
/// When it is dropped it waits up to half a second for what it sent to arrive, and tells the nodes it spoke
/// with that it goes: [`Client::close`] does so with another patience, and says what came of it.
pub struct Client {
    container: Container,
    driver: Box<dyn Driver>,
    closed: bool,
}

/// How long dropping a client may take.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// How much of that is left to the transport, whose buffers the last frames are in.
const LINGER_MIN: Duration = Duration::from_millis(50);

impl Client {
    /// Makes a client over a backend. The components of `config` run only while the client waits.
    #[must_use]
    pub fn new(config: ContainerConfig, driver: Box<dyn Driver>) -> Self {
        let mut client = Self {
            container: Container::new(config),
            driver,
            closed: false,
        };
        client.turn();
        client
    }

    /// Ends the client: waits up to `within` for what it sent to arrive, and says good-bye. Calls that have
    /// no answer yet are given up. Tells whether everything arrived; whatever did not is lost.
    pub fn close(mut self, within: Duration) -> bool {
        self.finish(within)
    }

    fn finish(&mut self, within: Duration) -> bool {
        self.closed = true;
        let deadline = self.now() + within;
        let arrived = self.drive_until(deadline, |core| core.has_all_arrived());
        self.container.shut_down(Shutdown::Drain);
        let ended = |core: &mut Core| core.stage == Stage::Ended;
        if !self.drive_until(deadline, ended) {
            self.container.shut_down(Shutdown::Now);
            self.turn();
        }
        let linger = self.now().until(deadline).max(LINGER_MIN);
        self.driver.finish(linger) && arrived
    }

    fn turn(&mut self) -> Next {
        self.container.turn(&mut *self.driver)
    }

    /// Lets time pass until something is so; tells whether it is at the deadline.
    fn drive_until(&mut self, deadline: Instant, mut done: impl FnMut(&mut Core) -> bool) -> bool {
        loop {
            let next = self.turn();
            if done(&mut self.container.shared().borrow_mut()) {
                return true;
            }
            if self.now() >= deadline {
                return false;
            }
            self.wait_until(next, deadline);
        }
    }

    fn wait_until(&mut self, next: Next, deadline: Instant) {
        let at = match next {
            Next::At(at) => at.min(deadline),
            Next::Now => return,
            Next::Idle | Next::Ended => deadline,
        };
        self.driver.wait(Next::At(at));
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
        let endpoint = self.control_plane(component, within)?;
        let left = self.now().until(deadline);
        let mut answers = self.command_all(vec![(endpoint, verb)], left);
        answers
            .pop()
            .expect("invariant: each command has an answer")
    }

    /// Finds the control plane of a node that runs a component: of those that the directory knows, the first that
    /// introduces itself.
    ///
    /// # Errors
    ///
    /// [`CallError::Unreachable`] when none does in time.
    pub fn control_plane(
        &mut self,
        component: &Name,
        within: Duration,
    ) -> Result<Endpoint, CallError> {
        let deadline = self.now() + within;
        loop {
            let found = self.container.shared().borrow().control_endpoint(component);
            match found {
                Some(endpoint) => return Ok(endpoint),
                None if self.now() >= deadline => {
                    let why = self.container.shared().borrow().absence(component);
                    return Err(CallError::Unreachable(why));
                }
                None => {
                    let next = self.turn();
                    self.wait_until(next, deadline);
                }
            }
        }
    }

    /// Sends commands to control planes, all at once, and returns the answers in the same order. Each is an answer, or
    /// why there is none within that time.
    pub fn command_all(
        &mut self,
        commands: Vec<(Endpoint, Verb)>,
        within: Duration,
    ) -> Vec<Result<response::Result, CallError>> {
        let shared = self.container.shared().clone();
        let now = self.now();
        let pending: Vec<_> = commands
            .into_iter()
            .map(|(endpoint, verb)| {
                let mut core = shared.borrow_mut();
                core.now = now;
                let id = core.command(&mut *self.driver, &endpoint, verb, within);
                RawPending {
                    core: shared.clone(),
                    id,
                }
            })
            .collect();
        let answer = |pending| self.wait(pending).and_then(|it| response_of(&it));
        pending.into_iter().map(answer).collect()
    }

    fn now(&mut self) -> Instant {
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
    fn start_call(&mut self, mut request: Request) -> RawPending {
        let now = self.now();
        let shared = self.container.shared().clone();
        let id = {
            let mut core = shared.borrow_mut();
            core.now = now;
            core.start_call(&Sender::default(), &mut request, false)
        };
        self.turn();
        RawPending { core: shared, id }
    }

    fn wait(&mut self, pending: RawPending) -> Result<Payload, CallError> {
        self.drive(|core| {
            core.calls
                .get(pending.id)
                .is_none_or(crate::calls::OutgoingCall::is_ready)
                .then_some(())
        });
        take_answer(&pending)
    }

    fn cast(&mut self, mut request: Request) -> Result<u64, CallError> {
        let now = self.now();
        let sent = {
            let mut core = self.container.shared().borrow_mut();
            core.now = now;
            let id = core.fresh_id();
            core.send_cast(id, &Sender::default(), &mut request)
        };
        self.turn();
        sent
    }

    #[track_caller]
    fn publish(&mut self, topic: &str, payload: Payload) -> Result<usize, CallError> {
        let now = self.now();
        let told = {
            let mut core = self.container.shared().borrow_mut();
            core.now = now;
            core.publish(
                &Sender::default(),
                &topic.into(),
                &payload,
                Location::caller(),
            )
        };
        self.turn();
        told
    }

    fn start_stream(&mut self, mut request: Request) -> RawReplies {
        let now = self.now();
        let shared = self.container.shared().clone();
        let id = {
            let mut core = shared.borrow_mut();
            core.now = now;
            core.start_call(&Sender::default(), &mut request, true)
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
                .get(id)
                .is_none_or(crate::calls::OutgoingCall::is_ready)
                .then_some(())
        });
        self.container.shared().borrow_mut().take_item(id)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A program that panics is not held up.
        if !self.closed && !std::thread::panicking() {
            self.finish(CLOSE_WITHIN);
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
