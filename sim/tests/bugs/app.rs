//! What the apps are written with: components that speak in numbers, and disks that outlive them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Component, ComponentSpec, Context, HandlerError, Message, Payload, Reply,
    Request, StartReason, Status,
};
use monofil_sim::linearizability::{Model, STEPS_MAX, check};
use monofil_sim::{SharedHistory, Sim};

/// What a component of these apps does.
pub(crate) trait Server: 'static {
    /// Runs when its node starts.
    fn start(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// Answers a call.
    fn handle(
        &mut self,
        cx: &mut Context,
        method: &str,
        args: &[i64],
    ) -> Result<Vec<i64>, CallError>;
}

struct Adapter<S>(S);

impl<S: Server> Component for Adapter<S> {
    fn start(&mut self, cx: &mut Context, _: StartReason) -> Result<(), Status> {
        self.0.start(cx);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        let args = decode(message.payload());
        let reply = self.0.handle(cx, message.method().as_str(), &args)?;
        Ok(Reply::Payload(encode(&reply)))
    }
}

/// Adds a component on a node of its own. It is made anew each time the node starts.
pub(crate) fn serve<S: Server>(sim: &mut Sim, name: &'static str, make: impl Fn() -> S + 'static) {
    sim.component(name, spec(name, make));
}

/// Adds a node with a component that answers, and one that does things by itself: while that waits for others, its
/// node answers them.
pub(crate) fn serve_both<S: Server, T: Server>(
    sim: &mut Sim,
    name: &'static str,
    answers: impl Fn() -> S + 'static,
    (acting, acts): (&'static str, impl Fn() -> T + 'static),
) {
    sim.node_with(
        name,
        vec![Rc::new(spec(name, answers)), Rc::new(spec(acting, acts))],
    );
}

fn spec<S: Server>(
    name: &'static str,
    make: impl Fn() -> S + 'static,
) -> impl Fn() -> ComponentSpec {
    let make = Rc::new(make);
    move || {
        let make = make.clone();
        ComponentSpec::new(name, move || Adapter(make()))
    }
}

/// What a node keeps although it dies.
pub(crate) type Disk<T> = Rc<RefCell<T>>;

fn encode(numbers: &[i64]) -> Payload {
    let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    Payload::bytes(bytes)
}

fn decode(payload: &Payload) -> Vec<i64> {
    let bytes = payload.to_bytes();
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|it| i64::from_le_bytes(*it)).collect()
}

/// Makes a request.
pub(crate) fn request(target: &str, method: &str, args: &[i64]) -> Request {
    Request::new(target, method, encode(args))
}

/// Calls and waits.
pub(crate) fn ask(
    cx: &mut Context,
    target: &str,
    method: &str,
    args: &[i64],
) -> Result<Vec<i64>, CallError> {
    cx.call(request(target, method, args)).map(|it| decode(&it))
}

/// Calls and waits, not longer than so many milliseconds.
pub(crate) fn ask_within(
    cx: &mut Context,
    millis: u64,
    target: &str,
    method: &str,
    args: &[i64],
) -> Result<Vec<i64>, CallError> {
    let request = request(target, method, args).with_deadline(Duration::from_millis(millis));
    cx.call(request).map(|it| decode(&it))
}

/// Calls several at once and waits for all, not longer than so many milliseconds.
pub(crate) fn ask_all(
    cx: &mut Context,
    millis: u64,
    targets: &[&str],
    method: &str,
    args: &[i64],
) -> Vec<Result<Vec<i64>, CallError>> {
    let deadline = Duration::from_millis(millis);
    let start =
        |target: &&str| cx.start_call(request(target, method, args).with_deadline(deadline));
    let pending: Vec<_> = targets.iter().map(start).collect();
    let answers = pending.into_iter().map(|it| cx.wait(it));
    answers.map(|answer| answer.map(|it| decode(&it))).collect()
}

/// Tells somebody, who does not answer. Whether it arrives is not known.
pub(crate) fn tell(cx: &mut Context, target: &str, method: &str, args: &[i64]) {
    // One that cannot be sent is one that does not arrive.
    let _ = cx.cast(request(target, method, args));
}

/// Says no.
pub(crate) fn refuse<T>(why: &str) -> Result<T, CallError> {
    Err(CallError::Remote(Status::failed_precondition(why)))
}

/// Says that there is no such method.
pub(crate) fn unknown<T>(method: &str) -> Result<T, CallError> {
    Err(CallError::Unimplemented(method.into()))
}

/// Refuses a history that is not linearizable.
pub(crate) fn linearizable<M: Model>(
    model: &M,
    history: &SharedHistory<M::Op, M::Ret>,
) -> Result<(), String> {
    let verdict = check(model, &history.get(), STEPS_MAX);
    match verdict.is_linearizable() {
        true => Ok(()),
        false => Err(verdict.to_string()),
    }
}
