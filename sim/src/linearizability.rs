//! Tells whether a history of concurrent calls could have come from a system that does one thing at a time.
//!
//! A history is *linearizable* if each call can be given one moment between its invocation and its return, such that
//! a sequential [`Model`] that does them in the order of these moments returns what was returned. A call whose outcome
//! is unknown may have its moment at any time after its invocation, or none.
//!
//! ```
//! use monofil_sim::linearizability::{STEPS_MAX, check};
//! use monofil_sim::models::{Register, RegisterOp, RegisterRet};
//! use monofil_sim::History;
//! use monofil_transport::Instant;
//!
//! let now = Instant::ZERO;
//! let mut history = History::new();
//! let write = history.invoke(1, RegisterOp::Write(7), now);
//! history.returned(write, RegisterRet::Written, now);
//! let read = history.invoke(2, RegisterOp::Read, now);
//! history.returned(read, RegisterRet::Value(0), now);
//! let verdict = check(&Register::new(0), &history, STEPS_MAX);
//! assert!(!verdict.is_linearizable(), "what was written before was not read");
//! ```
//!
//! The algorithm is that of Wing and Gong (*Testing and Verifying Concurrent Objects*, 1993) with Lowe's memory of
//! what was tried before (*Testing for Linearizability*, 2017). Calls of unknown outcome, of which there are many
//! under faults, are used as rarely as possible, so that they cost little. Operations on different keys are searched
//! one key after the other: linearizability is local (Herlihy and Wing, *Linearizability*, 1990).

mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::hash::Hash;

use crate::history::{History, Operation};
use search::{Found, search};

/// A system that does one thing at a time, as plain code.
///
/// What it returns must follow from its state and what is asked: a model that may return one thing or another cannot
/// be written this way.
pub trait Model {
    /// What can be asked.
    type Op: Clone + Debug;
    /// What is returned.
    type Ret: Clone + Debug + PartialEq;
    /// What is remembered from one operation to the next.
    type State: Clone + Debug + Eq + Hash;
    /// What operations are told apart by that have nothing to do with each other; `()` if they all have. Each key
    /// has a state of its own.
    type Key: Clone + Debug + Ord;

    /// Returns the state in which each key begins.
    fn initial(&self) -> Self::State;

    /// Returns the key that an operation is about.
    fn key(&self, op: &Self::Op) -> Self::Key;

    /// Does an operation, and returns what it returns; `None` if it cannot happen in this state, because it would
    /// have waited. The state does not matter then.
    fn apply(&self, state: &mut Self::State, op: &Self::Op) -> Option<Self::Ret>;
}

/// An operation on a model.
pub type OperationOf<M> = Operation<<M as Model>::Op, <M as Model>::Ret>;

/// A usual number of steps, each of which tries one operation in one state. A million takes about a second, and
/// some 100 MB where states are small.
pub const STEPS_MAX: u64 = 1_000_000;

/// What is known of a history.
#[derive(Clone, Debug)]
#[must_use]
pub enum Verdict<M: Model> {
    /// There is an order that explains it.
    Linearizable,
    /// There is none.
    Violated(Box<Violation<M>>),
    /// The search was given up after so many steps. This is no success: give it more steps, or make histories
    /// shorter or with fewer calls of unknown outcome.
    Undecided {
        /// How many steps were taken for one key.
        steps: u64,
    },
}

impl<M: Model> Verdict<M> {
    /// Tells whether an order was found. One that is undecided is none.
    #[must_use]
    pub const fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable)
    }

    /// Tells whether it is certain that there is no order.
    #[must_use]
    pub const fn is_violated(&self) -> bool {
        matches!(self, Self::Violated(_))
    }
}

/// Why a history has no order.
#[derive(Clone, Debug)]
pub struct Violation<M: Model> {
    /// What the operations are about.
    pub key: M::Key,
    /// An order for everything that returned before the offending operation did. It is the longest: no order has
    /// the offending operation as well. (Empty if the search for it was given up.)
    pub prefix: Vec<OperationOf<M>>,
    /// The state that this order leads to.
    pub state: M::State,
    /// The first operation, in the order of returns, that has no place.
    pub offending: OperationOf<M>,
    /// What was under way when it returned, and is not in the prefix.
    pub under_way: Vec<OperationOf<M>>,
}

