"""The processes of an episode: a broker and its workers, as an operator would start them. Every process that comes from
here carries a mark in its environment, and only what carries it is ever signalled."""
import datetime
import json
import os
import pathlib
import re
import resource
import signal
import ssl
import subprocess
import time

from history import Loss

MARK = "STORM_EPISODE"
COMPLAINTS = ["AddressSanitizer", "UndefinedBehaviorSanitizer", "ThreadSanitizer", "runtime error:", "unhandled",
              "*** unexpected",
              "terminate called", "Assertion"]
STOP_TIMEOUT = "300ms"  # of a handler that stays up: within it what nobody waits for is over
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def eventually(holds, patience=20):
    end = time.monotonic() + patience
    while not (result := holds()):
        if time.monotonic() > end:
            return None
        time.sleep(0.01)
    return result


def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def parent_of(pid):
    words = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(words[1]) if len(words) > 1 else 0


def is_zombie(pid):
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [])


def children_of(pid):
    return [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if parent_of(p.name) == pid]


def command_line(pid):
    return read(f"/proc/{pid}/cmdline").split(b"\0")


class Worker:
    """A `ropewalk worker`, in a process group of its own, so that a signal can go to all of it."""

    def __init__(self, name, process, plan, log):
        self.name = name
        self.process = process
        self.plan = plan
        self.log = log
        self.started = time.monotonic()
        self.signalled = 0.0  # when one of its processes was last told to end
        self.ending = False  # all of it was told to end, or killed
        self.killed = False  # by SIGKILL: how it exits says nothing
        self.frozen = False

    @property
    def alive(self):
        return self.process.poll() is None

    def nodes(self):
        """The pids of its node processes."""
        if not self.plan.has_master:
            return [self.process.pid] if self.alive else []
        return [p for p in children_of(self.process.pid) if b"worker" in command_line(p)[:2] and not is_zombie(p)]


class Cluster:
    def __init__(self, binary, plan, folder, handler, journal):
        self.binary = str(binary)
        self.plan = plan
        self.folder = pathlib.Path(folder)
        self.handler = handler
        self.journal = journal
        self.mark = f"{os.getpid()}-{plan.seed}-{self.folder.name}"
        self.workers = []
        self.spawned = []
        self.tls_context = None
        self.clients = self.nodes = None

    # -- starting

    def spawn(self, *words, log):
        out = open(self.folder / log, "ab")
        process = subprocess.Popen([self.binary, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   start_new_session=True,
                                   env={**os.environ, MARK: self.mark},
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        out.close()
        self.spawned.append(process)
        return process

    def start_broker(self):
        plan = self.plan
        certs = self.folder / "certs"
        if plan.client_tls or plan.cluster_tls:
            subprocess.run([self.binary, "certs", "--dir", certs], check=True, capture_output=True)
        words = ["--timeout", str(plan.timeout_ms), "--hello-time", "3000"]
        words += ["--shards", str(plan.shards)] if plan.shards > 1 else []
        if plan.client_tls:
            words += ["--tls-cert", str(certs / "broker/cert.pem"), "--tls-key", str(certs / "broker/key.pem")]
            self.tls_context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
        words += ["--cluster-tls", str(certs / "broker")] if plan.cluster_tls else []
        for option, value in plan.limits:
            words += [option, value]
        self.broker = self.spawn("broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0", *words,
                                 log="broker.log")
        ready = eventually(lambda: re.search(r"ready: clients=([^\s,]+) nodes=([^\s,]+)", self.log("broker.log")))
        if not ready:
            raise RuntimeError("the broker does not start:\n" + self.log("broker.log"))
        host, _, port = ready[1].rpartition(":")
        self.clients, self.nodes = (host, int(port)), ready[2]

    def start_worker(self, plan, order):
        name = f"w{len(self.workers) + 1}"
        words = ["--broker", self.nodes, "--name", name, "--slots", str(self.plan.slots), "--restarts", "1000"]
        for service in order:
            words += ["--service", f"{service}={self.handler_of(service)}"]
        words += ["--set", f"stay.stop-timeout={STOP_TIMEOUT}"]
        words += ["--cluster-tls", str(self.folder / "certs/worker")] if self.plan.cluster_tls else []
        words += ["--tcp-only"] if self.plan.tcp_only else []
        words += ["--processes", str(plan.processes)] if plan.processes > 1 else []
        words += ["--recycle-after", str(plan.recycle_after)] if plan.recycle_after else []
        worker = Worker(name, self.spawn("worker", *words, log=f"{name}.log"), plan, f"{name}.log")
        self.workers.append(worker)
        return worker

    def handler_of(self, service):
        if service == "echo":
            return "builtin:echo"
        words = f"{self.handler} {self.journal} {service}"
        return f"exec:{words} stays" if service == "stay" else f"cmd:{words}"

    def joined(self, worker):
        """How many memberships it has: one a process and shard."""
        return self.log(worker.log).count("joined the broker") >= worker.plan.processes * self.plan.shards

    # -- watching

    def log(self, name):
        return read(self.folder / name).decode(errors="replace")

    def logs(self):
        return sorted(p.name for p in self.folder.glob("*.log"))

    def status(self):
        words = [self.binary, "status", "--json", "--broker", f"localhost:{self.clients[1]}"]
        words += ["--tls-ca", str(self.folder / "certs/ca.pem")] if self.tls_context else []
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def losses(self):
        """Which nodes the broker says it let go, and when; each node's process by its name."""
        pids, result = {}, []
        offset_ns = time.time_ns() - time.monotonic_ns()
        for line in self.log("broker.log").splitlines():
            if joined := re.search(r"node (\S+) joined from .* \(pid (\d+)\)", line):
                pids[joined[1]] = int(joined[2])
            elif gone := re.search(r"^(\S+) .*node (\S+) is gone \((.*?)\)", line):
                at = int(datetime.datetime.fromisoformat(gone[1]).timestamp() * 1e9) - offset_ns
                result.append(Loss(at, gone[2], pids.get(gone[2], 0), gone[3]))
        return result

    def marked(self):
        """All processes of this episode that there are."""
        mark = f"{MARK}={self.mark}".encode()
        pids = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*")]
        return [p for p in pids if mark in read(f"/proc/{p}/environ").split(b"\0") and not is_zombie(p)]

    def is_ours(self, pid):
        return f"{MARK}={self.mark}".encode() in read(f"/proc/{pid}/environ").split(b"\0")

    def signal(self, pid, number):
        """To a process of this episode, and to no other that may have its pid by now. True if it was there."""
        if not self.is_ours(pid):
            return False
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def signal_group(self, worker, number):
        """To a worker and whatever of it is in its process group: as a terminal, or a service manager does."""
        if self.is_ours(worker.process.pid):
            try:
                os.killpg(worker.process.pid, number)
            except ProcessLookupError:
                pass

    # -- the end

    def end_all(self):
        """Whatever is left, by force; each only if it is ours."""
        for pid in self.marked():
            self.signal(pid, signal.SIGKILL)
        for process in self.spawned:
            if process.poll() is None:
                process.kill()
            process.wait()


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def rss_mib(pid):
    found = re.search(rb"VmRSS:\s+(\d+)", read(f"/proc/{pid}/status"))
    return int(found[1]) / 1024 if found else 0


def cpu_seconds(pid):
    words = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (int(words[11]) + int(words[12])) / CLOCK_TICKS if len(words) > 12 else 0
