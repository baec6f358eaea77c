//! Serving: from an instance's queue to the end of its message.

use std::rc::Rc;
use std::time::Duration;

use monofil_proto::wire::Kind;
use monofil_transport::HandlerId;

use crate::calls::{Origin, Served, ServedKey};
use crate::core::{Core, Purpose, Sender, Task, Timer};
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::heading::Heading;
use crate::instance::State;
use crate::parcel::Parcel;
use crate::{
    CallError, Component, Executed, HandlerError, Limit, Message, Name, Payload, Reply,
    StartReason, Status, Undelivered,
};

impl Core {
    pub(crate) fn enqueue(&mut self, index: usize, mut message: Parcel) {
        self.record_queued(index, &message);
        let arrival = self.arrival();
        message.arrival = arrival;
        self.queued_messages += 1;
        message.queued_at = self.now;
        let bytes = message.payload.len();
        self.queued_bytes += bytes;
        self.capacity.flows.queued(&message.heading().flow, bytes);
        if let Some(key) = message.origin.served_key() {
            let place = Served::Queued {
                instance: index,
                arrival,
            };
            self.set_served(key, Some(place));
        }
        let instance = &mut self.instances[index];
        let was_empty = instance.queue.is_empty();
        instance.push(message);
        if was_empty {
            self.make_ready(index);
        }
        self.watch_queue(index);
    }

    /// Sees to it that what expires in the queue of an instance that takes nothing ends soon after, and makes
    /// room, however long the instance waits. One that takes messages finds out as it takes them.
    pub(crate) fn watch_queue(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        if instance.is_blocked() && !instance.swept && !instance.queue.is_empty() {
            instance.swept = true;
            self.timers.set(self.now + SWEEP, Timer::Queue(index));
        }
    }

    pub(crate) fn sweep_queue(&mut self, index: usize) {
        let now = self.now;
        self.instances[index].swept = false;
        for message in self.instances[index].take_expired(now) {
            self.dequeued(&message);
            self.queued_too_long(message, index);
        }
        self.watch_queue(index);
    }

    /// Takes what an instance does next: a message, or a cast that came back. What has expired meanwhile ends here.
    pub(crate) fn next_work(&mut self, index: usize) -> Option<Parcel> {
        loop {
            let record = self.instances[index].pop()?;
            if !record.is_request() {
                return Some(record);
            }
            self.dequeued(&record);
            if record.deadline.is_some_and(|by| by <= self.now) {
                self.queued_too_long(record, index);
                continue;
            }
            let Some(error) = self.check_delay(index, record.queued_at) else {
                return Some(record);
            };
            self.rejected(&error);
            self.instances[index].rejected += 1;
            self.conclude_queued(record, error);
        }
    }

    fn queued_too_long(&mut self, message: Parcel, index: usize) {
        self.counters.add(Counter::Expired);
        let error = expired_in_queue(&self.instances[index].name);
        self.conclude_queued(message, error);
    }

    /// Ends work for which no stack could be had. The next may be luckier.
    pub(crate) fn refuse_work(&mut self, index: usize, record: Parcel, error: CallError) {
        if record.is_request() {
            self.rejected(&error);
            self.instances[index].rejected += 1;
            self.conclude_queued(record, error);
        } else {
            self.drop_returned(index, &record.heading().target, &error);
        }
        self.make_ready(index);
    }

    /// A cast that came back does not reach its sender: the first is logged, those that follow are counted.
    fn drop_returned(&mut self, index: usize, target: &Name, error: &CallError) {
        self.counters.add(Counter::CastsUndeliveredDropped);
        let instance = &mut self.instances[index];
        if !std::mem::replace(&mut instance.returns_dropped, true) {
            tracing::warn!(
                node = %self.name, component = %instance.name, target_component = %target, %error,
                "a cast was not delivered, and its sender does not hear of it; nor of others, perhaps"
            );
        }
    }

    fn dequeued(&mut self, message: &Envelope) {
        let bytes = message.payload.len();
        self.queued_messages -= 1;
        self.queued_bytes -= bytes;
        self.capacity.flows.dequeued(&message.heading().flow, bytes);
        if let Some(key) = message.origin.served_key() {
            self.set_served(key, None);
        }
    }

    /// Ends a message that was queued and never handled.
    fn conclude_queued(&mut self, message: Parcel, error: CallError) {
        self.not_handled(&message.origin, message.heading(), error);
    }

    /// Reports a message that no handler took to where it came from.
    pub(crate) fn not_handled(&mut self, origin: &Origin, heading: &Heading, error: CallError) {
        if let Origin::LocalCast { id, sender } = *origin {
            self.return_cast(sender, Undelivered::of(id, heading, error));
        } else {
            self.conclude(origin, Err(error));
        }
    }

