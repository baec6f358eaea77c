//! Faults that somebody wrote down and that would do nothing: they last no time, or come between nothing; or not what
//! they say.
//!
//! A test with such a fault is green in vain, as one with a name that nothing has. What is drawn or made smaller is not
//! looked at: there something may well be nothing.

use std::slice;

use crate::faults::EPISODES_EXPECTED_MAX;
use crate::plan::ANY;
use crate::{Episodes, Event, Faults, Happening, LinkPlan, ServiceTime, Shape, Sim, Span, Way};

/// What does nothing: where it stands and why.
type Found = Option<String>;

impl Sim {
    /// Says what in some faults does nothing. All nodes have started.
    pub(crate) fn vain_in_faults(&self, faults: &Faults) -> Found {
        let is_empty = |list: Option<usize>| list == Some(0);
        if is_empty(faults.latency.as_ref().map(Vec::len)) {
            return Some(empty("latency"));
        }
        if is_empty(faults.service.as_ref().map(Vec::len)) {
            return Some(empty("service"));
        }
        let all_links = LinkPlan {
            bandwidth: faults.bandwidth,
            ..LinkPlan::default()
        };
        let shapes = faults.latency.iter().flatten().enumerate();
        let mut shapes = shapes.map(|(number, shape)| (format!("latency[{number}]"), shape));
        let way = |(number, way): (usize, &Way)| {
            let place = format!("ways[{number}]");
            if way.from == way.to && way.from != ANY {
                let node = &way.from;
                return Some(format!("`{place}` is from `{node}` to itself"));
            }
            vain_link(&format!("{place}.link."), &way.link)
        };
        let event = |(number, event): (usize, &Event)| {
            let place = format!("events[{number}]");
            vain_event(&place, event).or_else(|| self.vain_between(&place, &event.what))
        };
        let time = |(number, time): (usize, &ServiceTime)| {
            vain_shape(&format!("service[{number}].takes"), &time.takes)
        };
        let mut ways = faults.ways.iter().enumerate();
        let mut events = faults.events.iter().enumerate();
        let mut service = faults.service.iter().flatten().enumerate();
        faults
            .written_episodes()
            .find_map(|(family, episodes)| vain_episodes(family, episodes, faults.lasts))
            .or_else(|| shapes.find_map(|(place, shape)| vain_shape(&place, shape)))
            .or_else(|| vain_link("", &all_links))
            .or_else(|| ways.find_map(way))
            .or_else(|| events.find_map(event))
            .or_else(|| service.find_map(time))
    }

    /// Says of something between nodes that nothing is between these.
    fn vain_between(&self, place: &str, what: &Happening) -> Found {
        let (from, to) = match what {
            Happening::Partition { from, to, .. } => (from.as_slice(), to.as_slice()),
            Happening::Disconnect { node, peer } | Happening::Clog { node, peer } => {
                (slice::from_ref(node), slice::from_ref(peer))
            }
            _ => return None,
        };
        // Who knows who comes later, and on which machine.
        let is_there = |name: &String| name != ANY && !self.find(name).is_empty();
        if !from.iter().chain(to).all(is_there) || !self.pairs(from, to).is_empty() {
            return None;
        }
        Some(format!(
            "`{place}` ({what}) does nothing: it is between no two nodes on different machines"
        ))
    }
}

fn empty(place: &str) -> String {
    format!("`{place}` is empty: say something there, or leave it out")
}

fn vain_shape(place: &str, shape: &Shape) -> Found {
    let is_empty = matches!(shape, Shape::Table { quantiles } if quantiles.is_empty());
    is_empty.then(|| empty(&format!("{place}.quantiles")))
}

fn vain_link(place: &str, link: &LinkPlan) -> Found {
    if link.bandwidth.is_some_and(|it| it.bytes_per_second == 0) {
        return Some(format!(
            "`{place}bandwidth.bytes_per_second` is 0: for a link on which nothing passes there is a partition"
        ));
    }
    let latency = link.latency.as_ref();
    latency.and_then(|shape| vain_shape(&format!("{place}latency"), shape))
}

fn vain_episodes(family: &str, episodes: &Episodes, lasts: Span) -> Found {
    if let Some(number) = episodes.nodes.iter().position(|name| name == ANY) {
        return Some(format!(
            "`{family}.nodes[{number}]` is `{ANY}`, which would be everybody at once, clients too: leave `nodes` out for any one"
        ));
    }
    let is_at_once = ["disconnects", "crashes", "outages"].contains(&family);
    let field = match (episodes.every.is_zero(), episodes.lasts.max.is_zero()) {
        (true, _) => "every",
        (false, true) if !is_at_once => "lasts",
        _ if lasts.nanos() / episodes.every.nanos() > EPISODES_EXPECTED_MAX => {
            return Some(format!(
                "`{family}.every` comes more than {EPISODES_EXPECTED_MAX} times in the {lasts} that things go wrong: say \
                 a longer time"
            ));
        }
        _ => return None,
    };
    Some(format!("`{family}.{field}` is no time: say how long"))
}

fn vain_event(place: &str, event: &Event) -> Found {
    let what = &event.what;
    let is_at_once = matches!(what, Happening::Disconnect { .. } | Happening::Crash { .. });
    match event.lasts {
        None if !is_at_once => {
            return Some(format!(
                "`{place}` ({what}) does nothing: say how long it lasts, as in `lasts = \"3s\"`"
            ));
        }
        Some(lasts) if lasts.is_zero() && !is_at_once => {
            return Some(format!(
                "`{place}.lasts` is no time, so that {what} does nothing"
            ));
        }
        _ => {}
    }
    let field = match what {
        Happening::Partition {
            flaps: Some(every), ..
        } if every.is_zero() => "flaps",
        Happening::Slow { each_turn, .. } if each_turn.is_zero() => "each_turn",
        Happening::Drift { ppm: 0, .. } => "ppm",
        Happening::StepClock { millis: 0, .. } => "millis",
        _ => return None,
    };
    Some(format!("`{place}.{field}` is 0, which does nothing"))
}
