//! Sending: who gets a message, and how a call that was started here ends.

use std::rc::Rc;
use std::time::Duration;

use monofil_proto::wire::Kind;
use monofil_transport::Instant;
use monofil_transport::record::Place;

use crate::calls::{
    Answer, Calls, Destination, IncomingStream, Origin, OutgoingCall, STREAM_CREDIT, Served,
    ServedKey,
};
use crate::context::Wait;
use crate::core::{Core, Delayed, Sender, Task, Timer};
use crate::counters::Counter;
use crate::envelope::{Chain, Envelope, Waiting, chain_depth, chain_links};
use crate::heading::Heading;
use crate::parcel::Parcel;
use crate::routing::Reach;
use crate::serve::expired_in_queue;
use crate::{CallError, Executed, Name, Payload, Request, Undelivered};

/// What a frame has besides its records.
const FRAME_FIXED: usize = 256;

fn check_name(name: &Name) -> Result<(), CallError> {
    let length = name.as_str().len();
    if length > Name::BYTES_MAX {
        let text = format!(
            "a name of {length} bytes is longer than {}",
            Name::BYTES_MAX
        );
        return Err(CallError::TooLarge(text));
    }
    Ok(())
}

impl Core {
    /// Starts a call. Whatever goes wrong is its answer.
    pub(crate) fn start_call(
        &mut self,
        sender: &Sender,
        request: &mut Request,
        streaming: bool,
    ) -> u64 {
        self.counters.add(Counter::CallsStarted);
        let deadline = self.deadline(sender, request.deadline);
        let heading = self.heading(sender, request);
        let answer = if streaming {
            Answer::Stream(IncomingStream::default())
        } else {
            Answer::Pending
        };
        let id = self.calls.insert(OutgoingCall {
            caller: sender.instance,
            ..OutgoingCall::new(heading.clone(), Destination::Nowhere, deadline, answer)
        });
        if let Err(error) = self.try_call(id, sender, request, heading, deadline, streaming) {
            self.end_call(id, Err(error));
        }
        id
    }

    fn try_call(
        &mut self,
        id: u64,
        sender: &Sender,
        request: &mut Request,
        heading: Rc<Heading>,
        deadline: Instant,
        streaming: bool,
    ) -> Result<(), CallError> {
        if self.calls.len() > self.calls_max() {
            return Err(self.too_many_calls());
        }
        if deadline <= self.now {
            return Err(CallError::Expired(
                "no time was left when the call was made".into(),
            ));
        }
        let waiting = self.chain_of(sender);
        let (depth, most) = (chain_depth(&waiting), self.bounds.waiting);
        if depth > most {
            // No other node would read it.
            let of = (most as u64, depth as u64);
            let place = &sender.component;
            return Err(CallError::rejected("call.depth", of, place, None));
        }
        self.guard_call(id, sender, &heading, deadline)?;
        let mut envelope = self.envelope(Kind::Call, id, sender, request, heading, deadline)?;
        envelope.waiting = waiting;
        envelope.credit = if streaming { STREAM_CREDIT } else { 0 };
        let length = envelope.encoded_len_hint();
        if length + FRAME_FIXED > self.frame_bytes_max {
            let text =
                format!("{length} bytes, with all who wait for it, are more than a frame holds");
            return Err(CallError::TooLarge(text));
        }
        envelope.origin = Origin::LocalCall { id };
        let destination = self.route(envelope)?;
        let timer = self.timers.set(deadline, Timer::Call(id));
        match self.calls.get_mut(id) {
            // It may have been answered on the spot.
            Some(call) if !call.is_over() => {
                call.destination = destination;
                call.timer = Some(timer);
            }
            _ => drop(self.timers.cancel(timer)),
        }
        Ok(())
    }

