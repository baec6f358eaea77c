//! What became of numbered messages, and whether that is as promised.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use monofil_tests::{Entry, Happened};

/// What is noted of a run, in its order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Of a message.
    Of(Entry),
    /// Whoever sends knows the end of everything that was sent so far.
    AllSettled,
    /// Whoever handles is no more. Of what it handled, so much may be reported as lost: what had not been said to
    /// have ended.
    LifeEnded { most: u64 },
}

impl From<Entry> for Event {
    fn from(entry: Entry) -> Self {
        Self::Of(entry)
    }
}

/// What is known of all messages.
#[derive(Debug, Default)]
pub(super) struct History {
    streams: BTreeMap<u8, Stream>,
    /// Of each life that has ended, how much of what it handled may be reported as lost.
    lives: Vec<u64>,
    found: Totals,
    examples: Vec<String>,
}

#[derive(Debug, Default)]
struct Stream {
    /// By number.
    fates: Vec<Fate>,
    handled_last: Option<u64>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// A bit for each thing that happened.
    bits: u8,
    /// Which life handled it, from 0.
    life: u16,
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
    pub(super) handled_and_lost: u64,
    /// Handled, and reported because its time was over.
    pub(super) handled_and_overdue: u64,
    /// Neither handled nor reported.
    pub(super) vanished: u64,
    /// Handled or reported again.
    pub(super) doubled: u64,
    /// Handled after one that was sent later.
    pub(super) swapped: u64,
    /// Handled although it was reported as refused, or answered although nobody handled it, or never sent, or reported
    /// when its end was known.
    pub(super) contradicted: u64,
    /// Handled and reported as lost, beyond what can have been unsettled when a life ended.
    pub(super) unfounded: u64,
}

/// So many things that are wrong are shown.
const EXAMPLES: usize = 10;

const fn bit(what: Happened) -> u8 {
    1 << what as u8
}

const BEGUN: u8 = bit(Happened::Sent) | bit(Happened::Called);
const ENDED: u8 =
    bit(Happened::Answered) | bit(Happened::Lost) | bit(Happened::Refused) | bit(Happened::Overdue);
/// It was known to have ended.
const SETTLED: u8 = 1 << 7;

impl History {
    /// Reads what happened, for each stream in the order in which it was handled.
    pub(super) fn of(events: impl IntoIterator<Item: Into<Event>>) -> Self {
        let mut history = Self::default();
        history.extend(events);
        history
    }

    /// Reads what happened next.
    pub(super) fn extend(&mut self, events: impl IntoIterator<Item: Into<Event>>) {
        for event in events {
            match event.into() {
                Event::Of(entry) => self.note(entry),
                Event::AllSettled => self.all_settled(),
                Event::LifeEnded { most } => self.lives.push(most),
            }
        }
    }

    fn note(&mut self, entry: Entry) {
        let stream = self.streams.entry(entry.stream).or_default();
        let at = usize::try_from(entry.number).expect("an index");
        if stream.fates.len() <= at {
            stream.fates.resize(at + 1, Fate::default());
        }
        let fate = &mut stream.fates[at];
        let bit = bit(entry.what);
        let all = [BEGUN, ENDED, bit];
        let again = all.into_iter().find(|all| all & bit > 0).unwrap_or(bit);
        let doubled = fate.bits & again > 0;
        let reopened = !doubled && fate.bits & SETTLED > 0;
        fate.bits |= bit;
        let mut swapped = false;
        if entry.what == Happened::Handled && !doubled {
            fate.life = u16::try_from(self.lives.len()).expect("few lives");
            swapped = stream.handled_last.is_some_and(|last| last > entry.number);
            stream.handled_last = stream.handled_last.max(Some(entry.number));
        }
        self.found.doubled += u64::from(doubled);
        self.found.swapped += u64::from(swapped);
        self.found.contradicted += u64::from(reopened);
        for (is_wrong, what) in [
            (doubled, "again"),
            (swapped, "out of order"),
            (reopened, "after its end was known"),
        ] {
            if is_wrong {
                self.show(|| format!("{entry:?}, {what}"));
            }
        }
    }

    fn all_settled(&mut self) {
        let fates = self.streams.values_mut().flat_map(|it| &mut it.fates);
        fates.for_each(|fate| fate.bits |= SETTLED);
    }

    fn show(&mut self, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what());
        }
    }

    /// Judges. Everybody has stopped sending, and has heard what became of everything.
    pub(super) fn judge(mut self) -> (Totals, Vec<String>) {
        // The last life goes on: nothing of it is lost.
        let mut lost = vec![0; self.lives.len() + 1];
        for (number, stream) in std::mem::take(&mut self.streams) {
            for (at, fate) in stream.fates.into_iter().enumerate() {
                if let Some(wrong) = self.found.add(fate.bits) {
                    self.show(|| format!("{at} of stream {number}: {wrong}, {fate:?}"));
                }
                if is_lost_and_handled(fate.bits) {
                    lost[usize::from(fate.life)] += 1;
                }
            }
        }
        let most = std::mem::take(&mut self.lives).into_iter().chain([0]);
        for (life, (lost, most)) in lost.into_iter().zip(most).enumerate() {
            if lost > most {
                self.found.unfounded += lost - most;
                self.show(|| {
                    format!("of life {life} {lost} were reported that it handled, of {most}")
                });
            }
        }
        (self.found, self.examples)
    }
}

