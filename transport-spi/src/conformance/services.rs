//! Time, entropy, datagrams, helpers.

use std::net::SocketAddr;
use std::time::Duration;

use super::net::{Net, number_of, pattern};
use super::report::broken;
use super::{Failure, Verdict};
use crate::{DatagramError, JobId, JobOutcome, Next, OffloadJob};

pub(super) fn clock(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "`now` never goes back, and goes on while a node waits";
    net.open("watch");
    let start = net.now("watch");
    let mut last = start;
    for _ in 0..200 {
        net.wait("watch", Next::At(last + Duration::from_micros(100)));
        net.receive("watch");
        let now = net.now("watch");
        if now < last {
            return broken(clause, format!("it went from {last} to {now}"));
        }
        last = now;
    }
    let until = last + Duration::from_millis(5);
    net.drive_for(&["watch"], Duration::from_millis(5), |_| false);
    if net.now("watch") < until {
        return broken(clause, "it stood still");
    }
    if net.with("watch", |io| io.wall_micros()) == 0 {
        return broken("`wall_micros` counts from 1970", "it was zero");
    }
    Ok(Verdict::Passed)
}

pub(super) fn entropy(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "no two fills of entropy are the same, nor those of two nodes or two incarnations";
    net.open("one");
    net.open("two");
    let mut fills = Vec::new();
    for name in ["one", "one", "two"] {
        fills.push(fill(net, name));
    }
    net.crash("one");
    net.restart("one");
    fills.push(fill(net, "one"));
    fills.sort_unstable();
    if fills.windows(2).any(|pair| pair[0] == pair[1]) {
        return broken(clause, "two were");
    }
    if fills[0] == [0; 32] {
        return broken(clause, "one was all zeros");
    }
    Ok(Verdict::Passed)
}

fn fill(net: &mut Net<'_>, name: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    net.with(name, |io| io.fill(&mut bytes));
    bytes
}

const DATAGRAMS: &str = "a datagram that arrives is whole, unchanged, and says where it came from";

fn addresses(net: &mut Net<'_>) -> Result<(SocketAddr, SocketAddr), Failure> {
    net.open("sender");
    net.open("receiver");
    match (net.local("sender").datagram, net.local("receiver").datagram) {
        (Some(here), Some(there)) => Ok((here, there)),
        _ => broken(DATAGRAMS, "a bound node has no datagram address"),
    }
}

pub(super) fn datagrams(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let (here, there) = addresses(net)?;
    let mut sent = 0;
    let mut wrong = None;
    let mut arrived = 0;
    // They may be lost, so go on until enough have come.
    let enough = net.drive(&["receiver", "sender"], |net| {
        let bytes = 12 + usize::try_from(sent % 1_000).unwrap_or(0);
        let _lost = net.with("sender", |io| {
            io.send_datagram(there, &pattern(sent, bytes))
        });
        sent += 1;
        for (from, payload) in net.mail("receiver").datagrams.drain(..) {
            match number_of(&payload) {
                Some(_) if from == here => arrived += 1,
                Some(_) => wrong = Some(format!("it came from {from}, not from {here}")),
                None => wrong = Some("it came changed".to_owned()),
            }
        }
        wrong.is_some() || arrived >= 200
    });
    match wrong {
        Some(what) => broken(DATAGRAMS, what),
        None if !enough => broken(DATAGRAMS, format!("{arrived} of {sent} arrived")),
        None => Ok(Verdict::Passed),
    }
}

pub(super) fn datagram_bounds(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause =
        "a datagram as long as `Limits::datagram_bytes_max` passes, a longer one is `TooLarge`";
    let (_, there) = addresses(net)?;
    let limit = net.with("sender", |io| io.limits()).datagram_bytes_max;
    let over = pattern(0, limit + 1);
    match net.with("sender", |io| io.send_datagram(there, &over)) {
        Err(DatagramError::TooLarge(bytes)) if bytes == limit + 1 => {}
        other => return broken(clause, format!("one byte over it: {other:?}")),
    }
    let full = pattern(1, limit);
    let came = net.drive(&["receiver", "sender"], |net| {
        let _lost = net.with("sender", |io| io.send_datagram(there, &full));
        !net.mail("receiver").datagrams.is_empty()
    });
    if !came {
        return broken(clause, "none of that length arrived");
    }
    if net.mail("receiver").datagrams[0].1 != full {
        return broken(clause, "another one arrived");
    }
    net.open_client("client");
    match net.with("client", |io| io.send_datagram(there, b"anyone?")) {
        Err(DatagramError::Unsupported) => Ok(Verdict::Passed),
        other => broken(
            "a node without an address sends none",
            format!("it was {other:?}"),
        ),
    }
}

