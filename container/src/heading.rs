//! What messages of one kind have in common: from whom, to whom, and what for.
//!
//! A component sends the same few kinds of messages over and over. So this part of a message is made once, checked
//! once, and shared by all of them; what is looked up by it is found by where it is in memory.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use monofil_proto::{Bounds, NameRef, RecordRef};

use crate::Name;

/// See the module.
#[derive(Debug)]
pub(crate) struct Heading {
    /// The component that sends; empty for a program that is none.
    pub(crate) source: Name,
    pub(crate) target: Name,
    pub(crate) method: Name,
    pub(crate) flow: Name,
    pub(crate) topic: Name,
    /// One of them is longer than what travels.
    pub(crate) oversized: bool,
    /// What [`Heading::group`] knows: a number, or one of those below. Not a `Cell`, because [`NONE`] is a static.
    group: AtomicUsize,
    /// The key of the target among those that are called from here, or [`NO_CALLEE`].
    callee: AtomicU64,
    /// The only node that runs the target, and what was known when that was found out; 0: nothing.
    sole: (AtomicUsize, AtomicU64),
}

/// Nobody has looked for the target here.
const UNKNOWN: usize = usize::MAX;
/// Nobody has called the target. No key is this: places are used so often by nobody.
const NO_CALLEE: u64 = u64::MAX;
/// There is none here.
const ELSEWHERE: usize = usize::MAX - 1;

/// That of records that are no requests.
pub(crate) static NONE: Heading = Heading {
    source: Name::empty(),
    target: Name::empty(),
    method: Name::empty(),
    flow: Name::empty(),
    topic: Name::empty(),
    oversized: false,
    group: AtomicUsize::new(ELSEWHERE),
    callee: AtomicU64::new(NO_CALLEE),
    sole: (AtomicUsize::new(0), AtomicU64::new(0)),
};

impl Heading {
    /// In the order of the fields.
    pub(crate) fn new(names: [Name; 5]) -> Self {
        let is_oversized = |name: &Name| name.as_str().len() > Name::BYTES_MAX;
        let oversized = names.iter().any(is_oversized);
        let [source, target, method, flow, topic] = names;
        Self {
            oversized,
            source,
            target,
            method,
            flow,
            topic,
            group: AtomicUsize::new(UNKNOWN),
            callee: AtomicU64::new(NO_CALLEE),
            sole: (AtomicUsize::new(0), AtomicU64::new(0)),
        }
    }

    /// Returns the key that the target was given among those that are called from here; it may have been forgotten
    /// there meanwhile.
    pub(crate) fn callee(&self) -> Option<u64> {
        let callee = self.callee.load(Ordering::Relaxed);
        (callee != NO_CALLEE).then_some(callee)
    }

    pub(crate) fn set_callee(&self, callee: u64) {
        self.callee.store(callee, Ordering::Relaxed);
    }

    /// Returns the only node that runs the target, if nothing else is known than when that was found out.
    pub(crate) fn sole(&self, knowledge: u64) -> Option<usize> {
        let (peer, known) = &self.sole;
        let is_so = known.load(Ordering::Relaxed) == knowledge + 1;
        is_so.then(|| peer.load(Ordering::Relaxed))
    }

    pub(crate) fn set_sole(&self, peer: usize, knowledge: u64) {
        self.sole.0.store(peer, Ordering::Relaxed);
        self.sole.1.store(knowledge + 1, Ordering::Relaxed);
    }

    /// In the order of the fields.
    pub(crate) const fn names(&self) -> [&Name; 5] {
        [
            &self.source,
            &self.target,
            &self.method,
            &self.flow,
            &self.topic,
        ]
    }

    /// Returns the group of instances of this container that the target means, `Some(None)` when there is none;
    /// `None` when nobody has looked.
    pub(crate) fn group(&self) -> Option<Option<usize>> {
        match self.group.load(Ordering::Relaxed) {
            UNKNOWN => None,
            ELSEWHERE => Some(None),
            group => Some(Some(group)),
        }
    }

    pub(crate) fn set_group(&self, group: Option<usize>) {
        self.group
            .store(group.unwrap_or(ELSEWHERE), Ordering::Relaxed);
    }
}

/// Two that are in each other's way share a place.
const PLACES: usize = 64;

/// A heading, and its target as it was given.
type Made = (Name, Rc<Heading>);

/// The headings of requests made here, by where the names are that they were made of. It forgets as it likes.
#[derive(Default)]
pub(crate) struct HeadingsOut {
    /// Empty, or as long as there are places.
    places: Vec<[Option<Made>; 2]>,
}

impl HeadingsOut {
    fn place([source, given, method, flow]: [&Name; 4]) -> usize {
        let mix = |hash: usize, name: &Name| {
            (hash.rotate_left(7) ^ name.address()).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let hash = [given, method, flow]
            .into_iter()
            .fold(source.address(), mix);
        hash >> (usize::BITS - PLACES.ilog2())
    }

    /// Finds that of a request from a component to a target, as it was given, for a method and in a flow.
    #[inline]
    pub(crate) fn get(&self, names: [&Name; 4]) -> Option<&Rc<Heading>> {
        let [source, given, method, flow] = names.map(Name::address);
        let is_it = |known: &&Made| {
            known.0.address() == given
                && known.1.method.address() == method
                && known.1.flow.address() == flow
                && known.1.source.address() == source
        };
        let place = self.places.get(Self::place(names))?;
        let (_, heading) = place.iter().flatten().find(is_it)?;
        Some(heading)
    }

    /// Keeps the names, too, so that nothing else comes to be where they are.
    pub(crate) fn insert(&mut self, given: &Name, heading: &Rc<Heading>) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, Default::default);
        }
        let names = [&heading.source, given, &heading.method, &heading.flow];
        let [first, second] = &mut self.places[Self::place(names)];
        *second = first.take();
        *first = Some((given.clone(), heading.clone()));
    }
}

