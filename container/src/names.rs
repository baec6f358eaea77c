//! Names that travel as numbers: each link has a table for either direction.
//!
//! A frame that uses a number says what it stands for until the record that used it first has arrived. So the
//! definitions are lost, repeated and acknowledged together with the records, and the receiver, which handles
//! these in order, never meets a number that it does not know. A number begins with a record that leaves for the
//! first time: every frame that this is in says it.

use std::rc::Rc;

use monofil_proto::{Bounds, NameRef, RecordRef};

use crate::Name;
use crate::hash::Table;
use crate::heading::{Heading, HeadingsIn};

/// What was found out about names, by where they are in memory: clones of a name are in one place. It forgets as
/// it likes.
pub(crate) struct ByAddress<V> {
    /// Two that are in each other's way share a place.
    places: [[Option<(Name, V)>; 2]; PLACES],
}

const PLACES: usize = 32;

impl<V> ByAddress<V> {
    fn place(name: &Name) -> usize {
        // What is allocated is aligned.
        (name.address() >> 4) % PLACES
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&V> {
        let place = &self.places[Self::place(name)];
        let is_it = |(known, _): &&(Name, V)| known.address() == name.address();
        let (_, value) = place.iter().flatten().find(is_it)?;
        Some(value)
    }

    /// Keeps the name, too, so that nothing else comes to be where it is.
    pub(crate) fn insert(&mut self, name: &Name, value: V) -> &V {
        let [first, second] = &mut self.places[Self::place(name)];
        *second = first.take();
        let (_, value) = first.insert((name.clone(), value));
        value
    }
}

impl<V> Default for ByAddress<V> {
    fn default() -> Self {
        Self {
            places: [const { [const { None }; 2] }; PLACES],
        }
    }
}

/// Shorter ones are written out: a number takes as much.
const BYTES_MIN: usize = 3;
/// Names that were met once.
const MET: usize = 64;

/// The names of what leaves.
pub(crate) struct NamesOut {
    /// Most lookups end here.
    recent: ByAddress<usize>,
    /// Strangers choose some, flows perhaps: few enough for it not to matter which.
    numbers: Table<Name, usize>,
    /// Those with a number, which is one more than their index.
    defined: Vec<Defined>,
    /// A name gets its number when it comes for the second time: many flows have one message.
    met: [u64; MET],
    /// Those that the frame being written says, by index.
    said: Vec<usize>,
    frames: u64,
    resent: bool,
}

struct Defined {
    name: Name,
    /// The sequence of the record that used it first.
    since: u64,
    /// The last frame that said it.
    frame: u64,
}

impl Default for NamesOut {
    fn default() -> Self {
        Self {
            recent: ByAddress::default(),
            numbers: Table::default(),
            defined: Vec::new(),
            met: [0; MET],
            said: Vec::new(),
            frames: 0,
            resent: false,
        }
    }
}

impl NamesOut {
    /// Begins a frame. What the one before said is forgotten. `resent`: its records may have arrived already,
    /// without what this frame says, so nothing begins with them.
    pub(crate) fn begin(&mut self, resent: bool) {
        self.frames += 1;
        self.resent = resent;
        self.said.clear();
    }

    /// Returns how a name of the record `sequence` travels. All up to `received` have arrived.
    pub(crate) fn put<'a>(&mut self, name: &'a Name, sequence: u64, received: u64) -> NameRef<'a> {
        let text = name.as_str();
        if text.len() < BYTES_MIN {
            return NameRef::Text(text);
        }
        let Some(index) = self.find(name, sequence) else {
            return NameRef::Text(text);
        };
        let defined = &mut self.defined[index];
        if defined.since > received && defined.frame != self.frames {
            defined.frame = self.frames;
            self.said.push(index);
        }
        u32::try_from(index + 1).map_or(NameRef::Text(text), NameRef::Number)
    }

    /// Returns what the frame has to say, in the order of the numbers.
    pub(crate) fn definitions(&mut self) -> Vec<(u32, &str)> {
        self.said.sort_unstable();
        let define = |index: &usize| {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            (number, self.defined[*index].name.as_str())
        };
        self.said.iter().map(define).collect()
    }

    fn find(&mut self, name: &Name, sequence: u64) -> Option<usize> {
        if let Some(index) = self.recent.get(name) {
            return Some(*index);
        }
        let index = match self.numbers.get(name) {
            Some(index) => *index,
            None => self.define(name, sequence)?,
        };
        self.recent.insert(name, index);
        Some(index)
    }

    fn define(&mut self, name: &Name, sequence: u64) -> Option<usize> {
        let index = self.defined.len();
        if index == Bounds::DEFAULT.names || self.resent {
            return None;
        }
        let hash = hash(name.as_str());
        let met = &mut self.met[hash.to_le_bytes()[0] as usize % MET];
        if std::mem::replace(met, hash) != hash {
            return None;
        }
        self.numbers.insert(name.clone(), index);
        self.defined.push(Defined {
            name: name.clone(),
            since: sequence,
            frame: 0,
        });
        Some(index)
    }
}

