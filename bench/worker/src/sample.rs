//! What a process tells the one that started it.

use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What came of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Messages handled, simulated seconds, or bytes.
    pub amount: f64,
    /// The wall time it took.
    pub seconds: f64,
    /// The processor time that the measuring process used meanwhile.
    pub processor_seconds: f64,
    /// The median of the round trips, in nanoseconds, where each was measured.
    pub p50_ns: Option<f64>,
    /// Messages that were sent and did not come.
    pub lost: u64,
    /// What a reader should know besides.
    pub note: Option<String>,
}

/// One line of a process's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// The server listens here.
    Ready(String),
    /// The measurement is done.
    Done(Sample),
    /// It cannot be done.
    Failed(String),
}

impl Line {
    fn print(&self) {
        let text = serde_json::to_string(self).expect("a line can be written");
        let mut out = std::io::stdout().lock();
        // Nobody is left to tell when that fails.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// Says where this server listens.
pub fn ready(address: impl Into<String>) {
    Line::Ready(address.into()).print();
}

/// What is to be done before the process ends.
static BEFORE_THE_END: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());

/// Does something before the process ends, however that comes.
pub fn before_the_end(last: impl FnOnce() + Send + 'static) {
    lasts().push(Box::new(last));
}

fn lasts() -> MutexGuard<'static, Vec<Box<dyn FnOnce() + Send>>> {
    BEFORE_THE_END
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn end(code: i32) -> ! {
    let all: Vec<_> = lasts().drain(..).collect();
    all.into_iter().for_each(|last| last());
    std::process::exit(code)
}

/// Hands the sample over and ends the process, without a thought for what is still under way.
pub fn finish(sample: Sample) -> ! {
    Line::Done(sample).print();
    end(0)
}

/// Says why there will be no sample and ends the process.
pub fn fail(why: impl Into<String>) -> ! {
    Line::Failed(why.into()).print();
    end(1)
}

/// Ends the process when the one that started it does or wants it.
pub fn listen_for_the_end() {
    std::thread::spawn(|| {
        // An error is an end, too.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        end(0);
    });
}
