"""Serves a program's handlers over the channel that a worker has given it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, Callable, Optional

from . import _handlers
from ._handlers import Context, Handler, Retry
from ._protocol import VERSION, Code, Decoder, Field, Frame, Kind, field, fields_of, head, number_field, number_of

_READ_BYTES = 256 * 1024

# The signals that end a handler.
_STOPS = (signal.SIGTERM, signal.SIGINT)

# Replies of a function that takes several messages at a time wait so long for others at most.
_HOLD_SECONDS = 0.001

# A reply up to this size is put behind the others, for one write; a larger one is not copied.
_COPIED_BYTES = 16 * 1024


def serve() -> None:
    """Answers messages with this program's handler until the worker says that there are no more, then returns.

    To be called by the main thread of a program that `ropewalk worker --service 'NAME=exec:python3 PROGRAM'` has started;
    otherwise it says so and exits with status 2. SIGTERM and SIGINT end it after the message that it is running.
    """
    fd = os.environ.get("ROPEWALK_FD")
    if fd is None:
        sys.exit(
            "ropewalk.serve: this program is to be started by a worker, which gives it its messages:\n"
            f"    ropewalk worker --service 'NAME=exec:python3 {sys.argv[0]}'"
        )
    # What a handler starts has nothing to do with the channel.
    channel = socket.socket(fileno=int(fd))
    channel.set_inheritable(False)
    # Nor has a process that it forks: signals are its own, and what is sent is not.
    # (Blocked meanwhile, so that none comes to the child while it has the parent's handlers.)
    os.register_at_fork(
        before=lambda: _mask(signal.SIG_BLOCK),
        after_in_parent=lambda: _mask(signal.SIG_UNBLOCK),
        after_in_child=lambda: _leave_to_parent(channel),
    )
    _print_by_lines()
    service = os.environ.get("ROPEWALK_SERVICE", "")
    try:
        handler = _handlers.find(service)
    except LookupError as none:
        sys.exit(f"ropewalk.serve: {none}")
    starts, ends = _handlers.hooks()
    if handler.is_coroutine:
        asyncio.run(_Coroutines(channel, service, handler).run(starts, ends))
    else:
        _Functions(channel, service, handler).run(starts, ends)


def _mask(how: int) -> None:
    signal.pthread_sigmask(how, _STOPS)


def _leave_to_parent(channel: socket.socket) -> None:
    signal.set_wakeup_fd(-1)
    for number in _STOPS:
        signal.signal(number, signal.SIG_DFL)
    os.close(channel.detach())
    _mask(signal.SIG_UNBLOCK)


def _print_by_lines() -> None:
    """What was printed before a crash is to be in the log."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _reply_of(result: Any) -> bytes:
    if isinstance(result, bytes):
        return result
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result)
    raise TypeError(f"the handler returned a {type(result).__name__}; it may return bytes, str or None")


def _explain(error: BaseException) -> bytes:
    """For who sent the message: the last line of the traceback, and the place in the handler's own code."""
    last = "".join(traceback.format_exception_only(type(error), error)).strip()
    here = os.path.dirname(__file__)
    places = [f for f in traceback.extract_tb(error.__traceback__) if os.path.dirname(f.filename) != here]
    where = f" ({places[-1].filename}:{places[-1].lineno}, in {places[-1].name})" if places else ""
    return (last + where).encode(errors="replace")


def _answer_to(error: BaseException) -> tuple[Code, bytes]:
    """Whatever the exception is like: there is an answer."""
    try:
        if isinstance(error, Retry):
            return Code.BUSY, str(error).encode(errors="replace")
        traceback.print_exception(type(error), error, error.__traceback__)
        return Code.FAILED, _explain(error)
    except Exception:  # its text cannot be made, or there is no stderr
        return Code.FAILED, type(error).__name__.encode(errors="replace")


def _context(service: str, request: Frame) -> Context:
    fields = fields_of(request.fields)
    left = number_of(fields.get(Field.DEADLINE)) / 1000
    return Context(
        service,
        number_of(fields.get(Field.ATTEMPT), 1),
        time.monotonic() + left,
        fields.get(Field.KEY, b""),
        fields.get(Field.TRACE, b""),
        fields.get(Field.CLIENT, b"").decode(errors="replace"),
    )


def _hello_ok(hello: Frame, handler: Handler) -> bytes:
    fields = field(Field.VERSION, bytes((VERSION,))) + number_field(Field.CONCURRENCY, handler.concurrency)
    return head(Kind.HELLO_OK, Code.OK, hello.id, 0, fields)


