//! The search for an order of operations that concern each other.

use std::collections::HashMap;

use super::Model;
use crate::history::Operation;

/// What a search came to.
pub(super) enum Found<State> {
    /// An order for all that have returned, and the state it leads to.
    Order(Vec<usize>, State),
    /// There is none.
    None,
    /// The steps were used up.
    Unknown,
}

/// Looks for an order of what had happened when the event with number `until` was noted.
pub(super) fn search<M: Model>(
    model: &M,
    operations: &[&Operation<M::Op, M::Ret>],
    until: u64,
    steps_max: u64,
) -> Found<M::State> {
    let (mut returned, mut open) = (Vec::new(), Vec::new());
    for (index, it) in operations.iter().enumerate() {
        if it.end <= until {
            returned.push(index);
        } else if it.begin <= until {
            open.push(index);
        }
    }
    let search = Search {
        model,
        operations,
        returned,
        open,
        nodes: Vec::new(),
        frontier: Vec::new(),
        seen: HashMap::default(),
    };
    search.run(steps_max)
}

/// A graph of what can be done first, what then, and so on.
///
/// Those whose outcome is unknown multiply the ways, and most of them explain nothing. So ways with fewer of them
/// are followed first; and a way that took more of them to get to the same place is not followed.
struct Search<'a, M: Model> {
    model: &'a M,
    /// In the order of their invocation, as all that refers to them.
    operations: &'a [&'a Operation<M::Op, M::Ret>],
    returned: Vec<usize>,
    open: Vec<usize>,
    nodes: Vec<Node<M::State>>,
    /// Nodes to go on from, by how many open ones they took.
    frontier: Vec<Vec<usize>>,
    /// The sets of open ones that were taken with the same ones that have returned, leading to the same state.
    seen: Seen<M::State>,
}

type Open = Box<[usize]>;

type Seen<State> = HashMap<(Front, State), Vec<Open>, foldhash::fast::FixedState>;

/// A place in the graph.
struct Node<State> {
    /// The place before, and what was done there; none at the beginning.
    last: Option<(usize, usize)>,
    front: Front,
    /// Which of the open ones were taken, in order of their numbers.
    open: Open,
    state: State,
}

/// Which of those that have returned were taken: all up to one, and some behind it. Few are, as few are under way at
/// a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Front {
    below: usize,
    beyond: Vec<usize>,
}

impl Front {
    fn with(&self, one: usize) -> Self {
        let mut front = self.clone();
        let place = front.beyond.partition_point(|other| *other < one);
        front.beyond.insert(place, one);
        let run = (front.below..).zip(&front.beyond);
        let run = run.take_while(|(expected, is)| expected == *is).count();
        front.below += run;
        front.beyond.drain(..run);
        front
    }
}

impl<M: Model> Search<'_, M> {
    fn run(mut self, steps_max: u64) -> Found<M::State> {
        self.add(
            None,
            Front::default(),
            Open::default(),
            self.model.initial(),
        );
        let mut steps = 0;
        while let Some(node) = self.frontier.iter_mut().find_map(Vec::pop) {
            if self.nodes[node].front.below == self.returned.len() {
                return Found::Order(self.way_to(node), self.nodes[node].state.clone());
            }
            let (returned, open) = self.next(&self.nodes[node]);
            // What is added last is followed first: it shall be what was invoked first.
            for (place, is_open) in both(open, true).chain(both(returned, false)).rev() {
                if steps == steps_max {
                    return Found::Unknown;
                }
                steps += 1;
                self.try_one(node, place, is_open);
            }
        }
        Found::None
    }

    /// Returns what can be done next: everything that was invoked before anything else that is left returned.
    fn next(&self, node: &Node<M::State>) -> (Vec<usize>, Vec<usize>) {
        let operation = |index: &usize| self.operations[*index];
        let mut soonest = u64::MAX;
        let mut returned = Vec::new();
        for (place, index) in self.returned.iter().enumerate().skip(node.front.below) {
            if operation(index).begin > soonest {
                break;
            }
            if node.front.beyond.binary_search(&place).is_err() {
                soonest = soonest.min(operation(index).end);
                returned.push(place);
            }
        }
        let open = self.open.iter().enumerate();
        let open = open
            .take_while(|(_, index)| operation(index).begin < soonest)
            .filter(|(place, _)| node.open.binary_search(place).is_err());
        (returned, open.map(|(place, _)| place).collect())
    }

    fn try_one(&mut self, from: usize, place: usize, is_open: bool) {
        let node = &self.nodes[from];
        let index = match is_open {
            true => self.open[place],
            false => self.returned[place],
        };
        let Some(state) = self.outcome(&node.state, index, is_open) else {
            return;
        };
        let (front, open) = match is_open {
            true => {
                let mut open = node.open.to_vec();
                open.insert(open.partition_point(|other| *other < place), place);
                (node.front.clone(), open.into())
            }
            false => (node.front.with(place), node.open.clone()),
        };
        self.add(Some((from, index)), front, open, state);
    }

    /// Returns the state after an operation, if it can come next.
    fn outcome(&self, state: &M::State, index: usize, is_open: bool) -> Option<M::State> {
        let it = self.operations[index];
        let mut after = state.clone();
        let ret = self.model.apply(&mut after, &it.op)?;
        let is_possible = match &it.returned {
            Some((_, returned)) if !is_open => ret == *returned,
            // Nobody knows what it returned, so without an effect it is as well left out.
            _ => after != *state,
        };
        is_possible.then_some(after)
    }

    /// Adds a place, unless another is as good: from there fewer open ones are left, and so no more can be done.
    fn add(&mut self, last: Option<(usize, usize)>, front: Front, open: Open, state: M::State) {
        let others = self.seen.entry((front.clone(), state.clone())).or_default();
        if others.iter().any(|other| is_subset(other, &open)) {
            return;
        }
        others.push(open.clone());
        if self.frontier.len() <= open.len() {
            self.frontier.resize_with(open.len() + 1, Vec::new);
        }
        self.frontier[open.len()].push(self.nodes.len());
        self.nodes.push(Node {
            last,
            front,
            open,
            state,
        });
    }

    fn way_to(&self, node: usize) -> Vec<usize> {
        let step = |(node, _): &(usize, usize)| self.nodes[*node].last;
        let way = std::iter::successors(self.nodes[node].last, step);
        let mut way: Vec<_> = way.map(|(_, index)| index).collect();
        way.reverse();
        way
    }
}

fn both(places: Vec<usize>, is_open: bool) -> impl DoubleEndedIterator<Item = (usize, bool)> {
    places.into_iter().map(move |place| (place, is_open))
}

/// Tells whether all numbers of one list are in another; both are in order.
fn is_subset(few: &[usize], many: &[usize]) -> bool {
    let mut many = many.iter();
    few.iter().all(|one| many.any(|other| other == one))
}
