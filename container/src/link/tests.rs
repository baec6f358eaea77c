use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use monofil_proto::wire::Kind;
use monofil_transport::{Probability, Stream};

use super::*;
use crate::Payload;
use crate::heading::Heading;

fn cast(id: u64) -> Parcel {
    let payload = Payload::bytes(vec![0; 10]);
    let target = format!("shop/target-{}", id % 7);
    let names = ["", &target, "", "", ""].map(Name::from);
    let mut cast = Parcel::about(Kind::Cast, id);
    cast.payload = payload;
    cast.heading = Some(Rc::new(Heading::new(names)));
    cast
}

fn place() -> Name {
    "peer".into()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Lets each side know the other's credit.
fn introduce(one: &mut Link, two: &mut Link) {
    let (first, second) = (one.peek_marks(), two.peek_marks());
    one.handle_marks(at(0), &second, true);
    two.handle_marks(at(0), &first, true);
}

/// Makes both ends of a link.
fn introduced(config: LinkConfig) -> (Link, Link) {
    let (mut one, mut two) = (Link::new(config), Link::new(config));
    introduce(&mut one, &mut two);
    (one, two)
}

/// A frame on its way.
struct Frame {
    first_sequence: u64,
    records: Vec<Parcel>,
    marks: Marks,
    bytes: Bytes,
}

/// Takes the next frame as it is when it leaves.
fn poll(link: &mut Link, now: Instant) -> Option<Frame> {
    let batch = link.poll_frame(now)?;
    let first_sequence = batch.first_sequence;
    let head = Head {
        version: monofil_proto::VERSION,
        sender: [1; 16],
        sender_incarnation: 1,
        first_sequence,
        ..Head::default()
    };
    let bytes = link.write(&head, &batch, now);
    let first = first_sequence.saturating_sub(link.outbound.received + 1);
    let first = usize::try_from(first).expect("few");
    let sent = link.outbound.sent.iter().skip(first).take(batch.records);
    Some(Frame {
        first_sequence,
        records: sent.map(|it| it.envelope.clone()).collect(),
        marks: batch.marks,
        bytes,
    })
}

/// Checks that the other side reads what was written, its names too.
fn assert_reads(link: &mut Link, frame: &Frame, skip: usize) {
    let bounds = monofil_proto::Bounds::DEFAULT;
    let read = monofil_proto::read_frame(&frame.bytes, &bounds).expect("a good frame");
    assert_eq!(link.define_names(&read.names), Ok(()));
    assert_eq!(read.records.len(), frame.records.len());
    for (record, envelope) in read.records.iter().zip(&frame.records).skip(skip) {
        assert_eq!(record.id, envelope.id);
        let target = link.names().get(record.target);
        assert_eq!(target.as_ref(), Some(&envelope.heading().target));
    }
}

/// Hands a frame to the other side, where all ends at once; returns the ids of requests that are new there.
fn arrive(link: &mut Link, now: Instant, batch: &Frame) -> Vec<u64> {
    let arrived = arrive_open(link, now, batch);
    for (sequence, _) in &arrived {
        link.settle(*sequence);
    }
    arrived.into_iter().map(|(_, id)| id).collect()
}

/// Hands a frame to the other side; returns the numbers and ids of the requests that are new there.
fn arrive_open(link: &mut Link, now: Instant, batch: &Frame) -> Vec<(u64, u64)> {
    let mut requests = Vec::new();
    let mut handled = true;
    if !batch.records.is_empty() {
        match link.handle_records(now, batch.first_sequence, batch.records.len()) {
            Arrival::New { skip, sequence } => {
                assert_reads(link, batch, skip);
                for (sequence, record) in (sequence..).zip(batch.records.iter().skip(skip)) {
                    match record.kind {
                        Kind::Failure => {
                            let known = link.take_cast(record.id).is_some();
                            assert!(known, "it is still known whose it was");
                            link.settle(sequence);
                        }
                        Kind::Unsettled | Kind::Settled => {
                            link.handle_ended(record.id, record.kind == Kind::Settled);
                            link.settle(sequence);
                        }
                        _ => {
                            link.handle_request(record.payload.len());
                            requests.push((sequence, record.id));
                        }
                    }
                }
            }
            Arrival::Gap => handled = false,
        }
    }
    link.handle_marks(now, &batch.marks, handled);
    requests
}

#[test]
fn records_arrive_once_in_order_and_are_forgotten_when_they_have() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    for id in 1..=100 {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
    }
    let mut arrived = Vec::new();
    while let Some(batch) = poll(&mut one, at(1)) {
        arrived.extend(arrive(&mut two, at(1), &batch));
    }
    assert_eq!(arrived, (1..=100).collect::<Vec<_>>());
    assert!(!one.is_flushed());
    let acknowledgement = poll(&mut two, at(30)).expect("an acknowledgement within 20 ms");
    assert!(acknowledgement.records.is_empty());
    arrive(&mut one, at(30), &acknowledgement);
    assert!(one.is_flushed());
    assert!(one.end().is_empty(), "all were settled");
}

