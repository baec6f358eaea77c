//! One container over ZeroMQ in this process.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use monofil_transport::{Clock, Driver, Endpoint, Next, Node, Scheme, Transport};
use monofil_zmq::{BindError, Listen, Options, ZmqIo};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::address::{Addresses, control_beside};
use super::alias::{self, Alias};
use super::{Run, signals};
use crate::cli::RunArgs;
use crate::exit::Failure;
use crate::{Container, NodeId};

/// How long frames that were accepted may take to leave after the container has ended.
const LINGER: Duration = Duration::from_millis(500);

/// Runs components in one container over ZeroMQ until a signal comes, or the job that is among them ends.
pub(crate) fn run(run: &Run, components: &[usize], args: &RunArgs) -> Result<ExitCode, Failure> {
    if let Some(parent) = args.parent {
        follow(parent)?;
    }
    let addresses = run.addresses();
    let application = match (&args.listen, components.first()) {
        (Some(endpoint), _) => Some(endpoint.clone()),
        (None, Some(first)) => Some(addresses.listen(*first)?),
        // Members of a network are found by where they listen.
        (None, None) if run.settings.has_seeds() => Some(run.addresses().anywhere()?),
        (None, None) => None,
    };
    if run.layout == crate::Layout::Ipc {
        addresses.prepare()?;
    }
    let signals = application.is_some() || run.job.is_some();
    let mut io = bind(run, application.as_ref(), args.control.clone(), signals)?;
    let mut aliases = Vec::new();
    if let Some(target) =
        application.filter(|it| it.scheme() == Scheme::Ipc && args.listen.is_none())
    {
        for index in &components[1..] {
            aliases.push(Alias::make(&addresses.listen(*index)?, &target)?);
        }
    }
    let mut container = container(run, components, &io)?;
    let asked = Arc::new(AtomicBool::new(false));
    let (ask, alarm) = (asked.clone(), io.alarm());
    signals::listen(run.settings.drain_deadline, &[], move |_| {
        ask.store(true, Ordering::Release);
        alarm.ring();
    })?;
    drive(run, &mut container, &mut io, &asked);
    drop(container);
    drop(aliases);
    monofil_zmq::exit_watchdog(super::EXIT_PATIENCE);
    io.close(LINGER);
    run.verdict().map(|()| ExitCode::SUCCESS)
}

fn drive(run: &Run, container: &mut Container, io: &mut ZmqIo, asked: &AtomicBool) {
    let mut told = false;
    loop {
        if run.job.is_some() && !told && asked.load(Ordering::Acquire) {
            told = true;
            run.interrupt();
            run.cancel_where_interrupted(container);
        }
        match container.turn(io) {
            Next::Ended => return,
            next => io.wait(next),
        }
    }
}

/// Makes the container of this process, which knows where the other components are.
fn container(run: &Run, components: &[usize], io: &ZmqIo) -> Result<Container, Failure> {
    let others = (0..run.components.len()).filter(|index| !components.contains(index));
    let mut names: Vec<&str> = components
        .iter()
        .map(|index| &*run.components[*index].name)
        .collect();
    names.extend(run.job.iter().map(crate::job::JobRun::name));
    let name = names.join("+");
    let mut config = run.node(&name, run.directory(others)?);
    let local = io.local();
    config.node = match &local.application {
        Some(endpoint) => NodeId::derived(&[run.app.as_str(), &name, endpoint.as_str()]),
        None => super::random_node()?,
    };
    config.incarnation = super::wall_micros();
    config.process = std::process::id();
    if config.host.is_empty() {
        let machine = rustix::system::uname();
        config.host = machine.nodename().to_string_lossy().as_ref().into();
    }
    config.membership = membership(run);
    config.components = components.iter().map(|index| run.spec(*index)).collect();
    let job = run.job.iter().map(|job| job.spec(run.app.as_str()));
    config.components.extend(job);
    if let (Some(endpoint), Some(control)) = (&local.application, &local.control) {
        let datagrams = local.datagram.map(tracing::field::display);
        tracing::info!(node = %name, %endpoint, %control, datagrams, "listening");
    }
    Ok(Container::new(config))
}

/// Says how a node finds the others by itself, if it is to.
pub(super) fn membership(run: &Run) -> Option<crate::MembershipConfig> {
    let settings = &run.settings;
    settings.has_seeds().then(|| settings.membership.clone())
}

/// Opens the sockets of a node; without an endpoint, of one that only speaks first. `signals`: they end it.
pub(super) fn bind(
    run: &Run,
    application: Option<&Endpoint>,
    control: Option<Endpoint>,
    signals: bool,
) -> Result<ZmqIo, Failure> {
    let mut listen = Listen::default();
    if let Some(endpoint) = application {
        alias::clear(endpoint)?;
        listen = Listen {
            application: Some(endpoint.clone()),
            control: Some(control.map_or_else(|| control_beside(endpoint), Ok)?),
            datagram: Some(datagram_address(endpoint, run.settings.has_seeds())?),
            advertise: run.settings.advertise.clone(),
        };
        if endpoint.scheme() != Scheme::Tcp {
            listen.advertise = None;
        }
    }
    let options = Options {
        signals,
        ..run.settings.zmq.clone()
    };
    ZmqIo::bind(options, listen).map_err(refused)
}

