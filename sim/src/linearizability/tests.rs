use std::collections::BTreeMap;

use monofil_transport::{Instant, Probability, Stream};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::{Model, OperationOf, STEPS_MAX, Verdict, check};
use crate::history::History;
use crate::models::{
    Counter, CounterOp, CounterRet, KeyValue, KeyValueOp, KeyValueRet, Lock, LockOp, Queue,
    QueueOp, QueueRet, Register, RegisterOp, RegisterRet,
};

type HistoryOf<M> = History<<M as Model>::Op, <M as Model>::Ret>;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A client, what it asks, when, and when it gets which answer.
type Row<Op, Ret> = (u64, Op, u64, Option<(u64, Ret)>);

fn history<Op: Clone, Ret: Clone>(rows: &[Row<Op, Ret>]) -> History<Op, Ret> {
    let mut history = History::new();
    let mut ids = vec![None; rows.len()];
    let last = rows
        .iter()
        .flat_map(|row| [Some(row.2), row.3.as_ref().map(|it| it.0)]);
    let last = last.flatten().max().unwrap_or(0);
    for now in 0..=last {
        for (id, (client, op, begin, end)) in ids.iter_mut().zip(rows) {
            if *begin == now {
                *id = Some(history.invoke(*client, op.clone(), at(now)));
            }
            if let Some((_, ret)) = end.as_ref().filter(|(end, _)| *end == now) {
                history.returned(id.expect("it ends after its begin"), ret.clone(), at(now));
            }
        }
    }
    history
}

/// Makes random histories of a model: some as an atomic system would have made them, others with a wrong return.
struct Maker<'a, M: Model> {
    model: &'a M,
    random: Stream,
    op: fn(&mut Stream, u64) -> M::Op,
    /// Returns that might come instead.
    rets: Vec<M::Ret>,
}

/// What a client of a made-up history is at.
struct Client<M: Model> {
    name: u64,
    under_way: Option<(crate::OperationId, M::Op, Option<M::Ret>)>,
}

impl<M: Model> Maker<'_, M> {
    fn history(&mut self, clients: u64, operations: usize) -> HistoryOf<M> {
        let mut history = History::new();
        let mut clients: Vec<Client<M>> = (0..clients)
            .map(|name| Client {
                name,
                under_way: None,
            })
            .collect();
        let mut states = States::<M>::new();
        let is_wrong = self.random.chance(Probability::percent(60));
        let mut names = clients.len() as u64;
        let mut now = 0;
        while history.len() < operations {
            now += 1;
            let one = self.random.below(clients.len() as u64) as usize;
            let client = &mut clients[one];
            match &mut client.under_way {
                None => {
                    let op = (self.op)(&mut self.random, client.name);
                    let id = history.invoke(client.name, op.clone(), at(now));
                    client.under_way = Some((id, op, None));
                }
                Some((_, op, effect @ None)) => {
                    *effect = apply(self.model, &mut states, op);
                    // It may be that nobody ever hears of it; and a client's name is for one operation at a time.
                    if self.random.chance(Probability::percent(15)) {
                        client.under_way = None;
                        (client.name, names) = (names, names + 1);
                    }
                }
                Some((id, _, Some(ret))) => {
                    let ret = match is_wrong && self.random.chance(Probability::percent(25)) {
                        true => {
                            self.rets[self.random.below(self.rets.len() as u64) as usize].clone()
                        }
                        false => ret.clone(),
                    };
                    history.returned(*id, ret, at(now));
                    client.under_way = None;
                }
            }
        }
        history
    }
}

/// The states of all keys: those that compare know nothing of keys.
type States<M> = BTreeMap<<M as Model>::Key, <M as Model>::State>;

fn apply<M: Model>(model: &M, states: &mut States<M>, op: &M::Op) -> Option<M::Ret> {
    let state = states.entry(model.key(op));
    model.apply(state.or_insert_with(|| model.initial()), op)
}

