//! Serving: from an instance's queue to the end of its message.

use std::rc::Rc;
use std::time::Duration;

use monofil_proto::wire::Kind;
use monofil_transport::HandlerId;

use crate::calls::{Origin, Served, ServedKey, TaskId};
use crate::core::{Core, Purpose, Sender, Task, Timer};
use crate::counters::Counter;
use crate::envelope::Envelope;
use crate::instance::{Queued, State, Work};
use crate::{
    CallError, Component, Executed, HandlerError, Limit, Message, Name, Payload, Reply,
    StartReason, Status, Undelivered,
};

impl Core {
    pub(crate) fn enqueue(&mut self, index: usize, queued: Queued, bytes: usize) {
        self.record_queued(index, &queued.message);
        let arrival = self.arrival();
        self.queued_messages += 1;
        self.queued_bytes += bytes;
        self.capacity.flows.queued(queued.message.flow(), bytes);
        if let Some(key) = queued.origin.served_key() {
            let place = Served::Queued {
                instance: index,
                arrival,
            };
            self.set_served(key, Some(place));
        }
        let instance = &mut self.instances[index];
        let was_empty = instance.queue.is_empty();
        instance.push(arrival, Work::Message(queued));
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
        for queued in self.instances[index].take_expired(now) {
            self.dequeued(&queued);
            self.queued_too_long(queued, index);
        }
        self.watch_queue(index);
    }

    /// Takes an instance's next work. What has expired meanwhile ends here.
    pub(crate) fn next_work(&mut self, index: usize) -> Option<Work> {
        loop {
            let work = self.instances[index].pop()?;
            let Work::Message(queued) = work else {
                return Some(work);
            };
            self.dequeued(&queued);
            if queued.message.deadline() <= self.now {
                self.queued_too_long(queued, index);
                continue;
            }
            let Some(error) = self.check_delay(index, queued.since) else {
                return Some(Work::Message(queued));
            };
            self.rejected(&error);
            self.instances[index].rejected += 1;
            self.conclude_queued(queued, index, error);
        }
    }

    fn queued_too_long(&mut self, queued: Queued, index: usize) {
        self.counters.add(Counter::Expired);
        let error = expired_in_queue(&self.instances[index].name);
        self.conclude_queued(queued, index, error);
    }

    /// Ends work for which no stack could be had. The next may be luckier.
    pub(crate) fn refuse_work(&mut self, index: usize, work: Work, error: CallError) {
        match work {
            Work::Message(queued) => {
                self.rejected(&error);
                self.instances[index].rejected += 1;
                self.conclude_queued(queued, index, error);
            }
            Work::Undelivered(_) => self.counters.add(Counter::CastsUndeliveredDropped),
        }
        self.make_ready(index);
    }

    fn dequeued(&mut self, queued: &Queued) {
        let bytes = queued.message.payload().len();
        self.queued_messages -= 1;
        self.queued_bytes -= bytes;
        self.capacity.flows.dequeued(queued.message.flow(), bytes);
        if let Some(key) = queued.origin.served_key() {
            self.set_served(key, None);
        }
    }

    /// Ends a message that was queued and never handled.
    fn conclude_queued(&mut self, queued: Queued, index: usize, error: CallError) {
        if let Origin::LocalCast { id, sender } = queued.origin {
            let target = self.instances[index].name.clone();
            let undelivered = Undelivered {
                id,
                target,
                method: queued.message.method().clone(),
                flow: queued.message.flow().clone(),
                error,
            };
            self.return_cast(sender, undelivered);
        } else {
            self.conclude(&queued.origin, Err(error));
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
                    Ok(payload) if answer => Some(Envelope {
                        payload,
                        ..Envelope::about(Kind::Reply, id)
                    }),
                    Err(error) if answer || error.executed() == Executed::No => {
                        Some(Envelope::failure(id, error))
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
                if let Some(Work::Message(queued)) = self.instances[instance].remove(arrival) {
                    self.dequeued(&queued);
                    self.make_ready(instance);
                    self.conclude(&queued.origin, Err(CallError::Cancelled));
                }
            }
            Some(Served::Running(task)) => self.cancel_task(task),
            Some(Served::Streaming(stream)) => self.cancel_stream(stream),
            None => {}
        }
    }

    /// Hands a cast that was not delivered back to the instance that sent it.
    pub(crate) fn give_back(&mut self, index: usize, undelivered: Undelivered) {
        self.counters.add(Counter::CastsUndelivered);
        let instance = &self.instances[index];
        let most = instance.guard.get(Limit::QueueMessages);
        if instance.returned as u64 >= most || instance.state == State::Stopped {
            self.counters.add(Counter::CastsUndeliveredDropped);
            return;
        }
        let arrival = self.arrival();
        let instance = &mut self.instances[index];
        let was_empty = instance.queue.is_empty();
        instance.push(arrival, Work::Undelivered(Box::new(undelivered)));
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

    /// Notes a handler that is about to run.
    pub(crate) fn new_task(&mut self, mut task: Rc<Task>) -> (TaskId, Rc<Task>) {
        let place = Task::unshared(&mut task);
        let served = place.origin.as_ref().and_then(Origin::served_key);
        let awaits = matches!(place.purpose, Purpose::Produce(_)) || served.is_some();
        place.awaited_until = place.sender.deadline.filter(|_| awaits);
        place.handler = self.handler_number(place.instance, &place.sender.component, &place.method);
        place.number = self.fresh_id();
        place.started = self.now;
        let purpose = place.purpose;
        if purpose == Purpose::Handle {
            self.capacity.flows.began(&place.sender.flow);
        }
        if let Some(progress) = &self.progress {
            progress.enter(place.handler);
        }
        let id = TaskId(self.tasks.insert(task.clone()));
        self.running = Some(id);
        self.record_began(id, &task);
        if let Some(key) = served {
            self.set_served(key, Some(Served::Running(id)));
        }
        if let Purpose::Produce(stream) = purpose {
            self.stream_produced_by(stream, id);
        }
        (id, task)
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
        let register = || progress.register(&format!("{component}/{method}"));
        let Some(index) = instance else {
            return register();
        };
        let instance = &mut self.instances[index];
        if let Some((last, number)) = &instance.last_handler
            && last == method
        {
            return *number;
        }
        let number = match instance.handlers.get(method) {
            Some(known) => *known,
            // Methods that do not exist are named by whoever calls them: no table grows from that.
            None if instance.handlers.len() >= HANDLER_NAMES_MAX => {
                return progress.register("other");
            }
            None => {
                let number = register();
                instance.handlers.insert(method.clone(), number);
                number
            }
        };
        instance.last_handler = Some((method.clone(), number));
        number
    }

    /// A handler is over. Tells whether it was under way.
    pub(crate) fn end_task(&mut self, id: TaskId, task: &Task) -> bool {
        if self.tasks.remove(id.0).is_none() {
            return false;
        }
        if task.purpose == Purpose::Handle {
            self.capacity.flows.ended(&task.sender.flow);
        }
        if let Some(timer) = task.timer.take() {
            self.timers.cancel(timer);
        }
        if let Some(unread) = task.job.take() {
            self.discard(unread);
        }
        if let Some(key) = task.origin.as_ref().and_then(Origin::served_key) {
            self.set_served(key, None);
        }
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

    /// A handler returned.
    pub(crate) fn handled(&mut self, task: &Task, result: Result<Reply, HandlerError>) {
        let Some(origin) = task.origin else {
            return;
        };
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
/// How many methods of one instance the sentinel tells apart.
const HANDLER_NAMES_MAX: usize = 256;
