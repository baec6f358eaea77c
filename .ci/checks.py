"""Checks what no test of one crate can: the pages' commands, all layouts, both builds, and which crate knows which.

    python3 .ci/checks.py target        # after `cargo test --workspace` and `cargo build --release -p orders`
"""

import contextlib
import html
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import traceback


class Skipped(Exception):
    """What a check needs is not there, and not to be had."""


ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(sys.argv[1]).resolve()
RELEASE = TARGET / "release/orders"
DEBUG = TARGET / "debug/orders"

# Which crates of this workspace a crate may depend on; tests and examples may on all.
LAYERS = {
    "zmq-sys": set(),
    "monofil-transport": set(),
    "monofil-proto": set(),
    "monofil-build": set(),
    "monofil-inproc": {"monofil-transport"},
    "monofil-zmq": {"monofil-transport", "zmq-sys"},
    "monofil-container": {"monofil-transport", "monofil-proto"},
    "monofil-sim": {"monofil-transport", "monofil-proto", "monofil-container", "monofil-inproc"},
    "monofil": {
        "monofil-transport",
        "monofil-proto",
        "monofil-container",
        "monofil-inproc",
        "monofil-sim",
        "monofil-zmq",
    },
}


def run(*command, cwd=None, env=None):
    """Runs a command to its end and returns its output; it must go well."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextlib.contextmanager
def started(*command, cwd, heard=None):
    """Starts a program and ends it in order afterwards; each line that it logs goes to `heard`."""
    program = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "MONOFIL_NETWORK__RUNTIME_DIR": str(cwd / "run"), "MONOFIL_LOG__FORMAT": "json"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []

    def listen():
        for line in program.stderr:
            said.append(line)
            if heard:
                heard(line)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield program
        program.send_signal(signal.SIGTERM)
        code = program.wait(timeout=60)
        listener.join()
        assert code in (0, 130), f"{command}: exit code {code}\n{''.join(said)}"
    finally:
        program.kill()
        program.wait()


def squeezed(text):
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def blocks(page):
    """Yields the comment before each block of a page, and the block."""
    text = (ROOT / page).read_text()
    yield from re.findall(r"^<!-- (.*?) -->\n```\w+\n(.*?)^```$", text, re.M | re.S)


def the_first_command_prints_what_the_readme_shows(there):
    printed = squeezed(run(RELEASE, cwd=there).stdout)
    shown = squeezed(dict(blocks("README.md"))["output of orders"])
    assert len(shown) > 5, "the README shows too little"
    for line in shown:
        # How long it took differs.
        if line != "..." and " s (" not in line:
            assert line in printed, f"the README shows `{line}`"


def the_books_balance_under_load(there):
    command = [RELEASE, "--generate", 20000, "--concurrency", 64, "--seed", 7, "--json"]
    summary = json.loads(run(*command, cwd=there).stdout)
    assert summary["books"]["balanced"] is True, summary
    assert sum(summary["outcomes"].values()) == 20000, summary


def every_layout_gives_20000_orders_the_same_outcomes(there):
    load = ["--generate", 20000, "--seed", 7, "--stock", 90, "--json", "--outcomes", "outcomes.tsv"]
    mixed = ["orders payments", "inventory", "shipping", "analytics"]
    layouts = {
        "memory": ["run"],
        "sim": ["sim"],
        "ipc": ["up"],
        "tcp": ["up", "--transport", "tcp"],
        "mixed": ["run", "customers"],
    }
    for concurrency in (1, 16):
        found = {}
        for name, layout in layouts.items():
            place = there / f"{name}{concurrency}"
            place.mkdir()
            with contextlib.ExitStack() as components:
                for names in mixed if name == "mixed" else []:
                    components.enter_context(started(RELEASE, "run", *names.split(), cwd=place))
                env = {"MONOFIL_NETWORK__RUNTIME_DIR": str(place / "run")}
                command = [RELEASE, *layout, *load, "--concurrency", concurrency]
                summary = json.loads(run(*command, cwd=place, env=env).stdout)
            seconds = summary["elapsed_us"] / 1e6
            virtual = "virtual " if name == "sim" else ""
            print(f"  {name}, {concurrency} at once: {seconds:.1f} {virtual}s, {20000 / seconds:,.0f}/s", flush=True)
            outcomes = summary["outcomes"]
            assert summary["books"]["balanced"] is True and sum(outcomes.values()) == 20000, summary
            assert outcomes["out_of_stock"] >= 1000, f"stock is to run out: {outcomes}"
            lines = (place / "outcomes.tsv").read_text().splitlines()
            assert len(lines) == 20000, f"{name}: {len(lines)} lines"
            found[name] = {part: summary[part] for part in ("outcomes", "books", "components")}
            if concurrency == 1:
                found[name]["each order's outcome"] = lines
        print(f"  {found['memory']['outcomes']}", flush=True)
        for name, parts in found.items():
            for part, value in parts.items():
                assert value == found["memory"][part], f"{name}, {concurrency} at once: other {part} than in memory"


def cpu_seconds(pid):
    """The time that all threads of a process have been on a CPU, to the nanosecond."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wakes(pid):
    """How often all threads of a process have slept."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int(re.search(r"^voluntary.*\t(\d+)", (task / "status").read_text(), re.M)[1]) for task in tasks)


def resident_mib(pid):
    return int(re.search(r"^VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]) / 1024


def idle_nodes_take_less_than_a_thousandth_of_a_cpu(there):
    """What it costs to wake up is the machine's affair, and differs by a factor of five: so beside the nodes there is a
    process that does so ten times a second, and nothing else. Where it takes half a thousandth itself, the nodes may
    take twice as much as it; how often they wake up is the same everywhere."""
    waits = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit())\nwhile True: time.sleep(0.1)"
    with started(sys.executable, "-c", waits, cwd=there) as bare:
        idle_beside(there, bare.pid)


def idle_beside(there, bare):
    seconds = float(os.environ.get("IDLE_SECONDS", 20))
    # `up` has customers who wait for orders: its input stays open.
    for layout in (["run", "inventory"], ["up", "--input", "-"], ["up", "--transport", "tcp", "--input", "-"]):
        nodes, ready = {}, {}
        all_ready = threading.Event()
        expected = 1 if layout[0] == "run" else 6

        def heard(line):
            if line.startswith("{"):
                entry = json.loads(line)
                if entry["body"] == "ready":
                    ready[entry["node"]] = time.monotonic() - began
                    if len(ready) == expected:
                        all_ready.set()

        began = time.monotonic()
        with started(RELEASE, *layout, "--log-level", "info", cwd=there, heard=heard) as program:
            assert all_ready.wait(60), f"{layout}: only {', '.join(ready)} got ready"
            children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
            for pid in [program.pid, *map(int, children)]:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                nodes["customers" if words[1] == "up" else words[2]] = pid
            assert sorted(nodes) == sorted(ready), (nodes, ready)
            # Nodes that have just met have things to tell each other.
            time.sleep(3)
            print(f"  {' '.join(layout)}, ready after, resident; each {seconds:.0f} s")
            for node, pid in nodes.items():
                print(f"    {node:<10} {ready[node] * 1000:>5.0f} ms {resident_mib(pid):>5.1f} MiB")
            # What else the machine does now and then is nobody's fault.
            busy = nodes
            for _ in range(3):
                busy = busy and {node: nodes[node] for node in too_busy({**busy, "bare": bare}, seconds)}
            assert not busy, f"{', '.join(busy)} of `{' '.join(layout)}` woke up or worked too much for who is idle"


def too_busy(nodes, seconds):
    """Returns which nodes take more than idle ones may."""
    before = {node: (cpu_seconds(pid), wakes(pid), time.monotonic()) for node, pid in nodes.items()}
    time.sleep(seconds)
    took = {}
    for node, pid in nodes.items():
        used, woken, since = before[node]
        elapsed = time.monotonic() - since
        took[node] = (cpu_seconds(pid) - used) / elapsed, (wakes(pid) - woken) / elapsed
    most = max(0.001, 2 * took["bare"][0])
    for node, (share, woken) in took.items():
        print(f"    {node:<10} {share:>8.4%} of a CPU, {woken:>5.1f} wakes a second", flush=True)
    return [node for node, (share, woken) in took.items() if node != "bare" and (share >= most or woken >= 25)]


def trace_hash(program, *flags, cwd):
    said = run(program, "sim", *flags, "--trace-hash", cwd=cwd).stderr
    return re.search(r"^trace hash (\w+)$", said, re.M)[1]


def many_runs_with_faults_are_the_same_in_debug_and_release(there):
    # Drawn plans, and shapes that need more than integers: all of it in one hash.
    faults = there / "faults.toml"
    faults.write_text("""
