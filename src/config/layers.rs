//! Where settings come from, one layer over the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{flow_keys, known_keys, set, show};
use super::settings::Settings;
use crate::InstanceLimits;
use crate::app::Definition;
use crate::exit::Failure;
use crate::suggest::{self, nearest};

/// The file that is read when none is named.
const FILE: &str = "monofil.toml";
/// What the names of environment variables that set something begin with.
const PREFIX: &str = "MONOFIL_";
/// Settings that must be more than 0. (A bound of 0 elsewhere only means that nothing is let in there, and
/// whoever is rejected is told which bound it was.)
const POSITIVE: [&str; 14] = [
    "deadline.default",
    "node.handlers",
    "node.probe_interval",
    "membership.probe_timeout",
    "membership.suspicion",
    "membership.gossip_interval",
    "membership.join_interval",
    "membership.rejoin_interval",
    "membership.compare_interval",
    "link.window_records",
    "link.window_bytes",
    "link.unsettled_max",
    "link.frame_bytes",
    "link.resend_after",
];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The settings as the layers put on them so far make them, and where each came from.
pub(crate) struct Layers {
    settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Begins with the defaults.
    pub(crate) fn of(components: &[Definition]) -> Self {
        Self {
            settings: Settings::of(components),
            origins: BTreeMap::new(),
        }
    }

    /// Puts the configuration file on: the one named, or `monofil.toml` if it is there.
    pub(crate) fn file(&mut self, named: Option<&Path>) -> Result<(), Failure> {
        let path = named.unwrap_or(Path::new(FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => {
                let what = format!("`{}` cannot be read: {error}", path.display());
                let named = named.map(|_| "in --config".to_owned());
                return Err(Failure::usage(what).maybe(named));
            }
        };
        self.file_text(path, &text)
    }

    fn file_text(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            Failure::usage(error.message()).note(place(path, text, &at))
        })?;
        let mut values = Vec::new();
        flatten("", table.get_ref(), &mut values);
        for entry in values {
            let line = line_of(text, &entry.at);
            let origin = Origin::File(path.to_owned(), line);
            let value = entry
                .value
                .map_err(|what| Failure::usage(what).note(place(path, text, &entry.at)))?;
            self.put(&entry.name, &value, origin)
                .map_err(|failure| failure.note(place(path, text, &entry.at)))?;
        }
        Ok(())
    }

    /// Checks a configuration file as a node that reads it would, but for the names of components: those that it has
    /// count as known, because which there are is for an app to say.
    pub(crate) fn check(path: &Path, text: &str) -> Result<(), Failure> {
        let mut layers = Self::of(&[]);
        let tables = DeTable::parse(text).ok();
        for (group, value) in tables.iter().flat_map(|it| it.get_ref()) {
            let group: &str = group.get_ref();
            if let (DeValue::Table(table), "components" | "peers") = (value.get_ref(), group) {
                let names = table.keys().map(|name| name.get_ref().to_string());
                let known = names.map(|name| (name, InstanceLimits::default()));
                layers.settings.components.extend(known);
            }
        }
        layers.file_text(path, text)?;
        layers.finish().map(|_| ())
    }

    /// Puts the environment on.
    pub(crate) fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), Failure> {
        let mut variables: Vec<_> = variables
            .into_iter()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            // Whoever sets where `monofil` enters the network also runs apps.
            .filter(|(name, _)| name.starts_with(PREFIX) && name != crate::operator::SEED_VARIABLE)
            .collect();
        variables.sort();
        for (variable, value) in variables {
            let name = variable[PREFIX.len()..].to_lowercase().replace("__", ".");
            let origin = Origin::Environment(variable.clone());
            let put = match value.to_str() {
                Some(value) => self.put(&name, value, origin),
                None => Err(Failure::usage(format!(
                    "`{name}` is set to what is not UTF-8"
                ))),
            };
            put.map_err(|failure| failure.note(format!("in the environment variable {variable}")))?;
        }
        Ok(())
    }

    /// Puts a flag on.
    pub(crate) fn flag(&mut self, flag: &str, name: &str, value: &str) -> Result<(), Failure> {
        self.put(name, value, Origin::Flag(flag.to_owned()))
            .map_err(|failure| failure.note(format!("in {flag}")))
    }

    /// Puts `--set KEY=VALUE` on.
    pub(crate) fn assignment(&mut self, text: &str) -> Result<(), Failure> {
        let Some((name, value)) = text.split_once('=') else {
            let what = format!("--set {text}: write it as --set KEY=VALUE");
            return Err(Failure::usage(what));
        };
        self.flag("--set", name.trim(), value.trim())
    }

    fn put(&mut self, name: &str, value: &str, origin: Origin) -> Result<(), Failure> {
        match set(&mut self.settings, name, value) {
            Some(Ok(())) => {
                self.origins.insert(name.to_owned(), origin);
                Ok(())
            }
            Some(Err(why)) => Err(Failure::usage(format!("`{name}`: {why}"))),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let known = known_keys(&self.settings);
        let names = known.iter().map(|(name, _)| name.as_str());
        let did_you_mean = |meant: &str| format!("did you mean `{meant}`?");
        let meant = nearest(name, names.clone())
            .map(did_you_mean)
            .or_else(|| unknown_of_group(name))
            .or_else(|| self.unknown_component(name))
            .or_else(|| group(name, names.clone()))
            .or_else(|| nearest_part(name, names).map(did_you_mean));
        Failure::usage(format!("there is no setting `{name}`"))
            .maybe(meant)
            .note("`config show` lists every setting")
    }

    /// Says which components there are when the one that a setting names is not among them.
    fn unknown_component(&self, name: &str) -> Option<String> {
        let (group, rest) = name.split_once('.')?;
        let component = match group {
            "peers" => rest,
            "components" => rest.split('.').next()?,
            _ => return None,
        };
        let components = &self.settings.components;
        let all: Vec<_> = components.keys().map(String::as_str).collect();
        let known = components.contains_key(component);
        (!known).then(|| format!("the components are {}", suggest::list(&all, "and")))
    }

    /// Returns where a setting came from.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks what belongs together and returns the result.
    pub(crate) fn finish(&self) -> Result<Settings, Failure> {
        self.settings.zmq.validate().map_err(|error| {
            let name = format!("zmq.{}", error.field);
            let what = format!(
                "`{name}` is {}, which must be {}",
                error.value, error.allowed
            );
            Failure::usage(what).note(format!("from {}", self.origin(&name)))
        })?;
        let zero = POSITIVE.iter().find(|name| {
            let value = show(&self.settings, name);
            value.trim_end_matches(char::is_alphabetic) == "0"
        });
        if let Some(name) = zero {
            let what = format!("`{name}` is 0, with which nothing would ever be delivered");
            return Err(Failure::usage(what).note(format!("from {}", self.origin(name))));
        }
        Ok(self.settings.clone())
    }
}

