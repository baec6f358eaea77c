//! What an app is made of.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use monofil_sim::{Sim, Simulate};

use crate::config::{Layers, Settings};
use crate::job::JobDefinition;
use crate::{
    Component, ComponentKind, ComponentSpec, Context, InstanceLimits, Interface, Job, Status,
    Subscription,
};
use crate::{cli, exit::Failure, layout};

/// An app: named components, perhaps a job, and the program that runs them.
///
/// Components are drained last declared first, so declare what others call before those that call it.
pub struct App {
    pub(crate) name: String,
    pub(crate) about: Option<String>,
    pub(crate) components: Arc<[Definition]>,
    pub(crate) job: Option<JobDefinition>,
    mistakes: Vec<String>,
}

/// A component as an app declares it, without its type.
#[derive(Clone)]
pub(crate) struct Definition {
    /// Without the app's name.
    pub(crate) name: String,
    pub(crate) interfaces: Vec<&'static Interface>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) limits: InstanceLimits,
    pub(crate) kind: ComponentKind,
    version: String,
    build: Arc<dyn Fn() -> Box<dyn Component> + Send + Sync>,
}

impl Definition {
    pub(crate) fn new<C: Component>(
        name: &str,
        build: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        let build = Arc::new(build);
        let factory = build.clone();
        let spec = ComponentSpec::new(name, move || factory());
        Self {
            name: name.to_owned(),
            interfaces: spec.interfaces,
            subscriptions: spec.subscriptions,
            limits: spec.limits,
            kind: spec.kind,
            version: String::new(),
            build: Arc::new(move || Box::new(build())),
        }
    }

    /// Describes it to a container.
    pub(crate) fn spec(&self, app: &str, limits: InstanceLimits) -> ComponentSpec {
        let build = self.build.clone();
        ComponentSpec {
            name: format!("{app}/{}", self.name).into(),
            factory: Box::new(move || build()),
            interfaces: self.interfaces.clone(),
            subscriptions: self.subscriptions.clone(),
            limits,
            kind: self.kind,
            version: self.version.as_str().into(),
        }
    }
}

impl App {
    /// Begins an app.
    ///
    /// Names of apps, components and jobs are of lower-case letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut app = Self {
            name: name.clone(),
            about: None,
            components: Arc::new([]),
            job: None,
            mistakes: Vec::new(),
        };
        app.check_name("app", &name);
        app
    }

    /// Says what the app is for, in its `--help`.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// Adds a component. `build` makes an instance, and makes another each time it is to start anew. It may be asked on
    /// any thread, since simulated runs have threads of their own; what it makes stays on one.
    #[must_use]
    pub fn component<C: Component>(
        mut self,
        name: impl AsRef<str>,
        build: impl Fn() -> C + Send + Sync + 'static,
    ) -> Self {
        let name = name.as_ref();
        self.check_name("component", name);
        if self.definition(name).is_some() {
            self.mistakes
                .push(format!("two components are called `{name}`"));
        }
        let mut components = self.components.to_vec();
        components.push(Definition::new(name, build));
        self.components = components.into();
        self
    }

    /// Says of a component that was added before how many instances of it there may be, and which of them a message goes
    /// to. Without this there is one.
    #[must_use]
    pub fn kind(mut self, name: impl AsRef<str>, kind: ComponentKind) -> Self {
        let name = name.as_ref();
        let mut components = self.components.to_vec();
        match components.iter_mut().find(|known| known.name == name) {
            Some(known) => known.kind = kind,
            None => self.mistakes.push(format!(
                "a kind is given for `{name}`, which was not added before"
            )),
        }
        self.components = components.into();
        self
    }

    /// Says which release this is of all components that were added before; others see it, and `explain` says it.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        let version = version.into();
        let mut components = self.components.to_vec();
        for component in &mut components {
            component.version.clone_from(&version);
        }
        self.components = components.into();
        self
    }

    /// Bounds a component that was added before. Configuration (`[components.NAME]`) goes over it.
    #[must_use]
    pub fn limits(mut self, name: impl AsRef<str>, limits: InstanceLimits) -> Self {
        let name = name.as_ref();
        let mut components = self.components.to_vec();
        match components.iter_mut().find(|known| known.name == name) {
            Some(known) => known.limits = limits,
            None => self.mistakes.push(format!(
                "limits are given for `{name}`, which was not added before"
            )),
        }
        self.components = components.into();
        self
    }

    /// Adds the app's job: plain code that uses the components and ends, and the app with it.
    ///
    /// It runs on a node of its own, with a big stack and without a deadline. Its arguments are added to
    /// the commands `run`, `up` and `sim`; `()` has none. When it returns, the components are drained and
    /// stopped. When somebody does not want to wait for it (a signal), what it waits for ends with
    /// [`CallError::Cancelled`](crate::CallError::Cancelled), and it should return. What it returns decides how the program ends: [`EXIT_OK`](crate::EXIT_OK), or
    /// [`EXIT_FAILED`](crate::EXIT_FAILED) with the error on standard error. Standard output is its own.
    #[must_use]
    pub fn job<A: Args + 'static>(
        mut self,
        name: impl AsRef<str>,
        run: impl Fn(&mut Context, &Job<A>) -> Result<(), Status> + Send + Sync + 'static,
    ) -> Self {
        let name = name.as_ref();
        self.check_name("job", name);
        if self.job.is_some() {
            self.mistakes.push("it has two jobs".to_owned());
        }
        self.job = Some(JobDefinition::new(name.to_owned(), run));
        self
    }

    /// Runs the program: reads the command line and does what it says. See the crate's exit codes.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let done = self.check().and_then(|()| cli::main(&self));
        match done {
            Ok(code) => code,
            Err(failure) => failure.report(),
        }
    }

    pub(crate) fn definition(&self, name: &str) -> Option<&Definition> {
        self.components
            .iter()
            .find(|definition| definition.name == name)
    }

    fn check_name(&mut self, what: &str, name: &str) {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let is_good = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(allowed)
            && !name.contains("__");
        if !is_good {
            self.mistakes.push(format!(
                "`{name}` is no name for a {what}: 1 to 64 lower-case letters, digits, `-` and single `_`"
            ));
        }
    }

    /// Reports what whoever wrote `main` got wrong.
    fn check(&self) -> Result<(), Failure> {
        let mut mistakes = self.mistakes.clone();
        if let Some(job) = &self.job
            && self.definition(&job.name).is_some()
        {
            mistakes.push(format!("a component and the job are called `{}`", job.name));
        }
        if self.components.is_empty() && self.job.is_none() {
            mistakes.push("it has no components".to_owned());
        }
        if mistakes.is_empty() {
            return Ok(());
        }
        let what = format!("the app `{}` is not put together right", self.name);
        Err(mistakes
            .into_iter()
            .fold(Failure::usage(what), Failure::note))
    }
}

