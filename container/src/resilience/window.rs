//! What happened lately.

use std::time::Duration;

use monofil_transport::Instant;

use super::BreakerConfig;

/// How many buckets a window has.
const BUCKETS: usize = 10;

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Time(Duration),
    /// So many of the latest that were counted.
    Calls(u32),
}

impl Span {
    pub(crate) const fn of(config: &BreakerConfig) -> Self {
        match config.window_calls {
            0 => Self::Time(config.window),
            calls => Self::Calls(calls),
        }
    }

    /// Returns how many there are in a window at least, once it is full; `None` when that is not known.
    pub(crate) const fn least(self) -> Option<u32> {
        match self {
            Self::Time(_) => None,
            Self::Calls(calls) => Some(calls.div_ceil(10) * 9),
        }
    }
}

/// How often each of `K` things happened within the last while, or at the last so many times, which moves on a tenth at
/// a time.
///
/// Buckets of time are those of the clock, so that two windows of one length can be taken from each other. Counting
/// costs a comparison and an addition; a bucket is emptied when its turn comes again.
#[derive(Clone, Debug)]
pub(crate) struct Window<const K: usize> {
    /// Nanoseconds of one bucket.
    width: u64,
    /// How many are counted in one bucket, and in this one by now; `None`: its time ends it.
    calls: Option<(u32, u32)>,
    buckets: [[u32; K]; BUCKETS],
    /// The number of the present bucket since the epoch.
    number: u64,
    /// When it ends.
    ends: Instant,
    /// Invariant: the sum of all buckets.
    total: [u32; K],
}

impl<const K: usize> Window<K> {
    pub(crate) fn new(span: Span) -> Self {
        let (width, calls, ends) = match span {
            Span::Time(length) => {
                let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
                ((nanos / BUCKETS as u64).max(1), None, Instant::ZERO)
            }
            Span::Calls(calls) => {
                let each = calls.div_ceil(10).max(1);
                (u64::MAX, Some((each, 0)), Instant::from_nanos(u64::MAX))
            }
        };
        Self {
            width,
            calls,
            buckets: [[0; K]; BUCKETS],
            number: 0,
            ends,
            total: [0; K],
        }
    }

    /// Lets go of what is too long ago.
    pub(crate) fn advance(&mut self, now: Instant) {
        if now >= self.ends {
            self.turn(now);
        }
    }

    #[cold]
    fn turn(&mut self, now: Instant) {
        let number = now.as_nanos() / self.width;
        self.go_on(number);
        let ends = number.saturating_add(1).saturating_mul(self.width);
        self.ends = Instant::from_nanos(ends);
    }

    /// Begins the bucket of a number, and empties those that are passed over.
    fn go_on(&mut self, number: u64) {
        let steps = number.saturating_sub(self.number).min(BUCKETS as u64);
        for step in 0..steps {
            let old = std::mem::replace(&mut self.buckets[place(number - step)], [0; K]);
            for (total, old) in self.total.iter_mut().zip(old) {
                *total -= old;
            }
        }
        self.number = number;
    }

    /// Lets go of the oldest when as many have been counted as one bucket has.
    fn count_on(&mut self) {
        let Some((each, counted)) = &mut self.calls else {
            return;
        };
        if counted == each {
            *counted = 0;
            self.go_on(self.number + 1);
        }
        if let Some((_, counted)) = &mut self.calls {
            *counted += 1;
        }
    }

    /// Counts something.
    pub(crate) fn add(&mut self, now: Instant, what: [bool; K]) {
        self.advance(now);
        self.count_on();
        let bucket = &mut self.buckets[place(self.number)];
        for ((count, total), happened) in bucket.iter_mut().zip(&mut self.total).zip(what) {
            // No window is so long that this many happen in it; one that were would be full, not wrong.
            if *total < u32::MAX {
                *count += u32::from(happened);
                *total += u32::from(happened);
            }
        }
    }

