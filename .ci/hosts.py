"""Five hosts on a wire: a shop whose processes have a network between them, and what goes wrong with networks.

    python3 .ci/checks.py target five_hosts_on_a_wire_stay_one_network

Each host is a network namespace with an interface of its own, and the wire a bridge. All of them are inside namespaces
that `.ci/checks.py` makes for this program with `unshare`: nothing outside is touched, no name can be taken, and when
this program ends, however it does, the kernel takes everything down.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

TARGET, THERE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
ORDERS, MONOFIL = TARGET / "debug/orders", TARGET / "debug/monofil"
# Who runs where; the first one is everybody's seed.
HOSTS = ["analytics", "inventory", "orders", "payments", "shipping"]
# Twice as fast as usual. Suspicion lasts four probes.
SETTINGS = {
    "NODE__PROBE_INTERVAL": "500ms",
    "MEMBERSHIP__PROBE_TIMEOUT": "200ms",
    "LOG__FORMAT": "human",
    "NETWORK__RUNTIME_DIR": str(THERE),
}
ENVIRONMENT = {**os.environ, **{f"MONOFIL_{name}": value for name, value in SETTINGS.items()}, "NO_COLOR": "1"}
# What is not there is not to be had on this machine; `.ci/checks.py` says so and goes on.
CANNOT = 77


def do(command, **more):
    """Runs a command to its end and returns its output; it must go well."""
    words = command.split() if isinstance(command, str) else command
    done = subprocess.run(words, capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def begin(command, stdout=subprocess.DEVNULL):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, cwd=THERE, text=True, **pipes)


class Host:
    """A machine with one interface, and a process of the shop."""

    def __init__(self, number, name):
        self.number, self.name, self.address = number, name, f"10.77.0.{number}"
        self.said, self.node = [], None
        # A namespace is there as long as somebody is in it.
        life = ["unshare", "--net", "--uts", "sh", "-c", f"hostname host-{number} && echo && exec sleep infinity"]
        self.life = subprocess.Popen(life, stdout=subprocess.PIPE)
        assert self.life.stdout.readline() == b"\n", "a namespace within namespaces"
        do(f"ip link add port{number} type veth peer name eth0 netns {self.life.pid}")
        do(f"ip link set port{number} master wire up")
        for command in (f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            self.do(f"ip {command}")
        self.do(["nft", "table inet faults { chain in { type filter hook input priority 0; }; }"])

    def inside(self, command):
        command = command.split() if isinstance(command, str) else command
        return ["nsenter", f"--target={self.life.pid}", "--net", "--uts", "--", *map(str, command)]

    def do(self, command):
        return do(self.inside(command), env=ENVIRONMENT, cwd=THERE)

    def start(self, *flags, listen=None):
        """Starts the process of this host; what it says is kept."""
        listen = listen or f"tcp://{self.address}:7700"
        command = [ORDERS, "run", self.name, "--listen", listen, "--join", "10.77.0.1:7700", *flags]
        self.node = begin(self.inside([*command, "--log-level", "info"]))
        threading.Thread(target=lambda: self.said.extend(self.node.stderr), daemon=True).start()

    def sees(self):
        """How everybody is, as this host sees it: by the operator's client, which enters through this one."""
        listed = self.do([MONOFIL, "nodes", "--seed", f"{self.address}:7700", "--within", "20s", "--json"])
        # Customers come and go.
        return {it["name"]: it["state"] for it in json.loads(listed)["items"] if it["name"] in HOSTS}

    def drop(self, what):
        """Has arrivals that are so dropped, until the end of a `with`."""

        @contextlib.contextmanager
        def until_the_end():
            self.do(["nft", f"add rule inet faults in iif eth0 {what} drop"])
            try:
                yield
            finally:
                self.do("nft flush chain inet faults in")

        return until_the_end()

    def has_said(self, text):
        return any(text in line for line in self.said)


def wait(what, seconds, is_so):
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    print(f"  {what} after {time.monotonic() - began:.1f} s", flush=True)


def all_see(hosts):
    """Whether everybody holds all of these to be up, and nobody else."""
    others = {host.name for host in hosts}
    there = [{name for name, state in host.sees().items() if state in ("up", "suspect")} for host in hosts]
    return all(it == others for it in there)


class Customers:
    """Place orders from a host, side by side with whatever goes wrong."""

    visits = 0

    def __init__(self, host, orders):
        self.orders = orders
        # Other orders each time.
        Customers.visits += 1
        command = [ORDERS, "run", "customers", "--listen", f"tcp://{host.address}:7900", "--join", "10.77.0.1:7700"]
        command += ["--generate", orders, "--concurrency", 4, "--seed", Customers.visits, "--no-progress", "--json"]
        self.process = begin(host.inside(command), stdout=subprocess.PIPE)

    def check(self, late=False):
        """Each order has one outcome, and the books agree. Where answers came too late, what is known still holds: what
        was confirmed was charged, and shipped, unless it was reported that it could not be. Whose report came too late
        itself has said nothing."""
        out, err = self.process.communicate(timeout=90)
        ended = f"customers: exit code {self.process.returncode}\n{out}\n{err}"
        assert self.process.returncode in ((0, 1) if late else (0,)), ended
        summary = json.loads(out)
        outcomes = {name: count for name, count in summary["outcomes"].items() if count}
        print(f"  {outcomes}", flush=True)
        assert sum(outcomes.values()) == self.orders, ended
        books, parts = summary["books"], summary["components"]
        silent = [name for name, part in parts.items() if "error" in part]
        if silent:
            print(f"  no report came from {', '.join(silent)}", flush=True)
        confirmed = books["confirmed"]["orders"]
        assert books["balanced"] or late, ended
        if "payments" not in silent:
            assert books["charged"]["orders"] >= confirmed, ended
        if "orders" not in silent and "shipping" not in silent:
            assert books["shipped"] + parts["orders"]["undelivered"] >= confirmed, ended


