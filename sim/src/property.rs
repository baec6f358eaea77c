//! What must hold in a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use monofil_transport::record::What;

use crate::mentioned::NAMES;
use crate::{Sim, Span, guard};

/// What a property says when it is looked at: a truth, or what is wrong.
pub trait Verdict {
    /// Returns what is wrong, if something is.
    fn wrong(self) -> Option<String>;
}

impl Verdict for bool {
    fn wrong(self) -> Option<String> {
        (!self).then(|| "it does not hold".to_owned())
    }
}

impl<E: Display> Verdict for Result<(), E> {
    fn wrong(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

impl Verdict for Option<String> {
    fn wrong(self) -> Option<String> {
        self
    }
}

/// How a run failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The property that was broken.
    pub property: String,
    /// What broke it, of a property that anything can break: the line that panicked, the client that did not return. Empty
    /// where the property says it. What was broken by something else is another failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// What is wrong.
    pub text: String,
    /// When, in virtual time.
    pub at: Span,
}

impl Failure {
    /// Tells whether another one is the same thing that went wrong, maybe at another time and with other words.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (&self.property, &self.site) == (&other.property, &other.site)
    }

    /// Returns what is wrong with the faults that were given, if that is it: then nothing was run.
    #[must_use]
    pub fn mistake(&self) -> Option<&str> {
        (self.property == NAMES).then_some(&*self.text)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}: {}", self.property, self.at, self.text)
    }
}

type Look = Box<dyn FnMut(&Sim) -> Option<String>>;

pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) look: Look,
}

impl Property {
    pub(crate) fn new<V: Verdict>(
        name: impl Into<String>,
        mut look: impl FnMut(&Sim) -> V + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            look: Box::new(move |sim| look(sim).wrong()),
        }
    }
}

/// The properties of a run.
#[derive(Default)]
pub(crate) struct Properties {
    /// Looked at after each step.
    pub(crate) always: Vec<Property>,
    /// Looked at after each step, until it holds once.
    pub(crate) sometimes: Vec<Property>,
    /// Looked at after each step since all is healed, until it holds once.
    pub(crate) eventually: Vec<Property>,
    /// Looked at when the run is over.
    pub(crate) at_end: Vec<Property>,
    /// What they are called that have to hold.
    names: BTreeSet<String>,
}

impl Properties {
    fn name<V: Verdict>(&mut self, name: &str, look: impl FnMut(&Sim) -> V + 'static) -> Property {
        self.names.insert(name.to_owned());
        Property::new(name, look)
    }
}

/// What components themselves said in this run.
#[derive(Default)]
pub(crate) struct Said {
    /// Whether each mark was reached.
    pub(crate) marks: BTreeMap<String, bool>,
    /// What had to hold somewhere.
    pub(crate) judged: BTreeSet<String>,
    /// What was broken first.
    pub(crate) broken: Option<Broken>,
}

/// A property that does not hold, as it is noted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken {
    pub(crate) property: String,
    /// See [`Failure::site`].
    pub(crate) site: String,
    pub(crate) text: String,
    /// The message whose handler broke it, as records call it; 0 where that is not known.
    pub(crate) message: u64,
}

impl Broken {
    /// Notes that a property does not hold, which nobody's handler broke as far as is known.
    pub(crate) fn new(property: &str, text: impl Into<String>) -> Self {
        Self {
            property: property.to_owned(),
            site: String::new(),
            text: text.into(),
            message: 0,
        }
    }
}

/// Returns the message that the handler on this thread handles, as records call it.
pub(crate) fn message_of(current: &monofil_container::Current) -> u64 {
    current.message_id.map_or(0, |_| current.trace.span_id)
}

thread_local! {
    /// Present while a simulated run is on this thread.
    static SAID: RefCell<Option<Said>> = const { RefCell::new(None) };
}

/// Begins to listen to what components say, on this thread.
pub(crate) fn listen() {
    SAID.set(Some(Said::default()));
}

/// Stops listening.
pub(crate) fn heard() -> Said {
    SAID.take().unwrap_or_default()
}

/// Returns what was broken, once.
pub(crate) fn take_broken() -> Option<Broken> {
    SAID.with_borrow_mut(|said| said.as_mut()?.broken.take())
}

