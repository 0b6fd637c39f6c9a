"""A verdict that cannot be bad is worth nothing: sieges that went well but for one planted fault each."""
import dataclasses
import itertools

import crowd
import verdict
from verdict import State

GOOD = verdict.Siege(
    limits={"--memory": 64 << 20, "--answers-memory": 32 << 20, "--connections": 400, "--max-message-bytes": 16 << 10},
    before=State(memory_mib=20, descriptors=30), after=State(memory_mib=60, descriptors=30), max_memory_mib=240,
    calm_p99_ms=300, p99_ms=590, late_p99_ms=0, asked=1000, wrong=[], alive=True)

# What is changed, and the words by which the fault is to be known; none: it is no fault.
CASES = [
    ({}, None),
    ({"max_memory_mib": 260}, "memory: 260 MiB"),
    ({"p99_ms": 610}, "p99"),
    ({"p99_ms": 19, "calm_p99_ms": 1}, None),
    ({"p99_ms": 21, "calm_p99_ms": 1}, "p99"),
    ({"p99_ms": 30, "calm_p99_ms": 1, "late_p99_ms": 3}, None),
    ({"p99_ms": 40, "calm_p99_ms": 1, "late_p99_ms": 3}, "p99"),
    ({"wrong": ["BUSY: no"]}, "BUSY"),
    ({"asked": 0}, "0 asked"),
    ({"after": State(memory_mib=85, descriptors=30)}, "memory after"),
    ({"after": State(memory_mib=20, descriptors=31)}, "descriptors after"),
    ({"after": State(memory_mib=20, descriptors=30, connections=2)}, "connections after"),
    ({"after": State(memory_mib=20, descriptors=30, held_bytes=1)}, "held_bytes after"),
    ({"after": State(memory_mib=20, descriptors=30, queued=1)}, "queued after"),
    ({"after": State(memory_mib=20, descriptors=30, in_flight=1)}, "in_flight after"),
    ({"alive": False}, "gone"),
]


def plan_of(seed, number):
    client = crowd.Client(number, seed, None, None, 0)
    return [what.__name__ for what in itertools.islice(client.plan(), 50)]


def run_all():
    """What is wrong with the judge."""
    missed = []
    for changes, words in CASES:
        found = verdict.faults(dataclasses.replace(GOOD, **changes))
        expected = len(found) == 1 and words in found[0] if words else not found
        if not expected:
            missed.append(f"self-test: {changes or 'a good siege'} is judged {found}")
    if plan_of(7, 3) != plan_of(7, 3) or plan_of(7, 3) == plan_of(8, 3) or plan_of(7, 3) == plan_of(7, 4):
        missed.append("self-test: a seed does not decide what clients do")
    if len(set(plan_of(1, 1) + plan_of(1, 2) + plan_of(1, 3))) < len(crowd.MISDEEDS):
        missed.append("self-test: some misdeeds are hardly ever drawn")
    return missed
