//! Two components of one container, through the code that `monofil-build` makes of their services.

use bench_worker::{Job, Meter, Task};
use monofil::{ComponentSpec, Context, StartReason, Status};

use super::BURST;
use crate::node;

mod proto {
    monofil::include_proto!();
}
use proto::bench::{
    Nothing, Number, Sink, SinkClient, SinkServer, Source, SourceClient, SourceServer,
};

pub(crate) fn run(job: &Job) -> ! {
    let (for_source, for_sink) = (job.clone(), job.clone());
    let calls = job.task == Task::LocalCall;
    let source = ComponentSpec::new("bench/source", move || {
        SourceServer::new(Pump {
            sink: SinkClient::new("sink"),
            next: 0,
            calls: calls.then(|| for_source.clone()),
        })
    });
    let sink = ComponentSpec::new("bench/sink", move || {
        SinkServer::new(Counter {
            source: SourceClient::new("source"),
            meter: Meter::new(&for_sink),
            until_go: BURST,
        })
    });
    node::serve(node::listening(), vec![sink, source], &[], |_| {})
}

struct Pump {
    sink: SinkClient,
    next: u64,
    /// Calls instead of casts.
    calls: Option<Job>,
}

impl Source for Pump {
    fn on_start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        match self.calls.take() {
            Some(job) => self.call(cx, &job),
            None => self.go(cx, Nothing {}).map(drop),
        }
    }

    fn go(&mut self, cx: &mut Context, _: Nothing) -> Result<Nothing, Status> {
        for _ in 0..BURST {
            let number = Number { value: self.next };
            self.sink.cast_take(cx, number).expect("there is room");
            self.next += 1;
        }
        Ok(Nothing {})
    }
}

impl Pump {
    /// Calls without an end, as a job does: what starts has no deadline, each call has its own.
    fn call(&mut self, cx: &mut Context, job: &Job) -> Result<(), Status> {
        let mut meter = Meter::new(job);
        loop {
            let number = Number { value: self.next };
            let reply = self.sink.echo(cx, number).expect("an answer");
            meter.take(reply.value);
            self.next += 1;
        }
    }
}

struct Counter {
    source: SourceClient,
    meter: Meter,
    until_go: u64,
}

impl Sink for Counter {
    fn take(&mut self, cx: &mut Context, number: Number) -> Result<Nothing, Status> {
        self.meter.take(number.value);
        self.until_go -= 1;
        if self.until_go == 0 {
            self.until_go = BURST;
            self.source.cast_go(cx, Nothing {}).expect("there is room");
        }
        Ok(Nothing {})
    }

    fn echo(&mut self, _: &mut Context, number: Number) -> Result<Number, Status> {
        Ok(number)
    }
}
