use super::*;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

const WELL: Verdict = Verdict::Well { slow: false };
const SLOW: Verdict = Verdict::Well { slow: true };
const FAILED: Verdict = Verdict::Failed { slow: false };

/// What is done to a breaker, at some millisecond.
#[derive(Clone, Copy)]
enum Do {
    /// So many calls that pass and end at once.
    Calls(u32, Verdict),
    /// So many calls that pass, one after the other, with this long to go, and do not end.
    Begin(u32, u64),
    /// The call that began so many-th ends.
    End(usize, Verdict),
    /// One that is turned away.
    Refused,
    Mode(Mode),
}

use Do::{Begin, Calls, End, Refused};

/// A breaker, and what was done to it.
struct Bench {
    breaker: Breaker,
    random: Stream,
    begun: Vec<Permit>,
}

impl Bench {
    fn new(config: &BreakerConfig) -> Self {
        Self {
            breaker: Breaker::new(config, at(0)),
            random: Stream::new(1, "breaker"),
            begun: Vec::new(),
        }
    }

    fn admit(&mut self, now: Instant, within: u64) -> Result<Permit, Duration> {
        let deadline = now + Duration::from_millis(within);
        self.breaker.admit(now, deadline, &mut self.random)
    }

    fn step(&mut self, millis: u64, what: Do, name: &str) {
        let now = at(millis);
        match what {
            Calls(count, verdict) => {
                for call in 0..count {
                    let permit = self.admit(now, 1000);
                    let permit = permit
                        .unwrap_or_else(|_| panic!("{name}: call {call} at {millis} is refused"));
                    self.breaker.ended(now, permit, verdict, &mut self.random);
                }
            }
            Begin(count, within) => {
                for _ in 0..count {
                    let permit = self.admit(now, within);
                    self.begun
                        .push(permit.unwrap_or_else(|_| panic!("{name}: at {millis}")));
                }
            }
            End(place, verdict) => {
                let permit = self.begun[place];
                self.breaker.ended(now, permit, verdict, &mut self.random);
            }
            Refused => {
                let refused = self.admit(now, 1000);
                let retry_after = refused.expect_err(&format!("{name}: at {millis} it passes"));
                assert!(!retry_after.is_zero(), "{name}: at {millis}");
            }
            Do::Mode(mode) => self.breaker.set_mode(now, mode),
        }
    }

    fn state(&mut self, millis: u64) -> State {
        self.breaker.view(at(millis), &mut self.random).state
    }
}

type Case = (&'static str, &'static [(u64, Do)], State);

/// Open from 0 on, for at most a second.
const TRIPPED: (u64, Do) = (0, Calls(5, FAILED));

