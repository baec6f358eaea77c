//! Starting a node's sockets and threads.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Waker};
use monofil_transport::{Endpoint, LocalEndpoints, Plane};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::counters::Counters;
use crate::datagram::DatagramSocket;
use crate::listener::Listener;
use crate::pool::Pool;
use crate::sentinel::Sentinel;
use crate::sockets::{DATAGRAMS, Ready, SIGNALS, Sockets, WAKER, listener_tokens, plane_index};
use crate::{Listen, OptionError, Options, ZmqIo, advertise, process};

/// How many events the kernel hands over at once.
const EVENTS_AT_ONCE: usize = 256;

/// Why a node could not be started. Nothing is left open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// An option is out of range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// libzmq could not be initialised: the process has no descriptors or no memory left.
    #[error("zeromq cannot be initialised: {0}")]
    Context(String),
    /// Only `tcp` and `ipc` endpoints can be bound.
    #[error("`{0}` cannot be bound: use tcp://HOST:PORT or ipc:///PATH")]
    Unsupported(Endpoint),
    /// Another process, or another node of this one, has this `ipc` path.
    #[error("`{endpoint}` is in use{}", holder.map_or_else(String::new, |pid| format!(" by process {pid}")))]
    InUse {
        /// What was to be bound.
        endpoint: Endpoint,
        /// The process that has it, as far as it told.
        holder: Option<u32>,
    },
    /// A path of an `ipc` endpoint cannot be used.
    #[error("`{}`: {source}", path.display())]
    Path {
        /// The socket, its lock file or its directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The endpoint cannot be bound: the port is taken, or the address is not this machine's.
    #[error("cannot bind `{endpoint}`: {reason}")]
    Refused {
        /// What was to be bound.
        endpoint: Endpoint,
        /// What libzmq said.
        reason: String,
    },
    /// The datagram address cannot be bound.
    #[error("cannot bind udp://{address}: {source}")]
    Datagram {
        /// What was to be bound.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A wildcard was bound, and the machine has several addresses that others may know it by: set
    /// [`Listen::advertise`] to the right one.
    #[error("`{bound}` stands for several addresses, and others must be told one of them: set `advertise` to {}", candidates.join(" or "))]
    Ambiguous {
        /// The wildcard that was bound.
        bound: String,
        /// The addresses, with the names of their interfaces.
        candidates: Vec<String>,
    },
    /// The advertised host has no address of the family that was bound.
    #[error("the advertised host `{0}` cannot be resolved")]
    Advertise(String),
    /// The poll loop, a signal handler or a thread could not be set up.
    #[error("cannot set up {what}: {source}")]
    System {
        /// What it was.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> BindError {
    move |source| BindError::System { what, source }
}

impl ZmqIo {
    /// Opens a node's sockets, and starts its sentinel.
    ///
    /// The value belongs on the thread that runs the node; it may be moved there. The first call in a
    /// process also makes the ZeroMQ context, raises the soft limit on open descriptors to the hard
    /// one, and logs a warning for each of [`missing_features`](crate::missing_features).
    ///
    /// # Errors
    ///
    /// See [`BindError`]; nothing stays open.
    pub fn bind(options: Options, listen: Listen) -> Result<Self, BindError> {
        options.validate()?;
        let context = process::context(options.io_threads).map_err(BindError::Context)?;
        let poll = Poll::new().map_err(system("the poll loop"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(system("the waker"))?;
        let waker = Arc::new(waker);
        let signals = options
            .signals
            .then(|| listen_for_signals(&poll))
            .transpose()?;
        let host = listen.advertise.as_deref();

        let mut local = LocalEndpoints::default();
        let mut datagrams = None;
        let mut for_sentinel = None;
        if let Some(address) = listen.datagram {
            let (socket, second) = bind_datagrams(&poll, address, options.datagram_bytes_max)?;
            let bound = socket
                .local()
                .map_err(|source| BindError::Datagram { address, source })?;
            local.datagram = Some(advertise::datagram(bound, host)?);
            datagrams = Some(socket);
            for_sentinel = Some(second);
        }
        let sentinel = Sentinel::start(
            options.stall_threshold,
            for_sentinel,
            options.datagram_bytes_max,
            Arc::clone(&waker),
        )
        .map_err(system("the sentinel thread"))?;
        let pool = Pool::new(
            options.helpers_max,
            options.helper_jobs_max,
            Arc::clone(&waker),
        );

        let now = process::epoch();
        let mut io = Self {
            jitter: jitter(options.reconnect_interval),
            context,
            poll,
            events: Events::with_capacity(EVENTS_AT_ONCE),
            sockets: Sockets::default(),
            ready: Ready::default(),
            datagrams,
            signals,
            shutdown_asked: false,
            pool,
            resolver: crate::resolver::Resolver::default(),
            sentinel,
            alarm: crate::alarm::Alarm::new(waker),
            pending: VecDeque::new(),
            counters: Counters::default(),
            local,
            epoch: now,
            looked: false,
            return_refused: false,
            return_pause: Duration::ZERO,
            renew_next: monofil_transport::Instant::FAR_FUTURE,
            sweep: crate::wait::Sweep::new(options.sweep_interval),
            options,
        };
        // From here on dropping `io` closes what is open.
        for (plane, endpoint) in [
            (Plane::Application, &listen.application),
            (Plane::Control, &listen.control),
        ] {
            if let Some(endpoint) = endpoint {
                io.listen(plane, endpoint, host)?;
            }
        }
        Ok(io)
    }

    fn listen(
        &mut self,
        plane: Plane,
        endpoint: &Endpoint,
        host: Option<&str>,
    ) -> Result<(), BindError> {
        let mut listener = Listener::bind(
            &self.context,
            &self.options,
            self.poll.registry(),
            listener_tokens(plane),
            (plane, endpoint),
            host,
        )?;
        self.ready.mark_dirty(&mut listener.port);
        self.ready.mark_dirty(&mut listener.monitor.port);
        let reached_at = Some(listener.endpoint.clone());
        match plane {
            Plane::Application => self.local.application = reached_at,
            Plane::Control => self.local.control = reached_at,
        }
        self.sockets.listeners[plane_index(plane)] = Some(listener);
        Ok(())
    }
}

fn listen_for_signals(poll: &Poll) -> Result<Signals, BindError> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(system("the signal handlers"))?;
    poll.registry()
        .register(&mut signals, SIGNALS, Interest::READABLE)
        .map_err(system("the signal handlers"))?;
    Ok(signals)
}

fn bind_datagrams(
    poll: &Poll,
    address: SocketAddr,
    bytes_max: usize,
) -> Result<(DatagramSocket, std::net::UdpSocket), BindError> {
    let failed = |source| BindError::Datagram { address, source };
    let (mut socket, second) = DatagramSocket::bind(address, bytes_max).map_err(failed)?;
    socket
        .register(poll.registry(), DATAGRAMS)
        .map_err(failed)?;
    Ok((socket, second))
}

/// Returns up to `interval`, another for each node.
fn jitter(interval: Duration) -> Duration {
    let mut bytes = [0; 4];
    crate::io::fill(&mut bytes);
    interval.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}
