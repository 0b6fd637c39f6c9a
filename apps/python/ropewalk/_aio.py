"""A client for programs with an event loop."""

from __future__ import annotations

import asyncio
import collections
import json
from types import TracebackType
from typing import Any, Optional

from ._address import DEFAULT_URL, Address, Backoff, address_of, check_role
from ._client import DEFAULT_TIMEOUT, Payload, payload_of
from ._connection import Connection, options_of
from ._errors import Closed, ConnectionLost, RopewalkError, Timeout, Unauthorized, error_of
from ._protocol import Code, Frame, Kind, ProtocolError
from ._sockets import CONNECT_SECONDS, keep_alive


class _Request:
    """What is asked, and the future of its answer."""

    def __init__(self, answer: "asyncio.Future[Frame]", fixed: bytes, expires: float, resend: bool) -> None:
        self.answer = answer
        self.id = 0
        self.kind = Kind.REQUEST
        self.fixed = fixed
        self.expires: Optional[float] = expires
        self.resend = resend
        self.pieces: Any = ()
        self.size = 0
        self.unwanted = False


class _Channel(asyncio.BufferedProtocol):
    """A connection over an asyncio transport."""

    def __init__(self, client: "AsyncClient", address: Address) -> None:
        self.connection: Connection[_Request] = Connection(address.token)
        self._client = client
        self._transport: Optional[asyncio.Transport] = None
        self._flush_expected = False
        self.paused = False
        self.why: Optional[RopewalkError] = None

    # -- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.connection.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            events = self.connection.received(nbytes)
        except ProtocolError as error:
            self.why = ConnectionLost(str(error))
            return self.close()
        for request, frame in events:
            if request is None:
                self.why = error_of(frame)
                self.close()
            else:
                self._client._on_answer(request, frame)
        if self.connection.max_message:
            self._client._on_hello()
        if self.connection.draining:
            self._client._on_draining(self)
        self.flush_soon()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._client._wake_waiters()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._client._on_lost(self, self.why or exc)

    # -- writing: what a turn of the loop brings leaves together

    def flush_soon(self) -> None:
        if not self._flush_expected and self.connection.unsent_bytes:
            self._flush_expected = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        self._flush_expected = False
        if self._transport is None or self._transport.is_closing():
            return
        for piece in self.connection.take_out():
            self._transport.write(piece)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class AsyncClient:
    """Sends messages to the services of a cluster, from the coroutines of one event loop.

    As :class:`Client`, whose options it has, with ``await``. A task that is cancelled takes its request back.

    >>> async def ask() -> list[bytes]:
    ...     async with AsyncClient("ropewalk://localhost:7070") as client:
    ...         return await asyncio.gather(*[client.request("upper", word) for word in (b"many", b"hands")])
    >>> asyncio.run(ask())                                                           # doctest: +SKIP
    [b'MANY', b'HANDS']
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        max_in_flight: int = 10_000,
        **credentials: Any,
    ) -> None:
        self._address = address_of(url, **credentials)
        self._timeout = timeout
        self._max_in_flight = max_in_flight
        self._open = 0  # requests that have no answer
        self._backoff = Backoff(len(self._address.brokers))
        self._channel: Optional[_Channel] = None  # where requests go
        self._channels: set[_Channel] = set()  # and those that only have answers to come
        self._waiting: collections.deque[_Request] = collections.deque()  # for a connection
        self._room: collections.deque[asyncio.Future[None]] = collections.deque()
        self._connector: Optional[asyncio.Task[None]] = None
        self._last_error: Optional[BaseException] = None
        self._closed = False

    async def request(
        self,
        service: str,
        payload: Payload = b"",
        *,
        timeout: Optional[float] = None,
        resend: bool = False,
        **options: Any,
    ) -> bytes:
        """Sends a message and waits for its answer; the options are those of :meth:`Client.submit`, ``attempts``, ``priority``
        and ``key`` among them. It waits, too, while too much is in flight, or the connection takes no more.

        :raises RopewalkError: one of its classes for each kind of answer that is no reply.
        """
        loop = asyncio.get_running_loop()
        expires = loop.time() + (self._timeout if timeout is None else timeout)
        request = _Request(loop.create_future(), options_of(service, **options), expires, resend)
        request.pieces, request.size = payload_of(payload)
        frame = await self._ask(request)
        return frame.payload if isinstance(frame.payload, bytes) else bytes(frame.payload)

    async def status(self, timeout: float = 5.0) -> Any:
        """What the broker says of itself, its nodes and services."""
        loop = asyncio.get_running_loop()
        request = _Request(loop.create_future(), b"", loop.time() + timeout, True)
        request.kind = Kind.STATUS
        return json.loads(bytes((await self._ask(request)).payload))

    async def aclose(self) -> None:
        """Ends the connection. What is in flight is cancelled, and fails with :class:`Closed`."""
        self._closed = True
        if self._connector is not None:
            self._connector.cancel()
        for channel in list(self._channels):
            for request in list(channel.connection.in_flight.values()):
                channel.connection.cancel(request)
            channel.why = Closed("the client was closed")
            channel.flush()
            channel.close()
        self._fail_waiting(Closed("the client was closed"))
        self._wake_waiters()
        while self._channels:
            await asyncio.sleep(0)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    # -- one request

    async def _ask(self, request: _Request) -> Frame:
        loop = asyncio.get_running_loop()
        assert request.expires is not None
        while not self._closed and (self._open >= self._max_in_flight or (self._channel is not None and self._channel.paused)):
            await self._wait_for_room(request.expires - loop.time())
        if self._closed:
            raise Closed("the client was closed")
        self._open += 1
        # The broker answers in time; the rest is for its answer's way, and for a broker that is gone.
        backstop = loop.call_later(request.expires - loop.time() + 1, self._give_up, request)
        try:
            self._send(request)
            frame = await request.answer
        except asyncio.CancelledError:
            self._take_back(request)
            raise
        finally:
            backstop.cancel()
            self._open -= 1
            self._wake_waiters(1)
        if frame.kind == Kind.ERROR:
            raise error_of(frame)
        return frame

    def _send(self, request: _Request) -> None:
        if self._channel is None:
            self._waiting.append(request)
            if self._connector is None:
                self._connector = asyncio.get_running_loop().create_task(self._connect())
            return
        self._channel.connection.request(request, asyncio.get_running_loop().time())
        self._channel.flush_soon()

    def _take_back(self, request: _Request) -> None:
        request.unwanted = True
        for channel in self._channels:
            if channel.connection.cancel(request):
                channel.flush_soon()

    def _give_up(self, request: _Request) -> None:
        self._take_back(request)
        reason = self._last_error if self._channel is None else None
        self._fail(request, Timeout(f"no broker could be reached in time: {reason}" if reason else "no answer came in time"))

    async def _wait_for_room(self, seconds: float) -> None:
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room.append(room)
        try:
            await asyncio.wait_for(room, max(seconds, 0))
        except asyncio.TimeoutError:
            raise Timeout("too much was in flight to send it in time") from None
        except asyncio.CancelledError:
            if room.done():
                self._wake_waiters(1)
            raise

    def _wake_waiters(self, count: int = 1_000_000) -> None:
        while self._room and count:
            room = self._room.popleft()
            if not room.done():
                room.set_result(None)
                count -= 1

    @staticmethod
    def _fail(request: _Request, error: BaseException) -> None:
        if not request.answer.done():
            request.answer.set_exception(error)

    def _fail_waiting(self, error: BaseException) -> None:
        while self._waiting:
            self._fail(self._waiting.popleft(), error)

    # -- what connections say

    def _on_answer(self, request: _Request, frame: Frame) -> None:
        if frame.kind == Kind.ERROR and frame.code == Code.DRAINING and not request.unwanted:
            self._channel = None
            self._send(request)  # it was not started
        elif not request.answer.done():
            request.answer.set_result(frame)

    def _on_hello(self) -> None:
        self._backoff.succeeded()

    def _on_draining(self, channel: _Channel) -> None:
        if self._channel is channel:
            self._channel = None
        if not channel.connection.in_flight:
            channel.close()

    def _on_lost(self, channel: _Channel, why: Optional[BaseException]) -> None:
        self._channels.discard(channel)
        if self._channel is channel:
            self._channel = None
        if isinstance(why, Unauthorized):
            self._fail_waiting(why)
        error = why if isinstance(why, RopewalkError) else None
        for request in channel.connection.give_up():
            if request.answer.done():
                continue
            if request.resend and not isinstance(why, (Closed, Unauthorized)):
                self._send(request)
            else:
                text = f"the connection to the broker ended, and what it was sent may have run: {why or 'the broker closed it'}"
                self._fail(request, error or ConnectionLost(text))

    # -- getting a connection

    async def _connect(self) -> None:
        try:
            while not self._closed and any(not request.answer.done() for request in self._waiting):
                number, delay = self._backoff.next()
                await asyncio.sleep(delay)
                try:
                    channel = await asyncio.wait_for(self._try(number), CONNECT_SECONDS)
                except (OSError, asyncio.TimeoutError) as error:
                    self._last_error = error
                    last = self._backoff.failures % len(self._address.brokers) == 0
                    # What is wrong with certificates is so in a second, too.
                    if last and (type(error).__name__.startswith("SSL") or type(error) is ConnectionError):
                        self._fail_waiting(ConnectionLost(f"no broker can be used: {error}"))
                    continue
                self._channel = channel
                self._channels.add(channel)
                break
        finally:
            self._connector = None
        waiting, self._waiting = self._waiting, collections.deque()
        for request in waiting:
            if not request.answer.done():
                self._send(request)

    async def _try(self, number: int) -> _Channel:
        host, port = self._address.brokers[number]
        loop = asyncio.get_running_loop()
        tls = self._address.tls
        transport, channel = await loop.create_connection(
            lambda: _Channel(self, self._address), host, port, ssl=tls, server_hostname=host if tls else None
        )
        keep_alive(transport.get_extra_info("socket"))
        if tls is not None:
            try:
                check_role(transport.get_extra_info("peercert") or {})
            except ConnectionError:
                transport.close()
                raise
        return channel