    /// Sends a cast under a fresh id.
    pub(crate) fn send_cast(
        &mut self,
        id: u64,
        sender: &Sender,
        request: &mut Request,
    ) -> Result<u64, CallError> {
        self.counters.add(Counter::CastsStarted);
        // A cast may outlive the message that caused it: its time is its own.
        let deadline = self.now + request.deadline.unwrap_or(self.default_deadline);
        let heading = self.heading(sender, request);
        let origin = Origin::LocalCast {
            id,
            sender: sender.instance,
        };
        let sent = self
            .envelope(Kind::Cast, id, sender, request, heading, deadline)
            .and_then(|mut envelope| {
                envelope.origin = origin;
                self.route(envelope)
            });
        if let Err(error) = &sent {
            self.record_returned(id, error);
        }
        sent.map(|_| id)
    }

    /// Sends to every subscriber of a topic, and returns how many there are.
    pub(crate) fn publish(
        &mut self,
        sender: &Sender,
        topic: &Name,
        payload: &Payload,
        place: Place,
    ) -> Result<usize, CallError> {
        check_name(topic)?;
        self.check_payload("a payload", payload)?;
        let mut subscribers = self.local_topics.get(topic).cloned().unwrap_or_default();
        let others = self.directory.subscribers(topic.as_str()).iter();
        let found = self.membership.iter();
        let found = found.flat_map(|it| it.members.subscribers(topic.as_str()));
        for subscriber in others.chain(found) {
            if !subscribers.contains(subscriber) {
                subscribers.push(subscriber.clone());
            }
        }
        for (component, method) in &subscribers {
            let id = self.fresh_id();
            self.counters.add(Counter::CastsStarted);
            let mut request = Request::new(component, method, payload.clone());
            request.place = Some(place);
            let deadline = self.now + self.default_deadline;
            let names = [&sender.component, component, method, &sender.flow];
            let heading = Rc::new(self.new_heading(names, topic));
            let origin = Origin::LocalCast {
                id,
                sender: sender.instance,
            };
            let sent = self
                .envelope(
                    Kind::Publish,
                    id,
                    sender,
                    &mut request,
                    heading.clone(),
                    deadline,
                )
                .and_then(|mut envelope| {
                    envelope.origin = origin;
                    self.route(envelope)
                });
            if let Err(error) = sent {
                let undelivered = Undelivered::of(id, &heading, error);
                self.return_cast(sender.instance, undelivered);
            }
        }
        Ok(subscribers.len())
    }

    /// Sends a message later.
    pub(crate) fn send_after(
        &mut self,
        sender: Sender,
        delay: Duration,
        request: Request,
    ) -> Result<(), CallError> {
        if self.delayed >= self.limits.delayed {
            return Err(self.too_many_delayed());
        }
        self.delayed += 1;
        self.turnovers.delayed_begun += 1;
        let at = self.now + delay;
        self.timers
            .set(at, Timer::Delayed(Box::new(Delayed { request, sender })));
        Ok(())
    }

    /// A call ends no later than the message that its sender is handling.
    fn deadline(&self, sender: &Sender, asked: Option<Duration>) -> Instant {
        let own = self.now + asked.unwrap_or(self.default_deadline);
        sender.deadline.map_or(own, |inherited| inherited.min(own))
    }

    fn envelope(
        &mut self,
        kind: Kind,
        id: u64,
        sender: &Sender,
        request: &mut Request,
        heading: Rc<Heading>,
        deadline: Instant,
    ) -> Result<Parcel, CallError> {
        self.check_payload("a payload", &request.payload)?;
        if heading.oversized {
            heading.names().into_iter().try_for_each(check_name)?;
        }
        if request
            .key
            .as_ref()
            .is_some_and(|key| key.len() > Name::BYTES_MAX)
        {
            return Err(CallError::TooLarge("a key is longer than 256 bytes".into()));
        }
        let mut envelope = Parcel::about(kind, id);
        envelope.heading = Some(heading);
        envelope.deadline = Some(deadline);
        envelope.payload = std::mem::take(&mut request.payload);
        envelope.trace = sender.trace.child(self.spans ^ id);
        envelope.key = request.key.take();
        envelope.idempotent = request.idempotent;
        envelope.horizon = request.horizon.map(Reach::own);
        self.record_sent(sender, &envelope, request.place);
        Ok(envelope)
    }

