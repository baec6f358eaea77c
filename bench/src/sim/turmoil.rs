//! The same worlds in turmoil, with datagrams: with a constant latency they keep their order.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bench_worker::{Bounce, Job, Meter, Sample, Stopwatch, Task, finish};
use turmoil::net::UdpSocket;
use turmoil::{Builder, Sim};

const PORT: u16 = 7700;
/// How long a frame is on the way, and how far one step goes.
const LATENCY: Duration = Duration::from_millis(1);

pub(crate) fn run(job: &Job) -> ! {
    match job.task {
        Task::Frames { nodes, in_flight } => frames(job, nodes, in_flight),
        Task::IdleWorld { nodes, period } => idle(job, nodes, period),
        Task::Heartbeats { nodes, period } => heartbeats(job, nodes, period),
        _ => unreachable!("the task is chosen by its row"),
    }
}

fn world<'a>(in_flight: usize) -> Sim<'a> {
    Builder::new()
        .simulation_duration(Duration::MAX)
        .tick_duration(LATENCY)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .udp_capacity(in_flight * 4)
        .rng_seed(1)
        .build()
}

fn frames(job: &Job, nodes: usize, in_flight: usize) -> ! {
    let mut sim = world(in_flight);
    // A large world may take longer for one step than the whole window.
    let every = if nodes < 1000 { 256 } else { 1 };
    let meter = Rc::new(RefCell::new(Meter::looking_every(job, every)));
    for number in 0..nodes {
        let neighbour = name((number + 1) % nodes);
        let meter = meter.clone();
        sim.host(name(number), move || {
            bounce(neighbour.clone(), in_flight, meter.clone())
        });
    }
    loop {
        sim.step().expect("no host fails");
    }
}

fn name(number: usize) -> String {
    format!("node-{number}")
}

/// Keeps a number of frames on their way to its neighbour, which sends each back.
async fn bounce(neighbour: String, in_flight: usize, meter: Rc<RefCell<Meter>>) -> turmoil::Result {
    let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), PORT)).await?;
    // All are bound then.
    tokio::time::sleep(LATENCY).await;
    let neighbour = SocketAddr::new(turmoil::lookup(neighbour), PORT);
    for number in 0..in_flight {
        socket.send_to(&Bounce::frame(number), neighbour).await?;
    }
    let (mut there, mut back) = (Bounce::new(in_flight), Bounce::new(in_flight));
    let mut frame = [0; Bounce::BYTES];
    loop {
        let (length, from) = socket.recv_from(&mut frame).await?;
        let order = if from == neighbour {
            &mut back
        } else {
            &mut there
        };
        order.take(&frame[..length]);
        meter.borrow_mut().count();
        socket.send_to(&frame[..length], from).await?;
    }
}

fn heartbeats(job: &Job, nodes: usize, period: Duration) -> ! {
    let mut sim = world(nodes);
    for me in 0..nodes {
        sim.host(name(me), move || beat(me, nodes, period));
    }
    measure(job, sim)
}

/// Tells all others now and then that it is there, and hears them.
async fn beat(me: usize, nodes: usize, period: Duration) -> turmoil::Result {
    let socket = UdpSocket::bind((IpAddr::from([0, 0, 0, 0]), PORT)).await?;
    let others: Vec<_> = (0..nodes)
        .filter(|other| *other != me)
        .map(|other| SocketAddr::new(turmoil::lookup(name(other)), PORT))
        .collect();
    let mut beats = tokio::time::interval(period);
    let mut heard = [0; 8];
    loop {
        tokio::select! {
            _ = beats.tick() => {
                for other in &others {
                    socket.send_to(&[1], *other).await?;
                }
            }
            received = socket.recv_from(&mut heard) => drop(received?),
        }
    }
}

fn idle(job: &Job, nodes: usize, period: Duration) -> ! {
    let mut sim = world(1);
    for number in 0..nodes {
        sim.host(name(number), move || async move {
            loop {
                tokio::time::sleep(period).await;
            }
        });
    }
    measure(job, sim)
}

fn measure(job: &Job, mut sim: Sim<'_>) -> ! {
    let mut pass = |window: Duration| {
        let (since, from) = (Stopwatch::start(), sim.elapsed());
        while since.seconds() < window.as_secs_f64() {
            sim.step().expect("no host fails");
        }
        Sample {
            amount: (sim.elapsed() - from).as_secs_f64(),
            seconds: since.seconds(),
            processor_seconds: since.processor_seconds(),
            ..Sample::default()
        }
    };
    pass(job.warm);
    finish(pass(job.window))
}