impl std::fmt::Debug for NamesOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NamesOut")
            .field(&self.defined.len())
            .finish()
    }
}

/// FNV-1a: the same everywhere, and good enough to tell whether a name was met before.
fn hash(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fold)
}

/// The names of what arrives.
#[derive(Debug, Default)]
pub(crate) struct NamesIn {
    /// By number, less one. Invariant: no longer than [`Bounds::names`], and nothing in it changes.
    names: Vec<Option<Name>>,
    headings: HeadingsIn,
}

/// A number is out of bounds, or stands for something else already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadDefinition;

impl NamesIn {
    pub(crate) fn define(&mut self, number: u32, name: &str) -> Result<(), BadDefinition> {
        let index = (number as usize).checked_sub(1).ok_or(BadDefinition)?;
        if index >= Bounds::DEFAULT.names {
            return Err(BadDefinition);
        }
        if index >= self.names.len() {
            self.names.resize(index + 1, None);
        }
        match &self.names[index] {
            Some(known) if *known == *name => Ok(()),
            Some(_) => Err(BadDefinition),
            None => {
                self.names[index] = Some(Name::known(name));
                Ok(())
            }
        }
    }

    /// Returns a name that arrived; `None` when nobody said what its number stands for.
    pub(crate) fn get(&self, name: NameRef<'_>) -> Option<Name> {
        find(&self.names, name)
    }

    /// Returns the heading of a record that arrived, `Some(None)` when it has none; `None` when nobody said what
    /// one of its numbers stands for.
    pub(crate) fn heading(&mut self, record: &RecordRef<'_>) -> Option<Option<Rc<Heading>>> {
        let Self { names, headings } = self;
        headings.of(record, |name| find(names, name))
    }
}

fn find(names: &[Option<Name>], name: NameRef<'_>) -> Option<Name> {
    match name {
        NameRef::Text("") => Some(Name::empty()),
        NameRef::Text(text) => Some(text.into()),
        NameRef::Number(number) => {
            let index = (number as usize).checked_sub(1)?;
            names.get(index)?.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(names: &mut NamesOut, name: &'a Name, sequence: u64, received: u64) -> NameRef<'a> {
        names.begin(false);
        names.put(name, sequence, received)
    }

    #[test]
    fn a_name_gets_a_number_the_second_time_and_says_it_until_it_has_arrived() {
        let mut names = NamesOut::default();
        let name = Name::from("shop/orders");
        assert_eq!(text(&mut names, &name, 1, 0), NameRef::Text("shop/orders"));
        for _ in 0..2 {
            assert_eq!(text(&mut names, &name, 2, 1), NameRef::Number(1));
            // Once in a frame.
            names.put(&name, 3, 1);
            assert_eq!(names.definitions(), [(1, "shop/orders")]);
        }
        // Sent again, it may have arrived without a number.
        let other = Name::from("shop/payments");
        text(&mut names, &other, 4, 1);
        names.begin(true);
        assert_eq!(names.put(&other, 4, 1), NameRef::Text("shop/payments"));
        // The same in another place is the same.
        let again = Name::from("shop/orders");
        assert_eq!(text(&mut names, &again, 4, 2), NameRef::Number(1));
        assert_eq!(names.definitions(), []);
    }

    #[test]
    fn short_names_and_those_beyond_the_bound_are_written_out() {
        let mut names = NamesOut::default();
        let short = Name::from("ab");
        for sequence in 1..4 {
            assert_eq!(text(&mut names, &short, sequence, 0), NameRef::Text("ab"));
        }
        for number in 0..2000_u32 {
            let name = Name::from(format!("name {number}"));
            text(&mut names, &name, 1, 0);
            let second = text(&mut names, &name, 1, 0);
            if number < 1024 {
                assert_eq!(second, NameRef::Number(number + 1));
            } else {
                assert_eq!(second, NameRef::Text(name.as_str()));
            }
        }
    }

    #[test]
    fn a_number_stands_for_one_name() {
        let mut names = NamesIn::default();
        assert_eq!(names.define(3, "three"), Ok(()));
        assert_eq!(names.define(3, "three"), Ok(()));
        assert_eq!(names.define(3, "another"), Err(BadDefinition));
        assert_eq!(names.define(0, "none"), Err(BadDefinition));
        assert_eq!(names.define(1025, "one too many"), Err(BadDefinition));
        assert_eq!(names.define(1024, "the last"), Ok(()));
        assert_eq!(names.get(NameRef::Number(3)), Some("three".into()));
        assert_eq!(names.get(NameRef::Number(2)), None);
        assert_eq!(names.get(NameRef::Number(u32::MAX)), None);
        assert_eq!(
            names.get(NameRef::Text("written out")),
            Some("written out".into())
        );
    }
}
