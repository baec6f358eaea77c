//! What was changed of limits, by whom, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use monofil_transport::Instant;

use super::limit::LimitChanged;
use crate::{Name, name};

/// A limit that somebody has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Changed {
    /// What it was when the node began.
    configured: u64,
    /// What was set until the node ends.
    lasting: Option<u64>,
    /// What was set for a while, over that.
    passing: Option<(u64, Instant)>,
    epoch: u64,
    author: Name,
    at_micros: u64,
}

impl Changed {
    fn value(&self) -> u64 {
        let passing = self.passing.map(|(value, _)| value);
        passing.or(self.lasting).unwrap_or(self.configured)
    }
}

/// What is to be noted of a change.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// What it is to be; `None`: what it was when the node began.
    pub(crate) value: Option<u64>,
    /// Until when; `None`: until the node ends.
    pub(crate) until: Option<Instant>,
    pub(crate) author: Name,
    pub(crate) at_micros: u64,
}

/// All changed limits of a node, by whose and which they are.
#[derive(Debug)]
pub(crate) struct Changes<K> {
    epoch: u64,
    all: BTreeMap<K, Changed>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self {
            epoch: 0,
            all: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Changes<K> {
    /// Begins a change, of one limit or of several at once, and returns its number.
    pub(crate) const fn begin(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Notes what was begun last about one limit, and returns its value from now on. One that is to stay replaces one
    /// that is to pass.
    pub(crate) fn set(&mut self, key: K, configured: u64, note: Note) -> u64 {
        let changed = self.all.entry(key).or_insert_with(|| Changed {
            configured,
            lasting: None,
            passing: None,
            epoch: 0,
            author: Name::empty(),
            at_micros: 0,
        });
        let Note {
            value,
            until,
            author,
            at_micros,
        } = note;
        match until {
            Some(until) => changed.passing = Some((value.unwrap_or(configured), until)),
            None => (changed.lasting, changed.passing) = (value, None),
        }
        (changed.epoch, changed.author, changed.at_micros) = (self.epoch, author, at_micros);
        changed.value()
    }

    /// Ends what was to last until now at most, and returns the values from now on.
    pub(crate) fn expire(&mut self, now: Instant, at_micros: u64) -> Vec<(K, u64)> {
        let is_over = |changed: &Changed| changed.passing.is_some_and(|(_, until)| until <= now);
        if !self.all.values().any(is_over) {
            return Vec::new();
        }
        let epoch = self.begin();
        let mut ended = Vec::new();
        for (key, changed) in &mut self.all {
            if is_over(changed) {
                changed.passing = None;
                changed.author = name!("its time was over");
                (changed.epoch, changed.at_micros) = (epoch, at_micros);
                ended.push((key.clone(), changed.value()));
            }
        }
        ended
    }

    /// Returns when the next change ends by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let untils = self.all.values().filter_map(|it| it.passing);
        untils.map(|(_, until)| until).min()
    }

    /// Returns the last change of a limit.
    pub(crate) fn last(&self, key: &K, now: Instant) -> Option<LimitChanged> {
        let changed = self.all.get(key)?;
        let remaining = |(_, until): (u64, Instant)| -> Duration { now.until(until) };
        Some(LimitChanged {
            epoch: changed.epoch,
            author: changed.author.clone(),
            at_micros: changed.at_micros,
            remaining: changed.passing.map(remaining),
        })
    }

    /// Tells whether a limit is as it was when the node began, and stays so.
    pub(crate) fn is_undone(&self, key: &K) -> bool {
        let changed = self.all.get(key);
        changed.is_none_or(|it| it.lasting.is_none() && it.passing.is_none())
    }

    /// Forgets a limit that is gone.
    pub(crate) fn forget(&mut self, key: &K) {
        self.all.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn note(value: Option<u64>, until: Option<u64>) -> Note {
        Note {
            value,
            until: until.map(at),
            author: name!("ada"),
            at_micros: 7,
        }
    }

    #[test]
    fn what_counts_after_each_change() {
        enum Step {
            Set(Option<u64>, Option<u64>),
            Time(u64),
        }
        use Step::{Set, Time};
        // Configured is 100. Each row: what happens, and what counts after it.
        let tables: [(&str, &[(Step, u64)]); 5] = [
            (
                "until the end",
                &[
                    (Set(Some(5), None), 5),
                    (Time(1000), 5),
                    (Set(None, None), 100),
                ],
            ),
            (
                "for a while",
                &[(Set(Some(5), Some(10)), 5), (Time(9), 5), (Time(10), 100)],
            ),
            (
                "for a while over one that stays",
                &[
                    (Set(Some(50), None), 50),
                    (Set(Some(5), Some(10)), 5),
                    (Time(10), 50),
                ],
            ),
            (
                "one that stays over one for a while",
                &[
                    (Set(Some(5), Some(10)), 5),
                    (Set(Some(50), None), 50),
                    (Time(10), 50),
                ],
            ),
            (
                "as configured for a while",
                &[
                    (Set(Some(50), None), 50),
                    (Set(None, Some(10)), 100),
                    (Time(10), 50),
                ],
            ),
        ];
        for (what, rows) in tables {
            let mut changes = Changes::default();
            let mut value = 100;
            for (number, (step, expected)) in rows.iter().enumerate() {
                match step {
                    Set(to, until) => {
                        changes.begin();
                        value = changes.set("limit", 100, note(*to, *until));
                    }
                    Time(now) => {
                        for (_, new) in changes.expire(at(*now), 9) {
                            value = new;
                        }
                    }
                }
                assert_eq!(value, *expected, "{what}, step {number}");
            }
        }
    }

    #[test]
    fn a_change_says_who_made_it_and_ends_by_itself() {
        let mut changes = Changes::default();
        assert_eq!(changes.begin(), 1);
        changes.set("a", 100, note(Some(5), None));
        assert_eq!(changes.begin(), 2);
        changes.set("b", 100, note(Some(5), Some(10)));
        assert_eq!(changes.next_deadline(), Some(at(10)));
        let last = changes.last(&"b", at(4)).expect("changed");
        assert_eq!(
            (last.epoch, &*last.author.to_string(), last.at_micros),
            (2, "ada", 7)
        );
        assert_eq!(last.remaining, Some(Duration::from_secs(6)));

        assert_eq!(changes.expire(at(9), 9), []);
        assert_eq!(changes.expire(at(10), 9), [("b", 100)]);
        assert_eq!(changes.next_deadline(), None);
        let last = changes.last(&"b", at(10)).expect("changed");
        assert_eq!((last.epoch, last.at_micros, last.remaining), (3, 9, None));
        assert_eq!(changes.last(&"a", at(10)).expect("changed").epoch, 1);
        assert_eq!(changes.last(&"c", at(10)), None);
    }
}
