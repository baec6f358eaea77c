//! Keeping calls from one instance of several that does not work.
//!
//! It comes before the breaker: one bad instance is no reason not to call the good ones. An instance is out for a
//! while, longer each time, and counts from nothing when it returns. Never too many are out at once, counted with
//! the one that is about to be, and never the last.

use std::fmt;
use std::time::Duration;

use monofil_transport::{Instant, Stream};

use super::breaker::Verdict;
use super::window::{Span, Window};
use super::{BreakerConfig, EjectionConfig};
use crate::calls::LinkKey;

/// One that a call may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CandidateId {
    /// An instance of this container.
    Here(usize),
    /// All instances of the component at another node, as long as the link to it lasts.
    There(LinkKey),
}

/// Of so many what they did is remembered.
const RECORDS_MAX: usize = 256;

const CALLS: usize = 0;

/// Why an instance is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    InARow(u32),
    Below { well: u32, others: u32 },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow(count) => write!(f, "{count} calls of it failed one after the other"),
            Self::Below { well, others } => {
                write!(
                    f,
                    "{well} % of its calls go well, {others} % of the others'"
                )
            }
        }
    }
}

/// An instance that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ejected {
    pub(crate) id: CandidateId,
    pub(crate) cause: Cause,
    pub(crate) until: Instant,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It says something of the component as well.
    Counts,
    /// It is of an instance that is out, or was when the call began.
    DoesNotCount,
    /// The instance should be out, if that leaves enough; if not, [`Ejection::keep`] counts it.
    Eject(Cause),
}

/// What is known of one instance.
#[derive(Clone, Debug)]
struct Record {
    id: CandidateId,
    window: Window<3>,
    failures_in_a_row: u32,
    out: Option<(Instant, Cause)>,
    /// Grows when it goes out and when it returns: a call counts where it began.
    era: u32,
    /// How often it was out without a long good time between.
    times: u32,
    returned: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct Ejection {
    config: EjectionConfig,
    length: Span,
    records: Vec<Record>,
    /// None is out before then that was not out already.
    out: usize,
}

impl Ejection {
    pub(crate) const fn new(config: &EjectionConfig, breaker: &BreakerConfig) -> Self {
        Self {
            config: *config,
            length: Span::of(breaker),
            records: Vec::new(),
            out: 0,
        }
    }

    /// Returns what a call to an instance has to bring back when it ends.
    pub(crate) fn era(&mut self, now: Instant, id: CandidateId) -> u32 {
        self.find(now, id).map_or(0, |record| record.era)
    }

    /// Tells until when an instance is out, and why.
    pub(crate) fn is_out(&self, now: Instant, id: CandidateId) -> Option<Ejected> {
        if self.out == 0 {
            return None;
        }
        self.all_out(now).find(|ejected| ejected.id == id)
    }

    /// Returns all that are out.
    pub(crate) fn all_out(&self, now: Instant) -> impl Iterator<Item = Ejected> {
        self.records.iter().filter_map(move |record| {
            let (until, cause) = record.out.filter(|(until, _)| *until > now)?;
            let id = record.id;
            Some(Ejected { id, cause, until })
        })
    }

    /// A call of an instance that is one of several is over.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        id: CandidateId,
        era: u32,
        verdict: Verdict,
    ) -> Effect {
        let (failed, slow) = match verdict {
            Verdict::Well { slow } => (false, slow),
            Verdict::Failed { slow } => (true, slow),
            Verdict::Nothing => return Effect::Counts,
        };
        let config = self.config;
        let Some(record) = self.find_or_add(now, id) else {
            return Effect::Counts;
        };
        if record.out.is_some() || record.era != era {
            return Effect::DoesNotCount;
        }
        if !failed {
            record.window.add(now, [true, false, slow]);
            record.failures_in_a_row = 0;
            return Effect::Counts;
        }
        record.failures_in_a_row = record.failures_in_a_row.saturating_add(1);
        let in_a_row = record.failures_in_a_row;
        let behind = if config.failures_in_a_row > 0 && in_a_row >= config.failures_in_a_row {
            Some(Cause::InARow(in_a_row))
        } else {
            self.falls_behind(now, id)
        };
        if behind.is_none() {
            self.keep(now, id, slow);
        }
        behind.map_or(Effect::Counts, Effect::Eject)
    }

    /// Counts the failure of an instance that is not taken out for it.
    pub(crate) fn keep(&mut self, now: Instant, id: CandidateId, slow: bool) {
        if let Some(record) = self.find(now, id) {
            record.window.add(now, [true, true, slow]);
        }
    }

