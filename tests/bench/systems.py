"""Ropewalk, a bare relay and the peers that Debian has, each as tests/bench/compare runs it: one broker, two echo workers,
one client process. Every process is started here, listens on a free port of 127.0.0.1, and is ended by its pid."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/bench"
BUILT = ROOT / "build/bench"
PROGRAM = ROOT / "build/release/bin/ropewalk"
CONNECTIONS = 8
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(holds, what, patience=15):
    end = time.monotonic() + patience
    while not (result := holds()):
        if time.monotonic() > end:
            sys.exit(f"compare: no {what} within {patience} seconds")
        time.sleep(0.02)
    return result


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def compile_cpp(source, target, *options):
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.stat().st_mtime > max(s.stat().st_mtime for s in source.parent.glob("*.*pp")):
        return
    subprocess.run(["g++", "-O2", "-std=c++20", "-Wall", "-Wextra", source, "-o", target, *options], check=True)


class System:
    """Its processes run from `start` to `stop`; `load` is called in between."""
    name = ""
    how = ""  # the configuration, for the report
    needs = []  # programs

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.processes = []
        self.broker_pids = []

    @classmethod
    def missing(cls):
        return [p for p in cls.needs if not shutil.which(p)]

    @classmethod
    def build(cls):
        pass

    def spawn(self, *words, log="log", **environment):
        out = open(self.folder / log, "ab")
        p = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **environment})
        self.processes.append(p)
        return p

    def start_broker(self, *words, **more):
        p = self.spawn(*words, **more)
        self.broker_pids.append(p.pid)
        return p

    def stop(self):
        for pid in [*family([p.pid for p in self.processes])]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        for p in self.processes:
            p.wait()

    def run_client(self, *words):
        out = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if out.returncode != 0:
            sys.exit(f"compare: the load on {self.name} failed: {out.stdout}{out.stderr}")
        return out.stdout

    def three_numbers(self, *words):
        rate, p50, p99 = self.run_client(*words).split()
        return {"rate": float(rate), "p50": float(p50), "p99": float(p99)}

    def cpu_seconds(self):
        """Of its processes, and what those started, so far."""
        total = 0
        for pid in family([p.pid for p in self.processes]):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            total += (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
        return total

    def broker_rss_mib(self):
        kib = 0
        for pid in self.broker_pids:
            kib += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
        return kib / 1024


def family(pids):
    """These processes and all that they have started."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    result, todo = [], list(pids)
    while todo:
        result.append(todo.pop())
        todo += children.get(result[-1], [])
    return result


class Relay(System):
    name = "bare relay"
    how = "tests/bench/relay.cpp: epoll, two hops, no features: what the machine can do"
    program = BUILT / "relay"

    @classmethod
    def build(cls):
        compile_cpp(HERE / "relay.cpp", cls.program)

    def start(self):
        self.port, workers = free_port(), free_port()
        self.start_broker(self.program, "broker", self.port, workers)
        eventually(lambda: listens(workers), "relay")
        for _ in range(2):
            self.spawn(self.program, "worker", workers)
        time.sleep(0.3)

    def load(self, size, window, seconds):
        return self.three_numbers(self.program, "load", self.port, size, window, seconds, CONNECTIONS)


class Ropewalk(System):
    name = "Ropewalk"
    how = "as it ships: `ropewalk broker`, two of `ropewalk worker --service echo=builtin:echo --slots 1`, `ropewalk bench`"

    @classmethod
    def build(cls):
        quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "check": True}
        subprocess.run(["cmake", "--preset", "release"], **quiet)
        subprocess.run(["cmake", "--build", "--preset", "release", "--target", "ropewalk"], **quiet)

    def start(self, broker=(), worker=("--service", "echo=builtin:echo", "--slots", "1"), workers=2, program=(PROGRAM, "worker")):
        self.start_broker(PROGRAM, "broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", *broker, log="broker.log")
        log = lambda: (self.folder / "broker.log").read_text()
        ready = eventually(lambda: re.search(r"ready: clients=(\S+)(?: http=(\S+))? nodes=(\S+)", log()), "broker")
        self.clients, self.http, self.nodes = ready.groups()
        for _ in range(workers):
            self.spawn(*program, "--broker", self.nodes, *worker)
        eventually(lambda: log().count(" joined ") >= workers, "workers", patience=60)

    def load(self, size, window, seconds, connections=CONNECTIONS, service="echo", *more):
        j = json.loads(self.run_client(PROGRAM, "bench", service, "--broker", self.clients, "--size", size, "--window", window,
                                       "--connections", connections, "--seconds", seconds, "--json", *more))
        return {"rate": j["messages_per_second"], "p50": j["latency_us"]["p50"], "p99": j["latency_us"]["p99"]}


class RopewalkOverTcp(Ropewalk):
    name = "Ropewalk, all over TCP"
    how = "the same with `ropewalk worker --tcp-only`: nodes of one machine otherwise take the broker's Unix socket and share memory with it"

    @classmethod
    def build(cls):
        pass  # the same program

    def start(self):
        super().start(worker=("--service", "echo=builtin:echo", "--slots", "1", "--tcp-only"))