/// Tries every order of everything, with nothing clever.
fn has_an_order<M: Model>(model: &M, operations: &[OperationOf<M>]) -> bool {
    fn rest<M: Model>(model: &M, states: &States<M>, left: &[&OperationOf<M>]) -> bool {
        if left.iter().all(|it| it.returned.is_none()) {
            return true;
        }
        (0..left.len()).any(|index| {
            let one = left[index];
            if left.iter().any(|other| other.end < one.begin) {
                return false;
            }
            let mut after = states.clone();
            let Some(ret) = apply(model, &mut after, &one.op) else {
                return false;
            };
            if one
                .returned
                .as_ref()
                .is_some_and(|(_, returned)| *returned != ret)
            {
                return false;
            }
            let others: Vec<_> = [&left[..index], &left[index + 1..]].concat();
            rest(model, &after, &others)
        })
    }
    rest(
        model,
        &States::<M>::new(),
        &operations.iter().collect::<Vec<_>>(),
    )
}

/// What had happened when some event was noted.
fn until<M: Model>(operations: &[OperationOf<M>], event: u64) -> Vec<OperationOf<M>> {
    let begun = operations.iter().filter(|it| it.begin <= event);
    let cut = begun.cloned().map(|mut it| {
        if it.end > event {
            (it.returned, it.end) = (None, u64::MAX);
        }
        it
    });
    cut.collect()
}

/// A model as an object of `stateright`.
struct Object<'a, M: Model>(&'a M, States<M>);

impl<M: Model> Clone for Object<'_, M> {
    fn clone(&self) -> Self {
        Self(self.0, self.1.clone())
    }
}

impl<M: Model> SequentialSpec for Object<'_, M> {
    type Op = M::Op;
    type Ret = M::Ret;

    fn invoke(&mut self, op: &M::Op) -> M::Ret {
        let ret = apply(self.0, &mut self.1, op);
        // It asks this of calls without a return only, which then must be possible.
        ret.expect("no model of this comparison waits")
    }

    fn is_valid_step(&mut self, op: &M::Op, ret: &M::Ret) -> bool {
        apply(self.0, &mut self.1, op).as_ref() == Some(ret)
    }
}

fn stateright_finds_an_order<M: Model>(model: &M, operations: &[OperationOf<M>]) -> bool {
    let mut events: Vec<_> = operations
        .iter()
        .flat_map(|it| [(it.begin, it, false), (it.end, it, true)])
        .filter(|(noted, ..)| *noted < u64::MAX)
        .collect();
    events.sort_by_key(|(noted, ..)| *noted);
    let mut tester = LinearizabilityTester::new(Object(model, States::<M>::new()));
    for (_, operation, is_end) in events {
        let noted = match (is_end, &operation.returned) {
            (true, Some((_, ret))) => tester.on_return(operation.client, ret.clone()),
            _ => tester.on_invoke(operation.client, operation.op.clone()),
        };
        noted.expect("clients do one thing after the other");
    }
    tester.is_consistent()
}

/// Compares verdicts over random histories of a model.
fn compare<M: Model>(
    model: &M,
    seeds: u64,
    op: fn(&mut Stream, u64) -> M::Op,
    rets: &[M::Ret],
    is_total: bool,
) {
    let (mut yes, mut no) = (0, 0);
    for seed in 0..seeds {
        let mut maker = Maker {
            model,
            random: Stream::new(seed, "histories"),
            op,
            rets: rets.to_vec(),
        };
        let (clients, length) = (2 + maker.random.below(3), 2 + maker.random.below(7));
        let history = maker.history(clients, length as usize);
        let operations: Vec<_> = history.operations().cloned().collect();
        let expected = has_an_order(model, &operations);
        let verdict = check(model, &history, STEPS_MAX);
        let context = || format!("seed {seed}: {operations:#?}\n{verdict}");
        assert_eq!(verdict.is_linearizable(), expected, "{}", context());
        assert_eq!(verdict.is_violated(), !expected, "{}", context());
        if is_total {
            let other = stateright_finds_an_order(model, &operations);
            assert_eq!(other, expected, "stateright differs: {}", context());
        }
        if let Verdict::Violated(it) = &verdict {
            // Of all returns it is the first that makes the difference, for its key.
            let mine = operations.iter().filter(|o| model.key(&o.op) == it.key);
            let mine: Vec<_> = mine.cloned().collect();
            let end = it.offending.end;
            assert!(
                !has_an_order(model, &until::<M>(&mine, end)),
                "{}",
                context()
            );
            assert!(
                has_an_order(model, &until::<M>(&mine, end - 1)),
                "{}",
                context()
            );
            let mut before = mine.iter().filter(|o| o.end < end);
            let is_in_prefix = |o: &OperationOf<M>| it.prefix.iter().any(|p| p.begin == o.begin);
            assert!(before.all(is_in_prefix), "{}", context());
        }
        *(if expected { &mut yes } else { &mut no }) += 1;
    }
    println!("seeds 0..{seeds}: {yes} linearizable, {no} not");
    assert!(
        yes > seeds / 4 && no > seeds / 10,
        "one-sided: {yes} and {no}"
    );
}