    /// Refuses what no frame holds, wherever it goes: what passes in one process passes between two.
    pub(crate) fn check_payload(&self, what: &str, payload: &Payload) -> Result<(), CallError> {
        let (length, most) = (payload.len(), self.payload_bytes_max());
        check_name(&payload.content_type)?;
        if length > most {
            let text = format!("{what} of {length} bytes is longer than the {most} that travel");
            return Err(CallError::TooLarge(text));
        }
        Ok(())
    }

    /// Makes a payload ready to leave, and looks again: how long it is was its author's word.
    pub(crate) fn encode(&self, what: &str, payload: &mut Payload) -> Result<(), CallError> {
        payload.encode()?;
        self.check_payload(what, payload)
    }

    /// Refuses an answer that no frame holds; makes one ready that leaves.
    pub(crate) fn checked_answer(
        &self,
        what: &str,
        mut payload: Payload,
        origin: &Origin,
    ) -> Result<Payload, CallError> {
        match origin {
            Origin::Remote { .. } => self.encode(what, &mut payload)?,
            Origin::LocalCall { .. } | Origin::LocalCast { .. } => {
                self.check_payload(what, &payload)?;
            }
        }
        Ok(payload)
    }

    /// Returns how much of a frame is left to a payload by the names and the rest.
    pub(crate) const fn payload_bytes_max(&self) -> usize {
        self.frame_bytes_max.saturating_sub(8 << 10)
    }

    /// Builds the refusal of a call that only an instance could answer that waits for it.
    pub(crate) fn cycle(&self, envelope: &Envelope) -> CallError {
        let mut chain: Vec<_> = chain_links(&envelope.waiting)
            .map(|link| link.component.clone())
            .collect();
        chain.reverse();
        chain.push(envelope.heading().target.clone());
        CallError::Cycle(chain)
    }

    /// Puts a request of another node into the queue of an instance here.
    pub(crate) fn deliver(&mut self, mut envelope: Parcel) -> Result<(), CallError> {
        self.find_group(&mut envelope);
        let Some(group) = envelope.heading().group().flatten() else {
            let target = &envelope.heading().target;
            let text = format!("node `{}` runs no `{target}`", self.name);
            return Err(CallError::Unimplemented(text));
        };
        let instance = self.choose_instance(group, &envelope)?;
        self.deliver_to(instance, envelope)
    }

    pub(crate) fn deliver_to(&mut self, index: usize, envelope: Parcel) -> Result<(), CallError> {
        if self.gate.is_some() {
            return self.gated(index, envelope);
        }
        self.admit(index, envelope)
    }

    pub(crate) fn admit(&mut self, index: usize, mut envelope: Parcel) -> Result<(), CallError> {
        self.check_manner(index, &envelope)?;
        if self.instances[index].spill.is_some() {
            envelope = match self.spill_early(index, envelope) {
                Ok(passed) => return passed,
                Err(stays) => stays,
            };
        }
        let bytes = envelope.payload.len();
        if let Err(error) = self.check_room(index, &envelope.heading().flow, bytes, false) {
            return self.overflow(index, envelope, error);
        }
        self.enqueue(index, envelope);
        Ok(())
    }

    /// Refuses a call that a stream would answer and that has no room for one, or when there is no room for
    /// one here, before anything runs. (One answer to a call that wants a stream does no harm: it is a stream
    /// of one.)
    fn check_manner(&mut self, index: usize, envelope: &Envelope) -> Result<(), CallError> {
        if envelope.kind != Kind::Call {
            return Ok(());
        }
        let instance = &self.instances[index];
        let Heading { target, method, .. } = envelope.heading();
        if envelope.credit == 0 {
            if instance.is_streaming(method) {
                let text = crate::streams::not_one_answer(target, method);
                return Err(CallError::Unimplemented(text));
            }
        } else if self.streams.len() >= self.limits.streams && instance.may_stream(method) {
            return Err(self.too_many_streams());
        }
        Ok(())
    }

    /// Finds the instance of its target's group that a request goes to.
    pub(crate) fn choose_instance(
        &mut self,
        group: usize,
        envelope: &Envelope,
    ) -> Result<usize, CallError> {
        match self.groups[group][..] {
            [only] if envelope.waiting.is_none() => Ok(only),
            [only] if self.waits_here(only, &envelope.waiting) => Err(self.cycle(envelope)),
            [only] => Ok(only),
            _ => self.choose_here(group, envelope),
        }
    }

