//! Records as lines: for people, and to see where two runs part. So they say what tells one record from another.

use std::sync::Arc;

use super::{Manner, Record, Sent, What};

impl Record {
    /// Writes it as a line: when, where, what. `nodes` are the names of nodes, by their numbers; see
    /// [`Recording::nodes`](super::Recording::nodes).
    #[must_use]
    pub fn line(&self, nodes: &[Arc<str>]) -> String {
        let name = |node: u32| nodes.get(node as usize).map_or("?", |name| &**name);
        let node = self.node.map_or("the world", name);
        let text = self.what.told(&name);
        format!("{} {node}: {text}", self.at)
    }
}

impl What {
    /// Writes what happened, with what nodes are called.
    fn told<'a>(&self, name: &dyn Fn(u32) -> &'a str) -> String {
        let or_nobody = |node: Option<u32>| node.map_or("nobody", name);
        match self {
            Self::NodeStarted { incarnation: 1 } => "starts".to_owned(),
            Self::NodeStarted { incarnation } => format!("starts, incarnation {incarnation}"),
            Self::NodeEnded => "ends".to_owned(),
            Self::NodeCrashed => "crashes".to_owned(),
            Self::NodePaused => "is paused".to_owned(),
            Self::NodeResumed => "goes on".to_owned(),
            Self::NodeAskedToEnd => "is asked to end".to_owned(),
            Self::Connected { to } => format!("connects to {}", name(*to)),
            Self::Disconnected { to } => format!("loses its connection to {}", or_nobody(*to)),
            Self::Cut { to } => format!("the way to {} is cut", name(*to)),
            Self::Healed { to } => format!("the way to {} is healed", name(*to)),
            Self::LinkChanged { to } => format!("the way to {} changes", name(*to)),
            Self::Clogged { to, lasts } => {
                format!("the way to {} is clogged for {lasts:?}", name(*to))
            }
            Self::Slowed { each_turn } => format!("each turn takes {each_turn:?} longer"),
            Self::ClockDrifts { ppm } => format!("its clocks drift by {ppm} ppm"),
            Self::ClockStepped { micros } => format!("its wall clock jumps by {micros} µs"),
            Self::FrameSent { to, bytes } => {
                format!("sends a frame of {bytes} bytes to {}", or_nobody(*to))
            }
            Self::FrameArrived { from, sent } => format!("gets frame {sent} of {}", name(*from)),
            Self::FramesLost { from, frames } => {
                format!("{frames} frames of {} are lost", name(*from))
            }
            Self::DatagramSent { to, bytes } => {
                format!("sends a datagram of {bytes} bytes to {}", name(*to))
            }
            Self::DatagramArrived { from, sent } => {
                format!("gets datagram {sent} of {}", name(*from))
            }
            Self::DatagramLost { to, sent } => {
                format!("datagram {sent} to {} is lost", or_nobody(*to))
            }
            Self::Passed(call) => format!("{call:?}"),
            Self::FaultBegan { name, .. } => format!("fault: {name}"),
            Self::FaultEnded { fault } => format!("fault {fault} is over"),
            Self::Injected { message, name, .. } => format!("message {message:x}: {name}"),
            Self::Released => "messages that were held pass".to_owned(),
            Self::Sent(sent) => sent.told(),
            Self::Queued {
                message,
                component,
                instance,
            } => format!("message {message:x} is queued for {component} #{instance}"),
            Self::Began {
                task,
                message,
                component,
                instance,
                method,
            } => {
                let who = format!("handler {task} of {component} #{instance}");
                format!("{who} begins {method} for message {message:x}")
            }
            Self::Suspended { task, place } => {
                format!("handler {task} waits at {}:{}", place.file(), place.line())
            }
            Self::Resumed { task } => format!("handler {task} goes on"),
            Self::Ended { task, error: None } => format!("handler {task} returns"),
            Self::Ended {
                task,
                error: Some(error),
            } => format!("handler {task} fails: {error}"),
            Self::CallEnded {
                call,
                outcome: Ok(answer),
            } => format!("call {call} is answered: {answer}"),
            Self::CallEnded {
                call,
                outcome: Err(error),
            } => format!("call {call} fails: {error}"),
            Self::AnswerLate { call } => format!("the answer to call {call} comes too late"),
            Self::CastReturned { cast, error } => format!("cast {cast} comes back: {error}"),
            Self::Reached { name } => format!("reached: {name}"),
            Self::Broken { property, text, .. } => format!("broken: {property}: {text}"),
        }
    }
}

impl Sent {
    fn told(&self) -> String {
        let manner = match self.manner {
            Manner::Call => "call",
            Manner::Cast => "cast",
            Manner::Publish => "publication",
        };
        let Self {
            from,
            to,
            method,
            payload,
            call,
            message,
            cause,
            ..
        } = self;
        let from = match &**from {
            "" => "a program",
            from => from,
        };
        let place = self.place.map_or_else(String::new, |place| {
            format!(", at {}:{}", place.file(), place.line())
        });
        let why = match cause {
            0 => String::new(),
            cause => format!(" because of {cause:x}"),
        };
        format!(
            "{manner} {call} of {from} to {to}: {method} {payload}; message {message:x}{why}{place}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;

    #[test]
    fn a_line_says_when_where_and_what() {
        let nodes: [Arc<str>; 2] = ["orders".into(), "payments".into()];
        let line = |node, what| {
            let record = Record {
                sequence: 1,
                at: Instant::from_nanos(1_500_000),
                node,
                what,
            };
            record.line(&nodes)
        };
        let sent = What::Sent(Box::new(Sent {
            message: 9,
            cause: 0,
            call: 3,
            manner: Manner::Call,
            from: "shop/orders".into(),
            to: "shop/payments".into(),
            method: "Charge".into(),
            flow: "".into(),
            payload: "1: 7".into(),
            bytes: 2,
            place: None,
        }));
        assert_eq!(
            line(Some(0), sent),
            "0.001500s orders: call 3 of shop/orders to shop/payments: Charge 1: 7; message 9"
        );
        assert_eq!(
            line(Some(0), What::Cut { to: 1 }),
            "0.001500s orders: the way to payments is cut"
        );
        let broken = What::Broken {
            property: "books balance".into(),
            text: "7 are missing".into(),
            message: 0,
        };
        assert_eq!(
            line(None, broken),
            "0.001500s the world: broken: books balance: 7 are missing"
        );
        let lost = What::Disconnected { to: Some(8) };
        assert_eq!(
            line(Some(1), lost),
            "0.001500s payments: loses its connection to ?"
        );
    }
}
