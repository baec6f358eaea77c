//! Two actors of one arbiter, which is a thread.

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, ResponseFuture, System};
use bench_worker::{Job, Meter, Task};

use super::BURST;

pub(crate) fn run(job: &Job) -> ! {
    let job = job.clone();
    let system = System::new();
    system.block_on(async move {
        Source::create(|cx| {
            let sink = Sink {
                source: cx.address(),
                meter: Meter::new(&job),
                until_go: BURST,
            };
            Source {
                sink: sink.start(),
                next: 0,
                job,
            }
        });
    });
    system.run().expect("the system runs");
    unreachable!("the meter ends the process")
}

#[derive(Message)]
#[rtype(result = "()")]
struct Go;

#[derive(Message)]
#[rtype(result = "()")]
struct Take(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Echo(u64);

/// Calls without an end.
#[derive(Message)]
#[rtype(result = "()")]
struct Call;

struct Source {
    sink: Addr<Sink>,
    next: u64,
    job: Job,
}

impl Actor for Source {
    type Context = Context<Self>;

    fn started(&mut self, cx: &mut Self::Context) {
        match self.job.task {
            Task::LocalCall => cx.notify(Call),
            _ => cx.notify(Go),
        }
    }
}

impl Handler<Go> for Source {
    type Result = ();

    fn handle(&mut self, _: Go, _: &mut Self::Context) {
        for _ in 0..BURST {
            self.sink.do_send(Take(self.next));
            self.next += 1;
        }
    }
}

impl Handler<Call> for Source {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Call, _: &mut Self::Context) -> Self::Result {
        let (sink, mut meter) = (self.sink.clone(), Meter::new(&self.job));
        Box::pin(async move {
            for number in 0.. {
                meter.take(sink.send(Echo(number)).await.expect("an answer"));
            }
        })
    }
}

struct Sink {
    source: Addr<Source>,
    meter: Meter,
    until_go: u64,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Take> for Sink {
    type Result = ();

    fn handle(&mut self, Take(number): Take, _: &mut Self::Context) {
        self.meter.take(number);
        self.until_go -= 1;
        if self.until_go == 0 {
            self.until_go = BURST;
            self.source.do_send(Go);
        }
    }
}

impl Handler<Echo> for Sink {
    type Result = u64;

    fn handle(&mut self, Echo(number): Echo, _: &mut Self::Context) -> u64 {
        number
    }
}
