//! Limits on the control plane.

use std::time::Duration;

use monofil_proto::control::{
    LimitDescription, LimitTo, Limits, Refused, SetLimit, response::Result as Answer,
};

use super::{Limit, LimitChange, LimitInfo, LimitScope, LimitValue};
use crate::core::Core;
use crate::error::micros;
use crate::{LimitChanged, Name};

/// Limits in one answer.
const LIMITS_MAX: usize = 4096;

impl Core {
    /// Answers which limits there are.
    pub(crate) fn answer_limits(&self) -> Answer {
        Answer::Limits(described(&self.limits()))
    }

    /// Changes a limit, or says why not.
    pub(crate) fn obey_limit(&mut self, asked: SetLimit) -> Answer {
        let refused = |reason: String| Answer::Refused(Refused { reason });
        let change = match change(asked) {
            Ok(change) => change,
            Err(reason) => return refused(reason),
        };
        match self.set_limit(change) {
            Ok(limits) => Answer::Limits(described(&limits)),
            Err(error) => refused(error.to_string()),
        }
    }
}

fn change(asked: SetLimit) -> Result<LimitChange, String> {
    let Some(limit) = Limit::named(&asked.limit) else {
        let all = Limit::ALL.map(Limit::as_str).join(", ");
        let asked = asked.limit;
        return Err(format!("there is no limit `{asked}`; there are {all}"));
    };
    let value = match asked.to() {
        LimitTo::Value => LimitValue::At(asked.value),
        LimitTo::Unlimited => LimitValue::Unlimited,
        LimitTo::Configured => LimitValue::Configured,
        LimitTo::Unspecified => return Err("it is not said what the limit is to be".to_owned()),
    };
    let SetLimit {
        component,
        flow,
        network,
        node,
        ..
    } = &asked;
    let scope = match (component.as_str(), flow.as_str(), network.as_str(), *node) {
        ("", "", "", true) => LimitScope::Node,
        // An empty name is nobody's.
        ("", "", "", false) => {
            return Err(
                "it is not said whose limit it is: a component's, a flow's, a network's or the node's"
                    .to_owned(),
            );
        }
        (component, "", "", false) => LimitScope::Component(component.into()),
        ("", flow, "", false) => LimitScope::Flow(flow.into()),
        ("", "", network, false) => LimitScope::Network(network.into()),
        _ => {
            return Err(
                "a limit is of one component, flow or network, or of the node, and not of two of them".to_owned(),
            );
        }
    };
    Ok(LimitChange {
        scope,
        limit,
        value,
        lasts: (asked.for_micros > 0).then(|| Duration::from_micros(asked.for_micros)),
        author: asked.author.as_str().into(),
    })
}

fn described(limits: &[LimitInfo]) -> Limits {
    Limits {
        limits: limits.iter().take(LIMITS_MAX).map(describe).collect(),
        left_out: limits.len().saturating_sub(LIMITS_MAX) as u64,
    }
}

fn describe(info: &LimitInfo) -> LimitDescription {
    let place = match &info.scope {
        LimitScope::Component(name) | LimitScope::Network(name) | LimitScope::Flow(name) => {
            name.clone()
        }
        LimitScope::Node => Name::empty(),
    };
    let mut description = LimitDescription {
        limit: format!("{}.{}", info.scope.word(), info.limit),
        r#where: place.as_str().to_owned(),
        instance: info.instance,
        value: info.value,
        configured: info.configured,
        observed: info.observed,
        ..LimitDescription::default()
    };
    if let Some(LimitChanged {
        epoch,
        author,
        at_micros,
        remaining,
    }) = &info.change
    {
        description.epoch = *epoch;
        description.author = author.as_str().to_owned();
        description.changed_micros = *at_micros;
        description.remaining_micros = remaining.map_or(0, micros);
    }
    description
}
