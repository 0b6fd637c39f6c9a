#!/usr/bin/env python3
"""What people glue together today, speaking the frames of tests/bench/relay.cpp (u32 length, u64 id, payload):

    asyncio_server.py pool PORT      one asyncio process that hands every message to a ProcessPoolExecutor of two
    asyncio_server.py forked PORT    two pre-forked asyncio processes on one listening socket, each its own handler: no
                                     hop at all, and a handler that blocks or crashes takes its clients along
"""
import asyncio
import concurrent.futures
import os
import socket
import struct
import sys


def echo(message):
    return message


class Frames(asyncio.Protocol):
    """Cuts what comes into frames; `handle` gets each, with its length."""

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.buffer += data
        begin, size = 0, len(self.buffer)
        while size - begin >= 4:
            end = begin + 4 + struct.unpack_from("!I", self.buffer, begin)[0]
            if end > size:
                break
            self.handle(bytes(self.buffer[begin:end]))
            begin = end
        if begin:
            del self.buffer[:begin]
            self.batch_done()

    def batch_done(self):
        pass


class Pooled(Frames):
    def __init__(self, pool):
        self.pool = pool

    def handle(self, frame):
        asyncio.get_running_loop().run_in_executor(self.pool, echo, frame).add_done_callback(self.answer)

    def answer(self, future):
        if not self.transport.is_closing():
            self.transport.write(future.result())


class Inline(Frames):
    def __init__(self):
        self.answers = []

    def handle(self, frame):
        self.answers.append(echo(frame))

    def batch_done(self):
        self.transport.writelines(self.answers)
        self.answers.clear()


async def serve(protocol, listening):
    server = await asyncio.get_running_loop().create_server(protocol, sock=listening)
    await server.serve_forever()


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    listening = socket.create_server(("127.0.0.1", port), backlog=128)
    if kind == "pool":
        with concurrent.futures.ProcessPoolExecutor(2) as pool:
            asyncio.run(serve(lambda: Pooled(pool), listening))
    os.fork()
    asyncio.run(serve(Inline, listening))


main()
