//! One process of `up`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::back_off::BackOff;
use crate::config::Supervision;
use crate::exit::{EXIT_CANNOT_START, EXIT_USAGE, Failure};
use crate::logging;

/// The longest line that is passed on in one piece.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What a look at a process found.
pub(super) enum Look {
    /// It runs, waits for its restart, or has ended as it was told to.
    Fine,
    /// It ended because it cannot be started: no restart would help.
    CannotStart(Failure),
}

/// A process, restarted when it dies.
pub(super) struct Child {
    name: String,
    prefix: String,
    args: Vec<String>,
    supervision: Supervision,
    process: Option<std::process::Child>,
    started: Instant,
    output: Vec<JoinHandle<()>>,
    back_off: BackOff,
    restart_at: Option<Instant>,
    /// It ended by itself and in order.
    done: bool,
    starts: usize,
}

impl Child {
    pub(super) fn new(
        name: &str,
        width: usize,
        args: Vec<String>,
        supervision: Supervision,
    ) -> Self {
        Self {
            name: name.to_owned(),
            prefix: format!("{name:width$} | "),
            args,
            supervision,
            process: None,
            started: Instant::now(),
            output: Vec::new(),
            back_off: BackOff::new(supervision),
            restart_at: None,
            done: false,
            starts: 0,
        }
    }

    /// Starts the process. Called on the main thread only: the process follows the thread that started it.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::cannot_start(format!("the process of `{}`: {error}", self.name))
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut process = Command::new(program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C on the terminal is for this process, which ends the others in order.
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        self.starts += 1;
        let pid = process.id();
        if self.starts == 1 {
            tracing::info!(component = %self.name, pid, "started");
        } else {
            tracing::warn!(component = %self.name, pid, "restarted");
        }
        self.output.retain(|thread| !thread.is_finished());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|it| Box::new(it) as _),
            process.stderr.take().map(|it| Box::new(it) as _),
        ];
        for stream in streams.into_iter().flatten() {
            let prefix = self.prefix.clone();
            let name = format!("output of {}", self.name);
            let pass_on = thread::Builder::new().name(name).stack_size(256 << 10);
            self.output.push(
                pass_on
                    .spawn(move || pass_on_lines(&prefix, stream))
                    .map_err(cannot)?,
            );
        }
        self.process = Some(process);
        self.started = Instant::now();
        self.restart_at = None;
        Ok(())
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// Notices its end, and restarts it when it is time.
    pub(super) fn look(&mut self) -> Result<Look, Failure> {
        let ended = self.process.as_mut().and_then(|it| it.try_wait().ok()?);
        let look = match ended {
            Some(status) => {
                let pid = self.process.take().map_or(0, |process| process.id());
                self.died(pid, status)
            }
            None => Look::Fine,
        };
        if self.restart_at.is_some_and(|at| at <= Instant::now()) {
            self.start()?;
        }
        Ok(look)
    }

    fn died(&mut self, pid: u32, status: ExitStatus) -> Look {
        let code = status.code();
        // What runs must not end because one process cannot come back: that one is tried again.
        if let Some(code @ (EXIT_USAGE_CODE | EXIT_CANNOT_START_CODE)) = code
            && self.starts == 1
        {
            self.wait_output();
            let code = u8::try_from(code).unwrap_or(EXIT_CANNOT_START);
            let what = format!("`{}` cannot be started; it says why above", self.name);
            return Look::CannotStart(Failure::new(code, what));
        }
        if code == Some(0) {
            tracing::info!(component = %self.name, pid, "ended by itself, in order");
            self.done = true;
            return Look::Fine;
        }
        let now = Instant::now();
        let pause = self.back_off.died(self.started, now);
        let how = how_it_ended(status);
        if pause.is_zero() {
            tracing::warn!(component = %self.name, pid, "died: {how}; restarting it");
        } else {
            tracing::error!(
                component = %self.name, pid,
                "died: {how}; it keeps dying, so it is restarted only in {pause:?}, and without a pause again \
                 once it has stayed up for {:?}",
                self.supervision.window
            );
        }
        self.restart_at = Some(now + pause);
        Look::Fine
    }

    /// Tells whether there is a process.
    pub(super) fn is_running(&mut self) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        match process.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                let refused = [EXIT_USAGE_CODE, EXIT_CANNOT_START_CODE];
                let before_it_listened = status.signal() == Some(Signal::TERM.as_raw());
                let in_order = status
                    .code()
                    .is_some_and(|it| it == 0 || refused.contains(&it));
                if !in_order && !before_it_listened {
                    let how = how_it_ended(status);
                    tracing::warn!(component = %self.name, pid = process.id(), "ended badly: {how}");
                }
                self.process = None;
                false
            }
            Err(_) => false,
        }
    }

    /// Asks it to finish what it has and end.
    pub(super) fn ask_to_end(&mut self) {
        self.restart_at = None;
        self.signal(Signal::TERM);
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        if self.is_running() {
            tracing::warn!(component = %self.name, "did not end in time and is killed");
            self.signal(Signal::KILL);
            if let Some(mut process) = self.process.take() {
                // It was killed: this does not take long.
                let _ = process.wait();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.as_ref().map(std::process::Child::id);
        let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // It fails when the process has just ended, which is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until everything it wrote has been passed on.
    pub(super) fn wait_output(&mut self) {
        for thread in self.output.drain(..) {
            // It has nothing that could panic.
            let _ = thread.join();
        }
    }
}

const EXIT_USAGE_CODE: i32 = EXIT_USAGE as i32;
const EXIT_CANNOT_START_CODE: i32 = EXIT_CANNOT_START as i32;

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!(
            "killed by {}{}",
            signal_hook::low_level::signal_name(signal).unwrap_or("signal"),
            if status.core_dumped() {
                ", core dumped"
            } else {
                ""
            }
        ),
        (None, None) => status.to_string(),
    }
}

/// Writes each line to standard error after the name of who wrote it. Lines of JSON name it themselves.
fn pass_on_lines(prefix: &str, from: impl Read) {
    let (on, off) = if logging::is_coloured() {
        ("\x1b[36m", "\x1b[0m")
    } else {
        ("", "")
    };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let mut text = Vec::with_capacity(prefix.len() + line.len() + 8);
        if line.first() != Some(&b'{') {
            text.extend_from_slice(format!("{on}{prefix}{off}").as_bytes());
        }
        text.extend_from_slice(&line);
        // With standard error gone there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(&text);
    }
}
