//! One socket of libzmq's, never blocking.
#![expect(
    unsafe_code,
    reason = "the zmq crate consumes a message it cannot send, and panics on error numbers it does not know"
)]

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, RawFd};

use libc::{c_int, c_void};
use rustix::event::{PollFd, PollFlags, Timespec};
use zmq_sys::errno;

use super::Message;

/// What libzmq said, in its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct SocketError {
    pub(crate) number: i32,
    pub(crate) text: String,
}

impl SocketError {
    fn last() -> Self {
        // SAFETY: reads a number of this thread.
        let number = unsafe { zmq_sys::zmq_errno() };
        // SAFETY: the text is terminated and never freed.
        let text = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(number)) };
        Self {
            number,
            text: text.to_string_lossy().into_owned(),
        }
    }

    fn invalid(text: &str) -> Self {
        Self {
            number: errno::EINVAL,
            text: text.to_owned(),
        }
    }
}

impl From<zmq::Error> for SocketError {
    fn from(error: zmq::Error) -> Self {
        Self {
            number: error.to_raw(),
            text: error.message().to_owned(),
        }
    }
}

/// Why a message part was not taken. It is still the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The buffer is full, as far as the socket knows: [`Socket::readiness`] makes it look again.
    Full,
    /// Nobody is there by that identity.
    Unroutable,
    /// The socket is of no more use.
    Broken,
}

/// What a socket can do without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// A socket and its descriptor.
pub(crate) struct Socket {
    inner: zmq::Socket,
    descriptor: RawFd,
    monitored: bool,
}

impl Socket {
    pub(crate) fn new(inner: zmq::Socket) -> Result<Self, SocketError> {
        let descriptor = inner.get_fd()?;
        Ok(Self {
            inner,
            descriptor,
            monitored: false,
        })
    }

    /// Returns the options that the zmq crate knows.
    pub(crate) fn options(&self) -> &zmq::Socket {
        &self.inner
    }

    /// Returns the descriptor that signals *changes* of readiness.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// Tells whether the descriptor has nothing to signal at this moment.
    pub(crate) fn is_silent(&self) -> bool {
        // SAFETY: the descriptor stays open as long as the socket.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        matches!(
            rustix::event::poll(&mut polled, Some(&Timespec::default())),
            Ok(0)
        )
    }

    pub(crate) fn bind(&mut self, endpoint: &str) -> Result<(), SocketError> {
        self.with_endpoint(endpoint, zmq_sys::zmq_bind)
    }

    pub(crate) fn connect(&mut self, endpoint: &str) -> Result<(), SocketError> {
        self.with_endpoint(endpoint, zmq_sys::zmq_connect)
    }

    pub(crate) fn disconnect(&mut self, endpoint: &str) -> Result<(), SocketError> {
        self.with_endpoint(endpoint, zmq_sys::zmq_disconnect)
    }

    fn with_endpoint(
        &mut self,
        endpoint: &str,
        call: unsafe extern "C" fn(*mut c_void, *const libc::c_char) -> c_int,
    ) -> Result<(), SocketError> {
        let text =
            CString::new(endpoint).map_err(|_| SocketError::invalid("it contains a zero"))?;
        // SAFETY: the socket is open, and the text is terminated and outlives the call.
        match unsafe { call(self.inner.as_mut_ptr(), text.as_ptr()) } {
            -1 => Err(SocketError::last()),
            _ => Ok(()),
        }
    }

    /// Gives the socket the chance to take notice of what happened, and returns what it can do now.
    pub(crate) fn readiness(&mut self) -> Readiness {
        let mut events: c_int = 0;
        let mut size = size_of::<c_int>();
        // SAFETY: the socket is open; the option is a C integer, and `size` says so.
        let rc = unsafe {
            zmq_sys::zmq_getsockopt(
                self.inner.as_mut_ptr(),
                zmq_sys::ZMQ_EVENTS as c_int,
                (&raw mut events).cast(),
                &mut size,
            )
        };
        if rc == -1 {
            return Readiness::default();
        }
        Readiness {
            readable: events & zmq_sys::ZMQ_POLLIN as c_int != 0,
            writable: events & zmq_sys::ZMQ_POLLOUT as c_int != 0,
        }
    }

    /// Hands over one message part; with `more`, others of the same message follow.
    pub(crate) fn send(&mut self, message: &mut Message, more: bool) -> Result<(), Refusal> {
        let flags = if more {
            zmq_sys::ZMQ_DONTWAIT | zmq_sys::ZMQ_SNDMORE
        } else {
            zmq_sys::ZMQ_DONTWAIT
        };
        loop {
            // SAFETY: the socket is open and the message initialised. On success libzmq leaves an empty
            // message behind; on failure it leaves the message as it was.
            let rc = unsafe {
                zmq_sys::zmq_msg_send(
                    message.as_mut_ptr(),
                    self.inner.as_mut_ptr(),
                    flags as c_int,
                )
            };
            if rc != -1 {
                return Ok(());
            }
            // SAFETY: reads a number of this thread.
            match unsafe { zmq_sys::zmq_errno() } {
                errno::EINTR => {}
                errno::EAGAIN => return Err(Refusal::Full),
                errno::EHOSTUNREACH => return Err(Refusal::Unroutable),
                _ => return Err(Refusal::Broken),
            }
        }
    }

    /// Takes the next message part, if one is there.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        let mut message = Message::empty();
        loop {
            // SAFETY: the socket is open and the message initialised, which it also is afterwards.
            let rc = unsafe {
                zmq_sys::zmq_msg_recv(
                    message.as_mut_ptr(),
                    self.inner.as_mut_ptr(),
                    zmq_sys::ZMQ_DONTWAIT as c_int,
                )
            };
            if rc != -1 {
                return Some(message);
            }
            // SAFETY: reads a number of this thread.
            if unsafe { zmq_sys::zmq_errno() } != errno::EINTR {
                return None;
            }
        }
    }

    /// Starts to report what happens to this socket's connections at an endpoint inside the process, in
    /// place of where it was reported before.
    ///
    /// Whoever reads there must live longer than this socket: libzmq's thread waits for a reader.
    pub(crate) fn monitor(&mut self, endpoint: &str, events: u32) -> Result<(), SocketError> {
        let text =
            CString::new(endpoint).map_err(|_| SocketError::invalid("it contains a zero"))?;
        // SAFETY: the socket is open, and the text is terminated and outlives the call.
        let rc = unsafe {
            zmq_sys::zmq_socket_monitor(self.inner.as_mut_ptr(), text.as_ptr(), events as c_int)
        };
        if rc == -1 {
            return Err(SocketError::last());
        }
        self.monitored = true;
        Ok(())
    }

    /// Stops to report.
    pub(crate) fn unmonitor(&mut self) {
        if std::mem::replace(&mut self.monitored, false) {
            // SAFETY: the socket is open; no endpoint means to stop. It cannot fail.
            unsafe { zmq_sys::zmq_socket_monitor(self.inner.as_mut_ptr(), std::ptr::null(), 0) };
        }
    }

    /// Closes the socket, and lets it report until it is gone with all it held.
    pub(crate) fn close_reporting(mut self) {
        self.monitored = false;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.unmonitor();
    }
}