/// Datagrams are received at the host that frames are: on the port of the same number, if it may be anybody's seed,
/// or else on any.
fn datagram_address(endpoint: &Endpoint, is_seed: bool) -> Result<SocketAddr, Failure> {
    if endpoint.scheme() != Scheme::Tcp {
        return Ok(SocketAddr::from(([127, 0, 0, 1], 0)));
    }
    let (host, port) = endpoint.address().rsplit_once(':').unwrap_or_default();
    let port = if is_seed {
        port.parse().unwrap_or(0)
    } else {
        0
    };
    let host = match host.trim_matches(['[', ']']) {
        "*" => "0.0.0.0",
        host => host,
    };
    let cannot = |why: String| Failure::cannot_start(format!("the host `{host}` {why}"));
    let found = (host, port).to_socket_addrs();
    let mut found = found.map_err(|error| cannot(format!("cannot be resolved: {error}")))?;
    found.next().ok_or_else(|| cannot("has no address".into()))
}

/// Says why a node could not be started, and what to do.
fn refused(error: BindError) -> Failure {
    match &error {
        BindError::InUse { endpoint, holder } => alias::in_use(endpoint, *holder),
        BindError::Refused { endpoint, reason } if endpoint.scheme() == Scheme::Tcp => {
            let taken = reason.contains("in use");
            let why =
                taken.then(|| "perhaps the same component runs already: end it first".to_owned());
            Failure::cannot_start(error.to_string()).maybe(why).note(
                "choose another address: --listen tcp://HOST:PORT, or --set network.base_port=PORT",
            )
        }
        BindError::Ambiguous { .. } => Failure::cannot_start(error.to_string())
            .note("for example --set network.advertise=10.0.0.7"),
        BindError::Datagram { source, .. } if source.kind() == ErrorKind::AddrInUse => {
            Failure::cannot_start(error.to_string()).note(
                "a node that others find the network by needs the port for datagrams, too: choose another address: \
                 --listen tcp://HOST:PORT",
            )
        }
        BindError::Datagram { .. } => Failure::cannot_start(error.to_string())
            .note("is that one of this machine's addresses?"),
        _ => Failure::cannot_start(error.to_string()),
    }
}

/// Ties this process to the one that started it: it must not be outlived.
fn follow(parent: u32) -> Result<(), Failure> {
    let gone = || Failure::cannot_start("the process that started this one is gone");
    // It is this process's own choice to drain then: the signal is the same as an operator's.
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| {
        Failure::cannot_start(format!("cannot follow process {parent}: {error}"))
    })?;
    let now = getppid().map(Pid::as_raw_nonzero);
    let same = now.is_some_and(|now| u32::try_from(now.get()) == Ok(parent));
    if same { Ok(()) } else { Err(gone()) }
}

impl Run {
    pub(super) fn addresses(&self) -> Addresses<'_> {
        Addresses::new(
            self.app.as_str(),
            &self.components,
            &self.settings,
            self.layout,
        )
    }

    /// Makes a directory of components where they are by configuration or convention.
    pub(super) fn directory(
        &self,
        components: impl IntoIterator<Item = usize>,
    ) -> Result<crate::StaticDirectory, Failure> {
        let addresses = self.addresses();
        let mut directory = crate::StaticDirectory::new();
        for index in components {
            let definition = &self.components[index];
            let name: crate::Name = format!("{}/{}", self.app, definition.name).into();
            // Members find each other; only what is written down goes over that.
            if self.settings.has_seeds() && !addresses.is_set(index) {
                continue;
            }
            directory.set_kind(&name, definition.kind);
            for endpoint in addresses.of(index)? {
                directory.add(&name, endpoint, &definition.subscriptions);
            }
        }
        Ok(directory)
    }
}

/// Returns where a component is looked for: where it was said to be, or where it is by convention.
pub(crate) fn places(
    run: &Run,
    definition: &crate::app::Definition,
    at: Option<&Endpoint>,
) -> Result<Vec<Endpoint>, Failure> {
    let index = run
        .components
        .iter()
        .position(|it| it.name == definition.name);
    match (at, index) {
        (Some(at), _) => Ok(vec![at.clone()]),
        (None, Some(index)) => run.addresses().of(index),
        (None, None) => Ok(Vec::new()),
    }
}

/// Makes a client that knows one component.
pub(crate) fn client(
    run: &Run,
    definition: &crate::app::Definition,
    at: Option<&Endpoint>,
) -> Result<crate::Client, Failure> {
    let mut directory = crate::StaticDirectory::new();
    for endpoint in places(run, definition, at)? {
        let name = format!("{}/{}", run.app, definition.name);
        directory.add(name, endpoint, &[]);
    }
    let mut config = run.node("client", directory);
    config.node = super::random_node()?;
    config.incarnation = super::wall_micros();
    config.process = std::process::id();
    let io = bind(run, None, None, false)?;
    Ok(crate::Client::new(config, Box::new(io)))
}

/// Returns the pause until `next`, but no longer than `most`.
pub(super) fn no_later(io: &impl Clock, next: Next, most: Duration) -> Next {
    let latest = io.now() + most;
    match next {
        Next::At(at) => Next::At(at.min(latest)),
        Next::Idle => Next::At(latest),
        next => next,
    }
}
