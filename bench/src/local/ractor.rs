//! Two actors on a runtime of one thread, as a container has.

use bench_worker::{Job, Meter, Task};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::BURST;
use crate::runtime;

pub(crate) fn run(job: &Job) -> ! {
    let job = job.clone();
    runtime::one_thread().block_on(async move {
        let (_, done) = Actor::spawn(None, Source, job).await.expect("it starts");
        done.await.expect("it runs");
    });
    unreachable!("the meter ends the process")
}

enum ToSource {
    Go,
    /// Calls without an end.
    Call,
}

enum ToSink {
    Take(u64),
    Echo(u64, RpcReplyPort<u64>),
}

struct Source;

struct SourceState {
    sink: ActorRef<ToSink>,
    next: u64,
    job: Job,
}

impl Actor for Source {
    type Msg = ToSource;
    type State = SourceState;
    type Arguments = Job;

    async fn pre_start(
        &self,
        myself: ActorRef<ToSource>,
        job: Job,
    ) -> Result<SourceState, ActorProcessingErr> {
        let first = match job.task {
            Task::LocalCall => ToSource::Call,
            _ => ToSource::Go,
        };
        myself.cast(first)?;
        let (sink, _) = Actor::spawn(None, Sink, (myself, job.clone())).await?;
        Ok(SourceState { sink, next: 0, job })
    }

    async fn handle(
        &self,
        _: ActorRef<ToSource>,
        message: ToSource,
        state: &mut SourceState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ToSource::Go => {
                for _ in 0..BURST {
                    state.sink.cast(ToSink::Take(state.next))?;
                    state.next += 1;
                }
            }
            ToSource::Call => {
                let mut meter = Meter::new(&state.job);
                for number in 0.. {
                    meter.take(ractor::call!(state.sink, ToSink::Echo, number)?);
                }
            }
        }
        Ok(())
    }
}

struct Sink;

struct SinkState {
    source: ActorRef<ToSource>,
    meter: Meter,
    until_go: u64,
}

impl Actor for Sink {
    type Msg = ToSink;
    type State = SinkState;
    type Arguments = (ActorRef<ToSource>, Job);

    async fn pre_start(
        &self,
        _: ActorRef<ToSink>,
        (source, job): Self::Arguments,
    ) -> Result<SinkState, ActorProcessingErr> {
        Ok(SinkState {
            source,
            meter: Meter::new(&job),
            until_go: BURST,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<ToSink>,
        message: ToSink,
        state: &mut SinkState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ToSink::Take(number) => {
                state.meter.take(number);
                state.until_go -= 1;
                if state.until_go == 0 {
                    state.until_go = BURST;
                    state.source.cast(ToSource::Go)?;
                }
            }
            ToSink::Echo(number, port) => port.send(number)?,
        }
        Ok(())
    }
}
