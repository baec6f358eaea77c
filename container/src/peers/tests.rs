use super::*;

fn endpoint(name: &str) -> Endpoint {
    format!("inproc://{name}").parse().expect("a good endpoint")
}

fn add(peers: &mut Peers) -> usize {
    peers.add(LinkConfig::default(), 2, Instant::ZERO)
}

#[test]
fn a_stranger_is_where_it_said_last_and_nowhere_else() {
    let mut peers = Peers::default();
    let stranger = add(&mut peers);
    for number in 0..1000 {
        peers.advertise(stranger, endpoint(&number.to_string()));
        assert_eq!(peers.by_endpoint.len(), 1);
    }
    assert_eq!(peers.by_endpoint(&endpoint("999")), Some(stranger));
    peers.remove(stranger);
    assert!(peers.by_endpoint.is_empty());
}

#[test]
fn a_node_of_the_directory_stays_where_that_says_and_has_one_other_name() {
    let mut peers = Peers::default();
    let known = add(&mut peers);
    peers.name_endpoint(known, endpoint("known"));
    peers.get_mut(known).expect("added").lasting = true;
    for number in 0..1000 {
        peers.advertise(known, endpoint(&number.to_string()));
        assert_eq!(peers.by_endpoint.len(), 2);
    }
    assert_eq!(peers.by_endpoint(&endpoint("known")), Some(known));
    let stranger = add(&mut peers);
    for name in ["known", "999"] {
        peers.advertise(stranger, endpoint(name));
        assert_eq!(peers.by_endpoint(&endpoint(name)), Some(known), "{name}");
    }
    peers.advertise(stranger, endpoint("998"));
    assert_eq!(peers.by_endpoint(&endpoint("998")), Some(stranger));
}

#[test]
fn what_a_stranger_takes_from_another_stays_with_it() {
    let mut peers = Peers::default();
    let (one, other) = (add(&mut peers), add(&mut peers));
    peers.advertise(one, endpoint("here"));
    peers.advertise(other, endpoint("here"));
    // The first goes somewhere else, which does not concern the second.
    peers.advertise(one, endpoint("there"));
    assert_eq!(peers.by_endpoint(&endpoint("here")), Some(other));
    assert_eq!(peers.by_endpoint(&endpoint("there")), Some(one));
}

#[test]
fn a_connection_is_unproven_until_somebody_is_there() {
    let mut peers = Peers::default();
    let stranger = add(&mut peers);
    assert_eq!(peers.unproven(), 0);
    peers.name_connection(stranger, ConnectionId(1));
    assert_eq!(peers.unproven(), 1);
    peers.get_mut(stranger).expect("added").connected = true;
    assert_eq!(peers.unproven(), 0);
}