const TRANSITIONS: &[Case] = &[
    ("fresh", &[], State::Closed),
    ("four in a row", &[(0, Calls(4, FAILED))], State::Closed),
    ("five in a row", &[(0, Calls(5, FAILED))], State::Open),
    (
        "a good one between",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(1, WELL)),
            (0, Calls(4, FAILED)),
        ],
        State::Closed,
    ),
    (
        "half of nineteen",
        &[
            (0, Calls(3, FAILED)),
            (0, Calls(13, WELL)),
            (0, Calls(3, FAILED)),
        ],
        State::Closed,
    ),
    (
        "half of twenty",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(5, WELL)),
            (0, Calls(4, FAILED)),
            (0, Calls(5, WELL)),
            (0, Calls(2, FAILED)),
        ],
        State::Open,
    ),
    (
        "too long ago",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(5, WELL)),
            (0, Calls(4, FAILED)),
            (10_500, Calls(5, WELL)),
            (10_500, Calls(2, FAILED)),
        ],
        State::Closed,
    ),
    (
        "nothing is not a call",
        &[(0, Calls(100, Verdict::Nothing)), (0, Calls(4, FAILED))],
        State::Closed,
    ),
    (
        "nothing is not a good one between",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(9, Verdict::Nothing)),
            (0, Calls(1, FAILED)),
        ],
        State::Open,
    ),
    (
        "sixteen of twenty slow",
        &[(0, Calls(4, WELL)), (0, Calls(16, SLOW))],
        State::Open,
    ),
    (
        "fifteen of twenty slow",
        &[(0, Calls(5, WELL)), (0, Calls(15, SLOW))],
        State::Closed,
    ),
    (
        "open",
        &[TRIPPED, (1, Refused), (400, Refused)],
        State::Open,
    ),
    (
        "time to try",
        &[TRIPPED, (1000, Begin(5, 1000)), (1000, Refused)],
        State::HalfOpen,
    ),
    (
        "all go well",
        &[TRIPPED, (1000, Calls(5, WELL))],
        State::Closed,
    ),
    (
        "two of five fail",
        &[TRIPPED, (1000, Calls(2, FAILED)), (1000, Calls(3, WELL))],
        State::Closed,
    ),
    (
        "three of five fail",
        &[TRIPPED, (1000, Calls(2, WELL)), (1000, Calls(3, FAILED))],
        State::Open,
    ),
    (
        "four of five slow",
        &[TRIPPED, (1000, Calls(1, WELL)), (1000, Calls(4, SLOW))],
        State::Open,
    ),
    // What resilience4j was wedged by: outcomes that say nothing, and calls that never end.
    (
        "permits of calls that say nothing come back",
        &[
            TRIPPED,
            (1000, Calls(50, Verdict::Nothing)),
            (1000, Calls(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "permits of calls that never end come back at their deadlines",
        &[
            TRIPPED,
            (1000, Begin(5, 500)),
            (1499, Refused),
            (1500, Calls(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "the right permit comes back",
        &[
            TRIPPED,
            (1000, Begin(4, 500)),
            (1000, Begin(1, 5000)),
            (1100, End(4, Verdict::Nothing)),
            // The four others end by themselves.
            (1500, Calls(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "calls that take long keep nobody from trying for longer than a trial",
        &[
            TRIPPED,
            (1000, Begin(5, 600_000)),
            (10_999, Refused),
            (11_000, Calls(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "good calls may take longer than a trial",
        &[
            TRIPPED,
            (1000, Begin(5, 60_000)),
            (11_000, Begin(5, 60_000)),
            (11_000, Refused),
            (16_000, End(0, WELL)),
            (16_000, End(1, WELL)),
            (16_000, End(2, WELL)),
            (16_000, End(3, WELL)),
            (16_000, End(4, WELL)),
        ],
        State::Closed,
    ),
    (
        "so may some of them",
        &[
            TRIPPED,
            (1000, Begin(5, 60_000)),
            (2000, End(0, WELL)),
            (2000, End(1, WELL)),
            (11_000, Begin(1, 60_000)),
            (11_500, End(2, WELL)),
            (12_000, End(3, WELL)),
            (15_000, End(4, WELL)),
        ],
        State::Closed,
    ),
    (
        "calls that take longer than a trial and fail are failures",
        &[
            TRIPPED,
            (1000, Begin(5, 15_000)),
            (16_000, End(0, FAILED)),
            (16_000, End(1, FAILED)),
            (16_000, End(2, FAILED)),
            (16_000, End(3, FAILED)),
            (16_000, End(4, FAILED)),
        ],
        State::Open,
    ),
    (
        "a trial that nobody takes part in goes on",
        &[
            TRIPPED,
            (1000, Calls(1, Verdict::Nothing)),
            (60_000, Calls(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "few calls are judged when the trial is over",
        &[TRIPPED, (1000, Calls(2, WELL)), (11_000, Calls(1, WELL))],
        State::Closed,
    ),
    (
        "an outcome counts in the state in which its call began",
        &[
            (0, Begin(5, 60_000)),
            TRIPPED,
            // Half-open from here on.
            (1000, Begin(1, 1000)),
            (1000, End(0, FAILED)),
            (1000, End(1, FAILED)),
            (1000, End(2, FAILED)),
            (1000, Calls(4, WELL)),
            (1000, End(5, WELL)),
        ],
        State::Closed,
    ),
    (
        "a closed one counts from nothing",
        &[TRIPPED, (1000, Calls(5, WELL)), (1000, Calls(4, FAILED))],
        State::Closed,
    ),
    (
        "reset",
        &[TRIPPED, (1, Do::Mode(Mode::Auto)), (1, Calls(4, FAILED))],
        State::Closed,
    ),
    (
        "disabled",
        &[(0, Do::Mode(Mode::Disabled)), (0, Calls(100, FAILED))],
        State::Closed,
    ),
    (
        "forced open",
        &[
            (0, Do::Mode(Mode::ForcedOpen)),
            (0, Refused),
            (3_600_000, Refused),
        ],
        State::Closed,
    ),
    (
        "metrics only: it would be open, and turns nothing away",
        &[
            (0, Do::Mode(Mode::MetricsOnly)),
            (0, Calls(5, FAILED)),
            (1, Calls(100, FAILED)),
        ],
        State::Open,
    ),
    (
        "an order ends the one before",
        &[
            (0, Do::Mode(Mode::ForcedOpen)),
            (0, Do::Mode(Mode::Auto)),
            (0, Calls(5, FAILED)),
            (1, Refused),
        ],
        State::Open,
    ),
];

#[test]
fn transitions() {
    for (name, steps, expected) in TRANSITIONS {
        let mut bench = Bench::new(&BreakerConfig::default());
        let mut last = 0;
        for (millis, what) in *steps {
            bench.step(*millis, *what, name);
            last = *millis;
        }
        assert_eq!(bench.state(last), *expected, "{name}");
    }
}

/// The same by count: of the latest twenty calls, however long ago they were.
const BY_COUNT: &[Case] = &[
    (
        "long ago is no reason to forget",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(5, WELL)),
            (0, Calls(4, FAILED)),
            (86_400_000, Calls(3, WELL)),
            (86_400_000, Calls(2, FAILED)),
        ],
        State::Open,
    ),
    (
        "what others came after is",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(1, WELL)),
            (0, Calls(4, FAILED)),
            (1, Calls(20, WELL)),
            (1, Calls(4, FAILED)),
        ],
        State::Closed,
    ),
    (
        "fewer than nine tenths of a window say nothing",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(4, WELL)),
            (0, Calls(4, FAILED)),
            (0, Calls(1, WELL)),
            (0, Calls(2, FAILED)),
        ],
        State::Closed,
    ),
    (
        "nine tenths do",
        &[
            (0, Calls(4, FAILED)),
            (0, Calls(8, WELL)),
            (0, Calls(4, FAILED)),
            (0, Calls(1, WELL)),
            (0, Calls(1, FAILED)),
        ],
        State::Open,
    ),
    (
        "five in a row do, however few",
        &[(0, Calls(5, FAILED))],
        State::Open,
    ),
];

#[test]
fn transitions_by_count() {
    let config = BreakerConfig {
        window_calls: 20,
        ..BreakerConfig::default()
    };
    for (name, steps, expected) in BY_COUNT {
        let mut bench = Bench::new(&config);
        let mut last = 0;
        for (millis, what) in *steps {
            bench.step(*millis, *what, name);
            last = *millis;
        }
        assert_eq!(bench.state(last), *expected, "{name}");
    }
}

#[test]
fn it_stays_open_longer_each_time_and_half_of_that_is_drawn() {
    let mut bench = Bench::new(&BreakerConfig::default());
    let mut now = 0;
    bench.step(now, Calls(5, FAILED), "first");
    for longest in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        let retry_after = bench.admit(at(now), 1000).expect_err("it is open");
        let longest = Duration::from_secs(longest);
        assert!(
            retry_after >= longest / 2 && retry_after <= longest,
            "{longest:?}: {retry_after:?}"
        );
        now += u64::try_from(retry_after.as_millis()).expect("short") + 1;
        bench.step(now, Calls(5, FAILED), "again");
    }
    // One that was closed begins anew.
    now += 60_000;
    bench.step(now, Calls(5, WELL), "closes");
    bench.step(now, Calls(5, FAILED), "opens");
    let retry_after = bench.admit(at(now), 1000).expect_err("it is open");
    assert!(retry_after <= Duration::from_secs(1));
}

#[test]
fn callers_do_not_come_back_at_once() {
    let mut times: Vec<_> = (0..100)
        .map(|seed| {
            let mut bench = Bench::new(&BreakerConfig::default());
            bench.random = Stream::new(seed, "breaker");
            bench.step(0, Calls(5, FAILED), "trips");
            bench.admit(at(0), 1000).expect_err("it is open")
        })
        .collect();
    times.sort();
    times.dedup();
    assert!(times.len() > 95);
    assert!(times[times.len() - 1] - times[0] > Duration::from_millis(400));
}

#[test]
fn whatever_happens_a_callee_that_works_again_is_called_again() {
    // Calls that fail, say nothing or never end for an hour; then all go well.
    for seed in 0..200 {
        let mut bench = Bench::new(&BreakerConfig::default());
        let mut random = Stream::new(seed, "calls");
        let mut now = 0;
        while now < 3_600_000 {
            now += random.below(5_000);
            let Ok(permit) = bench.admit(at(now), 1 + random.below(100_000)) else {
                continue;
            };
            let verdict = match random.below(5) {
                0 => Verdict::Nothing,
                1 => continue,
                2 => SLOW,
                _ => FAILED,
            };
            bench
                .breaker
                .ended(at(now), permit, verdict, &mut bench.random);
        }
        let start = now;
        while bench.state(now) != State::Closed {
            now += 100;
            if let Ok(permit) = bench.admit(at(now), 1000) {
                bench
                    .breaker
                    .ended(at(now), permit, WELL, &mut bench.random);
            }
            assert!(now - start < 75_000, "seed {seed}: wedged");
        }
    }
}

#[test]
fn who_is_back_is_tried_at_once_and_only_then() {
    let mut bench = Bench::new(&BreakerConfig::default());
    let fail = |bench: &mut Bench, now: u64| {
        for _ in 0..5 {
            if let Ok(permit) = bench.admit(at(now), 1000) {
                let random = &mut bench.random;
                bench.breaker.ended(at(now), permit, FAILED, random);
            }
        }
        assert_eq!(bench.state(now), State::Open);
    };
    bench.breaker.try_soon(at(0));
    assert_eq!(bench.state(0), State::Closed);
    fail(&mut bench, 0);
    assert!(bench.admit(at(1), 1000).is_err());
    bench.breaker.try_soon(at(2));
    // It is as bad as it was, and then it is left alone for longer than the first time.
    fail(&mut bench, 2);
    assert!(bench.admit(at(900), 1000).is_err());
    // Somebody wants it to be left alone.
    bench.breaker.set_mode(at(901), Mode::ForcedOpen);
    bench.breaker.try_soon(at(902));
    assert!(bench.admit(at(903), 1000).is_err());
}
