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
#[serde(try_from = "Written", into = "Written")]
pub struct Injection {
    /// Requests on their way to a handler, or replies on their way back.
    pub leg: Leg,
    /// Whose handler: a component, with or without its app's name; empty for all.
    pub component: String,
    /// The method, with or without its service; empty for all.
    pub method: String,
    /// The flow; empty for all.
    pub flow: String,
    /// Bytes that the payload contains, as text; empty for all.
    pub contains: String,
    /// How many of those selected pass untouched first.
    pub skip: u64,
    /// How many are touched then; nothing for all.
    pub count: Option<u64>,
    /// How likely each is to be touched; nothing for all.
    pub chance: Option<Chance>,
    /// What is done.
    pub deed: Deed,
}

/// An injection as it is written down: flat, so that each key that it does not have is an error. A misspelt key that
/// were left out without a word would have the deed done to all messages.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    leg: Leg,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    method: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    flow: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    contains: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    skip: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chance: Option<Chance>,
    deed: DeedName,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What a deed is called.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DeedName {
    Delay,
    Drop,
    Duplicate,
    Hold,
    Fail,
}

impl TryFrom<Written> for Injection {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let deed = match (written.deed, written.time, written.error) {
            (DeedName::Delay, Some(time), None) => Deed::Delay { time },
            (DeedName::Drop, None, None) => Deed::Drop,
            (DeedName::Duplicate, None, None) => Deed::Duplicate,
            (DeedName::Hold, None, None) => Deed::Hold,
            (DeedName::Fail, None, Some(error)) => Deed::Fail { error },
            (DeedName::Delay, None, _) => return Err("the deed `delay` needs a `time`"),
            (DeedName::Fail, _, None) => return Err("the deed `fail` needs an `error`"),
            (DeedName::Delay, Some(_), Some(_)) | (_, None, Some(_)) => {
                return Err("`error` is for the deed `fail` only");
            }
            (_, Some(_), _) => return Err("`time` is for the deed `delay` only"),
        };
        Ok(Self {
            leg: written.leg,
            component: written.component,
            method: written.method,
            flow: written.flow,
            contains: written.contains,
            skip: written.skip,
            count: written.count,
            chance: written.chance,
            deed,
        })
    }
}

impl From<Injection> for Written {
    fn from(injection: Injection) -> Self {
        let (deed, time, error) = match injection.deed {
            Deed::Delay { time } => (DeedName::Delay, Some(time), None),
            Deed::Drop => (DeedName::Drop, None, None),
            Deed::Duplicate => (DeedName::Duplicate, None, None),
            Deed::Hold => (DeedName::Hold, None, None),
            Deed::Fail { error } => (DeedName::Fail, None, Some(error)),
        };
        Self {
            leg: injection.leg,
            component: injection.component,
            method: injection.method,
            flow: injection.flow,
            contains: injection.contains,
            skip: injection.skip,
            count: injection.count,
            chance: injection.chance,
            deed,
            time,
            error,
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each deed with what it needs, as it is written.
    const DEEDS: [&str; 5] = [
        "deed = 'delay'\ntime = '300ms'",
        "deed = 'drop'",
        "deed = 'duplicate'",
        "deed = 'hold'",
        "deed = 'fail'\nerror = 'no'",
    ];

    #[test]
    fn what_is_written_down_is_read_again() {
        for deed in DEEDS {
            let text = format!("component = 'payments'\nskip = 2\nchance = '5%'\n{deed}");
            let injection: Injection = toml::from_str(&text).expect(deed);
            let written = toml::to_string(&injection).expect(deed);
            assert_eq!(toml::from_str(&written), Ok(injection), "{written}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_with_each_deed() {
        for deed in DEEDS {
            let read = toml::from_str::<Injection>(&format!("flwo = 'checkout'\n{deed}"));
            let error = read.expect_err(deed).to_string();
            assert!(error.contains("unknown field `flwo`"), "{deed}: {error}");
            assert!(error.contains("`flow`"), "{deed}: {error}");
        }
    }

    #[test]
    fn what_another_deed_needs_is_refused() {
        for (text, says) in [
            (
                "deed = 'drop'\ntime = '3s'",
                "`time` is for the deed `delay` only",
            ),
            (
                "deed = 'hold'\ntime = '3s'",
                "`time` is for the deed `delay` only",
            ),
            (
                "deed = 'duplicate'\nerror = 'no'",
                "`error` is for the deed `fail` only",
            ),
            (
                "deed = 'delay'\ntime = '3s'\nerror = 'no'",
                "`error` is for the deed `fail` only",
            ),
            (
                "deed = 'fail'\ntime = '3s'\nerror = 'no'",
                "`time` is for the deed `delay` only",
            ),
            ("deed = 'delay'", "the deed `delay` needs a `time`"),
            ("deed = 'fail'", "the deed `fail` needs an `error`"),
            ("component = 'till'", "missing field `deed`"),
        ] {
            let error = toml::from_str::<Injection>(text)
                .expect_err(text)
                .to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
