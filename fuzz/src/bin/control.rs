//! Frames of the control plane.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use monofil_proto::{Bounds, decode_control, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = decode_control(&Bytes::copy_from_slice(bytes), &Bounds::DEFAULT) else {
        return;
    };
    let again = decode_control(&encode(&frame), &Bounds::DEFAULT);
    assert_eq!(again.as_ref(), Ok(&frame));
});
