//! Everything in this process, on an in-memory network paced by the real clock.

use std::process::ExitCode;

use monofil_inproc::{Paced, WorldConfig};

use super::Run;
use super::ending::Ending;
use super::pacer::RealPacer;
use super::watch::Sentinel;
use super::world::inhabit;
use crate::exit::Failure;

/// Runs components, each in a container of its own, until the job is done or a signal comes.
pub(crate) fn run(run: &Run, components: &[usize]) -> Result<ExitCode, Failure> {
    let config = WorldConfig {
        wall_start_micros: super::wall_micros(),
        ..WorldConfig::with_seed(run.seed)
    };
    let drain = run.settings.drain_deadline;
    let mut inhabited = inhabit(run, config, components, std::process::id())?;
    let watched = inhabited.watched();
    let pacer = RealPacer::start(
        run.settings.zmq.helpers_max,
        drain,
        inhabited.cluster.ended(),
    )?;
    let sentinel = Sentinel::start(
        watched,
        run.settings.zmq.stall_threshold,
        |handler, held| {
            tracing::warn!(%handler, ?held, "a handler holds the thread; everything else waits for it");
        },
    );
    let (nodes, job) = (inhabited.components, inhabited.job);
    let mut paced = Paced::new(inhabited.cluster.into_world(), pacer);
    let mut ending: Option<Ending> = None;
    let mut asked_before = 0;
    loop {
        paced.turn();
        let asked = paced.pacer().asked();
        let world = paced.world();
        if asked > asked_before {
            asked_before = asked;
            tracing::info!("asked to end");
            let ending = ending.get_or_insert_with(|| {
                run.interrupt();
                let callees_first: Vec<_> = nodes.iter().copied().chain(job).collect();
                Ending::begin(world, &callees_first, drain)
            });
            if asked > 1 {
                ending.now(world);
            }
        }
        if ending.is_none() && job.is_some_and(|job| world.has_ended(job)) {
            ending = Some(Ending::begin(world, &nodes, drain));
        }
        if ending.as_mut().is_some_and(|ending| ending.advance(world)) {
            break;
        }
    }
    drop(sentinel);
    drop(paced);
    monofil_zmq::exit_watchdog(super::EXIT_PATIENCE);
    run.verdict().map(|()| ExitCode::SUCCESS)
}
