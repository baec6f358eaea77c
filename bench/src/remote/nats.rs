//! NATS: two clients of a broker, which is a third process.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Subscriber};
use bench_worker::{Job, Laps, Meter, Role, Task, before_the_end, number, ready};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{Payloads, answered};
use crate::port::free_port;
use crate::runtime;

/// Messages that the sink says it has had, at once; and as many bytes.
const BURST: usize = 2048;
const BURST_BYTES: usize = 1 << 20;
/// How many bursts are under way. A broker cuts off a subscriber that falls behind, so somebody must wait.
const BURSTS: usize = 8;

/// Finds the broker on the `PATH`.
pub(crate) fn broker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
}

pub(crate) fn run(job: &Job) -> ! {
    let runtime = runtime::all_processors();
    match &job.role {
        Role::Client { address } => runtime.block_on(speak(job, address)),
        Role::Server | Role::Alone => {
            let address = start_broker();
            runtime.block_on(serve(job, &address))
        }
    }
}

fn start_broker() -> String {
    let port = free_port();
    let program = broker().expect("the broker was there when the row was chosen");
    let mut broker = Command::new(program)
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the broker starts");
    before_the_end(move || {
        // It may have ended by itself.
        let _ = broker.kill();
        let _ = broker.wait();
    });
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    format!("127.0.0.1:{port}")
}

async fn connect(address: &str) -> Client {
    let options = ConnectOptions::new();
    options.connect(address).await.expect("the broker is there")
}

fn burst(bytes: usize) -> usize {
    BURST.min(BURST_BYTES / bytes)
}

async fn serve(job: &Job, address: &str) -> ! {
    let client = connect(address).await;
    let mut messages = client.subscribe("sink").await.expect("a subscription");
    client.flush().await.expect("the broker is there");
    ready(address);
    if let Task::Cast { bytes } = job.task {
        count(&client, &mut messages, job, burst(bytes)).await
    }
    while let Some(message) = messages.next().await {
        let reply = message.reply.expect("it is a request");
        let sent = client.publish(reply, message.payload).await;
        sent.expect("the broker is there");
    }
    unreachable!("a subscription does not end")
}

async fn count(client: &Client, messages: &mut Subscriber, job: &Job, burst: usize) -> ! {
    let mut meter = Meter::new(job);
    let mut until_go = burst;
    while let Some(message) = messages.next().await {
        meter.take(number(&message.payload));
        until_go -= 1;
        if until_go == 0 {
            until_go = burst;
            let sent = client.publish("go", "".into()).await;
            sent.expect("the broker is there");
        }
    }
    unreachable!("a subscription does not end")
}

async fn speak(job: &Job, address: &str) -> ! {
    let client = connect(address).await;
    match job.task {
        Task::Cast { bytes } => cast(&client, bytes).await,
        Task::Call { outstanding: 1, .. } => laps(&client, job).await,
        Task::Call { outstanding, .. } => call(&client, job, outstanding).await,
        _ => unreachable!("the task is chosen by its row"),
    }
}

async fn cast(client: &Client, bytes: usize) -> ! {
    let mut gone = client.subscribe("go").await.expect("a subscription");
    client.flush().await.expect("the broker is there");
    let mut payloads = Payloads::of(bytes);
    let mut next = 0;
    for burst_number in 0.. {
        for _ in 0..burst(bytes) {
            let sent = client.publish("sink", payloads.make(next)).await;
            sent.expect("the broker is there");
            next += 1;
        }
        if burst_number + 1 >= BURSTS {
            gone.next().await.expect("the sink is there");
        }
    }
    unreachable!("numbers do not end")
}

async fn laps(client: &Client, job: &Job) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut laps = Laps::new(job);
    for number in 0.. {
        laps.begin();
        let answer = client.request("sink", payloads.make(number)).await;
        let answer = answer.expect("an answer");
        laps.end();
        answered(&answer.payload, number, job.bytes());
    }
    unreachable!("numbers do not end")
}

async fn call(client: &Client, job: &Job, outstanding: usize) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut meter = Meter::new(job);
    let mut under_way = FuturesUnordered::new();
    let mut next = 0;
    loop {
        while under_way.len() < outstanding {
            let (number, payload) = (next, payloads.make(next));
            next += 1;
            under_way.push(async move { (number, client.request("sink", payload).await) });
        }
        let (number, answer) = under_way.next().await.expect("there are some");
        let answer = answer.expect("an answer");
        answered(&answer.payload, number, job.bytes());
        // They may overtake one another.
        meter.count();
    }
}
