"""Executor, with a private broker and worker, as it stands in for ProcessPoolExecutor."""

import asyncio
import concurrent.futures
import itertools
import json
import os
import pickle
import random
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import calls
import pytest
import ropewalk
from cluster import ENOUGH, ROOT, program, wait_until
from ropewalk._pickling import Pickler, result_of
from ropewalk.executor import Worker


@pytest.fixture(scope="module", autouse=True)
def found():
    """The program that private clusters are made with."""
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    os.environ["ROPEWALK_PROGRAM"] = program()


@pytest.fixture(scope="module")
def pool(found):
    """One executor of two processes for the tests that leave it as it was."""
    with ropewalk.Executor(2) as made:
        yield made


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except OSError:
        return False


def test_a_call_runs_in_another_process(pool):
    assert pool.submit(os.getpid).result(ENOUGH) != os.getpid()
    assert pool.submit(divmod, 7, 2).result(ENOUGH) == (3, 1)
    assert pool.submit(int, "ff", base=16).result(ENOUGH) == 255


@pytest.mark.parametrize("value", [None, b"", "text", b"x" * 3_000_000, bytearray(b"y" * 100_000), {"a": [1, (2, 3.5)]},
                                   [b"z" * 100_000] * 3, 1 << 5000], ids=range(8))
def test_values_come_back_as_they_went(pool, value):
    got = pool.submit(calls.echo, value).result(ENOUGH)
    assert got == value and type(got) is type(value)


def test_map_is_in_order_with_and_without_chunks(pool):
    assert list(pool.map(pow, range(100), range(100))) == [n**n for n in range(100)]
    assert list(pool.map(calls.echo, range(1003), chunksize=10)) == list(range(1003))
    assert list(pool.map(calls.echo, [])) == []
    with pytest.raises(ValueError):
        pool.map(calls.echo, [1], chunksize=0)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(pool.map(time.sleep, [0, 10], timeout=0.5))


def test_map_over_an_endless_generator_takes_what_it_needs(pool):
    taken = itertools.count()

    def endless():
        for number in taken:
            yield number

    results = pool.map(calls.echo, endless(), buffersize=10)
    assert [next(results) for _ in range(100)] == list(range(100))
    assert next(taken) <= 112
    results.close()


def test_an_exception_comes_with_its_remote_traceback(pool):
    with pytest.raises(LookupError, match="no such") as caught:
        pool.submit(calls.fail, "no such").result(ENOUGH)
    assert isinstance(caught.value.__cause__, ropewalk.RemoteTraceback)
    assert 'raise LookupError(text)' in str(caught.value.__cause__)


@pytest.mark.parametrize("function, kind, text", [
    (calls.raise_awkward, ropewalk.RemoteError, "Awkward: 1 2"),
    (calls.raise_unpicklable, ropewalk.RemoteError, "Unpicklable: locked"),
    (calls.return_unpicklable, TypeError, "pickle"),
    (calls.exit_python, SystemExit, "3"),
])
def test_what_cannot_be_brought_here_is_an_exception_of_that_call(pool, function, kind, text):
    with pytest.raises(kind, match=text):
        pool.submit(function).result(ENOUGH)
    assert pool.submit(calls.echo, 1).result(ENOUGH) == 1


def test_arguments_that_cannot_be_pickled_are_the_future_s_exception(pool):
    with pytest.raises(TypeError, match="pickle"):
        pool.submit(calls.echo, threading.Lock()).result(ENOUGH)


@pytest.mark.parametrize("function, text", [(calls.segfault, "signal 11|SIGSEGV"), (os.abort, "signal 6|SIGABRT")])
def test_a_process_that_dies_costs_its_call_and_no_other(pool, function, text):
    others = [pool.submit(calls.echo, i) for i in range(50)]
    lost = pool.options(attempts=1).submit(function)
    others += [pool.submit(calls.echo, i) for i in range(50, 100)]
    with pytest.raises(ropewalk.WorkerLost, match=text):
        lost.result(ENOUGH)
    assert [other.result(ENOUGH) for other in others] == list(range(100))


def test_a_call_whose_process_dies_is_run_again(pool, tmp_path):
    assert pool.submit(calls.die_once, str(tmp_path / "died")).result(ENOUGH) == "survived"


def test_a_call_that_kills_its_processes_is_set_apart(pool):
    with pytest.raises(ropewalk.WorkerLost, match="3 times"):
        pool.submit(os._exit, 4).result(ENOUGH)


