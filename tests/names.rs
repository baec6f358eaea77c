//! What an app is handed it can name, with this crate as its only dependency.

use monofil::prelude::*;
use monofil::{
    Bounds, Bytes, Client, ContainerConfig, Driver, Endpoint, EndpointError, Instant, NodeId,
    Probability, RandomStream, StaticDirectory, Trace, control,
};

/// Keeps what handlers are handed, which only a type with a name can be a field of.
#[derive(Default)]
struct Keeper {
    seen: Option<Instant>,
    due: Option<Instant>,
    key: Bytes,
    trace: Trace,
}

impl Keeper {
    fn keep(&mut self, cx: &mut Context, message: &Message) -> bool {
        self.seen = Some(cx.now());
        self.due = cx.deadline().or(Some(message.deadline()));
        self.key = message.key().clone();
        self.trace = *cx.trace();
        draw(cx.rng())
    }
}

fn draw(random: &mut RandomStream) -> bool {
    random.chance(Probability::percent(50))
}

impl Component for Keeper {
    fn handle(&mut self, cx: &mut Context, message: Message) -> Result<Reply, HandlerError> {
        let drawn = self.keep(cx, &message);
        Ok(Reply::Payload(Payload::bytes(vec![u8::from(drawn)])))
    }
}

/// A program that is no component asks a node over a backend of its choice.
fn ask(driver: Box<dyn Driver>, at: Endpoint) -> Result<control::Description, CallError> {
    let mut directory = StaticDirectory::new();
    directory.add("app/keeper", at, &[]);
    let mut config = ContainerConfig::new("app", "asker");
    config.node = NodeId::derived(&["asker"]);
    config.bounds = Bounds::DEFAULT;
    config.directory = Box::new(directory);
    Client::new(config, driver).describe("keeper", false, std::time::Duration::from_secs(1))
}

#[test]
fn what_an_app_is_handed_it_can_name() {
    let made = App::new("app").component("keeper", Keeper::default);
    assert!(format!("{made:?}").contains("keeper"));
    let endpoint: Result<Endpoint, EndpointError> = "nowhere".parse();
    assert!(endpoint.is_err());
    let well_known = monofil::prost_types::Timestamp::default();
    assert_eq!(well_known.seconds, 0);
    let _: fn(Box<dyn Driver>, Endpoint) -> Result<control::Description, CallError> = ask;
}