/// Says, from inside a component, that something must hold here. Without a simulated run on this thread it does
/// nothing.
pub fn always(holds: bool, property: &str) {
    SAID.with_borrow_mut(|said| {
        if let Some(said) = said {
            if !said.judged.contains(property) {
                said.judged.insert(property.to_owned());
            }
            if !holds && said.broken.is_none() {
                let current = monofil_container::current();
                let text = current.as_ref().map_or_else(String::new, |current| {
                    format!("in `{}` of `{}`", current.method, current.component)
                });
                said.broken = Some(Broken {
                    message: current.as_ref().map_or(0, message_of),
                    ..Broken::new(property, text)
                });
            }
        }
    });
}

/// Returns whether a mark was reached by what components said until now.
fn is_reached(mark: &str) -> bool {
    SAID.with_borrow(|said| said.as_ref()?.marks.get(mark).copied()) == Some(true)
}

/// Says, from inside a component, that something is expected here now and then: in one of the runs of an exploration
/// at least. Without a simulated run on this thread it does nothing.
///
/// Where this is never come by, nobody knows of the mark, and nobody misses it: [`Sim::expects`] has it known.
pub fn sometimes(happens: bool, mark: &str) {
    SAID.with_borrow_mut(|said| {
        if let Some(said) = said {
            match said.marks.get_mut(mark) {
                Some(reached) => *reached |= happens,
                None => {
                    said.marks.insert(mark.to_owned(), happens);
                }
            }
        }
    });
}

impl Sim {
    /// Says what must hold after each step. It is looked at very often: let it look at few things.
    ///
    /// In an exploration a run ends where it is broken; otherwise whoever lets time pass panics.
    pub fn always<V: Verdict>(
        &mut self,
        property: &str,
        look: impl FnMut(&Self) -> V + 'static,
    ) -> &mut Self {
        let property = self.properties.name(property, look);
        self.properties.always.push(property);
        self
    }

    /// Says what must be so at some time, in one of the runs of an exploration at least; in a run by hand until it is
    /// dropped, which panics otherwise. One that is never reached tells that the runs do not test what they are meant to.
    pub fn sometimes(
        &mut self,
        mark: &str,
        look: impl FnMut(&Self) -> bool + 'static,
    ) -> &mut Self {
        self.expects(mark);
        let property = Property::new(mark, look);
        self.properties.sometimes.push(property);
        self
    }

    /// Says that components are to reach a mark of their own, by [`sometimes`], as if it were one of
    /// [`Sim::sometimes`](Self::sometimes). Otherwise a mark in code that is never come to is known to nobody.
    pub fn expects(&mut self, mark: &str) -> &mut Self {
        self.marks.entry(mark.to_owned()).or_default();
        self
    }

    /// Says what must be so at some time after all is healed. In a run by hand that is after [`heal_all`](Self::heal_all),
    /// or else when it is dropped, which panics if it never was.
    pub fn eventually<V: Verdict>(
        &mut self,
        property: &str,
        look: impl FnMut(&Self) -> V + 'static,
    ) -> &mut Self {
        let property = self.properties.name(property, look);
        self.properties.eventually.push(property);
        self
    }

    /// Says what must hold when a run of an exploration is over: after all is healed, what clients were given is done,
    /// and what is to be so eventually is. A run by hand is over when it is dropped, which panics if it does not hold.
    pub fn at_end<V: Verdict>(
        &mut self,
        property: &str,
        look: impl FnMut(&Self) -> V + 'static,
    ) -> &mut Self {
        let property = self.properties.name(property, look);
        self.properties.at_end.push(property);
        self
    }

    /// Returns what has to hold in this run.
    pub(crate) fn judged(&self) -> BTreeSet<String> {
        let said = self.properties.names.iter().cloned();
        let panics = (!self.may_panic).then(|| NO_PANIC.to_owned());
        let guarded = guard::SEES.then(|| ONE_RUN.to_owned());
        let work = (!self.work.is_empty()).then(|| WORK_ENDS.to_owned());
        said.chain(panics).chain(guarded).chain(work).collect()
    }

    /// Returns what was broken, if something was.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Looks at the properties, after a step.
    pub(crate) fn look(&mut self) {
        let mut properties = std::mem::take(&mut self.properties);
        for property in &mut properties.always {
            if let Some(text) = (property.look)(self) {
                self.fail(Broken::new(&property.name, text));
                break;
            }
        }
        properties.sometimes.retain_mut(|property| {
            let is_reached = (property.look)(self).is_none();
            if is_reached {
                self.reach(&property.name);
            }
            !is_reached
        });
        if self.weather.calm.get() {
            properties
                .eventually
                .retain_mut(|property| (property.look)(self).is_some());
        }
        self.properties = properties;
        self.listen();
    }