class _Functions:
    """One message after the other, on the main thread."""

    def __init__(self, channel: socket.socket, service: str, handler: Handler) -> None:
        self._channel = channel
        self._service = service
        self._handler = handler
        self._ending = False
        self._out: list[bytes] = []
        self._flushed_at = 0.0

    def run(self, starts: list[Callable[[], Any]], ends: list[Callable[[], Any]]) -> None:
        # A signal is noticed between two messages: it makes the socket readable, and what runs comes to its end.
        wake_up, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in _STOPS:
            signal.signal(number, self._on_signal)
        for function in starts:
            _call(function)
        try:
            self._work(wake_up)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the worker is gone
        for function in ends:
            _call(function)

    def _on_signal(self, *_: Any) -> None:
        self._ending = True

    def _work(self, wake_up: socket.socket) -> None:
        decoder = Decoder()
        waiting = select.poll()
        for source in (self._channel, wake_up):
            waiting.register(source, select.POLLIN)
        while True:
            # Most of the time there is something, and asking for it costs less than asking whether there is.
            try:
                data = self._channel.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._ending:  # and what had come was given back
                    return
                waiting.poll()
                continue
            if not data:
                return
            for frame in decoder.feed(data):
                self._take(frame)
            self._flush()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.REQUEST:
            if self._ending:  # not begun: another worker has it
                self._out.append(head(Kind.ERROR, Code.BUSY, frame.id, 0))
                return
            self._out += self._answer(frame)
            # What took long is not to wait for those behind it.
            now = time.monotonic()
            if now - self._flushed_at > _HOLD_SECONDS or self._handler.concurrency == 1:
                self._flush()
                self._flushed_at = now
        elif frame.kind == Kind.HELLO:
            self._out.append(_hello_ok(frame, self._handler))
        elif frame.kind == Kind.PING:
            self._out += (head(Kind.PONG, Code.OK, frame.id, len(frame.payload)), frame.payload)
        # CANCEL: what it takes back has been answered, since the next frame is looked at only then.

    def _answer(self, request: Frame) -> tuple[bytes, bytes]:
        function: Callable[..., Any] = self._handler.function
        try:
            if self._handler.takes_context:
                reply = _reply_of(function(request.payload, _context(self._service, request)))
            else:
                reply = _reply_of(function(request.payload))
        except Exception as error:  # SystemExit and KeyboardInterrupt end the process, as anywhere
            code, reply = _answer_to(error)
            return head(Kind.ERROR, code, request.id, len(reply)), reply
        return head(Kind.REPLY, Code.OK, request.id, len(reply)), reply

    def _flush(self) -> None:
        out, self._out = self._out, []
        small: list[bytes] = []
        for piece in out:
            if len(piece) <= _COPIED_BYTES:
                small.append(piece)
                continue
            self._channel.sendall(b"".join(small))
            small.clear()
            self._channel.sendall(piece)
        if small:
            self._channel.sendall(b"".join(small))


def _call(function: Callable[[], Any]) -> None:
    result = function()
    if inspect.isawaitable(result):
        raise TypeError(f"{function.__name__} is a coroutine function, and this program's handler is none: make it a plain one")


class _Coroutines(asyncio.Protocol):
    """Many messages at a time, each a task."""

    def __init__(self, channel: socket.socket, service: str, handler: Handler) -> None:
        self._channel = channel
        self._service = service
        self._handler = handler
        self._decoder = Decoder()
        self._tasks: dict[int, asyncio.Task[bytes]] = {}
        self._unwanted: set[int] = set()  # ids of those that were taken back
        self._out: list[bytes] = []
        self._flush_expected = False
        self._transport: Optional[asyncio.Transport] = None
        self._over: Optional[asyncio.Future[None]] = None
        self._lost: Optional[asyncio.Future[None]] = None

    async def run(self, starts: list[Callable[[], Any]], ends: list[Callable[[], Any]]) -> None:
        loop = asyncio.get_running_loop()
        self._over, self._lost = loop.create_future(), loop.create_future()
        for number in _STOPS:
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

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
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
            self._send(_hello_ok(frame, self._handler))
        elif frame.kind == Kind.PING:
            self._send(head(Kind.PONG, Code.OK, frame.id, len(frame.payload)), frame.payload)

    async def _invoke(self, request: Frame) -> bytes:
        function: Callable[..., Any] = self._handler.function
        if self._handler.takes_context:
            return _reply_of(await function(request.payload, _context(self._service, request)))
        return _reply_of(await function(request.payload))

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
        code, why = _answer_to(error)
        self._send(head(Kind.ERROR, code, id, len(why)), why)

    # All answers of a turn of the loop leave with one write.
    def _send(self, *pieces: bytes) -> None:
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
