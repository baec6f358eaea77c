//! `call`: JSON in, JSON out.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::control::ComponentDescription;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};

use super::client;
use crate::app::Definition;
use crate::cli::{CallArgs, Invocation};
use crate::config::show_time;
use crate::exit::{EXIT_CALL, EXIT_FAILED, EXIT_USAGE, Failure};
use crate::job::JobRun;
use crate::{
    CallError, Caller, Executed, Layout, Method, Payload, Request, Status, layout, suggest,
};

/// Calls a method and prints what it answers.
pub(crate) fn call(invocation: &Invocation<'_>, args: &CallArgs) -> Result<ExitCode, Failure> {
    invocation.log("warn")?;
    let definition = invocation.component(&args.component)?;
    let text = request_text(&args.request)?;
    let call = match definition.interfaces.is_empty() {
        true => Call::untyped(definition, &args.method, &text)?,
        false => Call::typed(definition, &args.method, &text)?,
    };
    let call = call.within(args);
    let target = format!(
        "{}/{} {}",
        invocation.app.name, definition.name, call.method
    );
    let ended = if args.place.at.is_some() || args.place.running {
        let mut client = client(invocation, definition, &args.place)?;
        call.perform(&mut client)
    } else {
        in_memory(invocation, call)?
    };
    let running = args.place.at.is_some() || args.place.running;
    match ended {
        Ok(()) | Err(Trouble::Unread) => Ok(ExitCode::SUCCESS),
        Err(Trouble::Output(failure)) => Err(failure),
        Err(Trouble::Call(error)) => {
            let start = matches!(error, CallError::Unreachable(_)) && running;
            let hint = start.then(|| {
                let (app, name) = (&invocation.app.name, &definition.name);
                format!("if it is not running, `{app} run {name}` starts it")
            });
            let json = invocation.common.json;
            Err(unanswered(&target, &error, json).maybe(hint))
        }
    }
}

pub(crate) fn request_text(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    Ok(text)
}

/// Runs the app in this process for one call.
fn in_memory(invocation: &Invocation<'_>, call: Call) -> Result<Result<(), Trouble>, Failure> {
    let ended: Rc<RefCell<Option<Result<(), Trouble>>>> = Rc::default();
    let to = ended.clone();
    let task = Box::new(move |cx: &mut crate::Context<'_>| {
        *to.borrow_mut() = Some(call.perform(cx));
        Ok::<(), Status>(())
    });
    // No component can be called this.
    let job = JobRun::new("call".to_owned(), task);
    let run = invocation.setup(Layout::Memory, Some(job));
    let all: Vec<usize> = (0..run.components.len()).collect();
    layout::memory(&run, &all)?;
    let ended = ended.borrow_mut().take();
    Ok(ended.unwrap_or(Err(Trouble::Call(CallError::Cancelled))))
}