/// Says what can be set of a flow.
fn unknown_of_group(name: &str) -> Option<String> {
    let flow = name.strip_prefix("flows.")?;
    let flow = flow.split_once('.').map_or(flow, |(flow, _)| flow);
    let all = flow_keys();
    Some(format!("`flows.{flow}` has {}", suggest::list(&all, "and")))
}

/// Says that a name is not one setting but the beginning of several.
fn group<'a>(name: &str, mut known: impl Iterator<Item = &'a str>) -> Option<String> {
    let one = known.find(|known| {
        known
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })?;
    Some(format!("`{name}` is a group of settings, such as `{one}`"))
}

/// Finds a setting whose last part was meant, or a group whose name was.
fn nearest_part<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let (group, last) = name.split_once('.').unwrap_or((name, name));
    let last = last.rsplit('.').next().unwrap_or(last);
    let part = |name: &'a str| name.rsplit('.').next().unwrap_or(name);
    let first = |name: &'a str| name.split('.').next().unwrap_or(name);
    let meant = nearest(last, known.clone().map(part));
    let of_last = meant.and_then(|meant| known.clone().find(|name| part(name) == meant));
    of_last.or_else(|| nearest(group, known.map(first)))
}

/// A value in a file, or why it cannot be one.
struct Entry {
    name: String,
    at: Range<usize>,
    value: Result<String, String>,
}

/// Lists the values of a table and those below it by their full names.
fn flatten(prefix: &str, table: &DeTable<'_>, into: &mut Vec<Entry>) {
    for (key, value) in table {
        let key_text: &str = key.get_ref();
        let name = if prefix.is_empty() {
            key_text.to_owned()
        } else {
            format!("{prefix}.{key_text}")
        };
        match value.get_ref() {
            DeValue::Table(below) => flatten(&name, below, into),
            leaf => into.push(Entry {
                name,
                at: key.span(),
                value: text_of(leaf),
            }),
        }
    }
}

