//! Which processes a simulated world has, and on which machines: those that a production layout has.
//!
//! `[peers]` says where each component is. What is at one address is one process, and what is at one host is one machine;
//! who is at no address is where this app's components are by convention, at `network.host`. Without `[peers]` there is no
//! layout: each component has a process of its own, on a machine of its own.

use std::collections::BTreeMap;

use monofil_transport::{Endpoint, Scheme};

use super::Run;
use super::address::{Addresses, control_beside};
use crate::Layout;
use crate::exit::Failure;

/// A process of a layout.
pub(super) struct Process {
    pub(super) name: String,
    /// What runs in it, in the order of their declaration.
    pub(super) components: Vec<usize>,
    /// `None` for one of its own.
    pub(super) machine: Option<String>,
    /// Where it listens, on each plane; `None` for wherever the world likes.
    pub(super) listens: Option<[Endpoint; 2]>,
}

/// Returns the processes that these components are in.
pub(super) fn processes(run: &Run, components: &[usize]) -> Result<Vec<Process>, Failure> {
    if !is_laid_out(run) {
        return Ok(components.iter().map(|index| alone(run, *index)).collect());
    }
    let addresses = addresses(run);
    let mut processes: Vec<Process> = Vec::new();
    for index in components {
        for endpoint in addresses.of(*index)? {
            let at = |process: &&mut Process| {
                process.listens.as_ref().is_some_and(|it| it[0] == endpoint)
            };
            if let Some(process) = processes.iter_mut().find(at) {
                process.components.push(*index);
                continue;
            }
            processes.push(Process {
                name: String::new(),
                components: vec![*index],
                machine: Some(machine(&endpoint)),
                listens: Some([endpoint.clone(), control_beside(&endpoint)?]),
            });
        }
    }
    name(run, &mut processes);
    check_apart(&processes)?;
    Ok(processes)
}

/// Refuses two processes of which one could not listen because of the other.
fn check_apart(processes: &[Process]) -> Result<(), Failure> {
    let mut taken: BTreeMap<&Endpoint, &str> = BTreeMap::new();
    for process in processes {
        for endpoint in process.listens.iter().flatten() {
            if let Some(other) = taken.insert(endpoint, &process.name) {
                let both = format!("`{other}` and `{}`", process.name);
                let what = format!("{both} would both listen at {endpoint}");
                return Err(Failure::usage(what).note(
                    "each listens at its address and, for the control plane, at the port after it: leave that one free",
                ));
            }
        }
    }
    Ok(())
}

/// Returns the settings that say where everything is, with what they come to; empty without a layout.
pub(crate) fn layout(run: &Run) -> Result<BTreeMap<String, String>, Failure> {
    let mut layout = BTreeMap::new();
    if !is_laid_out(run) {
        return Ok(layout);
    }
    let addresses = addresses(run);
    for (index, definition) in run.components.iter().enumerate() {
        let at: Vec<_> = addresses
            .of(index)?
            .iter()
            .map(ToString::to_string)
            .collect();
        layout.insert(format!("peers.{}", definition.name), at.join(", "));
    }
    layout.insert("network.host".to_owned(), run.settings.host.clone());
    Ok(layout)
}

fn addresses(run: &Run) -> Addresses<'_> {
    Addresses::new(
        run.app.as_str(),
        &run.components,
        &run.settings,
        run.settings.transport.unwrap_or(Layout::Tcp),
    )
}

/// Returns the machine of whoever runs the job.
pub(super) fn own_machine(run: &Run) -> Option<String> {
    is_laid_out(run).then(|| machine_of(&run.settings.host).to_owned())
}

/// Everything in one process has no layout, whatever is configured.
fn is_laid_out(run: &Run) -> bool {
    run.layout == Layout::Sim && !run.settings.peers.is_empty()
}

fn alone(run: &Run, index: usize) -> Process {
    Process {
        name: run.components[index].name.clone(),
        components: vec![index],
        machine: None,
        listens: None,
    }
}

/// Calls each after what runs in it; of several with the same the later ones have a number.
fn name(run: &Run, processes: &mut [Process]) {
    for at in 0..processes.len() {
        let names = processes[at].components.iter();
        let names: Vec<_> = names.map(|index| &*run.components[*index].name).collect();
        let (before, process) = (&processes[..at], names.join("+"));
        let same = |it: &&Process| it.components == processes[at].components;
        let number = before.iter().filter(same).count() + 1;
        processes[at].name = match number {
            1 => process,
            number => format!("{process}-{number}"),
        };
    }
}

fn machine(endpoint: &Endpoint) -> String {
    match endpoint.scheme() {
        Scheme::Tcp => {
            let (host, _) = endpoint.address().rsplit_once(':').unwrap_or_default();
            machine_of(host).to_owned()
        }
        _ => HERE.to_owned(),
    }
}

/// The machine that those are on who can be reached on theirs only.
const HERE: &str = "localhost";

