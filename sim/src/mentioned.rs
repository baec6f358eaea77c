//! Names in what somebody wrote down, and whether a run has anything that is called so.
//!
//! A fault of a node that there is not does nothing, and a test with such a fault is green in vain; of others that do nothing
//! see [`vain`](crate::vain). What is drawn or made
//! smaller is not looked at: there things are left out on purpose.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::rc::Rc;

use monofil_container::{Interface, Name};

use crate::gatekeeper::is_named;
use crate::plan::ANY;
use crate::{Episodes, Event, Faults, Happening, Injection, Plan, ServiceTime, Sim, Way};

/// What must hold of a scenario's faults before one of its runs begins.
pub(crate) const NAMES: &str = "faults are about what there is";

/// So many names are told at most.
const TOLD_MAX: usize = 20;

/// Which methods components say that they have, by their names; noted when their nodes start.
#[derive(Clone, Default)]
pub(crate) struct Interfaces(Rc<RefCell<BTreeMap<Name, Vec<&'static Interface>>>>);

impl Interfaces {
    pub(crate) fn note(&self, component: &Name, interfaces: &[&'static Interface]) {
        let mut noted = self.0.borrow_mut();
        if !noted.contains_key(component) {
            noted.insert(component.clone(), interfaces.to_vec());
        }
    }

    /// Returns the methods of the components that a name means, all of them if it is empty; `None` if one of them does
    /// not say which it has, or none has started.
    fn methods(&self, component: &str) -> Option<Vec<Name>> {
        let noted = self.0.borrow();
        let is_meant = |name: &Name| component.is_empty() || is_named(name, component);
        let mut all = Vec::new();
        for (_, interfaces) in noted.iter().filter(|(name, _)| is_meant(name)) {
            if interfaces.is_empty() {
                return None;
            }
            let methods = interfaces.iter().flat_map(|interface| interface.methods);
            all.extend(methods.map(|method| method.name.clone()));
        }
        (!all.is_empty()).then_some(all)
    }
}

/// What is wrong with faults that somebody wrote down.
pub(crate) struct Mistake {
    /// What it is, and where it stands.
    pub(crate) text: String,
    /// The name that nothing has, if that is it.
    name: Option<String>,
}

impl Mistake {
    const fn of(text: String) -> Self {
        Self { text, name: None }
    }
}

/// Says also what to do about it in code.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.name {
            Some(name) => write!(
                f,
                ". If it comes later, a scenario allows it: `sim.allow_name({name:?})`"
            ),
            None => Ok(()),
        }
    }
}

/// A name and where it stands.
struct Mention<'a> {
    place: String,
    what: Mentioned<'a>,
}

enum Mentioned<'a> {
    Node(&'a str),
    Component(&'a str),
    /// Of a component, which is empty for all.
    Method(&'a str, &'a str),
}

/// Names in the order in which they stand.
#[derive(Default)]
struct Mentions<'a>(Vec<Mention<'a>>);

impl<'a> Mentions<'a> {
    fn add(&mut self, place: String, what: Mentioned<'a>) {
        self.0.push(Mention { place, what });
    }

    fn ways(&mut self, ways: &'a [Way]) {
        for (number, way) in ways.iter().enumerate() {
            self.add(format!("ways[{number}].from"), Mentioned::Node(&way.from));
            self.add(format!("ways[{number}].to"), Mentioned::Node(&way.to));
        }
    }

    fn events(&mut self, events: &'a [Event]) {
        for (number, event) in events.iter().enumerate() {
            for (field, node) in nodes_of(&event.what) {
                let place = format!("events[{number}].{field}");
                self.add(place, Mentioned::Node(node));
            }
        }
    }

    fn handlers(&mut self, place: &str, component: &'a str, method: &'a str) {
        let [component_place, method_place] =
            ["component", "method"].map(|it| format!("{place}.{it}"));
        self.add(component_place, Mentioned::Component(component));
        self.add(method_place, Mentioned::Method(component, method));
    }

    fn service(&mut self, times: &'a [ServiceTime]) {
        for (number, time) in times.iter().enumerate() {
            let place = format!("service[{number}]");
            self.handlers(&place, &time.component, &time.method);
        }
    }

    fn messages(&mut self, messages: &'a [Injection]) {
        for (number, injection) in messages.iter().enumerate() {
            let place = format!("messages[{number}]");
            self.handlers(&place, &injection.component, &injection.method);
        }
    }

