"""Executor under CPython's own tests of ProcessPoolExecutor (Debian's libpython3.x-testsuite; see cpython.py)."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest
from cluster import ROOT, program


def test_it_passes_the_tests_of_the_standard_library():
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    if importlib.util.find_spec("test.test_concurrent_futures") is None:
        pytest.skip("CPython's tests are not installed: libpython3.11-testsuite, or that of this Python's version")
    folder = pathlib.Path(__file__).resolve().parent
    environment = dict(os.environ, ROPEWALK_PROGRAM=program(), PYTHONPATH=f"{ROOT}/apps/python:{folder}")
    # Side by side: what they do most of the time is to sleep.
    parts = [["Wait"], ["AsCompleted", "Deadlock"], ["ProcessPoolExecutorTest"], ["Shutdown", "Initializer"]]
    running = [subprocess.Popen([sys.executable, folder / "cpython.py", *part], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=environment) for part in parts]
    results = []
    for one in running:
        out, err = one.communicate(timeout=200)
        assert one.returncode == 0, err
        results += [json.loads(line) for line in out.splitlines()]
    ran = [one for one in results if not one["skipped"]]
    failed = [one for one in ran if one["failed"]]
    print(f"{len(ran) - len(failed)} of {len(ran)} pass, {len(results) - len(ran)} do not apply:")
    for one in results:
        if one["skipped"]:
            print(f"  {one['test']}: {one['skipped']}")
    assert len(ran) >= 20
    assert not failed, "\n".join(f"{one['test']}: {one['failed']}" for one in failed)
