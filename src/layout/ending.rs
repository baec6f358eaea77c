//! The orderly end of a world.

use std::time::Duration;

use monofil_inproc::{NodeKey, World};
use monofil_transport::{Instant, Shutdown};

/// Ends nodes one after the other, callers first, so that what a node has accepted can still call others.
pub(super) struct Ending {
    /// The next to end is the last.
    rest: Vec<NodeKey>,
    current: Option<NodeKey>,
    give_up_at: Instant,
    given_up: bool,
}

impl Ending {
    /// Begins the end of nodes in the reverse of their order, within `patience`.
    pub(super) fn begin(world: &World, nodes: &[NodeKey], patience: Duration) -> Self {
        Self {
            rest: nodes.to_vec(),
            current: None,
            give_up_at: world.now() + patience,
            given_up: false,
        }
    }

    /// Goes on; tells whether all have ended.
    pub(super) fn advance(&mut self, world: &mut World) -> bool {
        if world.now() >= self.give_up_at && !self.given_up {
            self.now(world);
        }
        while self.current.is_none_or(|node| world.has_ended(node)) {
            let Some(next) = self.rest.pop() else {
                return true;
            };
            let how = if self.given_up {
                Shutdown::Now
            } else {
                Shutdown::Drain
            };
            world.shutdown(next, how);
            self.current = Some(next);
        }
        false
    }

    /// Ends all that is left at once.
    pub(super) fn now(&mut self, world: &mut World) {
        self.given_up = true;
        world.shutdown_all(Shutdown::Now);
    }
}
