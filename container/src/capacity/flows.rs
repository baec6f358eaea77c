//! The flows that somebody has limited, and what is there of each.

use std::collections::BTreeMap;

use super::guard::{Guard, Load};
use super::limit::GroupLimits;
use crate::Name;

/// Flows that may be limited at once; with more in the configuration, as many as are there.
pub(crate) const FLOWS_MAX: usize = 1024;

/// A limited flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) guard: Guard,
    /// As configured; `None`: somebody has limited it since.
    configured: Option<GroupLimits>,
    queued: u64,
    bytes: u64,
    /// Handlers of its messages under way.
    handled: u64,
}

impl Flow {
    pub(crate) fn configured(&self) -> GroupLimits {
        self.configured.unwrap_or_default()
    }

    pub(crate) const fn load(&self) -> Load {
        Load {
            messages: self.queued,
            bytes: self.bytes,
            in_flight: self.queued + self.handled,
        }
    }
}

/// All of them. Where no flow is limited nothing is counted.
#[derive(Debug, Default)]
pub(crate) struct Flows(BTreeMap<Name, Flow>);

impl Flows {
    /// Counts the flows that the configuration limits.
    pub(crate) fn new(configured: BTreeMap<Name, GroupLimits>) -> Self {
        let configured = configured.into_iter();
        let limited = configured.filter(|(_, limits)| *limits != GroupLimits::default());
        let mut flows = Self::default();
        for (name, limits) in limited {
            flows.insert(name, Some(limits), (0, 0, 0));
        }
        flows
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut Flow> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(name)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Flow> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Flow)> {
        self.0.iter()
    }

    /// Begins to count a flow, of which there is so much already.
    pub(crate) fn begin(&mut self, name: Name, there: (u64, u64, u64)) {
        self.insert(name, None, there);
    }

    fn insert(
        &mut self,
        name: Name,
        configured: Option<GroupLimits>,
        (queued, bytes, handled): (u64, u64, u64),
    ) {
        let limits = configured.unwrap_or_default();
        let flow = Flow {
            guard: Guard::new(|limit| limit.of_group(&limits)),
            configured,
            queued,
            bytes,
            handled,
        };
        self.0.insert(name, flow);
    }

    /// Stops counting a flow that nobody limits any more.
    pub(crate) fn end(&mut self, name: &Name) {
        if self.get(name).is_some_and(|flow| flow.configured.is_none()) {
            self.0.remove(name);
        }
    }

    #[inline]
    pub(crate) fn queued(&mut self, name: &Name, bytes: usize) {
        if let Some(flow) = self.get_mut(name) {
            flow.queued += 1;
            flow.bytes += bytes as u64;
        }
    }

    #[inline]
    pub(crate) fn dequeued(&mut self, name: &Name, bytes: usize) {
        if let Some(flow) = self.get_mut(name) {
            flow.queued -= 1;
            flow.bytes -= bytes as u64;
        }
    }

    #[inline]
    pub(crate) fn began(&mut self, name: &Name) {
        if let Some(flow) = self.get_mut(name) {
            flow.handled += 1;
        }
    }

    #[inline]
    pub(crate) fn ended(&mut self, name: &Name) {
        if let Some(flow) = self.get_mut(name) {
            flow.handled -= 1;
        }
    }
}
