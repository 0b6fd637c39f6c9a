"""Serves a handler that is a coroutine: many messages at a time, each a task."""

from __future__ import annotations

import asyncio
import functools
import inspect
import socket
from typing import Any, Callable, Optional, Sequence

from ._answers import answer_to, context_of, hello_ok, message_of, reply_of
from ._handlers import Handler
from ._protocol import Code, Decoder, Frame, Kind, Piece, head


class Coroutines(asyncio.BufferedProtocol):
    """Many messages at a time, each a task."""

    def __init__(self, channel: socket.socket, service: str, handler: Handler, decoder: Decoder, stops: Sequence[int]) -> None:
        self._channel = channel
        self._service = service
        self._stops = stops
        self._handler = handler
        self._decoder = decoder
        self._tasks: dict[int, asyncio.Task[bytes]] = {}
        self._unwanted: set[int] = set()  # ids of those that were taken back
        self._out: list[Piece] = []
        self._flush_expected = False
        self._transport: Optional[asyncio.Transport] = None
        self._over: Optional[asyncio.Future[None]] = None
        self._lost: Optional[asyncio.Future[None]] = None

    async def run(self, starts: list[Callable[[], Any]], ends: list[Callable[[], Any]]) -> None:
        loop = asyncio.get_running_loop()
        self._over, self._lost = loop.create_future(), loop.create_future()
        for number in self._stops:
            loop.add_signal_handler(number, self._end)
        for function in starts:
            await _call_either(function)
        self._channel.setblocking(False)
        await loop.create_connection(lambda: self, sock=self._channel)
        await self._over
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        await asyncio.sleep(0)  # their answers
        self._flush()
        for function in ends:
            await _call_either(function)
        if self._transport:
            self._transport.close()  # when all is written
        await self._lost

    def _end(self) -> None:
        if self._over and not self._over.done():
            self._over.set_result(None)

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._decoder.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        for frame in self._decoder.received(nbytes):
            self._take(frame)

    def eof_received(self) -> bool:
        self._end()
        return True  # what runs is still to be answered

    def connection_lost(self, exc: Optional[Exception]) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._end()
        if self._lost and not self._lost.done():
            self._lost.set_result(None)

    # -- frames

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.REQUEST and self._over and self._over.done():
            self._send(head(Kind.ERROR, Code.BUSY, frame.id, 0))  # not begun: another worker has it
        elif frame.kind == Kind.REQUEST:
            task = asyncio.get_running_loop().create_task(self._invoke(frame))
            self._tasks[frame.id] = task
            task.add_done_callback(functools.partial(self._on_done, frame.id))
        elif frame.kind == Kind.CANCEL:
            if frame.id in self._tasks:
                self._unwanted.add(frame.id)
                self._tasks[frame.id].cancel()
        elif frame.kind == Kind.HELLO:
            self._send(hello_ok(frame, self._handler))
        elif frame.kind == Kind.PING:
            self._send(head(Kind.PONG, Code.OK, frame.id, len(frame.payload)), frame.payload)

    async def _invoke(self, request: Frame) -> bytes:
        function: Callable[..., Any] = self._handler.function
        if self._handler.takes_context:
            return reply_of(await function(message_of(request), context_of(self._service, request)))
        return reply_of(await function(message_of(request)))

    # Here and not in the task: one that is cancelled before its first step never runs.
    def _on_done(self, id: int, task: asyncio.Task[bytes]) -> None:
        del self._tasks[id]
        unwanted = id in self._unwanted
        self._unwanted.discard(id)
        if task.cancelled() and unwanted:
            return self._send(head(Kind.ERROR, Code.CANCELLED, id, 0))
        error = asyncio.CancelledError("the handler cancelled itself") if task.cancelled() else task.exception()
        if error is None:
            reply = task.result()
            return self._send(head(Kind.REPLY, Code.OK, id, len(reply)), reply)
        code, why = answer_to(error)
        self._send(head(Kind.ERROR, code, id, len(why)), why)

    # All answers of a turn of the loop leave with one write.
    def _send(self, *pieces: Piece) -> None:
        self._out += pieces
        if not self._flush_expected:
            self._flush_expected = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_expected = False
        out, self._out = self._out, []
        if out and self._transport and not self._transport.is_closing():
            self._transport.write(b"".join(out))


async def _call_either(function: Callable[[], Any]) -> None:
    result = function()
    if inspect.isawaitable(result):
        await result
