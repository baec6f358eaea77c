//! What a stranger's bytes can make a decoder allocate, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use monofil_proto::wire::{Frame, Hello, Outcome, Record, Waiting};
use monofil_proto::{Bounds, decode_control, decode_datagram, encode, read_frame};
use proptest::prelude::*;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with the bytes that this thread holds and the most it ever held.
struct Counting;

#[expect(
    unsafe_code,
    reason = "an allocator is the only one who sees every allocation"
)]
// SAFETY: it does what the system's allocator does, and counts in thread-local cells that never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: what was allocated here was allocated by the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

fn count(more: usize, less: usize) {
    // A thread that ends may free what it holds after its cells are gone.
    let _ = HELD.try_with(|held| {
        held.set((held.get() + more).saturating_sub(less));
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the most that was held at once while `run` ran, beyond what was held before.
fn most<T>(run: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    MOST.set(before);
    let result = run();
    let most = MOST.get() - before;
    drop(result);
    most
}

/// What a decoder may hold for so many bytes: a table of records that is full at 4096 and was doubled to get
/// there, and for the rest a string or a message for every few bytes.
const fn allowed(bytes: usize) -> usize {
    (4 << 20) + 64 * bytes
}

fn head() -> Frame {
    Frame {
        version: 1,
        sender: vec![1; 16],
        sender_incarnation: 1,
        ..Frame::default()
    }
}

/// Frames that take as much memory for as few bytes as may be.
fn greedy() -> Vec<(&'static str, Bytes)> {
    let records = |record: Record, count: usize| Frame {
        records: vec![record; count],
        ..head()
    };
    let outcome = Outcome {
        cycle: vec![String::new(); 64],
        ..Outcome::default()
    };
    let hello = Hello {
        components: vec![String::new(); 1024],
        ..Hello::default()
    };
    let frames = [
        ("records", records(Record::default(), 4096)),
        (
            "outcomes",
            records(
                Record {
                    outcome: Some(Box::new(outcome)),
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "waiting",
            records(
                Record {
                    waiting: vec![Waiting::default(); 64],
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "networks",
            records(
                Record {
                    visited_networks: vec![String::new(); 32],
                    ..Record::default()
                },
                4096,
            ),
        ),
        (
            "names",
            Frame {
                names: vec![Default::default(); 1024],
                ..head()
            },
        ),
        (
            "hello",
            Frame {
                hello: Some(Box::new(hello)),
                ..head()
            },
        ),
    ];
    frames.map(|(what, frame)| (what, encode(&frame))).into()
}

#[test]
fn a_frame_takes_no_more_memory_than_it_may() {
    for (what, bytes) in greedy() {
        let held = most(|| read_frame(&bytes, &Bounds::DEFAULT).expect("within all bounds"));
        println!("{what}: {} bytes are read into {held}", bytes.len());
        assert!(
            held <= allowed(bytes.len()),
            "{what}: {held} for {}",
            bytes.len()
        );
    }
}

#[test]
fn what_is_refused_has_taken_no_more_either() {
    for (what, bytes) in greedy() {
        // The last bytes say that there is more to come.
        let mut bytes = bytes.to_vec();
        bytes.extend([15 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        let held = most(|| {
            read_frame(&bytes, &Bounds::DEFAULT)
                .is_err()
                .then_some(())
                .expect("refused")
        });
        assert!(
            held <= allowed(bytes.len()),
            "{what}: {held} for {}",
            bytes.len()
        );
    }
}

proptest! {
    // A frame here is large, and a debug build slow.
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes_take_no_more_memory_than_they_may(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let bytes = Bytes::from(bytes);
        let held = [
            most(|| read_frame(&bytes, &Bounds::DEFAULT)),
            most(|| decode_control(&bytes, &Bounds::DEFAULT)),
            most(|| decode_datagram(&bytes, &Bounds::DEFAULT)),
        ];
        prop_assert!(held.iter().all(|held| *held <= allowed(bytes.len())), "{held:?}");
    }

    #[test]
    fn changed_frames_take_no_more_memory_than_they_may(
        which in 0_usize..6,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = greedy()[which].1.to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let held = most(|| read_frame(&bytes, &Bounds::DEFAULT).is_ok());
        prop_assert!(held <= allowed(bytes.len()), "{held} for {}", bytes.len());
    }
}
