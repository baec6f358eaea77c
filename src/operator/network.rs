//! Entering a network, and reaching those who are there.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_container::control::request::Verb;
use monofil_container::control::response::Result as Answer;
use monofil_container::control::{Describe, Description, MemberState, PeerHealth};
use monofil_transport::Endpoint;
use monofil_zmq::{Listen, Options, ZmqIo};

use super::args::Common;
use crate::exit::{EXIT_CALL, EXIT_CANNOT_START, Failure};
use crate::{CallError, Client, ContainerConfig, Name, StaticDirectory, layout, suggest};

/// What the seeds are called among themselves; no component can be.
const SEED: Name = crate::name!("monofil/a seed");

/// A running network, as one of its nodes sees it.
pub(super) struct Network {
    client: Client,
    pub(super) common: Common,
    /// The node that answered first.
    pub(super) entry: Description,
}

/// A node, as the one that answered first knows it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) since: Duration,
    pub(super) application: String,
    pub(super) load: u64,
    pub(super) components: Vec<String>,
    control: Option<Endpoint>,
    /// It answers, as far as is known.
    pub(super) is_there: bool,
}

/// What several nodes said.
pub(super) struct Asked<T> {
    pub(super) given: Vec<(Node, T)>,
    /// Who did not, and why.
    pub(super) failed: Vec<(Node, String)>,
    /// So many were not asked.
    pub(super) left_out: usize,
}

impl Network {
    /// Enters by whichever seed answers first.
    pub(super) fn enter(common: &Common) -> Result<Self, Failure> {
        let seeds = common.seeds()?;
        let mut client = client(seeds.iter().map(|seed| (SEED, seed.clone())))?;
        let list: Vec<_> = seeds.iter().map(Endpoint::as_str).collect();
        let nobody = |why: &CallError| {
            Failure::new(EXIT_CANNOT_START, format!("no seed answered: {why}"))
                .note(format!("asked was {}", suggest::list(&list, "and")))
                .note("is a node there, and is that the address it listens at? any other node will do as well")
        };
        let control = client.control_plane(&SEED, common.within);
        let control = control.map_err(|error| nobody(&error))?;
        let ask = vec![(control, describe())];
        let answer = client.command_all(ask, common.within).pop();
        match answer.expect("invariant: each command has an answer") {
            Ok(Answer::Description(entry)) => Ok(Self {
                client,
                common: common.clone(),
                entry,
            }),
            Ok(_) => {
                let what = "the seed gave an answer of another kind: is it of another release?";
                Err(Failure::new(EXIT_CALL, what))
            }
            Err(error) => Err(nobody(&error)),
        }
    }

