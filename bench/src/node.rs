//! One container over ZeroMQ in this process, put together as an app's own program does it.

use std::time::{SystemTime, UNIX_EPOCH};

use monofil::{ComponentSpec, Container, ContainerConfig, NodeId, StaticDirectory};
use monofil_transport::{Driver, Endpoint, Next, Node, Transport};
use monofil_zmq::{Listen, Options, ZmqIo};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Listens on free ports of this machine.
pub(crate) fn listening() -> ZmqIo {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let listen = Listen {
        application: Some(endpoint.clone()),
        control: Some(endpoint),
        datagram: Some(([127, 0, 0, 1], 0).into()),
        advertise: None,
    };
    ZmqIo::bind(Options::default(), listen).expect("free ports")
}

/// Runs components in a container until the process ends, and says first where it listens.
pub(crate) fn serve(
    mut io: ZmqIo,
    components: Vec<ComponentSpec>,
    others: &[(&str, Endpoint)],
    listens: impl FnOnce(&str),
) -> ! {
    log();
    let mut directory = StaticDirectory::new();
    for (name, endpoint) in others {
        directory.add(*name, endpoint.clone(), &[]);
    }
    let own = io.local().application.expect("it listens");
    let name = components[0].name.clone();
    let mut container = Container::new(ContainerConfig {
        node: NodeId::derived(&["bench", name.as_str(), own.as_str()]),
        incarnation: wall_micros(),
        process: std::process::id(),
        components,
        directory: Box::new(directory),
        ..ContainerConfig::new("bench", name)
    });
    listens(own.as_str());
    loop {
        match container.turn(&mut io) {
            Next::Ended => std::process::exit(0),
            next => io.wait(next),
        }
    }
}

/// Writes log lines of the default level, as an app's program does.
fn log() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let info = Targets::new().with_default(tracing::Level::INFO);
    tracing_subscriber::registry().with(info).with(lines).init();
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}
