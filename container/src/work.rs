//! What workers do: taking what is next, running the handler, ending its message.

use std::rc::Rc;
use std::time::Duration;

use crate::component::ReplySource;
use crate::context::Context;
use crate::core::{Core, Purpose, Ready, Shared, Task};
use crate::counters::Counter;
use crate::environment::Environment;
use crate::fiber::{Suspender, overflow};
use crate::instance::{Factory, Instance, State};
use crate::{
    CallError, Component, HandlerError, Message, Name, Payload, Reply, StartReason, Status,
    Undelivered, name,
};

/// The stack of a stream's producer.
const STREAM_STACK_BYTES: usize = 256 << 10;
/// A look at the clock takes so long that after handlers that take no longer it would show.
pub(crate) const SHORT: Duration = Duration::from_micros(4);
/// Less than this does not hold a handler's frames and a panic's.
const STACK_BYTES_MIN: usize = 16 << 10;

/// A method that is to run.
struct Activity {
    task: Rc<Task>,
    environment: Option<Box<Environment>>,
    method: Method,
}

enum Method {
    /// Nearly all are of this kind, and what they leave behind goes through no other hands.
    Handle(Box<dyn Component>, Message),
    Other(Other),
}

enum Other {
    Start(Factory, Box<StartReason>),
    Undelivered(Box<dyn Component>, Box<Undelivered>),
    Stop(Box<dyn Component>),
    /// The next item of a stream.
    Produce(u64, ReplySource),
}

/// What is left when one of them has returned, or has panicked.
enum Ended {
    Started(Option<Box<dyn Component>>, Result<(), Status>),
    /// `undelivered` returned.
    Returned(Box<dyn Component>),
    Stopped(Box<dyn Component>),
    Produced(u64, ReplySource, Option<Result<Payload, Status>>),
    Panicked(Option<Box<dyn Component>>, String),
    ProducerPanicked(u64, ReplySource, String),
}

/// Runs one handler after the other, until nothing is ready that a stack of this size will do for, or the
/// container has something to do between handlers.
pub(crate) fn serve(core: &Shared, stack_bytes: usize, suspender: &Suspender<'_>) {
    let mut first = true;
    loop {
        let activity = core.borrow_mut().next_activity(stack_bytes, first);
        match activity {
            Some(activity) => perform(core, suspender, activity),
            None => return,
        }
        first = false;
    }
}

fn perform(core: &Shared, suspender: &Suspender<'_>, activity: Activity) {
    let Activity {
        task,
        environment,
        method,
    } = activity;
    overflow::name(Some(task.sender.component.as_str()));
    let mut cx = Context::new(core, &task, suspender, environment);
    match method {
        Method::Handle(mut component, message) => {
            // Written where it stays; see `parcel`.
            let mut result = None;
            let handle = || result = Some(component.handle(&mut cx, message));
            let panic = suspender.caught(handle).err();
            let environment = cx.take_environment();
            drop(cx);
            let mut core = core.borrow_mut();
            core.running = None;
            core.handled(&task, environment, component, panic, result);
            core.keep_spare(task);
        }
        Method::Other(method) => {
            let ended = method.run(suspender, &mut cx);
            let environment = cx.take_environment();
            drop(cx);
            let mut core = core.borrow_mut();
            core.running = None;
            core.ended(&task, environment, ended);
            core.keep_spare(task);
        }
    }
    overflow::name(None);
}

impl Other {
    /// Panics do not pass, and the component they happened in survives them, to be dropped by the container.
    fn run(self, suspender: &Suspender<'_>, cx: &mut Context<'_>) -> Ended {
        match self {
            Self::Start(factory, reason) => {
                let mut built = None;
                let started = suspender.caught(|| {
                    let made = (factory.borrow_mut())();
                    built.insert(made).start(cx, *reason)
                });
                match started {
                    Ok(result) => Ended::Started(built, result),
                    Err(text) => Ended::Panicked(built, text),
                }
            }
            Self::Undelivered(mut component, undelivered) => {
                match suspender.caught(|| component.undelivered(cx, *undelivered)) {
                    Ok(()) => Ended::Returned(component),
                    Err(text) => Ended::Panicked(Some(component), text),
                }
            }
            Self::Stop(mut component) => match suspender.caught(|| component.stop(cx)) {
                Ok(()) => Ended::Stopped(component),
                Err(text) => Ended::Panicked(Some(component), text),
            },
            Self::Produce(stream, mut source) => match suspender.caught(|| source.next(cx)) {
                Ok(item) => Ended::Produced(stream, source, item),
                Err(text) => Ended::ProducerPanicked(stream, source, text),
            },
        }
    }
}

impl Ended {
    /// Returns how it ended otherwise than well.
    fn error(&self) -> Option<String> {
        match self {
            Self::Started(_, Err(status)) | Self::Produced(_, _, Some(Err(status))) => {
                Some(status.to_string())
            }
            Self::Panicked(_, text) => Some(format!("panicked: {text}")),
            _ => None,
        }
    }
}

