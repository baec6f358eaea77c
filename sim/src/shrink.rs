//! From a run that fails to one that fails in the same way and is easier to understand.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use monofil_transport::Stream;

use crate::strategy::Schedule;
use crate::{Case, Drawn, Event, Failure, Keep, LinkPlan, Plan, Ran, Scenario, Shape, Span, Way};

/// How far it was shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Faults of the plan: events, families of links, injections, service times.
    pub faults: usize,
    /// Draws that are not the simplest: steps of clients, numbers of nodes, choices.
    pub draws: usize,
    /// Frames that do not arrive as in a calm network; `None` if that was left to links.
    pub frames: Option<usize>,
}

/// A failing case, made smaller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shrunk {
    /// The smallest that was found.
    pub case: Case,
    /// Its run.
    pub ran: Ran,
    /// How big the run was that was found.
    pub from: Size,
    /// How big this one is.
    pub to: Size,
    /// How many smaller cases were tried.
    pub tries: u64,
}

impl Shrunk {
    /// Says of a case only that it fails.
    pub(crate) fn not_at_all(case: &Case, failure: &Failure) -> Self {
        Self {
            case: case.clone(),
            ran: Ran::that_failed(failure.clone()),
            from: Size::default(),
            to: Size::default(),
            tries: 0,
        }
    }
}

struct Shrinker<'a> {
    scenario: &'a Scenario,
    /// How it failed when it was found.
    failure: Failure,
    best: Case,
    ran: Ran,
    tries: u64,
    until: Instant,
    random: Stream,
    /// What links had when it was found.
    latency: Option<Shape>,
    ways: Vec<Way>,
}

/// Makes a failing case smaller, for as long as the budget lasts. `None` if it does not fail.
pub(crate) fn shrink(scenario: &Scenario, case: &Case, budget: Duration) -> Option<Shrunk> {
    let until = Instant::now() + budget;
    let keep = Keep {
        choices: true,
        ..Keep::default()
    };
    let first = scenario.run(case, keep);
    let failure = first.failure.clone()?;
    let from = size(case, &first);
    // What was drawn is written down, so that it can be changed.
    let written = Case {
        plan: Some(first.plan.clone()),
        ..case.clone()
    };
    let mut shrinker = Shrinker {
        scenario,
        failure,
        best: written,
        latency: first.plan.link.latency.clone(),
        ways: first.plan.ways.clone(),
        ran: first,
        tries: 0,
        until,
        random: Stream::new(case.seed, "shrink"),
    };
    loop {
        let mut before = None;
        while before.as_ref() != Some(&shrinker.best) && shrinker.has_time() {
            before = Some(shrinker.best.clone());
            shrinker.pass();
        }
        if !shrinker.wander() {
            break;
        }
    }
    Some(Shrunk {
        from,
        to: size(&shrinker.best, &shrinker.ran),
        case: shrinker.best,
        ran: shrinker.ran,
        tries: shrinker.tries,
    })
}

fn size(case: &Case, ran: &Ran) -> Size {
    let plan = case.plan.as_ref().unwrap_or(&ran.plan);
    let links = plan.clone().links_mut().map(parts).sum::<usize>();
    Size {
        faults: plan.events.len() + plan.messages.len() + plan.service.len() + links,
        draws: ran.drawn.iter().filter(|it| it.value != it.min).count(),
        frames: match &case.schedule {
            Schedule::Fixed { frames } => Some(frames.len()),
            _ if case.schedule == Schedule::Links && !has_latency(plan) => Some(0),
            _ => None,
        },
    }
}

/// Takes something away from a link.
type Calm = fn(&mut LinkPlan);

/// What can be taken away from links, one by one.
const LINK_PARTS: [Calm; 8] = [
    |link| link.latency = None,
    |link| link.loss = None,
    |link| link.bursts = None,
    |link| link.duplication = None,
    |link| link.reordering = None,
    |link| link.corruption = None,
    |link| link.stalls = None,
    |link| link.bandwidth = None,
];

/// Counts what is said of a link.
fn parts(link: &mut LinkPlan) -> usize {
    let is_said = |calm: &&Calm| {
        let mut without = link.clone();
        calm(&mut without);
        without != *link
    };
    LINK_PARTS.iter().filter(is_said).count()
}

fn has_latency(plan: &Plan) -> bool {
    let mut links = std::iter::once(&plan.link).chain(plan.ways.iter().map(|way| &way.link));
    links.any(|link| link.latency.is_some())
}

/// Makes faults last twice as long. Fewer of them that last longer are easier to understand: what is left may be
/// just long enough together with what is taken away.
fn longer(plan: &mut Plan) {
    for event in &mut plan.events {
        event.lasts = event.lasts.map(|lasts| Span(lasts.0 * 2));
    }
}

