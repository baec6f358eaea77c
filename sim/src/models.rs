//! Systems that histories are often checked against.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::linearizability::Model;

/// What can be kept: anything that can be compared, copied and shown.
pub trait Value: Clone + Debug + Eq + Hash {}

impl<T: Clone + Debug + Eq + Hash> Value for T {}

/// One value that is read, written, and swapped if it is as expected.
#[derive(Clone, Debug)]
pub struct Register<V>(V);

/// What a [`Register`] can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOp<V> {
    /// What is there?
    Read,
    /// Have this.
    Write(V),
    /// If the first is there, have the second.
    Swap(V, V),
}

/// What a [`Register`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterRet<V> {
    /// This was there.
    Value(V),
    /// It was written.
    Written,
    /// Whether it was as expected, and so was swapped.
    Swapped(bool),
}

impl<V> Register<V> {
    /// Begins with a value.
    #[must_use]
    pub const fn new(initial: V) -> Self {
        Self(initial)
    }
}

impl<V: Value> Model for Register<V> {
    type Op = RegisterOp<V>;
    type Ret = RegisterRet<V>;
    type State = V;
    type Key = ();

    fn initial(&self) -> V {
        self.0.clone()
    }

    fn key(&self, _: &Self::Op) {}

    fn apply(&self, state: &mut V, op: &Self::Op) -> Option<Self::Ret> {
        Some(match op {
            RegisterOp::Read => RegisterRet::Value(state.clone()),
            RegisterOp::Write(value) => {
                state.clone_from(value);
                RegisterRet::Written
            }
            RegisterOp::Swap(expected, new) => {
                let is_there = state == expected;
                if is_there {
                    state.clone_from(new);
                }
                RegisterRet::Swapped(is_there)
            }
        })
    }
}

/// Values by key; empty at first.
#[derive(Clone, Debug)]
pub struct KeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// What [`KeyValue`] can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueOp<K, V> {
    /// What is there?
    Get(K),
    /// Have this.
    Put(K, V),
    /// Have nothing.
    Delete(K),
    /// If the first is there (`None`: if nothing is), have the second.
    Swap(K, Option<V>, V),
}

/// What [`KeyValue`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueRet<V> {
    /// This was there.
    Value(Option<V>),
    /// It was put or deleted.
    Done,
    /// Whether it was as expected, and so was swapped.
    Swapped(bool),
}

impl<K, V> KeyValue<K, V> {
    /// Begins empty.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K, V> Default for KeyValue<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Value + Ord, V: Value> Model for KeyValue<K, V> {
    type Op = KeyValueOp<K, V>;
    type Ret = KeyValueRet<V>;
    type State = Option<V>;
    type Key = K;

    fn initial(&self) -> Option<V> {
        None
    }

    fn key(&self, op: &Self::Op) -> K {
        use KeyValueOp::{Delete, Get, Put, Swap};
        let (Get(key) | Put(key, _) | Delete(key) | Swap(key, ..)) = op;
        key.clone()
    }

    fn apply(&self, state: &mut Option<V>, op: &Self::Op) -> Option<Self::Ret> {
        Some(match op {
            KeyValueOp::Get(_) => KeyValueRet::Value(state.clone()),
            KeyValueOp::Put(_, value) => {
                *state = Some(value.clone());
                KeyValueRet::Done
            }
            KeyValueOp::Delete(_) => {
                *state = None;
                KeyValueRet::Done
            }
            KeyValueOp::Swap(_, expected, new) => {
                let is_there = state == expected;
                if is_there {
                    *state = Some(new.clone());
                }
                KeyValueRet::Swapped(is_there)
            }
        })
    }
}

/// A number that is added to; zero at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

/// What a [`Counter`] can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterOp {
    /// How much is it?
    Get,
    /// Have so much more.
    Add(i64),
    /// Have so much more, and how much is it then?
    AddAndGet(i64),
}

/// What a [`Counter`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterRet {
    /// It is so much.
    Value(i64),
    /// It was added.
    Added,
}

impl Model for Counter {
    type Op = CounterOp;
    type Ret = CounterRet;
    type State = i64;
    type Key = ();

    fn initial(&self) -> i64 {
        0
    }

    fn key(&self, _: &CounterOp) {}

    fn apply(&self, state: &mut i64, op: &CounterOp) -> Option<CounterRet> {
        Some(match op {
            CounterOp::Get => CounterRet::Value(*state),
            CounterOp::Add(much) => {
                *state = state.wrapping_add(*much);
                CounterRet::Added
            }
            CounterOp::AddAndGet(much) => {
                *state = state.wrapping_add(*much);
                CounterRet::Value(*state)
            }
        })
    }
}

/// What was put in first comes out first; empty at first.
#[derive(Clone, Debug)]
pub struct Queue<V>(PhantomData<fn() -> V>);

/// What a [`Queue`] can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOp<V> {
    /// Have this, as the last.
    Enqueue(V),
    /// Give the first away.
    Dequeue,
}

/// What a [`Queue`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueRet<V> {
    /// It was put in.
    Enqueued,
    /// This was the first; `None` if there was nothing.
    Dequeued(Option<V>),
}

impl<V> Queue<V> {
    /// Begins empty.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Queue<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Value> Model for Queue<V> {
    type Op = QueueOp<V>;
    type Ret = QueueRet<V>;
    type State = VecDeque<V>;
    type Key = ();

    fn initial(&self) -> VecDeque<V> {
        VecDeque::new()
    }

    fn key(&self, _: &Self::Op) {}

    fn apply(&self, state: &mut VecDeque<V>, op: &Self::Op) -> Option<Self::Ret> {
        Some(match op {
            QueueOp::Enqueue(value) => {
                state.push_back(value.clone());
                QueueRet::Enqueued
            }
            QueueOp::Dequeue => QueueRet::Dequeued(state.pop_front()),
        })
    }
}

/// Held by one at a time, who says who it is; free at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lock;

/// What a [`Lock`] can be asked, each time by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOp {
    /// Wait until it is free, and have it. Returns true.
    Acquire(u64),
    /// Have it if it is free. Returns whether it was.
    TryAcquire(u64),
    /// Let it go. Returns whether it was held by the same one.
    Release(u64),
}

impl Model for Lock {
    type Op = LockOp;
    type Ret = bool;
    type State = Option<u64>;
    type Key = ();

    fn initial(&self) -> Option<u64> {
        None
    }

    fn key(&self, _: &LockOp) {}

    fn apply(&self, state: &mut Option<u64>, op: &LockOp) -> Option<bool> {
        match *op {
            LockOp::Acquire(_) if state.is_some() => None,
            LockOp::Acquire(who) | LockOp::TryAcquire(who) => {
                let is_free = state.is_none();
                if is_free {
                    *state = Some(who);
                }
                Some(is_free)
            }
            LockOp::Release(who) => Some(state.take_if(|holder| *holder == who).is_some()),
        }
    }
}
