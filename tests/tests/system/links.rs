//! Who remembers whom: nodes that come and go, forget each other and meet again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use monofil_container::{
    CallError, Caller, Container, ContainerConfig, Context, Counter, HandlerError, NodeId, Payload,
    Reply, StaticDirectory,
};
use monofil_inproc::{
    Latency, LinkModel, NodeKey, NodeSpec as WorldNode, NodeStart, World, WorldConfig,
    application_endpoint,
};
use monofil_tests::{ComponentDef, Hooks, Net, NodeSpec, component, hooked, on_both, text};
use monofil_transport::{Io, Next, Node, Shutdown};

/// A world with one server and clients without an endpoint of their own, which the server may forget.
struct Crowd {
    world: World,
    log: Rc<RefCell<Vec<(String, String)>>>,
    containers: Rc<RefCell<BTreeMap<String, Watched>>>,
}

type Watched = Rc<RefCell<Container>>;

/// A container that can be looked into from outside its world.
struct Visible(Watched);

impl Node for Visible {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        self.0.borrow_mut().turn(io)
    }
}

/// What a client did and got.
type Script = Rc<dyn Fn(&mut Context, &mut dyn FnMut(String))>;

impl Crowd {
    fn new(seed: u64, peers: usize, components: Vec<ComponentDef>) -> Self {
        let (min, max) = (Duration::from_millis(1), Duration::from_millis(2));
        let mut world = World::new(WorldConfig {
            link: LinkModel::with_latency(Latency::Uniform { min, max }),
            ..WorldConfig::with_seed(seed)
        });
        let containers: Rc<RefCell<BTreeMap<String, Watched>>> = Rc::default();
        let watched = containers.clone();
        world
            .add_node(WorldNode::new("server"), move |start: &NodeStart| {
                let mut config = ContainerConfig::new("test", "server");
                config.incarnation = start.incarnation;
                config.limits.peers = peers;
                config.components = components.iter().map(ComponentDef::spec).collect();
                visible(&watched, "server", config)
            })
            .expect("a new name");
        Self {
            world,
            log: Rc::default(),
            containers,
        }
    }

    fn client(
        &mut self,
        name: &str,
        script: impl Fn(&mut Context, &mut dyn FnMut(String)) + 'static,
    ) -> NodeKey {
        let script: Script = Rc::new(script);
        let (log, id) = (self.log.clone(), name.to_owned());
        let watched = self.containers.clone();
        let factory = move |start: &NodeStart| {
            let (log, name, script) = (log.clone(), id.clone(), script.clone());
            let main = hooked("main", move || {
                let (log, name, script) = (log.clone(), name.clone(), script.clone());
                Hooks::new(|_, _| Err(HandlerError::Unimplemented("main".into()))).start(
                    move |cx, _| {
                        script(cx, &mut |line| {
                            log.borrow_mut().push((name.clone(), line));
                        });
                        Ok(())
                    },
                )
            });
            let mut directory = StaticDirectory::new();
            let server = application_endpoint("server").expect("a short name");
            for component in ["echo", "slow"] {
                directory.add(format!("test/{component}"), server.clone(), &[]);
            }
            let mut config = ContainerConfig::new("test", id.as_str());
            config.node = NodeId::derived(&["client", &id]);
            config.incarnation = start.incarnation;
            config.components = vec![main.spec()];
            config.directory = Box::new(directory);
            visible(&watched, &id, config)
        };
        self.world
            .add_node(WorldNode::new(name).client(), factory)
            .expect("a new name")
    }

    fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
    }

    /// Returns what a client said.
    fn said(&self, name: &str) -> Vec<String> {
        let log = self.log.borrow();
        log.iter()
            .filter(|(who, _)| who == name)
            .map(|(_, line)| line.clone())
            .collect()
    }

    fn counter(&self, name: &str, counter: Counter) -> u64 {
        self.containers.borrow()[name].borrow().counter(counter)
    }
}

fn visible(
    all: &RefCell<BTreeMap<String, Watched>>,
    name: &str,
    config: ContainerConfig,
) -> Box<dyn Node> {
    let container = Rc::new(RefCell::new(Container::new(config)));
    all.borrow_mut().insert(name.to_owned(), container.clone());
    Box::new(Visible(container))
}

fn echo() -> ComponentDef {
    component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    })
}

fn outcome(result: Result<monofil_container::Payload, CallError>) -> String {
    match result {
        Ok(payload) => String::from_utf8_lossy(&payload.to_bytes()).into_owned(),
        Err(error) => error.kind().to_owned(),
    }
}