/// Why a call did not end well.
pub(crate) enum Trouble {
    Call(CallError),
    Output(Failure),
    /// Whoever read the output has enough.
    Unread,
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A call that is ready to be made.
pub(crate) struct Call {
    request: Request,
    method: String,
    streaming: bool,
    /// `None` for a component that describes no services.
    reply: Option<MessageDescriptor>,
}

impl Call {
    /// Calls a component that reads bytes: it gets the JSON as it is.
    fn untyped(definition: &Definition, method: &str, text: &str) -> Result<Self, Failure> {
        let value: Value = serde_json::from_str(text).map_err(|error| no_json(text, &error))?;
        let payload = Payload::json(&value).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            request: Request::new(definition.name.as_str(), method, payload),
            method: method.to_owned(),
            streaming: false,
            reply: None,
        })
    }

    /// Calls a component of which only is known what it says of itself.
    pub(crate) fn described(
        component: &ComponentDescription,
        method: &str,
        text: &str,
    ) -> Result<Self, Failure> {
        let name = component.name.as_str();
        if component.descriptors.is_empty() {
            let value: Value = serde_json::from_str(text).map_err(|error| no_json(text, &error))?;
            let payload =
                Payload::json(&value).map_err(|error| Failure::usage(error.to_string()))?;
            return Ok(Self {
                request: Request::new(name, method, payload),
                method: method.to_owned(),
                streaming: false,
                reply: None,
            });
        }
        let method = one_of(name, method, component.methods.iter().map(String::as_str))?;
        let undescribed = |why: String| {
            Failure::new(
                EXIT_CALL,
                format!("`{name}` does not describe itself: {why}"),
            )
            .note("its descriptors are generated by monofil-build")
        };
        let pool = DescriptorPool::decode(&component.descriptors[..])
            .map_err(|error| undescribed(error.to_string()))?;
        let (service, short) = method.rsplit_once('/').unwrap_or_default();
        let found = pool
            .get_service_by_name(service)
            .and_then(|service| service.methods().find(|it| it.name() == short))
            .ok_or_else(|| undescribed("the method is not in its descriptors".into()))?;
        let message = parse(&found.input(), text)?;
        Ok(Self {
            request: Request::new(name, method, Payload::protobuf(&message)),
            method: method.to_owned(),
            streaming: found.is_server_streaming(),
            reply: Some(found.output()),
        })
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    fn typed(definition: &Definition, method: &str, text: &str) -> Result<Self, Failure> {
        let (service, descriptors, method) = find(definition, method)?;
        let undescribed = |why: String| {
            Failure::usage(format!("`{service}` does not describe itself: {why}"))
                .note("its descriptors are generated by monofil-build")
        };
        let pool =
            DescriptorPool::decode(descriptors).map_err(|error| undescribed(error.to_string()))?;
        let short = method.short_name();
        let found = pool
            .get_service_by_name(service)
            .and_then(|service| service.methods().find(|it| it.name() == short))
            .ok_or_else(|| undescribed("the service is not in its descriptors".into()))?;
        let message = parse(&found.input(), text)?;
        let mut request = Request::new(
            definition.name.as_str(),
            &method.name,
            Payload::protobuf(&message),
        )
        .idempotent(method.idempotent);
        if let Some(deadline) = method.deadline {
            request = request.with_deadline(deadline);
        }
        if let Some(flow) = &method.flow {
            request = request.with_flow(flow);
        }
        Ok(Self {
            request,
            method: method.name.as_str().to_owned(),
            streaming: method.streaming,
            reply: Some(found.output()),
        })
    }

    fn within(self, args: &CallArgs) -> Self {
        match args.deadline {
            Some(deadline) => self.with_deadline(deadline),
            None => self,
        }
    }

    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.request = self.request.with_deadline(deadline);
        self
    }

    /// Calls, and prints each answer as it comes.
    pub(crate) fn perform(self, caller: &mut dyn Caller) -> Result<(), Trouble> {
        if !self.streaming {
            let payload = caller.call(self.request)?;
            return print(self.reply.as_ref(), &payload);
        }
        let mut replies = caller.start_stream(self.request);
        while let Some(item) = caller.next_item(&mut replies) {
            print(self.reply.as_ref(), &item?)?;
        }
        Ok(())
    }
}

/// Finds a method by its name, short or full.
fn find<'a>(
    definition: &'a Definition,
    name: &str,
) -> Result<(&'static str, &'static [u8], &'a Method), Failure> {
    let all = || {
        definition.interfaces.iter().flat_map(|interface| {
            let of_it = move |method| (interface.service, interface.descriptors, method);
            interface.methods.iter().map(of_it)
        })
    };
    let full = one_of(
        &definition.name,
        name,
        all().map(|(_, _, method)| method.name.as_str()),
    )?;
    let found = all().find(|(_, _, method)| method.name.as_str() == full);
    Ok(found.expect("invariant: it is one of them"))
}

/// Finds a method among full names by its name, short or full.
fn one_of<'a>(
    component: &str,
    name: &str,
    all: impl Iterator<Item = &'a str> + Clone,
) -> Result<&'a str, Failure> {
    fn short(method: &str) -> &str {
        method.rsplit('/').next().unwrap_or(method)
    }
    let name = name.replace('#', "/");
    let is_it = |method: &&str| *method == name || short(method) == name;
    let found: Vec<&'a str> = all.clone().filter(is_it).collect();
    match found[..] {
        [only] => Ok(only),
        [] => {
            let names: Vec<_> = all.map(short).collect();
            let typed = name.rsplit('/').next().unwrap_or(&name);
            let what = format!("`{component}` has no method `{name}`");
            Err(Failure::usage(what)
                .maybe(suggest::did_you_mean(typed, names.iter().copied()))
                .note(format!("its methods are {}", suggest::list(&names, "and"))))
        }
        _ => {
            let what = format!("`{component}` has several methods `{name}`");
            Err(Failure::usage(what).note(format!("say which: {}", suggest::list(&found, "or"))))
        }
    }
}

