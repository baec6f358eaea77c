//! Work between two processes, over TCP on the loopback interface.
//!
//! Casts are measured by the process that receives them, calls by the one that makes them. Every message
//! begins with its number.

pub(crate) mod monofil;
pub(crate) mod nats;
pub(crate) mod raw;
pub(crate) mod tonic;
pub(crate) mod zenoh;

use bytes::Bytes;

/// Makes the messages of one size.
pub(crate) struct Payloads(Vec<u8>);

impl Payloads {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(vec![7; bytes.max(8)])
    }

    /// Returns the message with a number, for those who copy it themselves.
    pub(crate) fn get(&mut self, number: u64) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_le_bytes());
        &self.0
    }

    /// Makes the message with a number.
    pub(crate) fn make(&mut self, number: u64) -> Bytes {
        Bytes::copy_from_slice(self.get(number))
    }
}

/// Returns the number of this answer, which is the message that was sent.
pub(crate) fn answered(answer: &[u8], number: u64, bytes: usize) -> u64 {
    if bench_worker::number(answer) != number || answer.len() != bytes {
        bench_worker::fail(format!("the answer to message {number} is another"));
    }
    number
}