const SEEDS: u64 = 2_000;

#[test]
fn verdicts_on_registers_are_those_of_others() {
    let op = |random: &mut Stream, _| match random.below(4) {
        0 => RegisterOp::Read,
        1 => RegisterOp::Swap(random.below(3), random.below(3)),
        _ => RegisterOp::Write(random.below(3)),
    };
    let rets = [
        RegisterRet::Value(0),
        RegisterRet::Value(1),
        RegisterRet::Swapped(true),
    ];
    compare(&Register::new(0), SEEDS, op, &rets, true);
}

#[test]
fn verdicts_on_keys_and_values_are_those_of_others() {
    let op = |random: &mut Stream, _| match (random.below(5), random.below(2)) {
        (0 | 1, key) => KeyValueOp::Get(key),
        (2, key) => KeyValueOp::Delete(key),
        (3, key) => KeyValueOp::Swap(key, None, random.below(3)),
        (_, key) => KeyValueOp::Put(key, random.below(3)),
    };
    let rets = [
        KeyValueRet::Value(None),
        KeyValueRet::Value(Some(1)),
        KeyValueRet::Swapped(true),
    ];
    compare(&KeyValue::new(), SEEDS, op, &rets, true);
}

#[test]
fn verdicts_on_counters_are_those_of_others() {
    let op = |random: &mut Stream, _| match random.below(3) {
        0 => CounterOp::Get,
        1 => CounterOp::Add(1),
        _ => CounterOp::AddAndGet(1),
    };
    let rets = [1, 2, 3].map(CounterRet::Value);
    compare(&Counter, SEEDS, op, &rets, true);
}

#[test]
fn verdicts_on_queues_are_those_of_others() {
    let op = |random: &mut Stream, _| match random.below(2) {
        0 => QueueOp::Enqueue(random.below(100)),
        _ => QueueOp::Dequeue,
    };
    let rets = [QueueRet::Dequeued(None), QueueRet::Dequeued(Some(1))];
    compare(&Queue::new(), SEEDS, op, &rets, true);
}

#[test]
fn verdicts_on_locks_are_those_of_others() {
    let op = |random: &mut Stream, who| match random.below(4) {
        0 => LockOp::Acquire(who),
        1 => LockOp::TryAcquire(who),
        _ => LockOp::Release(who),
    };
    // One that waits is nothing that others can express.
    compare(&Lock, SEEDS, op, &[true, false], false);
}

#[test]
fn an_unknown_outcome_may_take_effect_late_or_never() {
    let write = (1, RegisterOp::Write(1), 0, None);
    let read = |client, begin, value| {
        let end = Some((begin + 1, RegisterRet::Value(value)));
        (client, RegisterOp::Read, begin, end)
    };
    let late = history(&[write.clone(), read(2, 10, 0), read(2, 20, 1)]);
    assert!(check(&Register::new(0), &late, STEPS_MAX).is_linearizable());
    let never = history(&[write.clone(), read(2, 10, 0), read(2, 20, 0)]);
    assert!(check(&Register::new(0), &never, STEPS_MAX).is_linearizable());
    let undone = history(&[write, read(2, 10, 1), read(2, 20, 0)]);
    assert!(check(&Register::new(0), &undone, STEPS_MAX).is_violated());
}

#[test]
fn what_had_no_effect_explains_nothing() {
    let mut history = History::new();
    let write = history.invoke(1, RegisterOp::Write(1), at(0));
    history.had_no_effect(write);
    let read = history.invoke(2, RegisterOp::Read, at(1));
    history.returned(read, RegisterRet::Value(1), at(2));
    assert!(check(&Register::new(0), &history, STEPS_MAX).is_violated());
}