impl Core {
    /// Returns the stack that what is next needs; `None` when nothing can be begun.
    pub(crate) fn next_stack_bytes(&mut self) -> Option<usize> {
        if let Some(index) = self.to_stop {
            return Some(self.stack_bytes(index));
        }
        if self.tasks.len() >= self.handlers_max() {
            return None;
        }
        let ready = self.peek_ready()?;
        Some(self.stack_bytes_for(ready))
    }

    fn stack_bytes_for(&self, ready: Ready) -> usize {
        match ready {
            Ready::Instance(index) => self.stack_bytes(index),
            Ready::Stream(_) => STREAM_STACK_BYTES,
        }
    }

    fn stack_bytes(&self, index: usize) -> usize {
        self.instances[index]
            .definition
            .limits
            .stack_bytes
            .max(STACK_BYTES_MIN)
    }

    /// Ends what is next, because no stack could be had for it.
    pub(crate) fn refuse_next(&mut self, error: CallError) {
        if let Some(index) = self.to_stop.take() {
            // There is no later to do it.
            return self.stopped(index, None);
        }
        match self.pop_ready() {
            Some(Ready::Stream(id)) => {
                // What began it has run.
                let error = CallError::Incomplete(error.to_string());
                self.end_stream(id, Err(error));
            }
            Some(Ready::Instance(index)) => match self.instances[index].state {
                State::New => self.started(index, Err(error.into())),
                _ => {
                    if let Some(work) = self.next_work(index) {
                        self.refuse_work(index, work, error);
                    }
                }
            },
            None => {}
        }
    }

    /// Takes what is next, if a stack of this size will do for it and nothing else is to be done first.
    /// `first` when the container has just been there, and lets the worker begin all the same.
    fn next_activity(&mut self, stack_bytes: usize, first: bool) -> Option<Activity> {
        if self.dead {
            // The handler before took the end of its node for a panic of its own, and returned.
            return None;
        }
        if let Some(index) = self.to_stop.take() {
            return Some(self.stop_activity(index));
        }
        let others_first = !self.resumable.is_empty() || self.has_outside_work();
        if self.handlers_left == 0 || (others_first && !first) {
            return None;
        }
        loop {
            if self.tasks.len() >= self.handlers_max() {
                return None;
            }
            let ready = self.peek_ready()?;
            if self.stack_bytes_for(ready) != stack_bytes {
                return None;
            }
            self.handlers_left = self.handlers_left.saturating_sub(1);
            self.take_ready(ready);
            // What was just filled in is returned from where it is, not through one place for all.
            match ready {
                Ready::Stream(id) => {
                    if let Some(begun) = self.produce_activity(id) {
                        return Some(begun);
                    }
                }
                Ready::Instance(index) if self.instances[index].state == State::New => {
                    return Some(self.start_activity(index));
                }
                Ready::Instance(index) => {
                    let Some(record) = self.next_work(index) else {
                        continue;
                    };
                    if record.is_request() {
                        return Some(self.handle_activity(index, Message(record)));
                    }
                    if let Some(undelivered) = Undelivered::from_record(record) {
                        return Some(self.undelivered_activity(index, Box::new(undelivered)));
                    }
                }
            }
        }
    }

    /// Tells whether the container, which has what a worker has not, is wanted between two handlers: also to
    /// look whether it is time for what was sent to leave, if the next of them takes its time.
    fn has_outside_work(&mut self) -> bool {
        if !self.jobs.is_empty() || !self.discarded.is_empty() {
            return true;
        }
        self.peers.has_dirty()
            && match self.peek_ready() {
                Some(Ready::Instance(index)) => self.instances[index].handling() > SHORT,
                _ => true,
            }
    }

    fn start_activity(&mut self, index: usize) -> Activity {
        let instance = &self.instances[index];
        let (factory, reason) = (instance.factory.clone(), Box::new(instance.reason()));
        self.plain_activity(
            index,
            name!("start"),
            Purpose::Start,
            Other::Start(factory, reason),
        )
    }

    fn stop_activity(&mut self, index: usize) -> Activity {
        let component = self.take_component(index);
        self.plain_activity(index, name!("stop"), Purpose::Stop, Other::Stop(component))
    }

    fn undelivered_activity(&mut self, index: usize, undelivered: Box<Undelivered>) -> Activity {
        let component = self.take_component(index);
        let method = Other::Undelivered(component, undelivered);
        self.plain_activity(index, name!("undelivered"), Purpose::Other, method)
    }

    fn take_component(&mut self, index: usize) -> Box<dyn Component> {
        let component = self.instances[index].component.take();
        component.expect("invariant: an idle instance has its component")
    }

    /// Describes a method that no message causes.
    fn plain_activity(
        &mut self,
        index: usize,
        label: Name,
        purpose: Purpose,
        method: Other,
    ) -> Activity {
        let mut task = self.spare_task();
        let place = Task::unshared(&mut task);
        place.begin(purpose, &label, Some(index));
        place.sender = self.plain_sender(index);
        self.activity(index, task, Method::Other(method))
    }