#[test]
fn the_end_of_a_cast_is_said_though_nothing_else_is() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    one.offer(Instant::ZERO, cast(1), place).expect("room");
    let batch = poll(&mut one, at(0)).expect("a frame");
    two.handle_records(at(0), batch.first_sequence, 1);
    arrive(&mut one, at(20), &poll(&mut two, at(20)).expect("received"));
    assert_eq!((one.unacknowledged(), one.unsettled()), (0, 1));
    // Its handler took a while.
    assert_eq!(two.settle_cast(at(500), 1), Some(at(600)));
    assert!(poll(&mut two, at(500)).is_none());
    assert_eq!(two.next_deadline(), Some(at(600)));
    let mark = poll(&mut two, at(600)).expect("the end");
    assert!(mark.records.is_empty());
    arrive(&mut one, at(600), &mark);
    assert_eq!(one.unsettled(), 0);
    assert_eq!(two.next_deadline(), None);
}

#[test]
fn an_acknowledgement_rides_on_an_answer_and_waits_no_longer_than_it_may() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    one.offer(Instant::ZERO, cast(1), place).expect("room");
    let batch = poll(&mut one, at(0)).expect("a frame");
    arrive(&mut two, at(0), &batch);
    assert!(poll(&mut two, at(0)).is_none(), "nothing to ride on yet");
    assert_eq!(two.next_deadline(), Some(at(20)));
    two.answer(Parcel::about(Kind::Reply, 1), None);
    let answer = poll(&mut two, at(1)).expect("the answer");
    assert_eq!((answer.records.len(), answer.marks.received), (1, 1));
}

#[test]
fn a_full_link_says_which_limit_before_anything_is_sent() {
    let config = LinkConfig {
        window_records: 2,
        window_bytes: 25,
        ..LinkConfig::default()
    };
    let mut link = Link::new(config);
    link.offer(Instant::ZERO, cast(1), place).expect("room");
    link.offer(Instant::ZERO, cast(2), place).expect("room");
    let (error, back) = *link.offer(Instant::ZERO, cast(3), place).expect_err("full");
    assert_eq!(back.id, 3);
    assert!(
        error.to_string().contains("link.records of peer is 2"),
        "{error}"
    );
    assert!(link.withdraw(2).is_some());
    let mut big = cast(4);
    big.payload = Payload::bytes(vec![0; 20]);
    let (error, _) = *link.offer(Instant::ZERO, big, place).expect_err("full");
    assert!(
        error.to_string().contains("link.bytes of peer is 25"),
        "{error}"
    );
}

