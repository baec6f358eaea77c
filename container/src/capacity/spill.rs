//! How much of what comes to an instance goes to others of its kind, and to which of them.
//!
//! The share rises while the instance is nearly full and falls while it has room; between the two it stays. It changes
//! slowly, and does not turn round at once: others need time to show what they can take, and a share that follows the
//! queue closely would throw the whole load from one instance to another and back. For the same reason it rises no
//! further once the queue gets shorter, and falls no further once that gets longer: it is where it should be.
//!
//! ```text
//!   of a limit   0 ────────── 70 % ─────────── 90 % ────────── 100 %
//!   the share        falls           stays            rises      what has no room goes elsewhere in any case
//! ```
//!
//! How full others are is known by what they said with their last frame, and by what was sent to them since. The share
//! goes to the nearest of those that are less full by ten points at least: instances that differ by less are left as
//! they are, since they would only throw it from one to the other. What has no room here goes to the nearest that may
//! have some. Of several that are equally near two are drawn, each as often as it has instances, and the less full one
//! gets it.
//!
//! Who has refused something is left alone for as long as its refusal says, unless what refused it is a limit that is
//! seen from here, and there is room again: half of a queue would be empty by then, and load would come in waves.

use std::cmp::Ordering;
use std::time::Duration;

use monofil_transport::{Instant, Stream};

use crate::Distance;
use crate::peers::Refused;

/// Parts of a limit, and of what comes, are in millionths.
pub(crate) const WHOLE: u64 = 1_000_000;
/// From here on the share rises.
const FROM: u64 = 900_000;
/// Below this it falls.
const BACK: u64 = 700_000;
/// How long it keeps its direction.
const DWELL: Duration = Duration::from_secs(5);
/// How often is looked whether the queue gets longer or shorter.
const LOOK: Duration = Duration::from_millis(500);
/// How much it changes in a second, at most.
const RAMP: u64 = 100_000;
/// Who is not less full by so much gets nothing of the share.
const TOLERANCE: u64 = 100_000;

/// Returns how much of a limit is used, in millionths.
pub(crate) fn part_of(used: u64, limit: u64) -> u64 {
    match limit {
        0 => WHOLE,
        _ => used.saturating_mul(WHOLE) / limit,
    }
}

/// Another node that runs the component, as far as is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) peer: usize,
    pub(crate) distance: Distance,
    /// How much of what it takes is there already, in millionths.
    pub(crate) part: u64,
    /// Instances that share it. Never 0.
    pub(crate) instances: u32,
}

/// Tells whether a node that has `refused` something may have room again. `part`: how full it is, if it says how much
/// it takes.
pub(crate) fn may_take(now: Instant, part: Option<u64>, refused: Option<&Refused>) -> bool {
    let Some(refused) = refused.filter(|it| it.until() > now) else {
        return true;
    };
    let is_seen = matches!(
        refused.rejection.limit.as_str(),
        "instance.queue_messages" | "instance.in_flight"
    );
    is_seen && part.is_some_and(|part| part < WHOLE)
}

/// Where the share goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Rises,
    Stays,
    Falls,
}

/// What one instance sends elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Spill {
    share: u64,
    /// The last direction that was none of staying, and since when.
    turned: Option<(Direction, Instant)>,
    seen: Instant,
    /// When was looked last, and how full it was then; and whether that is more than before.
    looked: (Instant, u64),
    trend: Ordering,
    /// What is owed of the share: at a whole, the next goes.
    owed: u64,
}

impl Spill {
    pub(crate) const fn new() -> Self {
        Self {
            share: 0,
            turned: None,
            seen: Instant::ZERO,
            looked: (Instant::ZERO, 0),
            trend: Ordering::Equal,
            owed: 0,
        }
    }

    /// Returns the share that goes elsewhere, in millionths.
    #[cfg(test)]
    pub(crate) const fn share(&self) -> u64 {
        self.share
    }

    /// Notes how full the instance is as a message comes, in parts of its limit, and tells whether that message is one
    /// of those that go elsewhere.
    pub(crate) fn goes(&mut self, now: Instant, part: u64) -> bool {
        self.follow(now, part);
        self.owed += self.share;
        let goes = self.owed >= WHOLE;
        if goes {
            self.owed -= WHOLE;
        }
        goes
    }

