//! Handlers that take time: without them a node does any number of things at once, and overload cannot be simulated.

use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_container::{
    Component, ComponentSpec, Context, HandlerError, Message, Name, Reply, StartReason, Status,
    Undelivered,
};
use monofil_inproc::ThreadTime;
use monofil_transport::Stream;

use crate::ServiceTime;
use crate::gatekeeper::is_named;

/// What the nodes of a run need to know about how long handlers take.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) seed: u64,
    pub(crate) thread: ThreadTime,
    pub(crate) times: Rc<std::cell::RefCell<Vec<ServiceTime>>>,
}

impl Service {
    /// Makes the handlers of a component take time, once times are set. `full` is its name with that of its app.
    pub(crate) fn slow_down(
        &self,
        mut spec: ComponentSpec,
        full: Name,
        incarnation: u64,
    ) -> ComponentSpec {
        let (service, name) = (self.clone(), spec.name.clone());
        let mut factory = spec.factory;
        spec.factory = Box::new(move || {
            Box::new(Timed {
                inner: factory(),
                service: service.clone(),
                name: name.clone(),
                full: full.clone(),
                incarnation,
                streams: BTreeMap::new(),
            })
        });
        spec
    }
}

/// A component whose handlers occupy the thread of their node.
struct Timed {
    inner: Box<dyn Component>,
    service: Service,
    name: Name,
    full: Name,
    incarnation: u64,
    streams: BTreeMap<Name, Stream>,
}

impl Timed {
    fn spend(&mut self, method: &Name) {
        let times = self.service.times.borrow();
        let is_meant = |time: &&ServiceTime| {
            (time.component.is_empty() || is_named(&self.full, &time.component))
                && (time.method.is_empty() || is_named(method, &time.method))
        };
        let Some(time) = times.iter().find(is_meant) else {
            return;
        };
        let stream = self.streams.entry(method.clone()).or_insert_with(|| {
            let site = format!("service/{}/{method}/{}", self.name, self.incarnation);
            Stream::new(self.service.seed, &site)
        });
        let takes = time.takes.to_latency().sample(stream);
        self.service.thread.spend(takes);
    }
}

impl Component for Timed {
    fn accepts(&self, method: &str) -> bool {
        self.inner.accepts(method)
    }

    fn start(&mut self, cx: &mut Context, reason: StartReason) -> Result<(), Status> {
        self.inner.start(cx, reason)
    }

    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        self.spend(message.method());
        self.inner.handle(cx, message)
    }

    fn undelivered(&mut self, cx: &mut Context, undelivered: Undelivered) {
        self.inner.undelivered(cx, undelivered);
    }

    fn stop(&mut self, cx: &mut Context) {
        self.inner.stop(cx);
    }
}
