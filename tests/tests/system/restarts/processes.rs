//! Two processes and a link between them, over sockets.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command};
use std::thread;
use std::time::{Duration, Instant};

use monofil_tests::{Journal, Ledger, PATIENCE, Program, Scheme, eventually, number};
use monofil_transport::Stream;
use rustix::process::Signal;
use tempfile::TempDir;

use super::history::{Event, History, Totals};
use super::{UNSETTLED, judge, millis, report};

/// So many casts may be unsettled.
const UNSETTLED_MAX: u64 = 16_384;
/// So many calls may be under way.
const CALLS_MAX: u64 = 32;
/// The sender's memory may grow by so much while nobody takes what it sends.
const GROWTH_MAX: u64 = 32 << 20;

/// A sender and its receiver.
struct Pair {
    directory: TempDir,
    endpoint: String,
    sender: Program,
    input: ChildStdin,
    receiver: Option<Program>,
    life: u64,
    history: History,
}

/// What the sender has.
#[derive(Clone, Copy, Debug)]
struct Look {
    unsettled: u64,
    sent: u64,
    refused: u64,
    dropped: u64,
    links_ended: u64,
}

impl Pair {
    fn start(scheme: Scheme) -> Self {
        let directory = tempfile::Builder::new().prefix("mf").tempdir();
        let directory = directory.expect("a directory");
        let endpoint = match scheme {
            Scheme::Tcp => "tcp://127.0.0.1:*".to_owned(),
            Scheme::Ipc => format!("ipc://{}/two", directory.path().display()),
        };
        let journal = directory.path().join("1");
        let (receiver, endpoint) = receiver(&endpoint, &journal, 1);
        let mut sender = Program::start(
            victim("sends", &endpoint)
                .arg(directory.path().join("sender"))
                .arg(UNSETTLED_MAX.to_string()),
        );
        let input = sender.input();
        Self {
            directory,
            endpoint,
            sender,
            input,
            receiver: Some(receiver),
            life: 1,
            history: History::default(),
        }
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join(self.life.to_string())
    }

    /// Returns how many messages the receiver has handled in this life.
    fn handled(&self) -> u64 {
        Ledger::count(&self.journal())
    }

    fn look(&mut self) -> Look {
        writeln!(self.input, "look").expect("it is there");
        self.sender.wait_for(parse)
    }

    /// Waits until enough is under way on the link with the receiver that is there now.
    fn wait_for_load(&mut self) -> Look {
        let begun = Instant::now();
        loop {
            let look = self.look();
            let is_new = look.links_ended + 1 == self.life && self.handled() > 0;
            if is_new && look.unsettled >= UNSETTLED {
                return look;
            }
            assert!(begun.elapsed() < PATIENCE, "no load: {look:?}");
        }
    }

    /// Kills the receiver. Nobody hears of it but by what it does not say any more. So much of what it handled may not
    /// be known to have been.
    fn kill(&mut self, most: u64) {
        self.receiver.take().expect("it runs").kill();
        self.history.extend(Ledger::read(&self.journal()));
        self.history.extend([Event::LifeEnded { most }]);
        fs::remove_file(self.journal()).expect("it was there");
    }

    fn restart(&mut self) {
        self.life += 1;
        let (receiver, _) = receiver(&self.endpoint, &self.journal(), self.life);
        self.receiver = Some(receiver);
    }

    /// Lets everything end, and judges.
    fn end(mut self, label: &str) -> (Totals, Look) {
        writeln!(self.input, "end").expect("it is there");
        self.sender.wait_for(|line| (line == "done").then_some(()));
        let look = self.sender.seen(parse).expect("its last look");
        assert_eq!(look.dropped, 0, "{label}: {look:?}");
        self.kill(0);
        let sent = Journal::read(&self.directory.path().join("sender"));
        self.history.extend(sent);
        let totals = judge(self.history, label);
        assert_eq!(totals.casts + totals.calls, look.sent, "{label}");
        (totals, look)
    }
}

fn parse(line: &str) -> Option<Look> {
    let numbers = line.strip_prefix("there ")?.split(' ');
    let numbers: Vec<u64> = numbers.map(|it| it.parse().expect("a number")).collect();
    let [unsettled, sent, refused, dropped, links_ended] = numbers[..] else {
        panic!("{line}");
    };
    Some(Look {
        unsettled,
        sent,
        refused,
        dropped,
        links_ended,
    })
}