/// Four clients, a memory for two: each turn of one makes the server forget another that lives. They meet
/// again each time, and no link ends except because of that.
#[test]
fn clients_that_a_small_node_keeps_forgetting_are_served_all_the_same() {
    const ROUNDS: usize = 25;
    let mut crowd = Crowd::new(7, 2, vec![echo()]);
    let names = ["a", "b", "c", "d"];
    for name in names {
        crowd.client(name, |cx, say| {
            for round in 0..ROUNDS {
                say(outcome(cx.call(text("echo", "Say", &round.to_string()))));
                cx.sleep(Duration::from_millis(100)).expect("time");
            }
        });
    }
    crowd.run(60_000);
    let expected: Vec<_> = (0..ROUNDS).map(|round| round.to_string()).collect();
    for name in names {
        assert_eq!(crowd.said(name), expected, "client {name}");
    }
    let forgotten = crowd.counter("server", Counter::LinksEnded);
    assert!(
        forgotten >= 2,
        "nobody was forgotten: this test shows nothing"
    );
    for name in names {
        let ended = crowd.counter(name, Counter::LinksEnded);
        assert!(
            ended <= forgotten,
            "{ended} links ended at a client, {forgotten} at the server"
        );
    }
}

#[test]
fn clients_that_died_with_answers_under_way_make_room_for_others() {
    let mut crowd = Crowd::new(8, 3, vec![echo()]);
    for number in 0..12 {
        let name = format!("client-{number}");
        let key = crowd.client(&name, |cx, say| {
            say(outcome(cx.call(text("echo", "Say", "here"))));
        });
        // The answer is under way, and will never be acknowledged.
        while crowd.said(&name).is_empty() {
            assert!(
                crowd.world.now() < monofil_transport::Instant::ZERO + Duration::from_secs(600)
            );
            crowd.world.step();
        }
        crowd.world.crash(key);
        assert_eq!(crowd.said(&name), ["here"]);
    }
}

/// Both lives of the client number their calls alike, and the server keeps the client in one place.
#[test]
fn an_answer_for_an_earlier_life_of_a_client_is_not_given_to_a_later_one() {
    let slow = component("slow", || {
        |cx, message| {
            // The later the call, the sooner the answer.
            let early = message.payload().to_bytes() == "life 1";
            let time = Duration::from_millis(if early { 1000 } else { 3000 });
            // Nobody waits for the first any more, and it answers all the same.
            let _ = cx.sleep(time);
            Ok(Reply::Payload(message.payload().clone()))
        }
    });
    let mut crowd = Crowd::new(9, 1, vec![slow]);
    let lives = Rc::new(RefCell::new(0));
    let client = crowd.client("client", move |cx, say| {
        *lives.borrow_mut() += 1;
        let life = format!("life {}", lives.borrow());
        say(outcome(cx.call(text("slow", "Say", &life))));
    });
    crowd.run(100);
    crowd.world.crash(client);
    crowd.world.restart(client);
    crowd.run(10_000);
    assert_eq!(crowd.said("client"), ["life 2"]);
}

/// Whoever had not been heard by a node that ends in order waits for its next life, and is served by it.
#[test]
fn calls_wait_out_the_restart_of_a_node_that_ended_in_order() {
    on_both(|net| {
        net.start(vec![NodeSpec::new("one", vec![echo()])]);
        let first = net.run(|cx| outcome(cx.call(text("echo", "Say", "before"))));
        assert_eq!(first, "before");
        net.drain("one");
        net.restart("one");
        let second = net.run(|cx| outcome(cx.call(text("echo", "Say", "after"))));
        assert_eq!(second, "after");
    });
}

/// A node ends in order and starts again, twenty times, under load. What it had not taken waits for its
/// next life; what came while it finished was refused before it ran. Nothing is in doubt.
#[test]
fn a_rolling_restart_leaves_no_call_in_doubt() {
    const CALLS: usize = 4000;
    let mut crowd = Crowd::new(10, 8, vec![echo()]);
    for name in ["a", "b", "c"] {
        crowd.client(name, |cx, say| {
            let mut pending = std::collections::VecDeque::new();
            for _ in 0..CALLS {
                pending.push_back(cx.start_call(text("echo", "Say", "x")));
                cx.sleep(Duration::from_micros(1500)).expect("time");
                if pending.len() > 8 {
                    say(outcome(cx.wait(pending.pop_front().expect("eight"))));
                }
            }
            for call in pending {
                say(outcome(cx.wait(call)));
            }
        });
    }
    let server = crowd.world.node("server").expect("it is there");
    for restart in 0..20 {
        crowd.run(201 + restart % 7);
        crowd.world.shutdown(server, Shutdown::Drain);
        while !crowd.world.has_ended(server) {
            crowd.run(1);
        }
        crowd.run(30);
        crowd.world.restart(server);
    }
    crowd.run(20_000);
    for name in ["a", "b", "c"] {
        let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
        for line in crowd.said(name) {
            *outcomes.entry(line).or_default() += 1;
        }
        assert_eq!(outcomes.values().sum::<usize>(), CALLS, "{outcomes:?}");
        let in_doubt: Vec<_> = outcomes
            .keys()
            .filter(|kind| *kind != "x" && *kind != "draining")
            .collect();
        assert!(in_doubt.is_empty(), "client {name}: {outcomes:?}");
        assert!(
            outcomes["x"] > CALLS * 9 / 10,
            "client {name}: {outcomes:?}"
        );
    }
}

