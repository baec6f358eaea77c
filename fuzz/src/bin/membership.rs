//! Membership packets, which datagrams carry.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| monofil_container::fuzz_membership_packet(bytes));
