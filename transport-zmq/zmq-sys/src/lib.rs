//! Bindings to the stable C interface of libzmq 4.3.5.
//!
//! This crate takes the place of the published one of the same name and version, which builds an older
//! libzmq without encryption, without TCP keep-alive and with timers that follow the wall clock. It
//! offers what the `zmq` crate needs, by the names and types of the C header.
//!
//! It needs a C and a C++ compiler and `make`; libzmq and libsodium come as source with the crates that
//! [build them](https://crates.io/crates/zeromq-src).

#![allow(
    non_camel_case_types,
    reason = "the names are those of the C interface"
)]

mod constants;
pub mod errno;
mod functions;

pub use constants::*;
pub use functions::*;

/// What the operating system calls a socket.
#[cfg(unix)]
pub type RawFd = std::os::fd::RawFd;
/// What the operating system calls a socket.
#[cfg(windows)]
pub type RawFd = std::os::windows::io::RawSocket;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_one_this_crate_builds() {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: the three pointers are valid for the length of the call.
        unsafe { zmq_version(&mut major, &mut minor, &mut patch) };
        assert_eq!((major, minor, patch), (4, 3, 5));
        // SAFETY: the capability is a terminated string.
        let encrypts = unsafe { zmq_has(c"curve".as_ptr()) } == 1;
        assert_eq!(encrypts, cfg!(feature = "curve"));
    }

    #[cfg(feature = "curve")]
    #[test]
    fn key_pairs_can_be_made() {
        let (mut public, mut secret) = ([0 as libc::c_char; 41], [0 as libc::c_char; 41]);
        // SAFETY: both buffers have room for 40 characters and the terminator.
        let rc = unsafe { zmq_curve_keypair(public.as_mut_ptr(), secret.as_mut_ptr()) };
        assert_eq!(rc, 0);
        assert_ne!(public, secret);
    }
}