@pytest.mark.parametrize("function, args", [(time.sleep, (1000,)), (calls.hold_the_lock, ())])
def test_a_running_call_that_is_cancelled_is_ended_and_only_it(pool, function, args, tmp_path):
    path = tmp_path / "other"
    other = pool.submit(calls.mark, str(path), 1.0)
    future = pool.submit(function, *args)
    wait_until(path.exists)
    time.sleep(0.3)
    assert future.running()
    began = time.monotonic()
    assert future.cancel() and future.cancelled()
    assert not concurrent.futures.wait([future], 1).not_done
    # Its process is gone when the other slot, too, takes calls.
    pids = {pool.submit(calls.mark, str(tmp_path / "next"), 0.0).result(ENOUGH)}
    assert time.monotonic() - began < 3 and pids
    other_pid = other.result(ENOUGH)
    assert path.read_text().split() == [str(other_pid)]  # it ran once


def test_cancelling_takes_a_tenth_of_a_second(pool, tmp_path):
    took = []
    for i in range(5):
        path = tmp_path / str(i)
        future = pool.submit(calls.mark, str(path), 1000)
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
        pid = int(path.read_text())
        began = time.monotonic()
        future.cancel()
        wait_until(lambda: not alive(pid))
        took.append(time.monotonic() - began)
    assert min(took) < 0.1  # the others where the machine had something else to do
    assert max(took) < 2


def test_a_call_over_its_time_is_ended(pool):
    began = time.monotonic()
    with pytest.raises(ropewalk.Timeout):
        pool.options(timeout=0.3).submit(time.sleep, 1000).result(ENOUGH)
    assert 0.2 < time.monotonic() - began < 5


def test_short_calls_that_go_together_stay_themselves(pool, tmp_path):
    for _ in range(20):  # until it is known how short they are
        assert pool.submit(calls.echo, 0).result(ENOUGH) == 0
    futures = [pool.submit(calls.echo, i) for i in range(5000)]
    failing = [pool.submit(calls.fail, str(i)) for i in range(200)]
    cancelled = [future for future in futures[::7] if future.cancel()]
    for i, future in enumerate(futures):
        if not future.cancelled():
            assert future.result(ENOUGH) == i
    for i, future in enumerate(failing):
        with pytest.raises(LookupError, match=f"^'?{i}'?$"):
            future.result(ENOUGH)
    assert cancelled


def test_one_of_those_that_go_together_may_kill_its_process_or_hang(pool, tmp_path):
    for _ in range(20):
        assert pool.submit(calls.random_end, "fine", 0).result(ENOUGH) == "fine"
    futures = [pool.submit(calls.random_end, "exit" if i == 500 else "fine", 1000 if i == 600 else 0) for i in range(1000)]
    for i, future in enumerate(futures):
        if i == 500:
            with pytest.raises(ropewalk.WorkerLost):
                future.result(ENOUGH)
        elif i == 600:
            time.sleep(0.2)
            assert future.cancel()
        else:
            assert future.result(ENOUGH) == "fine"


def test_as_completed_and_wait_and_asyncio_take_its_futures(pool):
    futures = [pool.submit(calls.echo, i) for i in range(20)]
    assert {future.result() for future in concurrent.futures.as_completed(futures, ENOUGH)} == set(range(20))

    async def ask():
        loop = asyncio.get_running_loop()
        values = await asyncio.gather(*[loop.run_in_executor(pool, calls.echo, i) for i in range(100)])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(pool, time.sleep, 1000), 0.3)
        return values

    assert asyncio.run(ask()) == list(range(100))
    assert pool.submit(calls.echo, 1).result(ENOUGH) == 1  # the sleeper has gone


def test_lambdas_go_by_cloudpickle(pool):
    pytest.importorskip("cloudpickle", reason="python3-cloudpickle is not installed")
    offset = 5
    assert list(pool.map(lambda x: x + offset, range(3))) == [5, 6, 7]


def test_numpy_arrays_come_back_writable(pool):
    numpy = pytest.importorskip("numpy", reason="python3-numpy is not installed")
    got = pool.submit(calls.echo, numpy.arange(100_000)).result(ENOUGH)
    got += 1
    assert got[-1] == 100_000


def test_what_calls_print_is_printed_here():
    done = run("""
        with ropewalk.Executor(1) as pool:
            pool.submit(print, "hello from a call", flush=True).result()
    """)
    assert done.stdout == "hello from a call\n"


def test_functions_of_the_program_itself_are_found():
    done = run("""
        import dataclasses
        @dataclasses.dataclass
        class Point:
            x: int
        def double(point):
            return Point(point.x * 2)
        if __name__ == "__main__":
            with ropewalk.Executor(1) as pool:
                print(pool.submit(double, Point(21)).result())
    """)
    assert done.stdout == "Point(x=42)\n"


