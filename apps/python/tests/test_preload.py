"""Programs that are loaded once, and whose processes are forked from that."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import sys
import textwrap
import time

import pytest
import ropewalk
from cluster import ENOUGH, ROOT, wait_until
from conftest import FOLDER
from ropewalk._protocol import Code, Field, Kind, field

PROGRAM = """
    import ctypes, os, signal, subprocess, sys, time
    import ropewalk

    LOADED = os.getpid()
    VERSION = 1
    print("loading")

    @ropewalk.startup
    def begin():
        global STARTED
        STARTED = os.getpid()

    @ropewalk.shutdown
    def end():
        print("the end of", os.getpid())

    def daemon(keep):
        read, write = os.pipe()
        if os.fork() == 0:
            os.setsid()
            keep()
            os.write(write, b"%d" % os.getpid())
            time.sleep(1000)
            os._exit(0)
        return os.read(read, 10)

    @ropewalk.handler("s")
    def f(message):
        word, _, rest = message.decode().partition(" ")
        if word == "pid":
            assert STARTED == os.getpid()
            return f"{os.getpid()} {LOADED} {VERSION}"
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            sys.exit(3)
        if word == "hang":
            time.sleep(1000)
        if word == "daemons":
            shell = subprocess.run("setsid sleep 1000 >/dev/null 2>&1 & echo $!", shell=True, stdout=subprocess.PIPE, text=True)
            pids = f"{shell.stdout.strip()} {daemon(lambda: None).decode()} {os.getpid()}"
            if rest:
                open(rest + ".begun", "w").write(pids)
                os.rename(rest + ".begun", rest)
                time.sleep(1000)
            return pids
        if word == "grow":
            kept = b"x" * (int(rest) << 20)
            time.sleep(1000)
        if word == "say":
            print(rest)
            print(rest, file=sys.stderr)
        return str(os.getpid())
"""


class Service:
    """A worker with a program `s`, which is loaded once."""

    def __init__(self, cluster, text, *options, slots=2, serve="ropewalk.serve(preload=True)"):
        self.program = cluster.folder / "program.py"
        self.write(text, serve)
        self.broker = cluster.broker()
        self.worker = cluster.worker(
            self.broker, f"s=exec:{sys.executable} {self.program}",
            options=["--set", f"s.slots={slots}", "--set", f"s.env=PYTHONPATH={FOLDER}", *[part for one in options for part in ("--set", one)]])
        self.client = ropewalk.Client(self.broker.url)

    def write(self, text, serve="ropewalk.serve(preload=True)"):
        self.program.write_text(textwrap.dedent(text) + "\n" + serve + "\n")

    def ask(self, message, **options):
        return self.client.request("s", message, **{"timeout": ENOUGH, **options}).decode()

    def pids(self):
        """Of who answers, and of the program that it was forked from; and that one's version."""
        return tuple(map(int, self.ask(b"pid").split()))

    def spread(self, count):
        """So many messages at a time, which take a moment each: who has answered."""
        replies = [self.client.submit("s", b"pid", timeout=ENOUGH) for _ in range(count)]
        return [tuple(map(int, reply.result(ENOUGH).split())) for reply in replies]

    def log(self):
        return self.worker.log.read_text(errors="replace")


@pytest.fixture
def service(cluster):
    with contextlib.ExitStack() as stack:

        def start(*args, **more):
            one = Service(cluster, *args, **more)
            stack.enter_context(one.client)
            return one

        yield start


