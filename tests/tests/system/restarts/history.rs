//! What became of numbered messages, and whether that is as promised.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use monofil_tests::{Entry, Happened, is_of_calls};

/// What is known of all messages.
#[derive(Debug, Default)]
pub(super) struct History {
    streams: BTreeMap<u8, Stream>,
    found: Totals,
    examples: Vec<String>,
}

#[derive(Debug, Default)]
struct Stream {
    /// By number: a bit for each thing that happened.
    fates: Vec<u8>,
    handled_last: Option<u64>,
}

/// How many messages there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) casts: u64,
    pub(super) calls: u64,
    pub(super) answered: u64,
    pub(super) handled: u64,
    /// Reported as lost and not handled, or refused.
    pub(super) reported: u64,
    /// Handled, by one that died before it could say so, and so reported as lost.
    pub(super) handled_and_reported: u64,
    /// Neither handled nor reported.
    pub(super) vanished: u64,
    /// Handled or reported again.
    pub(super) doubled: u64,
    /// Handled after one that was sent later.
    pub(super) swapped: u64,
    /// Handled although it was reported as refused, or answered although nobody handled it, or never sent.
    pub(super) contradicted: u64,
}

/// So many things that are wrong are shown.
const EXAMPLES: usize = 10;

const fn bit(what: Happened) -> u8 {
    1 << what as u8
}

impl History {
    /// Reads what happened, for each stream in the order in which it was handled.
    pub(super) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut history = Self::default();
        history.extend(entries);
        history
    }

    /// Reads what happened next.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.note(entry);
        }
    }

    fn note(&mut self, entry: Entry) {
        let stream = self.streams.entry(entry.stream).or_default();
        let at = usize::try_from(entry.number).expect("an index");
        if stream.fates.len() <= at {
            stream.fates.resize(at + 1, 0);
        }
        let fate = &mut stream.fates[at];
        let ends = bit(Happened::Answered) | bit(Happened::Lost) | bit(Happened::Refused);
        let again = match entry.what {
            Happened::Sent | Happened::Handled => bit(entry.what),
            _ => ends,
        };
        let doubled = *fate & again > 0;
        *fate |= bit(entry.what);
        let mut swapped = false;
        if entry.what == Happened::Handled && !doubled {
            swapped = stream.handled_last.is_some_and(|last| last > entry.number);
            stream.handled_last = stream.handled_last.max(Some(entry.number));
        }
        self.found.doubled += u64::from(doubled);
        self.found.swapped += u64::from(swapped);
        if doubled || swapped {
            let what = if doubled { "again" } else { "out of order" };
            self.show(|| format!("{entry:?}, {what}"));
        }
    }

    fn show(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what());
        }
    }

    /// Judges. Everybody has stopped sending, and has heard what became of everything.
    pub(super) fn judge(mut self) -> (Totals, Vec<String>) {
        for (number, stream) in std::mem::take(&mut self.streams) {
            for (at, fate) in stream.fates.into_iter().enumerate() {
                if let Some(wrong) = self.found.add(fate, is_of_calls(number)) {
                    self.show(|| format!("{at} of stream {number}: {wrong}, {fate:#b}"));
                }
            }
        }
        (self.found, self.examples)
    }
}

impl Totals {
    /// Tells whether everything is as promised.
    pub(super) const fn are_sound(&self) -> bool {
        self.vanished + self.doubled + self.swapped + self.contradicted == 0
    }

