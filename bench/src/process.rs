//! The processes of one measurement: started, listened to, ended.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use bench_worker::{Job, Line, Role, Sample, Task};

/// How much longer than its windows a measurement may take: the largest worlds step slowly.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much later than another process one may be heard that spoke before it.
const LATE: Duration = Duration::from_millis(500);
/// How long a process may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Starts processes that run one program.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    program: PathBuf,
    /// What comes before the job.
    arguments: Vec<&'static str>,
    /// Where they write what they log.
    log: PathBuf,
}

impl Starter {
    pub(crate) fn new(program: PathBuf, arguments: Vec<&'static str>, log: &Path) -> Self {
        Self {
            program,
            arguments,
            log: log.to_owned(),
        }
    }

    /// Measures once: with one process, or with a server and a client.
    pub(crate) fn measure(&self, job: &Job) -> Result<Sample, String> {
        let (sender, lines) = mpsc::channel();
        let heard = Heard {
            lines,
            give_up: Instant::now() + job.warm + job.window + PATIENCE,
        };
        let start = |role| {
            let job = Job {
                role,
                ..job.clone()
            };
            self.start(&job, sender.clone())
        };
        match job.task {
            Task::Cast { .. } | Task::Call { .. } => {
                let _server = start(Role::Server)?;
                let address = heard.address()?;
                let _client = start(Role::Client { address })?;
                heard.sample()
            }
            _ => {
                let _alone = start(Role::Alone)?;
                heard.sample()
            }
        }
    }

    fn start(&self, job: &Job, heard: Sender<Option<String>>) -> Result<Process, String> {
        let job = serde_json::to_string(job).expect("a job can be written");
        let cannot = |error| format!("{} cannot be started: {error}", self.program.display());
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(job)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.open_log())
            .spawn()
            .map_err(cannot)?;
        let out = child.stdout.take().expect("it is piped");
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            for line in lines.map(Some).chain([None]) {
                // Nobody listens any more once there is a sample.
                let _ = heard.send(line);
            }
        });
        Ok(Process(child))
    }

    /// Without a log there is only less to read when something fails.
    fn open_log(&self) -> Stdio {
        let opened = OpenOptions::new().create(true).append(true).open(&self.log);
        opened.map_or_else(|_| Stdio::null(), |file: File| file.into())
    }
}

/// What all processes of a measurement say; `None` when one has ended.
struct Heard {
    lines: Receiver<Option<String>>,
    give_up: Instant,
}

impl Heard {
    fn address(&self) -> Result<String, String> {
        match self.line(self.give_up)? {
            Line::Ready(address) => Ok(address),
            other => Err(format!("it did not say where it listens but {other:?}")),
        }
    }

    /// Waits for the sample. The process that measured ends with it, and the other one may be heard before
    /// it, complaining of that.
    fn sample(&self) -> Result<Sample, String> {
        let mut first = self.line(self.give_up);
        if first.is_err() {
            let soon = Instant::now() + LATE;
            while first.is_err() && Instant::now() < soon {
                first = self.line(soon).or(first);
            }
        }
        match first? {
            Line::Done(sample) if sample.amount > 0.0 => Ok(sample),
            Line::Done(_) => Err("nothing was handled".to_owned()),
            other => Err(format!("there is no sample but {other:?}")),
        }
    }

    fn line(&self, give_up: Instant) -> Result<Line, String> {
        let left = give_up.saturating_duration_since(Instant::now());
        let line = match self.lines.recv_timeout(left) {
            Ok(Some(line)) => line,
            Ok(None) => return Err("a process ended early".to_owned()),
            Err(_) => return Err("it took too long".to_owned()),
        };
        match serde_json::from_str(&line) {
            Ok(Line::Failed(why)) => Err(why),
            Ok(line) => Ok(line),
            Err(_) => Err(format!("not what a worker says: {line}")),
        }
    }
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    /// Its standard input ends, and so does it; or else it is killed.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let give_up = Instant::now() + END_WITHIN;
        while Instant::now() < give_up {
            match self.0.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
        // Both fail only when it has ended meanwhile.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