    /// Reports the end of a message to where it came from.
    pub(crate) fn conclude(&mut self, origin: &Origin, result: Result<Payload, CallError>) {
        if let Origin::LocalCast { .. } = origin {
            return;
        }
        let result = match result {
            Ok(payload) => self.checked_answer("a reply", payload, origin),
            Err(error) => Err(error.within(self.payload_bytes_max())),
        };
        match *origin {
            Origin::LocalCall { id } => self.end_call(id, result),
            Origin::LocalCast { .. } => {}
            Origin::Remote {
                link,
                id,
                sequence,
                answer,
            } => {
                let settles = (sequence > 0).then_some(sequence);
                let reply = match result {
                    Ok(payload) if answer => {
                        let mut reply = Parcel::about(Kind::Reply, id);
                        reply.payload = payload;
                        Some(reply)
                    }
                    Err(error) if answer || error.executed() == Executed::No => {
                        Some(Parcel::failure(id, error))
                    }
                    _ => None,
                };
                match reply {
                    Some(envelope) => {
                        self.answer_link(link, envelope, settles);
                    }
                    None => self.settle_cast(link, sequence),
                }
            }
        }
    }

    /// Notes where a call is that is served here.
    pub(crate) fn set_served(&mut self, key: ServedKey, served: Option<Served>) {
        match (key.link, served) {
            (None, _) => {
                if let Some(call) = self.calls.get_mut(key.id) {
                    call.served = served;
                }
            }
            (Some(_), Some(served)) => {
                self.served.insert(key, served);
            }
            (Some(_), None) => {
                self.served.remove(&key);
            }
        }
    }

    pub(crate) fn served_at(&self, key: ServedKey) -> Option<Served> {
        match key.link {
            None => self.calls.get(key.id)?.served,
            Some(_) => self.served.get(&key).copied(),
        }
    }

    /// A caller gave up: what is queued for it ends, what runs for it is told.
    pub(crate) fn cancel_served(&mut self, key: ServedKey) {
        self.cancel_at(self.served_at(key));
    }

    pub(crate) fn cancel_at(&mut self, served: Option<Served>) {
        match served {
            Some(Served::Queued { instance, arrival }) => {
                if let Some(message) = self.instances[instance].remove(arrival) {
                    self.dequeued(&message);
                    self.make_ready(instance);
                    self.conclude(&message.origin, Err(CallError::Cancelled));
                }
            }
            Some(Served::Running(task)) => self.cancel_task(task),
            Some(Served::Streaming(stream)) => self.cancel_stream(stream),
            Some(Served::Passed(call)) => self.cancel_passed(call),
            None => {}
        }
    }

    /// Hands a cast that was not delivered back to the instance that sent it.
    pub(crate) fn give_back(&mut self, index: usize, undelivered: Undelivered) {
        self.counters.add(Counter::CastsUndelivered);
        let instance = &self.instances[index];
        // All that a lost node leaves unsettled may come back at once.
        let most = self.link_config.unsettled_max as u64;
        let most = instance.guard.get(Limit::QueueMessages).max(most);
        if u64::from(instance.returned) >= most || instance.state == State::Stopped {
            self.drop_returned(index, &undelivered.target, &undelivered.error);
            return;
        }
        let mut record = undelivered.into_record();
        record.arrival = self.arrival();
        let instance = &mut self.instances[index];
        let was_empty = instance.queue.is_empty();
        instance.push(record);
        if was_empty {
            self.make_ready(index);
        }
    }

    /// An instance's handler panicked, or its `start` failed: it is built again, at once or later.
    pub(crate) fn instance_crashed(&mut self, index: usize, reason: StartReason) {
        let now = self.now;
        let component = self.instances[index].component.take();
        self.discard(component);
        self.counters.add(Counter::InstanceRestarts);
        let random = &mut self.random;
        let spread = |delay| random.between(Duration::ZERO, delay);
        let instance = &mut self.instances[index];
        match instance.begin_anew(now, reason, spread) {
            Some(until) => {
                tracing::error!(
                    component = %instance.name,
                    retry_in = ?now.until(until),
                    "crashed too often; waits before it is built again"
                );
                self.timers.set(until, Timer::Restart(index));
                self.watch_queue(index);
            }
            None => self.make_ready(index),
        }
    }

    pub(crate) fn restart_instance(&mut self, index: usize) {
        if self.instances[index].resume_start() {
            self.make_ready(index);
        }
    }

    /// An instance is free again.
    pub(crate) fn instance_idle(&mut self, index: usize) {
        self.instances[index].state = State::Idle;
        self.make_ready(index);
    }

    /// What a handler is called in logs: its method, or the topic it listens to.
    pub(crate) fn label(message: &Message) -> &Name {
        if message.method().is_empty() {
            message.topic()
        } else {
            message.method()
        }
    }

    /// On whose behalf an instance acts when no message causes it.
    pub(crate) fn plain_sender(&self, index: usize) -> Sender {
        Sender {
            component: self.instances[index].name.clone(),
            instance: Some(index),
            ..Sender::default()
        }
    }

