//! The error numbers that libzmq gives.

use libc::c_int;

/// Where libzmq's own numbers begin.
const OWN: c_int = 156_384_712;

// The operating system's numbers.

pub const EACCES: c_int = libc::EACCES;
pub const EADDRINUSE: c_int = libc::EADDRINUSE;
pub const EAGAIN: c_int = libc::EAGAIN;
pub const EBUSY: c_int = libc::EBUSY;
pub const ECONNREFUSED: c_int = libc::ECONNREFUSED;
pub const EFAULT: c_int = libc::EFAULT;
pub const EINTR: c_int = libc::EINTR;
pub const EHOSTUNREACH: c_int = libc::EHOSTUNREACH;
pub const EINPROGRESS: c_int = libc::EINPROGRESS;
pub const EINVAL: c_int = libc::EINVAL;
pub const EMFILE: c_int = libc::EMFILE;
pub const EMSGSIZE: c_int = libc::EMSGSIZE;
pub const ENAMETOOLONG: c_int = libc::ENAMETOOLONG;
pub const ENODEV: c_int = libc::ENODEV;
pub const ENOENT: c_int = libc::ENOENT;
pub const ENOMEM: c_int = libc::ENOMEM;
pub const ENOTCONN: c_int = libc::ENOTCONN;
pub const ENOTSOCK: c_int = libc::ENOTSOCK;
pub const EPROTO: c_int = libc::EPROTO;
pub const EPROTONOSUPPORT: c_int = libc::EPROTONOSUPPORT;
pub const ENOTSUP: c_int = libc::ENOTSUP;
pub const ENOBUFS: c_int = libc::ENOBUFS;
pub const ENETDOWN: c_int = libc::ENETDOWN;
pub const EADDRNOTAVAIL: c_int = libc::EADDRNOTAVAIL;

// What libzmq gives in their place on a platform without them.

pub const ENOTSUP_ALT: c_int = OWN + 1;
pub const EPROTONOSUPPORT_ALT: c_int = OWN + 2;
pub const ENOBUFS_ALT: c_int = OWN + 3;
pub const ENETDOWN_ALT: c_int = OWN + 4;
pub const EADDRINUSE_ALT: c_int = OWN + 5;
pub const EADDRNOTAVAIL_ALT: c_int = OWN + 6;
pub const ECONNREFUSED_ALT: c_int = OWN + 7;
pub const EINPROGRESS_ALT: c_int = OWN + 8;
pub const ENOTSOCK_ALT: c_int = OWN + 9;
pub const EMSGSIZE_ALT: c_int = OWN + 10;
pub const EAFNOSUPPORT_ALT: c_int = OWN + 11;
pub const ENETUNREACH_ALT: c_int = OWN + 12;
pub const ECONNABORTED_ALT: c_int = OWN + 13;
pub const ECONNRESET_ALT: c_int = OWN + 14;
pub const ENOTCONN_ALT: c_int = OWN + 15;
pub const ETIMEDOUT_ALT: c_int = OWN + 16;
pub const EHOSTUNREACH_ALT: c_int = OWN + 17;
pub const ENETRESET_ALT: c_int = OWN + 18;

// Its own.

pub const EFSM: c_int = OWN + 51;
pub const ENOCOMPATPROTO: c_int = OWN + 52;
pub const ETERM: c_int = OWN + 53;
pub const EMTHREAD: c_int = OWN + 54;
