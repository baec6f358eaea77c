//! Remote calls in ractor_cluster: an actor of one node calls an actor of another.

use std::net::TcpListener;
use std::time::Duration;

use bench_worker::{Job, Laps, Meter, Role, Task, fail, listen_for_the_end, number, ready};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage};

const GROUP: &str = "sinks";

fn main() {
    listen_for_the_end();
    std::panic::set_hook(Box::new(|panic| fail(panic.to_string())));
    let job = Job::from_arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match &job.role {
            Role::Client { address } => speak(&job, address).await,
            _ => listen().await,
        }
    });
}

#[derive(RactorClusterMessage)]
enum ToSink {
    #[rpc]
    Echo(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

struct Sink;

impl Actor for Sink {
    type Msg = ToSink;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, own: ActorRef<ToSink>, (): ()) -> Result<(), ActorProcessingErr> {
        pg::join(GROUP.to_owned(), vec![own.get_cell()]);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<ToSink>,
        ToSink::Echo(payload, port): ToSink,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(port.send(payload)?)
    }
}

async fn node(name: &str, port: u16) -> ActorRef<NodeServerMessage> {
    let server = NodeServer::new(
        port,
        "cookie".to_owned(),
        name.to_owned(),
        "localhost".to_owned(),
        None,
        None,
    );
    let server = server.with_listen_addr([127, 0, 0, 1].into());
    let (node, _) = Actor::spawn(None, server, ()).await.expect("it starts");
    node
}

async fn listen() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port();
    let (_, sink) = Actor::spawn(None, Sink, ()).await.expect("it starts");
    let _node = node("server", port).await;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ready(format!("127.0.0.1:{port}"));
    sink.await.expect("it runs");
}

async fn speak(job: &Job, address: &str) {
    let node = node("client", 0).await;
    ractor_cluster::client_connect(&node, address)
        .await
        .expect("it listens");
    let sink: ActorRef<ToSink> = loop {
        match pg::get_members(&GROUP.to_owned()).pop() {
            Some(found) => break found.into(),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    match job.task {
        Task::Call { outstanding: 1, .. } => laps(&sink, job).await,
        Task::Call { outstanding, .. } => calls(&sink, job, outstanding).await,
        _ => fail("ractor_cluster has no such row"),
    }
}

fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![7; bytes];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

async fn echo(sink: &ActorRef<ToSink>, number: u64, bytes: usize) {
    let answer = call!(sink, ToSink::Echo, payload(number, bytes)).expect("an answer");
    if crate::number(&answer) != number || answer.len() != bytes {
        fail(format!("the answer to message {number} is another"));
    }
}

async fn laps(sink: &ActorRef<ToSink>, job: &Job) {
    let mut laps = Laps::new(job);
    for number in 0.. {
        laps.begin();
        echo(sink, number, job.bytes()).await;
        laps.end();
    }
}

async fn calls(sink: &ActorRef<ToSink>, job: &Job, outstanding: usize) {
    let mut meter = Meter::new(job);
    let mut under_way = FuturesUnordered::new();
    for number in 0.. {
        under_way.push(echo(sink, number, job.bytes()));
        if under_way.len() == outstanding {
            under_way.next().await;
            // They may overtake one another.
            meter.count();
        }
    }
}
