//! What came of a row's rounds.

use bench_worker::Sample;
use serde_json::{Map, Value, json};

use crate::figure::short;
use crate::rows::{Base, OURS, Row};
use crate::stats::Summary;

/// Rounds that differ by more than this, some of which reach the goal, say nothing about it.
const SCATTER: f64 = 1.5;

/// How a row's ratio is to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    Missed,
    /// Messages of ours were lost, and so it is not known what the rest is worth.
    Lossy,
    /// Some rounds reached it, and they differ too much.
    Unclear,
    Unmeasured,
}

/// What came of a row's rounds.
pub(crate) struct Outcome {
    pub(crate) row: &'static Row,
    contenders: Vec<Contender>,
}

/// What came of one contender's part.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    samples: Vec<Result<Sample, String>>,
}

impl Outcome {
    pub(crate) fn new(row: &'static Row) -> Self {
        let contender = |name| Contender {
            name,
            samples: Vec::new(),
        };
        Self {
            row,
            contenders: row.contenders().map(contender).collect(),
        }
    }

    /// Adds what a contender did in the next round.
    pub(crate) fn add(&mut self, name: &str, sample: Result<Sample, String>) {
        let found = self.contenders.iter_mut().find(|it| it.name == name);
        let contender = found.expect("invariant: only the row's contenders are measured");
        contender.samples.push(sample);
    }

    pub(crate) fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// Returns how many rounds there were.
    pub(crate) fn rounds(&self) -> usize {
        self.contenders[0].samples.len()
    }

    /// Returns a contender's values, round by round.
    fn values(&self, contender: &Contender) -> Vec<Option<f64>> {
        let value = |sample: &Result<Sample, String>| {
            let sample = sample.as_ref().ok()?;
            Some(self.row.measure.value(sample))
        };
        contender.samples.iter().map(value).collect()
    }

    /// Returns what everybody is divided by, round by round.
    fn bases(&self) -> Vec<Option<f64>> {
        let of = |name: &str| {
            let found = self.contenders.iter().find(|it| it.name == name);
            found.map_or_else(Vec::new, |base| self.values(base))
        };
        let measure = self.row.measure;
        match self.row.base {
            Base::Fixed(value) => vec![Some(value); self.rounds()],
            Base::Peer(name) => of(name),
            Base::Best => (0..self.rounds())
                .map(|round| {
                    let peers = self.row.peers.iter().filter_map(|peer| of(peer)[round]);
                    peers.reduce(|one, other| measure.better(one, other))
                })
                .collect(),
        }
    }

    /// Summarises a contender's values; `None` when it has none.
    pub(crate) fn summary(&self, contender: &Contender) -> Option<Summary> {
        let values: Vec<_> = self.values(contender).into_iter().flatten().collect();
        Summary::of(&values)
    }

    /// Summarises a contender's ratios to the row's base, each of one round.
    pub(crate) fn ratio(&self, contender: &Contender) -> Option<Summary> {
        Summary::of_ratios(&self.values(contender), &self.bases())
    }

    /// Returns our part.
    pub(crate) fn ours(&self) -> &Contender {
        &self.contenders[0]
    }

    /// Says how our ratio is to the row's goal, and our value, too.
    pub(crate) fn verdict(&self) -> Verdict {
        let (ours, measure) = (self.ours(), self.row.measure);
        let (Some(ratio), Some(value)) = (self.ratio(ours), self.summary(ours)) else {
            return Verdict::Unmeasured;
        };
        if ours.lost() > 0 {
            return Verdict::Lossy;
        }
        let enough = |goal: f64| measure.better(goal, value.median) == value.median;
        if !self.row.goal_value.is_none_or(enough) {
            return Verdict::Missed;
        }
        let rounds = [ratio.min, ratio.max].map(|ratio| self.row.reaches(ratio));
        match self.row.reaches(ratio.median) {
            _ if rounds[0] != rounds[1] && ratio.max > ratio.min * SCATTER => Verdict::Unclear,
            true => Verdict::Reached,
            false => Verdict::Missed,
        }
    }

    /// Says in a line how far it is from its goal.
    fn short_of(&self) -> String {
        let ours = self.ours();
        let value = match (self.summary(ours), ours.missing()) {
            (Some(value), _) => format!("{} {}", short(value.median), self.row.measure.unit()),
            (None, why) => why.unwrap_or("no value").to_owned(),
        };
        let (name, goal) = (self.row.name, self.row.goal_text());
        let lost = match ours.lost() {
            0 => String::new(),
            lost => format!(", {lost} lost"),
        };
        format!(
            "  {name}: goal {goal}: {}: {value}{lost}",
            self.verdict().text()
        )
    }

