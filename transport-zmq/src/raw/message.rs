//! One message part of libzmq's.
#![expect(unsafe_code, reason = "libzmq's messages are C structures")]

use std::slice;

use bytes::Bytes;
use libc::c_void;
use zmq_sys::zmq_msg_t;

/// Up to this length a payload is copied rather than shared, in both directions.
///
/// Copying so little costs less than the two allocations and the hand-over to another thread that
/// sharing needs. And libzmq lets a short message it received point into the 8 KiB it read from the
/// socket: whoever kept a hundred bytes would keep all of that.
const COPIED_BYTES_MAX: usize = 2048;

/// An initialised message part. Dropping it gives its memory back.
pub(crate) struct Message(zmq_msg_t);

impl Message {
    /// Makes an empty one, to receive into.
    pub(crate) fn empty() -> Self {
        let mut msg = zmq_msg_t::default();
        // SAFETY: `msg` is valid memory of the right size; the call cannot fail.
        unsafe { zmq_sys::zmq_msg_init(&mut msg) };
        Self(msg)
    }

    /// Makes one that carries `payload`, sharing its memory when that pays.
    pub(crate) fn carrying(payload: &Bytes) -> Self {
        if payload.len() <= COPIED_BYTES_MAX {
            Self::copy_of(payload)
        } else {
            Self::sharing(payload.clone())
        }
    }

    /// Makes one that holds a copy of `payload`.
    pub(crate) fn copy_of(payload: &[u8]) -> Self {
        let mut msg = zmq_msg_t::default();
        // SAFETY: `msg` is valid memory of the right size.
        let rc = unsafe { zmq_sys::zmq_msg_init_size(&mut msg, payload.len()) };
        assert_eq!(rc, 0, "no memory for a message of {} bytes", payload.len());
        // SAFETY: libzmq made room for `payload.len()` bytes, which nothing else can see yet.
        unsafe {
            let room = zmq_sys::zmq_msg_data(&mut msg).cast::<u8>();
            room.copy_from_nonoverlapping(payload.as_ptr(), payload.len());
        }
        Self(msg)
    }

    fn sharing(payload: Bytes) -> Self {
        let (data, len) = (payload.as_ptr(), payload.len());
        let owner = Box::into_raw(Box::new(payload));
        let mut msg = zmq_msg_t::default();
        // SAFETY: the data lives, unchanged and at the same place, until `release` drops its owner.
        // libzmq never writes into the data of a message that it sends.
        let rc = unsafe {
            zmq_sys::zmq_msg_init_data(
                &mut msg,
                data.cast_mut().cast(),
                len,
                Some(release),
                owner.cast(),
            )
        };
        assert_eq!(rc, 0, "no memory for a message of {len} bytes");
        Self(msg)
    }

    /// Returns what it carries.
    pub(crate) fn payload(&self) -> &[u8] {
        // libzmq's accessors want a mutable pointer and do not write through it.
        let msg = (&raw const self.0).cast_mut();
        // SAFETY: the message is initialised, and its data lives as long as it does.
        unsafe {
            let data = zmq_sys::zmq_msg_data(msg).cast::<u8>();
            let len = zmq_sys::zmq_msg_size(msg);
            if len == 0 {
                return &[];
            }
            slice::from_raw_parts(data, len)
        }
    }

    /// Tells whether more parts of the same message follow.
    pub(crate) fn has_more(&self) -> bool {
        // SAFETY: the message is initialised.
        unsafe { zmq_sys::zmq_msg_more(&self.0) == 1 }
    }

    /// Returns what it carries, sharing its memory when that pays.
    pub(crate) fn into_payload(self) -> Bytes {
        let payload = self.payload();
        if payload.len() <= COPIED_BYTES_MAX {
            Bytes::copy_from_slice(payload)
        } else {
            Bytes::from_owner(self)
        }
    }

    /// Returns the C structure, to pass to libzmq.
    pub(super) fn as_mut_ptr(&mut self) -> *mut zmq_msg_t {
        &raw mut self.0
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.payload()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is initialised, and never used again.
        unsafe { zmq_sys::zmq_msg_close(&mut self.0) };
    }
}

/// Drops the owner of a shared payload, on whichever thread used it last.
unsafe extern "C" fn release(_data: *mut c_void, owner: *mut c_void) {
    // SAFETY: `owner` is the box that `sharing` gave away, and libzmq calls this once.
    let owner = unsafe { Box::from_raw(owner.cast::<Bytes>()) };
    drop(owner);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_both_ways_and_long_ones_are_shared() {
        for len in [1, 33, 34, COPIED_BYTES_MAX, COPIED_BYTES_MAX + 1, 70_000] {
            let payload = Bytes::from(vec![7_u8; len]);
            let message = Message::carrying(&payload);
            assert_eq!(message.payload(), &payload[..]);
            assert!(!message.has_more());
            let shared = len > COPIED_BYTES_MAX;
            assert_eq!(message.payload().as_ptr() == payload.as_ptr(), shared);
            let back = message.into_payload();
            assert_eq!(back, payload);
            assert_eq!(back.as_ptr() == payload.as_ptr(), shared);
            drop(payload);
            assert_eq!(back.len(), len);
        }
    }
}
