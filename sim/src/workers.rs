//! Runs in several processes: a program starts itself again, and each process does its share.
//!
//! A process is told in its environment which exploration is meant and which runs of it are its own; it says what
//! came of each on its standard output, a line for each, then how many these were, and ends. Who started it puts the
//! lines together: in the order of the runs, whoever did them. A process that ends without the last line did not do its
//! share, whatever its exit code is: a run has failed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::explore::{Explore, Line};
use crate::replay::Lines;

/// What a process is told: `INDEX/OF/ORDINAL/SCENARIO`.
pub const WORKER: &str = "SIM_WORKER";

/// Names a run whose records a process is to write, a line for each, instead of doing a share; before them how many are
/// not there.
const RECORDS: &str = "SIM_RECORDS";

/// Names a file to run instead of an exploration.
pub(crate) const REPLAY: &str = "SIM_REPLAY";

/// What its lines begin with; everything else on its standard output is not ours.
const PREFIX: &str = "\u{1e}monofil-sim ";

/// What this process is in an exploration.
pub(crate) enum Worker {
    /// It is nobody's worker.
    None,
    /// It does every `of`th run.
    Share { index: u64, of: u64 },
    /// It is the worker of another exploration.
    Idle,
}

/// What a process says.
#[derive(Serialize, Deserialize)]
enum Word {
    /// What came of a run.
    Ran(Line),
    /// It has done its share, or what counts of it: so many runs.
    Done(u64),
}

/// What a run must not do: end its process.
pub(crate) const SURVIVES: &str = "the process survives";

thread_local! {
    /// How many explorations there have been on this thread: which one is meant.
    static ORDINAL: Cell<u32> = const { Cell::new(0) };
}

/// Tells what this process is in the exploration that begins.
pub(crate) fn role(scenario: &str) -> Worker {
    let ordinal = ORDINAL.get() + 1;
    ORDINAL.set(ordinal);
    let Ok(told) = env::var(WORKER) else {
        return Worker::None;
    };
    let mut parts = told.splitn(4, '/');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (Some(index), Some(of), Some(meant)) = (number(), number(), number()) else {
        return Worker::None;
    };
    match meant == u64::from(ordinal) && parts.next() == Some(scenario) {
        true => Worker::Share { index, of },
        false => Worker::Idle,
    }
}

/// Does a share of an exploration, and ends the process.
pub(crate) fn work(explore: &Explore, index: u64, of: u64) -> ! {
    if let Some(run) = env::var(RECORDS).ok().and_then(|run| run.parse().ok()) {
        let Lines { before, lines } = explore.records(run);
        let said: String = std::iter::once(before.to_string())
            .chain(lines)
            .map(|line| format!("{PREFIX}{line}\n"))
            .collect();
        let written = std::io::stdout().write_all(said.as_bytes());
        exit(i32::from(written.is_err()))
    }
    let (explore, at) = explaining(explore);
    let (mut share, mut runs) = (explore.share(index, of), 0);
    while let Some(run) = share.next() {
        at.store(run, Ordering::Relaxed);
        let line = explore.line(run);
        share.ran(&line);
        let is_last = line.failure.is_some() && !explore.to_the_end;
        if say(&Word::Ran(line)).is_err() {
            exit(1)
        }
        runs += 1;
        if is_last {
            break;
        }
    }
    exit(i32::from(say(&Word::Done(runs)).is_err()))
}

fn say(word: &Word) -> std::io::Result<()> {
    let text = serde_json::to_string(word)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{PREFIX}{text}")?;
    out.flush()
}

/// Has a run that never ends say its line all the same: which run it is, has to be noted in what is returned.
fn explaining(explore: &Explore) -> (Explore, Arc<AtomicU64>) {
    let (mut explore, at) = (explore.clone(), Arc::new(AtomicU64::new(0)));
    let run = at.clone();
    explore.scenario = explore.scenario.when_stuck(move |_, failure| {
        // The process ends now, whether this is heard or not.
        let line = failed(run.load(Ordering::Relaxed), failure.clone());
        let _ = say(&Word::Ran(line));
    });
    (explore, at)
}

/// How this program is started again to do the same; `None` if that is not known.
pub(crate) fn command() -> Option<Vec<OsString>> {
    let program = env::current_exe().ok()?.into_os_string();
    let test = test()?;
    let rest = [
        "--exact",
        "--nocapture",
        "--include-ignored",
        "--test-threads=1",
    ];
    let words = [test.as_str()].into_iter().chain(rest).map(OsString::from);
    Some(std::iter::once(program).chain(words).collect())
}

/// Returns the name of the test that runs here: a test has a thread that is called as it is. `None` where it is not
/// known, as on the main thread, where a single test thread runs them all.
pub(crate) fn test() -> Option<String> {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main");
    name.map(str::to_owned)
}

/// What a process has said, or that it has ended.
type Said = (u64, Option<Word>);