    /// Makes the object that `--json` prints.
    pub(crate) fn to_json(&self) -> Value {
        let (ours, ratio) = (self.summary(self.ours()), self.ratio(self.ours()));
        let (mut peers, mut missing, mut processor) = (Map::new(), Map::new(), Map::new());
        let mut lost = Map::new();
        for contender in &self.contenders {
            let summary = self.summary(contender);
            if let Some(why) = contender.missing() {
                missing.insert(contender.name.to_owned(), why.into());
            }
            if let Some(nanos) = contender.processor_nanos() {
                processor.insert(contender.name.to_owned(), nanos.into());
            }
            if contender.lost() > 0 {
                lost.insert(contender.name.to_owned(), contender.lost().into());
            }
            if contender.name != OURS {
                let median = summary.map(|summary| summary.median);
                peers.insert(contender.name.to_owned(), median.into());
            }
        }
        let base: Value = match self.row.base {
            Base::Peer(peer) => peer.into(),
            Base::Best => "best".into(),
            Base::Fixed(value) => value.into(),
        };
        let median = |summary: Option<Summary>| summary.map(|it| it.median);
        let min = |summary: Option<Summary>| summary.map(|it| it.min);
        let max = |summary: Option<Summary>| summary.map(|it| it.max);
        let mut object = json!({
            "row": self.row.name,
            "ours": median(ours),
            "unit": self.row.measure.unit(),
            "peers": peers,
            "ratio": median(ratio),
            "min": min(ours),
            "max": max(ours),
            "rounds": self.rounds(),
            "base": base,
            "ratio_min": min(ratio),
            "ratio_max": max(ratio),
            "more_is_better": self.row.measure.more_is_better(),
            "goal": self.row.goal_text(),
            "reached": self.verdict().as_bool(),
        });
        if self.row.measure.is_of_the_processor() {
            object["processor_ns"] = processor.into();
        }
        if !missing.is_empty() {
            object["missing"] = missing.into();
        }
        if !lost.is_empty() {
            object["lost"] = lost.into();
        }
        object
    }
}

/// Says of which rows the goal is not reached, if there are any: also of those that were not measured, or whose rounds
/// differ too much to tell.
pub(crate) fn unreached(outcomes: &[Outcome]) -> Option<String> {
    let reached = |outcome: &&Outcome| outcome.verdict() == Verdict::Reached;
    let lines: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !reached(outcome))
        .map(Outcome::short_of)
        .collect();
    let (some, all) = (lines.len(), outcomes.len());
    (some > 0).then(|| {
        format!(
            "{some} of {all} goals are required and not reached\n{}",
            lines.join("\n")
        )
    })
}

impl Verdict {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "not reached",
            Self::Lossy => "not reached, messages were lost",
            Self::Unclear => "unclear",
            Self::Unmeasured => "not measured",
        }
    }

    const fn as_bool(self) -> Option<bool> {
        match self {
            Self::Reached => Some(true),
            Self::Missed | Self::Lossy => Some(false),
            Self::Unclear | Self::Unmeasured => None,
        }
    }
}

impl Contender {
    /// Says why there are no values, or not as many as rounds.
    pub(crate) fn missing(&self) -> Option<&str> {
        let failed = |sample: &Result<Sample, String>| sample.is_err();
        let first = self.samples.iter().find(|sample| failed(sample))?;
        first.as_ref().err().map(String::as_str)
    }

    fn good(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().flatten()
    }

    /// Returns the median of the processor time for each message, in nanoseconds, in all threads of the
    /// process that measured.
    pub(crate) fn processor_nanos(&self) -> Option<f64> {
        let nanos = |sample: &Sample| sample.processor_seconds * 1e9 / sample.amount;
        let all: Vec<f64> = self.good().map(nanos).collect();
        Summary::of(&all).map(|summary| summary.median)
    }

    /// Returns what the last sample says besides, and how much was lost in all.
    pub(crate) fn note(&self) -> String {
        let mut notes: Vec<String> = Vec::new();
        notes.extend(self.good().last().and_then(|sample| sample.note.clone()));
        if self.lost() > 0 {
            notes.push(format!("{} lost", self.lost()));
        }
        notes.join(", ")
    }