class ZeroMQ(System):
    name = "ZeroMQ"
    how = "zmq_proxy between a ROUTER and a DEALER, DEALER workers and clients, no queue limits"
    program = BUILT / "peers/zeromq"

    @classmethod
    def build(cls):
        compile_cpp(HERE / "peers/zeromq.cpp", cls.program, "-lzmq")

    def start(self):
        self.port, workers = free_port(), free_port()
        self.start_broker(self.program, "broker", self.port, workers)
        for _ in range(2):
            self.spawn(self.program, "worker", workers)
        eventually(lambda: listens(self.port), "ZeroMQ broker")
        time.sleep(0.3)

    def load(self, size, window, seconds):
        return self.three_numbers(self.program, "load", self.port, size, window, seconds, CONNECTIONS)


class Nats(System):
    name = "NATS"
    how = "nats-server with max_payload 8 MB; request/reply with a queue group through libnats, which writes at once at window 1"
    program = BUILT / "peers/nats"
    needs = ["nats-server"]

    @classmethod
    def build(cls):
        compile_cpp(HERE / "peers/nats.cpp", cls.program, "-lnats")

    def start(self):
        self.port = free_port()
        config = self.folder / "nats.conf"
        config.write_text(f"listen: 127.0.0.1:{self.port}\nmax_payload: 8388608\nmax_pending: 268435456\n")
        self.start_broker("nats-server", "-c", config)
        eventually(lambda: listens(self.port), "nats-server")
        self.at_once = None

    def load(self, size, window, seconds):
        if self.at_once != (window == 1):
            for p in self.processes[1:]:
                p.kill()
                p.wait()
            del self.processes[1:]
            self.at_once = window == 1
            for _ in range(2):
                self.spawn(self.program, "worker", self.port, **({"ROPEWALK_BENCH_ASAP": "1"} if self.at_once else {}))
            time.sleep(0.3)
        return self.three_numbers(self.program, "load", self.port, size, window, seconds, CONNECTIONS)


class Gearman(System):
    name = "gearmand"
    how = "gearmand with one I/O thread, libgearman workers and clients (a set of `window` tasks at a time)"
    program = BUILT / "peers/gearman"
    needs = ["gearmand"]

    @classmethod
    def build(cls):
        compile_cpp(HERE / "peers/gearman.cpp", cls.program, "-lgearman", "-lpthread")

    def start(self):
        self.port = free_port()
        self.start_broker("gearmand", "--listen", "127.0.0.1", "--port", self.port, "--log-file", "stderr", "--threads", "1")
        eventually(lambda: listens(self.port), "gearmand")
        for _ in range(2):
            self.spawn(self.program, "worker", self.port)
        time.sleep(0.3)

    def load(self, size, window, seconds):
        return self.three_numbers(self.program, "load", self.port, size, window, seconds, CONNECTIONS)


class Erlang(System):
    name = "Erlang nodes"
    how = "a broker node ({packet, 4}, delay_send) and two worker nodes over Erlang distribution, no busy waiting"
    needs = ["erl", "erlc", "epmd"]

    @classmethod
    def build(cls):
        (BUILT / "peers").mkdir(parents=True, exist_ok=True)
        subprocess.run(["erlc", "-o", BUILT / "peers", HERE / "peers/relay.erl"], check=True)

    def start(self):
        self.port, epmd = free_port(), free_port()
        self.spawn("epmd", "-port", epmd, "-address", "127.0.0.1")
        eventually(lambda: listens(epmd), "epmd")
        def erl(name, *words, start=self.spawn):
            start("erl", "-noshell", "-noinput", "-name", f"{name}@127.0.0.1", "-setcookie", f"bench{os.getpid()}", "-start_epmd", "false",
                  "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "-pa", BUILT / "peers", "-run", "relay", *words,
                  ERL_EPMD_PORT=str(epmd), HOME=str(self.folder), ERL_CRASH_DUMP_SECONDS="0")

        erl("w1", "worker"), erl("w2", "worker")
        erl("broker", "broker", self.port, "w1@127.0.0.1", "w2@127.0.0.1", start=self.start_broker)
        eventually(lambda: listens(self.port), "Erlang broker")

    def load(self, size, window, seconds):
        return self.three_numbers(Relay.program, "load", self.port, size, window, seconds, CONNECTIONS)


class AsyncioPool(System):
    name = "asyncio + ProcessPoolExecutor"
    how = "one asyncio process that hands every message to a pool of two processes"
    kind = "pool"

    def start(self):
        self.port = free_port()
        server = self.start_broker(sys.executable, HERE / "peers/asyncio_server.py", self.kind, self.port)
        eventually(lambda: listens(self.port), "asyncio server")
        time.sleep(0.3)
        return server

    def load(self, size, window, seconds):
        return self.three_numbers(Relay.program, "load", self.port, size, window, seconds, CONNECTIONS)


class AsyncioForked(AsyncioPool):
    name = "two forked asyncio processes"
    how = "two asyncio processes on one listening socket that answer by themselves: no broker, no second hop"
    kind = "forked"

    def start(self):
        self.broker_pids = family([super().start().pid])


ALL = [Relay, Ropewalk, RopewalkOverTcp, ZeroMQ, Nats, Gearman, Erlang, AsyncioPool, AsyncioForked]