    fn follow(&mut self, now: Instant, part: u64) {
        let wanted = match part {
            FROM.. => Direction::Rises,
            BACK.. => Direction::Stays,
            _ => Direction::Falls,
        };
        // After a pause nobody knows how it was meanwhile: it counts as one step.
        let passed = now.since(self.seen).min(Duration::from_secs(1));
        self.seen = now;
        if now.since(self.looked.0) >= LOOK {
            self.trend = part.cmp(&self.looked.1);
            self.looked = (now, part);
        }
        let too_soon =
            |(last, since): (Direction, Instant)| last != wanted && now.since(since) < DWELL;
        // What has its effect goes no further, nor does a share of nothing fall: that is no direction to be kept.
        let is_over = match (wanted, self.trend) {
            (Direction::Rises, trend) => trend == Ordering::Less,
            (Direction::Falls, trend) => trend == Ordering::Greater || self.share == 0,
            (Direction::Stays, _) => true,
        };
        if is_over || self.turned.is_some_and(too_soon) {
            return;
        }
        if self.turned.is_none_or(|(last, _)| last != wanted) {
            self.turned = Some((wanted, now));
        }
        let step = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX) / (1_000_000_000 / RAMP);
        self.share = match wanted {
            Direction::Rises => (self.share + step).min(WHOLE),
            _ => self.share.saturating_sub(step),
        };
    }
}

/// Returns who gets a message, if anybody does, of those that may take it. `own`: how full the instance is that had it,
/// if it could keep it.
pub(crate) fn choose(
    own: Option<u64>,
    mut targets: Vec<Target>,
    random: &mut Stream,
) -> Option<Target> {
    targets.retain(|it| own.is_none_or(|own| it.part + TOLERANCE <= own));
    let nearest = targets.iter().map(|it| it.distance).min()?;
    targets.retain(|it| it.distance == nearest);
    // The better of two: always the best would be the best of all senders at once.
    let first = draw(&mut targets, random)?;
    let other = draw(&mut targets, random);
    Some(other.filter(|it| it.part < first.part).unwrap_or(first))
}

