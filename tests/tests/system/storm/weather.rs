//! What happens to the nodes meanwhile.

use std::time::{Duration, Instant as RealInstant};

use monofil_inproc::{Fault, Latency, LinkModel, NodeKey, World};
use monofil_tests::{Net, ZmqNet};
use monofil_transport::{Instant, Probability, Shutdown, Stream};

use super::{NODES, STORM, drawn};

/// Plans the faults of a storm. Some storms are breezes.
pub(super) fn plan(world: &mut World, seed: u64) {
    let mut random = drawn(seed, "weather");
    if random.chance(Probability::percent(10)) {
        return;
    }
    let nodes = keys(world);
    distances(world, &mut random, &nodes);
    let mut at = world.now();
    let end = Instant::ZERO + STORM;
    loop {
        at += random.between(Duration::from_millis(20), Duration::from_millis(400));
        if at >= end {
            return;
        }
        fault(world, &mut random, &nodes, at);
    }
}

/// Some nodes are on the same machine, some on another continent.
fn distances(world: &mut World, random: &mut Stream, nodes: &[NodeKey]) {
    for (at, one) in nodes.iter().enumerate() {
        for other in &nodes[at + 1..] {
            let least = random.exponential(Duration::from_millis(5));
            let most = least + random.exponential(Duration::from_millis(10));
            let latency = Latency::Uniform {
                min: least,
                max: most,
            };
            world.set_link(*one, *other, &LinkModel::with_latency(latency));
        }
    }
}

fn keys(world: &World) -> Vec<NodeKey> {
    let key = |(name, _): &(&str, _)| world.node(name).expect("it was started");
    NODES.iter().map(key).collect()
}

fn fault(world: &mut World, random: &mut Stream, nodes: &[NodeKey], at: Instant) {
    let mut draw = |bound: usize| usize::try_from(random.below(bound as u64)).expect("small");
    let one = nodes[draw(nodes.len())];
    let other = nodes[draw(nodes.len())];
    let kind = draw(9);
    let while_ = random.between(Duration::from_millis(5), Duration::from_millis(500));
    match kind {
        0 | 1 => down(world, one, at, while_, Fault::Crash(one)),
        2 => down(world, one, at, while_, Fault::Vanish(one)),
        3 => down(
            world,
            one,
            at,
            while_,
            Fault::Shutdown(one, Shutdown::Drain),
        ),
        4 => down(world, one, at, while_, Fault::Shutdown(one, Shutdown::Now)),
        5 => world.apply_at(at, Fault::Disconnect(one, other)),
        6 => {
            world.at(at, move |world| world.cut(one, other));
            world.at(at + while_, move |world| world.heal(one, other));
        }
        7 => {
            // One hears the other and is not heard.
            let (from, to) = (one, other);
            world.apply_at(at, Fault::Cut { from, to });
            world.apply_at(at + while_, Fault::Heal { from, to });
        }
        _ => {
            world.at(at, move |world| world.pause(one));
            world.at(at + while_, move |world| world.resume(one));
        }
    }
}

/// Takes a node down and starts it again. One that is asked to end may still be at it: it is killed then.
fn down(world: &mut World, node: NodeKey, at: Instant, while_: Duration, fault: Fault) {
    world.apply_at(at, fault);
    world.apply_at(at + while_, Fault::Restart(node));
}

/// Puts everything right again.
pub(super) fn calm(world: &mut World) {
    // What is still planned comes first.
    world.run_for(Duration::from_millis(600));
    let nodes = keys(world);
    for one in &nodes {
        world.resume(*one);
        for other in &nodes {
            world.heal(*one, *other);
        }
        if !world.is_up(*one) {
            world.restart(*one);
        }
    }
}

/// How many things happen in a squall.
const GUSTS: usize = 8;

/// Kills and ends nodes over ZeroMQ, and starts them again.
pub(super) fn squall(net: &mut ZmqNet) {
    let mut random = drawn(std::process::id().into(), "squall");
    for _ in 0..GUSTS {
        pass(net, &mut random);
        let at = usize::try_from(random.below(NODES.len() as u64)).expect("small");
        let node = NODES[at].0;
        match random.below(4) {
            0 | 1 => net.kill(node),
            2 => net.end(node, Shutdown::Drain),
            _ => net.end(node, Shutdown::Now),
        }
        pass(net, &mut random);
        net.restart(node);
    }
    pass(net, &mut random);
}

/// Lets some time pass.
fn pass(net: &mut ZmqNet, random: &mut Stream) {
    let (begun, pause) = (
        RealInstant::now(),
        random.between(Duration::from_millis(5), Duration::from_millis(150)),
    );
    net.turn_until("time to pass", |_| begun.elapsed() >= pause);
}
