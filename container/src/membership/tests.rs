use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use foca::{Codec as _, Foca, Header, Member, Message, State};
use monofil_proto::control::{ComponentEntry, Entry, SubscriptionEntry};
use monofil_transport::{Instant, Stream};

use super::members::{Cards, Members};
use super::packet::{self, Bytes, Card, Identity, Packet, answer_alive};
use super::{Draws, MembershipConfig, News, Outbox, Swim};
use crate::NodeId;
use crate::counting::most;

fn identity(number: u8, control: &str) -> Identity {
    Identity {
        node: NodeId([number; 16]),
        life: 7,
        renewal: 2,
        address: format!("10.0.0.{number}:7700").parse().expect("an address"),
        control: control.parse().ok(),
    }
}

fn swim(number: u8, seed: u64) -> Swim {
    let cards = Rc::new(RefCell::new(Cards::default()));
    cards.borrow_mut().most = 64;
    Foca::with_custom_broadcast(
        identity(number, "tcp://10.0.0.1:7701"),
        MembershipConfig::new(Vec::new()).of_size(1, Duration::from_secs(1), 1100),
        Draws(Stream::new(seed, "swim")),
        Bytes,
        News(cards),
    )
}

/// Lets some members talk and returns all that they said.
fn talk(seed: u64) -> Vec<Vec<u8>> {
    let mut all: Vec<Swim> = (1..6).map(|number| swim(number, seed)).collect();
    let mut said = Vec::new();
    let mut out = Outbox::default();
    for number in 2..6 {
        let seed = Identity {
            control: None,
            ..identity(1, "")
        };
        let card = Card {
            node: NodeId([number; 16]),
            life: 7,
            number: 1,
            version: 3,
            load: 4,
        };
        let member = &mut all[usize::from(number) - 1];
        member.add_broadcast(&card.write()).expect("a card");
        member.announce(seed, &mut out).expect("it fits");
    }
    for _ in 0..400 {
        let Some((to, bytes)) = (!out.sends.is_empty()).then(|| out.sends.remove(0)) else {
            let Some((_, event)) = (!out.timers.is_empty()).then(|| out.timers.remove(0)) else {
                break;
            };
            // Whoever's it is: the others have no use for it.
            for member in &mut all {
                let _ = member.handle_timer(event.clone(), &mut out);
            }
            continue;
        };
        said.push(bytes.clone());
        let member = &mut all[usize::from(to.node.0[0]) - 1];
        let _ = member.handle_data(&bytes, &mut out);
    }
    said
}

#[test]
fn what_members_say_is_read_as_it_was_written() {
    for control in [
        "",
        "tcp://10.0.0.1:7701",
        "tcp://host:1",
        "ipc:///run/shop/a.control",
    ] {
        let one = identity(1, control);
        for state in [State::Alive, State::Suspect, State::Down] {
            let bytes = packet::write_member(&one, 9, state);
            let read = packet::read_member(&mut &bytes[..]).expect("a member");
            assert_eq!(read, Member::new(one.clone(), 9, state));
            assert_eq!(read.id().address, one.address);
            assert_eq!(read.id().control, one.control);
        }
    }
    let said = talk(1);
    assert!(said.len() > 50);
    let mut members = 0;
    for bytes in said {
        members += Packet::read(&bytes).expect("it makes sense").members.len();
    }
    assert!(members > 50);
}

#[test]
fn packets_that_are_changed_are_refused_or_do_no_harm() {
    let said = talk(2);
    let mut random = Stream::new(3, "changes");
    let mut victim = swim(1, 4);
    let (mut refused, mut taken) = (0, 0);
    let below = |random: &mut Stream, bound: usize| {
        usize::try_from(random.below(bound as u64)).expect("smaller")
    };
    for _ in 0..40_000 {
        let mut bytes = said[below(&mut random, said.len())].clone();
        for _ in 0..=random.below(3) {
            let at = below(&mut random, bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = 0xff,
                2 => bytes.push(bytes[at]),
                _ => bytes[at] = random.bits() as u8,
            }
        }
        match Packet::read(&bytes) {
            Err(_) => refused += 1,
            Ok(packet) => {
                taken += 1;
                assert!(packet.members.len() * 35 <= bytes.len());
                let mut out = Outbox::default();
                let _ = victim.handle_data(&bytes, &mut out);
                for (_, event) in out.timers {
                    let _ = victim.handle_timer(event, Outbox::default());
                }
            }
        }
    }
    assert!(refused > 5000 && taken > 5000, "{refused} {taken}");
}

