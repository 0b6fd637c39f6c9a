#!/usr/bin/env python3
"""The question's server under 200 connections with messages of 2 MB, while what runs its messages is killed every second: with
ProcessPoolExecutor one of its two processes, with Executor one of two nodes and all that it runs.

    apps/python/tests/question.py [SECONDS] [--write]        a table of both, which can be put into README.md; 30 s if nothing is said

`test_examples.py` runs it with Executor for a few seconds.
"""

import asyncio
import collections
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench import put_into_readme  # noqa: E402
from cluster import ROOT, Cluster  # noqa: E402
from soak import children_of  # noqa: E402

CONNECTIONS = 200
BYTES = 2_000_000
LINE = "from concurrent.futures import ProcessPoolExecutor"


def started(folder, url=None):
    """The server, in whose text the one line is another where there is a cluster; its `port` is what it listens on."""
    text = (ROOT / "apps/examples/server.py").read_text()
    assert text.count(LINE) == 1 and text.count("ProcessPoolExecutor(2)") == 1
    if url:
        text = text.replace(LINE, "from ropewalk import Executor as ProcessPoolExecutor").replace("ProcessPoolExecutor(2)", f'ProcessPoolExecutor("{url}")')
    (folder / "question_server.py").write_text(text)
    (folder / "serve.py").write_text("import asyncio\nimport question_server\n\nif __name__ == '__main__':\n    asyncio.run(question_server.main(0))\n")
    with open(folder / "server.log", "wb") as log:
        one = subprocess.Popen([sys.executable, folder / "serve.py"], stdout=subprocess.PIPE, stderr=log, text=True,
                               env=dict(os.environ, PYTHONPATH=f"{folder}:{HERE.parent}"))
    one.port = int(one.stdout.readline().split()[-1])
    return one


async def ask_until(port, end, counts, chance):
    """One message after the other, over the next connection where one ends without an answer."""
    message = bytearray(chance.randbytes(1000) * (BYTES // 1000))
    while time.monotonic() < end:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < end:
                message[:8] = chance.randbytes(8)
                writer.write(struct.pack(">I", len(message)) + message)
                await writer.drain()
                (size,) = struct.unpack(">I", await reader.readexactly(4))
                right = await reader.readexactly(size) == b"%08x %d" % (zlib.crc32(message), len(message))
                counts["answered" if right else "wrong"] += 1
        except (OSError, asyncio.IncompleteReadError):
            counts["lost"] += 1
            await asyncio.sleep(0.1)
        finally:
            if writer:
                writer.close()


def besieged(port, seconds, kill):
    """How many messages were answered, answered wrongly, or lost with their connection; and how many kills there were."""
    counts = collections.Counter()

    async def kills(end):
        while time.monotonic() < end - 1:
            await asyncio.sleep(1)
            counts["killed"] += await asyncio.get_running_loop().run_in_executor(None, kill)

    async def all_of_it():
        end = time.monotonic() + seconds
        await asyncio.wait_for(asyncio.gather(kills(end), *[ask_until(port, end, counts, random.Random(n)) for n in range(CONNECTIONS)]), seconds + 60)

    asyncio.run(all_of_it())
    return counts


def ended(server):
    server.send_signal(signal.SIGINT)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        for pid in [server.pid, *children_of(server.pid)]:
            os.kill(pid, signal.SIGKILL)
        server.wait(10)
    server.stdout.close()


def with_executor(folder, seconds):
    cluster = Cluster(folder)
    try:
        broker = cluster.broker()
        options = ["--set", f"python.env=PYTHONPATH={folder}:{HERE.parent}", "--set", "python.stop-timeout=30ms"]
        node = lambda: cluster.worker(broker, f"python=exec:{sys.executable} -m ropewalk.executor", options=options, joins=False)
        nodes = [node(), node()]
        for one in nodes:
            one.says("joined the broker")

        def kill():
            which = random.randrange(2)
            nodes[which].end(signal.SIGKILL)
            nodes[which] = node()
            return 1

        server = started(folder, broker.url)
        try:
            return besieged(server.port, seconds, kill)
        finally:
            ended(server)
    finally:
        cluster.end()


def with_process_pool(folder, seconds):
    server = started(folder)

    def kill():
        below = children_of(server.pid)
        if not below:
            return 0
        os.kill(random.choice(below), signal.SIGKILL)
        return 1

    try:
        return besieged(server.port, seconds, kill)
    finally:
        ended(server)


def main():
    words = [word for word in sys.argv[1:] if word != "--write"]
    seconds = float(words[0]) if words else 30
    lines = ["| | messages answered | answered wrongly | lost | killed |", "|---|---|---|---|---|"]
    for name, run in (("ProcessPoolExecutor", with_process_pool), ("ropewalk.Executor", with_executor)):
        with tempfile.TemporaryDirectory() as folder:
            counts = run(pathlib.Path(folder), seconds)
        lines.append(f"| {name} | " + " | ".join(f"{counts[what]:,}" for what in ("answered", "wrong", "lost", "killed")) + " |")
    table = "\n".join(lines)
    print(table)
    if "--write" in sys.argv:
        put_into_readme("question", table)


if __name__ == "__main__":
    main()
