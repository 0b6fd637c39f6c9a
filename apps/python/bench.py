#!/usr/bin/env python3
"""Executor beside ProcessPoolExecutor: two processes each, in turn, in the same run.

    apps/python/bench.py                  prints a table; medians of 5 rounds
    apps/python/bench.py --write          puts it into apps/python/README.md
    apps/python/bench.py --rounds 1 --seconds 0.3

A round measures each for so long, one right after the other, so that both see the same machine. Processor time is that of
all processes together; it says more than the rate does where other things run on the machine.
"""
import argparse
import concurrent.futures
import os
import pathlib
import resource
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
for built in ("release", "dev"):
    program = HERE.parents[1] / "build" / built / "bin/ropewalk"
    if "ROPEWALK_PROGRAM" not in os.environ and program.exists():
        os.environ["ROPEWALK_PROGRAM"] = str(program)

import ropewalk  # noqa: E402

CASES = [  # name, bytes, in flight
    ("no-op, 64 B, 1 in flight", 64, 1),
    ("no-op, 64 B, 2,000 in flight", 64, 2000),
    ("echo, 64 KiB, 16 in flight", 64 << 10, 16),
    ("echo, 2 MiB, 4 in flight", 2 << 20, 4),
]


def echo(message):
    return message


def measure(pool, size, in_flight, seconds):
    """Calls a second."""
    message = b"x" * size
    open_calls = [pool.submit(echo, message) for _ in range(in_flight)]
    done = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        # As many again as there were: each half is fetched while the other is under way.
        half = max(1, in_flight // 2)
        for future in open_calls[:half]:
            assert len(future.result()) == size
        done += half
        open_calls = open_calls[half:] + [pool.submit(echo, message) for _ in range(half)]
    took = time.perf_counter() - began
    for future in open_calls:
        future.result()
    return done / took


def processor_seconds():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def put_into_readme(name, table, readme=HERE / "README.md"):
    """In place of the one of that name."""
    before, _, rest = readme.read_text().partition(f"<!-- {name} -->\n")
    _, _, after = rest.partition(f"<!-- /{name} -->")
    readme.write_text(f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    kinds = {"ProcessPoolExecutor": concurrent.futures.ProcessPoolExecutor, "ropewalk.Executor": ropewalk.Executor}
    rates = {(case[0], kind): [] for case in CASES for kind in kinds}
    costs = {(case[0], kind): [] for case in CASES for kind in kinds}
    for _ in range(options.rounds):
        for name, size, in_flight in CASES:
            for kind, make in kinds.items():
                before = processor_seconds()
                with make(2) as pool:
                    measure(pool, size, min(in_flight, 50), 0.3)  # warm
                    rate = measure(pool, size, in_flight, options.seconds)
                after = processor_seconds()
                rates[name, kind].append(rate)
                # What its processes used comes with their end: that of start and warming-up is among it, for both.
                costs[name, kind].append((after - before) / (rate * (options.seconds + 0.3)) * 1e6)
    lines = ["| call | ProcessPoolExecutor, calls/s | ropewalk.Executor, calls/s | times as many | processor time a call, us: the one, the other |",
             "|---|---|---|---|---|"]
    for name, _, _ in CASES:
        theirs, ours = (statistics.median(rates[name, kind]) for kind in kinds)
        times = statistics.median(b / a for a, b in zip(*(rates[name, kind] for kind in kinds)))
        cost = ", ".join(f"{statistics.median(costs[name, kind]):,.0f}" for kind in kinds)
        lines.append(f"| {name} | {theirs:,.0f} | {ours:,.0f} | {times:.1f} | {cost} |")
    table = "\n".join(lines)
    print(table)
    if options.write:
        put_into_readme("bench", table)


if __name__ == "__main__":
    main()
