#!/usr/bin/env python3
"""Programs that are loaded once, beside ones that are started: fresh processes a second, and the memory of ten.

    apps/python/bench_preload.py                  prints a table; --write puts it into apps/python/README.md

Each message has a process of its own (`recycle-after=1`), four slots, for so many seconds. Memory is PSS, what is shared counted in
parts, of ten processes that have loaded numpy (python3-numpy), the fork server among them.
"""
import argparse
import importlib.util
import pathlib
import statistics
import sys
import tempfile
import textwrap
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]

import ropewalk  # noqa: E402
from bench import put_into_readme  # noqa: E402
from cluster import Cluster, wait_until  # noqa: E402

PROGRAM = """
    {load}
    import os
    import ropewalk

    @ropewalk.handler()
    def handler(message):
        return str(os.getpid())

    ropewalk.serve(preload={preload})
"""


def service(cluster, preload, slots, *options, load=""):
    """A broker with a worker whose service `s` is that program."""
    path = cluster.folder / f"program-{preload}-{bool(load)}.py"
    path.write_text(textwrap.dedent(PROGRAM).format(load=load, preload=preload))
    broker = cluster.broker()
    said = [part for one in (f"slots={slots}", f"env=PYTHONPATH={HERE}", "env=OMP_NUM_THREADS=1", *options) for part in ("--set", f"s.{one}")]
    worker = cluster.worker(broker, f"s=exec:{sys.executable} {path}", options=said)
    for number in range(slots):
        worker.says(f"process {number} is ready")
    return broker, worker


def fresh_processes(cluster, preload, seconds):
    """So many a second."""
    broker, worker = service(cluster, preload, 4, "recycle-after=1")
    with ropewalk.Client(broker.url) as client:
        waiting, seen = [client.submit("s", b"") for _ in range(16)], []
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            seen.append(waiting.pop(0).result(20))
            waiting.append(client.submit("s", b""))
        took = time.perf_counter() - begin
        for one in waiting:
            one.result(20)
    assert len(set(seen)) == len(seen)
    worker.end(15)
    broker.end(15)
    return len(seen) / took


def descendants(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from descendants(child)


def memory_of_ten(cluster, preload):
    """PSS in MiB, and of how many processes."""
    broker, worker = service(cluster, preload, 10, load="import numpy")
    programs = [pid for pid in descendants(worker.process.pid) if b"program-" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1]]
    wait_until(lambda: len(programs) == 10 + preload)
    lines = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in programs]
    worker.end(15)
    broker.end(15)
    return sum(int(text.split("\nPss:")[1].split()[0]) for text in lines) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if not importlib.util.find_spec("numpy"):
        parser.error(f"{sys.executable} has no numpy; Debian's has with python3-numpy: /usr/bin/python3 {sys.argv[0]}")
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(pathlib.Path(folder))
        try:
            rates = {kind: [] for kind in (False, True)}
            for _ in range(options.rounds):
                for kind, measured in rates.items():
                    measured.append(fresh_processes(cluster, kind, options.seconds))
            apart, shared = (memory_of_ten(cluster, kind) for kind in (False, True))
        finally:
            cluster.end()
    started, forked = (statistics.median(rates[kind]) for kind in (False, True))
    table = f"""| | started | loaded once |
|---|---|---|
| a fresh process for each message, messages/s | {started:,.0f} | {forked:,.0f} |
| ten processes with numpy, MiB | {apart:,.0f} | {shared:,.0f} |"""
    print(table)
    if options.write:
        put_into_readme("bench preload", table)


if __name__ == "__main__":
    main()