    /// Returns the nodes of the network by name, the one that answered first in front: members, or, where nodes are told of
    /// each other by configuration, those that it has to do with.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let entry = &self.entry;
        let mut nodes = vec![self.entry_node()];
        nodes.extend(entry.members.iter().map(|it| {
            let busy = format!("busy in {}", it.handler);
            let (state, is_there) = match it.state() {
                MemberState::Up => ("up", true),
                MemberState::Occupied => (&*busy, true),
                MemberState::Drains => ("draining", true),
                MemberState::Suspect => ("suspect", true),
                MemberState::Unreachable => ("unreachable", false),
                MemberState::Down => ("down", false),
                MemberState::Unspecified => ("unknown", true),
            };
            Node {
                id: hex(&it.node),
                name: it.name.clone(),
                state: state.to_owned(),
                since: Duration::from_micros(it.since_micros),
                application: match it.application.as_str() {
                    "" => it.datagram.clone(),
                    known => known.to_owned(),
                },
                load: it.load,
                components: it.components.clone(),
                control: it.control.parse().ok(),
                is_there,
            }
        }));
        let known: Vec<String> = nodes.iter().map(|node| node.id.clone()).collect();
        let peers = entry.peers.iter().map(|it| {
            let busy = format!("busy in {}", it.handler);
            let (state, is_there) = match it.health() {
                PeerHealth::Alive => ("up", true),
                PeerHealth::Busy => (&*busy, true),
                PeerHealth::Silent => ("silent", true),
                PeerHealth::Left => ("left", false),
                PeerHealth::Unknown | PeerHealth::Unspecified => ("not met yet", false),
            };
            Node {
                id: hex(&it.node),
                name: it.name.clone(),
                state: state.to_owned(),
                since: Duration::from_micros(it.since_micros),
                application: it.application.clone(),
                load: 0,
                components: it.components.clone(),
                control: it.control.parse().ok(),
                is_there,
            }
        });
        // Programs that only call, as this one does, are no nodes of the network.
        nodes.extend(peers.filter(|it| !known.contains(&it.id) && !it.application.is_empty()));
        nodes[1..].sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        nodes
    }

    fn entry_node(&self) -> Node {
        let entry = &self.entry;
        let count = |name: &str| entry.counters.get(name).copied().unwrap_or_default();
        let mut components: Vec<_> = entry.components.iter().map(|it| it.name.clone()).collect();
        components.dedup();
        Node {
            id: hex(&entry.node),
            name: entry.name.clone(),
            state: match crate::commands::describe::state(entry) {
                "ready" => "up".to_owned(),
                other => other.to_owned(),
            },
            since: Duration::from_micros(entry.uptime_micros),
            application: entry.application.clone(),
            load: count("monofil_queue_messages") + count("monofil_handlers_under_way"),
            components,
            control: entry.control.parse().ok(),
            is_there: true,
        }
    }

    /// Returns how many nodes the one that answered first did not list.
    pub(super) const fn unlisted(&self) -> u64 {
        self.entry.members_left_out
    }

    /// Completes a component's name with the app of the node that answered first.
    pub(super) fn qualified(&self, name: &str) -> String {
        match name.contains('/') {
            true => name.to_owned(),
            false => format!("{}/{name}", self.entry.app),
        }
    }

    /// Returns the nodes that run a component.
    pub(super) fn running(&self, component: &str) -> Result<Vec<Node>, Failure> {
        let name = self.qualified(component);
        let nodes = self.nodes();
        let running: Vec<_> = nodes
            .iter()
            .filter(|it| it.components.contains(&name))
            .cloned()
            .collect();
        if running.is_empty() {
            return Err(self.no_such("component", component, &nodes));
        }
        Ok(running)
    }

    /// Finds a node by its name, or by the beginning of its id.
    pub(super) fn node(&self, name: &str) -> Result<Node, Failure> {
        let nodes = self.nodes();
        let by_name: Vec<_> = nodes.iter().filter(|it| it.name == name).collect();
        let by_id = nodes
            .iter()
            .filter(|it| name.len() >= 4 && it.id.starts_with(name));
        let found = if by_name.is_empty() {
            by_id.collect()
        } else {
            by_name
        };
        match found[..] {
            [only] => Ok(only.clone()),
            [] => Err(self.no_such("node", name, &nodes)),
            _ => {
                let ids: Vec<_> = found.iter().map(|it| &it.id[..12]).collect();
                let what = format!("{} nodes are called `{name}`", found.len());
                Err(Failure::usage(what).note(format!(
                    "say which, by its id: {}",
                    suggest::list(&ids, "or")
                )))
            }
        }
    }

    pub(super) fn no_such(&self, what: &str, name: &str, nodes: &[Node]) -> Failure {
        let prefix = format!("{}/", self.entry.app);
        let mut known: Vec<&str> = match what {
            "node" => nodes.iter().map(|it| it.name.as_str()).collect(),
            _ => nodes
                .iter()
                .flat_map(|it| &it.components)
                .map(|it| it.strip_prefix(&prefix).unwrap_or(it))
                .collect(),
        };
        known.sort_unstable();
        known.dedup();
        let more = known.len().saturating_sub(self.common.most);
        let nearest = suggest::did_you_mean(name, known.iter().copied());
        known.truncate(self.common.most);
        let more = (more > 0).then(|| format!("and {more} more"));
        Failure::usage(format!(
            "the network has no {what} `{name}`, as `{}` sees it",
            self.entry.name
        ))
        .maybe(nearest)
        .note(format!("there are {}", suggest::list(&known, "and")))
        .maybe(more)
    }

    /// Asks nodes at once, up to as many as the command line allows. `read` takes what is looked for out of an answer.
    pub(super) fn ask<T>(
        &mut self,
        nodes: &[Node],
        verb: &Verb,
        read: impl Fn(Answer) -> Option<T>,
    ) -> Asked<T> {
        let (asked, not_asked) = nodes.split_at(nodes.len().min(self.common.most));
        let control = |node: &Node| node.control.clone().filter(|_| node.is_there);
        let commands = asked
            .iter()
            .filter_map(|node| Some((control(node)?, verb.clone())));
        let answers = self
            .client
            .command_all(commands.collect(), self.common.within);
        let mut answers = answers.into_iter();
        let mut all = Asked {
            given: Vec::new(),
            failed: Vec::new(),
            left_out: not_asked.len(),
        };
        for node in asked.iter().cloned() {
            let answer = match control(&node) {
                Some(_) => {
                    let answer = answers
                        .next()
                        .expect("invariant: each command has an answer");
                    answer.map_err(|error| format!("no answer: {error}"))
                }
                None if node.is_there => Err("its control plane is not known".to_owned()),
                None => Err(format!("it is {}", node.state)),
            };
            let given = match answer {
                Ok(Answer::Refused(refused)) => Err(format!("it refused: {}", refused.reason)),
                Ok(answer) => read(answer).ok_or_else(|| {
                    "it gave an answer of another kind: is it of another release?".to_owned()
                }),
                Err(why) => Err(why),
            };
            match given {
                Ok(given) => all.given.push((node, given)),
                Err(why) => all.failed.push((node, why)),
            }
        }
        all
    }

    /// Asks one node, and fails if it does not answer.
    pub(super) fn ask_one<T>(
        &mut self,
        node: &Node,
        verb: &Verb,
        read: impl Fn(Answer) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut asked = self.ask(std::slice::from_ref(node), verb, read);
        match asked.given.pop() {
            Some((_, given)) => Ok(given),
            None => Err(Failure::new(EXIT_CALL, asked.failures().join("; "))
                .note("`monofil nodes` shows how it is; --within waits longer")),
        }
    }
}

