//! Every setting by its name.

use std::path::PathBuf;
use std::time::Duration;

use monofil_transport::Endpoint;

use super::settings::{FlowSettings, LogFormat, Settings};
use super::value::{parse_count, parse_place, parse_size, parse_time, show_size, show_time};
use crate::logging::parse_level;
use crate::{Code, Distance, FailureCodes, Horizon, InstanceLimits, Layout, Overflow};

/// Where a value is kept, and how it is written.
pub(crate) enum Slot<'a> {
    Text(&'a mut String),
    Maybe(&'a mut Option<String>),
    Level(&'a mut Option<String>),
    Path(&'a mut Option<PathBuf>),
    Port(&'a mut u16),
    Small(&'a mut u32),
    Long(&'a mut u64),
    Count(&'a mut usize),
    MaybeLong(&'a mut Option<u64>),
    Size(&'a mut usize),
    MaybeSize(&'a mut Option<u64>),
    LongSize(&'a mut u64),
    Time(&'a mut Duration),
    MaybeTime(&'a mut Option<Duration>),
    MaybeOverflow(&'a mut Option<Overflow>),
    Transport(&'a mut Option<Layout>),
    Format(&'a mut LogFormat),
    Endpoints(&'a mut Vec<Endpoint>),
    Places(&'a mut Vec<String>),
    Horizon(&'a mut Horizon),
    Codes(&'a mut FailureCodes),
}

impl Slot<'_> {
    /// Sets the value from a text.
    fn write(self, text: &str) -> Result<(), String> {
        let some = || (!text.is_empty()).then(|| text.to_owned());
        match self {
            Self::Text(slot) => *slot = text.to_owned(),
            Self::Maybe(slot) => *slot = some(),
            Self::Level(slot) => {
                let level = some();
                level.as_deref().map(parse_level).transpose()?;
                *slot = level;
            }
            Self::Path(slot) => *slot = some().map(PathBuf::from),
            Self::Port(slot) => *slot = parse_count(text)?,
            Self::Small(slot) => *slot = parse_count(text)?,
            Self::Long(slot) => *slot = parse_count(text)?,
            Self::Count(slot) => *slot = parse_count(text)?,
            Self::Size(slot) => {
                *slot = usize::try_from(parse_size(text)?).map_err(|error| error.to_string())?;
            }
            Self::MaybeLong(slot) => *slot = some().as_deref().map(parse_count).transpose()?,
            Self::LongSize(slot) => *slot = parse_size(text)?,
            Self::MaybeSize(slot) => *slot = some().as_deref().map(parse_size).transpose()?,
            Self::Time(slot) => *slot = parse_time(text)?,
            Self::MaybeTime(slot) => *slot = some().as_deref().map(parse_time).transpose()?,
            Self::MaybeOverflow(slot) => {
                *slot = some().as_deref().map(parse_overflow).transpose()?;
            }
            Self::Transport(slot) => *slot = Some(super::parse_transport(text)?),
            Self::Format(slot) => {
                *slot = match text {
                    "auto" => LogFormat::Auto,
                    "human" => LogFormat::Human,
                    "json" => LogFormat::Json,
                    _ => return Err(format!("`{text}` is no log format: auto, human or json")),
                };
            }
            Self::Horizon(slot) => *slot = parse_horizon(text)?,
            Self::Codes(slot) => *slot = parse_codes(text)?,
            Self::Endpoints(slot) => {
                let endpoints = text.split(',').map(|endpoint| {
                    let endpoint: Result<Endpoint, _> = endpoint.trim().parse();
                    endpoint.map_err(|error| error.to_string())
                });
                *slot = endpoints.collect::<Result<_, _>>()?;
            }
            Self::Places(slot) => {
                let places = text.split(',').map(str::trim).filter(|it| !it.is_empty());
                *slot = places.map(parse_place).collect::<Result<_, _>>()?;
            }
        }
        Ok(())
    }

    /// Returns the value as it is written; empty when it is not set.
    fn read(self) -> String {
        match self {
            Self::Text(slot) => slot.clone(),
            Self::Maybe(slot) | Self::Level(slot) => slot.clone().unwrap_or_default(),
            Self::Path(slot) => slot
                .as_ref()
                .map_or_else(String::new, |path| path.display().to_string()),
            Self::Port(slot) => slot.to_string(),
            Self::Small(slot) => slot.to_string(),
            Self::Long(slot) => slot.to_string(),
            Self::Count(slot) => slot.to_string(),
            Self::MaybeLong(slot) => slot.map_or_else(String::new, |it| it.to_string()),
            Self::MaybeSize(slot) => slot.map_or_else(String::new, show_size),
            Self::MaybeTime(slot) => slot.map_or_else(String::new, show_time),
            Self::MaybeOverflow(slot) => slot.map_or_else(String::new, |it| it.to_string()),
            Self::Size(slot) => show_size(*slot as u64),
            Self::LongSize(slot) => show_size(*slot),
            Self::Time(slot) => show_time(*slot),
            Self::Transport(slot) => slot.map_or_else(String::new, |layout| layout.to_string()),
            Self::Format(slot) => format!("{slot:?}").to_lowercase(),
            Self::Endpoints(slot) => {
                let texts: Vec<_> = slot.iter().map(Endpoint::as_str).collect();
                texts.join(",")
            }
            Self::Places(slot) => slot.join(","),
            Self::Horizon(slot) => slot.to_string(),
            Self::Codes(slot) => show_codes(*slot),
        }
    }
}

/// Reads a distance, and after a comma whether casts that would go farther are dropped.
fn parse_horizon(text: &str) -> Result<Horizon, String> {
    let (distance, rest) = match text.split_once(',') {
        Some((distance, rest)) => (distance.trim(), Some(rest.trim())),
        None => (text, None),
    };
    let horizon = Horizon::new(match distance {
        "process" => Distance::Process,
        "host" => Distance::Host,
        "network" => Distance::Network,
        "remote" => Distance::Remote,
        _ => {
            return Err(format!(
                "`{distance}` is no distance: process, host, network or remote"
            ));
        }
    });
    match rest {
        None => Ok(horizon),
        Some("drop") => Ok(horizon.dropping()),
        Some(rest) => Err(format!("`{rest}` is not `drop`, as in `host, drop`")),
    }
}

/// Reads names of codes, with commas between them.
fn parse_codes(text: &str) -> Result<FailureCodes, String> {
    match text {
        "" => return Ok(FailureCodes::default()),
        "none" => return Ok(FailureCodes::of(&[])),
        _ => {}
    }
    let named = |name: &str| {
        let mut all = Code::ALL.into_iter();
        all.find(|code| code.as_str() == name).ok_or_else(|| {
            let all = Code::ALL.map(Code::as_str);
            format!("`{name}` is no code: {}", crate::suggest::list(&all, "or"))
        })
    };
    let names = text.split(',').map(str::trim);
    let codes = names.map(named).collect::<Result<Vec<_>, _>>()?;
    Ok(FailureCodes::of(&codes))
}

fn show_codes(codes: FailureCodes) -> String {
    if codes == FailureCodes::default() {
        String::new()
    } else if codes == FailureCodes::of(&[]) {
        "none".to_owned()
    } else {
        codes.to_string()
    }
}

fn parse_overflow(text: &str) -> Result<Overflow, String> {
    Overflow::named(text).ok_or_else(|| {
        let all = Overflow::ALL.map(Overflow::as_str);
        format!(
            "`{text}` is no policy: {}",
            crate::suggest::list(&all, "or")
        )
    })
}

/// A setting whose name does not depend on the app.
struct Key {
    name: &'static str,
    about: &'static str,
    slot: fn(&mut Settings) -> Slot<'_>,
}

/// Declares the settings in the order in which they are shown.
macro_rules! keys {
    ($($name:literal $kind:ident($($place:ident).+) $about:literal;)*) => {
        const KEYS: &[Key] = &[$(Key {
            name: $name,
            about: $about,
            slot: |settings| Slot::$kind(&mut settings.$($place).+),
        }),*];
    };
}

keys! {
    "network.name" Text(network) "nodes of another name are not heard; empty: any";
    "network.seeds" Places(membership.seeds) "HOST:PORT of nodes to find the network by, any one of them; unset: only [peers] are known";
    "network.transport" Transport(transport) "memory, ipc or tcp; unset: what the command uses by itself";
    "network.runtime_dir" Path(runtime_dir) "where ipc sockets are; unset: $XDG_RUNTIME_DIR/monofil or /tmp/monofil-UID";
    "network.host" Text(host) "what tcp sockets are bound to";
    "network.advertise" Maybe(advertise) "the host that others reach this one by; unset: the bound one";
    "network.base_port" Port(base_port) "the first component's tcp port; each has two";
    "log.level" Level(log_level) "error, warn, info, debug, trace, or per target: info,monofil_zmq=debug";
    "log.format" Format(log_format) "auto, human or json";
    "deadline.default" Time(default_deadline) "how long a message lives when nobody says";
    "deadline.drain" Time(drain_deadline) "how long an orderly end may take";
    "node.queue_messages" Count(node.queue_messages) "messages queued for all instances of a node";
    "node.queue_bytes" Size(node.queue_bytes) "their payloads";
    "node.in_flight" MaybeLong(node.in_flight) "messages queued and handlers under way; unset: no limit";
    "node.rate_messages" MaybeLong(node.rate_messages) "messages admitted each second; unset: no limit";
    "node.rate_bytes" MaybeSize(node.rate_bytes) "their payloads, each second; unset: no limit";
    "node.guaranteed_messages" Count(node.guaranteed_messages) "what each instance may queue in any case";
    "node.handlers" Count(node.handlers) "handlers under way at once";
    "node.calls" Count(node.calls) "calls under way at once";
    "node.streams" Count(node.streams) "streams served at once";
    "node.delayed" Count(node.delayed) "delayed messages";
    "node.peers" Count(node.peers) "other nodes remembered";
    "node.probe_interval" Time(probe_interval) "how often other nodes are asked whether they live";
    "node.silent_after" Time(silent_after) "when a node that says nothing is reported";
    "node.busy_max" Time(busy_max) "when a handler that holds the thread is taken to be stuck";
    "overflow.network" MaybeOverflow(network_overflow) "what becomes of messages that there is no room for: bounce, queue, spill or drop; unset: bounce";
    "overflow.app" MaybeOverflow(app_overflow) "the same for this app, over the network's";
    "node.host" Maybe(machine) "the machine, in a word: equal at nodes that share one; unset: its name";
    "horizon.network" Horizon(network_horizon) "how far messages travel: process, host, network or remote; `host, drop`: casts that would go farther are dropped";
    "horizon.app" Horizon(app_horizon) "those for components of this app";
    "breaker.window" Time(resilience.breaker.window) "how far back calls count";
    "breaker.window_calls" Small(resilience.breaker.window_calls) "count so many of the latest calls instead; 0: by time";
    "breaker.calls_min" Small(resilience.breaker.calls_min) "calls in it before a share opens the breaker";
    "breaker.failure_codes" Codes(resilience.breaker.failure_codes) "a component's errors that are failures, or none; unset: unknown,deadline_exceeded,internal,unavailable,data_loss";
    "breaker.failure_percent" Small(resilience.breaker.failure_percent) "of them that fail; above 100: never";
    "breaker.failures_in_a_row" Small(resilience.breaker.failures_in_a_row) "that open it however few there were; 0: never";
    "breaker.slow_percent" Small(resilience.breaker.slow_percent) "of them that are slow; above 100: never";
    "breaker.slow_after_percent" Small(resilience.breaker.slow_after_percent) "of its time after which a call is slow";
    "breaker.open_min" Time(resilience.breaker.open_min) "how long it stays open the first time; then twice as long, and so on";
    "breaker.open_max" Time(resilience.breaker.open_max) "what that grows to";
    "breaker.permits" Small(resilience.breaker.permits) "calls that then try it";
    "breaker.half_open_max" Time(resilience.breaker.half_open_max) "after so long others may try it as well";
    "ejection.failures_in_a_row" Small(resilience.ejection.failures_in_a_row) "of one instance of several until calls are kept from it; 0: never";
    "ejection.below_percent" Small(resilience.ejection.below_percent) "points by which it does worse than the others until they are; above 100: never";
    "ejection.calls_min" Small(resilience.ejection.calls_min) "calls, of it and of the others, before they are compared";
    "ejection.period" Time(resilience.ejection.period) "how long the first time; then twice, three times as long";
    "ejection.period_max" Time(resilience.ejection.period_max) "what that grows to";
    "ejection.share_max_percent" Small(resilience.ejection.share_max_percent) "of the instances at once";
    "retry.attempts" Small(resilience.retry.attempts) "how often an idempotent call is tried again";
    "retry.budget_percent" Small(resilience.retry.budget_percent) "of the calls under way that may be such";
    "retry.budget_min" Small(resilience.retry.budget_min) "so many in any case";
    "throttle.window" Time(resilience.throttle.window) "how far back rejections count";
    "throttle.tenths_min" Small(resilience.throttle.tenths_min) "tenths of it with a rejection before calls are not sent; above 10: never";
    "membership.probe_timeout" Time(membership.probe_timeout) "when a member that does not answer is asked by way of others";
    "membership.indirect_probes" Count(membership.indirect_probes) "by way of how many";
    "membership.suspicion" Small(membership.suspicion) "probe intervals until a suspect is down; more in large networks";
    "membership.gossip_interval" Time(membership.gossip_interval) "how often changes are passed on";
    "membership.gossip_to" Count(membership.gossip_to) "to how many each time";
    "membership.join_interval" Time(membership.join_interval) "how often a node that is alone tries the seeds";
    "membership.rejoin_interval" Time(membership.rejoin_interval) "how often others try seeds they do not see, and members that are down";
    "membership.compare_interval" Time(membership.compare_interval) "how often what is known of the others is compared";
    "membership.members_max" Count(membership.members_max) "members remembered, those that are down among them";
    "membership.forget_after" Time(membership.forget_after) "when one that is down is forgotten";
    "link.window_records" Long(link.window_records) "requests under way unacknowledged, each way";
    "link.window_bytes" LongSize(link.window_bytes) "their payloads";
    "link.unsettled_max" Count(link.unsettled_max) "casts whose end is not known yet";
    "link.frame_bytes" Size(link.frame_bytes) "a frame is sent when it has reached this size";
    "link.acknowledge_within" Time(link.acknowledge_within) "how long an acknowledgement waits for a frame to ride on";
    "link.resend_after" Time(link.resend_after) "when unacknowledged records are sent again";
    "zmq.frames_buffered_max" Small(zmq.frames_buffered_max) "frames in one connection's buffer";
    "zmq.frame_bytes_max" Size(zmq.frame_bytes_max) "the longest frame";
    "zmq.datagram_bytes_max" Size(zmq.datagram_bytes_max) "the longest datagram";
    "zmq.reconnect_interval" Time(zmq.reconnect_interval) "the pause before a lost connection is tried again";
    "zmq.reconnect_interval_max" Time(zmq.reconnect_interval_max) "what that pause grows to";
    "zmq.connect_timeout" Time(zmq.connect_timeout) "how long one attempt to connect may take";
    "zmq.handshake_timeout" Time(zmq.handshake_timeout) "how long peers may take to greet each other";
    "zmq.heartbeat_interval" Time(zmq.heartbeat_interval) "how often a silent connection is probed";
    "zmq.heartbeat_timeout" Time(zmq.heartbeat_timeout) "how long a probe may stay unanswered";
    "zmq.keepalive_idle" Time(zmq.keepalive_idle) "how long a TCP connection is idle before the kernel probes it";
    "zmq.keepalive_interval" Time(zmq.keepalive_interval) "how far apart the kernel's probes are";
    "zmq.keepalive_probes" Small(zmq.keepalive_probes) "how many of them may stay unanswered";
    "zmq.backlog" Small(zmq.backlog) "connections that wait to be accepted";
    "zmq.connections_max" Count(zmq.connections_max) "connections a node opens";
    "zmq.helpers_max" Count(zmq.helpers_max) "helper threads for blocking work";
    "zmq.helper_jobs_max" Count(zmq.helper_jobs_max) "jobs that wait for a helper";
    "zmq.stall_threshold" Time(zmq.stall_threshold) "how long a handler may hold the thread before it is reported";
    "zmq.sweep_interval" Time(zmq.sweep_interval) "how often silent sockets are looked at";
    "zmq.io_threads" Small(zmq.io_threads) "threads that move bytes";
    "up.restarts" Count(up.restarts) "deaths of a process within the window before it is restarted only with back-off";
    "up.restart_window" Time(up.window) "that window, and how long it must stay up until back-off ends";
}

/// A setting of which there may be several, each after the name of whose it is.
struct KeyOf<T: 'static> {
    name: &'static str,
    about: &'static str,
    slot: fn(&mut T) -> Slot<'_>,
}

/// After `components.NAME.`
const COMPONENT_KEYS: &[KeyOf<InstanceLimits>] = &[
    KeyOf {
        name: "queue_messages",
        about: "messages that wait for it",
        slot: |limits| Slot::Count(&mut limits.queue_messages),
    },
    KeyOf {
        name: "queue_bytes",
        about: "their payloads",
        slot: |limits| Slot::Size(&mut limits.queue_bytes),
    },
    KeyOf {
        name: "in_flight",
        about: "messages that wait for it and its handlers under way; unset: no limit",
        slot: |limits| Slot::MaybeLong(&mut limits.in_flight),
    },
    KeyOf {
        name: "rate_messages",
        about: "messages admitted each second; unset: no limit",
        slot: |limits| Slot::MaybeLong(&mut limits.rate_messages),
    },
    KeyOf {
        name: "rate_bytes",
        about: "their payloads, each second; unset: no limit",
        slot: |limits| Slot::MaybeSize(&mut limits.rate_bytes),
    },
    KeyOf {
        name: "queue_time",
        about: "how long messages may stand in its queue before old ones are refused; unset: no limit",
        slot: |limits| Slot::MaybeTime(&mut limits.queue_time),
    },
    KeyOf {
        name: "network_queue_messages",
        about: "messages that wait for all its instances in the network; unset: no limit",
        slot: |limits| Slot::MaybeLong(&mut limits.network.queue_messages),
    },
    KeyOf {
        name: "network_queue_bytes",
        about: "their payloads; unset: no limit",
        slot: |limits| Slot::MaybeSize(&mut limits.network.queue_bytes),
    },
    KeyOf {
        name: "network_in_flight",
        about: "messages that wait for all its instances in the network and their handlers under way; unset: no limit",
        slot: |limits| Slot::MaybeLong(&mut limits.network.in_flight),
    },
    KeyOf {
        name: "network_rate_messages",
        about: "messages that all its instances in the network admit each second; unset: no limit",
        slot: |limits| Slot::MaybeLong(&mut limits.network.rate_messages),
    },
    KeyOf {
        name: "network_rate_bytes",
        about: "their payloads, each second; unset: no limit",
        slot: |limits| Slot::MaybeSize(&mut limits.network.rate_bytes),
    },
    KeyOf {
        name: "overflow",
        about: "what becomes of messages that it has no room for; unset: what the app or the network says",
        slot: |limits| Slot::MaybeOverflow(&mut limits.overflow),
    },
    KeyOf {
        name: "stack_bytes",
        about: "the stack of its handlers",
        slot: |limits| Slot::Size(&mut limits.stack_bytes),
    },
    KeyOf {
        name: "restarts",
        about: "crashes within the window before it is rebuilt only with back-off",
        slot: |limits| Slot::Count(&mut limits.restarts),
    },
    KeyOf {
        name: "restart_window",
        about: "that window",
        slot: |limits| Slot::Time(&mut limits.restart_window),
    },
];

/// After `flows.NAME.`
const FLOW_KEYS: &[KeyOf<FlowSettings>] = &[
    KeyOf {
        name: "queue_messages",
        about: "messages of this flow that wait at a node; unset: no limit",
        slot: |flow| Slot::MaybeLong(&mut flow.limits.queue_messages),
    },
    KeyOf {
        name: "queue_bytes",
        about: "their payloads; unset: no limit",
        slot: |flow| Slot::MaybeSize(&mut flow.limits.queue_bytes),
    },
    KeyOf {
        name: "in_flight",
        about: "messages of this flow that wait and handlers under way at a node; unset: no limit",
        slot: |flow| Slot::MaybeLong(&mut flow.limits.in_flight),
    },
    KeyOf {
        name: "rate_messages",
        about: "messages of this flow that a node admits each second; unset: no limit",
        slot: |flow| Slot::MaybeLong(&mut flow.limits.rate_messages),
    },
    KeyOf {
        name: "rate_bytes",
        about: "their payloads, each second; unset: no limit",
        slot: |flow| Slot::MaybeSize(&mut flow.limits.rate_bytes),
    },
    KeyOf {
        name: "overflow",
        about: "what becomes of messages of this flow that there is no room for, over what others say",
        slot: |flow| Slot::MaybeOverflow(&mut flow.overflow),
    },
    KeyOf {
        name: "horizon",
        about: "how far messages of this flow travel: process, host, network or remote",
        slot: |flow| Slot::Horizon(&mut flow.horizon),
    },
];

/// A setting that every component has which is no limit of it.
const HORIZON: (&str, &str) = (
    "horizon",
    "how far messages for it travel: process, host, network or remote",
);

/// Finds the place of a setting.
fn slot<'a>(settings: &'a mut Settings, name: &str) -> Option<Slot<'a>> {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return Some((key.slot)(settings));
    }
    let (group, rest) = name.split_once('.')?;
    match group {
        "peers" => {
            let is_known = settings.components.contains_key(rest);
            is_known.then(|| Slot::Endpoints(settings.peers.entry(rest.to_owned()).or_default()))
        }
        "components" => {
            let (component, field) = rest.rsplit_once('.')?;
            if field == HORIZON.0 && settings.components.contains_key(component) {
                let horizons = &mut settings.component_horizons;
                let horizon = horizons.entry(component.to_owned()).or_default();
                return Some(Slot::Horizon(horizon));
            }
            let limits = settings.components.get_mut(component)?;
            let key = COMPONENT_KEYS.iter().find(|key| key.name == field)?;
            Some((key.slot)(limits))
        }
        "flows" => {
            let (flow, field) = rest.rsplit_once('.')?;
            let key = FLOW_KEYS.iter().find(|key| key.name == field)?;
            let flow = settings.flows.entry(flow.to_owned()).or_default();
            Some((key.slot)(flow))
        }
        _ => None,
    }
}

/// Sets what a name stands for; `None` if it stands for nothing.
pub(super) fn set(settings: &mut Settings, name: &str, text: &str) -> Option<Result<(), String>> {
    slot(settings, name).map(|slot| slot.write(text))
}

/// Returns a setting's value as it is written.
pub(crate) fn show(settings: &Settings, name: &str) -> String {
    let mut copy = settings.clone();
    slot(&mut copy, name).map_or_else(String::new, Slot::read)
}

/// Returns every setting of an app, with a text that explains it, in a fixed order.
pub(crate) fn known_keys(settings: &Settings) -> Vec<(String, &'static str)> {
    let mut all: Vec<_> = KEYS
        .iter()
        .map(|key| (key.name.to_owned(), key.about))
        .collect();
    for name in settings.components.keys() {
        let about = "where it is, if not at its well-known address";
        all.push((format!("peers.{name}"), about));
    }
    for name in settings.components.keys() {
        let of_it = COMPONENT_KEYS
            .iter()
            .map(|key| (format!("components.{name}.{}", key.name), key.about));
        all.extend(of_it);
        all.push((format!("components.{name}.{}", HORIZON.0), HORIZON.1));
    }
    // Others are called as they like.
    for name in settings.flows.keys() {
        let of_it = FLOW_KEYS.iter();
        all.extend(of_it.map(|key| (format!("flows.{name}.{}", key.name), key.about)));
    }
    all
}

/// Returns what can be set of a flow.
pub(super) fn flow_keys() -> Vec<&'static str> {
    FLOW_KEYS.iter().map(|key| key.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for (text, codes) in [
            ("", FailureCodes::default()),
            ("none", FailureCodes::of(&[])),
            ("internal", FailureCodes::of(&[Code::Internal])),
            (
                "not_found,unavailable",
                FailureCodes::of(&[Code::Unavailable, Code::NotFound]),
            ),
        ] {
            assert_eq!(parse_codes(text), Ok(codes), "{text}");
            assert_eq!(show_codes(codes), text);
        }
        assert_eq!(
            parse_codes("internal, unavailable"),
            parse_codes("unavailable,internal")
        );
        for wrong in ["Internal", "internal,", "13"] {
            let error = parse_codes(wrong).expect_err("it is no code");
            assert!(error.contains("is no code: "), "{error}");
        }
    }
}