    /// Returns how many of its messages were lost in all.
    fn lost(&self) -> u64 {
        self.good().map(|sample| sample.lost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    fn taken(seconds: f64) -> Result<Sample, String> {
        Ok(Sample {
            amount: 1e9,
            seconds,
            processor_seconds: seconds / 2.0,
            ..Sample::default()
        })
    }

    fn outcome(name: &str, ours: &[f64], base: &[f64]) -> Outcome {
        let row = ROWS.iter().find(|row| row.name == name);
        let mut outcome = Outcome::new(row.expect("the row is there"));
        let Base::Peer(peer) = outcome.row.base else {
            panic!("the row has a peer for its base")
        };
        ours.iter().for_each(|it| outcome.add(OURS, taken(*it)));
        base.iter().for_each(|it| outcome.add(peer, taken(*it)));
        outcome
    }

    #[test]
    fn a_time_that_is_shorter_than_its_base_has_a_ratio_below_one() {
        let outcome = outcome("local_cast", &[20.0, 30.0, 40.0], &[80.0, 90.0, 100.0]);
        let ratio = outcome.ratio(outcome.ours()).expect("there are rounds");
        assert_eq!(ratio.min, 0.25);
        assert_eq!(outcome.verdict(), Verdict::Reached);
    }

    #[test]
    fn a_rate_that_is_higher_than_its_base_has_a_ratio_above_one() {
        let outcome = outcome("remote_cast_64", &[1.0, 1.0], &[3.0, 3.0]);
        let ratio = outcome.ratio(outcome.ours()).expect("there are rounds");
        assert_eq!(ratio.median, 3.0);
    }

    #[test]
    fn a_goal_is_missed_by_its_value_alone() {
        let outcome = outcome("local_cast", &[41.0], &[100.0]);
        assert_eq!(outcome.verdict(), Verdict::Missed);
    }

    #[test]
    fn rounds_that_scatter_around_the_goal_say_nothing() {
        let outcome = outcome("remote_cast_64", &[1.0, 1.0, 1.0], &[1.0, 5.0, 9.0]);
        assert_eq!(outcome.verdict(), Verdict::Unclear);
        assert_eq!(outcome.to_json()["reached"], Value::Null);
    }

    #[test]
    fn a_row_that_lost_messages_reaches_nothing_and_says_so() {
        let lossy = |mut sample: Result<Sample, String>| {
            sample.as_mut().expect("it was taken").lost = 3;
            sample
        };
        let mut ours = outcome("local_cast", &[20.0], &[100.0]);
        ours.add(OURS, lossy(taken(20.0)));
        assert_eq!(ours.verdict(), Verdict::Lossy);
        let object = ours.to_json();
        assert_eq!(object["reached"], false);
        assert_eq!(object["lost"], json!({ OURS: 3 }));
        let why = unreached(&[ours]).expect("it is not reached");
        let expected = "  local_cast: goal ≤ 0.5 × actix, ≤ 40 ns: not reached, messages were lost: 20 ns, 3 lost";
        assert_eq!(why.lines().last(), Some(expected));
        // What a peer loses is its own affair, and said.
        let mut theirs = outcome("local_cast", &[20.0], &[100.0]);
        theirs.add("actix", lossy(taken(100.0)));
        assert_eq!(theirs.verdict(), Verdict::Reached);
        assert_eq!(theirs.to_json()["lost"], json!({ "actix": 3 }));
    }

    #[test]
    fn what_is_required_and_not_reached_is_named() {
        let good = || outcome("local_cast", &[20.0], &[100.0]);
        let missed = outcome("local_call", &[40.0], &[100.0]);
        let unclear = outcome("remote_cast_64", &[1.0, 1.0, 1.0], &[1.0, 5.0, 9.0]);
        let mut unmeasured = outcome("remote_cast_1k", &[], &[1.0]);
        unmeasured.add(OURS, Err("no such thing".to_owned()));
        assert_eq!(unreached(&[good()]), None);
        let why = unreached(&[good(), missed, unclear, unmeasured]).expect("three are not reached");
        let lines: Vec<_> = why.lines().collect();
        assert_eq!(lines[0], "3 of 4 goals are required and not reached");
        let expected = [
            "  local_call: goal ≤ 0.25 × actix, ≤ 100 ns: not reached: 40 ns",
            "  remote_cast_64: goal ≥ 2 × raw: unclear: 1000 M casts/s",
            "  remote_cast_1k: goal ≥ 1.15 × raw: not measured: no such thing",
        ];
        assert_eq!(lines[1..], expected);
    }

    #[test]
    fn json_has_what_it_promises() {
        let mut outcome = outcome("local_cast", &[20.0, 40.0, 30.0], &[60.0, 60.0, 60.0]);
        outcome.add("ractor", Err("no such thing".to_owned()));
        let object = outcome.to_json();
        assert_eq!(object["row"], "local_cast");
        assert_eq!(object["ours"], 30.0);
        assert_eq!(object["unit"], "ns");
        assert_eq!(object["peers"]["actix"], 60.0);
        assert_eq!(object["peers"]["ractor"], Value::Null);
        assert_eq!(object["ratio"], 0.5);
        assert_eq!(
            (&object["min"], &object["max"]),
            (&json!(20.0), &json!(40.0))
        );
        assert_eq!(object["rounds"], 3);
        assert_eq!(object["processor_ns"]["ours"], 15.0);
        assert_eq!(object["missing"]["ractor"], "no such thing");
        assert!(!object.to_string().contains('\n'));
    }
}
