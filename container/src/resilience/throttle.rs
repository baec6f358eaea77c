//! Sparing a callee what it would reject anyway.
//!
//! A rejection costs its callee something, too. When many calls are rejected for long, a share of them is not sent
//! at all (Beyer and others, Site Reliability Engineering, 2016, chapter 21, "Client-Side Throttling"): with
//! probability `max(0, (requests - 2 accepts) / (requests + 1))`. Requests are counted when they are made, those
//! that are not sent included, and a call counts as accepted until it is rejected: one that takes long is no sign of
//! overload.
//!
//! Calls that are not sent count as rejected, so that a throttle would hold itself up for long after its callee is
//! well: one that rejected everything for two minutes would be sent hardly any call that could show it. So a tenth is
//! sent in any case, and the past is forgotten when few of those that were sent lately have come back. In an overload
//! that lasts it is half of them: twice as many are sent as are accepted.

use std::time::Duration;

use monofil_transport::{Instant, Probability, Stream};

use super::ThrottleConfig;
use super::window::{Span, Window};

const REQUESTS: usize = 0;
const REFUSED: usize = 1;
/// Its overload has lasted for longer and will not have ended sooner; whoever tries again then may be one of the tenth
/// that is sent.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Of a million calls no more than so many are not sent.
const PPM_MAX: u32 = 900_000;
/// So many have to be sent before they say that the overload is over.
const SAMPLE_MIN: u32 = 5;

/// What became of the calls that were sent lately.
#[derive(Clone, Copy, Debug)]
struct Sample {
    since: Instant,
    sent: u32,
    rejected: u32,
}

