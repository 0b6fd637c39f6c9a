"""Does to the processes what the plan says, and sees to it that there is soon a worker again. All that is done is
written into the history: the checker excuses nothing else."""
import heapq
import itertools
import random
import signal
import threading
import time

from clients import now_ns
from history import Fault
from hostile import Hostile

MAX_WORKERS = 30  # of which those that only come and go leave some for the others
MAX_CHURNED = 20
# A process that drains may be told again within a second, and not later: what a second order much later means is the
# operator's own wish.
SECOND_ORDER_S = 1.0
DRAIN_S = 6.0  # so long a child that was told to end may still be at it


class Faults:
    def __init__(self, episode):
        self.episode = episode
        self.cluster = episode.cluster
        self.history = episode.history
        self.later = []  # a heap of (when, number, what): replacements, SIGCONT, second signals
        self.numbers = itertools.count()
        self.random = random.Random(episode.plan.seed + 1)
        self.hostiles = []
        self.done = {}  # kind: how often
        self.replacing = 0

    # -- in time

    def run(self, seconds):
        """Until the load is over: then nothing is frozen any more, and what was to happen later has."""
        start = time.monotonic()
        faults = list(self.episode.plan.faults)
        while time.monotonic() - start < seconds or self.later:
            now = time.monotonic()
            while faults and faults[0].at <= now - start < seconds:
                self.carry_out(faults.pop(0))
            self.turn()

    def turn(self):
        while self.later and self.later[0][0] <= time.monotonic():
            heapq.heappop(self.later)[2]()
        self.tend()
        time.sleep(0.005)

    def after(self, seconds, what):
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self.numbers), what))

    def carry_out(self, fault):
        dice = random.Random(fault.seed)
        if getattr(self, fault.kind)(dice):
            self.count(fault.kind)

    def count(self, kind):
        self.done[kind] = self.done.get(kind, 0) + 1

    def note(self, kind, pids, text):
        fault = Fault(kind, now_ns(), tuple(pids), text=text)
        self.history.faults.append(fault)
        return fault

    def usable(self):
        """Workers that nothing is being done to."""
        now = time.monotonic()
        return [w for w in self.cluster.workers
                if w.alive and not w.ending and not w.frozen and now - w.signalled > DRAIN_S]

    # -- there is soon a worker again

    def tend(self):
        there = sum(1 for w in self.cluster.workers if w.alive and not w.ending)
        missing = len(self.episode.plan.workers) - there - self.replacing
        for _ in range(missing):
            if len(self.cluster.workers) + self.replacing >= MAX_WORKERS:
                return
            self.replacing += 1
            self.after(self.random.choice([0, 0.05, 0.3, 1]), self.replace)

    def replace(self):
        self.replacing -= 1
        self.start(self.random.choice(self.episode.plan.workers))

    def start(self, plan):
        order = self.episode.plan.services + ["echo"]
        self.random.shuffle(order)
        return self.cluster.start_worker(plan, order)

    # -- faults

    def kill(self, dice):
        """kill -9 of a node process, of one under a master, or (seldom) of the master."""
        candidates = self.usable()
        if not candidates:
            return False
        worker = dice.choice(candidates)
        if worker.plan.has_master and dice.random() < 0.25:
            worker.ending = worker.killed = True  # its children are told SIGTERM by the kernel, and drain
            self.note("signal", worker.nodes(), f"kill -9 of the master of {worker.name}")
            return self.cluster.signal(worker.process.pid, signal.SIGKILL)
        nodes = worker.nodes()
        if not nodes:
            return False
        pid = dice.choice(nodes)
        self.note("kill", [pid], f"kill -9 of a node of {worker.name}, pid {pid}")
        if not worker.plan.has_master:
            worker.ending = worker.killed = True
        return self.cluster.signal(pid, signal.SIGKILL)

    def kill_handler(self, dice):
        running = [r for r in self.episode.journal.runs()[-300:] if not r.end]
        dice.shuffle(running)
        for run in running:
            if self.cluster.is_ours(run.pid):
                self.note("kill_handler", [run.pid], f"kill -9 of the program of request {run.number}, pid {run.pid}")
                return self.cluster.signal(run.pid, signal.SIGKILL)
        return False

    def freeze(self, dice):
        candidates = self.usable()
        if not candidates:
            return False
        worker = dice.choice(candidates)
        nodes = worker.nodes()
        if not nodes:
            return False
        pid = dice.choice(nodes)
        seconds = dice.choice([0.2, dice.uniform(0.6, 1.5), dice.uniform(0.6, 1.5), dice.uniform(3.5, 6)])
        fault = self.note("freeze", [pid], f"SIGSTOP of a node of {worker.name}, pid {pid}, for {seconds:.2f} s")
        fault.until = fault.at + int(3600e9)
        worker.frozen = True

        def thaw():
            fault.until = now_ns()
            self.cluster.signal(pid, signal.SIGCONT)
            # As good as new only when it has had the time to join again.
            self.after(0.5, lambda: setattr(worker, "frozen", False))
        self.after(seconds, thaw)
        return self.cluster.signal(pid, signal.SIGSTOP)

    def signal(self, dice):
        """SIGTERM or SIGINT to a worker's master, to its group, to a child of it; once, or twice within a second."""
        candidates = self.usable()
        if not candidates:
            return False
        worker = dice.choice(candidates)
        targets = [dice.choice(["main", "group", "child" if worker.plan.has_master else "main"])]
        if dice.random() < 0.4:
            targets.append(dice.choice([targets[0], "group", "main"]))
        worker.signalled = time.monotonic()
        pause = 0
        for target in targets:
            number = dice.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGINT])
            seed = dice.random()
            self.after(pause, lambda t=target, n=number, s=seed: self.tell(worker, t, n, random.Random(s)))
            pause = dice.choice([0, 0.001, 0.02, dice.uniform(0, SECOND_ORDER_S * 0.9)])
        return True

    def tell(self, worker, target, number, dice):
        nodes = worker.nodes()
        name = signal.Signals(number).name
        if target == "child":
            if nodes:
                pid = dice.choice(nodes)
                self.note("signal", [pid], f"{name} to a child of {worker.name}, pid {pid}")
                self.cluster.signal(pid, number)
            return
        worker.ending = True
        worker.signalled = time.monotonic()
        self.note("signal", [worker.process.pid] + nodes,
                  f"{name} to {'the group of ' * (target == 'group')}{worker.name}")
        if not worker.alive:
            return
        if target == "group":
            self.cluster.signal_group(worker, number)
        else:
            self.cluster.signal(worker.process.pid, number)

    def churn(self, dice):
        """A worker that joins a busy broker, and is ended at any moment of its start."""
        for _ in range(dice.choice([1, 1, 2, 3])):
            if len(self.cluster.workers) < MAX_CHURNED:
                self.join_and_leave(dice)
        return True

    def join_and_leave(self, dice):
        worker = self.start(dice.choice(self.episode.plan.workers))
        worker.ending = True  # not one of those that the load counts on
        if self.episode.plan.only_ok or dice.random() < 0.6:
            end = (lambda: self.tell(worker, dice.choice(["main", "group"]),
                                     dice.choice([signal.SIGTERM, signal.SIGINT]), dice))
        else:
            end = (lambda: self.kill_all_of(worker))
        self.after(dice.choice([0, 0.01, 0.03, 0.08, 0.2, 0.5, 1]) * dice.uniform(0.5, 1.5), end)

    def kill_all_of(self, worker):
        nodes = worker.nodes()
        worker.killed = True
        self.note("kill", nodes, f"kill -9 of all processes of {worker.name}")
        for pid in {worker.process.pid, *nodes}:
            self.cluster.signal(pid, signal.SIGKILL)

    def hup(self, _dice):
        self.note("hup", [], "SIGHUP to the broker")
        return self.cluster.signal(self.cluster.broker.pid, signal.SIGHUP)

    def client(self, dice):
        if sum(h.is_alive() for h in self.hostiles) >= 8:
            return False
        hostile = Hostile(self.episode, dice.random())
        self.note("client", [], f"a hostile client: {hostile.what.__name__}")
        thread = threading.Thread(target=hostile, daemon=True)
        thread.start()
        self.hostiles.append(thread)
        self.count(f"client: {hostile.what.__name__}")
        return False  # counted by its name
