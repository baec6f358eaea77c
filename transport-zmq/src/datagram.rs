//! The UDP socket.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket as StdUdpSocket};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use monofil_transport::{DatagramError, Event, Inbox};
use socket2::{Domain, Protocol, Socket, Type};

use crate::counters::Counters;

/// What the kernel is asked to hold, so that a burst outlasts a busy turn.
const BUFFER_BYTES: usize = 1 << 20;
/// Datagrams handed to the node in one turn.
const PER_TURN_MAX: usize = 64;

/// A bound UDP socket.
pub(crate) struct DatagramSocket {
    socket: UdpSocket,
    bytes_max: usize,
    /// One byte longer than the longest datagram, to see that one is longer.
    buffer: Vec<u8>,
    /// Whether the last read left something, as far as is known.
    pub(crate) readable: bool,
}

impl DatagramSocket {
    pub(crate) fn bind(address: SocketAddr, bytes_max: usize) -> io::Result<(Self, StdUdpSocket)> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        // The kernel gives what it can; less is no error.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = StdUdpSocket::from(socket);
        let second = socket.try_clone()?;
        let this = Self {
            socket: UdpSocket::from_std(socket),
            bytes_max,
            buffer: vec![0; bytes_max + 1],
            readable: true,
        };
        Ok((this, second))
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn send(&self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
        if payload.len() > self.bytes_max {
            return Err(DatagramError::TooLarge(payload.len()));
        }
        match self.socket.send_to(payload, to) {
            Ok(_) => Ok(()),
            Err(error) => Err(DatagramError::Refused(error.to_string())),
        }
    }

    /// Hands over what has arrived, up to a turn's worth.
    pub(crate) fn receive(&mut self, inbox: &mut Inbox, counters: &mut Counters) {
        for _ in 0..PER_TURN_MAX {
            if !self.readable {
                return;
            }
            match self.socket.recv_from(&mut self.buffer) {
                Ok((len, _)) if len > self.bytes_max => counters.datagrams_dropped_oversize += 1,
                Ok((len, from)) => {
                    counters.datagrams_received += 1;
                    let payload = Bytes::copy_from_slice(&self.buffer[..len]);
                    inbox.push(Event::Datagram { from, payload });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                // An earlier datagram of ours found nobody (ICMP), or a signal came: neither says
                // anything about what is there to read.
                Err(_) => {}
            }
        }
    }
}
