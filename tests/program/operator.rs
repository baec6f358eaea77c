//! The operator's client, against a shop that runs.

use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use monofil_tests::{Ended, Place, Program, eventually, free_port};
use serde_json::Value;

use crate::support;

const COMPONENTS: [&str; 5] = ["analytics", "inventory", "orders", "payments", "shipping"];

/// Five processes that find each other.
struct Shop {
    place: Place,
    seed: u16,
    programs: Vec<(&'static str, Program)>,
}

impl Shop {
    fn open() -> Self {
        let place = Place::new(support::orders(), "orders");
        let mut shop = Self {
            place,
            seed: free_port(),
            programs: Vec::new(),
        };
        for name in COMPONENTS {
            shop.start(name);
        }
        eventually("everybody sees everybody", || {
            COMPONENTS.iter().all(|name| shop.sees_all(name))
        });
        shop
    }

    fn start(&mut self, name: &'static str) {
        let port = match name {
            "analytics" => self.seed.to_string(),
            _ => "*".to_owned(),
        };
        let listen = format!("--listen tcp://127.0.0.1:{port} --control tcp://127.0.0.1:*");
        let join = format!("--join 127.0.0.1:{} --log-level warn", self.seed);
        let program = self.place.start(&format!("run {name} {listen} {join}"));
        self.programs.push((name, program));
    }

    fn sees_all(&self, name: &str) -> bool {
        let info = self.monofil(&format!("info node:{name} --json"));
        let info: Value = serde_json::from_str(&info.out).unwrap_or_default();
        let is_up = |it: &&Value| it["state"] == "up" && it["components"] != Value::Array(vec![]);
        let members = info["members"].as_array();
        members.is_some_and(|it| it.iter().filter(is_up).count() == COMPONENTS.len() - 1)
    }

    fn monofil(&self, args: &str) -> Ended {
        let monofil = Place::new(Path::new(env!("CARGO_BIN_EXE_monofil")), "monofil");
        let mut command = monofil.command(args);
        command.env("MONOFIL_SEED", format!("127.0.0.1:{}", self.seed));
        Program::start(&mut command).wait()
    }