    fn handle_activity(&mut self, index: usize, message: Message) -> Activity {
        self.counters.add(Counter::HandlersStarted);
        let component = self.take_component(index);
        let mut task = self.spare_task();
        let place = Task::unshared(&mut task);
        place.begin(Purpose::Handle, Self::label(&message), Some(index));
        place.origin = Some(message.0.origin);
        place.credit = message.0.credit;
        place
            .sender
            .handles(&self.instances[index].name, index, &message);
        self.activity(index, task, Method::Handle(component, message))
    }

    /// Notes a method of an instance as under way.
    fn activity(&mut self, index: usize, task: Rc<Task>, method: Method) -> Activity {
        let task = self.begin_task(task);
        let instance = &mut self.instances[index];
        instance.state = State::Busy { since: self.now };
        Activity {
            task,
            environment: instance.environment.take(),
            method,
        }
    }

    /// Makes the next item of a stream. The instance that began it is free meanwhile.
    fn produce_activity(&mut self, id: u64) -> Option<Activity> {
        let (source, label, sender) = self.take_source(id)?;
        let mut task = self.spare_task();
        let place = Task::unshared(&mut task);
        place.begin(Purpose::Produce(id), &label, None);
        place.sender = sender;
        let task = self.begin_task(task);
        Some(Activity {
            task,
            environment: None,
            method: Method::Other(Other::Produce(id, source)),
        })
    }

    /// The handler of a message has returned or panicked.
    fn handled(
        &mut self,
        task: &Task,
        environment: Option<Box<Environment>>,
        component: Box<dyn Component>,
        panic: Option<String>,
        result: Option<Result<Reply, HandlerError>>,
    ) {
        let error = || match (&panic, &result) {
            (Some(text), _) => Some(format!("panicked: {text}")),
            (None, Some(Err(error))) => Some(error.to_string()),
            (None, _) => None,
        };
        let ended = self.end_task(task, error);
        let Some(index) = task.instance.filter(|_| ended) else {
            return self.discard((environment, component, result));
        };
        let instance = self.took(index, task, environment);
        instance.component = Some(component);
        if let Some(text) = panic {
            self.note_panic(task, &text);
            self.panicked(index, task, text);
        } else if let Some(result) = result {
            instance.handled += 1;
            self.instance_idle(index);
            self.conclude_handled(task, result);
        }
    }

    /// Gives an instance back what it keeps, and notes how long its handler took.
    fn took(
        &mut self,
        index: usize,
        task: &Task,
        environment: Option<Box<Environment>>,
    ) -> &mut Instance {
        let instance = &mut self.instances[index];
        instance.environment = environment;
        if self.now == task.started {
            self.sampled = Some(index);
        } else {
            instance.took(self.now.since(task.started));
        }
        instance
    }

    /// Any other method has returned or panicked.
    fn ended(&mut self, task: &Task, environment: Option<Box<Environment>>, ended: Ended) {
        if !self.end_task(task, || ended.error()) {
            return self.discard((environment, ended));
        }
        let Some(index) = task.instance else {
            if environment.is_some() {
                self.discard(environment);
            }
            return match ended {
                Ended::Produced(stream, source, item) => self.stream_item(stream, source, item),
                Ended::ProducerPanicked(stream, source, text) => {
                    self.discard(source);
                    self.note_panic(task, &text);
                    self.end_stream(stream, Err(CallError::Panicked(text)));
                }
                other => self.discard(other),
            };
        };
        let instance = self.took(index, task, environment);
        match ended {
            Ended::Started(component, result) => {
                instance.component = component;
                self.started(index, result);
            }
            Ended::Returned(component) => {
                instance.component = Some(component);
                self.instance_idle(index);
            }
            Ended::Stopped(component) => self.stopped(index, Some(component)),
            Ended::Panicked(component, text) => {
                instance.component = component;
                self.note_panic(task, &text);
                self.panicked(index, task, text);
            }
            other @ (Ended::Produced(..) | Ended::ProducerPanicked(..)) => self.discard(other),
        }
    }

    fn note_panic(&mut self, task: &Task, text: &str) {
        self.counters.add(Counter::HandlersPanicked);
        tracing::error!(
            component = %task.sender.component,
            method = %task.method,
            panic = %text,
            "a handler panicked"
        );
    }

    /// A handler panicked: its caller learns it, its instance is built again.
    fn panicked(&mut self, index: usize, task: &Task, text: String) {
        if let Some(origin) = &task.origin {
            let error = CallError::Panicked(text.clone());
            if origin.served_key().is_none() {
                self.cast_failed(&task.sender.component, &task.method, &error);
            }
            self.conclude(origin, Err(error));
        }
        if task.purpose == Purpose::Stop {
            let component = self.instances[index].component.take();
            self.stopped(index, component);
        } else {
            self.instances[index].note_panic();
            self.instance_crashed(index, StartReason::Panicked(text));
        }
    }
}