    /// Takes an instance out if enough of those that are there now are left, itself not counted. Returns what it
    /// did lately, which is none of the component's business any more.
    pub(crate) fn eject(
        &mut self,
        now: Instant,
        id: CandidateId,
        cause: Cause,
        there: &[CandidateId],
        random: &mut Stream,
    ) -> Option<Window<3>> {
        let config = self.config;
        let others = there.iter().filter(|other| **other != id);
        let out = 1 + others
            .filter(|other| self.is_out(now, **other).is_some())
            .count();
        if out >= there.len() || out * 100 > there.len() * config.share_max_percent as usize {
            return None;
        }
        let record = self.find(now, id)?;
        if record.times > 0 && now.since(record.returned) >= config.period_max {
            record.times = 0;
        }
        record.times += 1;
        let period = config.period.saturating_mul(record.times);
        let period = period.min(config.period_max);
        let until = now + period + random.between(Duration::ZERO, period / 4);
        record.out = Some((until, cause));
        record.era += 1;
        record.failures_in_a_row = 0;
        let did = record.window.clone();
        record.window.clear();
        self.out = self.records.iter().filter(|it| it.out.is_some()).count();
        Some(did)
    }

    pub(crate) fn clear(&mut self) {
        for record in &mut self.records {
            record.era += 1;
            record.out = None;
            record.times = 0;
            record.failures_in_a_row = 0;
            record.window.clear();
        }
        self.out = 0;
    }

    fn find(&mut self, now: Instant, id: CandidateId) -> Option<&mut Record> {
        let record = self.records.iter_mut().find(|record| record.id == id)?;
        if let Some((until, _)) = record.out
            && until <= now
        {
            record.out = None;
            record.returned = until;
            record.era += 1;
            self.out -= 1;
        }
        Some(record)
    }

    fn find_or_add(&mut self, now: Instant, id: CandidateId) -> Option<&mut Record> {
        if !self.records.iter().any(|record| record.id == id) {
            if self.records.len() == RECORDS_MAX {
                // Of one that is out something would be forgotten that matters. Nobody may have asked for one since it
                // returned: links end, and no other has their key.
                let is_out = |it: &Record| it.out.is_some_and(|(until, _)| until > now);
                let place = self.records.iter().position(|it| !is_out(it))?;
                let forgotten = self.records.remove(place);
                self.out -= usize::from(forgotten.out.is_some());
            }
            self.records.push(Record {
                id,
                window: Window::new(self.length),
                failures_in_a_row: 0,
                out: None,
                era: 0,
                times: 0,
                returned: Instant::ZERO,
            });
        }
        self.find(now, id)
    }