#[test]
fn requests_wait_for_credit_and_answers_do_not() {
    let config = LinkConfig {
        window_records: 2,
        ..LinkConfig::default()
    };
    let mut one = Link::new(LinkConfig::default());
    let mut two = Link::new(config);
    introduce(&mut one, &mut two);
    for id in 1..=5 {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
    }
    one.answer(Parcel::about(Kind::Reply, 77), None);
    let batch = poll(&mut one, at(0)).expect("a frame");
    let ids: Vec<_> = batch.records.iter().map(|envelope| envelope.id).collect();
    assert_eq!(ids, [77, 1, 2]);
    assert!(poll(&mut one, at(0)).is_none());
}

#[test]
fn what_a_lost_peer_never_settled_is_reported_and_what_never_left_stays() {
    let (mut one, _) = introduced(LinkConfig::default());
    for id in 1..=3 {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
    }
    assert!(poll(&mut one, at(0)).is_some());
    one.offer(Instant::ZERO, cast(4), place).expect("room");
    let lost: Vec<_> = one.end().iter().map(|entry| entry.id).collect();
    assert_eq!(lost, [1, 2, 3]);
    assert!(one.is_fresh(4));
}

#[test]
fn a_reported_end_comes_before_its_mark() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    one.offer(Instant::ZERO, cast(1), place).expect("room");
    let batch = poll(&mut one, at(0)).expect("a frame");
    assert!(matches!(
        two.handle_records(at(0), batch.first_sequence, 1),
        Arrival::New { .. }
    ));
    two.answer(Parcel::failure(1, CallError::Cancelled), Some(1));
    assert_eq!(two.peek_marks().settled, 0);
    // The reason is lost with its connection, and the next is greeted.
    assert_eq!(poll(&mut two, at(0)).expect("the reason").records.len(), 1);
    two.reconnected();
    one.handle_marks(at(1), &two.peek_marks(), true);
    let failure = poll(&mut two, at(1)).expect("the reason, again");
    assert_eq!(one.unsettled(), 1);
    arrive(&mut one, at(1), &failure);
    two.handle_marks(at(1), &one.peek_marks(), true);
    assert_eq!(two.peek_marks().settled, 1);
}

/// Hands over what each side has to say, a second long.
fn talk(one: &mut Link, two: &mut Link, from: u64) -> Vec<u64> {
    let mut ended = Vec::new();
    for now in (from..from + 1000).step_by(10).map(at) {
        while let Some(frame) = poll(one, now) {
            ended.extend(arrive_open(two, now, &frame).iter().map(|it| it.0));
        }
        while let Some(frame) = poll(two, now) {
            arrive(one, now, &frame);
        }
    }
    ended
}

#[test]
fn one_that_takes_long_holds_nothing_but_itself() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    for id in 1..=1000 {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
    }
    let arrived = talk(&mut one, &mut two, 0);
    assert_eq!((arrived.len(), one.unsettled()), (1000, 1000));
    let long = [1, 2, 500];
    for sequence in arrived.iter().filter(|it| !long.contains(it)) {
        two.settle_cast(at(1000), *sequence);
    }
    talk(&mut one, &mut two, 1000);
    assert_eq!(one.unsettled(), 3, "the others are known to have ended");
    assert!(!two.is_idle(), "it has three of them");
    two.settle_cast(at(2000), 2);
    talk(&mut one, &mut two, 2000);
    assert_eq!(one.unsettled(), 2);
    // One of them fails: the reason says whose it is.
    two.answer(Parcel::about(Kind::Failure, 500), Some(500));
    talk(&mut one, &mut two, 3000);
    let lost: Vec<_> = one.end().iter().map(|entry| entry.id).collect();
    assert_eq!(lost, [1], "nobody knows what became of this one alone");
    two.settle_cast(at(4000), 1);
    assert!(two.inbound.endings.is_empty());
}

