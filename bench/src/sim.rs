//! Work in simulated worlds. Madsim's is a program of its own, in `madsim/`.

use std::cell::Cell;
use std::time::Duration;

use bench_worker::{Job, Sample, Stopwatch, finish};
use monofil_inproc::World;

pub(crate) mod containers;
pub(crate) mod heartbeats;
pub(crate) mod membership;
pub(crate) mod monofil;
pub(crate) mod turmoil;

/// Measures a world in which each node tells all others that it is there, and counts where it is heard.
fn measure_beats(
    job: &Job,
    world: &mut World,
    heard: &Cell<u64>,
    nodes: usize,
    period: Duration,
) -> ! {
    pass(world, job.warm);
    let from = heard.get();
    let sample = pass(world, job.window);
    let expected = sample.amount / period.as_secs_f64() * (nodes * (nodes - 1)) as f64;
    let beats = (heard.get() - from) as f64;
    let is_right = (beats / expected - 1.0).abs() < 0.01;
    assert!(is_right, "{beats} of {expected} were heard");
    finish(sample)
}

/// Lets simulated time pass in a world for as long as the window is on the real clock.
fn pass(world: &mut World, window: Duration) -> Sample {
    let (since, from) = (Stopwatch::start(), world.elapsed());
    while since.seconds() < window.as_secs_f64() {
        world.run_for(Duration::from_secs(10));
    }
    Sample {
        amount: (world.elapsed() - from).as_secs_f64(),
        seconds: since.seconds(),
        processor_seconds: since.processor_seconds(),
        ..Sample::default()
    }
}
