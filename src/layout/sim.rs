//! Everything in a simulated world.

use std::process::ExitCode;

use monofil_inproc::{Latency, LinkModel, NodeKey, World, WorldConfig};
use monofil_sim::{Listening, guard};
use monofil_transport::Instant;

use super::ending::Ending;
use super::watch::Sentinel;
use super::world::{Inhabited, inhabit};
use super::{Run, pictures};
use crate::cli::SimArgs;
use crate::exit::{EXIT_FAILED, EXIT_STUCK, Failure, tell};
use crate::logging;

/// Runs the app with virtual time until its job is done.
pub(crate) fn run(run: &Run, args: &SimArgs) -> Result<ExitCode, Failure> {
    let began = std::time::Instant::now();
    let (min, max) = args.latency;
    let config = WorldConfig {
        link: LinkModel::with_latency(Latency::Uniform { min, max }),
        records_max: pictures::records_max(&args.pictures),
        ..WorldConfig::with_seed(run.seed)
    };
    let steps = Steps {
        wall_start: config.wall_start_micros,
        most: config.steps_per_instant_max,
        at_once: 0,
        run,
        listening: Listening::begin(),
    };
    logging::set_virtual_time(steps.wall_start);
    guard::arm(run.seed);
    let all: Vec<usize> = (0..run.components.len()).collect();
    let mut inhabited = inhabit(run, config, &all, 0)?;
    let ended = live(run, args, &mut inhabited, steps).and_then(|()| run.verdict());
    let world = inhabited.cluster.world();
    pictures::write(run, &args.pictures, world, ended.as_ref().err(), began)?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// The stack of the thread of a run, as a main thread has it.
const STACK_BYTES: usize = 8 << 20;

/// Does something on a thread of its own. Hash tables draw their keys once for each thread, and whatever has been done
/// on the main thread until now drew some that no seed decides.
pub(crate) fn apart<R: Send>(run: impl FnOnce() -> R + Send) -> Result<R, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("sim".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, run)
            .map_err(|error| Failure::cannot_start(format!("no thread can be had: {error}")))?;
        let ended = thread.join();
        Ok(ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Lets the job be done and everything end.
fn live(
    run: &Run,
    args: &SimArgs,
    inhabited: &mut Inhabited,
    mut steps: Steps<'_>,
) -> Result<(), Failure> {
    let patience = args.patience;
    let sentinel = (!patience.is_zero()).then(|| {
        Sentinel::start(inhabited.watched(), patience, move |handler, held| {
            Failure::new(
                EXIT_STUCK,
                format!("`{handler}` has held the thread for {held:.0?}"),
            )
            .note("nothing else happens in a simulated world meanwhile, so the run is given up")
            .note("if it has so much to compute, give it more time: --patience 60s")
            .report();
            std::process::exit(EXIT_STUCK.into());
        })
    });
    let limit = args
        .until
        .map_or(Instant::FAR_FUTURE, |until| Instant::ZERO + until);
    let (world, nodes) = (inhabited.cluster.world_mut(), &inhabited.components);
    work(run, world, inhabited.job, limit, &mut steps)?;
    let mut ending = Ending::begin(world, nodes, run.settings.drain_deadline);
    while !ending.advance(world) {
        steps.take(world)?;
    }
    drop(sentinel);
    if args.trace_hash {
        tell(format_args!("trace hash {}", world.trace_hash()));
    }
    Ok(())
}

/// Lets time pass until the job has ended, or `limit` has come.
fn work(
    run: &Run,
    world: &mut World,
    job: Option<NodeKey>,
    limit: Instant,
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    while !job.is_some_and(|job| world.has_ended(job)) {
        if world.now() >= limit {
            let Some(job) = &run.job else {
                return Ok(());
            };
            let what = format!("{} was not done at {} of simulated time", job.name(), limit);
            return Err(Failure::new(EXIT_FAILED, what).note("give it longer: --until DURATION"));
        }
        steps.take(world)?;
    }
    Ok(())
}

/// One step after the other, and a look at what components say and whether time passes.
struct Steps<'a> {
    wall_start: u64,
    most: u64,
    at_once: u64,
    run: &'a Run,
    listening: Listening,
}

impl Steps<'_> {
    fn take(&mut self, world: &mut World) -> Result<(), Failure> {
        let before = world.now();
        if !world.step() {
            let what =
                format!("at {before} nothing will ever happen again, and the run is not over");
            return Err(Failure::new(EXIT_STUCK, what));
        }
        if let Some(leaked) = guard::leaked() {
            let what = format!("at {before} {}", leaked.text);
            return Err(Failure::new(EXIT_FAILED, what)
                .note("a seed is one run only if handlers take time, random numbers and helpers from their context"));
        }
        if let Some((property, text)) = self.listening.broken()
            && !self.is_of_the_job()
        {
            let what = format!("{property} at {}: {text}", world.now());
            return Err(Failure::new(EXIT_FAILED, what));
        }
        if world.now() > before {
            self.at_once = 0;
            logging::set_virtual_time(self.wall_start + world.now().as_nanos() / 1000);
            return Ok(());
        }
        self.at_once += 1;
        if self.at_once < self.most {
            return Ok(());
        }
        let what = format!("time does not get past {before}: components keep each other busy");
        Err(Failure::new(EXIT_STUCK, what)
            .note("something sends messages in a circle without ever waiting"))
    }

    /// Tells whether the job has ended badly: that is said of it when everything has ended.
    fn is_of_the_job(&self) -> bool {
        let job = self.run.job.as_ref();
        job.is_some_and(|job| job.is_over() && job.verdict().is_err())
    }
}
