//! Membership packets: who a member is, and the bytes of what members say to each other.
//!
//! ```text
//!   packet    header, then unless it is an announcement: u16 count, members, then news: (u16 length, card)*
//!   header    identity (source), u16 incarnation, identity (destination), message
//!   member    identity, u16 incarnation, u8 state
//!   identity  16 bytes node, u64 life, u32 renewal, address, u8 kind and u16 port or u8 length and text (control)
//!   address   u8 4 or 6, 4 or 16 bytes, u16 port
//!   card      16 bytes node, u64 life, u32 number, u32 version, u16 load
//! ```
//!
//! Numbers are big-endian. Everything is read here, and refused as a whole, before the protocol sees any of it.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Incarnation, Member, Message, State};
use monofil_transport::{Endpoint, Scheme};

use crate::NodeId;

/// The longest text of a control endpoint that travels.
const ENDPOINT_BYTES_MAX: usize = 200;

/// A member, in one of its lives, under one of the names it has had in it: one that was held to be down comes back
/// with the next renewal.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    /// The incarnation of the node: grows each time it starts anew.
    pub(crate) life: u64,
    pub(crate) renewal: u32,
    /// Where it receives datagrams.
    pub(crate) address: SocketAddr,
    /// Where its entry is had from.
    pub(crate) control: Option<Endpoint>,
}

impl Identity {
    const fn rank(&self) -> (u64, u32) {
        (self.life, self.renewal)
    }
}

/// Where it is does not change in a life, and so does not matter.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && self.rank() == other.rank()
    }
}

impl Eq for Identity {}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        let renewal = self.renewal.checked_add(1)?;
        Some(Self {
            renewal,
            ..self.clone()
        })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.rank() > adversary.rank()
    }
}

/// What a member says of itself from time to time: what others have of its entry may be out of date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    /// Grows with each card.
    pub(crate) number: u32,
    /// Of its entry.
    pub(crate) version: u32,
    /// Messages queued and being handled.
    pub(crate) load: u16,
}

impl Card {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(34);
        bytes.put_slice(&self.node.0);
        bytes.put_u64(self.life);
        bytes.put_u32(self.number);
        bytes.put_u32(self.version);
        bytes.put_u16(self.load);
        bytes
    }

    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, Refused> {
        let card = Self {
            node: read_node(&mut bytes)?,
            life: bytes.try_get_u64().map_err(short)?,
            number: bytes.try_get_u32().map_err(short)?,
            version: bytes.try_get_u32().map_err(short)?,
            load: bytes.try_get_u16().map_err(short)?,
        };
        if bytes.is_empty() {
            Ok(card)
        } else {
            Err(Refused("something follows a card"))
        }
    }

    /// Tells whether it is later than another of the same node.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        (self.life, self.number) > (other.life, other.number)
    }
}

/// Why a packet is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) &'static str);

fn short(_: bytes::TryGetError) -> Refused {
    Refused("it is cut short")
}

fn read_node(bytes: &mut impl Buf) -> Result<NodeId, Refused> {
    let mut node = [0; 16];
    bytes.try_copy_to_slice(&mut node).map_err(short)?;
    Ok(NodeId(node))
}

fn write_identity(identity: &Identity, out: &mut Vec<u8>) {
    out.put_slice(&identity.node.0);
    out.put_u64(identity.life);
    out.put_u32(identity.renewal);
    match identity.address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(identity.address.port());
    match &identity.control {
        None => out.put_u8(0),
        Some(endpoint) => match port_beside(endpoint, identity.address.ip()) {
            Some(port) => {
                out.put_u8(1);
                out.put_u16(port);
            }
            None => {
                let text = endpoint.as_str().as_bytes();
                out.put_u8(2);
                out.put_u8(u8::try_from(text.len()).unwrap_or(0));
                out.put_slice(text);
            }
        },
    }
}

/// Returns the port of an endpoint that is of the same host as the datagrams.
fn port_beside(endpoint: &Endpoint, host: IpAddr) -> Option<u16> {
    let address: SocketAddr = endpoint.address().parse().ok()?;
    let same = endpoint.scheme() == Scheme::Tcp && address.ip() == host;
    same.then_some(address.port())
}

/// Returns an endpoint that fits into a packet.
pub(crate) fn fitting(endpoint: Option<Endpoint>) -> Option<Endpoint> {
    endpoint.filter(|endpoint| endpoint.as_str().len() <= ENDPOINT_BYTES_MAX)
}

