//! Handlers that misbehave, and what is kept right around well-behaved ones.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as RealInstant};

use monofil_container::{Caller, Counter, Reply};
use monofil_inproc::{Outside, Paced, Pacer, World, WorldConfig};
use monofil_tests::{Net, NodeSpec, Scheme, SimNet, ZmqNet, component, on_both, text};
use monofil_transport::Instant;
use rustix::process::{Pid, Signal, kill_process};
use tracing::Subscriber;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const SIGSEGV: i32 = Signal::SEGV.as_raw();

#[test]
fn a_stack_overflow_names_its_component_before_the_process_dies() {
    for net in ["sim", "zmq"] {
        let output = Command::new(env!("CARGO_BIN_EXE_victim"))
            .args(["overflow", net])
            .output()
            .expect("the victim runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{net}: {errors}");
        let expected = "the handler of component `test/deep` overflowed its stack of 262144 bytes";
        assert!(errors.contains(expected), "{net}: {errors}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("alive"));
    }
}

#[test]
fn a_fault_that_is_no_overflow_ends_the_process_with_its_own_signal() {
    let output = Command::new(env!("CARGO_BIN_EXE_victim"))
        .args(["stray", "sim"])
        .output()
        .expect("the victim runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGSEGV), "{errors}");
    assert!(!errors.contains("overflowed"), "{errors}");
}

#[test]
fn a_segmentation_fault_sent_from_outside_ends_the_process() {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_victim"))
        .args(["wait", "sim"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the victim runs");
    let mut line = String::new();
    let said = victim.stdout.take().expect("a pipe");
    BufReader::new(said).read_line(&mut line).expect("readable");
    assert_eq!(line, "waiting\n");

    let pid = Pid::from_child(&victim);
    kill_process(pid, Signal::SEGV).expect("it runs");
    // One that outlived the signal would be waited for in vain.
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(20)).is_err() {
            // It may have ended this very moment.
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = victim.wait_with_output().expect("it is ours");
    // It no longer listens if it had to step in; the signal below says so.
    let _ = done.send(());
    guard.join().expect("no panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGSEGV), "{errors}");
    assert!(!errors.contains("overflowed"), "{errors}");
}

/// Notes for each event the names of the spans it lies in.
struct Scopes(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Scopes {
    fn on_event(&self, event: &tracing::Event<'_>, cx: LayerContext<'_, S>) {
        if event.metadata().target() == "spans" {
            let names: Vec<_> = cx
                .event_scope(event)
                .into_iter()
                .flat_map(|scope| scope.from_root())
                .map(|span| span.name())
                .collect();
            self.0.lock().expect("no panic").push(names.join(">"));
        }
    }
}

#[test]
fn what_came_in_one_frame_is_handled_in_one_turn_although_frames_are_to_be_sent() {
    const CALLS: u64 = 100;
    let mut net = SimNet::new(1);
    let net: &mut dyn Net = &mut net;
    let echo = component("echo", || {
        |_, message| Ok(Reply::Payload(message.payload().clone()))
    });
    net.start(vec![NodeSpec::new("one", vec![echo])]);
    let turns = |net: &dyn Net| net.counter("one", Counter::Turns);
    // The two have met, and nothing is left to be done.
    net.run(|cx| cx.call(text("echo", "Say", "")).expect("a reply"));
    let before = turns(net);
    net.run(|cx| {
        let calls: Vec<_> = (0..CALLS)
            .map(|_| cx.start_call(text("echo", "Say", "hi")))
            .collect();
        for call in calls {
            cx.wait(call).expect("a reply");
        }
    });
    let took = turns(net) - before;
    assert!(took < CALLS / 4, "{took} turns for {CALLS} calls");
}

/// A handler inside spans of its own, which it leaves and enters while another runs.
#[tracing::instrument(skip_all)]
fn left(cx: &mut monofil_container::Context) {
    for _ in 0..5 {
        tracing::info!(target: "spans", "left");
        cx.sleep(Duration::from_millis(3)).expect("time");
        let _inner = tracing::info_span!("inner").entered();
        cx.sleep(Duration::from_millis(2)).expect("time");
        tracing::info!(target: "spans", "inner");
    }
}

#[tracing::instrument(skip_all)]
fn right(cx: &mut monofil_container::Context) {
    for _ in 0..5 {
        cx.sleep(Duration::from_millis(4)).expect("time");
        tracing::info!(target: "spans", "right");
    }
}

#[test]
fn spans_of_interleaved_handlers_stay_apart() {
    on_both(|net| {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let subscriber = tracing_subscriber::registry().with(Scopes(seen.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let one = component("left", || {
                |cx, _| {
                    left(cx);
                    Ok(Reply::Empty)
                }
            });
            let other = component("right", || {
                |cx, _| {
                    right(cx);
                    Ok(Reply::Empty)
                }
            });
            net.start(vec![NodeSpec::new("one", vec![one, other])]);
            net.run(|cx| {
                let left = cx.start_call(text("left", "Go", ""));
                let right = cx.start_call(text("right", "Go", ""));
                cx.wait(left).expect("left");
                cx.wait(right).expect("right");
                tracing::info!(target: "spans", "outside");
            });
        });
        let mut seen = seen.lock().expect("no panic").clone();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["", "left", "left>inner", "right"]);
    });
}

#[test]
fn a_spinning_handler_is_reported_busy_by_others_and_never_silent() {
    const SPIN: Duration = Duration::from_secs(3);
    let mut net = ZmqNet::new(Scheme::Tcp);
    let spins = component("spins", || {
        |_, message| {
            let start = RealInstant::now();
            while message.payload().to_bytes() == "spin" && start.elapsed() < SPIN {
                std::hint::spin_loop();
            }
            Ok(Reply::Empty)
        }
    });
    net.start(vec![NodeSpec::new("one", vec![spins])]);
    // Another process would have a thread of its own, so the observer has.
    let local = net.local("one");
    let (stop, observer) = observe(&local);
    net.turn_until("the introduction", |_| {
        observer.lock().expect("no panic").contains(&"alive".into())
    });
    let dyn_net: &mut dyn Net = &mut net;
    dyn_net.run(|cx| cx.cast(text("spins", "Go", "spin")).expect("sent"));
    net.turn_until("the report", |net| {
        net.container("one")
            .counter(monofil_container::Counter::HandlersStarted)
            >= 1
    });
    net.turn_until("the recovery", |_| {
        let seen = observer.lock().expect("no panic");
        seen.last().is_some_and(|last| last == "alive") && seen.len() > 2
    });
    stop.send(()).expect("the observer listens");
    let seen = observer.lock().expect("no panic").clone();
    assert!(seen.contains(&"busy test/spins/Go".to_owned()), "{seen:?}");
    assert!(!seen.contains(&"silent".to_owned()), "{seen:?}");
    let stalls = net.stalls("one");
    assert!(
        stalls
            .iter()
            .any(|(handler, count)| handler == "test/spins/Go" && *count > 0),
        "{stalls:?}"
    );
}

type Seen = Arc<Mutex<Vec<String>>>;

/// Watches a node's health from a node with a thread of its own.
fn observe(there: &monofil_transport::LocalEndpoints) -> (std::sync::mpsc::Sender<()>, Seen) {
    use monofil_container::{Container, ContainerConfig, Health, StaticDirectory};
    use monofil_transport::{Clock as _, Driver as _, Next, Node as _};
    let seen: Seen = Arc::default();
    let (stop, stopped) = std::sync::mpsc::channel();
    let (notes, there) = (seen.clone(), there.application.clone().expect("bound"));
    std::thread::spawn(move || {
        let mut directory = StaticDirectory::new();
        directory.add("test/spins", there, &[]);
        let mut config = ContainerConfig::new("test", "observer");
        config.directory = Box::new(directory);
        config.probe_interval = Duration::from_millis(200);
        config.silent_after = Duration::from_secs(2);
        let mut container = Container::new(config);
        let listen = monofil_zmq::Listen {
            datagram: Some("127.0.0.1:0".parse().expect("an address")),
            ..Default::default()
        };
        let mut io = monofil_zmq::ZmqIo::bind(Default::default(), listen).expect("free addresses");
        while stopped.try_recv().is_err() {
            container.turn(&mut io);
            for (_, health) in container.peers() {
                let health = match health {
                    Health::Unknown => "unknown".to_owned(),
                    Health::Alive => "alive".to_owned(),
                    Health::Busy { handler } => format!("busy {handler}"),
                    Health::Silent => "silent".to_owned(),
                    Health::Left => "left".to_owned(),
                    _ => "new".to_owned(),
                };
                let mut notes = notes.lock().expect("no panic");
                if notes.last() != Some(&health) {
                    notes.push(health);
                }
            }
            let until = io.now() + Duration::from_millis(10);
            io.wait(Next::At(until));
        }
    });
    (stop, seen)
}

/// A clock whose reader stands at a breakpoint for a minute, half a second after the start.
struct Breakpoint {
    now: Instant,
    over: bool,
}

impl Pacer for Breakpoint {
    fn now(&mut self) -> Instant {
        self.now += Duration::from_micros(1);
        if !self.over && self.now >= Instant::ZERO + Duration::from_millis(500) {
            self.over = true;
            self.now += Duration::from_secs(60);
        }
        self.now
    }

    fn wait(&mut self, until: Instant) -> Option<Outside> {
        self.now = self.now.max(until);
        None
    }

    fn start(&mut self, job: monofil_inproc::HelperJob) {
        drop(job);
    }
}

#[test]
fn a_breakpoint_of_a_minute_kills_no_deadline() {
    use monofil_container::{Container, ContainerConfig, StaticDirectory};
    let mut world = World::new(WorldConfig::default());
    let outcome: Arc<Mutex<Option<&'static str>>> = Arc::default();
    let slow = component("slow", || {
        |cx, _| {
            cx.sleep(Duration::from_secs(1))?;
            Ok(Reply::Empty)
        }
    });
    let slot = outcome.clone();
    let caller = monofil_tests::hooked("caller", move || {
        let slot = slot.clone();
        monofil_tests::Hooks::new(|_, _| Ok(Reply::Empty)).start(move |cx, _| {
            let ask = text("slow", "Do", "").with_deadline(Duration::from_secs(3));
            let end = cx
                .call(ask)
                .map_or_else(|error| error.kind(), |_| "replied");
            *slot.lock().expect("no panic") = Some(end);
            Ok(())
        })
    });
    for def in [slow, caller] {
        let name = def.name();
        let spec = monofil_inproc::NodeSpec::new(name);
        let make = move |start: &monofil_inproc::NodeStart| {
            let mut directory = StaticDirectory::new();
            directory.add(
                "test/slow",
                monofil_inproc::application_endpoint("slow").expect("short"),
                &[],
            );
            let mut config = ContainerConfig::new("test", name);
            config.incarnation = start.incarnation;
            config.components = vec![def.spec()];
            config.directory = Box::new(directory);
            Box::new(Container::new(config)) as Box<dyn monofil_transport::Node>
        };
        world.add_node(spec, make).expect("a new name");
    }
    let mut paced = Paced::new(
        world,
        Breakpoint {
            now: Instant::ZERO,
            over: false,
        },
    );
    while outcome.lock().expect("no panic").is_none() {
        paced.turn();
    }
    assert_eq!(*outcome.lock().expect("no panic"), Some("replied"));
    let pacer = paced.pacer();
    assert!(pacer.over, "the call ended before the breakpoint");
    assert!(pacer.now >= Instant::ZERO + Duration::from_secs(60));
}
