//! What can go wrong, as data.

use std::time::Duration;

use monofil_transport::Shutdown;

use crate::{LinkModel, NodeKey};

/// Something done to a world from outside. Plain data, so that a scenario can hold a list of them,
/// shrink it and write it down; apply one with [`World::apply`](crate::World::apply), now or later.
///
/// One that makes no sense (a crash of a node that is down) does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The node's process is killed: its memory is gone, its mail too, and of the frames it sent that
    /// are on the way, the first few may arrive. Its peers' systems notice at once.
    Crash(NodeKey),
    /// The node's machine is gone. Its peers notice nothing until they have heard nothing for
    /// [`silence_max`](crate::WorldConfig::silence_max).
    Vanish(NodeKey),
    /// A node that is down, or has ended, starts with a higher incarnation. One that is up crashes
    /// first.
    Restart(NodeKey),
    /// The node does not turn, though its system keeps its connections, until it is resumed.
    Pause(NodeKey),
    /// It goes on.
    Resume(NodeKey),
    /// All connections between two nodes break; frames on the way are lost. They are tried again.
    Disconnect(NodeKey, NodeKey),
    /// Nothing passes from the one to the other: datagrams are lost, frames wait, and connections break
    /// after [`silence_max`](crate::WorldConfig::silence_max).
    Cut {
        /// Where messages come from.
        from: NodeKey,
        /// Where they do not arrive.
        to: NodeKey,
    },
    /// Messages pass again.
    Heal {
        /// Where messages come from.
        from: NodeKey,
        /// Where they arrive again.
        to: NodeKey,
    },
    /// The way from one node to another behaves otherwise from now on.
    SetLink {
        /// Where messages come from.
        from: NodeKey,
        /// Where they go.
        to: NodeKey,
        /// How it behaves.
        model: LinkModel,
    },
    /// Nothing that is sent from the one to the other within `duration` from now arrives before that is over; nothing
    /// is lost by it, and no connection breaks.
    Clog {
        /// Where messages come from.
        from: NodeKey,
        /// Where they arrive late.
        to: NodeKey,
        /// For how long.
        duration: Duration,
    },
    /// Each turn of the node takes so long from now on, on its own thread: what it sends leaves later, and it does
    /// nothing else meanwhile. Zero ends it.
    Slow(NodeKey, Duration),
    /// The node's clocks run faster, or slower if negative, by so many millionths from now on. Its monotonic clock
    /// never goes back and never jumps.
    Drift(NodeKey, i32),
    /// The node's wall clock jumps by so many microseconds, back if negative.
    StepWallClock(NodeKey, i64),
    /// The node is asked to end.
    Shutdown(NodeKey, Shutdown),
}