    /// Judges what components have said since the last look, and what became known of them.
    fn listen(&mut self) {
        // What clients of a test assert must hold, whatever components may do.
        let may_panic = |component: &str| self.may_panic && !self.is_client(component);
        if let Some(broken) = self.listening.heard(may_panic) {
            self.fail(broken);
        }
    }

    fn is_client(&self, component: &str) -> bool {
        let of_app = component.strip_prefix(self.app.as_str());
        let name = of_app.and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| self.clients.contains_key(name))
    }

    /// Tells whether clients were given something to do and have done it.
    pub(crate) fn is_worked_off(&self) -> bool {
        !self.work.is_empty() && self.work.iter().all(|work| (work.is_done)())
    }

    /// Tells whether all is as it has to be eventually.
    pub(crate) fn is_all_right(&self) -> bool {
        self.properties.eventually.is_empty() && self.work.iter().all(|work| (work.is_done)())
    }

    /// Returns what is not yet as it has to be eventually.
    pub(crate) fn not_yet(&mut self) -> Option<Broken> {
        if self.failure.is_some() {
            return None;
        }
        let mut eventually = std::mem::take(&mut self.properties.eventually).into_iter();
        let broken = eventually.find_map(|mut property| {
            let text = (property.look)(self)?;
            Some(Broken::new(&property.name, text))
        });
        if broken.is_some() {
            return broken;
        }
        let left = self.work.iter().find(|work| !(work.is_done)())?;
        let text = format!("`{}` has not returned", left.client);
        Some(Broken {
            site: left.client.to_string(),
            ..Broken::new(WORK_ENDS, text)
        })
    }

    /// Looks at what must hold at the end.
    pub(crate) fn judge_end(&mut self) {
        for mut property in std::mem::take(&mut self.properties.at_end) {
            if let Some(text) = (property.look)(self) {
                self.fail(Broken::new(&property.name, text));
            }
        }
        self.listen();
    }

    /// Judges a run that a test drove, when it is over: what is looked at after each step is looked at once more, and
    /// then what is left of it has failed. What clients were given may be under way.
    ///
    /// # Panics
    ///
    /// When something is broken, unless something was before: that was said then.
    pub(crate) fn judge_by_hand(&mut self) {
        if self.failure.is_some() {
            return;
        }
        self.start();
        self.look();
        for mut property in std::mem::take(&mut self.properties.eventually) {
            if let Some(text) = (property.look)(self) {
                self.fail(Broken::new(&property.name, text));
            }
        }
        self.judge_end();
        let mut marks = self.marks.iter();
        if let Some((mark, _)) = marks.find(|(mark, known)| !**known && !is_reached(mark)) {
            let mark = mark.clone();
            self.fail(Broken::new(&mark, "it was never reached"));
        }
    }

    fn reach(&mut self, mark: &str) {
        self.marks.insert(mark.to_owned(), true);
        if let Some(recorder) = self.world().recorder() {
            let name = mark.into();
            recorder.add(self.now(), What::Reached { name });
        }
    }

    /// Notes that a property is broken. The first one counts.
    ///
    /// # Panics
    ///
    /// When nobody judges the run.
    pub(crate) fn fail(&mut self, broken: Broken) {
        if self.failure.is_some() {
            return;
        }
        if let Some(recorder) = self.world().recorder() {
            let what = What::Broken {
                property: broken.property.as_str().into(),
                text: broken.text.as_str().into(),
                message: broken.message,
            };
            recorder.add(self.now(), what);
        }
        let failure = Failure {
            property: broken.property,
            site: broken.site,
            text: broken.text,
            at: self.elapsed(),
        };
        let text = format!("{failure} (seed {})", self.seed());
        self.failure = Some(failure);
        assert!(self.judged, "{text}");
    }
}

/// What always must hold.
pub(crate) const NO_PANIC: &str = "no handler panics";
/// What must hold once all is healed.
const WORK_ENDS: &str = "what clients were given to do ends";
/// What always must hold, so that the same seed is the same run; see [`guard`].
pub(crate) const ONE_RUN: &str = "a seed is one run";