    /// A handler is about to run.
    pub(crate) fn begin_task(&mut self, mut task: Rc<Task>) -> Rc<Task> {
        let place = Task::unshared(&mut task);
        let awaits = matches!(place.purpose, Purpose::Produce(_)) || place.served_key().is_some();
        place.awaited_until = place.sender.deadline.filter(|_| awaits);
        place.handler = self.handler_number(place.instance, &place.sender.component, &place.method);
        place.number = self.fresh_id();
        place.started = self.now;
        if place.purpose == Purpose::Handle {
            self.capacity.flows.began(&place.sender.flow);
        }
        if let Some(progress) = &self.progress {
            progress.enter(place.handler);
        }
        self.running = Some(task.clone());
        if self.recorder.is_some() {
            let id = self.note(&task);
            self.record_began(id, &task);
        }
        task
    }

    /// Finds the number under which a handler is published to the sentinel.
    fn handler_number(
        &mut self,
        instance: Option<usize>,
        component: &Name,
        method: &Name,
    ) -> HandlerId {
        let progress = self
            .progress
            .as_ref()
            .expect("invariant: handlers run after the first turn has begun");
        let register = |method: &Name, known: bool| match known {
            true => progress.register(&format!("{component}/{method}")),
            false => progress.register("other"),
        };
        match instance {
            Some(index) => self.instances[index].handler_number(method, register),
            None => register(method, true),
        }
    }

    /// A handler is over; `error` says how, if not well. Tells whether it was under way.
    pub(crate) fn end_task(&mut self, task: &Task, error: impl FnOnce() -> Option<String>) -> bool {
        let id = task.id.get();
        if id.is_some_and(|id| self.tasks.remove(id.0).is_none()) {
            return false;
        }
        if task.purpose == Purpose::Handle {
            self.capacity.flows.ended(&task.sender.flow);
        }
        let Some(id) = id else {
            return true;
        };
        if let Some(timer) = task.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(unread) = task.job.take() {
            self.discard(unread);
        }
        if let Some(key) = task.served_key() {
            self.set_served(key, None);
        }
        self.record_ended(id, error);
        true
    }

    /// `start` returned.
    pub(crate) fn started(&mut self, index: usize, result: Result<(), Status>) {
        match result {
            Ok(()) => self.instance_idle(index),
            Err(status) => {
                let component = &self.instances[index].name;
                tracing::error!(%component, error = %status, "a component could not start");
                self.instance_crashed(index, StartReason::StartFailed(status));
            }
        }
    }

    /// A handler returned: its message ends.
    pub(crate) fn conclude_handled(&mut self, task: &Task, result: Result<Reply, HandlerError>) {
        let Some(origin) = task.origin else {
            return;
        };
        if matches!(origin, Origin::LocalCast { .. })
            && matches!(result, Ok(Reply::Empty | Reply::Payload(_)))
        {
            // Nobody wants to know.
            return;
        }
        let is_call = is_call(&origin);
        let result = match is_call && self.gate.is_some() {
            true => match self.gated_reply(task, &origin, result) {
                Some(result) => result,
                None => return,
            },
            false => result,
        };
        match result {
            Ok(Reply::Stream(source)) if is_call => self.serve_stream(task, origin, source),
            Ok(Reply::Payload(payload)) => self.conclude(&origin, Ok(payload)),
            Ok(Reply::Empty) => self.conclude(&origin, Ok(Payload::default())),
            Ok(Reply::Stream(unread)) => {
                self.discard(unread);
                self.conclude(&origin, Ok(Payload::default()));
            }
            Err(error) => {
                let error = CallError::from(error);
                self.counters.add(Counter::HandlersFailed);
                if !is_call {
                    self.cast_failed(&task.sender.component, &task.method, &error);
                }
                match origin {
                    // It reached its instance, which knows no such method or cannot read it.
                    Origin::LocalCast { id, sender } if error.executed() == Executed::No => {
                        let undelivered = Undelivered {
                            id,
                            target: task.sender.component.clone(),
                            method: task.method.clone(),
                            flow: task.sender.flow.clone(),
                            error,
                        };
                        self.return_cast(sender, undelivered);
                    }
                    origin => self.conclude(&origin, Err(error)),
                }
            }
        }
    }

    /// Returns the instance whose `stop` is to run next: the last that is still there.
    pub(crate) fn next_to_stop(&self) -> Option<usize> {
        self.instances
            .iter()
            .rposition(|instance| instance.state == State::Idle)
    }

    pub(crate) fn stopped(&mut self, index: usize, component: Option<Box<dyn Component>>) {
        self.instances[index].state = State::Stopped;
        let left = self.instances[index].component.take();
        self.discard((component, left));
    }
}

pub(crate) fn expired_in_queue(component: &Name) -> CallError {
    CallError::Expired(format!("waited too long in the queue of `{component}`"))
}

/// Tells whether somebody waits for an answer.
const fn is_call(origin: &Origin) -> bool {
    origin.served_key().is_some()
}

/// How often the queue of an instance that takes nothing is looked at.
const SWEEP: Duration = Duration::from_millis(100);