/// Makes a packet as long as a datagram may be, of members that are as short as may be and have an endpoint each.
fn greedy(address: &str) -> Vec<u8> {
    let member = Identity {
        address: address.parse().expect("an address"),
        control: format!("tcp://{address}").parse().ok(),
        ..identity(1, "")
    };
    let header = Header {
        src: member.clone(),
        src_incarnation: 0,
        dst: member.clone(),
        message: Message::Gossip,
    };
    let mut bytes = Vec::new();
    Bytes.encode_header(&header, &mut bytes).expect("room");
    let member = packet::write_member(&member, 0, State::Alive);
    let count = (1472 - bytes.len() - 2) / member.len();
    bytes.extend(u16::try_from(count).expect("few").to_be_bytes());
    bytes.extend(member.repeat(count));
    bytes
}

/// Each member may be there twice while their list grows, and has an endpoint of its own.
#[test]
fn a_packet_takes_no_more_memory_than_it_may() {
    let allowed = |bytes: &[u8]| 8 * bytes.len();
    for address in ["10.0.0.1:1", "[fe80:1111:2222:3333:4444:5555:6666:7777]:1"] {
        let mut bytes = greedy(address);
        let mut members = 0;
        let held = most(|| members = Packet::read(&bytes).expect("it makes sense").members.len());
        println!("{members} members of {} bytes: {held}", bytes.len());
        assert!(members > 20 && held <= allowed(&bytes), "{held}");
        // One that is cut short is refused, and takes no more.
        bytes.truncate(bytes.len() - 1);
        let held = most(|| assert!(Packet::read(&bytes).is_err()));
        assert!(held <= allowed(&bytes), "{held}");
    }
    let mut random = Stream::new(5, "memory");
    for _ in 0..2000 {
        let length = usize::try_from(random.below(1472)).expect("small");
        let bytes: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
        let mut changed = greedy("10.0.0.1:1");
        let at = usize::try_from(random.below(changed.len() as u64)).expect("small");
        changed[at] = random.bits() as u8;
        for bytes in [bytes, changed] {
            let held = most(|| drop(Packet::read(&bytes)));
            assert!(held <= 64 + allowed(&bytes), "{held} for {}", bytes.len());
        }
    }
}

#[test]
fn addresses_that_are_of_no_one_node_are_refused() {
    for address in [
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "[::]:1",
        "[ff02::1]:1",
        "10.0.0.1:0",
    ] {
        let bad = Identity {
            address: address.parse().expect("an address"),
            ..identity(1, "")
        };
        let bytes = packet::write_member(&bad, 0, State::Alive);
        assert!(packet::read_member(&mut &bytes[..]).is_err(), "{address}");
    }
}

#[test]
fn who_stands_in_answers_what_asks_whether_the_node_lives_and_nothing_else() {
    let (one, other, third) = (identity(1, ""), identity(2, ""), identity(3, ""));
    let asks = |message, dst: &Identity| {
        let mut bytes = Vec::new();
        let header = Header {
            src: other.clone(),
            src_incarnation: 5,
            dst: dst.clone(),
            message,
        };
        foca::Codec::encode_header(&mut Bytes, &header, &mut bytes).expect("room");
        bytes
    };
    let answer = |bytes: &[u8]| {
        let answer = answer_alive(bytes, one.node, one.life)?;
        Some(Packet::read(&answer).expect("it makes sense").header)
    };
    let ack = answer(&asks(Message::Ping(9), &one)).expect("an answer");
    assert_eq!((ack.src, ack.dst), (one.clone(), other.clone()));
    assert_eq!(ack.message, Message::Ack(9));
    let probe_number = 4;
    let asked = Message::IndirectPing {
        origin: third.clone(),
        probe_number,
    };
    let target = third;
    let ack = answer(&asks(asked, &one)).expect("an answer").message;
    assert_eq!(
        ack,
        Message::IndirectAck {
            target,
            probe_number
        }
    );
    assert!(answer(&asks(Message::Gossip, &one)).is_none());
    assert!(answer(&asks(Message::Announce, &one)).is_none());
    assert!(answer(&asks(Message::Ping(9), &other)).is_none());
    let earlier = Identity {
        life: 6,
        ..one.clone()
    };
    assert!(answer(&asks(Message::Ping(9), &earlier)).is_none());
    assert!(answer(b"\xff").is_none());
}

