"""The question's server, with ProcessPoolExecutor and with one line changed."""

import asyncio
import os
import random
import signal
import struct
import subprocess
import sys
import zlib

import pytest
import question
from cluster import ENOUGH, ROOT, program

EXAMPLES = ROOT / "apps/examples"
LINE = "from concurrent.futures import ProcessPoolExecutor"
CHANGED = "from ropewalk import Executor as ProcessPoolExecutor"


@pytest.fixture(params=["ProcessPoolExecutor", "Executor"])
def server(request, tmp_path):
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    environment = dict(os.environ, ROPEWALK_PROGRAM=program(), PYTHONPATH=str(ROOT / "apps/python"))
    text = (EXAMPLES / "server.py").read_text()
    if request.param == "Executor":
        assert text.count(LINE) == 1
        text = text.replace(LINE, CHANGED)
    (tmp_path / "server.py").write_text(text)
    one = subprocess.Popen([sys.executable, tmp_path / "server.py"], stdout=subprocess.PIPE, text=True, env=environment)
    one.port = int(one.stdout.readline().split()[-1])
    one.name = request.param
    yield one
    one.send_signal(signal.SIGINT)
    try:
        one.wait(ENOUGH)
    finally:
        one.kill()
        one.stdout.close()


async def talk(port, messages, on_answer=lambda: None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for message in messages:
        writer.write(struct.pack(">I", len(message)) + message)
        await writer.drain()
        (size,) = struct.unpack(">I", await reader.readexactly(4))
        assert await reader.readexactly(size) == b"%08x %d" % (zlib.crc32(message), len(message))
        on_answer()
    writer.close()


def test_it_answers_every_message(server):
    chance = random.Random(3)

    async def many():
        sizes = [[chance.choice((0, 10, 5000, 100_000)) for _ in range(10)] for _ in range(20)] + [[2_000_000] * 2] * 2
        await asyncio.wait_for(asyncio.gather(*[talk(server.port, map(chance.randbytes, one)) for one in sizes]), ENOUGH)

    asyncio.run(many())


def test_with_one_line_changed_a_process_may_die_at_any_time(server):
    if server.name == "ProcessPoolExecutor":
        pytest.skip("with ProcessPoolExecutor every message is lost from then on: BrokenProcessPool")
    answers, killed = [], []

    async def many():
        clients = [talk(server.port, [b"%d" % i * 1000] * 100, lambda: answers.append(1)) for i in range(10)]
        killer = asyncio.get_running_loop().create_task(kill())
        await asyncio.wait_for(asyncio.gather(*clients), ENOUGH)
        killer.cancel()

    async def kill():
        for when in (100, 500):  # twice: a message may be started three times
            while len(answers) < when or not handlers():
                await asyncio.sleep(0.01)
            os.kill(handlers()[0], signal.SIGKILL)
            killed.append(when)

    def handlers():
        found = subprocess.run(["pgrep", "-f", "^[^ ]*python[^ ]* -m ropewalk.executor --private"], stdout=subprocess.PIPE, text=True).stdout.split()
        return [int(pid) for pid in found if is_below(int(pid), server.pid)]

    asyncio.run(many())
    assert len(answers) == 1000 and len(killed) == 2


def test_two_hundred_connections_with_2_mb_lose_nothing_while_one_of_two_nodes_is_killed_every_second(tmp_path, monkeypatch):
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    monkeypatch.setenv("ROPEWALK_PROGRAM", program())
    counts = question.with_executor(tmp_path, float(os.environ.get("ROPEWALK_TEST_SECONDS", 5)))
    assert counts["wrong"] == counts["lost"] == 0 and counts["answered"] > 200 and counts["killed"] > 2, counts


def is_below(pid, ancestor):
    """Whether a process is one of another's descendants."""
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            with open(f"/proc/{pid}/stat") as file:
                pid = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False
