//! Components made of closures.

use std::rc::Rc;

use monofil_container::{
    Component, ComponentKind, ComponentSpec, Context, HandlerError, InstanceLimits, Interface,
    Message, Payload, Reply, Request, StartReason, Status, Subscription, Undelivered,
};

/// How a component is made, as often as its node starts.
#[derive(Clone)]
pub struct ComponentDef {
    pub(crate) name: &'static str,
    make: Rc<dyn Fn() -> Hooks>,
    limits: InstanceLimits,
    topics: Vec<(&'static str, &'static str)>,
    interfaces: Vec<&'static Interface>,
    pub(crate) kind: ComponentKind,
    version: &'static str,
}

type Handle = Box<dyn FnMut(&mut Context, Message) -> Result<Reply, HandlerError>>;
type Start = Box<dyn FnMut(&mut Context, StartReason) -> Result<(), Status>>;
type Back = Box<dyn FnMut(&mut Context, Undelivered)>;
type Stop = Box<dyn FnMut(&mut Context)>;

/// The methods of a component made of closures.
pub struct Hooks {
    handle: Handle,
    start: Option<Start>,
    undelivered: Option<Back>,
    stop: Option<Stop>,
}

impl Hooks {
    /// Makes a component that only handles.
    pub fn new(
        handle: impl FnMut(&mut Context, Message) -> Result<Reply, HandlerError> + 'static,
    ) -> Self {
        Self {
            handle: Box::new(handle),
            start: None,
            undelivered: None,
            stop: None,
        }
    }

    /// Adds a `start`.
    #[must_use]
    pub fn start(
        mut self,
        start: impl FnMut(&mut Context, StartReason) -> Result<(), Status> + 'static,
    ) -> Self {
        self.start = Some(Box::new(start));
        self
    }

    /// Adds an `undelivered`.
    #[must_use]
    pub fn undelivered(mut self, back: impl FnMut(&mut Context, Undelivered) + 'static) -> Self {
        self.undelivered = Some(Box::new(back));
        self
    }

    /// Adds a `stop`.
    #[must_use]
    pub fn stop(mut self, stop: impl FnMut(&mut Context) + 'static) -> Self {
        self.stop = Some(Box::new(stop));
        self
    }
}

impl Component for Hooks {
    fn start(&mut self, cx: &mut Context, reason: StartReason) -> Result<(), Status> {
        self.start
            .as_mut()
            .map_or(Ok(()), |start| start(cx, reason))
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        (self.handle)(cx, message)
    }

    fn undelivered(&mut self, cx: &mut Context, undelivered: Undelivered) {
        if let Some(back) = &mut self.undelivered {
            back(cx, undelivered);
        }
    }

    fn stop(&mut self, cx: &mut Context) {
        if let Some(stop) = &mut self.stop {
            stop(cx);
        }
    }
}

/// Describes a component by a function that makes its handler.
pub fn component<H>(name: &'static str, make: impl Fn() -> H + 'static) -> ComponentDef
where
    H: FnMut(&mut Context, Message) -> Result<Reply, HandlerError> + 'static,
{
    hooked(name, move || Hooks::new(make()))
}

/// Describes a component by a function that makes all of its methods.
pub fn hooked(name: &'static str, make: impl Fn() -> Hooks + 'static) -> ComponentDef {
    ComponentDef {
        name,
        make: Rc::new(make),
        limits: InstanceLimits::default(),
        topics: Vec::new(),
        interfaces: Vec::new(),
        kind: ComponentKind::Single,
        version: "",
    }
}

impl ComponentDef {
    /// Gives it other limits.
    #[must_use]
    pub fn limits(mut self, limits: InstanceLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Subscribes it to a topic.
    #[must_use]
    pub fn subscribe(mut self, topic: &'static str, method: &'static str) -> Self {
        self.topics.push((topic, method));
        self
    }

    /// Lets it describe a service.
    #[must_use]
    pub fn interface(mut self, interface: &'static Interface) -> Self {
        self.interfaces.push(interface);
        self
    }

    /// Says how many of it there may be.
    #[must_use]
    pub const fn kind(mut self, kind: ComponentKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says which release of it this is.
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let subscription = |(topic, method): &(&'static str, &'static str)| Subscription {
            topic: (*topic).into(),
            method: (*method).into(),
        };
        self.topics.iter().map(subscription).collect()
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Makes what a container is given.
    #[must_use]
    pub fn spec(&self) -> ComponentSpec {
        let make = self.make.clone();
        let mut spec = ComponentSpec::new(self.name, move || make());
        spec.limits = self.limits;
        spec.kind = self.kind;
        spec.version = self.version.into();
        spec.subscriptions = self.subscriptions();
        spec.interfaces.clone_from(&self.interfaces);
        spec
    }
}

/// Makes a request with a text for its payload.
#[track_caller]
pub fn text(target: &str, method: &str, payload: &str) -> Request {
    Request::new(target, method, Payload::bytes(payload.to_owned()))
}