/// The callee restarts while another caller says nothing; then that one calls.
#[test]
fn a_caller_that_was_idle_while_its_callee_restarted_is_served() {
    on_both(|net| {
        let relay = component("relay", || {
            |cx, message| {
                Ok(Reply::Payload(cx.call(text(
                    "echo",
                    "Say",
                    &utf8(&message),
                ))?))
            }
        });
        net.start(vec![
            NodeSpec::new("one", vec![echo()]),
            NodeSpec::new("two", vec![relay]),
        ]);
        let ask = |cx: &mut Context| {
            let direct = cx.call(text("echo", "Say", "direct"));
            let relayed = cx.call(text("relay", "Say", "relayed"));
            (outcome(direct), outcome(relayed))
        };
        let both = ("direct".to_owned(), "relayed".to_owned());
        assert_eq!(net.run(ask), both);
        net.kill("one");
        net.restart("one");
        let direct = net.run(|cx| outcome(cx.call(text("echo", "Say", "direct"))));
        assert_eq!(direct, "direct");
        assert_eq!(net.run(ask), both);
        let relayed = net.run(|cx| outcome(cx.call(text("relay", "Say", "later"))));
        assert_eq!(relayed, "later");
    });
}

fn utf8(message: &monofil_container::Message) -> String {
    String::from_utf8_lossy(&message.payload().to_bytes()).into_owned()
}

/// Each node calls the other before it knows it: both dial, both greet, and nothing is called twice.
#[test]
fn nodes_that_dial_each_other_at_once_share_one_link() {
    on_both(|net| {
        let relay = |name: &'static str, other: &'static str| {
            component(name, move || {
                move |cx, message| {
                    if message.method().as_str() == "Relay" {
                        return Ok(Reply::Payload(cx.call(text(other, "Say", "hi"))?));
                    }
                    Ok(Reply::Payload(message.payload().clone()))
                }
            })
        };
        net.start(vec![
            NodeSpec::new("one", vec![relay("left", "right")]),
            NodeSpec::new("two", vec![relay("right", "left")]),
        ]);
        let answers = net.run(|cx| {
            let mut answers = Vec::new();
            for _ in 0..20 {
                let left = cx.start_call(text("left", "Relay", ""));
                answers.push(outcome(cx.wait(left)));
                let right = cx.start_call(text("right", "Relay", ""));
                answers.push(outcome(cx.wait(right)));
            }
            answers
        });
        assert_eq!(answers, vec!["hi"; 40]);
    });
}

/// A clock that goes back gives a node that starts again a smaller incarnation than it had.
#[test]
fn a_node_whose_clock_went_back_is_not_heard_and_learns_it() {
    on_both(|net| {
        let clock = Rc::new(Cell::new(2000));
        let lives = clock.clone();
        let echo = component("echo", || |_, _| Ok(Reply::Empty));
        let one = NodeSpec::new("one", vec![echo]);
        let two = component("two", || {
            |cx, _| {
                let ask = text("echo", "Do", "").with_deadline(Duration::from_millis(500));
                let answer = cx.call(ask).map_err(|error| error.kind());
                Ok(Reply::Payload(Payload::bytes(format!("{answer:?}"))))
            }
        });
        net.start(vec![
            one.configure(move |config| config.incarnation = lives.replace(1000)),
            NodeSpec::new("two", vec![two]),
        ]);
        let ask = |net: &mut dyn Net| {
            let answer = net.run(|cx| cx.call(text("two", "Do", "")));
            String::from_utf8(answer.expect("an answer").to_bytes().to_vec()).expect("text")
        };
        assert!(ask(net).starts_with("Ok"));
        net.kill("one");
        net.restart("one");
        // Not a timeout: nothing was sent to a node that is not heard.
        assert_eq!(ask(net), r#"Err("unreachable")"#, "{}", net.label());
        assert!(net.counter("two", Counter::FramesStale) > 0);
        assert!(net.counter("one", Counter::FramesMisdirected) > 0);
        // A later life is heard again.
        clock.set(3000);
        net.kill("one");
        net.restart("one");
        assert!(ask(net).starts_with("Ok"), "{}", net.label());
    });
}
