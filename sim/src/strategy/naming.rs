//! What frames are called in a schedule that is written down.

use std::collections::BTreeMap;

use monofil_inproc::{FrameOnTheWay, NodeKey, World};

/// Calls frames by their way and their number there, from 1: `client>counter/3`.
pub(super) struct Naming {
    nodes: Vec<String>,
    numbers: BTreeMap<(NodeKey, NodeKey), u64>,
    wanted: bool,
}

impl Naming {
    /// Makes one for the nodes of a world; names are empty if nobody wants them.
    pub(super) fn of(world: &World, wanted: bool) -> Self {
        Self {
            nodes: world.names().map(str::to_owned).collect(),
            numbers: BTreeMap::new(),
            wanted,
        }
    }

    /// Names the next frame of its way.
    pub(super) fn name(&mut self, frame: &FrameOnTheWay) -> String {
        if !self.wanted {
            return String::new();
        }
        let number = self.numbers.entry((frame.from, frame.to)).or_default();
        *number += 1;
        let [from, to] = [frame.from, frame.to]
            .map(|node| self.nodes.get(node.index()).map_or("", String::as_str));
        format!("{from}>{to}/{number}")
    }
}
