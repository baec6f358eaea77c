//! The addresses of this machine.
#![expect(
    unsafe_code,
    reason = "`getifaddrs` gives a linked list of C structures"
)]

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// One address of one network interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// Lists the addresses of the interfaces that are up.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut list = ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an entry of the list, which lives until `freeifaddrs` below.
        let entry = unsafe { &*next };
        found.extend(address_of(entry));
        next = entry.ifa_next;
    }
    // SAFETY: `list` came from `getifaddrs`, and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

fn address_of(entry: &libc::ifaddrs) -> Option<Interface> {
    let up = entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
    if !up || entry.ifa_addr.is_null() {
        return None;
    }
    // SAFETY: a non-null address begins with its family.
    let family = libc::c_int::from(unsafe { (*entry.ifa_addr).sa_family });
    let address = match family {
        libc::AF_INET => {
            // SAFETY: an address of this family is a `sockaddr_in`; it is read without relying on alignment.
            let v4 = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)))
        }
        libc::AF_INET6 => {
            // SAFETY: an address of this family is a `sockaddr_in6`; it is read without relying on alignment.
            let v6 = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr))
        }
        _ => return None,
    };
    // SAFETY: the name is a terminated string that lives as long as the list.
    let name = unsafe { CStr::from_ptr(entry.ifa_name) };
    Some(Interface {
        name: name.to_string_lossy().into_owned(),
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed() {
        let list = interfaces().expect("the list");
        assert!(list.iter().any(|entry| entry.address.is_loopback()));
    }
}