#[test]
fn at_one_time_what_was_noted_first_was_first() {
    let mut history = History::new();
    let write = history.invoke(1, RegisterOp::Write(1), at(0));
    history.returned(write, RegisterRet::Written, at(0));
    let read = history.invoke(2, RegisterOp::Read, at(0));
    history.returned(read, RegisterRet::Value(0), at(0));
    assert!(check(&Register::new(0), &history, STEPS_MAX).is_violated());
}

#[test]
fn a_violation_shows_the_longest_order_and_what_has_no_place() {
    let rows = [
        (1, KeyValueOp::Put("a", 1), 0, Some((2, KeyValueRet::Done))),
        (2, KeyValueOp::Put("b", 9), 0, Some((3, KeyValueRet::Done))),
        (1, KeyValueOp::Put("a", 2), 3, Some((5, KeyValueRet::Done))),
        (3, KeyValueOp::Put("a", 3), 4, None),
        (
            2,
            KeyValueOp::Get("a"),
            6,
            Some((8, KeyValueRet::Value(Some(1)))),
        ),
        (
            2,
            KeyValueOp::Get("a"),
            9,
            Some((10, KeyValueRet::Value(Some(2)))),
        ),
    ];
    let verdict = check(&KeyValue::new(), &history(&rows), STEPS_MAX);
    insta::assert_snapshot!(verdict, @r#"
    not linearizable (key "a")
       ok  client 1  0.000000s .. 0.002000s  Put("a", 1) -> Done
       ok  client 1  0.003000s .. 0.005000s  Put("a", 2) -> Done
           state: Some(2)
        ?  client 3  0.004000s ..  Put("a", 3) -> unknown
      bad  client 2  0.006000s .. 0.008000s  Get("a") -> Value(Some(1))
    "#);
}

/// Many sums are possible, and none of them was returned.
fn hard(adds: u32) -> History<CounterOp, CounterRet> {
    let mut history = History::new();
    for place in 0..adds {
        history.invoke(1 + u64::from(place), CounterOp::Add(1 << place), at(0));
    }
    let get = history.invoke(0, CounterOp::Get, at(1));
    history.returned(get, CounterRet::Value(-1), at(2));
    history
}

#[test]
fn a_search_that_is_given_up_is_no_success() {
    let verdict = check(&Counter, &hard(20), 10_000);
    assert!(
        matches!(verdict, Verdict::Undecided { steps: 10_000 }),
        "{verdict}"
    );
    assert!(!verdict.is_linearizable() && !verdict.is_violated());
    assert!(check(&Counter, &hard(10), STEPS_MAX).is_violated());
}

#[test]
fn writes_of_unknown_outcome_are_many_and_cost_little() {
    let mut history = History::new();
    for value in 1..=100 {
        history.invoke(value, RegisterOp::Write(value), at(0));
    }
    let read = history.invoke(0, RegisterOp::Read, at(1));
    history.returned(read, RegisterRet::Value(1_000), at(2));
    assert!(check(&Register::new(0), &history, 20_000).is_violated());
}

#[test]
fn a_key_that_is_undecided_hides_no_violation() {
    let mut history = History::new();
    // A hundred steps are enough for one read, and not for so many writes.
    for value in 1..=100 {
        history.invoke(value, KeyValueOp::Put("hard", value), at(0));
    }
    for key in ["hard", "wrong"] {
        let read = history.invoke(0, KeyValueOp::Get(key), at(1));
        history.returned(read, KeyValueRet::Value(Some(1_000)), at(2));
    }
    let verdict = check(&KeyValue::new(), &history, 100);
    assert!(
        matches!(&verdict, Verdict::Violated(it) if it.key == "wrong"),
        "{verdict}"
    );
}

#[test]
fn a_long_history_takes_few_steps_a_key() {
    let model = KeyValue::new();
    let mut maker = Maker {
        model: &model,
        random: Stream::new(1, "histories"),
        op: |random: &mut Stream, _| match (random.below(2), random.below(100)) {
            (0, key) => KeyValueOp::Get(key),
            (_, key) => KeyValueOp::Put(key, random.below(1_000)),
        },
        rets: vec![KeyValueRet::Done],
    };
    let mut verdicts = [0, 0];
    for _ in 0..10 {
        let history = maker.history(10, 10_000);
        let verdict = check(&model, &history, 10_000);
        assert!(!matches!(verdict, Verdict::Undecided { .. }), "{verdict}");
        verdicts[usize::from(verdict.is_linearizable())] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 0), "{verdicts:?}");
}