def links_are_those_they_were(hosts):
    """Nobody gave up a link to another host, whatever membership held of it, and nobody began anew."""
    for host in hosts:
        assert host.node.poll() is None, f"{host.name} ended"
        ended = [line for line in host.said if "link ended" in line and any(f"peer={it}" in line for it in HOSTS)]
        assert not ended, f"{host.name}: {ended}"


def they_find_each_other(hosts):
    # The seed comes last.
    for host in reversed(hosts):
        host.start()
    wait("five hosts see each other, from one address", 20, lambda: all_see(hosts))
    Customers(hosts[1], 100).check()


def a_host_is_cut_off_and_comes_back(hosts):
    *rest, away = hosts
    do(f"ip link set port{away.number} down")
    wait("the rest sees that a host is gone", 30, lambda: all_see(rest))
    wait("it sees that it is alone", 30, lambda: all_see([away]))
    do(f"ip link set port{away.number} up")
    wait("it is back, by itself", 40, lambda: all_see(hosts))
    Customers(hosts[1], 100).check()
    links_are_those_they_were(hosts)


def a_fifth_of_all_packets_is_lost(hosts):
    with contextlib.ExitStack() as faults:
        for host in hosts:
            faults.enter_context(host.drop("numgen random mod 100 < 20"))
        customers = Customers(hosts[1], 60)
        until, looks, down = time.monotonic() + 15, 0, 0
        while time.monotonic() < until:
            for host in hosts:
                states = host.sees()
                looks, down = looks + len(states) - 1, down + sum(state == "down" for state in states.values())
        print(f"  {down} of {looks} looks at others found one held to be down", flush=True)
        customers.check(late=True)
        # Whoever was excluded by mistake comes back, and that while packets are still lost.
        wait("nobody is held to be down for good", 20, lambda: all_see(hosts))
    Customers(hosts[1], 100).check()
    links_are_those_they_were(hosts)


def one_way_is_cut(hosts):
    """Between two of five nobody is excluded; and who hears nobody, and is heard, is said to be so."""
    with hosts[3].drop(f"ip saddr {hosts[2].address}"):
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert all_see(hosts), [host.sees() for host in hosts]
    *rest, deaf = hosts
    with deaf.drop("meta l4proto udp"):
        reported = lambda: all(host.sees().get(deaf.name) == "unreachable" for host in rest)
        wait("everybody says that a host is heard and cannot be reached", 40, reported)
        assert all(host.has_said("a member that is held to be down is heard") for host in rest)
    wait("it is back, by itself", 40, lambda: all_see(hosts))
    links_are_those_they_were(hosts)


def a_host_with_two_addresses_says_which(hosts):
    """With a wildcard it has to be told, and whoever is told the wrong one hears so."""
    *rest, two = hosts
    two.node.terminate()
    assert two.node.wait(timeout=30) == 0
    wait("who ends in order is gone", 10, lambda: all_see(rest))
    two.do("ip link add inner type veth peer name nowhere")
    two.do("ip addr add 192.168.77.1/24 dev inner")
    two.do("ip link set inner up")
    two.said.clear()
    two.start(listen="tcp://*:7700")
    assert two.node.wait(timeout=30) == 3
    both = ["10.77.0.5 (eth0)", "192.168.77.1 (inner)"]
    wait("a wildcard is refused", 5, lambda: all(map(two.has_said, both)))
    two.start("--set", "network.advertise=192.168.77.1", listen="tcp://*:7700")
    wait("it hears that nothing reaches it", 20, lambda: two.has_said("nothing reaches this node at 192.168.77.1:7700"))
    two.node.terminate()
    assert two.node.wait(timeout=30) == 0
    two.start("--set", f"network.advertise={two.address}", listen="tcp://*:7700")
    wait("with the right one it is there", 20, lambda: all_see(hosts))


def main():
    try:
        do("ip link add wire type bridge")
        do("ip link set wire up")
        hook = "type filter hook input priority 0; numgen random mod 100 < 20 drop;"
        do(["nft", f"table inet probe {{ chain in {{ {hook} }}; }}"])
        do("nft delete table inet probe")
        hosts = [Host(number, name) for number, name in enumerate(HOSTS, 1)]
    except AssertionError as why:
        print(f"this machine has no networks of its own to give: {why}")
        sys.exit(CANNOT)
    try:
        they_find_each_other(hosts)
        a_host_is_cut_off_and_comes_back(hosts)
        a_fifth_of_all_packets_is_lost(hosts)
        one_way_is_cut(hosts)
        a_host_with_two_addresses_says_which(hosts)
    except BaseException:
        for host in hosts:
            lines = [line.rstrip() for line in host.said if "peer=operator" not in line]
            print(f"--- {host.name}", *lines[-40:], sep="\n", flush=True)
        raise


main()