fn machine_of(host: &str) -> &str {
    let is_here = host.starts_with("127.") || host == "[::1]" || host == "::1";
    if is_here { HERE } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::app::Definition;
    use crate::config::Layers;
    use crate::sim::{NodeDef, Sim};
    use crate::{
        App, CallError, Caller, Component, ContainerConfig, Context, HandlerError, Message,
        Payload, Reply, Request,
    };

    /// Does nothing.
    struct Idle;

    impl Component for Idle {
        fn handle(&mut self, _: &mut Context, _: Message) -> Result<Reply, HandlerError> {
            Ok(Reply::Empty)
        }
    }

    /// Says how many microseconds it takes to call another one.
    struct Front;

    impl Component for Front {
        fn handle(&mut self, cx: &mut Context, _: Message) -> Result<Reply, HandlerError> {
            let began = cx.now();
            cx.call(Request::new("back", "Do", Payload::default()))?;
            let took = u64::try_from(began.until(cx.now()).as_micros()).unwrap_or(u64::MAX);
            Ok(Reply::Payload(Payload::json(&took)?))
        }
    }

    fn tried(peers: &[(&str, &str)], layout: Layout) -> Result<Vec<Process>, Failure> {
        let components = ["orders", "payments", "stock"].map(|name| Definition::new(name, || Idle));
        let mut layers = Layers::of(&components);
        for (name, at) in peers {
            let set = layers.assignment(&format!("peers.{name}={at}"));
            set.unwrap_or_else(|error| panic!("{error}"));
        }
        let settings = layers.finish();
        let run = Run {
            app: "shop".into(),
            components: components.into(),
            settings: settings.unwrap_or_else(|error| panic!("{error}")),
            seed: 1,
            layout,
            job: None,
        };
        processes(&run, &[0, 1, 2])
    }

    /// Says of each process on which machine it is.
    fn placed(peers: &[(&str, &str)], layout: Layout) -> Vec<String> {
        let processes = tried(peers, layout).unwrap_or_else(|error| panic!("{error}"));
        let text = |it: &Process| {
            format!(
                "{} on {:?}",
                it.name,
                it.machine.as_deref().unwrap_or("its own")
            )
        };
        processes.iter().map(text).collect()
    }

    #[test]
    fn an_address_is_a_process_and_a_host_is_a_machine() {
        let peers = [
            ("orders", "tcp://10.0.0.5:7702"),
            (
                "payments",
                "tcp://10.0.0.5:7702,tcp://10.0.0.6:7702,tcp://10.0.0.6:7704",
            ),
        ];
        assert_eq!(
            placed(&peers, Layout::Sim),
            [
                "orders+payments on \"10.0.0.5\"",
                "payments on \"10.0.0.6\"",
                "payments-2 on \"10.0.0.6\"",
                "stock on \"localhost\"",
            ]
        );
        let alone = ["orders", "payments", "stock"].map(|name| format!("{name} on \"its own\""));
        assert_eq!(placed(&[], Layout::Sim), alone);
        assert_eq!(placed(&peers, Layout::Memory), alone);
    }

    #[test]
    fn processes_that_would_listen_at_one_place_are_named_before_any_run() {
        let peers = [
            ("payments", "tcp://10.0.0.5:7702"),
            ("orders", "tcp://10.0.0.5:7703"),
        ];
        let refused = tried(&peers, Layout::Sim).err();
        let said = refused.expect("a refusal").to_string();
        let both = "`orders` and `payments` would both listen at tcp://10.0.0.5:7703";
        assert!(
            said.contains(both) && said.contains("the port after it"),
            "{said}"
        );
    }

    /// A run of two components, one of which is at 10.0.0.5 and the other at an address.
    fn sim(back: &str) -> Sim {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("[peers]\nfront = [\"tcp://10.0.0.5:7702\"]\nback = [\"{back}\"]\n");
        std::fs::write(file.path(), text).expect("a layout");
        let app = App::new("shop")
            .component("front", || Front)
            .component("back", || Idle);
        Sim::of(&app.laid_out(file.path()), 7)
    }

    /// Returns how many microseconds a call from one to the other takes, once they are connected.
    fn took(sim: &mut Sim) -> Result<u64, CallError> {
        sim.run("ada", |cx| {
            let mut ask = || {
                let reply = cx.call(Request::new("front", "Do", Payload::default()))?;
                reply.to_json()
            };
            let _: u64 = ask()?;
            ask()
        })
    }

    const SAME_PROCESS: &str = "tcp://10.0.0.5:7702";
    const SAME_MACHINE: &str = "tcp://10.0.0.5:7704";
    const ELSEWHERE: &str = "tcp://10.0.0.6:7702";

    #[test]
    fn processes_are_near_each_other_on_one_machine_and_far_on_two() {
        assert_eq!(took(&mut sim(SAME_PROCESS)), Ok(0));
        assert_eq!(took(&mut sim(SAME_MACHINE)), Ok(100));
        let far = took(&mut sim(ELSEWHERE)).expect("an answer");
        assert!((2_000..=4_000).contains(&far), "{far}");
    }

    #[test]
    fn nothing_comes_between_processes_of_one_machine_and_they_are_gone_together() {
        let event = |what: &str| {
            let plan = format!("[[events]]\nat = \"1ms\"\nlasts = \"60s\"\n{what}");
            toml::from_str(&plan).expect("a plan")
        };
        let cut = "event = \"partition\"\nfrom = [\"back\"]\nto = [\"*\"]";
        let gone = "event = \"crash\"\nmachine = true\nnode = \"back\"";
        for (back, is_far) in [(SAME_MACHINE, false), (ELSEWHERE, true)] {
            let mut sim = self::sim(back);
            sim.follow(&event(cut));
            sim.run_for(Duration::from_millis(2));
            assert_eq!(took(&mut sim).is_err(), is_far, "{back}");
            let mut sim = self::sim(back);
            // Who only calls is not taken along, as nothing else happens to clients.
            let client = NodeDef::new("job", |_| ContainerConfig::new("shop", "job"));
            sim.node(client.client().on_machine("10.0.0.5"));
            sim.follow(&event(gone));
            sim.run_for(Duration::from_millis(2));
            let is_up = |sim: &Sim, node| sim.world().is_up(sim.key(node));
            assert!(is_up(&sim, "job") && !is_up(&sim, "back"));
            assert_eq!(is_up(&sim, "front"), is_far, "{back}");
        }
    }
}
