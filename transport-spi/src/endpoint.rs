//! Where a node can be reached.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Which of a node's two networks a frame belongs to; they never share a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    /// Users' messages.
    Application,
    /// The framework's own: commands, descriptions, health.
    Control,
}

impl Plane {
    /// Both planes, in the order in which they are bound.
    pub const ALL: [Self; 2] = [Self::Application, Self::Control];
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "application",
            Self::Control => "control",
        })
    }
}

/// The scheme of an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `tcp://host:port`
    Tcp,
    /// `ipc:///path/to/socket`
    Ipc,
    /// `inproc://name`, a node of the same pseudo-network
    Inproc,
}

/// The address of one plane of one node: `tcp://10.0.0.7:7700`, `ipc:///run/shop/orders`,
/// `inproc://orders`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(Arc<str>);

/// The longest endpoint, in bytes: longer ones are refused before anything is kept.
const ENDPOINT_BYTES_MAX: usize = 512;
/// `sun_path` holds 108 bytes with its terminator on Linux; a longer path cannot be bound.
const IPC_PATH_BYTES_MAX: usize = 107;

/// Why a text is no [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The scheme is missing or unknown.
    #[error("`{0}` has no known scheme: write tcp://HOST:PORT, ipc:///PATH or inproc://NAME")]
    Scheme(String),
    /// A `tcp` endpoint without a host or with a port that is no number from 0 to 65535.
    #[error("`{0}` needs a host, and a port up to 65535: tcp://HOST:PORT")]
    HostPort(String),
    /// An `ipc` endpoint whose path is empty, relative or too long for a socket.
    #[error("`{0}` needs an absolute path of at most 107 bytes: ipc:///PATH")]
    Path(String),
    /// Longer than 512 bytes.
    #[error("an endpoint of {0} bytes is longer than 512")]
    TooLong(usize),
}

impl Endpoint {
    /// Returns the text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.0.split_once("://").map(|(scheme, _)| scheme) {
            Some("tcp") => Scheme::Tcp,
            Some("ipc") => Scheme::Ipc,
            _ => Scheme::Inproc,
        }
    }

    /// Returns what follows `scheme://`.
    #[must_use]
    pub fn address(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, address)| address)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.len() > ENDPOINT_BYTES_MAX {
            return Err(EndpointError::TooLong(text.len()));
        }
        match text.split_once("://") {
            Some(("tcp", address)) => {
                let valid = address.rsplit_once(':').is_some_and(|(host, port)| {
                    !host.is_empty() && (port == "*" || port.parse::<u16>().is_ok())
                });
                if !valid {
                    return Err(EndpointError::HostPort(text.to_owned()));
                }
            }
            Some(("ipc", path)) => {
                if !path.starts_with('/') || path.len() > IPC_PATH_BYTES_MAX || path.contains('\0')
                {
                    return Err(EndpointError::Path(text.to_owned()));
                }
            }
            Some(("inproc", name)) if !name.is_empty() => {}
            _ => return Err(EndpointError::Scheme(text.to_owned())),
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a node's own sockets are bound, as others can reach them.
///
/// All empty for a node that only ever speaks first (a client): it is answered on the connection it
/// opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalEndpoints {
    /// The application plane.
    pub application: Option<Endpoint>,
    /// The control plane.
    pub control: Option<Endpoint>,
    /// Where datagrams are received.
    pub datagram: Option<SocketAddr>,
}

impl LocalEndpoints {
    /// Returns the endpoint of one plane.
    #[must_use]
    pub fn plane(&self, plane: Plane) -> Option<&Endpoint> {
        match plane {
            Plane::Application => self.application.as_ref(),
            Plane::Control => self.control.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_when_parsed() {
        for good in [
            "tcp://127.0.0.1:7700",
            "tcp://[::1]:7700",
            "tcp://shop.example:0",
            "tcp://127.0.0.1:*",
            "ipc:///run/shop/orders",
            "inproc://orders",
        ] {
            assert_eq!(
                good.parse::<Endpoint>().map(|e| e.to_string()),
                Ok(good.to_owned())
            );
        }
        let long = format!("ipc:///{}", "a".repeat(107));
        for bad in [
            "",
            "orders",
            "udp://1:2",
            "tcp://",
            "tcp://:1",
            "tcp://a",
            "tcp://a:70000",
            "ipc://a",
            "ipc://",
            "inproc://",
            &long,
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