impl<T> Asked<T> {
    /// Says who did not give what was asked for; of many for the same reason only some by name.
    pub(super) fn failures(&self) -> Vec<String> {
        const NAMED: usize = 3;
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (node, why) in &self.failed {
            by_reason.entry(why).or_default().push(&node.name);
        }
        let say = |(why, nodes): (&str, Vec<&str>)| {
            let named: Vec<_> = nodes
                .iter()
                .take(NAMED)
                .map(|it| format!("`{it}`"))
                .collect();
            match nodes.len().saturating_sub(NAMED) {
                0 => format!("{}: {why}", named.join(", ")),
                more => format!("{} and {more} more: {why}", named.join(", ")),
            }
        };
        by_reason.into_iter().map(say).collect()
    }

    /// Fails if several were asked and nobody gave anything.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.given.is_empty() || self.failed.is_empty() {
            return Ok(());
        }
        let failure = Failure::new(EXIT_CALL, "no node gave what was asked for");
        Err(self.failures().into_iter().fold(failure, Failure::note))
    }

    /// The same, and how many were not asked.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.failures();
        notes.extend(super::show::left_out(self.left_out, "nodes"));
        notes
    }
}

/// Asks a node for all it says of itself, but for descriptors.
pub(super) const fn describe() -> Verb {
    Verb::Describe(Describe { descriptors: false })
}

/// Makes a client that knows some components, or nothing.
pub(super) fn client(
    places: impl IntoIterator<Item = (Name, Endpoint)>,
) -> Result<Client, Failure> {
    let mut directory = StaticDirectory::new();
    for (name, endpoint) in places {
        directory.add(name, endpoint, &[]);
    }
    let mut config = ContainerConfig::new("monofil", "operator");
    config.directory = Box::new(directory);
    config.node = layout::random_node()?;
    config.incarnation = layout::wall_micros();
    config.process = std::process::id();
    let options = Options {
        signals: false,
        ..Options::default()
    };
    let io = ZmqIo::bind(options, Listen::default());
    let io = io.map_err(|error| Failure::cannot_start(error.to_string()))?;
    Ok(Client::new(config, Box::new(io)))
}

/// Takes a description out of an answer.
pub(super) fn description(answer: Answer) -> Option<Description> {
    match answer {
        Answer::Description(it) => Some(it),
        _ => None,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