pub(super) fn lookup(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let (_, there) = addresses(net)?;
    let ask = |net: &mut Net<'_>, place: &str| {
        let before = net.now("sender");
        let found = net.with("sender", |io| io.lookup(place));
        (found, net.now("sender").since(before))
    };
    let (found, _) = ask(net, &there.to_string());
    if found != [there] {
        let what = format!("`{there}` stands for {found:?}");
        return broken("an address stands for itself, at once", what);
    }
    // Of the second one the port is missing, of the third one the name.
    for place in ["nobody.invalid:7700", "nobody.invalid", ":7700", ""] {
        let mut late = 0;
        for _ in 0..20 {
            let (found, took) = ask(net, place);
            if !found.is_empty() {
                let what = format!("`{place}` stands for {found:?}");
                return broken("what nobody is called stands for nothing", what);
            }
            late += u32::from(took > net.slack());
        }
        if late > 5 {
            let what = format!("of 20 times that `{place}` was looked up it did {late} times");
            return broken("looking up never blocks", what);
        }
    }
    let Some(place) = net.named("receiver") else {
        return Ok(Verdict::Passed);
    };
    let known = net.drive(&["sender"], |net| ask(net, &place).0.contains(&there));
    if known {
        return Ok(Verdict::Passed);
    }
    let clause = "a name is looked up when it is asked for, and stands for its addresses soon";
    broken(clause, format!("`{place}` never stood for {there}"))
}

pub(super) fn offload(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "an accepted job's value comes back once, and wakes its node";
    net.open("worker");
    let mut accepted = 0;
    for number in 0..50_u64 {
        let job = OffloadJob {
            id: JobId(number),
            work: Box::new(move || Box::new(number * number)),
            modelled: Duration::from_millis(1),
        };
        match net.with("worker", |io| io.offload(job)) {
            Ok(()) => accepted += 1,
            Err(full) if full.job.id == JobId(number) => break,
            Err(_) => return broken("a full pool hands the job back", "it was another job"),
        }
    }
    if accepted == 0 {
        return broken(clause, "none was accepted");
    }
    let mut seen = std::collections::BTreeSet::new();
    let until = net.now("worker") + net.patience();
    while seen.len() < accepted {
        for (JobId(number), outcome) in std::mem::take(&mut net.receive("worker").jobs) {
            let value = match outcome {
                JobOutcome::Returned(value) => value.downcast_ref::<u64>().copied(),
                JobOutcome::Panicked(_) => None,
            };
            if value != Some(number * number) || !seen.insert(number) {
                return broken(clause, format!("job {number} returned {value:?}, or twice"));
            }
        }
        if net.now("worker") >= until {
            return broken(clause, format!("{} of {accepted} came back", seen.len()));
        }
        if seen.len() < accepted {
            net.wait("worker", Next::At(until));
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn offload_panic(net: &mut Net<'_>) -> Result<Verdict, Failure> {
    let clause = "a job that panics is reported with its message";
    net.open("worker");
    let job = OffloadJob {
        id: JobId(1),
        // Not `panic!`: unwinding without the hook keeps the test's output clean.
        work: Box::new(|| std::panic::resume_unwind(Box::new("the disk is on fire".to_owned()))),
        modelled: Duration::from_millis(1),
    };
    if net.with("worker", |io| io.offload(job)).is_err() {
        return broken(clause, "an idle pool was full");
    }
    net.drive(&["worker"], |net| !net.mail("worker").jobs.is_empty());
    match net.mail("worker").jobs.pop() {
        Some((JobId(1), JobOutcome::Panicked(message))) if message == "the disk is on fire" => {}
        other => return broken(clause, format!("what came was {other:?}")),
    }
    let job = OffloadJob {
        id: JobId(2),
        work: Box::new(|| Box::new(())),
        modelled: Duration::ZERO,
    };
    let taken = net.with("worker", |io| io.offload(job)).is_ok();
    net.drive(&["worker"], |net| !net.mail("worker").jobs.is_empty());
    match net.mail("worker").jobs.pop() {
        Some((JobId(2), JobOutcome::Returned(_))) if taken => Ok(Verdict::Passed),
        other => broken(
            "the pool survives a panic",
            format!("the next job gave {other:?}"),
        ),
    }
}