fn read_identity(bytes: &mut impl Buf) -> Result<Identity, Refused> {
    let node = read_node(bytes)?;
    let life = bytes.try_get_u64().map_err(short)?;
    let renewal = bytes.try_get_u32().map_err(short)?;
    let ip: IpAddr = match bytes.try_get_u8().map_err(short)? {
        4 => bytes.try_get_u32().map_err(short)?.to_be_bytes().into(),
        6 => bytes.try_get_u128().map_err(short)?.to_be_bytes().into(),
        _ => return Err(Refused("an address is neither IPv4 nor IPv6")),
    };
    let address = SocketAddr::new(ip, bytes.try_get_u16().map_err(short)?);
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) || address.port() == 0 {
        return Err(Refused("an address is not one of one node"));
    }
    if life == 0 {
        return Err(Refused("a member has no life"));
    }
    let control = match bytes.try_get_u8().map_err(short)? {
        0 => None,
        1 => {
            let port = bytes.try_get_u16().map_err(short)?;
            format!("tcp://{}", SocketAddr::new(ip, port)).parse().ok()
        }
        2 => {
            let length = usize::from(bytes.try_get_u8().map_err(short)?);
            if length > ENDPOINT_BYTES_MAX {
                return Err(Refused("an endpoint is too long"));
            }
            let mut text = vec![0; length];
            bytes.try_copy_to_slice(&mut text).map_err(short)?;
            let text = std::str::from_utf8(&text).map_err(|_| Refused("an endpoint is no text"))?;
            let endpoint = text.parse();
            Some(endpoint.map_err(|_| Refused("an endpoint makes no sense"))?)
        }
        _ => return Err(Refused("an endpoint of no known kind")),
    };
    Ok(Identity {
        node,
        life,
        renewal,
        address,
        control,
    })
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

fn write_header(header: &Header<Identity>, out: &mut Vec<u8>) {
    write_identity(&header.src, out);
    out.put_u16(header.src_incarnation);
    write_identity(&header.dst, out);
    let (tag, number, other) = match &header.message {
        Message::Ping(number) => (0, Some(*number), None),
        Message::Ack(number) => (1, Some(*number), None),
        Message::PingReq {
            target,
            probe_number,
        } => (2, Some(*probe_number), Some(target)),
        Message::IndirectPing {
            origin,
            probe_number,
        } => (3, Some(*probe_number), Some(origin)),
        Message::IndirectAck {
            target,
            probe_number,
        } => (4, Some(*probe_number), Some(target)),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => (5, Some(*probe_number), Some(origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    out.put_u8(tag);
    if let Some(number) = number {
        out.put_u8(number);
    }
    if let Some(other) = other {
        write_identity(other, out);
    }
}

fn read_header(bytes: &mut impl Buf) -> Result<Header<Identity>, Refused> {
    let src = read_identity(bytes)?;
    let src_incarnation = bytes.try_get_u16().map_err(short)?;
    let dst = read_identity(bytes)?;
    let tag = bytes.try_get_u8().map_err(short)?;
    let probe_number = if tag <= 5 {
        bytes.try_get_u8().map_err(short)?
    } else {
        0
    };
    let message = match tag {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq {
            target: read_identity(bytes)?,
            probe_number,
        },
        3 => Message::IndirectPing {
            origin: read_identity(bytes)?,
            probe_number,
        },
        4 => Message::IndirectAck {
            target: read_identity(bytes)?,
            probe_number,
        },
        5 => Message::ForwardedAck {
            origin: read_identity(bytes)?,
            probe_number,
        },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(Refused("a message of no known kind")),
    };
    Ok(Header {
        src,
        src_incarnation,
        dst,
        message,
    })
}

/// Writes a member, as in a packet.
pub(crate) fn write_member(id: &Identity, incarnation: Incarnation, state: State) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    write_identity(id, &mut out);
    out.put_u16(incarnation);
    out.put_u8(match state {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
    out
}

/// Reads a member, as in a packet.
pub(crate) fn read_member(bytes: &mut impl Buf) -> Result<Member<Identity>, Refused> {
    let id = read_identity(bytes)?;
    let incarnation = bytes.try_get_u16().map_err(short)?;
    let state = match bytes.try_get_u8().map_err(short)? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(Refused("a member is in no known state")),
    };
    Ok(Member::new(id, incarnation, state))
}

/// A whole packet that was read and makes sense.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) header: Header<Identity>,
    pub(crate) members: Vec<Member<Identity>>,
    /// How many bytes of it are cards, at its end.
    cards: usize,
}

impl Packet {
    /// Reads a whole packet. That takes no more than 8 bytes of memory for each of its own, and a datagram is short.
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, Refused> {
        let header = read_header(&mut bytes)?;
        let mut members = Vec::new();
        if header.message == Message::Announce && !bytes.is_empty() {
            return Err(Refused("something follows an announcement"));
        }
        if header.message != Message::Broadcast && !bytes.is_empty() {
            // A count that lies ends at the end of the bytes.
            for _ in 0..bytes.try_get_u16().map_err(short)? {
                members.push(read_member(&mut bytes)?);
            }
        }
        let cards = bytes.len();
        while !bytes.is_empty() {
            let length = usize::from(bytes.try_get_u16().map_err(short)?);
            let Some((card, rest)) = bytes.split_at_checked(length) else {
                return Err(Refused("it is cut short"));
            };
            Card::read(card)?;
            bytes = rest;
        }
        Ok(Self {
            header,
            members,
            cards,
        })
    }

    /// Writes it anew, when there are fewer members in it than in the bytes it was read from.
    pub(crate) fn write(&self, read_from: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(read_from.len());
        write_header(&self.header, &mut out);
        out.put_u16(u16::try_from(self.members.len()).expect("invariant: there were no more"));
        for member in &self.members {
            let bytes = write_member(member.id(), member.incarnation(), member.state());
            out.put_slice(&bytes);
        }
        out.put_slice(&read_from[read_from.len() - self.cards..]);
        out
    }

    /// Tells whether its sender says of itself that it is gone: that is how one leaves.
    pub(crate) fn is_farewell(&self) -> bool {
        let mut members = self.members.iter();
        members.any(|it| *it.id() == self.header.src && it.state() == State::Down)
    }

    /// Returns everybody it speaks of.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &Identity> {
        let other = match &self.header.message {
            Message::PingReq { target: it, .. }
            | Message::IndirectPing { origin: it, .. }
            | Message::IndirectAck { target: it, .. }
            | Message::ForwardedAck { origin: it, .. } => Some(it),
            _ => None,
        };
        let members = self.members.iter().map(Member::id);
        [&self.header.src].into_iter().chain(other).chain(members)
    }
}

/// Makes what the node itself would answer to a packet that asks whether it lives; `None` to any other.
pub(crate) fn answer_alive(bytes: &[u8], node: NodeId, life: u64) -> Option<Vec<u8>> {
    let Header {
        src, dst, message, ..
    } = Packet::read(bytes).ok()?.header;
    if dst.node != node || dst.life != life {
        return None;
    }
    let message = match message {
        Message::Ping(number) => Message::Ack(number),
        Message::IndirectPing {
            origin,
            probe_number,
        } => Message::IndirectAck {
            target: origin,
            probe_number,
        },
        _ => return None,
    };
    let mut out = Vec::with_capacity(128);
    let header = Header {
        src: dst,
        src_incarnation: 0,
        dst: src,
        message,
    };
    write_header(&header, &mut out);
    out.put_u16(0);
    Some(out)
}

/// Reads what somebody made up as a packet; what could be read has to be the same after another round.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(packet) = Packet::read(bytes) else {
        return;
    };
    let round = |identity: &Identity| {
        let mut out = Vec::new();
        write_identity(identity, &mut out);
        let again = read_identity(&mut &out[..]).expect("it was read before");
        assert_eq!(&again, identity);
        assert_eq!(
            (again.address, &again.control),
            (identity.address, &identity.control)
        );
    };
    packet.identities().for_each(round);
    let mut out = Vec::new();
    write_header(&packet.header, &mut out);
    let again = read_header(&mut &out[..]).expect("it was read before");
    assert_eq!(again.message, packet.header.message);
    let to = &packet.header.dst;
    if let Some(answer) = answer_alive(bytes, to.node, to.life) {
        assert!(Packet::read(&answer).is_ok());
    }
}

