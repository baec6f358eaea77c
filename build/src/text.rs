//! The text of what is generated for a service.

use std::fmt::Write as _;
use std::time::Duration;

use prost_build::Comments;

use crate::descriptors;
use crate::service::{Method, Service};

/// Writes one service. Types and traits of the standard library go by their full paths: a message may be
/// called `Result`. So do calls of the trait's methods: one may be called `into`.
pub(crate) struct Text<'a> {
    service: &'a Service,
    monofil: &'a str,
}

impl<'a> Text<'a> {
    /// Writes a service with the path of the `monofil` crate.
    pub(crate) const fn new(service: &'a Service, monofil: &'a str) -> Self {
        Self { service, monofil }
    }

    pub(crate) fn all(&self) -> String {
        [
            self.interface(),
            self.handlers(),
            self.server(),
            self.component(),
            self.client(),
        ]
        .concat()
    }

    /// The constant that describes the service.
    fn interface(&self) -> String {
        let Self {
            service,
            monofil: m,
        } = self;
        let Service {
            full_name,
            constant,
            ..
        } = service;
        let mut methods = String::new();
        for method in &service.methods {
            let Method {
                full_name,
                streaming,
                options,
                ..
            } = method;
            let idempotent = options.idempotent;
            let deadline = option(options.deadline.map(duration));
            let flow = option(
                options
                    .flow
                    .as_ref()
                    .map(|flow| format!("{m}::name!({flow:?})")),
            );
            let topic = option(
                options
                    .topic
                    .as_ref()
                    .map(|topic| format!("{m}::name!({topic:?})")),
            );
            _ = write!(
                methods,
                "
        {m}::Method {{
            name: {m}::name!({full_name:?}),
            streaming: {streaming},
            idempotent: {idempotent},
            deadline: {deadline},
            flow: {flow},
            topic: {topic},
        }},"
            );
        }
        let descriptors = descriptors::path(&service.file);
        format!(
            "
/// Describes the service `{full_name}`.
pub const {constant}: {m}::Interface = {m}::Interface {{
    service: {full_name:?},
    methods: &[{methods}
    ],
    descriptors: ::core::include_bytes!({descriptors:?}),
}};
"
        )
    }