impl<M: Model> fmt::Display for Verdict<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::Violated(violation) => violation.fmt(f),
            Self::Undecided { steps } => {
                write!(f, "undecided: the search was given up after {steps} steps")
            }
        }
    }
}

impl<M: Model> fmt::Display for Violation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Of a long order its end is what matters.
        const SHOWN: usize = 10;
        writeln!(f, "not linearizable (key {:?})", self.key)?;
        let hidden = self.prefix.len().saturating_sub(SHOWN);
        if hidden > 0 {
            writeln!(f, "  {hidden:>3} operations before these")?;
        }
        for operation in &self.prefix[hidden..] {
            writeln!(f, "   ok  {}", Line(operation))?;
        }
        writeln!(f, "       state: {:?}", self.state)?;
        for operation in &self.under_way {
            writeln!(f, "    ?  {}", Line(operation))?;
        }
        write!(f, "  bad  {}", Line(&self.offending))
    }
}

/// An operation on one line.
struct Line<'a, Op, Ret>(&'a Operation<Op, Ret>);

impl<Op: Debug, Ret: Debug> fmt::Display for Line<'_, Op, Ret> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation {
            client,
            op,
            invoked,
            returned,
            ..
        } = self.0;
        match returned {
            Some((at, ret)) => write!(f, "client {client}  {invoked} .. {at}  {op:?} -> {ret:?}"),
            None => write!(f, "client {client}  {invoked} ..  {op:?} -> unknown"),
        }
    }
}

/// Looks for an order of a history's operations, in at most `steps_max` steps for each key; [`STEPS_MAX`] is usual.
///
/// A search whose steps are used up says so ([`Verdict::Undecided`]), unless another key is violated for certain. The
/// same history gets the same verdict, always.
pub fn check<M: Model>(model: &M, history: &History<M::Op, M::Ret>, steps_max: u64) -> Verdict<M> {
    let mut keys: BTreeMap<M::Key, Vec<&OperationOf<M>>> = BTreeMap::new();
    for operation in history.operations() {
        let key = model.key(&operation.op);
        keys.entry(key).or_default().push(operation);
    }
    let mut given_up = None;
    for (key, operations) in keys {
        match search(model, &operations, EVER, steps_max) {
            Found::Order(..) => {}
            Found::Unknown => given_up = Some(steps_max),
            Found::None => {
                let violation = explain(model, key, &operations, steps_max);
                return Verdict::Violated(Box::new(violation));
            }
        }
    }
    given_up.map_or(Verdict::Linearizable, |steps| Verdict::Undecided { steps })
}

/// The number of no event.
const EVER: u64 = u64::MAX - 1;

/// Finds the first return that makes a difference. Beginnings of histories that have an order have one, too.
fn explain<M: Model>(
    model: &M,
    key: M::Key,
    operations: &[&OperationOf<M>],
    steps_max: u64,
) -> Violation<M> {
    let mut ends: Vec<u64> = operations.iter().map(|it| it.end).collect();
    ends.retain(|end| *end < EVER);
    ends.sort_unstable();
    let search = |until| search(model, operations, until, steps_max);
    // Up to the last there is none, which is why this is asked.
    let (_, others) = ends
        .split_last()
        .expect("invariant: nothing returned, nothing is wrong");
    let good = others.partition_point(|end| !matches!(search(*end), Found::None));
    let end = ends[good];
    let (order, state) = match search(end - 1) {
        Found::Order(order, state) => (order, state),
        _ => (Vec::new(), model.initial()),
    };
    let offending = operations.iter().find(|it| it.end == end);
    let offending = offending.expect("invariant: it is the end of one of them");
    let is_under_way = |index: &usize| {
        let it = operations[*index];
        it.begin < end && it.end > end && !order.contains(index)
    };
    let under_way = (0..operations.len()).filter(is_under_way);
    let owned = |index: usize| operations[index].clone();
    Violation {
        key,
        under_way: under_way.map(owned).collect(),
        prefix: order.into_iter().map(owned).collect(),
        state,
        offending: (*offending).clone(),
    }
}
