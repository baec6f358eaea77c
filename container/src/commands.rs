//! The control plane: commands from operators and programs, and the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monofil_proto::control::{
    self, Accepted, ComponentDescription, ControlFrame, Description, MemberDescription, NodeState,
    PeerDescription, PeerHealth, Pong, Refused, Request, Response, control_frame::Body,
    request::Verb, response,
};
use monofil_proto::{VERSION, decode_control, encode};
use monofil_transport::{Endpoint, Io, Plane, Route, Shutdown};
use prost::Message as _;

use crate::calls::{Answer, Destination, OutgoingCall};
use crate::core::{Core, Stage, Timer};
use crate::counters::Counter;
use crate::descriptors::together;
use crate::error::micros;
use crate::heading::Heading;
use crate::instance::State;
use crate::link::Link;
use crate::name;
use crate::peers::{Health, Peer};
use crate::{CallError, Limit, MemberInfo, MemberState, Name, NodeId, Payload};

impl Core {
    pub(crate) fn handle_control(&mut self, io: &mut dyn Io, from: &Route, bytes: &Bytes) {
        let frame = match decode_control(bytes, &self.bounds) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.malformed(error.reason);
                return;
            }
        };
        if self.network != 0 && frame.network != 0 && frame.network != self.network {
            self.counters.add(Counter::FramesForeignNetwork);
            return;
        }
        match frame.body {
            Some(Body::Request(request)) => {
                self.counters.add(Counter::ControlRequests);
                let foreign = matches!(request.verb, Some(Verb::Directory(_)))
                    && frame.network != self.network;
                if foreign {
                    self.counters.add(Counter::FramesForeignNetwork);
                    return;
                }
                let response = Response {
                    result: Some(self.obey(io, request)),
                };
                let answer = self.control_frame(frame.request_id, Body::Response(response));
                // Whoever asked asks again.
                let _ = io.send(from, encode(&answer));
            }
            Some(Body::Response(Response {
                result: Some(response::Result::Entries(entries)),
            })) => {
                self.entries_arrived(io, frame.request_id, &frame.sender, frame.network, entries);
            }
            Some(Body::Response(response)) => {
                let is_ours = self
                    .calls
                    .get(frame.request_id)
                    .is_some_and(|call| call.destination == Destination::Control);
                if is_ours {
                    let bytes = encode(&response);
                    self.end_call(
                        frame.request_id,
                        Ok(Payload::new(crate::Name::empty(), bytes)),
                    );
                }
            }
            None => {}
        }
    }

    pub(crate) fn control_frame(&self, request_id: u64, body: Body) -> ControlFrame {
        ControlFrame {
            version: VERSION,
            network: self.network,
            sender: self.node.0.to_vec(),
            sender_incarnation: self.incarnation,
            request_id,
            body: Some(body),
        }
    }

    /// Does what a command says. An unknown verb is refused: what is not listed here is denied.
    fn obey(&mut self, io: &mut dyn Io, request: Request) -> response::Result {
        match request.verb {
            Some(Verb::Ping(_)) => response::Result::Pong(Pong {
                state: self.node_state().into(),
                app: self.app.as_str().to_owned(),
                uptime_micros: micros(self.now.since(self.started)),
            }),
            Some(Verb::Describe(describe)) => {
                response::Result::Description(self.describe(io, describe.descriptors))
            }
            Some(Verb::Drain(_)) => {
                tracing::info!(node = %self.name, "told to drain");
                if self.stage == Stage::Running {
                    self.stage = Stage::Draining { end: false };
                }
                response::Result::Accepted(Accepted {})
            }
            Some(Verb::Stop(stop)) => {
                tracing::info!(node = %self.name, now = stop.now, "told to stop");
                if stop.within_micros > 0 {
                    self.drain_deadline = std::time::Duration::from_micros(stop.within_micros);
                }
                self.request_stop(if stop.now {
                    Shutdown::Now
                } else {
                    Shutdown::Drain
                });
                response::Result::Accepted(Accepted {})
            }
            Some(Verb::Directory(asked)) => response::Result::Entries(self.entries(&asked)),
            Some(Verb::SetLimit(asked)) => self.obey_limit(asked),
            Some(Verb::ReadLimits(_)) => self.answer_limits(),
            Some(Verb::Breakers(asked)) => {
                response::Result::Breakers(self.answer_about_breakers(&asked))
            }
            Some(Verb::Explain(asked)) => response::Result::Explanation(self.explain(&asked)),
            None => response::Result::Refused(Refused {
                reason:
                    "this node does not know that verb; it knows ping, describe, drain, stop, directory, set_limit, \
                     read_limits, breakers, explain"
                    .into(),
            }),
        }
    }

    pub(crate) fn node_state(&self) -> NodeState {
        let starting = |state: &State| matches!(state, State::New);
        if self.stage != Stage::Running {
            NodeState::Draining
        } else if self
            .instances
            .iter()
            .any(|instance| starting(&instance.state))
        {
            NodeState::Starting
        } else {
            NodeState::Ready
        }
    }

    fn describe(&self, io: &mut dyn Io, descriptors: bool) -> Description {
        let mut counters = self.counters.all();
        for (handler, count) in io.stalls() {
            counters.insert(
                format!("monofil_loop_stalls_total{{handler=\"{handler}\"}}"),
                count,
            );
        }
        let text =
            |endpoint: Option<Endpoint>| endpoint.map_or_else(String::new, |it| it.to_string());
        let local = io.local();
        let members = self.members();
        let members_left_out = members.len().saturating_sub(self.bounds.components) as u64;
        let gauges = self.gauges().into_iter();
        counters.extend(gauges.map(|(name, value)| (name.to_owned(), value)));
        Description {
            node: self.node.0.to_vec(),
            incarnation: self.incarnation,
            app: self.app.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.node_state().into(),
            uptime_micros: micros(self.now.since(self.started)),
            components: self.describe_components(descriptors),
            counters,
            peers: self.describe_peers(),
            process: self.process,
            members: self.describe_members(members),
            members_left_out,
            name: self.name.as_str().to_owned(),
            application: text(local.application),
            control: text(local.control),
            not_joined: self
                .membership
                .as_ref()
                .and_then(|membership| membership.problem.clone())
                .unwrap_or_default(),
        }
    }

    fn describe_members(
        &self,
        members: Vec<(MemberInfo, Duration, SocketAddr, u16)>,
    ) -> Vec<MemberDescription> {
        let describe = |(info, since, address, load): (MemberInfo, Duration, SocketAddr, u16)| {
            let known = self.membership.as_ref();
            let known = known.and_then(|membership| membership.members.get(&info.node));
            let control = known.and_then(|known| known.identity.control.as_ref());
            let entry = known.and_then(|known| known.entry.as_ref());
            let (state, handler) = match info.state {
                MemberState::Up => (control::MemberState::Up, Name::empty()),
                MemberState::Busy { handler } => (control::MemberState::Occupied, handler),
                MemberState::Draining => (control::MemberState::Drains, Name::empty()),
                MemberState::Suspect => (control::MemberState::Suspect, Name::empty()),
                MemberState::Down => (control::MemberState::Down, Name::empty()),
                MemberState::Unreachable => (control::MemberState::Unreachable, Name::empty()),
            };
            let runs = info.components.iter().map(Name::as_str);
            let leaving = entry.into_iter().flat_map(|entry| &entry.leaving);
            let components: BTreeSet<&str> = runs.chain(leaving.map(String::as_str)).collect();
            MemberDescription {
                node: info.node.0.to_vec(),
                incarnation: info.incarnation,
                name: info.name.as_str().to_owned(),
                datagram: address.to_string(),
                state: state.into(),
                since_micros: micros(since),
                components: components.into_iter().map(str::to_owned).collect(),
                load: load.into(),
                handler: handler.as_str().to_owned(),
                application: entry.map_or_else(String::new, |entry| entry.application.clone()),
                control: control.map_or_else(String::new, ToString::to_string),
                left: info.left,
            }
        };
        let members = members.into_iter();
        members.take(self.bounds.components).map(describe).collect()
    }

    /// Says how much of everything there is right now.
    pub(crate) fn gauges(&self) -> BTreeMap<&'static str, u64> {
        let calls = self.calls.iter();
        let served_here = calls.filter(|(_, call)| call.served.is_some()).count();
        let sum = |count: fn(&Link) -> usize| -> usize {
            self.peers.iter().map(|(_, peer)| count(&peer.link)).sum()
        };
        [
            ("monofil_handlers_under_way", self.handlers_under_way()),
            ("monofil_calls_under_way", self.calls.len()),
            ("monofil_calls_served", self.served.len() + served_here),
            ("monofil_streams_served", self.streams.len()),
            ("monofil_queue_messages", self.queued_messages),
            ("monofil_queue_bytes", self.queued_bytes),
            ("monofil_delayed_messages", self.delayed),
            ("monofil_blocking_jobs_under_way", self.job_owners.len()),
            ("monofil_timers", self.timers.len()),
            (
                "monofil_link_records_unacknowledged",
                sum(Link::unacknowledged),
            ),
            ("monofil_link_casts_unsettled", sum(Link::unsettled)),
        ]
        .map(|(name, value)| (name, value as u64))
        .into()
    }

    fn describe_components(&self, descriptors: bool) -> Vec<ComponentDescription> {
        let describe = |instance: &crate::instance::Instance| {
            let mut methods = Vec::new();
            for interface in &instance.definition.interfaces {
                methods.extend(
                    interface
                        .methods
                        .iter()
                        .map(|method| method.name.as_str().to_owned()),
                );
            }
            let interfaces = instance.definition.interfaces.iter();
            let sets = interfaces.filter(|_| descriptors).map(|it| it.descriptors);
            let (restarts, panics) = instance.restarts_and_panics();
            ComponentDescription {
                name: instance.name.as_str().to_owned(),
                instance: instance.number,
                state: instance.state_word().to_owned(),
                queued_messages: instance.queue.len() as u64,
                queued_bytes: instance.queued_bytes as u64,
                queue_messages_max: instance.guard.get(Limit::QueueMessages),
                queue_bytes_max: instance.guard.get(Limit::QueueBytes),
                handled: instance.handled,
                rejected: instance.rejected,
                panics,
                restarts,
                methods,
                topics: instance
                    .definition
                    .subscriptions
                    .iter()
                    .map(|subscription| subscription.topic.as_str().to_owned())
                    .collect(),
                descriptors: together(sets),
                version: instance.definition.version.as_str().to_owned(),
            }
        };
        self.instances
            .iter()
            .take(self.bounds.components)
            .map(describe)
            .collect()
    }

    fn describe_peers(&self) -> Vec<PeerDescription> {
        let describe = |peer: &Peer| {
            let (health, handler) = match &peer.health {
                Health::Unknown => (PeerHealth::Unknown, String::new()),
                Health::Alive => (PeerHealth::Alive, String::new()),
                Health::Busy { handler } => (PeerHealth::Busy, handler.as_str().to_owned()),
                Health::Silent => (PeerHealth::Silent, String::new()),
                Health::Left => (PeerHealth::Left, String::new()),
            };
            PeerDescription {
                node: peer
                    .node
                    .map_or_else(Vec::new, |NodeId(bytes)| bytes.to_vec()),
                incarnation: peer.incarnation,
                name: peer.name.as_str().to_owned(),
                application: peer
                    .application
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                health: health.into(),
                handler,
                since_micros: micros(self.now.since(peer.health_since)),
                components: peer
                    .components
                    .iter()
                    .map(|name| name.as_str().to_owned())
                    .collect(),
                unacknowledged: peer.link.unacknowledged() as u64,
                unsettled: peer.link.unsettled() as u64,
                control: peer
                    .control
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
            }
        };
        // A program that came and went is of no interest any more.
        let concerns = |peer: &Peer| peer.lasting || !peer.has_left();
        self.peers
            .iter()
            .filter(|(_, peer)| concerns(peer))
            .take(self.bounds.components)
            .map(|(_, peer)| describe(peer))
            .collect()
    }

    /// Sends a command to the control plane at `endpoint`; its answer is that of a call.
    pub(crate) fn command(
        &mut self,
        io: &mut dyn Io,
        endpoint: &Endpoint,
        verb: Verb,
        within: std::time::Duration,
    ) -> u64 {
        let deadline = self.now + within;
        let none = Name::empty;
        let names = [
            none(),
            endpoint.as_str().into(),
            name!("command"),
            none(),
            none(),
        ];
        let heading = Rc::new(Heading::new(names));
        let call = OutgoingCall::new(heading, Destination::Control, deadline, Answer::Pending);
        let id = self.calls.insert(call);
        let timer = self.timers.set(deadline, Timer::Call(id));
        if let Some(call) = self.calls.get_mut(id) {
            call.timer = Some(timer);
        }
        let request = Request { verb: Some(verb) };
        let frame = encode(&self.control_frame(id, Body::Request(request)));
        let connection = match self.control_connections.get(endpoint) {
            Some(connection) => Ok(*connection),
            None => io
                .connect(Plane::Control, endpoint)
                .map_err(|error| error.to_string()),
        };
        let sent = connection.and_then(|connection| {
            self.control_connections
                .insert(endpoint.clone(), connection);
            io.send(&Route::Connection(connection), frame)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = sent {
            self.end_call(id, Err(CallError::Unreachable(error)));
        }
        id
    }

    /// Says why the control plane of whoever runs a component is not known.
    pub(crate) fn absence(&self, component: &crate::Name) -> String {
        let component = self.qualified(component);
        let peers = self.peers_running(&component);
        match peers.max_by_key(|peer| peer.connected) {
            Some(peer) => peer.absence(),
            None => format!("no node is known to run `{component}`"),
        }
    }

    /// Returns where the control plane of whoever runs a component is, once it has introduced itself.
    pub(crate) fn control_endpoint(&self, component: &crate::Name) -> Option<Endpoint> {
        let component = self.qualified(component);
        self.peers_running(&component)
            .find_map(|peer| peer.control.clone())
    }

    /// Returns the nodes that the directory says run a component, best first.
    fn peers_running(&self, component: &crate::Name) -> impl Iterator<Item = &Peer> {
        let endpoints = self.directory.locate(component.as_str()).iter();
        endpoints.filter_map(|endpoint| self.peers.get(self.peers.by_endpoint(endpoint)?))
    }
}

/// Reads the answer to a command.
pub(crate) fn response_of(payload: &Payload) -> Result<response::Result, CallError> {
    Response::decode(payload.to_bytes())
        .ok()
        .and_then(|response| response.result)
        .ok_or_else(|| CallError::Malformed("the answer to a command makes no sense".into()))
}