/// Five of them fit a word, and there are no higher ones.
const NUMBER_BITS: u32 = 12;
const _: () = assert!(Bounds::DEFAULT.names < 1 << NUMBER_BITS);

/// The headings of what arrives on a link, by the numbers of their names. It forgets as it likes.
#[derive(Debug, Default)]
pub(crate) struct HeadingsIn {
    /// Empty, or as long as there are places.
    places: Vec<Option<(u64, Rc<Heading>)>>,
}

impl HeadingsIn {
    /// Finds that of a record, or makes it: `name` says what a name stands for that arrived. `None` when it does
    /// not know.
    pub(crate) fn of(
        &mut self,
        record: &RecordRef<'_>,
        name: impl Fn(NameRef<'_>) -> Option<Name>,
    ) -> Option<Option<Rc<Heading>>> {
        let names = [
            record.source,
            record.target,
            record.method,
            record.flow,
            record.topic,
        ];
        let (key, numbered) = names
            .iter()
            .fold((0, true), |(key, numbered), name| match name {
                NameRef::Number(number) if *number < 1 << NUMBER_BITS => {
                    (key << NUMBER_BITS | u64::from(*number), numbered)
                }
                NameRef::Text("") => (key << NUMBER_BITS, numbered),
                NameRef::Number(_) | NameRef::Text(_) => (key, false),
            });
        if numbered && key == 0 {
            return Some(None);
        }
        let place =
            (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACES.ilog2())) as usize;
        if numbered
            && let Some(Some((known, heading))) = self.places.get(place)
            && *known == key
        {
            return Some(Some(heading.clone()));
        }
        let [source, target, method, flow, topic] = names.map(name);
        let heading = Rc::new(Heading::new([source?, target?, method?, flow?, topic?]));
        if numbered {
            if self.places.is_empty() {
                self.places.resize(PLACES, None);
            }
            self.places[place] = Some((key, heading.clone()));
        }
        Some(Some(heading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_found_by_where_its_names_are() {
        let mut headings = HeadingsOut::default();
        let name = |number: usize| Name::from(format!("name {number}"));
        let sent: Vec<_> = (0..500)
            .map(|at| [name(at), name(at + 1), name(at + 2), name(at + 3)])
            .collect();
        for [source, given, method, flow] in &sent {
            assert!(headings.get([source, given, method, flow]).is_none());
            let names = [source, &name(0), method, flow, &Name::empty()].map(Name::clone);
            let heading = Rc::new(Heading::new(names));
            headings.insert(given, &heading);
            let found = headings.get([source, given, method, flow]);
            assert!(found.is_some_and(|found| Rc::ptr_eq(found, &heading)));
            // The same text in another place may be another's by now.
            let elsewhere = Name::from(given.as_str());
            assert!(headings.get([source, &elsewhere, method, flow]).is_none());
        }
        // Whatever is found is what was put there.
        for [source, given, method, flow] in &sent {
            if let Some(found) = headings.get([source, given, method, flow]) {
                assert_eq!(
                    [&found.source, &found.method, &found.flow],
                    [source, method, flow]
                );
            }
        }
    }

    #[test]
    fn a_record_has_the_heading_of_its_numbers() {
        let mut headings = HeadingsIn::default();
        let name = |name: NameRef<'_>| match name {
            NameRef::Number(number) if number > 900 => None,
            NameRef::Number(number) => Some(Name::from(format!("name {number}"))),
            NameRef::Text(text) => Some(Name::from(text)),
        };
        assert!(matches!(
            headings.of(&RecordRef::default(), name),
            Some(None)
        ));
        for number in (1..500).chain(1..500) {
            let record = RecordRef {
                target: NameRef::Number(number),
                method: NameRef::Number(number + 1),
                ..RecordRef::default()
            };
            for _ in 0..2 {
                let heading = headings.of(&record, name).flatten().expect("it has names");
                assert_eq!(heading.target, *format!("name {number}"));
                assert_eq!(heading.method, *format!("name {}", number + 1));
                assert!(heading.topic.is_empty());
            }
        }
        // Written out, it is made each time.
        let record = RecordRef {
            target: NameRef::Text("written out"),
            ..RecordRef::default()
        };
        for _ in 0..2 {
            let heading = headings.of(&record, name).flatten().expect("it has names");
            assert_eq!(
                (heading.target.as_str(), Rc::strong_count(&heading)),
                ("written out", 1)
            );
        }
        let unknown = RecordRef {
            flow: NameRef::Number(1000),
            ..RecordRef::default()
        };
        assert!(headings.of(&unknown, name).is_none());
    }
}