/// Two million casts a second, a millisecond away, and now and then one that never ends.
#[test]
fn one_that_takes_long_slows_down_nobody() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    let (mut id, mut open, mut most) = (0, 0, 0);
    let mut back: Vec<Frame> = Vec::new();
    for now in (0..400).map(at) {
        for frame in std::mem::take(&mut back) {
            arrive(&mut one, now, &frame);
        }
        for _ in 0..2000 {
            id += 1;
            one.offer(now, cast(id), place).expect("room");
        }
        most = most.max(one.unsettled());
        while let Some(frame) = poll(&mut one, now) {
            for (sequence, id) in arrive_open(&mut two, now, &frame) {
                if id % 50_000 == 1 {
                    open += 1;
                } else {
                    two.settle_cast(now, sequence);
                }
            }
        }
        while let Some(frame) = poll(&mut two, now) {
            back.push(frame);
        }
    }
    assert_eq!((id, open), (800_000, 16));
    assert!(most < 20_000, "{most} were unsettled");
}

#[test]
fn casts_that_overtake_each_other_need_no_exceptions() {
    let (mut one, mut two) = introduced(LinkConfig::default());
    let mut random = Stream::new(1, "work");
    let (mut id, mut ends, mut said) = (0, BTreeMap::<u64, Vec<u64>>::new(), 0);
    for now in 0..2000 {
        for _ in 0..2 {
            id += 1;
            one.offer(at(now), cast(id), place).expect("room");
        }
        while let Some(frame) = poll(&mut one, at(now)) {
            for (sequence, _) in arrive_open(&mut two, at(now), &frame) {
                let end = now + 20 + random.below(40);
                ends.entry(end).or_default().push(sequence);
            }
        }
        for sequence in ends.remove(&now).unwrap_or_default() {
            two.settle_cast(at(now), sequence);
        }
        while let Some(frame) = poll(&mut two, at(now)) {
            said += frame.records.len();
            arrive(&mut one, at(now), &frame);
        }
    }
    assert!(one.unsettled() < 400, "{}", one.unsettled());
    assert_eq!(said, 0, "records that said that casts take long");
}

#[test]
fn calls_are_taken_however_many_casts_have_not_ended() {
    let (mut one, mut two) = introduced(LinkConfig {
        unsettled_max: 2,
        ..LinkConfig::default()
    });
    for id in 1..=2 {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
    }
    talk(&mut one, &mut two, 0);
    let (error, _) = *one.offer(Instant::ZERO, cast(3), place).expect_err("full");
    assert!(error.to_string().contains("link.unsettled"), "{error}");
    let call = Parcel::about(Kind::Call, 4);
    one.offer(Instant::ZERO, call, place).expect("room");
    assert_eq!([one.is_full(false), one.is_full(true)], [false, true]);
}

/// Two links over a connection that loses what was in flight each time it breaks.
struct Pair {
    links: [Link; 2],
    flight: [Vec<Frame>; 2],
    /// What the second side works on: ids by number.
    open: BTreeMap<u64, u64>,
    now: u64,
    random: Stream,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let config = LinkConfig {
            window_records: 16,
            ..LinkConfig::default()
        };
        let (one, two) = introduced(config);
        Self {
            links: [one, two],
            flight: [Vec::new(), Vec::new()],
            open: BTreeMap::new(),
            now: 0,
            random: Stream::new(seed, "pair"),
        }
    }

    fn pump(&mut self, side: usize) {
        while let Some(batch) = poll(&mut self.links[side], at(self.now)) {
            self.flight[1 - side].push(batch);
        }
    }

    fn deliver(&mut self, side: usize) -> Vec<u64> {
        let now = at(self.now);
        let mut arrived = Vec::new();
        for batch in std::mem::take(&mut self.flight[side]) {
            for (sequence, id) in arrive_open(&mut self.links[side], now, &batch) {
                self.open.insert(sequence, id);
                arrived.push(id);
            }
        }
        arrived
    }

    /// Ends some of what is being worked on, well or not.
    fn work(&mut self, ends: Probability) {
        let now = at(self.now);
        for (sequence, id) in std::mem::take(&mut self.open) {
            if !self.random.chance(ends) {
                self.open.insert(sequence, id);
            } else if self.random.chance(Probability::percent(80)) {
                self.links[1].settle_cast(now, sequence);
            } else {
                self.links[1].answer(Parcel::about(Kind::Failure, id), Some(sequence));
            }
        }
    }

    fn break_connection(&mut self) {
        self.flight = [Vec::new(), Vec::new()];
        for link in &mut self.links {
            link.reconnected();
        }
    }
}