impl Simulate for App {
    fn name(&self) -> &str {
        &self.name
    }

    /// # Panics
    ///
    /// When the app is not put together right.
    fn join(&self, sim: &mut Sim) {
        if let Err(mistakes) = self.check() {
            panic!("{mistakes}");
        }
        for definition in self.components.iter() {
            let (app, of_it) = (self.name.clone(), definition.clone());
            sim.component(&definition.name, move || of_it.spec(&app, of_it.limits));
        }
    }
}

/// An app whose processes are on machines; see [`App::laid_out`].
#[derive(Debug)]
pub struct LaidOut {
    app: App,
    settings: Settings,
}

impl App {
    /// Has simulated runs lay the app out as a file of settings says, the one that operators write. `[peers]` says where
    /// each component is: what is at one address is one process, and one node of the run, called after its components,
    /// as `orders+payments`; of several that run the same the second has the name `payments-2`. What is at one host is
    /// one machine. All other settings of the file count as well.
    ///
    /// ```no_run
    /// # fn app() -> monofil::App { monofil::App::new("shop") }
    /// use monofil::sim::Sim;
    ///
    /// let sim = Sim::of(&app().laid_out("deploy/production.toml"), 7);
    /// ```
    ///
    /// # Panics
    ///
    /// When the app is not put together right, or the file cannot be read or has what cannot be set.
    #[must_use]
    pub fn laid_out(self, file: impl AsRef<Path>) -> LaidOut {
        let read = || {
            self.check()?;
            let mut layers = Layers::of(&self.components);
            layers.file(Some(file.as_ref()))?;
            let settings = layers.finish()?;
            // What is wrong with where things are is said here, too.
            layout::laid_out(&self, &settings, 0)?;
            Ok(settings)
        };
        let settings = read().unwrap_or_else(|failure: Failure| panic!("{failure}"));
        LaidOut {
            app: self,
            settings,
        }
    }
}

impl Simulate for LaidOut {
    fn name(&self) -> &str {
        &self.app.name
    }

    fn join(&self, sim: &mut Sim) {
        let nodes = layout::laid_out(&self.app, &self.settings, sim.seed());
        for node in nodes.expect("invariant: they could be described before") {
            sim.node(node);
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.components.iter().map(|known| &known.name).collect();
        f.debug_struct("App")
            .field("name", &self.name)
            .field("components", &names)
            .field("job", &self.job.as_ref().map(|job| &job.name))
            .finish_non_exhaustive()
    }
}