/// Reads a message from JSON, or says where it is wrong and what would be right.
fn parse(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Failure> {
    let mut from = serde_json::Deserializer::from_str(text);
    DynamicMessage::deserialize(descriptor.clone(), &mut from)
        .and_then(|message| from.end().map(|()| message))
        .map_err(|error| no_json(text, &error).note(expected(descriptor)))
}

fn no_json(text: &str, error: &serde_json::Error) -> Failure {
    let wrong = if error.is_data() {
        "not right"
    } else {
        "no JSON"
    };
    Failure::usage(format!("the request is {wrong}: {error}")).maybe(excerpt(text, error))
}

/// Shows the place of an error in what was typed.
fn excerpt(text: &str, error: &serde_json::Error) -> Option<String> {
    const AROUND: usize = 30;
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let at = match error.is_eof() {
        true => line.len(),
        false => error.column().saturating_sub(1).min(line.len()),
    };
    let before: String = line.get(..at)?.chars().rev().take(AROUND).collect();
    let before: String = before.chars().rev().collect();
    let after: String = line.get(at..)?.chars().take(AROUND).collect();
    let here = if after.is_empty() {
        "(it ends here)"
    } else {
        ""
    };
    Some(format!("there: {before}\u{25b8}{after}{here}"))
}

/// Says what a message is made of.
fn expected(descriptor: &MessageDescriptor) -> String {
    let field = |field: prost_reflect::FieldDescriptor| {
        let kind = match field.kind() {
            Kind::Message(message) => message.name().to_owned(),
            Kind::Enum(kind) => {
                let values: Vec<_> = kind.values().map(|it| it.name().to_owned()).collect();
                values.join(" | ")
            }
            kind => format!("{kind:?}").to_lowercase(),
        };
        let kind = match (field.is_map(), field.is_list()) {
            (true, _) => "object".to_owned(),
            (_, true) => format!("[{kind}]"),
            _ => kind,
        };
        format!("\"{}\": {kind}", field.json_name())
    };
    let fields: Vec<_> = descriptor.fields().map(field).collect();
    format!("{} is {{{}}}", descriptor.name(), fields.join(", "))
}

fn print(descriptor: Option<&MessageDescriptor>, payload: &Payload) -> Result<(), Trouble> {
    let malformed = |why: String| Trouble::Call(CallError::Malformed(why));
    let text = match descriptor {
        Some(descriptor) => {
            let message = DynamicMessage::decode(descriptor.clone(), payload.to_bytes())
                .map_err(|error| malformed(format!("the reply: {error}")))?;
            let options = SerializeOptions::new().skip_default_fields(false);
            let mut text = Vec::new();
            message
                .serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options)
                .map_err(|error| malformed(format!("the reply is no JSON: {error}")))?;
            text
        }
        None => payload.to_bytes().to_vec(),
    };
    let mut out = std::io::stdout().lock();
    let written = out.write_all(&text).and_then(|()| out.write_all(b"\n"));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Trouble::Unread,
        _ => Trouble::Output(Failure::new(
            EXIT_FAILED,
            format!("standard output: {error}"),
        )),
    })
}

/// Says how a call ended, whether it may have run, and when to try again; on standard output as well, if that is to be
/// JSON.
pub(crate) fn unanswered(target: &str, error: &CallError, json: bool) -> Failure {
    let code = match error {
        CallError::Remote(_) => EXIT_FAILED,
        CallError::Malformed(_) => EXIT_USAGE,
        _ => EXIT_CALL,
    };
    let (ran, text) = match error.executed() {
        Executed::No => ("no", "it did not run"),
        Executed::Unknown => ("unknown", "whether it ran is not known"),
        Executed::InPart => ("yes", "it ran"),
    };
    let after = match error {
        CallError::Rejected(rejection) => rejection.retry_after,
        CallError::Open { retry_after, .. } => Some(*retry_after),
        _ => None,
    };
    if json {
        // When nobody reads it the code says it all.
        let _ = super::print_json(&as_json(error, ran, after));
    }
    let again = after.map(|it| {
        let millis = it.as_nanos().div_ceil(1_000_000);
        let it = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        format!("there is no point in trying again within {}", show_time(it))
    });
    Failure::new(code, format!("{target}: {error}"))
        .note(text)
        .maybe(again)
}

fn as_json(error: &CallError, ran: &str, after: Option<Duration>) -> Value {
    let mut value = json!({ "error": error.kind(), "text": error.to_string(), "ran": ran });
    match error {
        CallError::Rejected(it) => {
            value["limit"] = it.limit.as_str().into();
            value["value"] = it.value.into();
            value["observed"] = it.observed.into();
            value["where"] = it.place.as_str().into();
        }
        CallError::Remote(status) => value["code"] = status.code().to_string().into(),
        _ => {}
    }
    if let Some(after) = after {
        value["retry_after_seconds"] = after.as_secs_f64().into();
    }
    value
}