    /// Counts a message, and says what is wrong with it.
    fn add(&mut self, fate: u8, is_call: bool) -> Option<&'static str> {
        let had = |what| fate & bit(what) > 0;
        let (handled, answered) = (had(Happened::Handled), had(Happened::Answered));
        let (lost, refused) = (had(Happened::Lost), had(Happened::Refused));
        let sent = if is_call {
            &mut self.calls
        } else {
            &mut self.casts
        };
        *sent += u64::from(had(Happened::Sent));
        self.answered += u64::from(answered);
        self.handled += u64::from(handled);
        self.reported += u64::from(!handled && (lost || refused));
        self.handled_and_reported += u64::from(handled && lost);
        if !had(Happened::Sent) || (handled && refused) || (answered && !handled) {
            self.contradicted += 1;
            return Some("contradicted");
        }
        // A cast that was handled needs no other end; a call does.
        if !lost && !refused && !answered && (is_call || !handled) {
            self.vanished += 1;
            return Some("vanished");
        }
        None
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.casts += other.casts;
        self.calls += other.calls;
        self.answered += other.answered;
        self.handled += other.handled;
        self.reported += other.reported;
        self.handled_and_reported += other.handled_and_reported;
        self.vanished += other.vanished;
        self.doubled += other.doubled;
        self.swapped += other.swapped;
        self.contradicted += other.contradicted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of casts and one of calls. All goes well.
    fn history() -> Vec<Entry> {
        let each = |stream, whats: &'static [Happened]| {
            let entry = move |what: &Happened, number| Entry {
                stream,
                number,
                what: *what,
            };
            whats
                .iter()
                .flat_map(move |what| (0..100).map(move |number| entry(what, number)))
        };
        let casts = each(0, &[Happened::Sent, Happened::Handled]);
        let calls = each(4, &[Happened::Sent, Happened::Handled, Happened::Answered]);
        casts.chain(calls).collect()
    }

    fn judged(entries: Vec<Entry>) -> Totals {
        let (totals, examples) = History::of(entries).judge();
        assert_eq!(totals.are_sound(), examples.is_empty(), "{examples:?}");
        totals
    }

    fn find(entries: &[Entry], stream: u8, number: u64, what: Happened) -> usize {
        let wanted = Entry {
            stream,
            number,
            what,
        };
        let at = entries.iter().position(|entry| *entry == wanted);
        at.expect("it is in the history")
    }

    #[test]
    fn what_goes_well_is_found_to_have_gone_well() {
        let totals = judged(history());
        let expected = Totals {
            casts: 100,
            calls: 100,
            answered: 100,
            handled: 200,
            ..Totals::default()
        };
        assert_eq!(totals, expected);
        assert!(totals.are_sound());
    }

    #[test]
    fn a_planted_loss_is_found() {
        for (stream, what) in [(0, Happened::Handled), (4, Happened::Answered)] {
            let mut entries = history();
            let at = find(&entries, stream, 50, what);
            entries.remove(at);
            let totals = judged(entries.clone());
            assert_eq!((totals.vanished, totals.are_sound()), (1, false));
            // Unless it is reported.
            entries.push(Entry {
                stream,
                number: 50,
                what: Happened::Lost,
            });
            assert!(judged(entries).are_sound());
        }
    }

    #[test]
    fn a_planted_duplicate_is_found() {
        // At once, and in a later incarnation; a call that ends twice; a cast that comes back twice.
        for (stream, what) in [
            (0, Happened::Handled),
            (4, Happened::Handled),
            (4, Happened::Answered),
        ] {
            let mut entries = history();
            let at = find(&entries, stream, 50, what);
            for place in [at + 1, entries.len()] {
                let mut entries = entries.clone();
                entries.insert(place, entries[at]);
                let totals = judged(entries);
                assert_eq!(
                    (totals.doubled, totals.swapped),
                    (1, 0),
                    "{stream} {what:?}"
                );
            }
            let lost = Entry {
                what: Happened::Lost,
                ..entries[at]
            };
            entries.extend([lost, lost]);
            assert!(judged(entries).doubled > 0);
        }
    }

    #[test]
    fn a_planted_swap_is_found() {
        for stream in [0, 4] {
            for (one, other) in [(50, 51), (0, 99)] {
                let mut entries = history();
                let one = find(&entries, stream, one, Happened::Handled);
                let other = find(&entries, stream, other, Happened::Handled);
                entries.swap(one, other);
                let totals = judged(entries);
                assert!(totals.swapped > 0 && totals.doubled == 0, "{totals:?}");
            }
        }
    }

    #[test]
    fn what_is_said_and_not_so_is_found() {
        let mut entries = history();
        entries.push(Entry {
            stream: 0,
            number: 50,
            what: Happened::Refused,
        });
        assert_eq!(judged(entries).contradicted, 1);
        let mut entries = history();
        let at = find(&entries, 4, 50, Happened::Handled);
        entries.remove(at);
        assert_eq!(judged(entries).contradicted, 1);
        let mut entries = history();
        let at = find(&entries, 0, 50, Happened::Sent);
        entries.remove(at);
        assert_eq!(judged(entries).contradicted, 1);
    }
}
