//! Who sent what to whom, and what became of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use monofil_container::{CallError, Executed, Undelivered};

pub(super) type Books = Rc<RefCell<Book>>;

/// How something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Call,
    Cast,
    /// A cast that is sent some time later.
    Later,
    /// To all subscribers.
    News,
}

/// A component in one life of its node.
type Sender = (&'static str, u64);

#[derive(Debug)]
struct Entry {
    sent: Sent,
    sender: Sender,
    #[expect(dead_code, reason = "it says more when something is wrong")]
    target: &'static str,
    /// How often each component handled it.
    ran: BTreeMap<&'static str, u32>,
    /// For calls: how it ended. For casts: whether it was taken.
    end: Option<End>,
    /// How casts came back.
    back: Vec<(String, Executed)>,
    /// How many subscribers there were.
    told: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    kind: &'static str,
    executed: Option<Executed>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: Vec<Entry>,
    /// Nobody begins anything any more.
    pub(super) calm: bool,
    /// How often each node began.
    pub(super) lives: [u64; 3],
    /// What a component handled, by whom it was from, in order.
    order: BTreeMap<(Sender, &'static str), Vec<u64>>,
    /// News that came back, which do not say which they are, by who sent them to whom.
    news_back: BTreeMap<(Sender, String), u64>,
    complaints: Vec<String>,
}

/// How something ended in the storms of a whole run, or else it is not much of a storm.
pub(super) const EXPECTED_ENDS: [&str; 13] = [
    "replied",
    "remote",
    "rejected",
    "unreachable",
    "unimplemented",
    "draining",
    "expired",
    "cycle",
    "cancelled",
    "panicked",
    "timeout",
    "peer_lost",
    "incomplete",
];

impl Book {
    fn entry(&mut self, token: u64) -> &mut Entry {
        let at = usize::try_from(token).expect("an index");
        &mut self.entries[at]
    }

    pub(super) fn send(&mut self, sent: Sent, sender: Sender, target: &'static str) -> u64 {
        self.entries.push(Entry {
            sent,
            sender,
            target,
            ran: BTreeMap::new(),
            end: None,
            back: Vec::new(),
            told: 0,
        });
        self.entries.len() as u64 - 1
    }

    /// A handler has a message.
    pub(super) fn ran(&mut self, token: u64, by: &'static str) {
        let entry = self.entry(token);
        *entry.ran.entry(by).or_default() += 1;
        let (sent, sender) = (entry.sent, entry.sender);
        if sent != Sent::Later {
            self.order.entry((sender, by)).or_default().push(token);
        }
    }

    /// A call ended.
    pub(super) fn ended(&mut self, token: u64, result: &Result<(), CallError>, given_up: bool) {
        let entry = self.entry(token);
        let again = entry.end.is_some();
        entry.end = Some(match result {
            // The handler's own caller is gone, so that it does not wait for its own calls either.
            Err(CallError::Cancelled) if given_up => End {
                kind: "cancelled",
                executed: Some(Executed::Unknown),
            },
            Ok(()) => End {
                kind: "replied",
                executed: None,
            },
            Err(error) => End {
                kind: error.kind(),
                executed: Some(error.executed()),
            },
        });
        if again {
            self.complain(format!("call {token} ended twice"));
        }
    }

    pub(super) fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// A cast was taken, or not.
    pub(super) fn accepted(&mut self, token: u64, result: &Result<(), CallError>) {
        let (kind, executed) = match result {
            Ok(()) => ("accepted", None),
            Err(error) => (error.kind(), Some(error.executed())),
        };
        self.entry(token).end = Some(End { kind, executed });
    }

    pub(super) fn published(&mut self, token: u64, told: usize) {
        self.entry(token).told = told;
    }

    pub(super) fn came_back(&mut self, sender: Sender, undelivered: &Undelivered) {
        if let Ok(token) = undelivered.method.as_str().parse() {
            let back = (undelivered.error.to_string(), undelivered.error.executed());
            self.entry(token).back.push(back);
        } else {
            let target = undelivered
                .target
                .as_str()
                .trim_start_matches("test/")
                .to_owned();
            *self.news_back.entry((sender, target)).or_default() += 1;
        }
    }

    /// Says how often things ended in which way.
    pub(super) fn ends(&self) -> BTreeMap<&'static str, u64> {
        let mut ends = BTreeMap::new();
        for end in self.entries.iter().filter_map(|entry| entry.end) {
            *ends.entry(end.kind).or_default() += 1;
        }
        ends
    }

    /// Checks that nothing was lost, nothing came twice, and nothing was said that is not so. `dropped` is how
    /// many casts came back to each node when their senders took no more.
    pub(super) fn balance(&self, seed: u64, dropped: [u64; 3]) {
        assert!(
            self.complaints.is_empty(),
            "seed {seed}: {:?}",
            self.complaints
        );
        for (token, entry) in self.entries.iter().enumerate() {
            let wrong = entry.wrong();
            assert!(
                wrong.is_none(),
                "seed {seed}: {token}: {wrong:?}: {entry:#?}"
            );
        }
        for ((sender, target), tokens) in &self.order {
            let first = tokens.windows(2).find(|pair| pair[0] >= pair[1]);
            assert!(
                first.is_none(),
                "seed {seed}: from {sender:?} to {target}: {first:?}"
            );
        }
        let lost = self.lost();
        for (node, dropped) in dropped.into_iter().enumerate() {
            let lost: Vec<_> = lost
                .iter()
                .filter(|(sender, _)| node_of(sender.0) == node)
                .collect();
            let count: u64 = lost.iter().map(|(_, count)| **count).sum();
            assert!(
                count <= dropped,
                "seed {seed}: {count} were lost, {dropped} of them counted: {lost:?}"
            );
        }
    }

    /// Counts the casts and news that were accepted, and neither ran nor came back, by their senders.
    fn lost(&self) -> BTreeMap<Sender, u64> {
        let mut casts: BTreeMap<Sender, u64> = BTreeMap::new();
        let mut news: BTreeMap<(Sender, &str), u64> = BTreeMap::new();
        for entry in self
            .entries
            .iter()
            .filter(|entry| self.is_alive(entry.sender))
        {
            if entry.is_lost_cast() {
                *casts.entry(entry.sender).or_default() += 1;
            }
            for subscriber in super::SUBSCRIBERS {
                if entry.told > 0 && !entry.ran.contains_key(subscriber) {
                    *news.entry((entry.sender, subscriber)).or_default() += 1;
                }
            }
        }
        for ((sender, subscriber), missing) in news {
            // Those that came back may have run, as far as that is known.
            let back = self.news_back.get(&(sender, subscriber.to_owned()));
            let lost = missing.saturating_sub(back.copied().unwrap_or(0));
            *casts.entry(sender).or_default() += lost;
        }
        casts.retain(|_, count| *count > 0);
        casts
    }

    /// Tells whether a sender is still there: what dies in a killed sender's own memory is nobody's loss.
    fn is_alive(&self, (name, life): Sender) -> bool {
        self.lives[node_of(name)] == life
    }
}

fn node_of(component: &str) -> usize {
    let mut nodes = super::NODES.iter().zip(super::DRIVERS);
    let node = nodes.position(|(node, driver)| driver == component || node.1.contains(&component));
    node.expect("a component of one of the nodes")
}

impl Entry {
    fn is_lost_cast(&self) -> bool {
        let accepted = self.end.is_some_and(|end| end.kind == "accepted");
        accepted && self.ran.is_empty() && self.back.is_empty()
    }

    /// Says what is wrong with it, if anything is.
    fn wrong(&self) -> Option<&'static str> {
        if self.ran.values().any(|runs| *runs > 1) {
            return Some("it ran twice");
        }
        let runs: u32 = self.ran.values().sum();
        let not_run = self
            .end
            .is_some_and(|end| end.executed == Some(Executed::No));
        // (This handler claims so at random.)
        let lie = self.end.is_some_and(|end| end.kind == "unimplemented");
        if not_run && !lie && runs > 0 {
            return Some("it was said not to have run, and ran");
        }
        match (self.sent, self.end) {
            (Sent::Call, Some(end)) => {
                let must = matches!(end.executed, None | Some(Executed::InPart));
                (must && runs == 0).then_some("it was said to have run, and did not")
            }
            (
                Sent::Cast | Sent::Later,
                Some(End {
                    kind: "accepted", ..
                }),
            ) => {
                if self.back.len() > 1 {
                    return Some("it came back twice");
                }
                let lie = self.back.iter().any(|back| back.0.contains("a lie"));
                let unrun = self.back.iter().any(|back| back.1 == Executed::No);
                (unrun && !lie && runs > 0).then_some("it came back as not run, and ran")
            }
            (Sent::Cast | Sent::Later, _) if !self.back.is_empty() => {
                Some("refused, and came back")
            }
            (Sent::News, _) if runs as usize > self.told => Some("more ran than were told"),
            _ => None,
        }
    }
}