fn victim(part: &str, endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
    command.args([part, endpoint]);
    command
}

/// Starts a receiver, and returns where it is.
fn receiver(endpoint: &str, journal: &PathBuf, life: u64) -> (Program, String) {
    let mut command = victim("takes", endpoint);
    let mut program = Program::start(command.arg(journal).arg(life.to_string()));
    let at = program.wait_for(|line| line.strip_prefix("at ").map(str::to_owned));
    (program, at)
}

fn kill_over(scheme: Scheme) {
    let label = format!("{scheme:?}");
    let rounds = number("ROUNDS").unwrap_or(3);
    let mut random = Stream::new(number("SEED").unwrap_or(1), "restarts/rounds");
    let mut pair = Pair::start(scheme);
    let (mut met, mut busy, mut sent) = (Vec::new(), Duration::ZERO, 0);
    for _ in 0..rounds {
        let first = pair.wait_for_load();
        let loaded = Instant::now();
        // It is in the middle of something, each time of something else.
        thread::sleep(millis(&mut random, 20, 200));
        let look = pair.wait_for_load();
        pair.kill(UNSETTLED_MAX + CALLS_MAX);
        (busy, sent) = (busy + loaded.elapsed(), sent + look.sent - first.sent);
        met.push(look.unsettled);
        thread::sleep(millis(&mut random, 0, 50));
        pair.restart();
    }
    pair.wait_for_load();
    let (totals, look) = pair.end(&label);
    assert_eq!(look.links_ended, rounds, "{label}: {look:?}");
    let rate = u128::from(sent) * 1000 / busy.as_millis().max(1);
    println!("{label}: {rate} messages/s up to the kills, {look:?}");
    report(&label, &totals, met);
}

#[test]
fn a_receiver_that_is_killed_under_load_loses_nothing_silently_over_tcp() {
    kill_over(Scheme::Tcp);
}

#[test]
fn a_receiver_that_is_killed_under_load_loses_nothing_silently_over_unix_sockets() {
    kill_over(Scheme::Ipc);
}

/// Returns how much memory a process has in bytes.
fn resident(program: &Program) -> u64 {
    let process = program.process().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it is there");
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = size.and_then(|size| size.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("a size in kB") << 10
}

fn stop_over(scheme: Scheme) {
    let label = format!("{scheme:?}");
    let stopped = Duration::from_secs(number("SECONDS_STOPPED").unwrap_or(2));
    let mut pair = Pair::start(scheme);
    pair.wait_for_load();
    thread::sleep(Duration::from_secs(1));
    let (before, memory) = (pair.wait_for_load(), resident(&pair.sender));
    let receiver = pair.receiver.as_ref().expect("it runs");
    receiver.signal(Signal::STOP);
    let (begun, mut most, mut full) = (Instant::now(), memory, 0);
    while begun.elapsed() < stopped {
        thread::sleep(Duration::from_millis(50));
        most = most.max(resident(&pair.sender));
        let look = pair.look();
        full = full.max(look.unsettled);
    }
    let during = pair.look();
    let handled = pair.handled();
    let receiver = pair.receiver.as_ref().expect("it runs");
    receiver.signal(Signal::CONT);
    eventually("it goes on", || {
        pair.look().sent > during.sent + 30_000 && pair.handled() > handled + 30_000
    });
    let after = resident(&pair.sender);
    let (totals, look) = pair.end(&label);
    let kib = |bytes| bytes >> 10;
    println!(
        "{label}: stopped for {stopped:?}, the sender's memory was {} KiB before, at most {} KiB meanwhile, \
         {} KiB after; {full} unsettled at most; meanwhile {} sent, {} refused; {look:?}: {totals:#?}",
        kib(memory),
        kib(most),
        kib(after),
        during.sent - before.sent,
        during.refused - before.refused,
    );
    assert_eq!(look.links_ended, 0, "{label}: it is the same link");
    assert!(
        during.refused > before.refused,
        "{label}: nobody was refused"
    );
    assert!(most < memory + GROWTH_MAX, "{label}: {memory} {most}");
}

#[test]
fn a_receiver_that_stops_for_a_while_costs_its_sender_no_memory_over_tcp() {
    stop_over(Scheme::Tcp);
}

#[test]
fn a_receiver_that_stops_for_a_while_costs_its_sender_no_memory_over_unix_sockets() {
    stop_over(Scheme::Ipc);
}
