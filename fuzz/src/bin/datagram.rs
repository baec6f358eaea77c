//! Datagrams.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monofil_proto::{Bounds, decode_datagram, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(datagram) = decode_datagram(bytes, &Bounds::DEFAULT) else {
        return;
    };
    let again = decode_datagram(&encode(&datagram), &Bounds::DEFAULT);
    assert_eq!(again.as_ref(), Ok(&datagram));
});
