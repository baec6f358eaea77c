//! What must hold in a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use monofil_transport::record::What;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The property that was broken.
    pub property: String,
    /// What is wrong.
    pub text: String,
    /// When, in virtual time.
    pub at: Span,
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
}

/// What components themselves said in this run.
#[derive(Default)]
pub(crate) struct Said {
    /// Whether each mark was reached.
    pub(crate) marks: BTreeMap<String, bool>,
    /// What was broken first.
    pub(crate) broken: Option<(String, String)>,
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
pub(crate) fn take_broken() -> Option<(String, String)> {
    SAID.with_borrow_mut(|said| said.as_mut()?.broken.take())
}

/// Says, from inside a component, that something must hold here. Without a simulated run on this thread it does
/// nothing.
pub fn always(holds: bool, property: &str) {
    if !holds {
        SAID.with_borrow_mut(|said| {
            if let Some(said) = said
                && said.broken.is_none()
            {
                let place = monofil_container::current();
                let place = place.map_or_else(String::new, |current| {
                    format!("in `{}` of `{}`", current.method, current.component)
                });
                said.broken = Some((property.to_owned(), place));
            }
        });
    }
}

/// Says, from inside a component, that something is expected here now and then: in one of the runs of an exploration
/// at least. Without a simulated run on this thread it does nothing.
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
        let property = Property::new(property, look);
        self.properties.always.push(property);
        self
    }

    /// Says what must be so at some time, in one of the runs of an exploration at least. One that is never reached
    /// tells that the runs do not test what they are meant to.
    pub fn sometimes(
        &mut self,
        mark: &str,
        look: impl FnMut(&Self) -> bool + 'static,
    ) -> &mut Self {
        self.marks.entry(mark.to_owned()).or_default();
        let property = Property::new(mark, look);
        self.properties.sometimes.push(property);
        self
    }

    /// Says what must be so at some time after all is healed.
    pub fn eventually<V: Verdict>(
        &mut self,
        property: &str,
        look: impl FnMut(&Self) -> V + 'static,
    ) -> &mut Self {
        let property = Property::new(property, look);
        self.properties.eventually.push(property);
        self
    }

    /// Says what must hold when a run of an exploration is over: after all is healed, what clients were given is done,
    /// and what is to be so eventually is.
    pub fn at_end<V: Verdict>(
        &mut self,
        property: &str,
        look: impl FnMut(&Self) -> V + 'static,
    ) -> &mut Self {
        let property = Property::new(property, look);
        self.properties.at_end.push(property);
        self
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
                self.fail(&property.name, text);
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
        if let Some((property, text)) = take_broken() {
            self.fail(&property, text);
        }
        if let Some(text) = crate::panics::of_a_handler()
            && !self.may_panic
        {
            self.fail(NO_PANIC, text);
        }
        if let Some(text) = guard::leaked() {
            self.fail(ONE_RUN, text);
        }
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
    pub(crate) fn not_yet(&mut self) -> Option<(String, String)> {
        if self.failure.is_some() {
            return None;
        }
        if let Some(mut property) = self.properties.eventually.pop() {
            let text = (property.look)(self);
            return Some((property.name, text.unwrap_or_default()));
        }
        let left = self.work.iter().find(|work| !(work.is_done)())?;
        let text = format!("`{}` has not returned", left.client);
        Some(("what clients were given to do ends".to_owned(), text))
    }

    /// Looks at what must hold at the end.
    pub(crate) fn judge_end(&mut self) {
        for mut property in std::mem::take(&mut self.properties.at_end) {
            if let Some(text) = (property.look)(self) {
                self.fail(&property.name, text);
            }
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
    pub(crate) fn fail(&mut self, property: &str, text: String) {
        if self.failure.is_some() {
            return;
        }
        if let Some(recorder) = self.world().recorder() {
            let (property, text) = (property.into(), text.as_str().into());
            recorder.add(self.now(), What::Broken { property, text });
        }
        let failure = Failure {
            property: property.to_owned(),
            text,
            at: self.elapsed(),
        };
        assert!(self.judged, "{failure} (seed {})", self.seed());
        self.failure = Some(failure);
    }
}

/// What always must hold.
pub(crate) const NO_PANIC: &str = "no handler panics";
/// What always must hold, so that the same seed is the same run; see [`guard`].
const ONE_RUN: &str = "a seed is one run";