/// Has faults last from the beginning until their end.
fn from_the_beginning(plan: &mut Plan) {
    for event in &mut plan.events {
        let at = std::mem::take(&mut event.at);
        event.lasts = event.lasts.map(|lasts| Span(lasts.0 + at.0));
    }
}

/// Returns the steps of clients that were not left out, in the order of time.
fn steps_of(ran: &Ran) -> impl Iterator<Item = &Drawn> {
    let is_step = |it: &&Drawn| (it.min, it.max, it.value) == (0, 1, 1);
    ran.drawn.iter().filter(is_step)
}

/// Counts what happens to a run from outside: faults, and steps of clients.
fn things(ran: &Ran) -> usize {
    ran.plan.events.len() + steps_of(ran).count()
}

/// A step of a client: its site, and its number there.
type Step = (String, u64);

/// Has faults begin earlier, by as long as what is left out before them took: whoever does one step after the other is
/// at the same ones then as before.
fn earlier(plan: &mut Plan, steps: &[(&Drawn, bool)]) {
    for event in &mut plan.events {
        let pairs = steps.windows(2).filter(|pair| !pair[0].1);
        let gone = pairs.map(|pair| {
            let until = pair[1].0.at.min(event.at);
            until.0.saturating_sub(pair[0].0.at.0)
        });
        event.at = Span(event.at.0.saturating_sub(gone.sum()));
    }
}

/// Has faults begin after a part of the time since the first step that is as great as the part of the steps before them
/// that is left: where steps wait in line, each that is left out makes those behind it earlier, whenever it was begun.
fn in_proportion(plan: &mut Plan, steps: &[(&Drawn, bool)]) {
    let Some((first, _)) = steps.first() else {
        return;
    };
    for event in &mut plan.events {
        let begun = &steps[..steps.partition_point(|(step, _)| step.at < event.at)];
        // What is begun all at once says nothing of how the time is spent.
        if begun.last().is_none_or(|(step, _)| step.at == first.at) {
            continue;
        }
        let left = begun.iter().filter(|(_, is_left)| *is_left).count();
        let [left, all] = [left, begun.len()].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        let since = event.at.0.saturating_sub(first.at.0);
        event.at = Span(first.at.0 + since / all * left);
    }
    plan.events.sort_by_key(|event| event.at);
}

/// Steps are left out by halves and quarters before anything smaller is tried.
const COARSE: usize = 4;

/// In so many ways things are moved before it is believed that none can be left out.
const WAYS: u64 = 200;

/// Faults are moved by so much at most.
const MOVED_NANOS: u64 = 50_000_000;

