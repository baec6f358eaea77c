//! Two components in two containers, over ZeroMQ, with payloads of plain bytes.

use std::collections::VecDeque;

use bench_worker::{Job, Laps, Meter, Role, Task, number, ready};
use monofil::{
    Caller, Component, ComponentSpec, Context, HandlerError, Message, Name, Payload, RawPending,
    Reply, Request, StartReason, Status,
};

use super::{Payloads, answered};
use crate::node;

/// Casts under way at most: what an instance queues unless it is told otherwise.
const CASTS: usize = 1024;
/// Their bytes at most: well within an instance's queue and a link's window.
const CAST_BYTES: usize = 8 << 20;
/// They come in so many bursts.
const BURSTS: usize = 8;

pub(crate) fn run(job: &Job) -> ! {
    let io = node::listening();
    let job = job.clone();
    match &job.role {
        Role::Client { address } => {
            let sink = ("bench/sink", address.parse().expect("an address"));
            let source = ComponentSpec::new("bench/source", move || Source::new(&job));
            node::serve(io, vec![source], &[sink], |_| {})
        }
        Role::Server | Role::Alone => {
            let sink = ComponentSpec::new("bench/sink", move || Sink::new(&job));
            node::serve(io, vec![sink], &[], |own| ready(own))
        }
    }
}

/// Counts casts, or answers calls.
struct Sink {
    meter: Meter,
    counts: bool,
}

impl Sink {
    fn new(job: &Job) -> Self {
        Self {
            meter: Meter::new(job),
            counts: matches!(job.task, Task::Cast { .. }),
        }
    }
}

impl Component for Sink {
    fn handle(&mut self, _: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        let payload = message.payload();
        if self.counts {
            self.meter.take(number(&payload.to_bytes()));
            return Ok(Reply::Empty);
        }
        Ok(Reply::Payload(payload.clone()))
    }
}

/// Sends as a job does: in `start`, which has no deadline, while each message has its own.
struct Source {
    job: Job,
    payloads: Payloads,
    sink: Name,
    method: Name,
    next: u64,
    under_way: VecDeque<RawPending>,
}

impl Component for Source {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        match self.job.task {
            Task::Cast { bytes } => self.cast(cx, CASTS.min(CAST_BYTES / bytes) / BURSTS),
            Task::Call { outstanding: 1, .. } => self.laps(cx),
            Task::Call { outstanding, .. } => self.call(cx, outstanding),
            _ => unreachable!("the task is chosen by its row"),
        }
    }

    fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        Ok(Reply::Empty)
    }
}

impl Source {
    fn new(job: &Job) -> Self {
        Self {
            job: job.clone(),
            payloads: Payloads::of(job.bytes()),
            sink: "bench/sink".into(),
            method: "take".into(),
            next: 0,
            under_way: VecDeque::new(),
        }
    }

    fn request(&mut self) -> Request {
        let payload = Payload::bytes(self.payloads.make(self.next));
        self.next += 1;
        Request::new(&self.sink, &self.method, payload)
    }

    /// Casts without an end. The last message of each burst is a call, whose answer says that the sink has
    /// had them all: nothing else tells a sender how much room there is in an instance's queue.
    fn cast(&mut self, cx: &mut Context, burst: usize) -> Result<(), Status> {
        loop {
            for _ in 1..burst {
                let request = self.request();
                cx.cast(request).expect("there is room");
            }
            let last = self.request();
            self.under_way.push_back(cx.start_call(last));
            if self.under_way.len() == BURSTS {
                let first = self.under_way.pop_front().expect("there are some");
                cx.wait(first).expect("an answer");
            }
        }
    }

    fn laps(&mut self, cx: &mut Context) -> Result<(), Status> {
        let mut laps = Laps::new(&self.job);
        for number in 0.. {
            laps.begin();
            let request = self.request();
            let answer = cx.call(request).expect("an answer");
            laps.end();
            answered(&answer.to_bytes(), number, self.job.bytes());
        }
        Ok(())
    }

    fn call(&mut self, cx: &mut Context, outstanding: usize) -> Result<(), Status> {
        let mut meter = Meter::new(&self.job);
        for number in 0.. {
            while self.under_way.len() < outstanding {
                let request = self.request();
                self.under_way.push_back(cx.start_call(request));
            }
            let first = self.under_way.pop_front().expect("there are some");
            let answer = cx.wait(first).expect("an answer");
            meter.take(answered(&answer.to_bytes(), number, self.job.bytes()));
        }
        Ok(())
    }
}
