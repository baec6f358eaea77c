//! Two actors on a runtime of one thread, as a container has.

use bench_worker::{Job, Meter, Task};
use kameo::actor::{ActorRef, Spawn};
use kameo::message::{Context, Message};
use kameo::{Actor, mailbox};

use super::BURST;
use crate::runtime;

pub(crate) fn run(job: &Job) -> ! {
    let job = job.clone();
    runtime::one_thread().block_on(async move {
        let sink = Sink {
            source: None,
            meter: Meter::new(&job),
            until_go: BURST,
        };
        // A bounded mailbox has permits to count besides.
        let sink = Sink::spawn_with_mailbox(sink, mailbox::unbounded());
        let calls = job.task == Task::LocalCall;
        let source = Source {
            sink: sink.clone(),
            next: 0,
            job,
        };
        let source = Source::spawn_with_mailbox(source, mailbox::unbounded());
        sink.ask(Meet(source.clone())).await.expect("it runs");
        if calls {
            source.tell(Call).await.expect("it runs");
        } else {
            source.tell(Go).await.expect("it runs");
        }
        source.wait_for_shutdown().await;
    });
    unreachable!("the meter ends the process")
}

struct Go;
/// Calls without an end.
struct Call;
struct Take(u64);
struct Echo(u64);
struct Meet(ActorRef<Source>);

#[derive(Actor)]
struct Source {
    sink: ActorRef<Sink>,
    next: u64,
    job: Job,
}

impl Message<Go> for Source {
    type Reply = ();

    async fn handle(&mut self, _: Go, _: &mut Context<Self, ()>) {
        for _ in 0..BURST {
            let sent = self.sink.tell(Take(self.next)).try_send();
            sent.expect("it runs");
            self.next += 1;
        }
    }
}

impl Message<Call> for Source {
    type Reply = ();

    async fn handle(&mut self, _: Call, _: &mut Context<Self, ()>) {
        let mut meter = Meter::new(&self.job);
        for number in 0.. {
            meter.take(self.sink.ask(Echo(number)).await.expect("an answer"));
        }
    }
}

#[derive(Actor)]
struct Sink {
    source: Option<ActorRef<Source>>,
    meter: Meter,
    until_go: u64,
}

impl Message<Meet> for Sink {
    type Reply = ();

    async fn handle(&mut self, Meet(source): Meet, _: &mut Context<Self, ()>) {
        self.source = Some(source);
    }
}

impl Message<Take> for Sink {
    type Reply = ();

    async fn handle(&mut self, Take(number): Take, _: &mut Context<Self, ()>) {
        self.meter.take(number);
        self.until_go -= 1;
        if self.until_go == 0 {
            self.until_go = BURST;
            let source = self.source.as_ref().expect("it met the source");
            source.tell(Go).try_send().expect("it runs");
        }
    }
}

impl Message<Echo> for Sink {
    type Reply = u64;

    async fn handle(&mut self, Echo(number): Echo, _: &mut Context<Self, u64>) -> u64 {
        number
    }
}