    /// A call started here has its answer, or is tried again. One answer to a call that wanted a stream is a stream
    /// of one.
    pub(crate) fn end_call(&mut self, id: u64, result: Result<Payload, CallError>) {
        if let Err(error) = &result {
            if let CallError::Rejected(rejection) = error {
                self.note_refusal(id, rejection);
            }
            if self.goes_on(id, error) {
                return;
            }
        }
        self.close_call(id, result.map(Some));
    }

    /// Nothing more will come for a call started here. `None`: all items of a stream have.
    pub(crate) fn close_call(&mut self, id: u64, result: Result<Option<Payload>, CallError>) {
        if self.calls.get(id).is_none_or(OutgoingCall::is_over) {
            self.late_answer(id);
            return;
        }
        self.record_call_ended(id, result.as_ref().map(Option::as_ref));
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        let guarded = call.guarded.take();
        self.guarded_call_ended(guarded, result.as_ref().err());
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.again = None;
        match &result {
            Ok(_) => self.counters.add(Counter::CallsReplied),
            Err(error) => {
                self.counters.add(Counter::CallsFailed);
                if matches!(error, CallError::Timeout(_)) {
                    self.counters.add(Counter::CallsTimedOut);
                }
            }
        }
        match &mut call.answer {
            Answer::Passed(origin) => {
                let (origin, timer) = (**origin, call.timer.take());
                self.calls.remove(id);
                if let Some(timer) = timer {
                    self.timers.cancel(timer);
                }
                return self.passed_call_ended(origin, result.map(Option::unwrap_or_default));
            }
            Answer::Stream(stream) => {
                stream.end = Some(result.map(|only| stream.items.extend(only)));
            }
            answer => *answer = Answer::Done(result.map(Option::unwrap_or_default)),
        }
        if let Some(timer) = call.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(waiter) = call.waiter.take() {
            self.wake(waiter);
        }
    }

    fn late_answer(&mut self, id: u64) {
        if let Some(deadline) = self.lapsed.deadline(id) {
            self.record_answer_late(id);
            self.counters.add(Counter::RepliesLate);
            let late = crate::error::micros(self.now.since(deadline));
            self.counters.raise(Counter::RepliesLateMicrosMax, late);
        }
    }

    pub(crate) fn call_timed_out(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.timer = None;
        let (destination, heading) = (call.destination, call.heading.clone());
        let Heading { target, method, .. } = &*heading;
        let mut error = None;
        if let Destination::Peer(peer) = destination {
            if self.peers.withdraw(peer, id) {
                error = self.peers.get(peer).map(crate::peers::Peer::not_sent);
            } else {
                self.tell_peer(peer, Parcel::about(Kind::Cancel, id));
            }
        }
        let error = error
            .or_else(|| self.known_fate(destination, id, target, method))
            .unwrap_or_else(|| {
                CallError::Timeout(match self.waiting_loop(id) {
                    Some(chain) => format!("`{target}` waits for its caller: {chain}"),
                    None => format!("`{target}` did not answer `{method}` in time"),
                })
            });
        self.lapsed.remember(id, self.now);
        self.end_call(id, Err(error));
        self.cancel_served_locally(destination, id);
    }

    /// Says what has become of a call by its deadline, if it is known here: a caller may want to know whether
    /// it ran.
    fn known_fate(
        &self,
        destination: Destination,
        id: u64,
        target: &Name,
        method: &Name,
    ) -> Option<CallError> {
        if let Answer::Stream(stream) = &self.calls.get(id)?.answer
            && stream.received > 0
        {
            let count = stream.received;
            let text =
                format!("`{method}` was still streaming at the deadline, after {count} items");
            return Some(CallError::Incomplete(text));
        }
        let key = ServedKey { link: None, id };
        let queued = matches!(self.served_at(key), Some(Served::Queued { .. }));
        (destination == Destination::Local && queued).then(|| expired_in_queue(target))
    }