    /// Takes back what another window of the same length has counted as well. By count, it is not known which of the
    /// latest those were: all are forgotten.
    pub(crate) fn subtract(&mut self, now: Instant, other: &mut Self) {
        if self.calls.is_some() {
            return self.clear();
        }
        self.advance(now);
        other.advance(now);
        for (bucket, others) in self.buckets.iter_mut().zip(&other.buckets) {
            for ((count, total), other) in bucket.iter_mut().zip(&mut self.total).zip(others) {
                let less = (*other).min(*count);
                *count -= less;
                *total -= less;
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.buckets = [[0; K]; BUCKETS];
        self.total = [0; K];
        if let Some((_, counted)) = &mut self.calls {
            *counted = 0;
        }
    }

    /// Returns how often everything happened, as of when it was last advanced.
    pub(crate) const fn total(&self) -> [u32; K] {
        self.total
    }

    /// Returns in how many buckets one thing happened.
    pub(crate) fn buckets_with(&self, what: usize) -> usize {
        let with = self.buckets.iter().filter(|bucket| bucket[what] > 0);
        with.count()
    }
}

const fn place(number: u64) -> usize {
    (number % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use monofil_transport::Stream;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_is_too_long_ago_does_not_count() {
        let mut window = Window::new(Span::Time(Duration::from_secs(10)));
        window.add(at(500), [true, false]);
        window.add(at(9_999), [true, true]);
        assert_eq!(window.total(), [2, 1]);
        // The first bucket's time has come again.
        window.add(at(10_000), [true, false]);
        assert_eq!(window.total(), [2, 1]);
        window.advance(at(18_999));
        assert_eq!(window.total(), [2, 1]);
        window.advance(at(19_000));
        assert_eq!(window.total(), [1, 0]);
        window.advance(at(1_000_000));
        assert_eq!(window.total(), [0, 0]);
    }

    #[test]
    fn a_window_counts_what_a_list_counts() {
        for seed in 0..50 {
            let mut random = Stream::new(seed, "window");
            let mut window = Window::new(Span::Time(Duration::from_secs(10)));
            let (mut list, mut now) = (Vec::new(), 0);
            for _ in 0..500 {
                now += random.below(2_000);
                window.add(at(now), [true]);
                list.push(now);
                let since = (now / 1_000).saturating_sub(9) * 1_000;
                let expected = list.iter().filter(|it| **it >= since).count();
                assert_eq!(window.total(), [u32::try_from(expected).expect("few")]);
            }
        }
    }

    #[test]
    fn a_window_of_calls_counts_the_latest_whenever_they_were() {
        for most in [1_u32, 7, 20, 100] {
            let mut random = Stream::new(most.into(), "window");
            let mut window = Window::new(Span::Calls(most));
            let (mut list, mut now) = (Vec::new(), 0);
            for _ in 0..500 {
                now += random.below(3_600_000);
                let failed = random.below(2) == 0;
                window.add(at(now), [true, failed]);
                list.push(failed);
                let [calls, failures] = window.total();
                let each = most.div_ceil(10);
                let least = Span::Calls(most).least().expect("it counts");
                let full = list.len() >= (each * 10) as usize;
                assert!(calls <= each * 10 && (!full || calls > least), "{calls}");
                let latest = list.iter().rev().take(calls as usize);
                let expected = latest.filter(|failed| **failed).count();
                assert_eq!(failures as usize, expected);
            }
            let mut part = window.clone();
            window.subtract(at(now), &mut part);
            assert_eq!(window.total(), [0, 0]);
        }
    }

    #[test]
    fn a_part_can_be_taken_from_the_whole() {
        let length = Span::Time(Duration::from_secs(10));
        let (mut whole, mut part) = (Window::new(length), Window::new(length));
        for millis in (0..8_000).step_by(100) {
            whole.add(at(millis), [true]);
            if millis % 200 == 0 && millis >= 2_000 {
                part.add(at(millis), [true]);
            }
        }
        whole.subtract(at(8_000), &mut part);
        assert_eq!(whole.total(), [50]);
        // What is left goes as it would have gone.
        whole.advance(at(12_000));
        assert_eq!(whole.total(), [25]);
        whole.advance(at(18_000));
        assert_eq!(whole.total(), [0]);
    }
}
