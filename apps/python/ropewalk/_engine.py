"""A thread that keeps a connection to one of several brokers, and what any thread may ask of it."""

from __future__ import annotations

import atexit
import collections
import heapq
import os
import select
import socket
import threading
import time
import weakref
from typing import Callable, Optional, Protocol

from ._address import Address, Backoff
from ._connection import Asked, Connection, Event
from ._errors import Cancelled, Closed, ConnectionLost, RopewalkError, Timeout, Unauthorized, error_of
from ._protocol import Code, Frame, ProtocolError
from ._sockets import Link, connect

# Requests leave with the thread that makes them once there are so many, or sooner if little is in flight: the engine's thread
# would have to get the interpreter's lock first.
_REQUESTS_A_WRITE = 32

# How long requests wait for a broker while none can be reached, in seconds.
UNREACHABLE_SECONDS = 30.0

_SWEEP_SECONDS = 0.05  # how often those that wait are looked at, while there are any


class Job(Asked, Protocol):
    """A request, and who is to hear of its answer. Both methods are called by the engine's thread, once in all."""

    #: To be sent again when its connection ended without an answer: it may run twice.
    resend: bool

    def answered(self, frame: Frame) -> None: ...

    def failed(self, error: BaseException) -> None: ...


_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


class Engine:
    """Sends jobs and hears of their answers, whatever happens to brokers meanwhile."""

    def __init__(self, address: Address, name: str = "ropewalk") -> None:
        self._address = address
        self._name = name
        self._lock = threading.Lock()
        #: Notified when something was written or answered, while somebody waits for that (``waiters``).
        self.room = threading.Condition(self._lock)
        self.waiters = 0
        self._link: Optional[Link[Job]] = None  # where requests go
        self._links: list[Link[Job]] = []  # and those that only have answers to come
        self._waiting: collections.deque[Job] = collections.deque()  # for a connection
        self._backoff = Backoff(len(address.brokers))
        self._connecting = False
        self._last_error: Optional[BaseException] = None
        self._unreachable_since: Optional[float] = None
        self._closed: Optional[RopewalkError] = None
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._later_count = 0
        self._stop = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._woken = False
        self._wake_up, self._waker = os.pipe()
        for fd in (self._wake_up, self._waker):
            os.set_blocking(fd, False)
        _engines.add(self)

    # -- for every thread

    def send(self, job: Job) -> None:
        """Sends it now, or once there is a connection; never waits.

        :raises Closed: if the engine is.
        """
        with self._lock:
            self.send_locked(job)

    def send_locked(self, job: Job) -> None:
        """The same for who holds the lock of ``room``."""
        if self._closed:
            raise self._closed
        link = self._link
        if link is None or self._waiting:  # none overtakes those that have waited for the connection
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._wake()
            return
        connection = link.connection
        connection.request(job, time.monotonic() if job.expires is not None else 0.0)
        unsent = connection.unsent_requests
        if (unsent >= _REQUESTS_A_WRITE or unsent * 4 > len(connection.in_flight)) and not link.is_tls:
            try:
                link.flush()
            except OSError:
                pass  # the engine's thread finds that out, too
        if link.unsent_bytes:
            self._wake()

    def cancel(self, job: Job) -> None:
        """Nobody wants its answer; it may still come."""
        with self._lock:
            job.unwanted = True
            for link in self._links:
                if link.connection.cancel(job):
                    if not link.is_tls:
                        try:
                            link.flush()
                        except OSError:
                            pass
                    self._wake()
                    return

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Has it called by the engine's thread; not any more once that has ended."""
        with self._lock:
            self._later_count += 1
            heapq.heappush(self._later, (time.monotonic() + seconds, self._later_count, function))
            self._wake()

    @property
    def closed(self) -> bool:
        return self._closed is not None

    def load(self) -> tuple[int, int]:
        """Requests without an answer, and bytes that are to be written. For who holds the lock."""
        requests, unsent = len(self._waiting), 0
        for link in self._links:
            requests += len(link.connection.in_flight)
            unsent += link.unsent_bytes
        return requests, unsent

    def close(self, error: Optional[RopewalkError] = None) -> None:
        """Ends the connection, whatever is in flight: that is cancelled, and fails with the error. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = error or Closed("the client was closed")
            self._stop.set()
            thread = self._thread
            self.room.notify_all()
            if thread is None:
                if self._waker >= 0:
                    os.close(self._waker)
                    os.close(self._wake_up)
                    self._waker = self._wake_up = -1
                return
            self._woken = False
            self._wake()
        if thread is not threading.current_thread():
            thread.join(5)

    def _wake(self) -> None:
        if not self._woken and self._waker >= 0:
            self._woken = True
            try:
                os.write(self._waker, b"x")
            except BlockingIOError:
                pass

    def forked(self) -> None:
        """In the child: the connection is the parent's."""
        self._lock = threading.Lock()
        self.room = threading.Condition(self._lock)
        self._closed = Closed(f"this belongs to the process that process {os.getpid()} was forked from: make one of its own here")
        self._thread = None
        for link in self._links:
            try:
                os.close(link.socket.detach())
            except OSError:
                pass
        self._links = []
        self._link = None
        for fd in (self._waker, self._wake_up):
            if fd >= 0:
                os.close(fd)
        self._waker = self._wake_up = -1

    # -- the engine's own thread

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_up, select.POLLIN)
        watched: dict[int, int] = {}
        while self._closed is None:
            finish = self._turn(poll, watched)
            for what in finish:
                what()
        self._end()

    def _turn(self, poll: "select.poll", watched: dict[int, int]) -> list[Callable[[], None]]:
        finish: list[Callable[[], None]] = []
        with self._lock:
            want: dict[int, int] = {}
            for link in list(self._links):
                try:
                    done = link.flush()
                except OSError as error:
                    self._lost(link, error, finish)
                    continue
                if link is not self._link and not link.connection.in_flight:
                    self._drop(link)
                    continue
                want[link.socket.fileno()] = select.POLLIN if done else select.POLLIN | select.POLLOUT
            self._notify()
            timeout = self._look_after_waiting(finish)
            if self._later:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    finish.append(heapq.heappop(self._later)[2])
                if self._later:
                    left = (self._later[0][0] - now) * 1000 + 1
                    timeout = left if timeout is None else min(timeout, left)
        if finish:
            return finish
        for fd in set(watched) - set(want):
            poll.unregister(fd)
            del watched[fd]
        for fd, events in want.items():
            if watched.get(fd) != events:
                poll.register(fd, events)
                watched[fd] = events
        ready = poll.poll(timeout)
        for fd, _ in ready:
            if fd == self._wake_up:
                os.read(self._wake_up, 64)
                self._woken = False
        for link in list(self._links):
            if any(fd == link.socket.fileno() for fd, _ in ready):
                self._read(link)
        return finish

    def _read(self, link: Link[Job]) -> None:
        finish: list[Callable[[], None]] = []
        while True:
            try:
                count = link.read()
                if count == 0:
                    break
                if count < 0:
                    raise ConnectionResetError("the broker closed the connection")
                with self._lock:
                    events = link.connection.received(count)
                    if link.connection.draining and self._link is link:
                        self._link = None
            except (OSError, ProtocolError) as error:
                with self._lock:
                    self._lost(link, error, finish)
                break
            if not events:
                if not link.is_tls and link.connection.max_message:
                    continue  # a large frame goes on
                self._on_hello(link)
                continue
            self._answers(link, events)
            if not link.is_tls:
                break
        for what in finish:
            what()

    def _on_hello(self, link: Link[Job]) -> None:
        if link.connection.max_message:
            self._backoff.succeeded()

    def _answers(self, link: Link[Job], events: list[Event]) -> None:
        for job, frame in events:
            if job is None:
                finish: list[Callable[[], None]] = []
                with self._lock:
                    self._lost(link, error_of(frame), finish)
                for what in finish:
                    what()
            elif frame.code == Code.DRAINING and not job.unwanted:
                with self._lock:
                    self._waiting.append(job)  # it was not started
            else:
                job.answered(frame)
        if link.connection.max_message:
            self._backoff.succeeded()

    def _notify(self) -> None:
        if self.waiters:
            self.room.notify_all()

    def _drop(self, link: Link[Job]) -> None:
        self._links.remove(link)
        if self._link is link:
            self._link = None
        link.socket.close()

    def _lost(self, link: Link[Job], error: BaseException, finish: list[Callable[[], None]]) -> None:
        if link not in self._links:
            return
        self._drop(link)
        rest = link.connection.give_up()
        if isinstance(error, Unauthorized):
            self._fail_waiting(error, finish)
        again: list[Job] = []
        for job in rest:
            if job.unwanted:
                finish.append(_failing(job, Cancelled("cancelled")))
            elif job.resend and not isinstance(error, Unauthorized):
                again.append(job)
            elif isinstance(error, RopewalkError):
                finish.append(_failing(job, error))
            else:
                finish.append(_failing(job, ConnectionLost(f"the connection to the broker ended, and what it was sent may have run: {error}")))
        self._waiting.extendleft(reversed(again))

    def _fail_waiting(self, error: RopewalkError, finish: list[Callable[[], None]]) -> None:
        while self._waiting:
            finish.append(_failing(self._waiting.popleft(), error))

    # Returns the time to wait for what happens, in milliseconds.
    def _look_after_waiting(self, finish: list[Callable[[], None]]) -> Optional[float]:
        if not self._waiting:
            return None
        now = time.monotonic()
        if self._link is not None:
            while self._waiting:
                job = self._waiting.popleft()
                if job.unwanted:
                    finish.append(_failing(job, Cancelled("cancelled")))
                else:
                    self._link.connection.request(job, now)
            return 0
        if not self._connecting:
            self._connecting = True
            number, delay = self._backoff.next()
            threading.Thread(target=self._connect, args=(number, delay), name=f"{self._name}-connect", daemon=True).start()
        if self._unreachable_since is None:
            self._unreachable_since = now
        if now - self._unreachable_since > UNREACHABLE_SECONDS:
            self._unreachable_since = None
            self._fail_waiting(self._unreachable(), finish)
        for job in [job for job in self._waiting if job.unwanted or (job.expires is not None and job.expires < now)]:
            self._waiting.remove(job)
            reason = f"no broker could be reached in time: {self._last_error}" if self._last_error else "no connection yet"
            finish.append(_failing(job, Cancelled("cancelled") if job.unwanted else Timeout(reason)))
        return _SWEEP_SECONDS * 1000

    def _unreachable(self) -> ConnectionLost:
        where = ", ".join(f"{host}:{port}" for host, port in self._address.brokers)
        return ConnectionLost(f"no broker can be reached at {where}: {self._last_error}")

    # A thread of its own: looking up a name, and shaking hands, may take a while.
    def _connect(self, number: int, delay: float) -> None:
        made: Optional[socket.socket] = None
        problem: Optional[BaseException] = None
        if not self._stop.wait(delay):
            try:
                made = connect(self._address, number)
            except Exception as error:  # OSError mostly; whatever it is, it is to be said
                problem = error
        finish: list[Callable[[], None]] = []
        with self._lock:
            self._connecting = False
            if made is not None and (self._closed or self._link is not None):
                made.close()
            elif made is not None:
                self._unreachable_since = None
                self._link = Link(made, Connection(self._address.token), self._address.tls is not None)
                self._links.append(self._link)
            elif problem is not None:
                self._last_error = problem
                # What is wrong with certificates is so in a second, too.
                last = self._backoff.failures % len(self._address.brokers) == 0
                if last and (type(problem).__name__.startswith("SSL") or type(problem) is ConnectionError):
                    self._fail_waiting(self._unreachable(), finish)
            if not self._closed:
                self._wake()
        for what in finish:
            what()

    def _end(self) -> None:
        finish: list[Callable[[], None]] = []
        with self._lock:
            assert self._closed
            for link in list(self._links):
                for job in list(link.connection.in_flight.values()):
                    link.connection.cancel(job)
                try:
                    link.flush()
                except OSError:
                    pass
                self._lost(link, self._closed, finish)
            self._fail_waiting(self._closed, finish)
            for fd in (self._waker, self._wake_up):
                os.close(fd)
            self._waker = self._wake_up = -1
            self._thread = None
            self._notify()
        for what in finish:
            what()


def _failing(job: Job, error: BaseException) -> Callable[[], None]:
    return lambda: job.failed(error)


def _close_all() -> None:
    for engine in list(_engines):
        engine.close(Closed("the interpreter ends"))


def _forked() -> None:
    for engine in list(_engines):
        engine.forked()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forked)