/// Has processes of this program do the runs of an exploration.
pub(crate) fn share_out(
    explore: &Explore,
    command: &[OsString],
    jobs: usize,
    until: Option<Instant>,
) -> BTreeMap<u64, Line> {
    let (sender, receiver) = mpsc::channel::<Said>();
    let of = jobs as u64;
    let mut children: Vec<_> = (0..of)
        .map(|index| Some(start(explore, command, index, of, &sender)))
        .collect();
    drop(sender);
    let mut lines = BTreeMap::new();
    let mut failed = u64::MAX;
    // Which run each process is at, how many it has done, and whether these are all.
    let mut at: Vec<u64> = (0..of).map(|index| explore.runs.start + index).collect();
    let mut done = vec![(0_u64, false); jobs];
    loop {
        let patience = until.map_or(Duration::from_secs(3_600), |until| {
            until.saturating_duration_since(Instant::now())
        });
        match receiver.recv_timeout(patience) {
            Ok((index, Some(Word::Done(runs)))) => {
                let slot = usize::try_from(index).unwrap_or(0);
                done[slot].1 = done[slot].0 == runs;
            }
            Ok((index, Some(Word::Ran(line)))) => {
                let slot = usize::try_from(index).unwrap_or(0);
                done[slot].0 += 1;
                at[slot] = line.run.saturating_add(of);
                if line.failure.is_some() && !explore.to_the_end {
                    failed = failed.min(line.run);
                }
                lines.insert(line.run, line);
            }
            Ok((index, None)) => {
                let slot = usize::try_from(index).unwrap_or(0);
                let status = children[slot]
                    .take()
                    .and_then(|mut child| child.wait().ok());
                let is_well = status.is_some_and(|status| status.success() && done[slot].1);
                if !is_well && at[slot] < failed {
                    failed = at[slot];
                    let has_begun = done[slot].0 > 0;
                    lines.insert(at[slot], died(at[slot], status, command, has_begun));
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) if until.is_none() => {}
            // All have ended, or there is no more time.
            Err(_) => break,
        }
        // What comes after a failed run does not count.
        for (slot, child) in children.iter_mut().enumerate() {
            if at[slot] > failed
                && let Some(mut child) = child.take()
            {
                end(&mut child);
            }
        }
    }
    for child in children.iter_mut().flatten() {
        end(child);
    }
    lines
}

/// Has a process of its own do a run, and returns what happened there, line by line.
pub(crate) fn records(explore: &Explore, command: &[OsString], run: u64) -> Lines {
    let output = again(explore, command, 0, 1)
        .env(RECORDS, run.to_string())
        .stderr(Stdio::inherit())
        .output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let ours = text.lines().filter_map(|line| line.split_once(PREFIX));
    let mut lines = ours.map(|(_, line)| line.to_owned());
    Lines {
        // A process that ended before has no lines either.
        before: lines.next().and_then(|it| it.parse().ok()).unwrap_or(0),
        lines: lines.collect(),
    }
}

/// Describes a process of this program that does a share.
fn again(explore: &Explore, command: &[OsString], index: u64, of: u64) -> Command {
    let (ordinal, scenario) = (ORDINAL.get(), &explore.scenario.name);
    let (program, words) = command
        .split_first()
        .expect("invariant: a command has a program");
    let mut command = Command::new(program);
    command
        .args(words)
        .env(WORKER, format!("{index}/{of}/{ordinal}/{scenario}"))
        .stdin(Stdio::null());
    command
}

fn start(
    explore: &Explore,
    command: &[OsString],
    index: u64,
    of: u64,
    sender: &mpsc::Sender<Said>,
) -> Child {
    let child = again(explore, command, index, of)
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let out = child.stdout.take().expect("invariant: it was asked for");
    let sender = sender.clone();
    std::thread::spawn(move || {
        for text in BufReader::new(out).lines().map_while(Result::ok) {
            // The test harness may have written to the same line before.
            let ours = text.split_once(PREFIX).map(|(_, ours)| ours);
            if let Some(word) = ours.and_then(|ours| serde_json::from_str(ours).ok())
                && sender.send((index, Some(word))).is_err()
            {
                return;
            }
        }
        // Nobody listens any more when the result is known.
        let _ = sender.send((index, None));
    });
    child
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// What is said for a run that ended its process.
fn died(run: u64, status: Option<ExitStatus>, command: &[OsString], has_begun: bool) -> Line {
    let how = status.map_or_else(|| "nobody knows how".to_owned(), |it| it.to_string());
    let mut text = format!("it ended before its runs were done: {how}");
    if status.is_some_and(|status| status.success()) {
        let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
        let command = words.join(" ");
        text += &format!(
            "; a handler may have ended it, or `{command}` does not come to this exploration: on a thread that is not \
             called like its test, explore with `.jobs(1)`"
        );
    }
    let before = ORDINAL.get().saturating_sub(1);
    if before > 0 && !has_begun {
        text += &format!(
            "; it may have ended on the way to this exploration: of the {before} before it in its test nothing is run in \
             such a process, and what is asserted of their reports fails there: give each a test of its own, or explore \
             with `.jobs(1)`"
        );
    }
    let failure = Failure {
        property: SURVIVES.to_owned(),
        text,
        ..Failure::default()
    };
    failed(run, failure)
}

/// What is said for a run of which nothing is known but how it failed.
fn failed(run: u64, failure: Failure) -> Line {
    Line {
        run,
        failure: Some(failure),
        hash: String::new(),
        lasted_nanos: 0,
        marks: BTreeMap::new(),
        judged: BTreeSet::new(),
        requests: 0,
        choices: Vec::new(),
    }
}
