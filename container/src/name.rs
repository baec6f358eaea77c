//! Names of components, methods, flows and topics.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use arcstr::ArcStr;

/// A name that is cheap to clone: a component (`shop/orders`), a method (`shop.Orders/Place`), a flow, a
/// topic, a content type. At most [`Name::BYTES_MAX`] bytes when it is to travel.
///
/// One that [`name!`](crate::name) makes of a literal costs nothing to make or clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(ArcStr);

/// Names that are kept for ever: those of components and of their methods. There are as many as the program
/// has, however many containers it makes.
static KEPT: Mutex<BTreeSet<Name>> = Mutex::new(BTreeSet::new());
/// A program whose components have more is a little slower.
const KEPT_MAX: usize = 16_384;

/// Makes a [`Name`] of a literal, in a constant or anywhere else, without allocating.
///
/// ```
/// use monofil_container::{Name, name};
///
/// const ORDERS: Name = name!("shop/orders");
/// assert_eq!(ORDERS, "shop/orders");
/// ```
#[macro_export]
macro_rules! name {
    ($text:expr $(,)?) => {
        $crate::Name::from_literal($crate::arcstr::literal!($text))
    };
}

impl Name {
    /// The longest name that travels, in bytes.
    pub const BYTES_MAX: usize = monofil_proto::Bounds::DEFAULT.name_bytes;

    /// Returns the name that says nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(ArcStr::new())
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn from_literal(text: ArcStr) -> Self {
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns where it is in memory: clones of a name are in the same place.
    pub(crate) fn address(&self) -> usize {
        self.0.as_str().as_ptr().addr()
    }

    /// Returns the name that is kept for ever under this text, so that clones of it cost nothing; keeps it if
    /// there is none and not too many are kept. For names that a program is made of.
    pub(crate) fn kept(text: &str) -> Self {
        let mut names = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(text) {
            return known.clone();
        }
        let name = Self::from(text);
        if names.len() < KEPT_MAX {
            name.0.leak();
            names.insert(name.clone());
        }
        name
    }

    /// The same for a name that somebody else chose: none is kept for that.
    pub(crate) fn known(text: &str) -> Self {
        let names = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(text).cloned().unwrap_or_else(|| text.into())
    }

    /// Becomes another name; costs next to nothing when that is in the same place.
    pub(crate) fn assign(&mut self, other: &Self) {
        if self.address() != other.address() {
            *self = other.clone();
        }
    }

    /// Cuts the name to what travels, at a character's edge: for names that are for people only.
    pub(crate) fn clipped(self) -> Self {
        let mut end = self.0.len().min(Self::BYTES_MAX);
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        if end == self.0.len() {
            self
        } else {
            self.0[..end].into()
        }
    }

    /// Tells whether the name says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Name {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&Self> for Name {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
