//! Sees that a handler holds the thread for too long.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Waker;
use monofil_transport::{Event, Inbox, Progress, Running, WatchAnswer};

/// How often it looks while the node works.
const PERIOD_AWAKE_MAX: Duration = Duration::from_millis(100);
/// How often it looks while the node sleeps.
const PERIOD_ASLEEP_MAX: Duration = Duration::from_millis(500);
/// How often it looks, and reads datagrams, while a handler holds the thread.
const PERIOD_STALLED: Duration = Duration::from_millis(10);
/// Datagrams kept for the node while a handler holds the thread.
const KEPT_MAX: usize = 1024;

/// A thread that looks at [`Progress`] now and then and touches no component.
///
/// The node pays nothing for it but two relaxed stores around each sleep. Nobody wakes the thread: it
/// looks a few times a second, less often while the node sleeps.
pub(crate) struct Sentinel {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    progress: Arc<Progress>,
    threshold: Duration,
    bytes_max: usize,
    datagrams: Option<UdpSocket>,
    waker: Arc<Waker>,
    answer: Mutex<Option<Box<dyn WatchAnswer>>>,
    stalls: Mutex<Vec<(Arc<str>, u64)>>,
    /// Invariant: at most `KEPT_MAX` long.
    kept: Mutex<VecDeque<(SocketAddr, Bytes)>>,
    any_kept: AtomicBool,
    asleep: AtomicBool,
    ended: AtomicBool,
    answered: AtomicU64,
    dropped: AtomicU64,
}

impl Sentinel {
    pub(crate) fn start(
        threshold: Duration,
        datagrams: Option<UdpSocket>,
        bytes_max: usize,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            progress: Arc::default(),
            threshold,
            bytes_max,
            datagrams,
            waker,
            answer: Mutex::default(),
            stalls: Mutex::default(),
            kept: Mutex::default(),
            any_kept: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("monofil-watch".to_owned())
            .stack_size(256 << 10)
            .spawn(move || watching.watch())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.shared.progress)
    }

    pub(crate) fn install_answer(&self, answer: Box<dyn WatchAnswer>) {
        *lock(&self.shared.answer) = Some(answer);
    }

    pub(crate) fn stalls(&self) -> Vec<(Arc<str>, u64)> {
        lock(&self.shared.stalls).clone()
    }

    /// Says that the node is about to sleep, or has woken.
    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.shared.asleep.store(asleep, Ordering::Relaxed);
    }

    /// Tells whether [`Sentinel::receive`] would find something.
    pub(crate) fn has_kept(&self) -> bool {
        self.shared.any_kept.load(Ordering::Acquire)
    }

    /// Hands over the datagrams that arrived while a handler held the thread.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> u64 {
        let mut kept = lock(&self.shared.kept);
        self.shared.any_kept.store(false, Ordering::Relaxed);
        let count = kept.len() as u64;
        for (from, payload) in kept.drain(..) {
            inbox.push(Event::Datagram { from, payload });
        }
        count
    }

    /// Returns how many probes were answered and how many datagrams dropped during stalls.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.shared.answered.load(Ordering::Relaxed),
            self.shared.dropped.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It can only have failed by a panic in an answer, which was reported then.
            let _ = thread.join();
        }
    }
}

/// A handler that has been on the thread for at least two looks.
struct Held {
    running: Running,
    since: Instant,
    /// When it is reported (again).
    report_after: Duration,
    stalled: bool,
}

impl Held {
    fn new(running: Running, threshold: Duration) -> Self {
        Self {
            running,
            since: Instant::now(),
            report_after: threshold,
            stalled: false,
        }
    }
}

impl Shared {
    fn watch(&self) {
        let mut held: Option<Held> = None;
        let mut buffer = vec![0; self.bytes_max + 1];
        loop {
            thread::park_timeout(self.period(held.as_ref()));
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            held = self.look(held);
            if let Some(held) = held.as_ref().filter(|held| held.stalled) {
                self.stand_in(held, &mut buffer);
            }
        }
    }

    fn period(&self, held: Option<&Held>) -> Duration {
        if held.is_some_and(|held| held.stalled) {
            PERIOD_STALLED
        } else if self.asleep.load(Ordering::Relaxed) {
            PERIOD_ASLEEP_MAX.min(self.threshold)
        } else {
            PERIOD_AWAKE_MAX.min(self.threshold / 4)
        }
    }

    fn look(&self, held: Option<Held>) -> Option<Held> {
        let running = self.progress.running();
        match (held, running) {
            (Some(mut held), Some(running)) if held.running.entry == running.entry => {
                self.report(&mut held);
                Some(held)
            }
            (before, running) => {
                if let Some(before) = before.filter(|before| before.stalled) {
                    tracing::info!(handler = %before.running, held = ?before.since.elapsed(),
                        "the handler has given the thread back");
                }
                running.map(|running| Held::new(running, self.threshold))
            }
        }
    }

    /// Reports a handler at the threshold, at twice, at four times as long, and so on.
    fn report(&self, held: &mut Held) {
        let elapsed = held.since.elapsed();
        if elapsed < held.report_after {
            return;
        }
        tracing::warn!(handler = %held.running, held = ?elapsed,
            "a handler holds the thread; the other instances of its container wait for it");
        held.report_after = held.report_after.saturating_mul(2);
        if !held.stalled {
            held.stalled = true;
            let mut stalls = lock(&self.stalls);
            match stalls
                .iter_mut()
                .find(|(name, _)| *name == held.running.handler)
            {
                Some((_, count)) => *count += 1,
                None => stalls.push((Arc::clone(&held.running.handler), 1)),
            }
        }
    }

    /// Answers liveness probes in the node's place, and keeps everything else for it.
    fn stand_in(&self, held: &Held, buffer: &mut [u8]) {
        let Some(socket) = &self.datagrams else {
            return;
        };
        // Without an answer the kernel's buffer is the better place to wait.
        let mut answer = lock(&self.answer);
        let Some(answer) = answer.as_mut() else {
            return;
        };
        for _ in 0..KEPT_MAX {
            let (len, from) = match socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            if len > self.bytes_max {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let datagram = &buffer[..len];
            match answer.busy(from, datagram, &held.running, held.since.elapsed()) {
                Some(reply) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    // It may be lost like any datagram; the next probe is answered again.
                    let _ = socket.send_to(&reply, from);
                }
                None => self.keep(from, datagram),
            }
        }
    }

    fn keep(&self, from: SocketAddr, datagram: &[u8]) {
        let mut kept = lock(&self.kept);
        if kept.len() >= KEPT_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        kept.push_back((from, Bytes::copy_from_slice(datagram)));
        self.any_kept.store(true, Ordering::Release);
        drop(kept);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a datagram that was kept could not wake its node");
        }
    }
}

/// Locks what no panic can have left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
