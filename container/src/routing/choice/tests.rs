use monofil_transport::{Instant, Stream};

use super::*;

type Place = Candidate<usize>;

fn place(id: usize, distance: Distance, standing: Standing, load: u64) -> Place {
    Candidate {
        id,
        token: 1000 + id as u64,
        instance: 0,
        distance,
        standing,
        load,
        instances: 1,
        capacity: 0,
        verdict: Verdict::Chosen,
    }
}

const fn ask(kind: ComponentKind) -> Ask<'static> {
    Ask {
        kind,
        key: &[],
        horizon: Distance::Remote,
    }
}

fn verdicts(ask: &Ask<'_>, places: &[(Distance, Standing, u64)]) -> Vec<Verdict> {
    let mut places: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(id, (distance, standing, load))| place(id, *distance, *standing, *load))
        .collect();
    narrow(ask, &mut places);
    places.into_iter().map(|place| place.verdict).collect()
}

#[test]
fn a_message_goes_to_the_nearest_that_can_take_it() {
    use Distance::{Host, Network, Process};
    use Standing::{Away, Down, Draining, Fit, Full, Held, MayWait, Waits};
    use Verdict::{BeyondHorizon, Chosen, Farther, Unfit};
    let out = Standing::Ejected {
        until: Instant::from_nanos(7),
    };
    let later = Standing::Ejected {
        until: Instant::from_nanos(9),
    };
    let far = Ask {
        horizon: Distance::Remote,
        ..ask(ComponentKind::Stateless)
    };
    let near = Ask {
        horizon: Host,
        ..far
    };
    type Row<'a> = (Ask<'a>, &'a [(Distance, Standing)], &'a [Verdict]);
    let table: &[Row<'_>] = &[
        (far, &[], &[]),
        (far, &[(Network, Fit)], &[Chosen]),
        (
            far,
            &[(Network, Fit), (Host, Fit), (Process, Fit)],
            &[Farther, Farther, Chosen],
        ),
        (far, &[(Network, Fit), (Network, Fit)], &[Chosen, Chosen]),
        // Whoever is farther and fit is better than whoever is near and is not.
        (
            far,
            &[(Process, Full), (Network, Fit)],
            &[Unfit(Full), Chosen],
        ),
        (far, &[(Host, Held), (Network, Fit)], &[Unfit(Held), Chosen]),
        (far, &[(Host, out), (Network, Fit)], &[Unfit(out), Chosen]),
        (far, &[(Host, Away), (Network, Fit)], &[Unfit(Away), Chosen]),
        (
            far,
            &[(Host, Draining), (Network, Fit)],
            &[Unfit(Draining), Chosen],
        ),
        (
            far,
            &[(Process, Waits), (Network, Fit)],
            &[Unfit(Waits), Chosen],
        ),
        // Bad is better than worse, and than nobody.
        (
            far,
            &[(Network, out), (Network, Away)],
            &[Chosen, Unfit(Away)],
        ),
        (far, &[(Network, out), (Network, later)], &[Chosen, Chosen]),
        (far, &[(Network, Full), (Process, Full)], &[Farther, Chosen]),
        (
            far,
            &[(Process, Waits), (Network, MayWait)],
            &[Unfit(Waits), Chosen],
        ),
        (far, &[(Process, Waits)], &[Chosen]),
        // Nothing goes to the dead, to those that finish, or too far.
        (far, &[(Network, Draining)], &[Unfit(Draining)]),
        (far, &[(Process, Down)], &[Unfit(Down)]),
        (near, &[(Network, Fit)], &[BeyondHorizon]),
        (
            near,
            &[(Network, Fit), (Host, out)],
            &[BeyondHorizon, Chosen],
        ),
    ];
    for (number, (ask, places, expected)) in table.iter().enumerate() {
        let places: Vec<_> = places.iter().map(|(d, s)| (*d, *s, 0)).collect();
        assert_eq!(verdicts(ask, &places), *expected, "row {number}");
    }
}

#[test]
fn everybody_takes_the_same_single_one() {
    let single = ask(ComponentKind::Single);
    for seed in 0..20 {
        let mut places: Vec<_> = (0..5)
            .map(|id| place(id, Distance::Network, Standing::Fit, 0))
            .collect();
        // Everybody hears of them in another order, and of other loads.
        let mut random = Stream::new(seed, "order");
        random.shuffle(&mut places);
        places[0].load = 9;
        narrow(&single, &mut places);
        let chosen = pick(&places, &mut random).expect("one of five");
        assert_eq!(places[chosen].id, 0);
        let seconds = places.iter().filter(|it| it.verdict == Verdict::Second);
        assert_eq!(seconds.count(), 4);
    }
}