    /// Looks whether the instance a call went to waits, by way of others here, for its caller.
    fn waiting_loop(&self, id: u64) -> Option<String> {
        let first = self.calls.get(id)?.caller?;
        let mut chain = vec![self.instances[first].name.as_str()];
        let mut at = self.calls.get(id)?.heading.target.clone();
        for _ in 0..self.instances.len() {
            let index = *self.instances_of(&at).first()?;
            chain.push(self.instances[index].name.as_str());
            if index == first {
                return Some(chain.join(" -> "));
            }
            let waits = |call: &&OutgoingCall| {
                call.caller == Some(index) && call.waiter.is_some() && !call.is_over()
            };
            // Which of several does not matter; the least name, so that it is always the same.
            at = self
                .calls
                .iter()
                .map(|(_, call)| call)
                .filter(waits)
                .map(|call| &call.heading.target)
                .min()?
                .clone();
        }
        None
    }

    /// Forgets a call whose caller no longer wants it, and tells whoever works on it.
    pub(crate) fn drop_call(&mut self, id: u64) {
        let Some(mut call) = self.calls.remove(id) else {
            return;
        };
        if let Some(timer) = call.timer.take() {
            self.timers.cancel(timer);
        }
        if call.is_over() {
            return;
        }
        self.record_call_ended(id, Err(&CallError::Cancelled));
        self.guarded_call_ended(call.guarded, Some(&CallError::Cancelled));
        self.counters.add(Counter::Cancelled);
        if let Destination::Peer(peer) = call.destination
            && !self.peers.withdraw(peer, id)
        {
            self.tell_peer(peer, Parcel::about(Kind::Cancel, id));
        }
        match call.served {
            Some(_) => self.cancel_at(call.served),
            None => {
                self.cancel_running(|task| task.served_key() == Some(ServedKey { link: None, id }))
            }
        }
    }

    fn cancel_served_locally(&mut self, destination: Destination, id: u64) {
        if destination == Destination::Local {
            self.cancel_served(ServedKey { link: None, id });
        }
    }

    /// A cast of this container was not handled.
    pub(crate) fn return_cast(&mut self, sender: Option<usize>, undelivered: Undelivered) {
        self.record_returned(undelivered.id, &undelivered.error);
        match sender {
            Some(index) => self.give_back(index, undelivered),
            None => {
                self.counters.add(Counter::CastsUndelivered);
                tracing::warn!(
                    target_component = %undelivered.target,
                    error = %undelivered.error,
                    "a cast was not delivered"
                );
            }
        }
    }

    /// The handler of a cast failed; that it ran is not its sender's business.
    pub(crate) fn cast_failed(&mut self, component: &Name, method: &Name, error: &CallError) {
        self.counters.add(Counter::CastsFailed);
        if error.executed() != Executed::No {
            tracing::warn!(%component, %method, %error, "a cast was handled and failed");
        }
    }

    /// Makes the chain that the calls of a handler carry: who waits for it, and itself. Nobody waits for a
    /// cast, but a call it makes can still come back to its own instance.
    fn chain_of(&self, sender: &Sender) -> Chain {
        let waiting = sender.waiting.get_or_init(|| {
            let Some(index) = sender.instance else {
                return sender.before.clone();
            };
            let (component, instance) = (sender.component.clone(), self.instances[index].number);
            Waiting::new(self.node, component, instance, sender.before.clone())
        });
        waiting.clone()
    }

    pub(crate) fn calls_max(&self) -> usize {
        self.limits.calls.min(Calls::LEN_MAX - 1)
    }

    /// Registers who waits for a call, unless there is something to take already.
    pub(crate) fn await_call(&mut self, id: u64, task: &Rc<Task>) -> Wait<()> {
        if self.calls.get(id).is_none_or(OutgoingCall::is_ready) {
            return Wait::Over(());
        }
        let waiter = self.note(task);
        let Some(call) = self.calls.get_mut(id) else {
            return Wait::Over(());
        };
        call.waiter = Some(waiter);
        Wait::Woken(call.deadline)
    }
}
