//! What is done to single messages, deep in a flow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Chance, Span};

/// Selects messages and does something to them: "delay the third reply of `payments` on flow `checkout`".
///
/// ```
/// use monofil_sim::{Deed, Injection, Leg, Span};
///
/// let third = Injection::reply("payments").on_flow("checkout").nth(3).does(Deed::Delay { time: Span::millis(300) });
/// let same = toml::from_str(r#"
///     leg = "reply"
///     component = "payments"
///     flow = "checkout"
///     skip = 2
///     count = 1
///     deed = "delay"
///     time = "300ms"
/// "#);
/// assert_eq!(same, Ok(third));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Requests on their way to a handler, or replies on their way back.
    #[serde(default)]
    pub leg: Leg,
    /// Whose handler: a component, with or without its app's name; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
    /// The method, with or without its service; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The flow; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub flow: String,
    /// Bytes that the payload contains, as text; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contains: String,
    /// How many of those selected pass untouched first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// How many are touched then; nothing for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How likely each is to be touched; nothing for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<Chance>,
    /// What is done.
    #[serde(flatten)]
    pub deed: Deed,
}

/// Serde asks for a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leg {
    /// To the handler: a call, a cast, a publication.
    #[default]
    Request,
    /// Back from it.
    Reply,
}

/// What is done to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// It goes on later; others overtake it.
    Delay {
        /// By so long.
        time: Span,
    },
    /// It is gone, and nobody is told: its caller waits until its deadline.
    Drop,
    /// A request is handled twice; its caller gets the first reply. A reply is sent twice, which a caller does not
    /// notice.
    Duplicate,
    /// It waits until [`Sim::release`](crate::Sim::release), or until all heals.
    Hold,
    /// A request is refused before a handler sees it; instead of a reply its caller gets an error of the component.
    Fail {
        /// What the error says.
        error: String,
    },
}

impl fmt::Display for Injection {
    /// Writes what is done to which messages: `delay by 300ms replies of payments on flow checkout, from 3, 1 at most`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deed {
            Deed::Delay { time } => write!(f, "delay by {time}")?,
            Deed::Drop => f.write_str("drop")?,
            Deed::Duplicate => f.write_str("duplicate")?,
            Deed::Hold => f.write_str("hold")?,
            Deed::Fail { error } => write!(f, "fail with {error:?}")?,
        }
        f.write_str(match self.leg {
            Leg::Request => " requests",
            Leg::Reply => " replies",
        })?;
        let side = match self.leg {
            Leg::Request => "to",
            Leg::Reply => "of",
        };
        for (before, name) in [
            ("", &self.method),
            (side, &self.component),
            ("on flow", &self.flow),
            ("with", &self.contains),
        ] {
            match (name.is_empty(), before.is_empty()) {
                (true, _) => {}
                (false, true) => write!(f, " {name}")?,
                (false, false) => write!(f, " {before} {name}")?,
            }
        }
        if self.skip > 0 {
            write!(f, ", from {}", self.skip + 1)?;
        }
        if let Some(count) = self.count {
            write!(f, ", {count} at most")?;
        }
        if let Some(chance) = self.chance {
            write!(f, ", {chance} of them")?;
        }
        Ok(())
    }
}

impl Injection {
    fn on(leg: Leg, component: &str) -> Self {
        Self {
            leg,
            component: component.to_owned(),
            method: String::new(),
            flow: String::new(),
            contains: String::new(),
            skip: 0,
            count: None,
            chance: None,
            deed: Deed::Drop,
        }
    }

    /// Selects requests to a component; empty for all.
    #[must_use]
    pub fn request(component: &str) -> Self {
        Self::on(Leg::Request, component)
    }

    /// Selects replies of a component; empty for all.
    #[must_use]
    pub fn reply(component: &str) -> Self {
        Self::on(Leg::Reply, component)
    }

    /// Only those of a method.
    #[must_use]
    pub fn of_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Only those on a flow.
    #[must_use]
    pub fn on_flow(mut self, flow: &str) -> Self {
        flow.clone_into(&mut self.flow);
        self
    }

    /// Only those whose payload contains a text.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        text.clone_into(&mut self.contains);
        self
    }

    /// Only the `n`th of those that are selected, from 1.
    #[must_use]
    pub const fn nth(mut self, n: u64) -> Self {
        self.skip = n.saturating_sub(1);
        self.count = Some(1);
        self
    }

    /// Only some of those that are selected, by the seed.
    #[must_use]
    pub const fn with_chance(mut self, chance: Chance) -> Self {
        self.chance = Some(chance);
        self
    }

    /// Says what is done to them. Without it they are dropped.
    #[must_use]
    pub fn does(mut self, deed: Deed) -> Self {
        self.deed = deed;
        self
    }
}