def test_an_initializer_runs_once_in_each_process():
    with ropewalk.Executor(2, initializer=calls.initialize, initargs=("ready",)) as pool:
        assert all(state == ["ready"] for state in pool.map(_state, range(50)))


def _state(_):
    return calls.get_state()


def test_an_initializer_that_fails_breaks_the_executor():
    with ropewalk.Executor(1, initializer=calls.fail_to_initialize) as pool:
        with pytest.raises(concurrent.futures.BrokenExecutor, match="no such model"):
            pool.submit(calls.echo, 1).result(ENOUGH)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            pool.submit(calls.echo, 1)


def test_processes_are_replaced_after_so_many_calls(tmp_path):
    with ropewalk.Executor(1, max_tasks_per_child=2) as pool:
        seen = set()
        wait_until(lambda: seen.add(pool.submit(calls.mark, str(tmp_path / "pids"), 0.05).result(ENOUGH)) or len(seen) >= 3)


def test_shutdown_waits_or_cancels_what_has_not_begun(tmp_path):
    pool = ropewalk.Executor(2)
    futures = [pool.submit(calls.mark, str(tmp_path / "ran"), 0.2) for _ in range(40)]
    futures[0].result(ENOUGH)
    pool.shutdown(cancel_futures=True)
    cancelled = [future for future in futures if future.cancelled()]
    assert all(future.done() for future in futures) and len(cancelled) > 20
    assert len((tmp_path / "ran").read_text().split()) <= len(futures) - len(cancelled) + 2
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(calls.echo, 1)


def test_shutdown_without_waiting_finishes_what_there_is():
    pool = ropewalk.Executor(2)
    futures = [pool.submit(calls.echo, i) for i in range(100)]
    pool.shutdown(wait=False)
    assert [future.result(ENOUGH) for future in futures] == list(range(100))
    wait_until(lambda: pool._pool._ended and not pool._pool._private._launcher)


def test_kill_workers_ends_everything_at_once(tmp_path):
    pool = ropewalk.Executor(2)
    path = tmp_path / "pid"
    futures = [pool.submit(calls.mark, str(path), 1000) for _ in range(10)]
    wait_until(lambda: path.exists() and path.read_text().count("\n") == 2)
    began = time.monotonic()
    pool.kill_workers()
    assert time.monotonic() - began < 5
    assert all(future.cancelled() for future in futures)
    for pid in path.read_text().split():
        wait_until(lambda: not alive(int(pid)))


def test_nobody_else_can_use_the_private_cluster():
    with ropewalk.Executor(1) as pool:
        assert pool.submit(calls.echo, 1).result(ENOUGH) == 1
        address = pool._pool._engine._address
        folder = _folder_of(pool)
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in os.listdir(folder):
            assert os.stat(os.path.join(folder, name)).st_uid == os.getuid()
        url = f"ropewalk://127.0.0.1:{address.brokers[0][1]}"
        with ropewalk.Client(url) as stranger, pytest.raises(ropewalk.Unauthorized):
            stranger.request("python", b"")
        with open(f"/proc/{pool._pool._private._launcher.pid}/cmdline", "rb") as line:
            assert address.token not in line.read()
    assert not os.path.exists(folder)


def _folder_of(pool):
    with open(f"/proc/{pool._pool._private._launcher.pid}/cmdline") as line:
        return json.loads(line.read().split("\0")[-2])["folder"]


def test_a_program_that_is_not_there_is_said_at_once(monkeypatch):
    monkeypatch.setenv("ROPEWALK_PROGRAM", "/nowhere/ropewalk")
    with pytest.raises(FileNotFoundError, match="install"):
        ropewalk.Executor()


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "os._exit(1)", "raise KeyboardInterrupt"])
def test_an_interpreter_ends_within_a_second_and_nothing_is_left(end, tmp_path):
    path = tmp_path / "pids"
    done = run(f"""
        import os, time
        import calls
        if __name__ == "__main__":
            pool = ropewalk.Executor(2)
            futures = [pool.submit(calls.mark, {str(path)!r}, 1000) for _ in range(100)]
            while not os.path.exists({str(path)!r}) or open({str(path)!r}).read().count("\\n") < 2:
                time.sleep(0.01)
            print(time.time(), flush=True)
            {end}
    """, check=False)
    assert time.time() - float(done.stdout) < 2  # a second, and as much for a machine that is busy
    for pid in path.read_text().split():
        wait_until(lambda: not alive(int(pid)), 5)


