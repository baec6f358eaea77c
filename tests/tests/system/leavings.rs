//! What handlers leave behind, and messages bring along, is their authors' code, too: destructors that end calls,
//! destructors and encoders that panic. It harms nobody else, wherever it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Context, Payload, RawPending, Replies, Reply, Request, Status,
};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, SimNet, component, hooked, on_both, text};
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};

fn echo() -> ComponentDef {
    component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    })
}

/// A call that ends when its owner does.
#[derive(Default)]
struct Holder(Option<RawPending>);

#[test]
fn what_the_producer_of_a_stream_keeps_may_end_a_call() {
    on_both(|net| {
        let streamer = component("streamer", || {
            |_, _| {
                let mut left = 2;
                Ok(Reply::Stream(Replies::from_fn(move |cx: &mut Context| {
                    let pending = cx.start_call(text("echo", "Say", "hi"));
                    cx.env::<Holder>().0 = Some(pending);
                    left -= 1;
                    (left >= 0).then(|| Ok(Payload::bytes("item")))
                })))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![echo(), streamer])]);
        let items = net.run(|cx| {
            let mut replies = cx.start_stream(text("streamer", "Go", ""));
            let mut items = 0;
            while let Some(item) = cx.next_item(&mut replies) {
                assert_eq!(item.expect("an item").to_bytes(), "item");
                items += 1;
            }
            items
        });
        assert_eq!(items, 2);
        let answer = net.run(|cx| cx.call(text("echo", "Say", "still there")));
        assert_eq!(answer.expect("an answer").to_bytes(), "still there");
    });
}

#[test]
fn a_call_that_its_own_handler_drops_is_cancelled() {
    let calls: Rc<RefCell<Option<RawPending>>> = Rc::default();
    let kept = calls.clone();
    let asker = component("asker", move || {
        let kept = kept.clone();
        move |cx, _| {
            kept.replace(Some(cx.start_call(text("sleeper", "Sleep", ""))));
            Ok(Reply::Empty)
        }
    });
    let ended: Rc<RefCell<Vec<bool>>> = Rc::default();
    let seen = ended.clone();
    let sleeper = component("sleeper", move || {
        let (dropped, seen) = (calls.clone(), seen.clone());
        move |cx, _| {
            drop(dropped.take());
            let cancelled = cx.is_cancelled();
            let slept = cx.sleep(Duration::from_millis(1));
            assert_eq!(cancelled, slept == Err(CallError::Cancelled));
            seen.borrow_mut().push(cancelled);
            Ok(Reply::Empty)
        }
    });
    let net: &mut dyn Net = &mut SimNet::new(1);
    net.start(vec![NodeSpec::new("one", vec![asker, sleeper])]);
    for target in ["asker", "sleeper"] {
        let answer = net.run(move |cx| cx.call(text(target, "Go", "")));
        answer.expect("an answer");
    }
    assert_eq!(*ended.borrow(), [true, false]);
}

/// Panics where it ends.
#[derive(Default)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor panics");
        }
    }
}

#[test]
fn what_a_handler_keeps_that_is_given_up_may_panic_as_it_ends() {
    let keeper = hooked("keeper", || {
        Hooks::new(|_, _| Ok(Reply::Empty)).start(|cx, _| {
            cx.env::<Bomb>();
            Ok(cx.sleep(Duration::from_secs(1000))?)
        })
    });
    let mut net = SimNet::new(1);
    net.start(vec![NodeSpec::new("one", vec![keeper])]);
    net.world().run_for(Duration::from_secs(1));
    drop(net);
}

#[test]
fn a_producer_that_panics_may_leave_something_that_panics_as_it_ends() {
    on_both(|net| {
        let streamer = component("streamer", || {
            |_, _| {
                let bomb = Bomb;
                Ok(Reply::Stream(Replies::from_fn(move |_: &mut Context| {
                    let _ = &bomb;
                    panic!("no item")
                })))
            }
        });
        net.start(vec![NodeSpec::new("one", vec![echo(), streamer])]);
        let item = net.run(|cx| {
            let mut replies = cx.start_stream(text("streamer", "Go", ""));
            cx.next_item(&mut replies)
        });
        assert_eq!(item, Some(Err(CallError::Panicked("no item".into()))));
        let answer = net.run(|cx| cx.call(text("echo", "Say", "still there")));
        assert_eq!(answer.expect("an answer").to_bytes(), "still there");
    });
}

/// A message that cannot be encoded, although it says how long it will be.
#[derive(Clone, Debug, Default)]
struct Unwritable;

impl prost::Message for Unwritable {
    fn encode_raw(&self, _: &mut impl BufMut) {
        panic!("cannot be written")
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: WireType,
        _: &mut impl Buf,
        _: DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        100
    }

    fn clear(&mut self) {}
}

#[test]
fn a_message_that_cannot_be_encoded_fails_alone() {
    on_both(|net| {
        let replier = component("replier", || {
            |_, message| match message.method().as_str() {
                "One" => Ok(Reply::Payload(Payload::message(Unwritable))),
                _ => {
                    let items = Replies::from_items([Unwritable]).map(Payload::message);
                    Ok(Reply::Stream(items))
                }
            }
        });
        net.start(vec![NodeSpec::new("one", vec![echo(), replier])]);
        let panicked = || CallError::Panicked("cannot be written".into());
        let before = net.gauges("one");
        let (asked, answered, item) = net.run(|cx| {
            let request = Request::new("echo", "Say", Payload::message(Unwritable));
            let asked = cx.call(request).map(|_| ());
            let answered = cx.call(text("replier", "One", "")).map(|_| ());
            let mut replies = cx.start_stream(text("replier", "Many", ""));
            (asked, answered, cx.next_item(&mut replies))
        });
        assert_eq!(asked, Err(panicked()));
        assert_eq!(answered, Err(panicked()));
        assert_eq!(item.map(|item| item.map(|_| ())), Some(Err(panicked())));
        let answer = net.run(|cx| cx.call(text("echo", "Say", "still there")));
        assert_eq!(answer.expect("an answer").to_bytes(), "still there");
        let calls = "monofil_calls_under_way";
        assert_eq!(net.gauges("one").get(calls), before.get(calls));
    });
}

thread_local! {
    static WORLD: RefCell<Option<SimNet>> = const { RefCell::new(None) };
}

#[test]
fn a_world_may_end_with_its_thread() {
    let thread = std::thread::spawn(|| {
        // It ends after what the framework keeps for the thread.
        WORLD.with(|_| ());
        let sleeper = component("sleeper", || {
            |cx: &mut Context, _| {
                cx.sleep(Duration::from_secs(1000))?;
                Ok(Reply::Empty)
            }
        });
        let asked = Cell::new(false);
        let asker = hooked("asker", || {
            Hooks::new(|_, _| Ok(Reply::Empty)).start(|cx, _| {
                let answer = cx.call(text("sleeper", "Sleep", ""));
                answer
                    .map(|_| ())
                    .map_err(|error| Status::internal(error.to_string()))
            })
        });
        let mut net = SimNet::new(1);
        net.start(vec![
            NodeSpec::new("one", vec![asker]),
            NodeSpec::new("two", vec![sleeper]),
        ]);
        net.world().run_for(Duration::from_secs(1));
        asked.set(true);
        WORLD.set(Some(net));
        asked.get()
    });
    assert!(thread.join().expect("it ends in peace"));
}
