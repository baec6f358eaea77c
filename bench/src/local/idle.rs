//! The memory of instances that have started and do nothing.
//!
//! Each has a name, or whatever else its framework finds it by, and one word of state.

use bench_worker::{Job, Sample, Task, finish};
use monofil::{
    Component, ComponentSpec, Container, ContainerConfig, Context, HandlerError, Message, Reply,
};
use monofil_transport::{Driver, Node};

use crate::{memory, node, runtime};

/// Everything that is made before the first instance counts for none of them.
struct Scale {
    instances: usize,
    held: isize,
    resident: usize,
}

impl Scale {
    fn begin(job: &Job) -> Self {
        let Task::Idle { instances } = job.task else {
            unreachable!("the task is chosen by its row")
        };
        memory::count();
        Self {
            instances,
            held: memory::held(),
            resident: memory::resident(),
        }
    }

    fn end(&self) -> ! {
        let held = (memory::held() - self.held) as f64 / self.instances as f64;
        let resident = memory::resident().saturating_sub(self.resident) / self.instances;
        finish(Sample {
            amount: held,
            note: Some(format!("resident {resident} B")),
            ..Sample::default()
        })
    }
}

struct Idle(u64);

impl Component for Idle {
    fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
        self.0 += 1;
        Ok(Reply::Empty)
    }
}

/// Components of one container, each with an instance.
pub(crate) fn monofil(job: &Job) -> ! {
    let mut io = node::listening();
    let scale = Scale::begin(job);
    let idle = |number| ComponentSpec::new(format!("bench/{number}"), || Idle(0));
    let mut container = Container::new(ContainerConfig {
        components: (0..scale.instances).map(idle).collect(),
        ..ContainerConfig::new("bench", "idle")
    });
    while !container.is_ready() {
        let next = container.turn(&mut io);
        io.wait(next);
    }
    scale.end()
}

pub(crate) fn actix(job: &Job) -> ! {
    use actix::{Actor, Addr, Context, System};

    struct Idle {
        _count: u64,
    }
    impl Actor for Idle {
        type Context = Context<Self>;
    }

    System::new().block_on(async {
        let scale = Scale::begin(job);
        let start = |_| Idle { _count: 0 }.start();
        let all: Vec<Addr<Idle>> = (0..scale.instances).map(start).collect();
        // Lets each of them run for the first time.
        tokio::time::sleep(job.warm).await;
        assert!(all.iter().all(Addr::connected));
        scale.end()
    })
}

pub(crate) fn ractor(job: &Job) -> ! {
    use ractor::{Actor, ActorProcessingErr, ActorRef};

    struct Idle;
    impl Actor for Idle {
        type Msg = u64;
        type State = u64;
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<u64, ActorProcessingErr> {
            Ok(0)
        }
    }

    runtime::one_thread().block_on(async {
        let scale = Scale::begin(job);
        let mut all = Vec::with_capacity(scale.instances);
        for _ in 0..scale.instances {
            let (actor, _) = Actor::spawn(None, Idle, ()).await.expect("it starts");
            all.push(actor);
        }
        tokio::time::sleep(job.warm).await;
        scale.end()
    })
}

pub(crate) fn kameo(job: &Job) -> ! {
    use kameo::Actor;
    use kameo::actor::{ActorRef, Spawn};

    #[derive(Actor)]
    struct Idle {
        _count: u64,
    }

    runtime::one_thread().block_on(async {
        let scale = Scale::begin(job);
        let mut all: Vec<ActorRef<Idle>> = Vec::with_capacity(scale.instances);
        for _ in 0..scale.instances {
            all.push(Idle::spawn(Idle { _count: 0 }));
        }
        for actor in &all {
            actor.wait_for_startup().await;
        }
        scale.end()
    })
}
