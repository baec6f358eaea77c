//! The app's main job: plain code that uses the components and ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use clap::{ArgMatches, Args};
use monofil_sim::Tape;

use crate::exit::{EXIT_FAILED, EXIT_INTERRUPTED, Failure};
use crate::{
    Component, ComponentSpec, Context, HandlerError, InstanceLimits, Message, Reply, StartReason,
    Status,
};

/// The stack of a job, in bytes: it is a program's main function rather than a handler.
const STACK_BYTES: usize = 4 << 20;

/// How the components of an app are laid out, and what carries their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One process, a container for each component, an in-memory network.
    Memory,
    /// ZeroMQ over UNIX sockets of one machine.
    Ipc,
    /// ZeroMQ over TCP.
    Tcp,
    /// A simulated world with virtual time.
    Sim,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Ipc => "ipc",
            Self::Tcp => "tcp",
            Self::Sim => "sim",
        })
    }
}

/// What a job is told about its run.
#[derive(Clone, Debug)]
pub struct Job<A> {
    args: A,
    told: Told,
}

/// The part of a job's circumstances that its arguments have nothing to do with.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) layout: Layout,
    pub(crate) seed: u64,
    pub(crate) json: bool,
    /// What the run draws from, if it is one of many simulated ones.
    pub(crate) tape: Option<Tape>,
}

impl<A> Job<A> {
    /// Returns the job's own arguments, as they were given on the command line.
    pub const fn args(&self) -> &A {
        &self.args
    }

    /// Returns how the components are laid out in this run.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.told.layout
    }

    /// Returns the seed of this run (`--seed`, 1 unless given): whatever the job draws should come from it.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.told.seed
    }

    /// Tells whether output should be JSON (`--json`).
    #[must_use]
    pub const fn json(&self) -> bool {
        self.told.json
    }

    /// Tells whether the job is to leave out the next of its steps: an order to place, a request to send. It never is,
    /// except in simulated runs that failed and are made smaller, or replayed from a file: there it leaves out what the
    /// failure does not need. So ask before each step that may be missing without changing what the others are. Steps of
    /// different kinds are counted apart.
    ///
    /// ```
    /// use monofil::prelude::*;
    ///
    /// fn greet(cx: &mut Context, job: &Job<()>) -> Result<(), Status> {
    ///     for name in ["Ada", "Grace", "Barbara"] {
    ///         if !job.leaves_out("greetings") {
    ///             cx.cast(Request::new("greeter", "SayHello", Payload::bytes(name)))?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn leaves_out(&self, kind: &str) -> bool {
        let tape = self.told.tape.as_ref();
        tape.is_some_and(|tape| !tape.step(kind))
    }
}

/// A job with its arguments, ready to run once.
pub(crate) type Task = Box<dyn FnOnce(&mut Context) -> Result<(), Status>>;

type Bind = Arc<dyn Fn(&ArgMatches, Told) -> Result<Task, clap::Error> + Send + Sync>;

/// A job as an app declares it, without the type of its arguments.
#[derive(Clone)]
pub(crate) struct JobDefinition {
    pub(crate) name: String,
    /// Adds the job's arguments to a command.
    pub(crate) augment: fn(clap::Command) -> clap::Command,
    bind: Bind,
}

impl JobDefinition {
    pub(crate) fn new<A: Args + 'static>(
        name: String,
        run: impl Fn(&mut Context, &Job<A>) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        let run = Arc::new(run);
        Self {
            name,
            augment: A::augment_args,
            bind: Arc::new(move |matches, told| {
                let args = A::from_arg_matches(matches)?;
                let (run, job) = (run.clone(), Job { args, told });
                Ok(Box::new(move |cx: &mut Context| run(cx, &job)))
            }),
        }
    }

    /// Makes the job ready to run with what was given on the command line.
    pub(crate) fn bind(&self, matches: &ArgMatches, told: Told) -> Result<JobRun, clap::Error> {
        Ok(JobRun::new(self.name.clone(), (self.bind)(matches, told)?))
    }

    /// Tells whether one of the job's arguments was given on the command line.
    pub(crate) fn is_meant(&self, matches: &ArgMatches) -> bool {
        let own = (self.augment)(clap::Command::new("job"));
        own.get_arguments().any(|arg| {
            matches.try_contains_id(arg.get_id().as_str()).is_ok()
                && matches.value_source(arg.get_id().as_str())
                    == Some(clap::parser::ValueSource::CommandLine)
        })
    }
}

/// How a job ended.
#[derive(Clone, Debug)]
enum Ended {
    Well,
    Failed(Status),
    Panicked(String),
}

/// One run of a job, and what became of it.
#[derive(Clone)]
pub(crate) struct JobRun {
    name: String,
    task: Rc<RefCell<Option<Task>>>,
    ended: Rc<RefCell<Option<Ended>>>,
    /// Somebody did not want to wait for it.
    interrupted: Rc<Cell<bool>>,
}

impl JobRun {
    pub(crate) fn new(name: String, task: Task) -> Self {
        Self {
            name,
            task: Rc::new(RefCell::new(Some(task))),
            ended: Rc::default(),
            interrupted: Rc::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Describes the component that runs it.
    pub(crate) fn spec(&self, app: &str) -> ComponentSpec {
        let (task, ended) = (self.task.clone(), self.ended.clone());
        let mut spec = ComponentSpec::new(self.component(app), move || JobComponent {
            task: task.clone(),
            ended: ended.clone(),
        });
        spec.limits = InstanceLimits {
            stack_bytes: STACK_BYTES,
            ..InstanceLimits::default()
        };
        spec
    }

    /// Notes that it is to end before it is done; what it waits for is to be cancelled.
    pub(crate) fn interrupt(&self) {
        self.interrupted.set(self.ended.borrow().is_none());
    }

    /// Tells whether it is over, in whatever way.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Returns the node-wide name of the component that runs it.
    pub(crate) fn component(&self, app: &str) -> String {
        format!("{app}/{}", self.name)
    }

    /// Says how the program ends because of how the job did.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let ended = self.ended.borrow();
        match ended.as_ref().filter(|_| !self.interrupted.get()) {
            Some(Ended::Well) => Ok(()),
            Some(Ended::Failed(status)) => Err(Failure::new(
                EXIT_FAILED,
                format!("{}: {status}", self.name),
            )),
            Some(Ended::Panicked(message)) => Err(Failure::new(
                EXIT_FAILED,
                format!("{} panicked: {message}", self.name),
            )),
            None => Err(Failure::new(
                EXIT_INTERRUPTED,
                format!("{} was interrupted", self.name),
            )),
        }
    }
}

/// Runs the job in its `start`, which has no deadline, and ends its node after it.
struct JobComponent {
    task: Rc<RefCell<Option<Task>>>,
    ended: Rc<RefCell<Option<Ended>>>,
}

impl Component for JobComponent {
    fn start(&mut self, cx: &mut Context, reason: StartReason) -> Result<(), Status> {
        let task = self.task.borrow_mut().take();
        let ended = match (task, reason) {
            (Some(task), _) => match task(cx) {
                Ok(()) => Ended::Well,
                Err(status) => Ended::Failed(status),
            },
            (None, StartReason::Panicked(message)) => Ended::Panicked(message),
            (None, _) => Ended::Failed(Status::internal("the job was started twice")),
        };
        *self.ended.borrow_mut() = Some(ended);
        cx.shut_down();
        Ok(())
    }

    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        Err(HandlerError::Unimplemented(format!(
            "a job has no methods, and so no `{}`",
            message.method()
        )))
    }
}
