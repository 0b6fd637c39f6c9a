#!/usr/bin/env python3
"""Messages of 50 KB, handled in Python, as they come in over a socket: an asyncio server that hands them to ProcessPoolExecutor
beside a broker and a worker, two processes each, in turn, in the same run. The client is the same for both, ropewalk.Client: the
asyncio server speaks as much of the protocol as that needs.

    apps/python/bench_server.py                  prints a table; medians of 5 rounds
    apps/python/bench_server.py --write          puts it into README.md
"""
import argparse
import asyncio
import concurrent.futures
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]

from bench import put_into_readme  # noqa: E402
import ropewalk  # noqa: E402
from cluster import Cluster  # noqa: E402
from ropewalk._protocol import Code, Decoder, Field, Kind, field, head  # noqa: E402

BYTES = 50_000
PROCESSES = 2


def tiny(message):
    return b"%08x" % zlib.crc32(message)


def five_ms(message):
    """So much processor time, and not so much of the clock."""
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    return tiny(message)


HANDLERS = {"a tiny handler": (tiny, 64), "a handler of 5 ms": (five_ms, 16)}  # in flight


async def serve(pool, reader, writer):
    """One connection's requests, each answered when its process is done with it."""
    decoder = Decoder()

    async def answer(id, handler, message):
        said = await asyncio.get_running_loop().run_in_executor(pool, handler, message)
        writer.write(head(Kind.REPLY, Code.OK, id, len(said)) + said)

    while data := await reader.read(256 * 1024):
        for frame in decoder.feed(data):
            if frame.kind == Kind.HELLO:
                said = field(Field.VERSION, b"\1") + field(Field.MAX_MESSAGE, (2 << 20).to_bytes(4, "big"))
                writer.write(head(Kind.HELLO_OK, Code.OK, frame.id, 0, said))
            elif frame.kind == Kind.REQUEST:
                handler = five_ms if b"five_ms" in frame.fields else tiny
                asyncio.get_running_loop().create_task(answer(frame.id, handler, bytes(frame.payload)))


async def run_server():
    with concurrent.futures.ProcessPoolExecutor(PROCESSES) as pool:
        server = await asyncio.start_server(lambda r, w: serve(pool, r, w), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def run_handlers():
    for handler in (tiny, five_ms):
        ropewalk.handler(handler.__name__)(handler)
    ropewalk.serve()


def rate(url, handler, in_flight, seconds):
    """Messages a second of one client."""
    message = os.urandom(BYTES)
    with ropewalk.Client(url) as client:
        expected = tiny(message)
        waiting = [client.submit(handler.__name__, message) for _ in range(in_flight)]
        for _ in range(in_flight):  # warm
            assert waiting.pop(0).result(30) == expected
            waiting.append(client.submit(handler.__name__, message))
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            assert waiting.pop(0).result(30) == expected
            waiting.append(client.submit(handler.__name__, message))
            done += 1
        took = time.perf_counter() - begin
        for one in waiting:
            one.result(30)
    return done / took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(pathlib.Path(folder))
        pool = subprocess.Popen([sys.executable, __file__, "as-server"], stdout=subprocess.PIPE, text=True)
        try:
            theirs = f"ropewalk://127.0.0.1:{int(pool.stdout.readline())}"
            broker = cluster.broker()
            program = f"exec:{sys.executable} {pathlib.Path(__file__).resolve()} as-handler"
            said = [word for handler, _ in HANDLERS.values()
                    for word in ("--set", f"{handler.__name__}.slots={PROCESSES}", "--set", f"{handler.__name__}.env=PYTHONPATH={HERE}")]
            cluster.worker(broker, *[f"{handler.__name__}={program}" for handler, _ in HANDLERS.values()], options=said)
            rates = {(name, url): [] for name in HANDLERS for url in (theirs, broker.url)}
            for _ in range(options.rounds):
                for name, (handler, in_flight) in HANDLERS.items():
                    for url in (theirs, broker.url):
                        rates[name, url].append(rate(url, handler, in_flight, options.seconds))
        finally:
            pool.kill()  # its processes see that, and end
            pool.wait()
            cluster.end()
    lines = ["| messages of 50 KB, in Python | asyncio server with ProcessPoolExecutor, messages/s | Ropewalk, messages/s | times as many |", "|---|---|---|---|"]
    for name in HANDLERS:
        one, other = (statistics.median(rates[name, url]) for url in (theirs, broker.url))
        lines.append(f"| {name} | {one:,.0f} | {other:,.0f} | {other / one:.2f} |")
    table = "\n".join(lines)
    print(table)
    if options.write:
        put_into_readme("bench server", table, HERE.parents[1] / "README.md")


if __name__ == "__main__":
    if sys.argv[1:] == ["as-server"]:
        asyncio.run(run_server())
    elif sys.argv[1:] == ["as-handler"]:
        run_handlers()
    else:
        main()