#[test]
fn later_cards_are_news_and_only_so_many_are_kept() {
    let mut cards = Cards::default();
    cards.most = 2;
    let card = |node: u8, life, number| Card {
        node: NodeId([node; 16]),
        life,
        number,
        version: 1,
        load: 0,
    };
    assert!(cards.take(card(1, 1, 2)));
    assert!(!cards.take(card(1, 1, 2)));
    assert!(!cards.take(card(1, 1, 1)));
    assert!(cards.take(card(1, 2, 1)));
    assert!(cards.take(card(2, 1, 1)));
    assert!(!cards.take(card(3, 1, 1)));
    cards.forget(&NodeId([1; 16]));
    assert!(cards.take(card(3, 1, 1)));
    assert!(Card::read(&card(1, 1, 1).write()[1..]).is_err());
}

fn entry(version: u64, component: &str, topic: &str) -> Entry {
    let subscription = SubscriptionEntry {
        topic: topic.into(),
        method: "Hear".into(),
    };
    let component = ComponentEntry {
        name: component.into(),
        instances: 1,
        queue_messages_max: 1,
        subscriptions: vec![subscription],
        ..ComponentEntry::default()
    };
    Entry {
        version,
        application: "tcp://10.0.0.9:1".into(),
        components: vec![component],
        ..Entry::default()
    }
}

#[test]
fn components_are_found_at_members_that_are_up_and_in_the_life_that_said_so() {
    let now = Instant::ZERO;
    let mut members = Members::new(NodeId([9; 16]));
    let (one, other) = (identity(1, ""), identity(2, ""));
    members.set_up(&one, now);
    members.set_up(&other, now);
    let nodes = |members: &Members, component: &str| {
        let mut nodes: Vec<_> = members
            .locate(component)
            .iter()
            .map(|it| it.node.0[0])
            .collect();
        nodes.sort_unstable();
        nodes
    };
    assert!(members.learn(&one, entry(1, "shop/a", "news")));
    assert!(members.learn(&other, entry(1, "shop/a", "news")));
    assert!(
        !members.learn(&other, entry(1, "shop/b", "news")),
        "not later"
    );
    assert_eq!(nodes(&members, "shop/a"), [1, 2]);
    assert_eq!(members.subscribers("news").count(), 1);

    members.set_down(&one, now);
    assert_eq!(nodes(&members, "shop/a"), [2]);
    assert_eq!(members.subscribers("news").count(), 1);
    // It comes back as it was.
    members.set_up(&one, now);
    assert_eq!(nodes(&members, "shop/a"), [1, 2]);
    assert!(members.learn(&one, entry(2, "shop/b", "else")));
    assert_eq!(nodes(&members, "shop/a"), [2]);
    assert_eq!(nodes(&members, "shop/b"), [1]);

    let anew = Identity {
        life: 8,
        ..one.clone()
    };
    members.set_up(&anew, now);
    assert_eq!(nodes(&members, "shop/b"), [0; 0]);
    assert!(
        !members.learn(&one, entry(3, "shop/b", "else")),
        "of an earlier life"
    );
    members.set_down(&other, now);
    assert_eq!(nodes(&members, "shop/a"), [0; 0]);
    assert_eq!(members.subscribers("news").count(), 0);
    members.forget(&other.node);
    assert_eq!(members.len(), 1);
}

#[test]
fn suspicion_and_gossip_grow_with_the_logarithm_of_the_size() {
    let config = MembershipConfig::new(Vec::new());
    let second = Duration::from_secs(1);
    let of = |size| {
        let config = config.of_size(size, second, 1100);
        (
            config.suspect_to_down_after.as_secs(),
            config.max_transmissions.get(),
        )
    };
    assert_eq!(
        [1, 2, 10, 100, 1000].map(of),
        [(4, 8), (4, 9), (4, 10), (8, 12), (12, 14)]
    );
}