/// Offers casts on one side while the connection breaks, and checks that each arrives once, in order, and is
/// remembered for as long as it has not ended.
fn survive(seed: u64) {
    let mut pair = Pair::new(seed);
    let mut offered = BTreeSet::new();
    let mut arrived = Vec::new();
    let mut next = 1;
    // Most at once, or hardly any, so that the rest has to wait for those that do not.
    let ends = [[90, 90], [50, 5], [2, 2]][usize::try_from(seed % 3).expect("small")];
    for step in 0..400 {
        pair.now += pair.random.below(30);
        if step < 300 {
            for _ in 0..pair.random.below(8) {
                if pair.links[0]
                    .offer(Instant::ZERO, cast(next), place)
                    .is_ok()
                {
                    offered.insert(next);
                }
                next += 1;
            }
            if pair.random.chance(Probability::percent(15)) {
                pair.break_connection();
            }
        }
        pair.pump(0);
        if pair.random.chance(Probability::percent(60)) {
            arrived.extend(pair.deliver(1));
        }
        pair.work(Probability::percent(ends[step % ends.len()]));
        pair.pump(1);
        if pair.random.chance(Probability::percent(60)) {
            pair.deliver(0);
        }
        let known = pair.links[0].outbound.ledger.ids();
        let forgotten = pair.open.values().find(|id| !known.contains(id));
        assert_eq!(forgotten, None, "seed {seed}: it has not ended");
    }
    for _ in 0..20 {
        pair.now += 2_000;
        pair.pump(0);
        arrived.extend(pair.deliver(1));
        pair.work(Probability::ALWAYS);
        pair.pump(1);
        pair.deliver(0);
    }
    assert_eq!(
        arrived,
        offered.into_iter().collect::<Vec<_>>(),
        "seed {seed}"
    );
    assert!(pair.links[0].is_flushed(), "seed {seed}");
    assert!(
        pair.links[0].end().is_empty(),
        "seed {seed}: all were settled"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a seed to repeat is given from outside"
)]
fn nothing_is_lost_doubled_or_swapped_while_connections_break() {
    if let Ok(seed) = std::env::var("SEED") {
        survive(seed.parse().expect("SEED is a number"));
        return;
    }
    (0..500).for_each(survive);
}

#[test]
fn casts_are_found_by_their_ids_although_an_older_one_came_later() {
    let (mut one, _) = introduced(LinkConfig::default());
    // 3 and 5 waited elsewhere and were moved here.
    for id in [7, 9, 3, 5, 11] {
        one.offer(Instant::ZERO, cast(id), place).expect("room");
        while poll(&mut one, at(1)).is_some() {}
    }
    for id in [5, 9, 11, 3, 7] {
        assert_eq!(one.take_cast(id).map(|entry| entry.id), Some(id));
    }
    assert_eq!(one.unsettled(), 0);
}

#[test]
fn taking_what_has_not_left_forgets_nothing_of_what_has() {
    let config = LinkConfig {
        window_records: 2,
        ..LinkConfig::default()
    };
    let (mut one, mut two) = introduced(config);
    one.offer(Instant::ZERO, cast(1), place).expect("room");
    let sent = poll(&mut one, at(0)).expect("a frame");
    one.offer(Instant::ZERO, cast(2), place).expect("room");
    assert_eq!(one.take_requests().len(), 1);
    one.offer(Instant::ZERO, cast(3), place).expect("room");
    one.offer(Instant::ZERO, cast(4), place)
        .expect_err("one is under way, and one waits");
    arrive(&mut two, at(0), &sent);
    let received = poll(&mut two, at(20)).expect("an acknowledgement");
    arrive(&mut one, at(20), &received);
    one.offer(Instant::ZERO, cast(5), place).expect("room");
}