    /// Returns how many messages `orders` has handled and refused.
    fn handled_and_rejected(&self) -> (u64, u64) {
        let info = self.monofil("info orders --json");
        let info: Value = serde_json::from_str(&info.out).expect("JSON");
        let instance = &info["instances"][0];
        let number = |name: &str| instance[name].as_u64().expect("a number");
        (number("handled"), number("rejected"))
    }
}

/// Reads the items of a list in JSON; none of what is no list.
fn items(ended: &Ended) -> Vec<Value> {
    let value: Option<Value> = serde_json::from_str(&ended.out).ok();
    let items = value.and_then(|value| value["items"].as_array().cloned());
    items.unwrap_or_default()
}

/// `TRYCMD=overwrite` writes the files anew; what is different each time is to be made `[..]` by hand then.
#[test]
fn transcripts_of_an_operator() {
    let mut shop = Shop::open();
    let cases = |files: &str| {
        trycmd::TestCases::new()
            .register_bin(
                "monofil",
                Path::new(env!("CARGO_BIN_EXE_monofil")).to_owned(),
            )
            .env("MONOFIL_SEED", format!("127.0.0.1:{}", shop.seed))
            .env("USER", "ada")
            .env("NO_COLOR", "1")
            .case(files);
    };
    cases("tests/program/operator/running.trycmd");
    eventually("whoever is asked says who drains", || {
        let drains = |it: &Value| it["name"] == "payments" && it["state"] == "draining";
        items(&shop.monofil("nodes --json")).iter().any(drains)
    });
    let shown = shop.monofil("info payments");
    assert!(shown.out.contains("idle, draining"), "{shown:?}");
    let of_all = items(&shop.monofil("components --json"));
    let draining = of_all.iter().filter(|it| it["node_state"] == "draining");
    let draining: Vec<_> = draining.map(|it| &it["node"]).collect();
    assert_eq!(draining, ["payments"]);
    let (_, killed) = shop.programs.pop().expect("shipping");
    killed.kill();
    eventually("it is seen to be down", || {
        items(&shop.monofil("nodes --json"))
            .iter()
            .any(|it| it["name"] == "shipping" && it["state"] == "down")
    });
    what_is_saved_is_what_nodes_begin_with(&shop);
    cases("tests/program/operator/one_is_down.trycmd");
}

fn what_is_saved_is_what_nodes_begin_with(shop: &Shop) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.toml");
    let place = file.display();
    std::fs::write(&file, "# ours\n[deadline]\ndrain = \"30s\"\n").expect("it can be written");
    for (change, code) in [
        ("orders.in_flight 64", Some(0)),
        ("orders.queue_time 5ms", Some(0)),
        ("network:inventory.rate_bytes 1MiB", Some(0)),
        ("flow:audit.rate_messages 7", Some(0)),
        ("shipping.in_flight 5", Some(4)),
        ("orders.rate_messages configured", Some(2)),
    ] {
        let ended = shop.monofil(&format!("limits set {change} --as ada --save {place}"));
        assert_eq!(ended.code, code, "{ended:?}");
    }
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[node]\nin_fligth = 3\n").expect("it can be written");
    let (from, to) = ("orders.in_flight 3", wrong.display());
    let refused = shop.monofil(&format!("limits set {from} --save {to}"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let limits = items(&shop.monofil("limits get orders --json"));
    let in_flight = limits.iter().find(|it| it["limit"] == "instance.in_flight");
    assert_eq!(in_flight.expect("it is set")["value"], 64);
    let text = std::fs::read_to_string(&file).expect("it can be read");
    assert!(text.starts_with("# ours\n[deadline]\n"), "{text}");
    let show = format!("config show --json --config {place}");
    let shown = shop.place.run(&show);
    let settings: Value = serde_json::from_str(&shown.out).expect("JSON");
    for (key, value) in [
        ("components.orders.in_flight", "64"),
        ("components.orders.queue_time", "5ms"),
        ("components.inventory.network_rate_bytes", "1MiB"),
        ("flows.audit.rate_messages", "7"),
        ("deadline.drain", "30s"),
        // It did not reach the one that is down.
        ("components.shipping.in_flight", ""),
    ] {
        assert_eq!(settings[key]["value"], value, "{key}: {shown:?}");
    }
}

#[test]
fn doctor_tells_what_is_wrong_from_what_is_over() {
    let mut shop = Shop::open();
    let place = |args: &str| {
        let customers = format!("run customers --join 127.0.0.1:{} {args}", shop.seed);
        shop.place
            .run(&format!("{customers} --no-progress --log-level warn"))
    };
    let ended = place("--generate 20");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let down = |shop: &Shop| {
        let nodes = items(&shop.monofil("nodes --json"));
        nodes.iter().filter(|it| it["state"] == "down").count()
    };
    eventually("the job is down", || down(&shop) == 1);
    let doctor = |shop: &Shop| shop.monofil("doctor");
    let well = doctor(&shop);
    assert_eq!(well.code, Some(0), "{well:?}");
    assert_eq!(well.out.trim(), "5 nodes were asked, and nothing is wrong");

    let stray = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let sent = stray.send_to(b"hello?", ("127.0.0.1", shop.seed));
    assert_eq!(sent.ok(), Some(6));
    eventually("it is told of", || {
        let told = doctor(&shop);
        assert_eq!(told.code, Some(0), "{told:?}");
        told.out.contains("not while this looked")
            && told.out.contains("frames came that make no sense, once")
    });

    let (_, killed) = shop.programs.pop().expect("shipping");
    killed.kill();
    eventually("it is seen to be down", || down(&shop) == 2);
    let missed = doctor(&shop);
    assert_eq!(missed.code, Some(1), "{missed:?}");
    assert!(missed.out.contains("it is down"), "{missed:?}");
}

/// Writes orders for as long as they are taken, and counts them.
fn feed(mut to: impl Write + Send + 'static) -> (Arc<AtomicU64>, Arc<AtomicBool>) {
    let (written, enough) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (count, end) = (written.clone(), enough.clone());
    thread::spawn(move || {
        for number in 1.. {
            if end.load(Ordering::Acquire) {
                return;
            }
            let order = format!(
                r#"{{"id":"A-{number}","customer":"Ada","city":"Lyon","lines":[{{"sku":"TEA-MATCHA-30","quantity":1}}]}}"#
            );
            writeln!(to, "{order:500}").expect("the customers read");
            count.fetch_add(1, Ordering::Release);
        }
    });
    (written, enough)
}

#[test]
fn a_limit_that_is_set_under_load_counts_at_once_and_nothing_is_lost() {
    let shop = Shop::open();
    let join = format!("--join 127.0.0.1:{} --log-level warn", shop.seed);
    let customers = format!("run customers {join} --input - --concurrency 32 --no-progress --json");
    let mut customers = shop.place.start(&customers);
    let (written, enough) = feed(customers.input());
    let wait_for_more = || {
        let target = written.load(Ordering::Acquire) + 200;
        eventually("customers go on", || {
            written.load(Ordering::Acquire) >= target
        });
    };
    wait_for_more();
    assert_eq!(
        shop.handled_and_rejected().1,
        0,
        "there is room for everybody"
    );

    let set = shop.monofil("limits set orders.in_flight 0 --as ada --for 10m --json");
    assert_eq!(set.code, Some(0), "{set:?}");
    let set = items(&set).remove(0);
    assert_eq!((&set["value"], &set["author"]), (&0.into(), &"ada".into()));
    // What was admitted is still handled; then nothing is, and everything is refused.
    eventually("what was admitted is done", || {
        let limits = items(&shop.monofil("limits get orders --json"));
        let in_flight = limits.iter().find(|it| it["limit"] == "instance.in_flight");
        in_flight.expect("it is set")["observed"] == 0
    });
    let before = shop.handled_and_rejected();
    wait_for_more();
    let after = shop.handled_and_rejected();
    assert_eq!(after.0, before.0, "something was admitted");
    assert!(after.1 >= before.1 + 100, "{before:?} {after:?}");

    let undone = shop.monofil("limits set orders.in_flight configured --as ada");
    assert_eq!(undone.code, Some(0), "{undone:?}");
    eventually("orders are handled again", || {
        shop.handled_and_rejected().0 >= after.0 + 100
    });
    let (_, rejected) = shop.handled_and_rejected();
    enough.store(true, Ordering::Release);
    let ended = customers.wait();
    let summary: Value =
        serde_json::from_str(&ended.out).unwrap_or_else(|it| panic!("{it}: {ended:?}"));
    let outcomes = summary["outcomes"].as_object().expect("outcomes");
    let all: u64 = outcomes.values().filter_map(Value::as_u64).sum();
    let placed = written.load(Ordering::Acquire);
    assert_eq!(
        (all, &summary["books"]["balanced"]),
        (placed, &true.into()),
        "{ended:?}"
    );
    assert_eq!(outcomes["rejected"], rejected, "{ended:?}");
}
