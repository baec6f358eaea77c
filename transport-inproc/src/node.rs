//! How nodes come into a world, and what they are called there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use monofil_transport::{Endpoint, EndpointError, Instant, LocalEndpoints, Node};

/// A node of one world. Means nothing in another world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub(crate) u32);

impl NodeKey {
    /// Returns its place in the order in which nodes were added, from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a factory is told when it makes a node's program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStart {
    /// The node.
    pub key: NodeKey,
    /// Its name.
    pub name: std::sync::Arc<str>,
    /// One for its first start, one more for each restart.
    pub incarnation: u64,
    /// When.
    pub now: Instant,
    /// Where it can be reached.
    pub local: LocalEndpoints,
}

/// Makes a node's program each time the node starts.
pub type Factory = Box<dyn FnMut(&NodeStart) -> Box<dyn Node>>;

/// A node to add to a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    pub(crate) name: String,
    pub(crate) endpoints: Endpoints,
    pub(crate) started: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoints {
    FromName,
    Given(LocalEndpoints),
    /// For each plane; the datagram address is invented.
    Listening([Endpoint; 2]),
}

impl NodeSpec {
    /// Names a node that can be reached at `inproc://NAME` (application), `inproc://NAME#control` and an
    /// invented datagram address, and that starts as soon as it is added.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            endpoints: Endpoints::FromName,
            started: true,
        }
    }

    /// Gives it other endpoints, of any scheme: nobody outside the world hears of them.
    #[must_use]
    pub fn at(mut self, endpoints: LocalEndpoints) -> Self {
        self.endpoints = Endpoints::Given(endpoints);
        self
    }

    /// Gives it other endpoints for frames, of any scheme, and an invented datagram address.
    #[must_use]
    pub fn listening(mut self, application: Endpoint, control: Endpoint) -> Self {
        self.endpoints = Endpoints::Listening([application, control]);
        self
    }

    /// Takes all endpoints away: it only ever speaks first, as a client does.
    #[must_use]
    pub fn client(self) -> Self {
        self.at(LocalEndpoints::default())
    }

    /// Leaves it down until [`World::restart`](crate::World::restart).
    #[must_use]
    pub fn down(mut self) -> Self {
        self.started = false;
        self
    }

    /// Returns where it can be reached, as the node with this number.
    pub(crate) fn local(&self, number: u32) -> Result<LocalEndpoints, EndpointError> {
        match &self.endpoints {
            Endpoints::Given(local) => Ok(local.clone()),
            Endpoints::Listening([application, control]) => Ok(LocalEndpoints {
                application: Some(application.clone()),
                control: Some(control.clone()),
                datagram: Some(datagram_address(number)),
            }),
            Endpoints::FromName => Ok(LocalEndpoints {
                application: Some(application_endpoint(&self.name)?),
                control: Some(format!("inproc://{}#control", self.name).parse()?),
                datagram: Some(datagram_address(number)),
            }),
        }
    }
}

/// Returns where the node with this name can be reached in a world, unless it was given endpoints.
///
/// # Errors
///
/// When the name is empty or too long for an endpoint.
pub fn application_endpoint(name: &str) -> Result<Endpoint, EndpointError> {
    format!("inproc://{name}").parse()
}

/// Invents an address for each of 16 million nodes.
fn datagram_address(number: u32) -> SocketAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, middle, low)), 7_700)
}

/// Why a node was not added; the world is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddNodeError {
    /// There is a node of that name.
    #[error("there is a node `{0}` already")]
    NameTaken(String),
    /// Another node has one of its endpoints.
    #[error("another node has the endpoint `{0}`")]
    EndpointTaken(Endpoint),
    /// Another node has its datagram address.
    #[error("another node has the datagram address {0}")]
    AddressTaken(SocketAddr),
    /// Its name makes no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}
