//! Two planes, and the way back.

use bytes::Bytes;

use super::net::{Net, pattern};
use super::pressure::{drain, fill};
use super::report::broken;
use super::{Failure, Verdict};
use crate::{Plane, Route};

pub(super) fn apart(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "a frame comes in through the plane that it was sent to";
    let application = net.pair("sender", "receiver", Plane::Application)?;
    let there = net.local("receiver");
    if there.application == there.control {
        return broken(
            "the planes never share a socket",
            "their endpoints are the same",
        );
    }
    let control = net.connect("sender", &there, Plane::Control)?;
    net.connected(&["sender", "receiver"], "sender", control)?;
    for (plane, connection) in [(Plane::Application, application), (Plane::Control, control)] {
        for _ in 0..10 {
            let frame = Bytes::from(plane.to_string());
            if let Err(error) = net.send("sender", &Route::Connection(connection), frame) {
                return broken(clause, format!("`send` answered: {error}"));
            }
        }
    }
    let all = net.drive(&["receiver", "sender"], |net| {
        net.mail("receiver").frames.len() >= 20
    });
    if !all {
        return broken(clause, "not all of 20 frames arrived");
    }
    for arrival in &net.mail("receiver").frames {
        if arrival.frame != arrival.plane.to_string() {
            return broken(
                clause,
                format!("one arrived through the {} plane", arrival.plane),
            );
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn full(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "a full application connection does not hold up the control plane";
    let application = net.pair("sender", "receiver", Plane::Application)?;
    let there = net.local("receiver");
    let control = net.connect("sender", &there, Plane::Control)?;
    net.connected(&["sender", "receiver"], "sender", control)?;
    let here = net.local("sender");
    let back = net.connect("receiver", &here, Plane::Control)?;
    net.connected(&["receiver", "sender"], "receiver", back)?;

    let accepted = fill(net, "sender", application)?;
    // The receiver reads nothing, so what the control plane takes stays within its own small bound.
    for n in 0..4 {
        if let Err(error) = net.send("sender", &Route::Connection(control), pattern(n, 64)) {
            return broken(clause, format!("control frame {n} was not taken: {error}"));
        }
    }
    if let Err(error) = net.send("receiver", &Route::Connection(back), pattern(9, 64)) {
        return broken(
            clause,
            format!("the control plane's other direction: {error}"),
        );
    }
    let answered = net.drive(&["sender"], |net| !net.mail("sender").frames.is_empty());
    if !answered {
        return broken(
            clause,
            "a control frame towards the full side never arrived",
        );
    }
    let mut controls = 0;
    let arrived = net.drive(&["receiver", "sender"], |net| {
        let frames = &mut net.mail("receiver").frames;
        controls += frames
            .iter()
            .filter(|each| each.plane == Plane::Control)
            .count();
        frames.retain(|each| each.plane == Plane::Application);
        controls >= 4
    });
    if !arrived {
        return broken(clause, format!("{controls} of 4 control frames arrived"));
    }
    drain(net, "sender", "receiver", 0, accepted)?;
    Ok(Verdict::Passed)
}

const ANSWERED: &str = "a node without endpoints is answered along the way its frame came";

/// Lets a client speak first; returns the way back to it.
pub(super) fn introduce(
    net: &mut Net<'_>,
    client: &str,
    server: &str,
    plane: Plane,
) -> Result<(crate::ConnectionId, Route), Failure> {
    let there = net.local(server);
    let connection = net.connect(client, &there, plane)?;
    let hello = Bytes::from(format!("hello from {client}"));
    if let Err(error) = net.send(client, &Route::Connection(connection), hello.clone()) {
        return broken(ANSWERED, format!("its first frame was not taken: {error}"));
    }
    net.drive(&[server, client], |net| !net.mail(server).frames.is_empty());
    match net.mail(server).frames.pop_front() {
        Some(arrival) if arrival.frame == hello => match &arrival.from {
            Route::Return(through, _) if *through == plane => Ok((connection, arrival.from)),
            other => broken(ANSWERED, format!("its frame came from {other:?}")),
        },
        Some(_) => broken(ANSWERED, "another frame than its first one arrived"),
        None => broken(ANSWERED, "its first frame never arrived"),
    }
}

pub(super) fn return_path(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    net.open("server");
    net.open_client("client");
    if net.local("client") != crate::LocalEndpoints::default() {
        return broken("a client has no endpoints", "`local` names one");
    }
    for plane in Plane::ALL {
        let (_, back) = introduce(net, "client", "server", plane)?;
        net.transfer("server", "client", &back, 0, &[300; 500])?;

        if let Err(error) = net.send("server", &back, pattern(1, 20)) {
            return broken(ANSWERED, format!("`send` answered: {error}"));
        }
        net.drive(&["client", "server"], |net| {
            !net.mail("client").frames.is_empty()
        });
        let Some(arrival) = net.mail("client").frames.pop_front() else {
            return broken(ANSWERED, "the answer never arrived");
        };
        if arrival.plane != plane {
            return broken(
                ANSWERED,
                format!("the answer came through the {} plane", arrival.plane),
            );
        }
        net.transfer("client", "server", &arrival.from, 0, &[300; 100])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn return_paths(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    net.open("server");
    let clients = ["client 1", "client 2", "client 3"];
    let mut ways = Vec::new();
    for client in clients {
        net.open_client(client);
        ways.push(introduce(net, client, "server", Plane::Application)?.1);
    }
    for (client, back) in clients.iter().zip(&ways) {
        if let Err(error) = net.send("server", back, Bytes::from((*client).to_owned())) {
            return broken(ANSWERED, format!("`send` answered: {error}"));
        }
    }
    for client in clients {
        net.drive(&[client, "server"], |net| {
            !net.mail(client).frames.is_empty()
        });
        match net.mail(client).frames.pop_front() {
            Some(arrival) if arrival.frame == client => {}
            Some(_) => return broken(ANSWERED, "an answer reached another node"),
            None => return broken(ANSWERED, format!("no answer reached {client}")),
        }
    }
    Ok(Verdict::Passed)
}
