"""A client for programs with threads."""

from __future__ import annotations

import concurrent.futures
import json
import time
import weakref
from types import TracebackType
from typing import Any, Optional, Sequence, Union

from ._address import DEFAULT_URL, address_of
from ._connection import options_of
from ._engine import Engine
from ._errors import RopewalkError, Timeout, error_of
from ._futures import Cancellable
from ._protocol import Frame, Kind, Piece

#: Seconds that a request waits for its answer, unless it says otherwise.
DEFAULT_TIMEOUT = 30.0

Payload = Union[bytes, bytearray, memoryview, str]


def payload_of(data: Payload) -> tuple[Sequence[Piece], int]:
    """The pieces of a message and how many bytes they have."""
    if isinstance(data, str):
        data = data.encode()
    elif isinstance(data, memoryview):
        data = data.cast("B")
    return (data,), len(data)


class Reply(Cancellable):
    """What will be the answer to a request: a :class:`concurrent.futures.Future` of bytes.

    Its :meth:`cancel` takes the request back also while it runs.
    """

    def __init__(
        self, engine: Engine, fixed: bytes, pieces: Sequence[Piece], size: int, expires: Optional[float], resend: bool
    ) -> None:
        super().__init__()
        self._engine = engine
        self.id = 0
        self.fixed = fixed
        self.pieces = pieces
        self.size = size
        self.expires = expires
        self.resend = resend
        self.unwanted = False
        self.kind = Kind.REQUEST

    def take_back(self) -> None:
        self._engine.cancel(self)

    def answered(self, frame: Frame) -> None:
        """For the engine."""
        if frame.kind == Kind.ERROR:
            return self.failed(error_of(frame))
        payload = frame.payload
        self.pieces = ()
        self.finish(payload if isinstance(payload, bytes) else bytes(payload))

    def failed(self, error: BaseException) -> None:
        """For the engine."""
        self.pieces = ()
        self.finish(None, error)


class Client:
    """Sends messages to the services of a cluster, from any thread.

    One connection carries all that its threads ask; answers come in whatever order they are ready. When the connection ends,
    the next broker of the URL is tried, then the first again, ever later (up to 5 s). Make one client and keep it. It belongs
    to the process that made it: in a forked one it raises :class:`Closed`.

    :param url: ``ropewalk://token@host:7070,host2:7070``, or ``ropewalks://`` for TLS.
    :param credentials: ``token`` (who this is, if the broker asks), or better ``token_file``; for TLS ``ca``, the authority of
        the broker's certificate (a PEM file; the system's, unless said), and ``cert`` and ``key``, the client's own.
    :param timeout: how long a request waits for its answer unless it says otherwise, in seconds.
    :param max_in_flight: requests without an answer; :meth:`submit` waits while there are more.
    :param max_unsent: bytes that wait to be written; :meth:`submit` waits while there are more.
    :raises ValueError: if the URL is none.

    >>> with Client("ropewalk://localhost:7070") as client:              # doctest: +SKIP
    ...     client.request("upper", b"many hands")
    b'MANY HANDS'
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        max_in_flight: int = 10_000,
        max_unsent: int = 64 * 1024 * 1024,
        **credentials: Any,
    ) -> None:
        self._engine = Engine(address_of(url, **credentials), "ropewalk-client")
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._max_unsent = max_unsent
        self._fixed: dict[Any, bytes] = {}
        self._close = weakref.finalize(self, self._engine.close)
        self._close.atexit = False  # the engine sees to that

    def request(self, service: str, payload: Payload = b"", **options: Any) -> bytes:
        """Sends a message and waits for its answer; the options are those of :meth:`submit`.

        :raises RopewalkError: one of its classes for each kind of answer that is no reply: :class:`Failed`,
            :class:`Timeout`, :class:`Busy`, ...
        """
        reply = self.submit(service, payload, **options)
        # The broker answers in time; the rest is for its answer's way, and for a broker that is gone.
        wait = None if reply.expires is None else max(0.0, reply.expires - time.monotonic()) + 1
        try:
            answer: bytes = reply.result(wait)
            return answer
        except concurrent.futures.TimeoutError as error:
            if isinstance(error, RopewalkError):
                raise
            reply.cancel()
            raise Timeout("neither answer nor error came from the broker in time") from None
        except KeyboardInterrupt:
            reply.cancel()
            raise

    def submit(
        self,
        service: str,
        payload: Payload = b"",
        *,
        timeout: Optional[float] = None,
        attempts: Optional[int] = None,
        priority: str = "normal",
        key: Optional[bytes] = None,
        resend: bool = False,
    ) -> Reply:
        """Sends a message; returns the future of its answer. Waits only while too much is in flight or unsent.

        The payload is not copied if it is larger than 16 KiB: leave a bytearray alone until the answer is there.

        :param timeout: how long the answer is worth waiting for, in seconds; the client's own, unless said.
        :param attempts: how often it may be started if workers die of it; 1 is at most once. The broker's default is 3.
        :param priority: ``low``, ``normal`` or ``high``.
        :param key: messages for a service with the same key, of 1 to 255 bytes, run one after the other.
        :param resend: send it again if the connection ended without an answer. It may then run twice.
        :raises Closed: if the client is.
        :raises Timeout: if it could not be sent in time.
        """
        fixed = self._fixed_fields(service, attempts, priority, key)
        pieces, size = payload_of(payload)
        expires = time.monotonic() + (self._timeout if timeout is None else timeout)
        reply = Reply(self._engine, fixed, pieces, size, expires, resend)
        room = self._engine.room
        with room:
            if self._is_full():
                self._wait_for_room(expires)
            self._engine.send_locked(reply)
        return reply

    def status(self, timeout: float = 5.0) -> Any:
        """What the broker says of itself, its nodes and services, as ``ropewalk status --json`` shows it."""
        reply = Reply(self._engine, b"", (), 0, time.monotonic() + timeout, True)
        reply.kind = Kind.STATUS
        self._engine.send(reply)
        return json.loads(reply.result(timeout))

    def close(self) -> None:
        """Ends the connection. What is in flight is cancelled, and fails with :class:`Closed`."""
        self._close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def _fixed_fields(self, service: str, attempts: Optional[int], priority: str, key: Optional[bytes]) -> bytes:
        if key is not None:
            return options_of(service, attempts, priority, key)
        about = (service, attempts, priority)
        fixed = self._fixed.get(about)
        if fixed is None:
            if len(self._fixed) > 1000:
                self._fixed.clear()
            fixed = self._fixed[about] = options_of(service, attempts, priority)
        return fixed

    def _is_full(self) -> bool:
        requests, unsent = self._engine.load()
        return requests >= self._max_in_flight or unsent >= self._max_unsent

    def _wait_for_room(self, expires: float) -> None:
        engine = self._engine
        engine.waiters += 1
        try:
            while self._is_full() and not engine.closed:
                left = expires - time.monotonic()
                if left <= 0:
                    raise Timeout("too much was in flight to send it in time")
                engine.room.wait(left)
        finally:
            engine.waiters -= 1
