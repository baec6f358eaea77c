//! Nodes with trivial handlers in a world.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bench_worker::{Bounce, Job, Meter, Task, finish};
use bytes::Bytes;
use monofil_inproc::{Latency, LinkModel, NodeSpec, World, WorldConfig, application_endpoint};
use monofil_transport::{Clock, ConnectionId, Event, Inbox, Instant, Io, Next, Node, Plane, Route};

use super::{measure_beats, pass};

/// How long a frame is on the way.
const LATENCY: Duration = Duration::from_millis(1);

pub(crate) fn run(job: &Job) -> ! {
    match job.task {
        Task::Frames { nodes, in_flight } => frames(job, nodes, in_flight),
        Task::IdleWorld { nodes, period } => idle(job, nodes, period),
        Task::Heartbeats { nodes, period } => heartbeats(job, nodes, period),
        _ => unreachable!("the task is chosen by its row"),
    }
}

fn frames(job: &Job, nodes: usize, in_flight: usize) -> ! {
    let mut world = World::new(WorldConfig {
        link: LinkModel {
            frames_max: in_flight as u32,
            ..LinkModel::with_latency(Latency::Constant(LATENCY))
        },
        ..WorldConfig::with_seed(1)
    });
    let meter = Rc::new(RefCell::new(Meter::new(job)));
    for number in 0..nodes {
        let meter = meter.clone();
        let added = world.add_node(NodeSpec::new(number.to_string()), move |_| {
            Box::new(Bouncer {
                neighbour: ((number + 1) % nodes).to_string(),
                in_flight,
                connection: None,
                inbox: Inbox::new(),
                there: Bounce::new(in_flight),
                back: Bounce::new(in_flight),
                meter: meter.clone(),
            })
        });
        added.expect("another name");
    }
    loop {
        world.run_for(Duration::from_secs(3600));
    }
}

/// Keeps a number of frames on their way to its neighbour, which sends each back.
struct Bouncer {
    neighbour: String,
    in_flight: usize,
    connection: Option<ConnectionId>,
    inbox: Inbox,
    /// Those that its other neighbour sends.
    there: Bounce,
    /// Its own, coming back.
    back: Bounce,
    meter: Rc<RefCell<Meter>>,
}

impl Node for Bouncer {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        if self.connection.is_none() {
            self.begin(io);
        }
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            let Event::Frame { from, frame, .. } = event else {
                continue;
            };
            match from {
                Route::Connection(_) => self.back.take(&frame),
                Route::Return(..) => self.there.take(&frame),
            }
            self.meter.borrow_mut().count();
            io.send(&from, frame).expect("there is room");
        }
        Next::Idle
    }
}

impl Bouncer {
    fn begin(&mut self, io: &mut dyn Io) {
        let endpoint = application_endpoint(&self.neighbour).expect("an endpoint");
        let connection = io.connect(Plane::Application, &endpoint);
        let connection = connection.expect("it can be tried");
        self.connection = Some(connection);
        for number in 0..self.in_flight {
            let frame = Bytes::copy_from_slice(&Bounce::frame(number));
            let sent = io.send(&Route::Connection(connection), frame);
            sent.expect("there is room");
        }
    }
}

/// Tells all others now and then that it is there, and hears them.
struct Beating {
    others: Vec<SocketAddr>,
    period: Duration,
    next: Instant,
    inbox: Inbox,
    heard: Rc<Cell<u64>>,
}

impl Node for Beating {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            if let Event::Datagram { .. } = event {
                self.heard.set(self.heard.get() + 1);
            }
        }
        if io.now() >= self.next {
            for other in &self.others {
                io.send_datagram(*other, &[1]).expect("it can be sent");
            }
            self.next = io.now() + self.period;
        }
        Next::At(self.next)
    }
}

fn heartbeats(job: &Job, nodes: usize, period: Duration) -> ! {
    let mut world = World::new(WorldConfig {
        link: LinkModel::with_latency(Latency::Constant(LATENCY)),
        ..WorldConfig::with_seed(1)
    });
    let heard = Rc::new(Cell::new(0));
    for me in 0..nodes {
        // Where the world puts its nodes, in their order.
        let address = |node: usize| SocketAddr::from(([10, 0, 0, node as u8], 7700));
        let others = (0..nodes).filter(|other| *other != me).map(address);
        let (others, heard) = (others.collect::<Vec<_>>(), heard.clone());
        let added = world.add_node(NodeSpec::new(me.to_string()), move |_| {
            Box::new(Beating {
                others: others.clone(),
                period,
                next: Instant::ZERO + period,
                inbox: Inbox::new(),
                heard: heard.clone(),
            })
        });
        added.expect("another name");
    }
    measure_beats(job, &mut world, &heard, nodes, period)
}

/// Wakes up now and then.
struct Ticker(Duration);

impl Node for Ticker {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        Next::At(io.now() + self.0)
    }
}

fn idle(job: &Job, nodes: usize, period: Duration) -> ! {
    let mut world = World::new(WorldConfig::with_seed(1));
    for number in 0..nodes {
        let added = world.add_node(NodeSpec::new(number.to_string()), move |_| {
            Box::new(Ticker(period))
        });
        added.expect("another name");
    }
    pass(&mut world, job.warm);
    finish(pass(&mut world, job.window))
}