/// Returns what a packet of this node's own says.
pub(crate) fn message(mut bytes: &[u8]) -> Option<Message<Identity>> {
    read_header(&mut bytes).ok().map(|header| header.message)
}

/// Makes a packet that tells a member one thing, of itself or of another, with any message that may carry news.
pub(crate) fn tell(
    from: &Identity,
    to: &Identity,
    message: Message<Identity>,
    news: &Member<Identity>,
) -> Vec<u8> {
    let header = Header {
        src: from.clone(),
        src_incarnation: 0,
        dst: to.clone(),
        message,
    };
    let mut out = Vec::with_capacity(256);
    write_header(&header, &mut out);
    out.put_u16(1);
    out.put_slice(&write_member(news.id(), news.incarnation(), news.state()));
    out
}

/// Writes and reads for the protocol.
#[derive(Debug)]
pub(crate) struct Bytes;

fn put(bytes: &[u8], mut out: impl BufMut) -> Result<(), Refused> {
    if bytes.len() > out.remaining_mut() {
        return Err(Refused("there is no room for it"));
    }
    out.put_slice(bytes);
    Ok(())
}

impl Codec<Identity> for Bytes {
    type Error = Refused;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buf: impl BufMut,
    ) -> Result<(), Refused> {
        let mut out = Vec::with_capacity(128);
        write_header(header, &mut out);
        put(&out, buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Identity>, Refused> {
        read_header(&mut buf)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buf: impl BufMut,
    ) -> Result<(), Refused> {
        put(
            &write_member(member.id(), member.incarnation(), member.state()),
            buf,
        )
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Identity>, Refused> {
        read_member(&mut buf)
    }
}