impl Shrinker<'_> {
    fn has_time(&self) -> bool {
        Instant::now() < self.until
    }

    /// Takes a case if it fails in the same way.
    fn try_case(&mut self, case: Case) -> bool {
        self.try_case_if(case, |_| true)
    }

    /// Takes a case if it fails in the same way, in a run with no more things in it than before, and which is as wanted:
    /// with one fault less it may fail later only, after ever so much work.
    fn try_case_if(&mut self, case: Case, is_wanted: impl FnOnce(&Ran) -> bool) -> bool {
        if case == self.best || !self.has_time() {
            return false;
        }
        self.tries += 1;
        let keep = Keep {
            choices: true,
            ..Keep::default()
        };
        let ran = self.scenario.run(&case, keep);
        let fails = ran
            .failure
            .as_ref()
            .is_some_and(|failure| failure.is_like(&self.failure));
        let is_taken = fails && things(&ran) <= things(&self.ran) && is_wanted(&ran);
        if is_taken {
            (self.best, self.ran) = (case, ran);
        }
        is_taken
    }

    fn try_plan(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut case = self.best.clone();
        change(case.plan.get_or_insert_default());
        self.try_case(case)
    }

    fn pass(&mut self) {
        self.try_plan(|plan| *plan = Plan::default());
        // Each try takes as long as what is left does: much is left out first, of work and of faults in turn.
        let mut before = usize::MAX;
        while things(&self.ran) < before && self.has_time() {
            before = things(&self.ran);
            self.steps(COARSE);
            self.events();
            self.at_once();
        }
        self.steps(usize::MAX);
        self.lists();
        let links = 1 + self.plan().ways.len();
        for (number, calm) in (0..links).flat_map(|number| LINK_PARTS.map(|calm| (number, calm))) {
            let calm = |plan: &mut Plan| plan.links_mut().nth(number).into_iter().for_each(calm);
            let mut without = self.plan().clone();
            calm(&mut without);
            if without == *self.plan() {
                continue;
            }
            let _ = self.try_plan(calm)
                || self.try_plan(|plan| {
                    calm(plan);
                    longer(plan);
                })
                || self.try_plan(|plan| {
                    calm(plan);
                    from_the_beginning(plan);
                });
        }
        self.numbers();
        self.order();
        self.times();
    }

    /// Leaves faults out, many at once first.
    fn events(&mut self) {
        let all = self.plan().events.clone();
        self.fewer(all, |case, events: Vec<Event>| {
            case.plan.get_or_insert_default().events = events;
        });
        for index in (0..self.plan().events.len()).rev() {
            self.try_plan(|plan| {
                plan.events.remove(index);
                longer(plan);
            });
        }
    }

    /// Has faults begin at once, if it fails earlier then: so much less happens until it does.
    fn at_once(&mut self) {
        let fails_at = |ran: &Ran| ran.failure.as_ref().map(|failure| failure.at);
        let before = fails_at(&self.ran);
        let mut case = self.best.clone();
        from_the_beginning(case.plan.get_or_insert_default());
        self.try_case_if(case, |ran| fails_at(ran) < before);
    }

    fn lists(&mut self) {
        let all = self.plan().ways.clone();
        self.fewer(all, |case, ways| {
            case.plan.get_or_insert_default().ways = ways;
        });
        let all = self.plan().messages.clone();
        self.fewer(all, |case, messages| {
            case.plan.get_or_insert_default().messages = messages;
        });
        let all = self.plan().service.clone();
        self.fewer(all, |case, service| {
            case.plan.get_or_insert_default().service = service;
        });
    }

    fn plan(&mut self) -> &Plan {
        self.best.plan.get_or_insert_default()
    }

    /// Leaves things out of a list; `put` writes into a case those that are left.
    fn fewer<T: Clone>(&mut self, all: Vec<T>, put: impl Fn(&mut Case, Vec<T>)) {
        self.fewer_somehow(all, 1, |best, _, left| {
            let mut case = best.clone();
            put(&mut case, left.to_vec());
            vec![case]
        });
    }

    /// Leaves things out of a list: halves, quarters, ..., single ones (Zeller, Hildebrandt: "Simplifying and
    /// isolating failure-inducing input", TSE 2002), or `least` at once. `ways` makes cases with those that are left, any of
    /// which will do.
    fn fewer_somehow<T: Clone>(
        &mut self,
        all: Vec<T>,
        least: usize,
        ways: impl Fn(&Case, &Ran, &[T]) -> Vec<Case>,
    ) {
        let mut left = all;
        let mut chunk = left.len();
        while chunk >= least.max(1) {
            let mut at = 0;
            while at < left.len() && self.has_time() {
                let end = (at + chunk).min(left.len());
                let mut fewer = left.clone();
                fewer.drain(at..end);
                let cases = ways(&self.best, &self.ran, &fewer);
                match cases.into_iter().any(|case| self.try_case(case)) {
                    true => left = fewer,
                    false => at = end,
                }
            }
            chunk /= 2;
        }
    }

    /// Leaves steps of clients out, one of so many parts of them at once at least.
    fn steps(&mut self, parts: usize) {
        let kept = steps_of(&self.ran).map(|it| (it.site.clone(), it.index));
        let kept: Vec<Step> = kept.collect();
        let all = kept.clone();
        let least = kept.len() / parts;
        self.fewer_somehow(kept, least, move |best, ran, left| {
            let left: BTreeSet<Step> = left.iter().cloned().collect();
            let mut fewer = best.clone();
            for (site, index) in all.iter().filter(|step| !left.contains(step)) {
                let site = fewer.fixed.entry(site.clone()).or_default();
                site.insert(*index, 0);
            }
            let is_left = |step: &Drawn| left.contains(&(step.site.clone(), step.index));
            let steps: Vec<_> = steps_of(ran).map(|it| (it, is_left(it))).collect();
            let mut cases = vec![fewer];
            for moved in [in_proportion, earlier] {
                let mut sooner = cases[0].clone();
                moved(sooner.plan.get_or_insert_default(), &steps);
                if !cases.contains(&sooner) {
                    cases.insert(1, sooner);
                }
            }
            cases.rotate_left(1);
            cases
        });
    }

    /// Brings numbers nearer to the least they can be.
    fn numbers(&mut self) {
        let drawn: Vec<_> = self.ran.drawn.clone();
        let mut sites: Vec<_> = drawn.iter().map(|it| it.site.clone()).collect();
        sites.dedup();
        sites.sort();
        sites.dedup();
        // All of a site at once is often possible.
        for site in sites {
            let mut case = self.best.clone();
            for it in drawn.iter().filter(|it| it.site == site && it.max > 1) {
                let site = case.fixed.entry(it.site.clone()).or_default();
                site.insert(it.index, it.min);
            }
            self.try_case(case);
        }
        // Steps were left out where they could be.
        for it in drawn.into_iter().filter(|it| it.max > 1) {
            let now = self.ran.drawn.iter();
            let now = now
                .filter(|now| (&now.site, now.index) == (&it.site, it.index))
                .map(|now| now.value)
                .next();
            let Some(mut value) = now.filter(|value| *value > it.min && self.has_time()) else {
                continue;
            };
            let mut least = it.min;
            while least < value {
                let middle = least + (value - least) / 2;
                let mut case = self.best.clone();
                let site = case.fixed.entry(it.site.clone()).or_default();
                site.insert(it.index, middle);
                match self.try_case(case) {
                    true => value = middle,
                    false => least = middle + 1,
                }
            }
        }
    }

    /// Brings the order of frames nearer to that of a calm network.
    fn order(&mut self) {
        let mut calm = self.best.clone();
        for link in calm.plan.get_or_insert_default().links_mut() {
            (link.latency, link.stalls, link.bandwidth) = (None, None, None);
        }
        let mut written = calm.clone();
        calm.schedule = Schedule::Links;
        let (mut long, mut early) = (calm.clone(), calm.clone());
        longer(long.plan.get_or_insert_default());
        from_the_beginning(early.plan.get_or_insert_default());
        if calm == self.best || self.try_case(calm) || self.try_case(long) || self.try_case(early) {
            return;
        }
        if !matches!(self.best.schedule, Schedule::Fixed { .. }) {
            let is_late = |(_, span): &&(String, Span)| *span != crate::plan::CALM;
            let frames = self.ran.latencies.iter().filter(is_late).cloned();
            written.schedule = Schedule::Fixed {
                frames: frames.collect(),
            };
            if !self.try_case(written) {
                return;
            }
        }
        if let Schedule::Fixed { frames } = &self.best.schedule {
            let all: Vec<_> = frames.clone().into_iter().collect();
            self.fewer(all, |case, frames| {
                case.schedule = Schedule::Fixed {
                    frames: frames.into_iter().collect(),
                };
            });
        }
    }

    /// Leaves one thing out and moves the others a little, in many ways: what happens may depend on when, and without
    /// the one thing the moment is another. Tells whether that helped.
    fn wander(&mut self) -> bool {
        let before = things(&self.ran);
        if before < 2 {
            return false;
        }
        for way in 0..WAYS {
            // Numbers that are smaller are tried first.
            let case = self.another(before as u64, way >= WAYS / 2);
            if self.try_case_if(case, |ran| things(ran) < before) {
                return true;
            }
        }
        false
    }

    /// Makes a case with one thing less, somewhere near the best.
    fn another(&mut self, things: u64, is_any_number: bool) -> Case {
        let (best, random) = (&self.best, &mut self.random);
        let mut case = best.clone();
        let plan = case.plan.get_or_insert_default();
        let one = usize::try_from(random.below(things)).unwrap_or(0);
        match one.checked_sub(plan.events.len()) {
            None => drop(plan.events.remove(one)),
            Some(step) => {
                if let Some(step) = steps_of(&self.ran).nth(step) {
                    let site = case.fixed.entry(step.site.clone()).or_default();
                    site.insert(step.index, 0);
                }
            }
        }
        for event in &mut plan.events {
            let at = event
                .at
                .nanos()
                .saturating_add(random.below(2 * MOVED_NANOS));
            let at = at.saturating_sub(MOVED_NANOS) / 1_000 * 1_000;
            event.at = Span::of_nanos(at);
        }
        plan.events.sort_by_key(|event| event.at);
        for it in self.ran.drawn.iter().filter(|it| it.max > 1) {
            let most = if is_any_number { it.max } else { it.value };
            if random.below(4) == 0 {
                let value = it.min + random.below((most - it.min).saturating_add(1));
                let site = case.fixed.entry(it.site.clone()).or_default();
                site.insert(it.index, value);
            }
        }
        // Frames are others now. Which of them matter is found out again.
        if case.schedule != Schedule::Links {
            case.schedule = Schedule::Links;
            plan.link.latency.clone_from(&self.latency);
            plan.ways.clone_from(&self.ways);
        }
        case
    }

    /// Makes faults shorter.
    fn times(&mut self) {
        let count = self.plan().events.len();
        for index in 0..count {
            for _ in 0..6 {
                let shorter = self.try_plan(|plan| {
                    if let Some(lasts) = &mut plan.events[index].lasts {
                        *lasts = Span::of_nanos(lasts.nanos() / 2 / 1_000_000 * 1_000_000);
                    }
                });
                if !shorter {
                    break;
                }
            }
        }
    }
}
