"""Serves a program's handlers over the channel that a worker has given it."""

from __future__ import annotations

import functools
import inspect
import io
import os
import select
import signal
import socket
import sys
import time
from typing import Any, Callable, NamedTuple

from . import _handlers
from ._answers import answer_to, context_of, hello_ok, message_of, reply_of
from ._handlers import Handler
from ._protocol import Code, Decoder, Frame, Kind, Piece, head

# The signals that end a handler.
_STOPS = (signal.SIGTERM, signal.SIGINT)

# Replies of a function that takes several messages at a time wait so long for others at most.
_HOLD_SECONDS = 0.001

# A reply up to this size is put behind the others, for one write; a larger one is not copied.
_COPIED_BYTES = 16 * 1024


def serve(*, preload: bool = False) -> None:
    """Answers messages with this program's handler until the worker says that there are no more, then returns.

    To be called by the main thread of a program that `ropewalk worker --service 'NAME=exec:python3 PROGRAM'` has started;
    otherwise it says so and exits with status 2. SIGTERM and SIGINT end it after the message that it is running.

    :param preload: the program is started once, and each process of the service is forked from it here: they share the memory
        of what was loaded before, and a new one costs a millisecond. What is each process's own (connections, threads, a
        random generator's state) is for :func:`startup`. No other thread may run by now. A process that was forked ends
        with its last message; this function returns only in the program itself.
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
    _print_by_lines()
    service = os.environ.get("ROPEWALK_SERVICE", "")
    try:
        handler = _handlers.find(service)
    except LookupError as none:
        sys.exit(f"ropewalk.serve: {none}")
    program = _Program(service, handler, Decoder())
    if preload:
        _serve_forked(channel, program)
    else:
        _serve(channel, program)


class _Program(NamedTuple):
    """What is there before a process is, if processes are forked."""

    service: str
    handler: Handler
    decoder: Decoder  # whose buffer costs as much as all the rest of a fork


def _serve_forked(channel: socket.socket, program: _Program) -> None:
    from ._preload import ForkServer, run_to_the_end

    if program.handler.is_coroutine:
        from . import _coroutines  # noqa: F401  (once, and not in each process)
    server = ForkServer(channel)
    if not server.is_wanted():
        return _serve(channel, program)
    own = server.run()
    if own:
        run_to_the_end(functools.partial(_serve, own, program))


def _serve(channel: socket.socket, program: _Program) -> None:
    # Nor has a process that it forks: signals are its own, and what is sent is not.
    # (Blocked meanwhile, so that none comes to the child while it has the parent's handlers.)
    os.register_at_fork(
        before=lambda: _mask(signal.SIG_BLOCK),
        after_in_parent=lambda: _mask(signal.SIG_UNBLOCK),
        after_in_child=lambda: _leave_to_parent(channel),
    )
    starts, ends = _handlers.hooks()
    if program.handler.is_coroutine:
        # Only here: they take longer to import than all the rest.
        import asyncio

        from ._coroutines import Coroutines

        asyncio.run(Coroutines(channel, program.service, program.handler, program.decoder, _STOPS).run(starts, ends))
    else:
        _Functions(channel, program).run(starts, ends)


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


class _Functions:
    """One message after the other, on the main thread."""

    def __init__(self, channel: socket.socket, program: _Program) -> None:
        self._channel = channel
        self._service, self._handler, self._decoder = program
        self._ending = False
        self._out: list[Piece] = []
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
        decoder = self._decoder
        waiting = select.poll()
        for source in (self._channel, wake_up):
            waiting.register(source, select.POLLIN)
        while True:
            # Most of the time there is something, and asking for it costs less than asking whether there is.
            try:
                count = self._channel.recv_into(decoder.buffer(), 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._ending:  # and what had come was given back
                    return
                waiting.poll()
                continue
            if not count:
                return
            for frame in decoder.received(count):
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
            self._out.append(hello_ok(frame, self._handler))
        elif frame.kind == Kind.PING:
            self._out += (head(Kind.PONG, Code.OK, frame.id, len(frame.payload)), frame.payload)
        # CANCEL: what it takes back has been answered, since the next frame is looked at only then.

    def _answer(self, request: Frame) -> list[Piece]:
        function: Callable[..., Any] = self._handler.function
        try:
            if self._handler.raw:
                pieces: list[Piece] = function(request.payload)
                return [head(Kind.REPLY, Code.OK, request.id, sum(map(len, pieces))), *pieces]
            if self._handler.takes_context:
                reply = reply_of(function(message_of(request), context_of(self._service, request)))
            else:
                reply = reply_of(function(message_of(request)))
        except Exception as error:  # SystemExit and KeyboardInterrupt end the process, as anywhere
            code, reply = answer_to(error)
            return [head(Kind.ERROR, code, request.id, len(reply)), reply]
        return [head(Kind.REPLY, Code.OK, request.id, len(reply)), reply]

    def _flush(self) -> None:
        out, self._out = self._out, []
        small: list[Piece] = []
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
