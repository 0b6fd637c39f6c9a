"""Cancellations, time-outs and deaths at random: every future comes to its end, no process is left, memory and descriptors flat.

    ROPEWALK_SOAK_SECONDS=60 apps/python/tests/soak.py          10,000 calls and more in a minute; 5 s if nothing is said

`test_soak.py` runs it. What is measured: the descriptors and the memory of this process, of the broker and of the worker, when a
quarter of the time is over and at the end.
"""

import concurrent.futures
import os
import pathlib
import random
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import calls  # noqa: E402
import ropewalk  # noqa: E402

SECONDS = float(os.environ.get("ROPEWALK_SOAK_SECONDS", 5))
ENDS = (ropewalk.WorkerLost, ropewalk.Timeout, concurrent.futures.CancelledError, LookupError)
OPEN_CALLS = 64

# What a call does, out of so many, and how it must end.
KINDS = {
    "well": 60, "cancel at once": 40, "raise": 10, "cancel while it runs": 5, "time out": 5, "exit": 3, "kill": 3, "survive": 2,
}


def children_of(pid):
    """All of a process's descendants."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in map(int, task.read_text().split()):
                found += [child, *children_of(child)]
        except OSError:
            pass
    return found


def named(pids, word):
    """Those of a private cluster that are `ropewalk broker`, or `worker`."""
    result = []
    for pid in pids:
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
        if len(words) > 1 and words[1] == word and name not in ("ropewalk-keeper", "ropewalk-spawn"):
            result.append(pid)
    return result


class Weights:
    """Descriptors and memory of this process, the broker and the worker."""

    def __init__(self):
        below = children_of(os.getpid())
        self.of = {}
        for name, pid in [("client", os.getpid()), *((word.decode(), named(below, word)[0]) for word in (b"broker", b"worker"))]:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            self.of[name] = (len(os.listdir(f"/proc/{pid}/fd")), int(status.split("VmRSS:")[1].split()[0]) / 1024)

    def __str__(self):
        return ", ".join(f"{name}: {descriptors} descriptors, {mib:.0f} MiB" for name, (descriptors, mib) in self.of.items())


class Soak:
    def __init__(self, pool, folder, seed):
        self.pool = pool
        self.folder = folder
        self.chance = random.Random(seed)
        self.count = dict.fromkeys(KINDS, 0)
        self.ended = dict.fromkeys(("result", *(end.__name__ for end in ENDS)), 0)
        self.open = {}
        self.timers = []  # (when, future)

    def begin(self):
        kind = self.chance.choices(list(KINDS), KINDS.values())[0]
        self.count[kind] += 1
        pool, moment = self.pool, self.chance.random() * 0.02
        if kind == "well":
            future = pool.submit(calls.random_end, "fine", moment / 10)
        elif kind in ("raise", "exit", "kill"):
            future = pool.options(attempts=self.chance.choice((1, 2))).submit(calls.random_end, kind, moment / 10)
        elif kind == "time out":
            future = pool.options(timeout=0.01 + moment).submit(time.sleep, 100)
        elif kind == "survive":
            future = pool.submit(calls.die_once, os.path.join(self.folder, str(sum(self.count.values()))))
        else:
            future = pool.submit(time.sleep, 100)
            self.timers.append((time.monotonic() + (moment if kind == "cancel at once" else 0.05 + moment), future))
        self.open[future] = kind

    def step(self):
        while len(self.open) < OPEN_CALLS:
            self.begin()
        now = time.monotonic()
        for when, future in self.timers:
            if when <= now:
                future.cancel()
        self.timers = [timer for timer in self.timers if timer[0] > now and not timer[1].done()]
        self.take(0.005)

    def take(self, seconds):
        done, _ = concurrent.futures.wait(self.open, seconds, concurrent.futures.FIRST_COMPLETED)
        for future in done:
            kind = self.open.pop(future)
            try:
                error = future.exception()
            except concurrent.futures.CancelledError as cancelled:
                error = cancelled
            self.ended["result" if error is None else next(end.__name__ for end in ENDS if isinstance(error, end))] += 1
            self.check(kind, error)

    @staticmethod
    def check(kind, error):
        expected = {
            "well": type(None), "survive": type(None), "raise": LookupError, "exit": ropewalk.WorkerLost, "kill": ropewalk.WorkerLost,
            "time out": ropewalk.Timeout,
        }.get(kind, concurrent.futures.CancelledError)
        assert isinstance(error, expected), f"a call that was to '{kind}' ended with {error!r}"

    def finish(self, seconds):
        """What is still open is cancelled if it would last, and must end."""
        end = time.monotonic() + seconds
        for _, future in self.timers:
            future.cancel()
        while self.open:
            assert time.monotonic() < end, f"{len(self.open)} futures hang: {list(self.open.values())}"
            self.take(0.1)


def soak(folder, seconds=SECONDS, seed=None):
    """Returns what came of it, as text; AssertionError if something is not as it should be."""
    seed = random.randrange(1 << 32) if seed is None else seed
    threads = threading.active_count()
    with ropewalk.Executor(4) as pool:
        one = Soak(pool, str(folder), seed)
        begin = time.monotonic()
        early = None
        while time.monotonic() - begin < seconds:
            one.step()
            if early is None and time.monotonic() - begin > seconds / 4:
                early = Weights()
        took = time.monotonic() - begin
        one.finish(20)
        late = Weights()
        below = children_of(os.getpid())
    left = [pid for pid in below if os.path.exists(f"/proc/{pid}/stat")]
    said = f"seed {seed}: {sum(one.count.values())} calls in {took:.0f} s: {one.count}; {one.ended}\nthen {early}\nend  {late}"
    assert not left, f"processes are left: {left}; {said}"
    assert threading.active_count() <= threads, f"threads are left: {threading.enumerate()}; {said}"
    for name, (descriptors, mib) in late.of.items():
        assert descriptors <= early.of[name][0] + 12, f"the {name} has more and more descriptors; {said}"
        assert mib <= early.of[name][1] + 20, f"the {name} has more and more memory; {said}"
    return said


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        print(soak(scratch))