    /// The trait that a user implements.
    fn handlers(&self) -> String {
        let Self {
            service,
            monofil: m,
        } = self;
        let Service {
            full_name, name, ..
        } = service;
        let mut docs = docs(&service.comments, 0, &format!("The service `{full_name}`."));
        _ = write!(
            docs,
            "///\n/// [`{name}Server`] makes a component of what implements it."
        );
        let mut methods = String::new();
        for method in &service.methods {
            let Method {
                full_name,
                name,
                input,
                output,
                ..
            } = method;
            let docs = self::docs(&method.comments, 1, &format!("Handles `{full_name}`."));
            let output = if method.streaming {
                format!("{m}::Replies<{output}>")
            } else {
                output.clone()
            };
            _ = write!(
                methods,
                "
{docs}    fn {name}(
        &mut self,
        cx: &mut {m}::Context,
        request: {input},
    ) -> ::core::result::Result<{output}, {m}::Status>;
"
            );
        }
        format!(
            "
{docs}
pub trait {name}: 'static {{{methods}
    /// Runs before the first message, and again after each restart of the instance.
    ///
    /// # Errors
    ///
    /// An error counts as a crash: the instance is rebuilt from its factory.
    fn on_start(
        &mut self,
        cx: &mut {m}::Context,
        reason: {m}::StartReason,
    ) -> ::core::result::Result<(), {m}::Status> {{
        let _ = (cx, reason);
        Ok(())
    }}

    /// Runs last, when the node ends in an orderly way.
    fn on_stop(&mut self, cx: &mut {m}::Context) {{
        let _ = cx;
    }}

    /// A cast or publication of this component was not handled. Without an implementation it is logged;
    /// it is counted in any case.
    fn on_undelivered(&mut self, cx: &mut {m}::Context, undelivered: {m}::Undelivered) {{
        {m}::codegen::undelivered(cx, undelivered);
    }}
}}
"
        )
    }

    /// The type that makes a component of the user's.
    fn server(&self) -> String {
        let Service {
            full_name, name, ..
        } = self.service;
        format!(
            "
/// Makes a component of a [`{name}`], to serve `{full_name}`.
#[derive(Clone, Debug, Default)]
pub struct {name}Server<T>(T);

impl<T: {name}> {name}Server<T> {{
    /// Serves with these handlers.
    #[must_use]
    pub const fn new(handlers: T) -> Self {{
        Self(handlers)
    }}

    /// Returns the handlers.
    #[must_use]
    pub const fn get_ref(&self) -> &T {{
        &self.0
    }}

    /// Gives the handlers back.
    #[must_use]
    pub fn into_inner(self) -> T {{
        self.0
    }}
}}
"
        )
    }

    fn component(&self) -> String {
        let Self {
            service,
            monofil: m,
        } = self;
        let Service {
            full_name,
            name,
            constant,
            ..
        } = service;
        let mut arms = String::new();
        for method in &service.methods {
            let reply = if method.streaming { "replies" } else { "reply" };
            let Method {
                full_name,
                name: function,
                ..
            } = method;
            _ = write!(
                arms,
                "
            {full_name:?} => {{
                let handled = {name}::{function}(&mut self.0, cx, {m}::codegen::decode(message)?);
                {m}::codegen::{reply}(handled)
            }}"
            );
        }
        let body = if arms.is_empty() {
            format!(
                "        let _ = cx;
        {m}::codegen::unimplemented(&message)"
            )
        } else {
            format!(
                "        match message.method().as_str() {{{arms}
            _ => {m}::codegen::unimplemented(&message),
        }}"
            )
        };
        let prefix = format!("{full_name}/");
        format!(
            "
impl<T: {name}> {m}::Component for {name}Server<T> {{
    fn interfaces() -> ::std::vec::Vec<&'static {m}::Interface> {{
        ::std::vec::Vec::from([&{constant}])
    }}

    fn accepts(&self, method: &str) -> bool {{
        method.starts_with({prefix:?})
    }}

    fn start(
        &mut self,
        cx: &mut {m}::Context,
        reason: {m}::StartReason,
    ) -> ::core::result::Result<(), {m}::Status> {{
        {name}::on_start(&mut self.0, cx, reason)
    }}

    fn handle(
        &mut self,
        cx: &mut {m}::Context,
        message: {m}::Message,
    ) -> ::core::result::Result<{m}::Reply, {m}::HandlerError> {{
{body}
    }}

    fn undelivered(&mut self, cx: &mut {m}::Context, undelivered: {m}::Undelivered) {{
        {name}::on_undelivered(&mut self.0, cx, undelivered);
    }}

    fn stop(&mut self, cx: &mut {m}::Context) {{
        {name}::on_stop(&mut self.0, cx);
    }}
}}
"
        )
    }

    fn client(&self) -> String {
        let Self {
            service,
            monofil: m,
        } = self;
        let Service {
            full_name, name, ..
        } = service;
        let mut docs = format!("/// Calls the service `{full_name}`.\n");
        if !service.comments.leading.is_empty() || !service.comments.trailing.is_empty() {
            docs.push_str("///\n");
            docs.push_str(&self::docs(&service.comments, 0, ""));
        }
        let methods: String = service
            .methods
            .iter()
            .enumerate()
            .map(|(at, method)| self.calls(at, method))
            .collect();
        format!(
            "
{docs}#[derive(Clone, Debug)]
pub struct {name}Client({m}::codegen::Target);

impl {name}Client {{
    /// Calls a component: `shop/orders`, or `orders` for one of the caller's own app.
    pub fn new(component: impl ::core::convert::Into<{m}::Name>) -> Self {{
        Self({m}::codegen::Target::new(component))
    }}

    /// Bounds how long each call may take, whatever its method says.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: ::core::time::Duration) -> Self {{
        self.0.set_deadline(deadline);
        self
    }}

    /// Puts what is sent into a business flow, whatever its method says.
    #[must_use]
    pub fn with_flow(mut self, flow: impl ::core::convert::Into<{m}::Name>) -> Self {{
        self.0.set_flow(flow);
        self
    }}
{methods}}}
"
        )
    }

    /// The functions of the client for the method at an index.
    fn calls(&self, at: usize, method: &Method) -> String {
        let Self {
            service,
            monofil: m,
        } = self;
        let Service { constant, .. } = service;
        let Method {
            full_name,
            name,
            input,
            output,
            ..
        } = method;
        let docs = self::docs(&method.comments, 1, &format!("Calls `{full_name}`."));
        let described = format!("&{constant}.methods[{at}]");
        let caller = format!("&mut (impl {m}::Caller + ?Sized)");
        let request_fn = method.derived("", "_request");
        let mut out = if method.streaming {
            format!(
                "
{docs}    #[track_caller]
    pub fn {name}(
        &self,
        cx: {caller},
        request: {input},
    ) -> {m}::ReplyStream<{output}> {{
        {m}::codegen::stream(cx, self.0.request({described}, request))
    }}
"
            )
        } else {
            let (start_fn, cast_fn) = (method.derived("start_", ""), method.derived("cast_", ""));
            format!(
                "
{docs}    ///
    /// # Errors
    ///
    /// Every way a call can end otherwise than with a reply; see [`CallError`]({m}::CallError).
    #[track_caller]
    pub fn {name}(
        &self,
        cx: {caller},
        request: {input},
    ) -> ::core::result::Result<{output}, {m}::CallError> {{
        {m}::codegen::call(cx, self.0.request({described}, request))
    }}

    /// Calls `{full_name}` and returns at once; [`wait`]({m}::Pending::wait) takes the reply.
    #[track_caller]
    pub fn {start_fn}(&self, cx: {caller}, request: {input}) -> {m}::Pending<{output}> {{
        {m}::codegen::start(cx, self.0.request({described}, request))
    }}

    /// Sends `{full_name}` a message and asks for no reply. Returns the id that it has if it comes back.
    ///
    /// # Errors
    ///
    /// What is known at once. What happens later comes back as `on_undelivered`.
    #[track_caller]
    pub fn {cast_fn}(
        &self,
        cx: {caller},
        request: {input},
    ) -> ::core::result::Result<u64, {m}::CallError> {{
        {m}::Caller::cast(cx, self.0.request({described}, request))
    }}
"
            )
        };
        _ = write!(
            out,
            "
    /// Makes a request for `{full_name}`, to be sent later or in another way.
    #[must_use]
    #[track_caller]
    pub fn {request_fn}(&self, request: &{input}) -> {m}::Request {{
        self.0.request({described}, ::core::clone::Clone::clone(request))
    }}
"
        );
        if let Some(topic) = &method.options.topic {
            let publish_fn = method.derived("publish_", "");
            let shown = topic.replace('`', "'").replace(char::is_control, " ");
            _ = write!(
                out,
                "
    /// Publishes to the topic `{shown}`, which `{full_name}` handles, and returns how many subscribers
    /// there are.
    ///
    /// # Errors
    ///
    /// What concerns all of them; see [`Caller::publish`]({m}::Caller::publish).
    #[track_caller]
    pub fn {publish_fn}(
        cx: {caller},
        message: &{input},
    ) -> ::core::result::Result<usize, {m}::CallError> {{
        {m}::Caller::publish(cx, {topic:?}, {m}::Payload::protobuf(message))
    }}
"
            );
        }
        out
    }
}

/// Returns comments as rustdoc, or `default` when there are none.
fn docs(comments: &Comments, indent: u8, default: &str) -> String {
    let comments = if comments.leading.is_empty() && comments.trailing.is_empty() {
        Comments {
            leading: vec![format!(" {default}")],
            ..Comments::default()
        }
    } else {
        Comments {
            leading_detached: Vec::new(),
            ..comments.clone()
        }
    };
    let mut out = String::new();
    comments.append_with_indent(indent, &mut out);
    out
}

fn option(value: Option<String>) -> String {
    value.map_or_else(|| "None".to_owned(), |value| format!("Some({value})"))
}

/// Writes a duration as Rust, in the largest unit that is exact.
fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (function, number) = match micros {
        _ if micros.is_multiple_of(1_000_000) => ("from_secs", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => ("from_millis", micros / 1_000),
        _ => ("from_micros", micros),
    };
    format!("::core::time::Duration::{function}({number})")
}
