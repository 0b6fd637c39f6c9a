#!/usr/bin/env python3
"""A server whose messages are processed in other processes: each is a length (4 bytes, big-endian) and so many bytes, up to
2 MB; so is each answer. As it is usually written, with the standard library's ProcessPoolExecutor. With one line changed,
`from ropewalk import Executor as ProcessPoolExecutor`, a process that dies costs no message, and it runs on a cluster, too.

    python3 apps/examples/server.py [PORT]        port 0, or none: a free one, which it prints
"""
import asyncio
import struct
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor

LARGEST = 2_000_000


def process(message: bytes) -> bytes:
    return b"%08x %d" % (zlib.crc32(message), len(message))


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pool) -> None:
    try:
        while True:
            (size,) = struct.unpack(">I", await reader.readexactly(4))
            if size > LARGEST:
                break
            message = await reader.readexactly(size)
            answer = await asyncio.get_running_loop().run_in_executor(pool, process, message)
            writer.write(struct.pack(">I", len(answer)) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone
    finally:
        writer.close()


async def main(port: int) -> None:
    with ProcessPoolExecutor(2) as pool:
        server = await asyncio.start_server(lambda r, w: serve_one(r, w, pool), "127.0.0.1", port)
        print("listening on port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    except KeyboardInterrupt:
        pass