/// Writes a value as a flag would: lists with commas.
fn text_of(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        DeValue::Array(items) => {
            let texts: Result<Vec<_>, _> =
                items.iter().map(|item| text_of(item.get_ref())).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) => Err("no setting is a date".into()),
        DeValue::Table(_) => Err("a table cannot be in a list here".into()),
    }
}

fn line_of(text: &str, at: &Range<usize>) -> usize {
    text.bytes()
        .take(at.start)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// Says where in a file something is, with the line.
fn place(path: &Path, text: &str, at: &Range<usize>) -> String {
    let number = line_of(text, at);
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    format!("in {} line {number}: {line}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn layers() -> Layers {
        let mut layers = Layers::of(&[]);
        let limits = crate::InstanceLimits::default();
        layers.settings.components.insert("orders".into(), limits);
        layers
    }

    fn of_file(text: &str) -> Result<Layers, String> {
        let mut layers = layers();
        layers
            .file_text(Path::new("monofil.toml"), text)
            .map(|()| layers)
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_later_layer_wins_and_says_where_it_came_from() {
        let mut layers = of_file(
            "[deadline]\ndefault = \"1s\"\ndrain = \"2s\"\n[components.orders]\nqueue_messages = 7\n[peers]\norders = [\"tcp://10.0.0.5:7702\", \"ipc:///run/orders\"]\n",
        )
        .unwrap_or_else(|error| panic!("{error}"));
        let variables = [
            ("MONOFIL_DEADLINE__DRAIN".into(), "3s".into()),
            ("HOME".into(), "/".into()),
        ];
        layers.environment(variables).expect("a known variable");
        layers
            .assignment("components.orders.queue_bytes=4KiB")
            .expect("a known key");
        let settings = layers.finish().expect("valid");
        assert_eq!(settings.default_deadline, Duration::from_secs(1));
        assert_eq!(settings.drain_deadline, Duration::from_secs(3));
        assert_eq!(settings.components["orders"].queue_messages, 7);
        assert_eq!(settings.components["orders"].queue_bytes, 4096);
        assert_eq!(settings.peers["orders"].len(), 2);
        for (key, origin) in [
            ("deadline.default", "monofil.toml:2"),
            ("deadline.drain", "environment MONOFIL_DEADLINE__DRAIN"),
            ("components.orders.queue_messages", "monofil.toml:5"),
            ("components.orders.queue_bytes", "--set"),
            ("network.host", "default"),
        ] {
            assert_eq!(layers.origin(key).to_string(), origin, "{key}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_was_meant() {
        let table = [
            (
                "\n[network]\nbase_prot = 7\n",
                "error: there is no setting `network.base_prot`\n  did you mean `network.base_port`?\n  `config show` lists every setting\n  in monofil.toml line 3: base_prot = 7",
            ),
            (
                "base_prot = 7\n",
                "error: there is no setting `base_prot`\n  did you mean `network.base_port`?\n  `config show` lists every setting\n  in monofil.toml line 1: base_prot = 7",
            ),
            (
                "[peer]\nx = \"tcp://a:1\"\n",
                "error: there is no setting `peer.x`\n  did you mean `peers`?\n  `config show` lists every setting\n  in monofil.toml line 2: x = \"tcp://a:1\"",
            ),
            (
                "[peers]\nx = \"tcp://a:1\"\n",
                "error: there is no setting `peers.x`\n  the components are orders\n  `config show` lists every setting\n  in monofil.toml line 2: x = \"tcp://a:1\"",
            ),
            (
                "log = \"info\"\n",
                "error: there is no setting `log`\n  `log` is a group of settings, such as `log.level`\n  `config show` lists every setting\n  in monofil.toml line 1: log = \"info\"",
            ),
            (
                "[log]\nlevel = \"loud\"\n",
                "error: `log.level`: `loud` is no log level: error, warn, info, debug or trace, or per target: info,monofil_zmq=debug\n  in monofil.toml line 2: level = \"loud\"",
            ),
            (
                "[components.ordres]\nqueue_messages = 7\n",
                "error: there is no setting `components.ordres.queue_messages`\n  did you mean `components.orders.queue_messages`?\n  `config show` lists every setting\n  in monofil.toml line 2: queue_messages = 7",
            ),
            (
                "[deadline]\ndefault = 5\n",
                "error: `deadline.default`: `5` is no duration: a number with ns, us, ms, s, min (or m) or h, like 250ms\n  in monofil.toml line 2: default = 5",
            ),
            (
                "[peers]\norders = \"10.0.0.5\"\n",
                "error: `peers.orders`: `10.0.0.5` has no known scheme: write tcp://HOST:PORT, ipc:///PATH or inproc://NAME\n  in monofil.toml line 2: orders = \"10.0.0.5\"",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(of_file(text).err().as_deref(), Some(expected));
        }
        let broken = of_file("[network\n").err().unwrap_or_default();
        assert!(
            broken.contains("in monofil.toml line 1: [network"),
            "{broken}"
        );
    }

    #[test]
    fn flows_are_called_as_they_like_and_what_can_be_set_of_them_is_known() {
        let layers = of_file(
            "[flows.checkout]\nrate_messages = 100\noverflow = \"queue\"\nhorizon = \"host, drop\"\n\n[flows.\"a.b\"]\nqueue_bytes = \"2KiB\"\n",
        );
        let settings = layers.and_then(|it| it.finish().map_err(|error| error.to_string()));
        let settings = settings.unwrap_or_else(|error| panic!("{error}"));
        let checkout = settings.flows["checkout"];
        assert_eq!(checkout.limits.rate_messages, Some(100));
        assert_eq!(checkout.overflow, Some(crate::Overflow::Queue));
        let near = crate::Horizon::new(crate::Distance::Host).dropping();
        assert_eq!(checkout.horizon, near);
        assert_eq!(show(&settings, "flows.checkout.horizon"), "host, drop");
        assert_eq!(settings.flows["a.b"].limits.queue_bytes, Some(2048));
        assert_eq!(settings.flows.len(), 2);
        let shown = known_keys(&settings);
        let name = "flows.checkout.rate_messages";
        assert!(shown.iter().any(|(known, _)| known == name));
        assert_eq!(show(&settings, name), "100");
        let wrong = of_file("[flows.checkout]\ndepth = 1\n")
            .err()
            .unwrap_or_default();
        let all = "`flows.checkout` has queue_messages, queue_bytes, in_flight, rate_messages, rate_bytes, overflow and horizon";
        assert!(wrong.contains(all), "{wrong}");
    }

    #[test]
    fn horizons_are_distances_and_say_what_becomes_of_casts() {
        for (text, said) in [
            (
                "away",
                "`away` is no distance: process, host, network or remote",
            ),
            ("host, bounce", "`bounce` is not `drop`, as in `host, drop`"),
        ] {
            let wrong = of_file(&format!("[horizon]\napp = \"{text}\"\n"));
            let wrong = wrong.err().unwrap_or_default();
            assert!(wrong.contains(said), "{wrong}");
        }
    }

    #[test]
    fn a_variable_that_is_no_text_is_not_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(vec![0xff]);
        let failure = layers().environment([("MONOFIL_NETWORK__HOST".into(), value)]);
        assert_eq!(
            failure.err().map(|failure| failure.to_string()).as_deref(),
            Some(
                "error: `network.host` is set to what is not UTF-8\n  in the environment variable MONOFIL_NETWORK__HOST"
            )
        );
    }

    #[test]
    fn values_with_which_nothing_works_are_refused() {
        for name in POSITIVE {
            let mut layers = layers();
            let zero = match name {
                "link.window_records" | "link.unsettled_max" => "0",
                "node.handlers" | "membership.suspicion" => "0",
                _ if name.ends_with("bytes") => "0KiB",
                _ => "0ms",
            };
            layers.flag("--set", name, zero).expect("a known setting");
            let failure = layers.finish().err().map(|failure| failure.to_string());
            let expected = format!(
                "error: `{name}` is 0, with which nothing would ever be delivered\n  from --set"
            );
            assert_eq!(failure, Some(expected));
        }
    }

    #[test]
    fn values_out_of_range_name_their_origin() {
        let layers =
            of_file("[zmq]\nhelpers_max = 2000\n").unwrap_or_else(|error| panic!("{error}"));
        let failure = layers.finish().err().map(|failure| failure.to_string());
        assert_eq!(
            failure.as_deref(),
            Some(
                "error: `zmq.helpers_max` is 2000, which must be from 1 to 1024\n  from monofil.toml:2"
            )
        );
    }
}
