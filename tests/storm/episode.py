"""One episode from its beginning to its end: a fresh broker and its workers, load and faults, and then the questions
that can be asked only when all is quiet again."""
import collections
import pathlib
import random
import re
import signal
import subprocess
import time
import traceback

import check
import probes
from clients import Clients
from cluster import COMPLAINTS, Cluster, cpu_seconds, descriptors, eventually, rss_mib
from faults import Faults
from history import MS, History, Journal, Payloads, Rules

DRAIN_S = 30
DESCRIPTORS_APART = 8
DESCRIPTORS_A_NODE = 8  # of the broker, a shard
MIB_APART = 200
SPIN_SHARE = 0.6


class Episode:
    def __init__(self, binary, handler, plan, folder):
        self.plan = plan
        self.folder = pathlib.Path(folder)
        self.history = History(Rules(plan.shards, bool(plan.limits), plan.only_ok, plan.slots))
        self.payloads = Payloads(random.Random(plan.seed + 2))
        self.journal = Journal(self.folder / "journal")
        self.cluster = Cluster(binary, plan, folder, handler, self.journal.path)
        self.held = []  # sockets of hostile clients that stay to the end
        self.faults = Faults(self)
        self.violations = []

    def violation(self, kind, text):
        self.violations.append(check.Violation(kind, text))

    def run(self):
        try:
            self.start()
            self.storm()
            if self.cluster.broker.poll() is None:
                self.calm()
                self.end()
        except Exception:  # told with what else was found: it may be the reason
            self.violation("the episode could not be carried out", traceback.format_exc())
        finally:
            self.cluster.end_all()
        self.look_back()
        return self.violations

    # -- the storm

    def start(self):
        self.cluster.start_broker()
        for plan in self.plan.workers:
            self.faults.start(plan)
        for worker in self.cluster.workers:
            if not eventually(lambda w=worker: self.cluster.joined(w) or not w.alive, 30):
                raise RuntimeError(f"{worker.name} does not join")
        self.before = self.measure()

    def measure(self):
        pids = [self.cluster.broker.pid] + [n for w in self.cluster.workers for n in w.nodes()]
        return {pid: (descriptors(pid), rss_mib(pid)) for pid in pids}, len(pids) - 1

    def storm(self):
        clients = Clients(self)
        self.history.started = time.monotonic_ns()
        clients.start()
        self.faults.run(self.plan.load_s)
        while clients.is_alive() or any(h.is_alive() for h in self.faults.hostiles):
            self.faults.turn()
            if self.cluster.broker.poll() is not None:
                break
        clients.stop = True
        clients.join(5)
        if clients.error:
            raise clients.error
        clients.finish()

    # -- when all is quiet again

    def calm(self):
        self.wait_for_worker()
        if wrong := probes.every_service_works(self):
            self.violation("a service does not work any more after the storm", wrong)
        self.check_spin()
        for s in self.held:
            s.close()
        self.check_counts()
        self.check_growth()

    def wait_for_worker(self):
        def one_has_joined():
            self.faults.turn()
            return any(w.alive and not w.ending and self.cluster.joined(w) for w in self.cluster.workers)
        if not eventually(one_has_joined, 30):
            self.violation("no worker comes back", "none has joined within 30 s")

    def check_spin(self):
        """Nobody asks anything: whoever is connected and silent, or has closed its half, must cost nothing."""
        for _ in range(2):
            self.held.append(probes.silent_half_close(self.cluster))
        time.sleep(0.1)
        pid = self.cluster.broker.pid
        before, began = cpu_seconds(pid), time.monotonic()
        time.sleep(0.5)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
        if share > SPIN_SHARE:
            self.violation("the broker is busy with nothing",
                           f"{share:.0%} of a processor, with {len(self.held)} half-closed connections")

    def check_counts(self):
        """All zeroes, within moments; the one connection is that of who asks."""
        names = ["in_flight", "queued", "held_bytes"]
        last = {}

        def all_zero():
            last.clear()
            last.update(self.cluster.status() or {"in_flight": "no status"})
            return all(last.get(n) == 0 for n in names) and last.get("connections") == 1
        if not eventually(all_zero, 10):
            left = {n: last.get(n) for n in names + ["connections"]}
            self.violation("something is left when all is answered", f"{left}")

    def check_growth(self):
        (before, nodes_before), (after, nodes_after) = self.before, self.measure()
        for pid in before.keys() & after.keys():
            allowed = DESCRIPTORS_APART
            if pid == self.cluster.broker.pid:
                allowed += max(0, nodes_after - nodes_before) * DESCRIPTORS_A_NODE * self.plan.shards
            else:  # a slot opens its channel to the process that starts programs with its first message
                allowed += self.plan.slots * len(self.plan.services)
            if after[pid][0] > before[pid][0] + allowed:
                self.violation("descriptors are left open",
                               f"process {pid} had {before[pid][0]}, and has {after[pid][0]}")
            if after[pid][1] > before[pid][1] + MIB_APART:
                self.violation("memory has grown",
                               f"process {pid} had {before[pid][1]:.0f} MiB, and has {after[pid][1]:.0f}")

    # -- the end

    def end(self):
        workers = [w for w in self.cluster.workers if w.alive]
        processes = [("broker", self.cluster.broker)] + [(w.name, w.process) for w in workers]
        self.faults.random.shuffle(processes)
        if self.plan.drains_first:
            probes.drain_broker(self)
        told = {w.name for w in workers if w.signalled}
        for w in workers:
            w.ending = True
        for name, process in processes:
            # A second order while it carries out the first is the operator's own wish: it has its time first.
            if name in told:
                eventually(lambda p=process: p.poll() is not None, 3)
            if process is not self.cluster.broker or not self.plan.drains_first:
                self.cluster.signal(process.pid, signal.SIGTERM)
        for name, process in processes:
            try:
                process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                self.violation("SIGTERM does not end a process",
                               f"{name} (pid {process.pid}) is there after {DRAIN_S} s")
        eventually(lambda: not self.cluster.marked(), 5)
        for pid in self.cluster.marked():
            what = b" ".join(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4]).decode()
            self.violation("a process is left", f"pid {pid}: {what}")

    def look_back(self):
        self.check_exits()
        self.check_logs()
        self.history.runs = self.journal.runs()
        self.history.losses = self.cluster.losses()
        if self.cluster.broker.returncode != 0:  # what its clients miss then has been said with that
            self.history.oddities.clear()
            for r in self.history.requests:
                r.listening = False
        self.violations += check.Checker(self.history).check()

    def check_exits(self):
        code = self.cluster.broker.returncode
        if code not in (0, -signal.SIGKILL):  # killed: by end_all, and why has been said
            kind = "the broker crashed" if code < 0 else "the broker did not exit with 0"
            self.violation(kind,
                           f"exit {code}; its log ends:\n{tail(self.cluster.log('broker.log'))}\n{self.last_faults()}")
        for w in self.cluster.workers:
            code = w.process.returncode
            if w.killed or code == -signal.SIGKILL:
                continue
            # A signal that comes before the program can have asked for it ends it as it ends any program.
            if code in (-signal.SIGTERM, -signal.SIGINT) and "joined" not in self.cluster.log(w.log):
                continue
            if code != 0:
                self.violation("a worker did not exit with 0",
                               f"{w.name}: exit {code}; its log ends:\n{tail(self.cluster.log(w.log))}")

    def last_faults(self):
        return "\n".join(f"      {(f.at - self.history.started) / MS:10.1f} ms  {f.text}"
                         for f in self.history.faults[-6:])

    def check_logs(self):
        killed = {pid for f in self.history.faults if f.kind == "kill" for pid in f.pids}
        for name in self.cluster.logs():
            log = self.cluster.log(name)
            for sign in COMPLAINTS:
                if sign in log:
                    self.violation("a process complains in its log", f"{name}: {sign}\n{tail(log)}")
            for fell in re.finditer(r"process \d+ \(pid (\d+)\) fell: killed by signal (.*?);", log):
                if int(fell[1]) not in killed:
                    self.violation("a node process crashed", f"{name}: {fell[0]}")

    # -- what is told

    def summary(self):
        codes = collections.Counter(r.answers[0].code for r in self.history.requests if r.answers)
        return len(self.history.requests), len(self.history.runs), codes

    def story_of(self, violation):
        """What was broken, and what both witnesses and the logs have on it."""
        lines = [f"  {violation.kind}: {violation.text}"]
        ms = (lambda t: f"{(t - self.history.started) / MS:10.1f} ms")
        request = violation.request
        pids = set()
        if request:
            lines.append(f"    {request}")
            events = [(request.sent, "sent"), (request.flushed, "the last byte of it sent")]
            events += [(request.cancelled, "CANCEL")] if request.cancelled else []
            events += [(request.gone, "its client has reset the connection")] if request.gone else []
            events += [(a.at, f"told {check.protocol.name_of(a.code)} {a.text}") for a in request.answers]
            for run in (r for r in self.history.runs if r.number == request.number):
                pids |= {run.pid, *run.ancestors}
                events.append((run.start, f"attempt {run.attempt} started: pid {run.pid} under {list(run.ancestors)}"))
                events.append((run.last_seen, f"attempt {run.attempt} " + (f"exits {run.status}" if run.end
                                                                           else "seen alive for the last time")))
        else:
            events = []
        near = [t for t, _ in events] + [violation.at] if violation.at else [t for t, _ in events]
        if near:
            events += [(f.at, f.text) for f in self.history.faults
                       if set(f.pids) & pids or min(near) - 200 * MS <= f.at <= max(near) + 50 * MS]
            lines += [f"    {ms(t)}  {what}" for t, what in sorted(set(events))][:40]
            lines += [f"    log  {line}" for line in self.log_lines(min(near), max(near))]
        return "\n".join(lines)

    def log_lines(self, begin, end):
        offset_ns = time.time_ns() - time.monotonic_ns()
        stamp = (lambda t: time.strftime("%Y-%m-%dT%H:%M:%S",
                                         time.localtime((t + offset_ns) / 1e9)) + f".{(t + offset_ns) // MS % 1000:03}")
        begin, end = stamp(begin - 20 * MS), stamp(end + 50 * MS)
        found = [line for name in self.cluster.logs() for line in self.cluster.log(name).splitlines()
                 if begin <= line[:23] <= end]
        return sorted(found)[:12]


def tail(text, lines=6):
    return "\n".join("      " + line for line in text.splitlines()[-lines:])