def is_there(pid):
    """Whether a process lives; who has ended and was not waited for does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def name_of(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def both_ready(s):
    s.worker.says("process 0 is ready")
    s.worker.says("process 1 is ready")


# -- how they come about


def test_the_program_is_loaded_once_and_its_processes_are_the_spawners_children(service):
    s = service(PROGRAM)
    both_ready(s)
    seen = {pids for _ in range(5) for pids in s.spread(20)}
    assert len({loaded for _, loaded, _ in seen}) == 1
    for pid, loaded, _ in seen:
        assert pid != loaded
        assert name_of(parent_of(pid)) == "ropewalk-spawn" == name_of(parent_of(loaded))
        assert os.getpgid(pid) == pid
    assert s.log().count("says: loading") == 1
    assert "service s: its program is loaded, and its processes are forked from it" in s.log()


def test_with_recycle_after_1_each_message_has_a_process_of_its_own(service):
    s = service(PROGRAM, "s.recycle-after=1")
    seen = s.spread(60)
    assert len({pid for pid, _, _ in seen}) == 60
    assert len({loaded for _, loaded, _ in seen}) == 1
    wait_until(lambda: sum(is_there(pid) for pid, _, _ in seen) == 0, why="all have ended")
    assert len(re.findall(r"says: the end of \d+", s.log())) >= 40  # 20 lines a second a process are logged


def test_without_preload_too(service):
    s = service(PROGRAM, "s.recycle-after=1", serve="ropewalk.serve()")
    seen = s.spread(6)
    assert len({pid for pid, _, _ in seen}) == 6
    assert all(pid == loaded for pid, loaded, _ in seen)


def test_what_they_print_is_logged_with_service_and_process(service):
    s = service(PROGRAM, slots=1)
    s.ask(b"say many hands")
    s.worker.says("service s, process 0 says: many hands(.|\n)*service s, process 0 says: many hands")
    s.worker.says("service s, process 0 says: loading")  # before it said that it is a fork server


def test_coroutines_are_forked_too(service):
    s = service("""
        import asyncio, os, ropewalk
        LOADED = os.getpid()

        @ropewalk.handler("s")
        async def f(message):
            await asyncio.sleep(0.01)
            return f"{os.getpid()} {LOADED} 1"
    """, "s.processes=2", slots=50)
    seen = s.spread(100)
    assert 1 <= len({pid for pid, _, _ in seen}) <= 2
    assert all(pid != loaded for pid, loaded, _ in seen)


def test_a_worker_that_cannot_fork_is_served_by_the_program_itself(node):
    n = node("""
        import os
        @ropewalk.handler("s")
        def f(message):
            return str(os.getpid())
        ropewalk.serve(preload=True)
        raise SystemExit
    """)
    assert n.ask(b"") == (Code.OK, str(n.process.pid).encode())
    assert n.end() == (0, "")


# -- what may not be forked


def test_threads_are_named_and_nothing_is_forked(service, cluster):
    broker = cluster.broker()
    program = cluster.folder / "threads.py"
    program.write_text("import threading, time, ropewalk\nropewalk.handler()(lambda m: m)\n"
                       "threading.Thread(target=time.sleep, args=(1000,), name='model-loader', daemon=True).start()\n"
                       "ropewalk.serve(preload=True)\n")
    worker = cluster.worker(broker, f"s=exec:{sys.executable} {program}", options=["--set", f"s.env=PYTHONPATH={FOLDER}"])
    worker.says("does not accept us: FAILED 'threads run in the program that is to be forked: 'model-loader'; start them in @ropewalk")


def test_a_fork_that_is_refused_is_said_and_asked_for_again(node):
    n = node("""
        import os, threading, time
        ropewalk.handler("s")(lambda m: m)
        blocked = threading.Event()
        def fork():
            raise OSError(11, "no more processes")
        os.fork = fork
        ropewalk.serve(preload=True)
        raise SystemExit
    """, hello=False)
    n.write(Kind.HELLO, 1, fields=field(Field.VERSION, b"\x01") + field(Field.FORKS, b"\x01"))
    assert n.next_frame().kind == Kind.HELLO_OK
    n.write(Kind.FORK, 2)
    frame = n.next_frame()
    assert (frame.kind, frame.id, frame.code) == (Kind.ERROR, 2, Code.FAILED)
    assert b"descriptors did not get through" in frame.payload
    ours, theirs = socket.socketpair()
    frame = b"\0\0\0\x0c\x0a\0\0\0\0\0\0\0\0\0\0\x03"
    socket.send_fds(n.channel, [frame], [theirs.fileno()] * 3)
    frame = n.next_frame()
    assert (frame.kind, frame.id) == (Kind.ERROR, 3)
    assert b"no more processes" in frame.payload
    assert n.end()[0] == 0


# -- supervision: as of processes that are started


def test_a_process_that_dies_is_charged_and_replaced(service):
    s = service(PROGRAM)
    loaded = s.pids()[1]
    with pytest.raises(ropewalk.WorkerLost, match="killed by signal 9"):
        s.ask(b"die", attempts=1)
    with pytest.raises(ropewalk.WorkerLost, match="exit status 3"):
        s.ask(b"exit", attempts=1)
    assert {one for _, one, _ in s.spread(20)} == {loaded}


def test_at_its_deadline_a_process_ends_and_only_it(service):
    s = service(PROGRAM, "s.stop-timeout=50ms")
    before = set()
    wait_until(lambda: before.update(pid for pid, _, _ in s.spread(20)) or len(before) == 2, why="both answer")
    with pytest.raises(ropewalk.Timeout):
        s.ask(b"hang", timeout=0.5)
    s.worker.says("did not answer a request in time")
    assert sum(map(is_there, before)) == 1


def test_a_message_that_is_taken_back_ends_with_all_that_it_has_started(service, tmp_path):
    s = service(PROGRAM, "s.stop-timeout=50ms")
    pids = tmp_path / "pids"
    reply = s.client.submit("s", f"daemons {pids}".encode(), timeout=ENOUGH)
    started = list(map(int, wait_until(lambda: pids.exists() and pids.read_text(), why="all are started").split()))
    assert len(started) == 3 and all(map(is_there, started))
    reply.cancel()
    wait_until(lambda: not any(map(is_there, started)), why=f"of {started} none lives")


def test_what_a_message_has_left_behind_ends_with_its_process(service):
    s = service(PROGRAM, "s.recycle-after=1")
    pids = [int(pid) for _ in range(3) for pid in s.ask(b"daemons").split()]
    assert len(set(pids)) == 9
    wait_until(lambda: not any(map(is_there, pids)), why=f"of {pids} none lives")
    loaded = s.pids()[1]
    assert is_there(loaded)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_fork_server_ends_its_processes_go_on_and_there_is_a_new_one(service, number):
    s = service(PROGRAM)
    both_ready(s)
    before = {pid for pid, _, _ in s.spread(20)}
    loaded = s.pids()[1]
    time.sleep(0.2)  # nothing happens that would have somebody look at the time
    os.kill(loaded, number)
    s.worker.says("its fork server is gone")
    s.worker.says("its fork server is ready")
    s.worker.says("service s, fork server says: loading")
    assert {pid for pid, _, _ in s.spread(20)} <= before
    with pytest.raises(ropewalk.WorkerLost):
        s.ask(b"die", attempts=1)
    fresh = wait_until(lambda: [one for _, one, _ in s.spread(20) if one != loaded], why="one from the new fork server")
    assert all(map(is_there, fresh))


def test_messages_with_a_process_each_survive_fork_servers_that_are_killed(service):
    s = service(PROGRAM, "s.recycle-after=1")
    seen = []
    for _ in range(4):
        seen += s.spread(20)
        with contextlib.suppress(ProcessLookupError):
            os.kill(seen[-1][1], signal.SIGKILL)
    assert len({pid for pid, _, _ in seen}) == 80
    assert len({loaded for _, loaded, _ in seen}) > 1


def test_a_fork_server_that_stands_still_is_replaced(service):
    s = service(PROGRAM, "s.start-timeout=2s")
    both_ready(s)
    pid, loaded, _ = s.pids()
    os.kill(loaded, signal.SIGSTOP)
    with pytest.raises(ropewalk.WorkerLost):
        s.ask(b"die", attempts=1)
    s.worker.says("its fork server is gone: it did not answer a FORK within 2000 ms")
    assert not is_there(loaded)
    wait_until(lambda: {one for _, one, _ in s.spread(20)} - {loaded}, why="one from the new fork server")


def test_processes_that_wait_for_their_fork_while_all_is_loaded_anew_are_not_in_the_way_of_others(service):
    s = service(PROGRAM, "s.start-timeout=30s", "s.stop-timeout=300ms")
    both_ready(s)
    for _ in range(6):
        loaded = s.pids()[1]
        os.kill(loaded, signal.SIGSTOP)
        with pytest.raises(ropewalk.WorkerLost):  # the next one is asked of who stands still
            s.ask(b"die", attempts=1)
        s.worker.send(signal.SIGHUP)
        wait_until(lambda: not is_there(loaded), why="the old one has ended")
        wait_until(lambda: len({pid for pid, one, _ in s.spread(20) if one != loaded}) == 2, why="two processes of the new one")
    s.worker.send(signal.SIGTERM)
    assert s.worker.process.wait(10) == 0


def test_a_broken_new_version_leaves_what_runs_and_a_good_one_takes_over(service):
    s = service(PROGRAM)
    both_ready(s)
    loaded = s.pids()[1]
    s.write(PROGRAM + "    raise SystemExit('no such model')\n")
    s.worker.send(signal.SIGHUP)
    s.worker.says("its fork server ended before it was ready: it ended with exit status 1; it had said: (.|\n)*no such model\n; "
                  "trying again in .* ms, and the one that it was to replace goes on")
    with pytest.raises(ropewalk.WorkerLost):
        s.ask(b"die", attempts=1)
    assert {one for _, one, _ in s.spread(20)} == {loaded}
    s.write(PROGRAM.replace("VERSION = 1", "VERSION = 2"))
    wait_until(lambda: {version for _, _, version in s.spread(20)} == {2}, why="version 2 alone answers")
    wait_until(lambda: not is_there(loaded), why="the old program has ended")


def test_a_new_version_need_be_no_fork_server_and_may_become_one(service):
    s = service(PROGRAM)
    both_ready(s)
    s.write(PROGRAM, serve="ropewalk.serve()")
    s.worker.send(signal.SIGHUP)
    s.worker.says("no fork server any more")
    wait_until(lambda: all(pid == loaded for pid, loaded, _ in s.spread(20)), why="all are started")
    s.write(PROGRAM)
    s.worker.send(signal.SIGHUP)
    wait_until(lambda: all(pid != loaded for pid, loaded, _ in s.spread(20)), why="all are forked")


def test_a_reload_loses_no_message(service):
    s = service(PROGRAM)
    both_ready(s)
    versions = set()
    for version in (2, 3):
        s.write(PROGRAM.replace("VERSION = 1", f"VERSION = {version}"))
        s.worker.send(signal.SIGHUP)
        wait_until(lambda: versions.update(v for _, _, v in s.spread(30)) or version in versions)
    assert versions == {1, 2, 3} or versions == {2, 3}


@pytest.mark.parametrize("whom", ["worker", "spawner"])
def test_kill_9_leaves_nothing_behind(service, whom):
    s = service(PROGRAM)
    both_ready(s)
    pids = {pid for pids in s.spread(20) for pid in pids[:2]} | {int(pid) for pid in s.ask(b"daemons").split()}
    spawner = parent_of(s.pids()[1])
    if whom == "worker":
        s.worker.end()
    else:
        os.kill(spawner, signal.SIGKILL)
    wait_until(lambda: not any(map(is_there, pids)), why=f"of {pids} none lives")
    if whom == "spawner":
        assert s.pids()[0] not in pids


def test_a_worker_that_is_told_to_stop_ends_all_of_it(service):
    s = service(PROGRAM)
    both_ready(s)
    pids = {pid for pids in s.spread(20) for pid in pids[:2]}
    assert s.worker.end(signal.SIGTERM) == 0
    assert not any(map(is_there, pids))
    assert "says: the end of" in s.log()


def test_memory_that_is_shared_counts_in_part_and_ones_own_whole(service):
    s = service(PROGRAM + "    MODEL = b'x' * (200 << 20)\n", "s.max-memory=150MiB")
    both_ready(s)
    before = {pid for pid, _, _ in s.spread(20)}
    with pytest.raises(ropewalk.WorkerLost):
        s.ask(b"grow 500", attempts=1)
    s.worker.says("more than twice its max-memory")
    assert {pid for pid, _, _ in s.spread(20)} & before  # the other one has gone on


def test_a_process_is_replaced_when_it_is_old(service):
    s = service(PROGRAM, "s.recycle-age=1s", slots=1)
    pid, loaded, _ = s.pids()
    wait_until(lambda: s.pids()[0] != pid)
    assert s.pids()[1] == loaded


# -- from the document alone


def test_a_fork_server_without_this_package(cluster):
    broker = cluster.broker()
    worker = cluster.worker(broker, f"up=exec:{sys.executable} {ROOT}/apps/examples/fork_server.py", options=["--set", "up.recycle-after=1"])
    with ropewalk.Client(broker.url) as client:
        replies = [reply.result(ENOUGH).split() for reply in [client.submit("up", b"rope", timeout=ENOUGH) for _ in range(30)]]
    assert all(reply[:2] == [b"ROPE", b"200000"] for reply in replies)
    assert len({reply[2] for reply in replies}) == 30
    assert worker.end(signal.SIGTERM) == 0


def test_who_forks_once_alone_is_said_what_to_do(cluster):
    text = (ROOT / "apps/examples/fork_server.py").read_text()
    once = text.replace("        if os.fork() == 0:  # the one in between\n            child = os.fork()", "        child = os.fork()\n        if True:")
    once = once.replace("                os.write(write", "                os.write(write").replace("            os._exit(0)\n        os.wait()", "            pass")
    assert once != text
    (cluster.folder / "once.py").write_text(once)
    broker = cluster.broker()
    worker = cluster.worker(broker, f"up=exec:{sys.executable} {cluster.folder}/once.py")
    worker.says("fork twice, and let the one in between end before it is said")
