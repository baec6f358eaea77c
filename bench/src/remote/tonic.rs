//! gRPC: casts as a stream of requests, calls as unary ones, or both ways over one stream.

use std::pin::Pin;

use bench_worker::{Job, Laps, Meter, Role, Task, number, ready};
use bytes::Bytes;
use futures::stream::{self, FuturesUnordered};
use futures::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::{Payloads, answered};
use crate::runtime;

mod proto {
    #![expect(
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    tonic::include_proto!("peer");
}
use proto::Chunk;
use proto::chunks_client::ChunksClient;
use proto::chunks_server::{Chunks, ChunksServer};

/// What HTTP/2 lets wait unacknowledged; its default of 64 KiB is for the open internet.
const WINDOW_BYTES: u32 = 4 << 20;

pub(crate) fn run(job: &Job) -> ! {
    runtime::all_processors().block_on(async {
        match &job.role {
            Role::Client { address } => speak(job, address).await,
            _ => listen(job).await,
        }
    })
}

async fn listen(job: &Job) -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let own = listener.local_addr().expect("it is bound");
    ready(format!("http://{own}"));
    let service = ChunksServer::new(Service { job: job.clone() });
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .expect("it serves");
    unreachable!("it is never told to end")
}

struct Service {
    job: Job,
}

type Answers = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

#[tonic::async_trait]
impl Chunks for Service {
    async fn take(&self, chunks: Request<Streaming<Chunk>>) -> Result<Response<Chunk>, Status> {
        let mut chunks = chunks.into_inner();
        let mut meter = Meter::new(&self.job);
        while let Some(chunk) = chunks.message().await? {
            meter.take(number(&chunk.data));
        }
        Ok(Response::new(Chunk::default()))
    }

    async fn echo(&self, chunk: Request<Chunk>) -> Result<Response<Chunk>, Status> {
        Ok(Response::new(chunk.into_inner()))
    }

    type EchoAllStream = Answers;

    async fn echo_all(
        &self,
        chunks: Request<Streaming<Chunk>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new(Box::pin(chunks.into_inner())))
    }
}

async fn speak(job: &Job, address: &str) -> ! {
    let channel = Endpoint::from_shared(address.to_owned())
        .expect("an address")
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect()
        .await
        .expect("it listens");
    let client = ChunksClient::new(channel);
    let streams = job.contender == "tonic stream";
    match job.task {
        Task::Cast { bytes } => cast(client, bytes).await,
        Task::Call { outstanding: 1, .. } if streams => laps_of_stream(client, job).await,
        Task::Call { outstanding, .. } if streams => call_all(client, job, outstanding).await,
        Task::Call { outstanding: 1, .. } => laps(client, job).await,
        Task::Call { outstanding, .. } => call(client, job, outstanding).await,
        _ => unreachable!("the task is chosen by its row"),
    }
}

fn chunk(data: Bytes) -> Chunk {
    Chunk { data }
}

async fn cast(mut client: ChunksClient<Channel>, bytes: usize) -> ! {
    let mut payloads = Payloads::of(bytes);
    let chunks = stream::iter((0..).map(move |number| chunk(payloads.make(number))));
    client.take(chunks).await.expect("it is taken");
    unreachable!("numbers do not end")
}

async fn laps(mut client: ChunksClient<Channel>, job: &Job) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut laps = Laps::new(job);
    for number in 0.. {
        laps.begin();
        let answer = client.echo(chunk(payloads.make(number))).await;
        let answer = answer.expect("an answer").into_inner();
        laps.end();
        answered(&answer.data, number, job.bytes());
    }
    unreachable!("numbers do not end")
}

async fn call(client: ChunksClient<Channel>, job: &Job, outstanding: usize) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut meter = Meter::new(job);
    let mut under_way = FuturesUnordered::new();
    let mut next = 0;
    loop {
        while under_way.len() < outstanding {
            let (mut client, number) = (client.clone(), next);
            let chunk = chunk(payloads.make(number));
            next += 1;
            under_way.push(async move { (number, client.echo(chunk).await) });
        }
        let (number, answer) = under_way.next().await.expect("there are some");
        let answer = answer.expect("an answer").into_inner();
        answered(&answer.data, number, job.bytes());
        // They overtake one another.
        meter.count();
    }
}

/// One stream each way: gRPC's way to batch calls, at the price of matching answers by hand.
async fn streams(
    mut client: ChunksClient<Channel>,
    outstanding: usize,
) -> (mpsc::Sender<Chunk>, Streaming<Chunk>) {
    let (calls, receiver) = mpsc::channel(outstanding);
    let answers = client.echo_all(ReceiverStream::new(receiver)).await;
    (calls, answers.expect("it is taken").into_inner())
}

async fn answer(answers: &mut Streaming<Chunk>) -> Bytes {
    let answer = answers.message().await.expect("it is open");
    answer.expect("an answer").data
}

async fn laps_of_stream(client: ChunksClient<Channel>, job: &Job) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let (calls, mut answers) = streams(client, 1).await;
    let mut laps = Laps::new(job);
    for number in 0.. {
        laps.begin();
        let sent = calls.send(chunk(payloads.make(number))).await;
        sent.expect("it is open");
        let answer = answer(&mut answers).await;
        laps.end();
        answered(&answer, number, job.bytes());
    }
    unreachable!("numbers do not end")
}

async fn call_all(client: ChunksClient<Channel>, job: &Job, outstanding: usize) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let (calls, mut answers) = streams(client, outstanding).await;
    let mut meter = Meter::new(job);
    for next in 0.. {
        let sent = calls.send(chunk(payloads.make(next))).await;
        sent.expect("it is open");
        if let Some(number) = (next + 1).checked_sub(outstanding as u64) {
            let answer = answer(&mut answers).await;
            meter.take(answered(&answer, number, job.bytes()));
        }
    }
    unreachable!("numbers do not end")
}
