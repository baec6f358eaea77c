//! The same worlds as in the framework's pseudo-network, in madsim.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bench_worker::{Bounce, Job, Meter, Sample, Stopwatch, Task, finish, listen_for_the_end};
use madsim::Config;
use madsim::net::{Endpoint, Receiver, Sender};
use madsim::runtime::Runtime;
use madsim::task::spawn;
use madsim::time::sleep;

const PORT: u16 = 7700;
/// How long a frame is on the way.
const LATENCY: Duration = Duration::from_millis(1);

fn main() {
    listen_for_the_end();
    let job = Job::from_arguments();
    match job.task {
        Task::Frames { nodes, in_flight } => frames(&job, nodes, in_flight),
        Task::IdleWorld { nodes, period } => idle(&job, nodes, period),
        Task::Heartbeats { nodes, period } => heartbeats(&job, nodes, period),
        _ => bench_worker::fail("madsim has no such row"),
    }
}

fn world() -> Runtime {
    let mut config = Config::default();
    config.net.send_latency = LATENCY..LATENCY + Duration::from_nanos(1);
    Runtime::with_seed_and_config(1, config)
}

fn address(number: usize) -> SocketAddr {
    let [_, high, middle, low] = (number as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, high, middle, low], PORT))
}

fn frames(job: &Job, nodes: usize, in_flight: usize) {
    let world = world();
    let meter = Arc::new(Mutex::new(Meter::new(job)));
    for number in 0..nodes {
        let own = address(number);
        let node = world.create_node().ip(own.ip()).build();
        let neighbour = address((number + 1) % nodes);
        node.spawn(run(own, neighbour, in_flight, meter.clone()));
    }
    world.block_on(std::future::pending::<()>());
}

/// Keeps a number of frames on their way to its neighbour, which sends each back.
async fn run(own: SocketAddr, neighbour: SocketAddr, in_flight: usize, meter: Arc<Mutex<Meter>>) {
    let endpoint = Endpoint::bind(own).await.expect("a free port");
    let (listener, for_others) = (endpoint.clone(), meter.clone());
    spawn(async move {
        let (sender, receiver, _) = listener.accept1().await.expect("somebody connects");
        bounce(sender, receiver, in_flight, for_others).await;
    });
    // All listen then.
    sleep(LATENCY).await;
    let connected = endpoint.connect1(neighbour).await;
    let (sender, receiver) = connected.expect("the neighbour listens");
    for number in 0..in_flight {
        let sent = sender.send(Box::new(Bounce::frame(number))).await;
        sent.expect("the neighbour is there");
    }
    bounce(sender, receiver, in_flight, meter).await;
}

async fn bounce(
    sender: Sender,
    mut receiver: Receiver,
    in_flight: usize,
    meter: Arc<Mutex<Meter>>,
) {
    let mut order = Bounce::new(in_flight);
    while let Ok(frame) = receiver.recv().await {
        let bytes = frame.downcast_ref::<[u8; Bounce::BYTES]>();
        order.take(bytes.expect("it is a frame"));
        meter.lock().expect("nobody panicked").count();
        sender.send(frame).await.expect("the neighbour is there");
    }
}

fn heartbeats(job: &Job, nodes: usize, period: Duration) {
    let world = world();
    for me in 0..nodes {
        let node = world.create_node().ip(address(me).ip()).build();
        node.spawn(beat(me, nodes, period));
    }
    measure(job, &world);
}

/// Tells all others now and then that it is there, and hears them.
async fn beat(me: usize, nodes: usize, period: Duration) {
    let endpoint = Endpoint::bind(address(me)).await.expect("a free port");
    let listener = endpoint.clone();
    spawn(async move {
        let mut heard = [0; 8];
        loop {
            let received = listener.recv_from(1, &mut heard).await;
            received.expect("a datagram");
        }
    });
    loop {
        sleep(period).await;
        for other in (0..nodes).filter(|other| *other != me) {
            let sent = endpoint.send_to(address(other), 1, &[1]).await;
            sent.expect("it can be sent");
        }
    }
}

fn idle(job: &Job, nodes: usize, period: Duration) {
    let world = world();
    for number in 0..nodes {
        let node = world.create_node().ip(address(number).ip()).build();
        node.spawn(async move {
            loop {
                sleep(period).await;
            }
        });
    }
    measure(job, &world);
}

fn measure(job: &Job, world: &Runtime) {
    let (warm, window) = (job.warm, job.window);
    world.block_on(async move {
        pass(warm).await;
        finish(pass(window).await)
    });
}

/// Lets simulated time pass for as long as the window is on the real clock.
async fn pass(window: Duration) -> Sample {
    let since = Stopwatch::start();
    let mut simulated = Duration::ZERO;
    while since.seconds() < window.as_secs_f64() {
        let step = Duration::from_secs(10);
        sleep(step).await;
        simulated += step;
    }
    Sample {
        amount: simulated.as_secs_f64(),
        seconds: since.seconds(),
        processor_seconds: since.processor_seconds(),
        ..Sample::default()
    }
}