def test_a_child_that_is_forked_does_not_keep_the_cluster_alive(tmp_path):
    done = run("""
        import os, sys, time
        if __name__ == "__main__":
            pool = ropewalk.Executor(1)
            pid = pool.submit(os.getpid).result()
            if os.fork() == 0:
                os.close(1)
                time.sleep(20)
                os._exit(0)
            print(pid, flush=True)
            os._exit(0)
    """)
    wait_until(lambda: not alive(int(done.stdout)), 5)


def run(text, check=True):
    """Runs a program of its own; what it printed."""
    text = textwrap.dedent(text)
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, "program.py")
        with open(path, "w") as file:
            file.write("import ropewalk\n" + text)
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join((str(ROOT / "apps/python"), str(ROOT / "apps/python/tests"))))
        return subprocess.run([sys.executable, path], stdout=subprocess.PIPE, text=True, check=check, timeout=ENOUGH, env=environment)
    finally:
        shutil.rmtree(folder)


def test_random_ends_for_a_while(tmp_path):
    """Whatever ends how: every future is done, the pool goes on, and no process, descriptor or thread is left."""
    seed = int(os.environ.get("ROPEWALK_SEED", time.time()))
    print("ROPEWALK_SEED =", seed)
    chance = random.Random(seed)
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with ropewalk.Executor(2) as pool:
        pool.submit(calls.echo, 1).result(ENOUGH)
        end = time.monotonic() + 6
        futures = []
        while time.monotonic() < end:
            how = chance.choice(["fine"] * 6 + ["raise", "exit", "kill"])
            seconds = chance.choice((0, 0, 0, 0.01, 0.1, 1000 if chance.random() < 0.2 else 0))
            timeout = 0.5 if seconds == 1000 or chance.random() < 0.2 else None
            options = pool.options(timeout=timeout, attempts=chance.choice((1, 2, None)))
            futures.append((how, seconds, options.submit(calls.random_end, how, seconds)))
            for _, _, future in chance.choices(futures, k=2):
                if chance.random() < 0.1:
                    future.cancel()
            if len([1 for *_, future in futures[-200:] if not future.done()]) > 50:
                time.sleep(0.05)
        assert not concurrent.futures.wait([future for *_, future in futures], 30).not_done
        for how, seconds, future in futures:
            if future.cancelled():
                continue
            error = future.exception()
            if isinstance(error, ropewalk.Timeout):
                continue
            assert seconds != 1000
            if how == "fine":
                assert error is None and future.result() == "fine"
            else:
                assert isinstance(error, LookupError if how == "raise" else ropewalk.WorkerLost)
        assert pool.submit(calls.echo, 2).result(ENOUGH) == 2
    wait_until(lambda: threading.active_count() <= threads)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


def test_a_cluster_s_workers_run_calls_too(cluster):
    broker = cluster.broker()
    python = f"python=exec:env PYTHONPATH={ROOT}/apps/python:{ROOT}/apps/python/tests {sys.executable} -m ropewalk.executor"
    cluster.worker(broker, python, options=["--set", "python.stop-timeout=30ms"])
    with ropewalk.Executor(broker.url) as pool:
        assert list(pool.map(calls.echo, range(2000))) == list(range(2000))
        with pytest.raises(ropewalk.TooLarge):
            pool.submit(calls.echo, b"x" * 3_000_000).result(ENOUGH)
        future = pool.submit(time.sleep, 1000)
        time.sleep(0.3)
        assert future.cancel()
        assert pool.submit(calls.echo, 3).result(ENOUGH) == 3


def test_a_worker_can_be_held_to_modules():
    held, pickler = Worker(["calls", "json"]), Pickler(True, None, ())

    def result(function, *args, **kwargs):
        pieces, _, _ = pickler.call(function, args, kwargs)
        return result_of(b"".join(held.run(b"".join(pieces))))

    assert result(calls.echo, [1, {"a": b"b"}, {2}]) == ([1, {"a": b"b"}, {2}], None)
    for function, args in ((os.system, ("true",)), (eval, ("1",)), (getattr, (calls, "os")), (calls.os.getpid, ())):
        value, error = result(function, *args)
        assert value is None and "held to the modules" in str(error)
    # By way of a module that it may use, to one that this imports.
    for name in ("os.system", "signal", "threading.Lock"):
        blob = b"\x80\x05" + b"\x8c" + bytes([5]) + b"calls" + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
        arguments = pickle.dumps(("true",))
        payload = struct.pack(">BIIIH", 0, 0, len(blob), len(arguments), 0) + blob + arguments
        value, error = result_of(b"".join(held.run(payload)))
        assert value is None and "held to the modules" in str(error)


def test_signals_of_the_terminal_are_not_the_workers(pool):
    pid = pool.submit(os.getpid).result(ENOUGH)
    assert os.getpgid(pid) != os.getpgid(0)
