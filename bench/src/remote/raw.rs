//! libzmq and nothing else: a DEALER that sends and a ROUTER that receives, one part for each message.

use std::collections::VecDeque;

use bench_worker::{Job, Laps, Meter, Role, Task, number, ready};
use zmq::{Context, Message, Socket, SocketType};

use super::{Payloads, answered};

pub(crate) fn run(job: &Job) -> ! {
    let context = Context::new();
    match (&job.role, job.task) {
        (Role::Server, Task::Cast { .. }) => sink(&listen(&context), job),
        (Role::Server, _) => echo(&listen(&context)),
        (_, Task::Cast { bytes }) => source(&connect(&context, job), bytes),
        (_, Task::Call { outstanding: 1, .. }) => laps(&connect(&context, job), job),
        (_, Task::Call { outstanding, .. }) => calls(&connect(&context, job), job, outstanding),
        _ => unreachable!("the task is chosen by its row"),
    }
}

fn listen(context: &Context) -> Socket {
    let socket = context.socket(SocketType::ROUTER).expect("a socket");
    socket.bind("tcp://127.0.0.1:*").expect("a free port");
    let endpoint = socket.get_last_endpoint().expect("it is bound");
    ready(endpoint.expect("it is text"));
    socket
}

fn connect(context: &Context, job: &Job) -> Socket {
    let socket = context.socket(SocketType::DEALER).expect("a socket");
    socket.connect(job.address()).expect("an address");
    socket
}

fn sink(socket: &Socket, job: &Job) -> ! {
    let mut meter = Meter::new(job);
    let mut part = Message::new();
    loop {
        socket.recv(&mut part, 0).expect("an identity");
        socket.recv(&mut part, 0).expect("a message");
        meter.take(number(&part));
    }
}

fn source(socket: &Socket, bytes: usize) -> ! {
    let mut payloads = Payloads::of(bytes);
    for number in 0.. {
        socket.send(payloads.get(number), 0).expect("it is sent");
    }
    unreachable!("numbers do not end")
}

fn echo(socket: &Socket) -> ! {
    loop {
        let (mut identity, mut message) = (Message::new(), Message::new());
        socket.recv(&mut identity, 0).expect("an identity");
        socket.recv(&mut message, 0).expect("a message");
        let parts = [identity, message];
        socket.send_multipart(parts, 0).expect("it is sent");
    }
}

fn laps(socket: &Socket, job: &Job) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut laps = Laps::new(job);
    let mut answer = Message::new();
    for number in 0.. {
        laps.begin();
        socket.send(payloads.get(number), 0).expect("it is sent");
        socket.recv(&mut answer, 0).expect("an answer");
        laps.end();
        answered(&answer, number, job.bytes());
    }
    unreachable!("numbers do not end")
}

fn calls(socket: &Socket, job: &Job, outstanding: usize) -> ! {
    let mut payloads = Payloads::of(job.bytes());
    let mut meter = Meter::new(job);
    let mut answer = Message::new();
    let mut under_way = VecDeque::new();
    for number in 0.. {
        socket.send(payloads.get(number), 0).expect("it is sent");
        under_way.push_back(number);
        if under_way.len() == outstanding {
            let first = under_way.pop_front().expect("there are some");
            socket.recv(&mut answer, 0).expect("an answer");
            meter.take(answered(&answer, first, job.bytes()));
        }
    }
    unreachable!("numbers do not end")
}