#[test]
fn a_key_has_one_owner_whatever_its_state() {
    let places = || -> Vec<Place> {
        (0..5)
            .map(|id| place(id, Distance::Network, Standing::Fit, 0))
            .collect()
    };
    let owner = |places: &mut Vec<Place>, key: &[u8]| {
        let keyed = Ask {
            key,
            ..ask(ComponentKind::Keyed)
        };
        narrow(&keyed, places);
        let left: Vec<_> = left(places).map(|it| it.id).collect();
        assert_eq!(left.len(), 1);
        left[0]
    };
    let mut owners = [0; 5];
    for number in 0..500_u32 {
        let key = number.to_be_bytes();
        let id = owner(&mut places(), &key);
        owners[id] += 1;
        for standing in [Standing::Full, Standing::Away, Standing::Held] {
            let mut places = places();
            places[id].standing = standing;
            places[id].distance = Distance::Network;
            places[(id + 1) % 5].distance = Distance::Process;
            assert_eq!(owner(&mut places, &key), id);
        }
        // Whoever finishes gives its keys away, and those of the others stay.
        let mut places = places();
        places[0].standing = Standing::Draining;
        let next = owner(&mut places, &key);
        assert!(next != 0 && (id == 0 || next == id));
    }
    assert!(owners.iter().all(|owned| *owned > 60), "{owners:?}");
}

#[test]
fn a_key_has_one_of_its_node_s_instances_in_any_order() {
    let keyed = Ask {
        key: b"order-7",
        ..ask(ComponentKind::Keyed)
    };
    let chosen = |numbers: &[u32]| {
        let mut places: Vec<_> = numbers
            .iter()
            .map(|number| Candidate {
                instance: *number,
                token: 5,
                ..place(0, Distance::Process, Standing::Fit, 0)
            })
            .collect();
        narrow(&keyed, &mut places);
        let left: Vec<_> = left(&places).map(|it| it.instance).collect();
        assert_eq!(left.len(), 1);
        left[0]
    };
    assert_eq!(chosen(&[0, 1, 2, 3]), chosen(&[3, 1, 0, 2]));
}

#[test]
fn many_instances_have_less_before_each() {
    let mut random = Stream::new(1, "choice");
    // Loads, instances, and which of the two is always taken.
    for (loads, instances, taken) in [
        ([4, 2], [1, 1], 1),
        ([4, 2], [4, 1], 0),
        ([0, 1], [1, 9], 0),
        ([5, 9], [1, 2], 1),
    ] {
        let mut places = [0, 1].map(|id| Candidate {
            instances: instances[id],
            ..place(id, Distance::Network, Standing::Fit, loads[id])
        });
        narrow(&ask(ComponentKind::Stateless), &mut places);
        for _ in 0..20 {
            assert_eq!(
                pick(&places, &mut random),
                Some(taken),
                "{loads:?} {instances:?}"
            );
        }
    }
}

#[test]
fn nobody_is_run_over_because_it_was_free_a_while_ago() {
    const SENDERS: usize = 20;
    // One of eight has nothing to do, and everybody has just heard so. Each sender knows what it sends itself.
    let sent_to_it = |choose: &dyn Fn(&[Place], &mut Stream) -> usize| {
        let mut random = Stream::new(1, "herd");
        let mut got = 0;
        for _ in 0..SENDERS {
            let mut places: Vec<_> = (0..8)
                .map(|id| place(id, Distance::Network, Standing::Fit, 10))
                .collect();
            places[3].load = 0;
            for _ in 0..5 {
                let id = choose(&places, &mut random);
                places[id].load += 1;
                got += usize::from(id == 3);
            }
        }
        got
    };
    let best = |places: &[Place], _: &mut Stream| {
        let least = places.iter().min_by_key(|it| it.load);
        least.expect("eight").id
    };
    assert_eq!(sent_to_it(&best), SENDERS * 5);
    // A quarter of all pairs have it, which is twice its share.
    let two = sent_to_it(&|places, random| pick(places, random).expect("eight"));
    assert!((15..35).contains(&two), "{two}");
}

#[test]
fn all_get_their_share() {
    let mut random = Stream::new(1, "share");
    let mut places: Vec<_> = (0..8)
        .map(|id| place(id, Distance::Network, Standing::Fit, 0))
        .collect();
    for _ in 0..800 {
        let id = pick(&places, &mut random).expect("eight");
        places[id].load += 1;
    }
    let loads: Vec<_> = places.iter().map(|it| it.load).collect();
    assert!(
        loads.iter().all(|load| (97..104).contains(load)),
        "{loads:?}"
    );
}

#[test]
fn of_two_the_one_with_less_before_it() {
    let stateless = ask(ComponentKind::Stateless);
    let mut places = vec![
        place(0, Distance::Network, Standing::Fit, 100),
        place(1, Distance::Network, Standing::Fit, 0),
        place(2, Distance::Host, Standing::Full, 0),
    ];
    narrow(&stateless, &mut places);
    let mut random = Stream::new(1, "two");
    for _ in 0..50 {
        assert_eq!(pick(&places, &mut random), Some(1));
    }
    // Here the least is the least.
    let mut here: Vec<_> = [3, 1, 2]
        .iter()
        .enumerate()
        .map(|(id, load)| place(id, Distance::Process, Standing::Fit, *load))
        .collect();
    narrow(&stateless, &mut here);
    assert_eq!(pick(&here, &mut random), Some(1));
}