    fn episodes(&mut self, family: &str, episodes: &'a Episodes) {
        for (number, node) in episodes.nodes.iter().enumerate() {
            let place = format!("{family}.nodes[{number}]");
            self.add(place, Mentioned::Node(node));
        }
    }

    fn of_plan(plan: &'a Plan) -> Self {
        let mut all = Self::default();
        all.ways(&plan.ways);
        all.events(&plan.events);
        all.service(&plan.service);
        all.messages(&plan.messages);
        all
    }

    fn of_faults(faults: &'a Faults) -> Self {
        let mut all = Self::default();
        for (family, episodes) in faults.written_episodes() {
            all.episodes(family, episodes);
        }
        all.ways(&faults.ways);
        all.events(&faults.events);
        all.service(faults.service.as_deref().unwrap_or_default());
        all.messages(&faults.messages);
        all
    }
}

/// Returns the nodes of what happens, each with the field it is in.
fn nodes_of(what: &Happening) -> Vec<(String, &str)> {
    match what {
        Happening::Partition { from, to, .. } => {
            let groups = [("from", from), ("to", to)].into_iter();
            let all = groups.flat_map(|(field, nodes)| {
                let numbered = nodes.iter().enumerate();
                numbered.map(move |(number, node)| (format!("{field}[{number}]"), node.as_str()))
            });
            all.collect()
        }
        Happening::Disconnect { node, peer } | Happening::Clog { node, peer } => {
            vec![("node".to_owned(), node), ("peer".to_owned(), peer)]
        }
        Happening::Crash { node, .. }
        | Happening::Pause { node }
        | Happening::Slow { node, .. }
        | Happening::Drift { node, .. }
        | Happening::StepClock { node, .. } => vec![("node".to_owned(), node)],
    }
}

impl Sim {
    /// Has faults name something that is not there when they are followed: a node that comes later, or a method that its
    /// component does not say it has. Any other name that nothing has is taken for a mistake.
    pub fn allow_name(&mut self, name: &str) -> &mut Self {
        self.allowed.insert(name.to_owned());
        self
    }

    /// Says which name in some faults nothing has, or what of them does nothing.
    pub(crate) fn mistake_in_faults(&self, faults: &Faults) -> Option<Mistake> {
        let unknown = self.unknown(Mentions::of_faults(faults));
        unknown.or_else(|| self.vain_in_faults(faults).map(Mistake::of))
    }

    /// Takes a name that nothing has for a mistake of who wrote a plan. It may be a drawn one, and of that something may
    /// well do nothing.
    #[track_caller]
    pub(crate) fn check_names(&self, plan: &Plan) {
        if let Some(mistake) = self.mistake_in_names(plan) {
            panic!("{mistake}");
        }
    }

    /// Says which name in a plan nothing has.
    pub(crate) fn mistake_in_names(&self, plan: &Plan) -> Option<Mistake> {
        self.unknown(Mentions::of_plan(plan))
    }

    fn unknown(&self, mentions: Mentions<'_>) -> Option<Mistake> {
        let nodes: BTreeSet<&str> = self.node_names().collect();
        let components = self.components();
        mentions.0.into_iter().find_map(|mention| {
            let is_component = |name: &str| components.iter().any(|it| is_named(it, name));
            let (name, kind, known) = match mention.what {
                Mentioned::Node(name) if name == ANY || nodes.contains(name) => return None,
                Mentioned::Node(name) => (name, "node", told(nodes.iter().copied())),
                Mentioned::Component(name) if name.is_empty() || is_component(name) => return None,
                Mentioned::Component(name) => {
                    let known = told(components.iter().map(Name::as_str));
                    (name, "component", known)
                }
                Mentioned::Method(component, name) => {
                    let methods = self.interfaces.methods(component)?;
                    if name.is_empty() || methods.iter().any(|it| is_named(it, name)) {
                        return None;
                    }
                    (name, "method", told(methods.iter().map(Name::as_str)))
                }
            };
            let place = mention.place;
            (!self.allowed.contains(name)).then(|| Mistake {
                text: format!(
                    "no {kind} of this run is called `{name}`, as `{place}` says; there are {known}"
                ),
                name: Some(name.to_owned()),
            })
        })
    }
}

/// Lists names, not more than somebody would read.
fn told<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let first: Vec<_> = names.take(TOLD_MAX).collect();
    let mut text = first.join(", ");
    if count == 0 {
        text.push_str("none yet");
    }
    if count > first.len() {
        // A string takes everything.
        let _ = write!(text, ", and {} more", count - first.len());
    }
    text
}
