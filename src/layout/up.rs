//! One process for each component, supervised by this one, which runs the job.

mod back_off;
mod child;

use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use monofil_transport::{Driver, Next, Node, Stream};
use monofil_zmq::{Alarm, ZmqIo};
use signal_hook::consts::SIGCHLD;

use self::child::{Child, Look};
use super::ports::FreePorts;
use super::process::{bind, no_later};
use super::{Run, alias, signals};
use crate::cli::{Order, UpArgs};
use crate::exit::Failure;
use crate::{Container, Layout};

/// How often processes are looked at when no signal says that one ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the app in processes until the job is done or a signal comes.
pub(crate) fn run(run: &Run, args: &UpArgs, passed_on: Vec<String>) -> Result<ExitCode, Failure> {
    let mut run = run.clone();
    let (sender, events) = mpsc::channel();
    let patience = run.settings.drain_deadline * 2;
    let alarm: Arc<OnceLock<Alarm>> = Arc::default();
    let of_job = alarm.clone();
    signals::listen(patience, &[SIGCHLD], move |signal| {
        // Nobody listens any more: everything has ended.
        let _ = sender.send(signal);
        if let Some(alarm) = of_job.get() {
            alarm.ring();
        }
    })?;
    let children = children(&mut run, passed_on)?;
    if run.layout == Layout::Ipc {
        // Each process would find out by itself; one answer is better than all of theirs.
        for index in 0..run.components.len() {
            alias::check_free(&run.addresses().listen(index)?)?;
        }
        run.addresses().prepare()?;
    }
    let mut job = Job::start(&run)?;
    if let Some(job) = &job {
        alarm.get_or_init(|| job.io.alarm());
    }
    let mut up = Up {
        children,
        events,
        asked: 0,
        looked: Instant::now(),
    };
    let mut worked = up.start(args.order, run.seed);
    if worked.is_ok() {
        worked = up.work(job.as_mut());
        if let Some(job) = &mut job {
            up.interrupt(&run, job);
        }
    }
    drop(job);
    up.end(run.settings.drain_deadline);
    monofil_zmq::exit_watchdog(super::EXIT_PATIENCE);
    worked?;
    run.verdict().map(|()| ExitCode::SUCCESS)
}

/// Describes the processes; over TCP also chooses their ports, for everybody to know.
fn children(run: &mut Run, mut passed_on: Vec<String>) -> Result<Vec<Child>, Failure> {
    passed_on.push(format!("--transport={}", run.layout));
    passed_on.push(format!("--parent={}", std::process::id()));
    let mut listen = vec![Vec::new(); run.components.len()];
    if run.layout == Layout::Tcp {
        let mut ports = FreePorts::search(&run.settings.host)?;
        for (index, definition) in run.components.iter().enumerate() {
            let (application, control) = (ports.next()?, ports.next()?);
            passed_on.push(format!("--peer={}={application}", definition.name));
            listen[index] = vec![
                format!("--listen={application}"),
                format!("--control={control}"),
            ];
            run.settings
                .peers
                .insert(definition.name.clone(), vec![application]);
        }
    }
    let width = run.components.iter().map(|it| it.name.len()).max();
    let child = |(definition, listen): (&crate::app::Definition, Vec<String>)| {
        let mut args = vec!["run".to_owned(), definition.name.clone()];
        args.extend(passed_on.iter().cloned());
        args.extend(listen);
        Child::new(&definition.name, width.unwrap_or(0), args, run.settings.up)
    };
    Ok(run.components.iter().zip(listen).map(child).collect())
}

/// The job's node in this process.
struct Job {
    container: Container,
    io: ZmqIo,
}

impl Job {
    fn start(run: &Run) -> Result<Option<Self>, Failure> {
        let Some(job) = &run.job else {
            return Ok(None);
        };
        let all = 0..run.components.len();
        let mut config = run.node(job.name(), run.directory(all)?);
        config.node = super::random_node()?;
        config.incarnation = super::wall_micros();
        config.process = std::process::id();
        config.components = vec![job.spec(run.app.as_str())];
        config.membership = super::process::membership(run);
        let listen = config
            .membership
            .is_some()
            .then(|| run.addresses().anywhere());
        let io = bind(run, listen.transpose()?.as_ref(), None, false)?;
        Ok(Some(Self {
            container: Container::new(config),
            io,
        }))
    }

    /// Turns once and sleeps, at most until processes are to be looked at; tells whether the job is over.
    fn turn(&mut self) -> bool {
        let next = self.container.turn(&mut self.io);
        if next == Next::Ended {
            return true;
        }
        let next = no_later(&self.io, next, LOOK_EVERY);
        self.io.wait(next);
        false
    }
}

struct Up {
    children: Vec<Child>,
    events: Receiver<i32>,
    /// How often this process was asked to end.
    asked: usize,
    looked: Instant,
}

impl Up {
    fn start(&mut self, order: Order, seed: u64) -> Result<(), Failure> {
        let mut indices: Vec<usize> = (0..self.children.len()).collect();
        match order {
            Order::Declared => {}
            Order::Reversed => indices.reverse(),
            Order::Shuffled => Stream::new(seed, "up/order").shuffle(&mut indices),
        }
        for index in indices {
            self.children[index].start()?;
        }
        Ok(())
    }

    /// Runs the job and restarts what dies, until the job is over or a signal comes.
    fn work(&mut self, mut job: Option<&mut Job>) -> Result<(), Failure> {
        loop {
            let over = match &mut job {
                Some(job) => {
                    let over = job.turn();
                    self.take_events(Duration::ZERO);
                    over
                }
                None => {
                    self.take_events(LOOK_EVERY);
                    false
                }
            };
            if over || self.asked > 0 {
                return Ok(());
            }
            if self.looked.elapsed() >= LOOK_EVERY {
                self.look()?;
            }
            if job.is_none() && self.children.iter().all(Child::is_done) {
                tracing::info!("every process has ended by itself");
                return Ok(());
            }
        }
    }

    /// Lets a job that is not done give up what it is at, and its node end in order.
    fn interrupt(&mut self, run: &Run, job: &mut Job) {
        run.interrupt();
        run.cancel_where_interrupted(&mut job.container);
        let deadline = Instant::now() + run.settings.drain_deadline;
        while self.asked < 2 && Instant::now() < deadline && !job.turn() {
            self.take_events(Duration::ZERO);
        }
    }

    /// Takes what signals said, waiting for the first at most so long.
    fn take_events(&mut self, most: Duration) {
        let mut wait = most;
        loop {
            match self.events.recv_timeout(wait) {
                Ok(signal) if signals::asks_to_end(signal) => self.asked += 1,
                // A process ended: look at once.
                Ok(_) => self.looked -= LOOK_EVERY,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            wait = Duration::ZERO;
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        self.looked = Instant::now();
        for child in &mut self.children {
            if let Look::CannotStart(failure) = child.look()? {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Ends the processes, the last declared first, so that what one has accepted can still call others.
    fn end(&mut self, drain: Duration) {
        let deadline = Instant::now() + drain + Duration::from_secs(1);
        let before = self.asked;
        for index in (0..self.children.len()).rev() {
            self.children[index].ask_to_end();
            while self.children[index].is_running() {
                if self.asked > before + usize::from(before == 0) || Instant::now() >= deadline {
                    self.children.iter_mut().for_each(Child::kill);
                    return;
                }
                self.take_events(Duration::from_millis(20));
            }
        }
        self.children.iter_mut().for_each(Child::wait_output);
    }
}
