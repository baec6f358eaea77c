//! Whole containers that tell each other all the time that they are there.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bench_worker::{Job, Task};
use monofil::sim::Sim;
use monofil::{
    Caller, Component, ComponentSpec, Context, HandlerError, Message, Name, Payload, Reply,
    Request, StartReason, Status,
};
use monofil_inproc::{Latency, LinkModel, WorldConfig};

use super::measure_beats;

pub(crate) fn run(job: &Job) -> ! {
    let Task::Heartbeats { nodes, period } = job.task else {
        unreachable!("the task is chosen by its row")
    };
    let mut sim = Sim::with(
        "bench",
        WorldConfig {
            link: LinkModel::with_latency(Latency::Constant(Duration::from_millis(1))),
            ..WorldConfig::with_seed(1)
        },
    );
    let names: Vec<Name> = (0..nodes).map(|it| format!("node-{it}").into()).collect();
    let heard = Rc::new(Cell::new(0));
    for me in &names {
        let others = names.iter().filter(|it| *it != me).cloned();
        let (others, heard, me) = (others.collect::<Vec<_>>(), heard.clone(), me.clone());
        sim.component(me.clone().as_str(), move || {
            let (others, heard, me) = (others.clone(), heard.clone(), me.clone());
            ComponentSpec::new(me.clone(), move || Heart {
                me: me.clone(),
                others: others.clone(),
                period,
                heard: heard.clone(),
            })
        });
    }
    measure_beats(job, sim.world_mut(), &heard, nodes, period)
}

struct Heart {
    me: Name,
    others: Vec<Name>,
    period: Duration,
    heard: Rc<Cell<u64>>,
}

impl Heart {
    fn beat_again(&self, cx: &mut Context) -> Result<(), Status> {
        let beat = Request::new(&self.me, "Beat", Payload::default());
        Ok(cx.after(self.period, beat)?)
    }
}

impl Component for Heart {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        self.beat_again(cx)
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        if message.method().as_str() == "Heard" {
            self.heard.set(self.heard.get() + 1);
            return Ok(Reply::Empty);
        }
        for other in &self.others {
            cx.cast(Request::new(other, "Heard", Payload::default()))?;
        }
        self.beat_again(cx)?;
        Ok(Reply::Empty)
    }
}