swarm = true
latency = [
    { shape = "exponential", min = "1ms", mean = "20ms" },
    { shape = "log-normal", median = "5ms", sigma_percent = 120 },
    { shape = "table", quantiles = ["1ms", "2ms", "400ms"] },
]
stalls = { probability = "2%", lasts = "200ms" }
bandwidth = { bytes_per_second = 100000, queue_bytes = 65536 }
[disconnects]
every = "2s"
lasts = "0s"
[slowness]
every = "2s"
lasts = "100ms..2s"
""")
    flags = ["--seeds", "0..24", "--generate", 20, "--faults", faults, "--shrink", "0s"]
    expected = trace_hash(RELEASE, *flags, "--jobs", 2, cwd=there)
    assert trace_hash(RELEASE, *flags, "--jobs", 1, cwd=there) == expected, "another number of processes"
    assert trace_hash(DEBUG, *flags, "--jobs", 2, cwd=there) == expected, "a debug build"


def a_seed_is_one_run_in_debug_and_release(there):
    def trace(program, seed):
        return trace_hash(program, "--generate", 100, "--seed", seed, cwd=there)

    hashes = {seed: trace(RELEASE, seed) for seed in (1, 2, 3)}
    assert len(set(hashes.values())) == 3, hashes
    for seed, expected in hashes.items():
        assert trace(RELEASE, seed) == expected, f"seed {seed} differs from run to run"
        assert trace(DEBUG, seed) == expected, f"seed {seed} differs in a debug build"


def a_thousand_runs_with_all_faults_are_the_same_twice(there):
    said = run(RELEASE, "sim", "--seeds", "0..1000", "--faults", "all", "--check", "--jobs", 2, cwd=there).stdout
    assert said == "1000 runs are the same in 2 and 3 processes\n", said


def the_shop_holds(seeds, *flags, cwd):
    """Explores 300 runs with orders that differ from run to run, many at once; cases that matter must be among them."""
    load = ["--faults", "all", "--generate", 200, "--concurrency", 16, "--shrink", "10s"]
    marks = ("the books are judged exactly", "a component forgot", "a customer is in doubt")
    expected = [word for mark in marks for word in ("--expect", mark)]
    said = run(RELEASE, "sim", "--seeds", f"{seeds}..{seeds + 300}", *load, *expected, *flags, cwd=cwd).stdout
    assert said.startswith("orders: 300 runs, "), said
    for mark in marks:
        reached = re.search(rf"^  sometimes {mark}: (\d+) of 300 runs$", said, re.M)
        assert reached and int(reached[1]) >= 10, f"{mark}:\n{said}"


def the_shop_holds_under_priorities_and_all_faults(there):
    the_shop_holds(0, "--strategy", "pct:d=3", cwd=there)


def the_shop_holds_under_all_faults_with_seeds_that_nobody_tried(there):
    seeds = random.randrange(1 << 40)
    # What fails is said with its seed, and this line says which were tried when none does.
    print(f"  seeds {seeds}..{seeds + 300}", flush=True)
    the_shop_holds(seeds, cwd=there)


def crates_know_only_those_below_them(_):
    metadata = json.loads(run("cargo", "metadata", "--format-version=1", "--no-deps", cwd=ROOT).stdout)
    packages = {package["name"]: package for package in metadata["packages"]}
    for name, allowed in LAYERS.items():
        used = {it["name"] for it in packages[name]["dependencies"] if it["kind"] != "dev"}
        wrong = (used & set(packages)) - allowed
        assert not wrong, f"{name} depends on {', '.join(sorted(wrong))}"
    for name in ("orders", "hello"):
        tree = run("cargo", "tree", "--edges=normal,build", "--prefix=none", f"--package={name}", cwd=ROOT).stdout
        assert not re.search(r"^(tokio|async-std) v", tree, re.M), tree


def licences_of(expression):
    """The sets of licences, any of which is enough, of an SPDX expression."""
    words = re.findall(r"[()]|[^\s()/]+|/", expression)

    def one():
        word = words.pop(0)
        if word == "(":
            found = either()
            assert words.pop(0) == ")", expression
            return found
        if words[:1] == ["WITH"]:
            word += f" WITH {words[1]}"
            del words[:2]
        return [{word}]

    def both():
        found = one()
        while words[:1] == ["AND"]:
            words.pop(0)
            found = [this | that for that in one() for this in found]
        return found

    def either():
        found = both()
        # Old manifests write a slash.
        while words[:1] in (["OR"], ["/"]):
            words.pop(0)
            found += both()
        return found

    found = either()
    assert not words, expression
    return found


def licences_bans_and_sources_are_as_in_deny_toml(_):
    """Part of what `cargo deny check` does, without it. Nothing here knows advisories or what was yanked."""
    deny = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed, used = set(deny["licenses"]["allow"]), set()
    banned = {ban["crate"]: set(ban.get("wrappers", [])) for ban in deny["bans"]["deny"]}
    versions, wrong = {}, []
    for target in deny["graph"]["targets"]:
        command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features", "--filter-platform", target]
        metadata = json.loads(run(*command, cwd=ROOT).stdout)
        packages = {package["id"]: package for package in metadata["packages"]}
        for node in metadata["resolve"]["nodes"]:
            package = packages[node["id"]]
            name = f"{package['name']} {package['version']}"
            versions.setdefault(package["name"], set()).add(package["version"])
            enough = [licences for licences in licences_of(package["license"] or "none") if licences <= allowed]
            used.update(*enough)
            if not enough:
                wrong.append(f"{name}: the licence `{package['license']}` is not allowed")
            # Those of this repository have no source.
            registry = "registry+https://github.com/rust-lang/crates.io-index"
            if package["source"] not in (None, registry):
                wrong.append(f"{name}: the source {package['source']} is not allowed")
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and not dependency.get("path"):
                    wrong.append(f"{name}: any version of {dependency['name']} will do")
            for below in node["deps"]:
                crate = packages[below["pkg"]]["name"]
                if package["name"] not in banned.get(crate, {package["name"]}):
                    wrong.append(f"{name}: depends on {crate}, which is banned")
    wrong += [f"`{licence}` is allowed, and nothing has it" for licence in sorted(allowed - used)]
    several = [f"{name} ({', '.join(sorted(them))})" for name, them in sorted(versions.items()) if len(them) > 1]
    print(f"  {len(versions)} crates; several versions of {', '.join(several)}")
    assert len(versions) > 100 and not wrong, "\n".join(sorted(set(wrong)))


def an_app_made_from_the_page_works(there):
    museum = there / "museum"
    for source, text in blocks("docs/getting-started.md"):
        path = source.removeprefix("the reader's ").removeprefix("all of examples/museum/")
        (museum / path).parent.mkdir(parents=True, exist_ok=True)
        (museum / path).write_text(text.replace('"../monofil', f'"{ROOT}'))
    shutil.copy(ROOT / "Cargo.lock", museum)
    # As in this workspace, so that what is built there can be used here.
    same = ['profile.dev.debug="line-tables-only"', 'profile.dev.package."*".debug=false']
    same += ['profile.dev.package.zmq-sys.debug="line-tables-only"', "profile.dev.build-override.debug=false"]
    config = [word for setting in same for word in ("--config", setting)]
    tests = run("cargo", *config, "test", cwd=museum).stdout
    assert "3 passed; 0 failed" in tests, tests
    call = ["call", "door", "Enter", '{"name": "Ada"}']
    assert run("cargo", *config, "run", "--quiet", "--", *call, cwd=museum).stdout == '{"number":1}\n'


def links_between_pages_lead_somewhere(_):
    pages = run("git", "ls-files", "*.md", cwd=ROOT).stdout.split()
    for page in pages:
        text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            to = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            assert to.exists(), f"{page} links to {link}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", to.read_text(), re.M)
                heads = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
                assert anchor in heads, f"{page} links to {link}"


def tests_named_on_pages_are_there(_):
    there = set()
    for source in run("git", "ls-files", "*.rs", cwd=ROOT).stdout.split():
        text = (ROOT / source).read_text()
        there.update(re.findall(r"\bfn (\w+)", text))
        there.update(re.findall(r'case\(\s*"(\w+)"', text))
    there.update(name for name in globals() if not name.startswith("_"))
    pages = ["ARCHITECTURE.md", *run("git", "ls-files", "docs/decisions/*.md", cwd=ROOT).stdout.split()]
    for page in pages:
        # Names of tests are sentences: four words at least.
        for name in re.findall(r"`([a-z]\w*(?:_[a-z0-9]+){3,})`", (ROOT / page).read_text()):
            assert name in there, f"{page} names `{name}`"


def the_operators_page_names_what_there_is(_):
    page = (ROOT / "docs/operating.md").read_text()
    sources = run("git", "ls-files", "*.rs", cwd=ROOT).stdout.split()
    code = "".join((ROOT / source).read_text() for source in sources)
    lines = re.findall(r"^\| `([a-z][^`]* [^`]*)` \|", page, re.M)
    commands = {line.split()[1] for line in lines if line.startswith("monofil ")}
    told = run(DEBUG.with_name("monofil"), "--help", cwd=ROOT).stdout
    listed = set(re.findall(r"^  ([a-z]+)  ", told, re.M))
    assert commands - {"breakers"} <= listed and listed <= commands | {"breakers"}, (commands, listed)
    lines = [line for line in lines if not line.startswith(("shop ", "monofil "))]
    assert len(lines) > 15, lines
    for name in lines + re.findall(r"`(monofil_\w+)`", page):
        assert name in code, f"nothing says or counts `{name}`"
    shown = run(DEBUG, "config", "show", cwd=ROOT).stdout.splitlines()
    settings = {line.split(" = ")[0] for line in shown}
    groups = {setting.split(".")[0] for setting in settings} - {"components", "instance"}
    for setting in re.findall(r"`([a-z]+\.[a-z_]+)`", page):
        # `node.` begins limits as well, which are refused by that name.
        known = setting in settings or setting.split(".")[0] not in groups or f'"{setting}"' in code
        assert known, f"there is no setting `{setting}`"


def looked_at(page, name, there):
    """Opens a page in a browser without a window, and returns what it found out about itself. A picture is left."""
    browser = next(filter(shutil.which, ["chromium", "chromium-browser", "google-chrome"]), None)
    assert browser, "there is no chromium: `apt-get install chromium`, as .ci/run does"
    pictures = TARGET / "ci"
    pictures.mkdir(parents=True, exist_ok=True)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1500,820", "--virtual-time-budget=20000"]
    flags += [f"--user-data-dir={there / 'browser'}", "--enable-logging=stderr"]
    shot = pictures / f"view-{name}.png"
    run(browser, *flags, "--hide-scrollbars", f"--screenshot={shot}", page.as_uri())
    assert shot.read_bytes().startswith(b"\x89PNG"), shot
    done = run(browser, *flags, "--dump-dom", page.as_uri() + "#self-test")
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert not said, said
    facts = re.search(r'<pre id="self-test"[^>]*>(.*?)</pre>', done.stdout, re.S)
    assert facts, f"{name}: the page did not try itself\n{done.stderr}"
    facts = json.loads(html.unescape(facts[1]))
    assert facts["failures"] == 1 and facts["errors"] == [], facts
    for mode in ("order", "time"):
        assert facts[f"{mode}_failure_inside"] and facts[f"{mode}_failure_found"], facts
        assert facts[f"{mode}_failure_painted"] > 30 and facts[f"{mode}_elsewhere_painted"] == 0, facts
    return facts


def pictures_of_runs_that_failed_show_where(there):
    """What explorations of `cargo test` found and left: a failure of a client, and one that is judged at the end."""
    for scenario in ("needs-a-cut", "lost-update"):
        pages = sorted((TARGET / "sim").glob(f"{scenario}-*.html"))
        assert pages, f"`cargo test -p monofil-sim` left no picture of {scenario}"
        facts = looked_at(pages[-1], scenario, there)
        assert facts["messages"] > 0 and facts["involved"]["painted"] > 30, facts


def the_picture_of_a_run_works_in_a_browser(there):
    """Pages with few events and with many, in a browser without a window. Pictures of them are left in target/ci."""
    for name, orders, shops, at_least in [("few", 3, 1, 10), ("some", 60, 2, 500), ("many", 6000, 5, 100_000)]:
        page = there / f"{name}.html"
        page.write_text(run(TARGET / "debug/examples/picture", orders, shops).stdout)
        facts = looked_at(page, name, there)
        took = ", ".join(f"{key.removesuffix('_ms')} {value}" for key, value in facts.items() if key.endswith("_ms"))
        print(f"  {name}: {facts['moments']} records, {facts['messages']} messages; drawn in ms: {took}", flush=True)
        assert facts["moments"] >= at_least, facts
        for mode in ("order", "time"):
            assert facts[f"{mode}_all_seen"] == [True, True], facts
            assert abs(facts[f"{mode}_zoom"] - 2) < 0.01 and abs(facts[f"{mode}_pan"] - 50) < 0.01, facts
            assert facts[f"{mode}_all_ms"] < 3000, facts
        for name in ("component", "flow"):
            one = facts[f"filter_{name}"]
            assert one["shown"] == one["expected"] and 0 < one["shown"], facts
        assert facts["filter_component"]["shown"] < facts["messages"] == facts["unfiltered"], facts
        assert facts["found"] > 0 and facts["selected"] and facts["let_go"] == -1, facts
        few = facts["involved"]
        assert 2 <= few["rows"] < few["all"] and few["painted"] > 30, facts
        injected = facts["injected"]
        assert {it["name"].split(" by ")[0] for it in injected} == {"delay reply to Reserve of stock-0", "duplicate request Reserve to stock-0"}, facts
        assert all(it["painted"] > 30 and it["told"] for it in injected), facts
        assert facts["elements"] < 1000, "the page has an element for each event"


def five_hosts_on_a_wire_stay_one_network(there):
    """In network namespaces, within namespaces of their own: see .ci/hosts.py."""
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    missing = [tool for tool in ("unshare", "ip", "nft") if not shutil.which(tool, path=env["PATH"])]
    if missing:
        raise Skipped(f"not installed: {', '.join(missing)}; `apt-get install iproute2 nftables`, as .ci/run does")
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        apart.append("--map-root-user")
    if subprocess.run([*apart, "true"], capture_output=True).returncode != 0:
        raise Skipped("whoever runs this may not make namespaces")
    command = [*apart, sys.executable, ROOT / ".ci/hosts.py", TARGET, there]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        raise Skipped(done.stdout.strip())
    print(done.stdout, end="", flush=True)
    assert done.returncode == 0, done.stderr


class Member:
    """A process of a network that finds itself, and where it sees others, by its log."""

    def __init__(self, there, seed, port="*"):
        self.sees, self.lines = set(), []
        command = [RELEASE, "run", "analytics", "--join", seed, "--log-level", "info"]
        command += ["--listen", f"tcp://127.0.0.1:{port}", "--control", "tcp://127.0.0.1:*"]
        env = {**os.environ, "MONOFIL_NETWORK__RUNTIME_DIR": str(there), "MONOFIL_LOG__FORMAT": "human", "NO_COLOR": "1"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=there, env=env, text=True, **pipes)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stderr:
            self.lines.append(line)
            where = re.search(r"a member is (up|down).* address=(\S+)", line)
            if where:
                (self.sees.add if where[1] == "up" else self.sees.discard)(where[2])

    def address(self):
        """Where it hears others, once it has said so."""
        said = [found for line in self.lines if (found := re.search(r"listening .*datagrams=(\S+)", line))]
        return said[0][1] if said else None

    def kill(self):
        self.process.kill()
        self.process.wait()


def until_all_see(what, members, since, bound):
    """Waits until each of these sees all others of them and nobody else, and tells whether that was in time."""

    def is_so():
        there = {it.address() for it in members}
        return None not in there and all(it.sees | {it.address()} == there for it in members)

    while not is_so():
        assert time.monotonic() - since < 60, f"{what}: {[(it.address(), it.sees) for it in members]}"
        time.sleep(0.005)
    took = time.monotonic() - since
    print(f"  {what} after {took:.2f} s, of {bound} s", flush=True)
    return took < bound


def twelve_processes_are_one_network_in_time(there):
    """They start at once, in any order. The dead are gone within the bound that SWIM gives: somebody asks each of them
    within 8 s, also if it is asked late in a round and news takes a while, and four probes times log 12 later it is down.
    A machine that has something else to do may be late; not each time of four."""
    for attempt in range(4):
        order = list(range(12))
        random.shuffle(order)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        members, in_time = [], []
        try:
            began = time.monotonic()
            members = [Member(there, f"127.0.0.1:{port}", "*" if number else port) for number in order]
            place = order.index(0)
            what = f"twelve see each other, from one seed that was number {place + 1} to start,"
            in_time.append(until_all_see(what, members, began, 3.0))
            # The seed goes for good, and somebody comes by way of another one.
            members.pop(place).kill()
            began = time.monotonic()
            members.append(Member(there, members[0].address()))
            in_time.append(until_all_see("the seed is gone, and the thirteenth is there", members, began, 12.8))
            began = time.monotonic()
            for _ in range(3):
                members.pop(0).kill()
            in_time.append(until_all_see("three that were killed are gone", members, began, 12.8))
        finally:
            for member in members:
                member.kill()
        if all(in_time):
            return
    raise AssertionError("four times in a row something took too long")


def an_error_on_a_page_is_noticed(there):
    """Who finds no error on pages of runs finds one where there is one, although the page tries itself with success."""
    page, whole = there / "planted.html", run(TARGET / "debug/examples/picture", 3, 1).stdout
    assert whole.count("<script>") == 1, "where is the script?"
    for planted in ['console.error("planted")', 'throw new Error("planted")', 'new Image().src = "https://planted.invalid/"']:
        page.write_text(whole.replace("<script>", f"<script>{planted}</script><script>"))
        try:
            looked_at(page, "planted", there)
        except AssertionError as noticed:
            assert "CONSOLE" in str(noticed) and "planted" in str(noticed), noticed
        else:
            raise AssertionError(f"nobody noticed {planted}")


def nothing_in_the_tree_was_changed(_):
    changed = run("git", "status", "--porcelain", cwd=ROOT).stdout
    assert not (changed and os.environ.get("CI")), f"tests changed files:\n{changed}"


CHECKS = [
    crates_know_only_those_below_them,
    licences_bans_and_sources_are_as_in_deny_toml,
    links_between_pages_lead_somewhere,
    tests_named_on_pages_are_there,
    the_operators_page_names_what_there_is,
    the_first_command_prints_what_the_readme_shows,
    the_books_balance_under_load,
    every_layout_gives_20000_orders_the_same_outcomes,
    a_seed_is_one_run_in_debug_and_release,
    many_runs_with_faults_are_the_same_in_debug_and_release,
    a_thousand_runs_with_all_faults_are_the_same_twice,
    the_shop_holds_under_priorities_and_all_faults,
    the_shop_holds_under_all_faults_with_seeds_that_nobody_tried,
    idle_nodes_take_less_than_a_thousandth_of_a_cpu,
    five_hosts_on_a_wire_stay_one_network,
    twelve_processes_are_one_network_in_time,
    an_app_made_from_the_page_works,
    the_picture_of_a_run_works_in_a_browser,
    pictures_of_runs_that_failed_show_where,
    an_error_on_a_page_is_noticed,
    nothing_in_the_tree_was_changed,
]


def main():
    wanted = sys.argv[2:]
    failed = 0
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            # Short, because sockets are in it.
            with tempfile.TemporaryDirectory(prefix="mf") as there:
                check(pathlib.Path(there))
            verdict = "ok"
        except Skipped as why:
            print(f"  {why}")
            verdict = "SKIPPED"
        except Exception:
            traceback.print_exc()
            verdict, failed = "FAILED", failed + 1
        print(f"{verdict} {check.__name__}, {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(failed > 0)


main()