const fn is_lost_and_handled(bits: u8) -> bool {
    bits & bit(Happened::Handled) > 0 && bits & bit(Happened::Lost) > 0
}

impl Totals {
    /// Tells whether everything is as promised.
    pub(super) const fn are_sound(&self) -> bool {
        self.vanished + self.doubled + self.swapped + self.contradicted + self.unfounded == 0
    }

    /// Counts a message, and says what is wrong with it.
    fn add(&mut self, bits: u8) -> Option<&'static str> {
        let had = |what| bits & bit(what) > 0;
        let (handled, answered) = (had(Happened::Handled), had(Happened::Answered));
        let is_call = had(Happened::Called);
        self.casts += u64::from(had(Happened::Sent));
        self.calls += u64::from(is_call);
        self.answered += u64::from(answered);
        self.handled += u64::from(handled);
        let reported = bits & ENDED > 0 && !answered;
        self.reported += u64::from(!handled && reported);
        self.handled_and_lost += u64::from(is_lost_and_handled(bits));
        self.handled_and_overdue += u64::from(handled && had(Happened::Overdue));
        if bits & BEGUN == 0 || (handled && had(Happened::Refused)) || (answered && !handled) {
            self.contradicted += 1;
            return Some("contradicted");
        }
        // A cast that was handled needs no other end; a call does.
        if bits & ENDED == 0 && (is_call || !handled) {
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
        self.handled_and_lost += other.handled_and_lost;
        self.handled_and_overdue += other.handled_and_overdue;
        self.vanished += other.vanished;
        self.doubled += other.doubled;
        self.swapped += other.swapped;
        self.contradicted += other.contradicted;
        self.unfounded += other.unfounded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of casts, and one in which every other message is a call. All goes well.
    fn history() -> Vec<Entry> {
        let mut entries = Vec::new();
        for what in [Happened::Sent, Happened::Handled, Happened::Answered] {
            for (stream, number) in (0..100).flat_map(|number| [(0, number), (4, number)]) {
                let is_call = stream == 4 && number % 2 == 0;
                let what = match what {
                    Happened::Answered if !is_call => continue,
                    Happened::Sent if is_call => Happened::Called,
                    other => other,
                };
                entries.push(Entry {
                    stream,
                    number,
                    what,
                });
            }
        }
        entries
    }

    fn judged(events: Vec<impl Into<Event>>) -> Totals {
        let (totals, examples) = History::of(events).judge();
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

    fn vec_of(entries: &[Entry]) -> Vec<Event> {
        entries.iter().map(|entry| Event::Of(*entry)).collect()
    }

    #[test]
    fn what_goes_well_is_found_to_have_gone_well() {
        let totals = judged(history());
        let expected = Totals {
            casts: 150,
            calls: 50,
            answered: 50,
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
            // Unless it is reported, at the end of whoever had it.
            entries.push(Entry {
                stream,
                number: 50,
                what: Happened::Lost,
            });
            let mut events = vec_of(&entries);
            events.push(Event::LifeEnded { most: 1 });
            assert!(judged(events).are_sound());
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
        // In the second, 50 is a call and 51 a cast, and so it is with 0 and 99.
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

    #[test]
    fn a_report_without_need_is_found() {
        let report = |number, what| {
            Event::Of(Entry {
                stream: 0,
                number,
                what,
            })
        };
        let lost = |number| report(number, Happened::Lost);
        let ended = |most| Event::LifeEnded { most };
        let table: [(&str, &[Event], (u64, u64)); 7] = [
            (
                "two were unsettled",
                &[ended(2), lost(98), lost(99)],
                (0, 0),
            ),
            ("one was", &[ended(1), lost(98), lost(99)], (1, 0)),
            ("nobody has died", &[lost(99)], (1, 0)),
            (
                "somebody else has died",
                &[ended(0), ended(9), lost(99)],
                (1, 0),
            ),
            ("time was over", &[report(99, Happened::Overdue)], (0, 0)),
            (
                "it was settled",
                &[Event::AllSettled, ended(9), lost(99)],
                (0, 1),
            ),
            (
                "so was this one",
                &[Event::AllSettled, report(9, Happened::Overdue)],
                (0, 1),
            ),
        ];
        for (what, more, wrong) in table {
            let mut events = vec_of(&history());
            events.extend(more);
            let totals = judged(events);
            assert_eq!((totals.unfounded, totals.contradicted), wrong, "{what}");
        }
    }
}