    /// Compares an instance with all the others that are not out.
    fn falls_behind(&mut self, now: Instant, id: CandidateId) -> Option<Cause> {
        let (mut own, mut others) = ([0; 3], [0_u32; 3]);
        for record in self.records.iter_mut().filter(|it| it.out.is_none()) {
            record.window.advance(now);
            let total = record.window.total();
            if record.id == id {
                own = total;
            } else {
                for (sum, count) in others.iter_mut().zip(total) {
                    *sum = sum.saturating_add(count);
                }
            }
        }
        let full = self.length.least().unwrap_or(u32::MAX);
        let enough = self.config.calls_min.min(full).max(1);
        if own[CALLS] < enough || others[CALLS] < enough {
            return None;
        }
        let well = |[calls, failures, _]: [u32; 3]| {
            let share = u64::from(calls.saturating_sub(failures)) * 100 / u64::from(calls);
            u32::try_from(share).unwrap_or(100)
        };
        let (well, others) = (well(own), well(others));
        let is_below = well + self.config.below_percent <= others;
        is_below.then_some(Cause::Below { well, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    const WELL: Verdict = Verdict::Well { slow: false };
    const FAILED: Verdict = Verdict::Failed { slow: false };

    fn instances(count: usize) -> Vec<CandidateId> {
        (0..count).map(CandidateId::Here).collect()
    }

    struct Bench {
        ejection: Ejection,
        random: Stream,
        there: Vec<CandidateId>,
    }

    impl Bench {
        fn new(count: usize) -> Self {
            Self {
                ejection: Ejection::new(&EjectionConfig::default(), &BreakerConfig::default()),
                random: Stream::new(1, "ejection"),
                there: instances(count),
            }
        }

        /// A call of an instance; tells what it says of the component.
        fn call(&mut self, now: Instant, place: usize, verdict: Verdict) -> Effect {
            let id = CandidateId::Here(place);
            let era = self.ejection.era(now, id);
            self.end(now, place, era, verdict)
        }

        fn end(&mut self, now: Instant, place: usize, era: u32, verdict: Verdict) -> Effect {
            let id = CandidateId::Here(place);
            let effect = self.ejection.ended(now, id, era, verdict);
            if let Effect::Eject(cause) = effect {
                let ejection = &mut self.ejection;
                let out = ejection.eject(now, id, cause, &self.there, &mut self.random);
                if out.is_none() {
                    ejection.keep(now, id, false);
                }
            }
            effect
        }

        fn calls(&mut self, now: Instant, place: usize, count: usize, verdict: Verdict) {
            for _ in 0..count {
                self.call(now, place, verdict);
            }
        }

        fn out(&self, now: Instant) -> Vec<usize> {
            let all = self.there.iter().enumerate();
            all.filter(|(_, id)| self.ejection.is_out(now, **id).is_some())
                .map(|(place, _)| place)
                .collect()
        }
    }

    #[test]
    fn never_more_than_half_and_never_the_last() {
        // How many are there, and how many of them may be out when all fail.
        for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (9, 4), (10, 5)] {
            let mut bench = Bench::new(count);
            for place in 0..count {
                bench.calls(at(1), place, 20, FAILED);
            }
            assert_eq!(bench.out(at(1)).len(), most, "{count}");
        }
    }

    #[test]
    fn those_that_went_away_leave_no_room_for_others() {
        let mut bench = Bench::new(4);
        bench.calls(at(1), 0, 5, FAILED);
        assert_eq!(bench.out(at(1)), [0]);
        // Two good ones end: one of the two that are there is out already.
        bench.there.truncate(2);
        bench.calls(at(1), 1, 50, FAILED);
        assert_eq!(bench.out(at(1)), [0]);
    }

    #[test]
    fn it_is_out_longer_each_time_and_no_longer_than_the_longest() {
        let mut bench = Bench::new(2);
        let mut now = at(1);
        for times in 1..15_u32 {
            bench.calls(now, 0, 5, FAILED);
            let out = bench.ejection.is_out(now, CandidateId::Here(0));
            let until = out.expect("it is out").until;
            let least = Duration::from_secs(30) * times.min(10);
            let period = now.until(until);
            assert!(
                period >= least && period <= least * 5 / 4,
                "{times}: {period:?}"
            );
            assert!(bench.out(until).is_empty());
            now = until;
        }
        // After a long good time it is the first time again.
        now += Duration::from_secs(301);
        bench.calls(now, 0, 5, FAILED);
        let out = bench.ejection.is_out(now, CandidateId::Here(0));
        let period = now.until(out.expect("it is out").until);
        assert!(period < Duration::from_secs(38));
    }

    #[test]
    fn it_counts_from_nothing_when_it_returns() {
        let mut bench = Bench::new(2);
        let before = bench.ejection.era(at(1), CandidateId::Here(0));
        bench.calls(at(1), 0, 5, FAILED);
        assert_eq!(bench.out(at(1)), [0]);
        let during = bench.ejection.era(at(2), CandidateId::Here(0));
        let back = at(60);
        assert!(bench.out(back).is_empty());
        // Calls that began before or while it was out, and failed after that, say nothing of it now.
        for era in [before, during] {
            for _ in 0..20 {
                assert_eq!(bench.end(back, 0, era, FAILED), Effect::DoesNotCount);
            }
        }
        bench.calls(back, 0, 4, FAILED);
        assert!(bench.out(back).is_empty());
        bench.calls(back, 0, 1, FAILED);
        assert_eq!(bench.out(back), [0]);
    }

    #[test]
    fn one_that_is_much_worse_than_the_others_is_out() {
        // How many of ten calls fail, of it and of the others.
        for (own, others, is_out) in [(3, 0, true), (2, 0, false), (5, 3, false), (7, 3, true)] {
            let mut bench = Bench::new(3);
            for call in 0..40 {
                for place in 0..3 {
                    let failures = if place == 0 { own } else { others };
                    // Spread, so that never five in a row fail.
                    let failed = call % 10 * failures % 10 < failures;
                    bench.call(at(1), place, if failed { FAILED } else { WELL });
                }
            }
            assert_eq!(bench.out(at(1)).contains(&0), is_out, "{own} {others}");
            assert!(!bench.out(at(1)).contains(&1), "{own} {others}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut bench = Bench::new(2);
        bench.calls(at(1), 0, 5, FAILED);
        for place in 1..1000 {
            bench.calls(at(1), place, 1, WELL);
        }
        assert_eq!(bench.ejection.records.len(), RECORDS_MAX);
        assert_eq!(bench.out(at(1)), [0]);
    }

    #[test]
    fn those_that_went_away_while_they_were_out_are_forgotten() {
        // How many were out when they went, and whether that leaves room at once, and later.
        for (gone, at_once) in [(1, true), (RECORDS_MAX - 1, true), (RECORDS_MAX, false)] {
            let mut bench = Bench::new(gone + 2);
            // Each is out among enough that are not.
            bench.ejection.config.share_max_percent = 100;
            for place in 0..gone {
                bench.calls(at(1), place, 5, FAILED);
            }
            assert_eq!(bench.out(at(1)).len(), gone);
            let others = [gone, gone + 1];
            bench.there = others.map(CandidateId::Here).to_vec();
            for (now, is_out) in [(at(2), at_once), (at(100), true)] {
                bench.calls(now, gone, 5, FAILED);
                let out = bench.ejection.is_out(now, bench.there[0]);
                assert_eq!(out.is_some(), is_out, "{gone} at {now:?}");
                let noted = bench.ejection.records.iter().filter(|it| it.out.is_some());
                assert_eq!(noted.count(), bench.ejection.out, "{gone} at {now:?}");
            }
        }
    }
}
