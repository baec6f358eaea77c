//! What a node tells others about where it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use monofil_transport::{Endpoint, Scheme};

use crate::bind::BindError;
use crate::raw::{Interface, Socket, interfaces};

/// Returns the endpoint by which others reach a socket that was just bound to `asked`.
pub(crate) fn endpoint(
    socket: &Socket,
    asked: &Endpoint,
    host: Option<&str>,
) -> Result<Endpoint, BindError> {
    if asked.scheme() != Scheme::Tcp {
        return Ok(asked.clone());
    }
    let refused = |reason: String| BindError::Refused {
        endpoint: asked.clone(),
        reason,
    };
    let bound = socket
        .options()
        .get_last_endpoint()
        .map_err(|error| refused(error.message().to_owned()))?
        .map_err(|_| refused("the bound endpoint is no text".to_owned()))?;
    let (bound_host, port) = bound
        .strip_prefix("tcp://")
        .and_then(|address| address.rsplit_once(':'))
        .ok_or_else(|| refused(format!("`{bound}` was bound")))?;
    let host = match host {
        Some(host) => bracketed(host),
        None => match bound_host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => {
                let address = only_address(address).map_err(|candidates| BindError::Ambiguous {
                    bound: bound.clone(),
                    candidates,
                })?;
                bracketed(&address.to_string())
            }
            _ => bound_host.to_owned(),
        },
    };
    format!("tcp://{host}:{port}")
        .parse()
        .map_err(|error: monofil_transport::EndpointError| refused(error.to_string()))
}

/// Returns the address by which others reach a datagram socket that was bound to `bound`.
pub(crate) fn datagram(bound: SocketAddr, host: Option<&str>) -> Result<SocketAddr, BindError> {
    if let Some(host) = host {
        let host = host.trim_matches(['[', ']']);
        return resolve(host, bound).ok_or_else(|| BindError::Advertise(host.to_owned()));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let address = only_address(bound.ip()).map_err(|candidates| BindError::Ambiguous {
        bound: format!("udp://{bound}"),
        candidates,
    })?;
    Ok(SocketAddr::new(address, bound.port()))
}

fn resolve(host: &str, bound: SocketAddr) -> Option<SocketAddr> {
    use std::net::ToSocketAddrs;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, bound.port()));
    }
    let mut found = (host, bound.port()).to_socket_addrs().ok()?;
    found.find(|address| address.is_ipv4() == bound.is_ipv4())
}

/// Chooses the one address that a wildcard stands for, or gives all there are to choose from.
fn only_address(wildcard: IpAddr) -> Result<IpAddr, Vec<String>> {
    // Without a list there is nothing to choose from, which is the case below.
    choose(wildcard, interfaces().unwrap_or_default())
}

fn choose(wildcard: IpAddr, interfaces: Vec<Interface>) -> Result<IpAddr, Vec<String>> {
    let reachable = |entry: &Interface| {
        entry.address.is_ipv4() == wildcard.is_ipv4()
            && !entry.address.is_loopback()
            && !is_link_local(entry.address)
    };
    let candidates: Vec<Interface> = interfaces.into_iter().filter(reachable).collect();
    match &candidates[..] {
        [] if wildcard.is_ipv4() => Ok(Ipv4Addr::LOCALHOST.into()),
        [] => Ok(Ipv6Addr::LOCALHOST.into()),
        [only] => Ok(only.address),
        several => Err(several
            .iter()
            .map(|entry| format!("{} ({})", entry.address, entry.name))
            .collect()),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str) -> Interface {
        Interface {
            name: name.to_owned(),
            address: address.parse().expect("an address"),
        }
    }

    #[test]
    fn a_wildcard_stands_for_the_only_address_others_can_reach() {
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let loopback = interface("lo", "127.0.0.1");
        let lan = interface("eth0", "10.0.0.7");
        let link = interface("eth1", "169.254.3.4");
        let v6 = interface("eth0", "2001:db8::7");
        let cases = [
            (vec![loopback.clone()], Ok("127.0.0.1")),
            (
                vec![loopback.clone(), lan.clone(), link, v6.clone()],
                Ok("10.0.0.7"),
            ),
            (
                vec![loopback, lan, interface("wlan0", "192.168.1.9")],
                Err(vec![
                    "10.0.0.7 (eth0)".to_owned(),
                    "192.168.1.9 (wlan0)".to_owned(),
                ]),
            ),
        ];
        for (interfaces, expected) in cases {
            let chosen = choose(any, interfaces).map(|address| address.to_string());
            assert_eq!(chosen, expected.map(str::to_owned));
        }
        assert_eq!(
            choose(Ipv6Addr::UNSPECIFIED.into(), vec![v6.clone()]),
            Ok(v6.address)
        );
    }
}