impl Sample {
    const fn new(since: Instant) -> Self {
        Self {
            since,
            sent: 0,
            rejected: 0,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    tenths_min: u32,
    window: Window<2>,
    /// As long as a sample takes at least: a tenth of the window.
    tenth: Duration,
    sample: Sample,
    /// Not sent, since the beginning.
    pub(crate) refused: u64,
}

impl Throttle {
    pub(crate) fn new(config: &ThrottleConfig) -> Self {
        Self {
            tenths_min: config.tenths_min,
            window: Window::new(Span::Time(config.window)),
            tenth: config.window / 10,
            sample: Sample::new(Instant::ZERO),
            refused: 0,
        }
    }

    /// Counts a call that is about to be sent. An error says not to, and when it is worth trying again.
    pub(crate) fn admit(&mut self, now: Instant, random: &mut Stream) -> Result<(), Duration> {
        self.take_sample(now);
        self.window.add(now, [true, false]);
        if self.window.total()[REFUSED] == 0 || !random.chance(self.probability()) {
            self.sample.sent = self.sample.sent.saturating_add(1);
            return Ok(());
        }
        self.window.add(now, [false, true]);
        self.refused += 1;
        Err(RETRY_AFTER)
    }

    /// Counts a call that is sent whatever it says.
    pub(crate) fn observe(&mut self, now: Instant) {
        self.take_sample(now);
        self.window.add(now, [true, false]);
        self.sample.sent = self.sample.sent.saturating_add(1);
    }

    /// The callee rejected a call because it had no room.
    pub(crate) fn rejected(&mut self, now: Instant) {
        self.window.add(now, [false, true]);
        self.sample.rejected = self.sample.rejected.saturating_add(1);
    }

    /// Forgets the past when it is over: when less than a quarter of what was sent for a while was rejected.
    fn take_sample(&mut self, now: Instant) {
        let Sample {
            since,
            sent,
            rejected,
        } = self.sample;
        if sent < SAMPLE_MIN || now.since(since) < self.tenth {
            return;
        }
        if u64::from(rejected) * 4 < u64::from(sent) {
            self.window.clear();
        }
        self.sample = Sample::new(now);
    }

    /// Returns how likely it is that a call is not sent, as of the last one.
    pub(crate) fn probability(&self) -> Probability {
        let [requests, refused] = self.window.total();
        let is_lasting = self.window.buckets_with(REFUSED) >= self.tenths_min as usize;
        if !is_lasting {
            return Probability::ppm(0);
        }
        let accepts = requests.saturating_sub(refused);
        let over = u64::from(requests).saturating_sub(2 * u64::from(accepts));
        let ppm = over * 1_000_000 / (u64::from(self.window.total()[REQUESTS]) + 1);
        Probability::ppm(u32::try_from(ppm).map_or(PPM_MAX, |ppm| ppm.min(PPM_MAX)))
    }

    pub(crate) fn advance(&mut self, now: Instant) {
        self.window.advance(now);
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.window.clear();
        self.sample = Sample::new(self.sample.since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Sends as many calls each second to a callee that takes so many and rejects the rest; returns how many were
    /// sent and taken in the last ten seconds.
    fn overload(offered: u64, capacity: u64, seconds: u64) -> (Throttle, u64, u64) {
        let mut throttle = Throttle::new(&ThrottleConfig::default());
        let mut random = Stream::new(1, "throttle");
        let (mut sent, mut taken) = (0, 0);
        for second in 0..seconds {
            let mut room = capacity;
            for call in 0..offered {
                let now = at(second * 1_000 + call * 1_000 / offered);
                if throttle.admit(now, &mut random).is_err() {
                    continue;
                }
                let is_late = second + 10 >= seconds;
                sent += u64::from(is_late);
                if room > 0 {
                    room -= 1;
                    taken += u64::from(is_late);
                } else {
                    throttle.rejected(now);
                }
            }
        }
        (throttle, sent, taken)
    }

    #[test]
    fn twice_as_much_is_sent_as_is_taken_however_much_is_offered() {
        for (offered, capacity) in [(50, 100), (150, 100), (300, 100), (1000, 100), (2000, 100)] {
            let (_, sent, taken) = overload(offered, capacity, 600);
            let most = offered.min(capacity * 2) * 10;
            assert!(
                sent * 100 <= most * 110 && sent * 100 >= most * 85,
                "{offered}: {sent}"
            );
            // All that can be done is done.
            assert!(
                taken >= offered.min(capacity) * 10 * 98 / 100,
                "{offered}: {taken}"
            );
        }
    }

    #[test]
    fn a_burst_of_rejections_throttles_nothing() {
        let mut throttle = Throttle::new(&ThrottleConfig::default());
        let mut random = Stream::new(1, "throttle");
        for call in 0..1000 {
            assert_eq!(throttle.admit(at(call), &mut random), Ok(()));
            throttle.rejected(at(call));
        }
        assert_eq!(throttle.probability().as_ppm(), 0);
    }

    #[test]
    fn calls_under_way_are_no_rejections() {
        // With accepts counted when they are answered, callers that wait would look like callers that are rejected.
        let mut throttle = Throttle::new(&ThrottleConfig::default());
        let mut random = Stream::new(1, "throttle");
        for second in 0..100 {
            throttle.rejected(at(second * 1_000));
            for _ in 0..100 {
                assert_eq!(throttle.admit(at(second * 1_000), &mut random), Ok(()));
            }
        }
    }

    #[test]
    fn a_callee_that_is_well_again_is_called_again() {
        // Calls each second; how many percent are rejected for 150 s, and how many still are when it is well.
        for (offered, before, after) in [
            (1000, 100, 0),
            (1000, 100, 2),
            (1000, 90, 0),
            (100, 100, 0),
            (10, 100, 0),
            (1, 100, 0),
        ] {
            let mut throttle = Throttle::new(&ThrottleConfig::default());
            let mut random = Stream::new(3, "throttle");
            let mut passed = [0; 300];
            for call in 0..300 * offered {
                let now = at(call * 1000 / offered);
                let second = now.as_nanos() / 1_000_000_000;
                if throttle.admit(now, &mut random).is_err() {
                    continue;
                }
                passed[usize::try_from(second).expect("small")] += 1;
                let percent = if second < 150 { before } else { after };
                // Spread evenly.
                if call * 37 % 100 < percent {
                    throttle.rejected(now);
                }
            }
            let spared: u64 = passed[120..150].iter().sum();
            assert!(
                spared >= offered * 30 * 3 / 100 && spared <= offered * 30 / 4,
                "{offered}: {spared} sent while {before} % are rejected"
            );
            let passed: u64 = passed[270..].iter().sum();
            assert!(passed >= offered * 30 * 95 / 100, "{offered}: {passed}");
        }
    }

    #[test]
    fn it_ends_with_the_overload() {
        let (mut throttle, ..) = overload(1000, 100, 300);
        assert!(throttle.probability().as_ppm() > 500_000);
        let mut random = Stream::new(2, "throttle");
        let refused = (0..300_000)
            .filter(|call| throttle.admit(at(300_000 + call), &mut random).is_err())
            .count();
        // Those that pass are taken from now on, so that it does not hold itself up.
        assert_eq!(throttle.probability().as_ppm(), 0);
        assert!(refused < 150_000, "{refused}");
    }
}
