//! The app that the tests of the program run: it does what nobody would want a component to do.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use monofil::prelude::*;

/// Answers JSON with JSON, or misbehaves, as the method says.
struct Worker {
    handled: u64,
}

impl Component for Worker {
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        self.handled += 1;
        match message.method().as_str() {
            "echo" => Ok(Reply::Payload(message.payload().clone())),
            "count" => Ok(Reply::Payload(
                Payload::json(&self.handled).map_err(internal)?,
            )),
            "process" => Ok(Reply::Payload(
                Payload::json(&std::process::id()).map_err(internal)?,
            )),
            "spin" => {
                let began = Instant::now();
                while seconds(&message).is_none_or(|most| began.elapsed() < most) {
                    std::hint::spin_loop();
                }
                Ok(Reply::Empty)
            }
            "table" => {
                let table: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
                let order: Vec<_> = table.into_keys().collect();
                Ok(Reply::Payload(Payload::json(&order).map_err(internal)?))
            }
            "sleep" => {
                cx.sleep(seconds(&message).unwrap_or_default())
                    .map_err(internal)?;
                Ok(Reply::Empty)
            }
            "fail" => Err(Status::failed_precondition("not today").into()),
            "panic" => panic!("as asked"),
            "doubt" => {
                monofil::sim::always(false, "nobody doubts");
                Ok(Reply::Empty)
            }
            "log" => {
                tracing::warn!(answer = 42, "something was noticed");
                Ok(Reply::Empty)
            }
            "block" => {
                let pause = seconds(&message).unwrap_or_default();
                let work = move || {
                    std::thread::sleep(pause);
                    std::thread::current().name().map(String::from)
                };
                let id = cx.blocking(work).map_err(internal)?;
                Ok(Reply::Payload(Payload::json(&id).map_err(internal)?))
            }
            other => Err(HandlerError::Unimplemented(format!(
                "there is no `{other}`"
            ))),
        }
    }

    fn stop(&mut self, _: &mut Context) {
        tracing::info!(handled = self.handled, "stopped");
    }
}

/// How long a caller wants something to take: a number, or anything else for ever.
fn seconds(message: &Message) -> Option<Duration> {
    let seconds: f64 = message.payload().to_json().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

/// Passes everything on to the worker, unless it is to say that it is there, to sleep for an hour, or to tell the worker
/// something without waiting for an answer.
#[derive(Default)]
struct Relay {
    /// Why casts came back.
    returned: Vec<String>,
}

impl Component for Relay {
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        match message.method().as_str() {
            "here" => return Ok(Reply::Empty),
            "sleep" => cx.sleep(Duration::from_secs(3600)).map_err(internal)?,
            "tell" => {
                let deadline = seconds(&message).unwrap_or_default();
                for _ in 0..20 {
                    let cast = Request::new("worker", "echo", Payload::default());
                    cx.cast(cast.with_deadline(deadline)).map_err(internal)?;
                }
                return Ok(Reply::Empty);
            }
            "returned" => {
                let returned = Payload::json(&self.returned).map_err(internal)?;
                return Ok(Reply::Payload(returned));
            }
            _ => {}
        }
        let request = Request::new("worker", message.method(), message.payload().clone());
        cx.call(request)
            .map(Reply::Payload)
            .map_err(|error| internal(error).into())
    }

    fn undelivered(&mut self, _: &mut Context, undelivered: Undelivered) {
        self.returned.push(undelivered.error.to_string());
    }
}

/// What the job is to do.
#[derive(clap::Args, Clone, Debug)]
struct Args {
    /// Call the worker by way of the relay so many times
    #[arg(long, default_value_t = 10)]
    times: u64,
    /// Then call this method of the worker, or `sleep` of the relay
    #[arg(long)]
    then: Option<String>,
    /// Then panic
    #[arg(long)]
    panic: bool,
}

fn work(cx: &mut Context, job: &Job<Args>) -> Result<(), Status> {
    let failed = |error: CallError| Status::internal(error.to_string());
    let mut last = 0_u64;
    for _ in 0..job.args().times {
        let request = Request::new("relay", "count", Payload::default());
        last = cx
            .call(request)
            .and_then(|it| it.to_json())
            .map_err(failed)?;
    }
    if let Some(method) = &job.args().then {
        let target = if method == "sleep" { "relay" } else { "worker" };
        let request = Request::new(target, method.as_str(), Payload::default());
        let request = request
            .with_deadline(Duration::from_secs(7200))
            .with_flow("inspection");
        cx.call(request).map_err(failed)?;
    }
    assert!(!job.args().panic, "as asked");
    println!(
        "layout {}, seed {}, {last} handled",
        job.layout(),
        job.seed()
    );
    Ok(())
}

fn main() -> ExitCode {
    App::new("app")
        .about("Does what nobody would want")
        .component("worker", || Worker { handled: 0 })
        .component("relay", Relay::default)
        .limits(
            "relay",
            InstanceLimits {
                queue_messages: 77,
                ..InstanceLimits::default()
            },
        )
        .job::<Args>("work", work)
        .main()
}