/// Draws one, each as likely as it has instances, and takes it out.
fn draw(targets: &mut Vec<Target>, random: &mut Stream) -> Option<Target> {
    let instances = targets.iter().map(|it| u64::from(it.instances));
    let mut place = match targets.len() {
        0 => return None,
        1 => 0,
        _ => random.below(instances.sum()),
    };
    let drawn = targets.iter().position(|it| {
        let is_it = place < u64::from(it.instances);
        place = place.saturating_sub(it.instances.into());
        is_it
    });
    drawn.map(|drawn| targets.swap_remove(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rejection;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Lets messages come each 10 ms, and returns how many go.
    fn run(spill: &mut Spill, from: u64, to: u64, percent: u64) -> usize {
        let times = (from..to).step_by(10);
        times
            .filter(|time| spill.goes(at(*time), part_of(percent, 100)))
            .count()
    }

    #[test]
    fn the_share_follows_slowly() {
        let mut spill = Spill::new();
        // Each row: until when, how full in percent, and the share after that in percent.
        for (from, to, percent, share) in [
            (0, 1000, 50, 0),
            (1000, 3000, 95, 20),
            (3000, 5000, 80, 20),
            (5000, 5500, 95, 25),
            // It rose for the first time at 1000, and turns round five seconds later at the earliest.
            (5500, 6000, 60, 25),
            (6000, 8000, 60, 5),
            (8000, 10_000, 80, 5),
            (10_000, 11_000, 100, 5),
            (11_000, 21_500, 100, 100),
        ] {
            run(&mut spill, from, to, percent);
            let got = (spill.share() + 5_000) / 10_000;
            assert_eq!(got, share, "at {to} ms");
        }
    }

    #[test]
    fn the_share_finds_its_place_and_stays_there() {
        // Half as much again comes as is handled: one of each 8 ms, and one of each 12 ms is done, of 50 at most.
        let mut spill = Spill::new();
        let (mut queued, mut shares) = (0_u64, Vec::new());
        for millis in 0..120_000 {
            if millis % 12 == 0 {
                queued = queued.saturating_sub(1);
            }
            if millis % 8 == 0 && !spill.goes(at(millis), part_of(queued, 50)) && queued < 50 {
                queued += 1;
            }
            if millis >= 10_000 {
                shares.push(spill.share());
            }
        }
        let (least, most) = (shares.iter().min(), shares.iter().max());
        let (least, most) = (least.expect("some"), most.expect("some"));
        // A third has to go, give or take ten points.
        assert!(*least >= 233_000 && *most <= 433_000, "{least} {most}");
    }

    #[test]
    fn as_many_go_as_the_share_says() {
        let mut spill = Spill::new();
        run(&mut spill, 0, 3000, 95);
        let share = spill.share() as f64 / WHOLE as f64;
        let went = run(&mut spill, 3000, 13_000, 80);
        assert!(
            (went as f64 - 1000.0 * share).abs() <= 1.0,
            "{went} of {share}"
        );
    }

    #[test]
    fn a_limit_of_nothing_is_full() {
        let mut spill = Spill::new();
        assert!(run(&mut spill, 0, 11_000, 0) == 0);
        let mut closed = Spill::new();
        for time in (0..11_000).step_by(10) {
            closed.goes(at(time), part_of(0, 0));
        }
        assert_eq!(closed.share(), WHOLE);
    }

    #[test]
    fn a_node_without_room_is_left_alone_until_there_is_some() {
        // Which limit refused, how full it says that it is, in percent, and whether it may take something meanwhile.
        for (limit, percent, expected) in [
            ("instance.queue_messages", Some(102), false),
            ("instance.queue_messages", Some(100), false),
            ("instance.queue_messages", Some(99), true),
            ("instance.in_flight", Some(99), true),
            // Nobody sees how near these are.
            ("instance.rate_messages", Some(0), false),
            ("instance.queue_bytes", Some(0), false),
            ("node.in_flight", Some(0), false),
            // It does not say how much it takes.
            ("instance.queue_messages", None, false),
        ] {
            let part = percent.map(|percent| part_of(percent, 100));
            let refused = Refused {
                rejection: Rejection {
                    limit: limit.into(),
                    value: 1,
                    observed: 1,
                    place: "it".into(),
                    retry_after: Some(Duration::from_millis(50)),
                },
                at: at(0),
            };
            let refused = Some(&refused);
            assert_eq!(may_take(at(49), part, refused), expected, "{limit}");
            assert!(may_take(at(50), part, refused), "{limit}");
            assert!(may_take(at(49), part, None), "{limit}");
        }
    }

    #[test]
    fn many_instances_are_drawn_as_often() {
        let target = |peer, instances| Target {
            peer,
            distance: Distance::Network,
            part: 0,
            instances,
        };
        let mut random = Stream::new(1, "spill");
        let mut drawn = [0; 3];
        for _ in 0..7000 {
            let targets = vec![target(0, 1), target(1, 4), target(2, 2)];
            let got = choose(None, targets, &mut random).expect("there are some");
            drawn[got.peer] += 1;
        }
        for (drawn, expected) in drawn.into_iter().zip([1000, 4000, 2000]) {
            assert!(i32::abs(drawn - expected) < 200, "{drawn} of {expected}");
        }
    }

    #[test]
    fn who_gets_a_message() {
        use Distance::{Host, Network};
        let target = |(peer, distance, percent): (usize, Distance, u64)| Target {
            peer,
            distance,
            part: part_of(percent, 100),
            instances: 1,
        };
        // How full the instance is in percent, if it could keep the message; others; who may get it.
        type Row<'a> = (Option<u64>, &'a [(usize, Distance, u64)], &'a [usize]);
        let table: [Row<'_>; 10] = [
            (Some(95), &[], &[]),
            (Some(95), &[(1, Network, 20)], &[1]),
            (Some(95), &[(1, Network, 85)], &[1]),
            // Within the tolerance.
            (Some(95), &[(1, Network, 86)], &[]),
            (Some(95), &[(1, Host, 90), (2, Network, 20)], &[2]),
            // The nearest, however much emptier others are.
            (Some(95), &[(1, Network, 0), (2, Host, 60)], &[2]),
            (Some(95), &[(1, Host, 30), (2, Host, 50)], &[1]),
            (
                Some(95),
                &[(1, Host, 30), (2, Host, 50), (3, Host, 80)],
                &[1, 2],
            ),
            // It has no room: anybody who may have some.
            (None, &[(1, Host, 99), (2, Network, 20)], &[1]),
            (None, &[], &[]),
        ];
        let mut random = Stream::new(1, "spill");
        for (number, (own, targets, expected)) in table.into_iter().enumerate() {
            let own = own.map(|percent| part_of(percent, 100));
            let mut got = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let targets = targets.iter().copied().map(target).collect();
                got.extend(choose(own, targets, &mut random).map(|it| it.peer));
            }
            let got: Vec<_> = got.into_iter().collect();
            assert_eq!(got, expected, "row {number}");
        }
    }
}
