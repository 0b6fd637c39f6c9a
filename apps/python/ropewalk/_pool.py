"""The calls of one executor: which wait here, which are on their way, and what is done when one of them is answered."""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import threading
import time
from typing import Optional, Union

from ._address import Address
from ._calls import Bundle, Call
from ._engine import Engine
from ._errors import Busy, Cancelled, Closed, NoService, RopewalkError
from ._private import PrivateCluster

# What is sent and has no answer, of all calls: enough to keep workers busy, little enough to hold in memory.
IN_FLIGHT_BYTES = 64 * 1024 * 1024

_BUSY_SECONDS = 0.05  # before a call is sent again that was not started, where the broker does not say
_NO_SERVICE_SECONDS = 10.0  # so long workers may be away: those of a broker that was started again join within seconds

# Calls of functions that have run for so short a time go many together, in one message, while calls wait: their way is longer
# than they are. (Seconds, of one and of all; bytes of one.)
_SHORT_SECONDS = 0.0005
_BUNDLE_SECONDS = 0.002
_BUNDLE_CALLS = 64
_LONG_MICROSECONDS = 20_000
BUNDLED_BYTES = 4096

# After so long one of a bundle hangs, or all slots are taken by longer calls: each is to go its own way.
_BUNDLE_WAITS_SECONDS = 1.0

# One of a bundle is cancelled: the others are to come to their end, if they do, before its process is ended.
_BUNDLE_GRACE_SECONDS = 0.02


class Pool:
    """What an executor is, without its face: it goes on until its calls are done when that is thrown away."""

    def __init__(self, in_flight: int, slots: Optional[int]) -> None:
        self.lock = threading.Lock()
        self.idle = threading.Condition(self.lock)
        self._limit = in_flight
        self._slots = slots  # how many of those that were sent can be running; None: not known
        self._waiting: collections.deque[Call] = collections.deque()
        self._run_times: dict[bytes, float] = {}  # of functions, in seconds, of late
        self._sent: dict[Union[Call, Bundle], None] = {}  # in the order in which they were
        self._sent_bytes = 0
        self._engine: Optional[Engine] = None
        self._private: Optional[PrivateCluster] = None
        self._starting = False
        #: The fields of bundles, which are started once, and of calls that were in one that was not well.
        self.fixed_of_bundles = self.fixed_of_second_starts = b""
        #: Why nothing more is taken.
        self.refusal: Optional[BaseException] = None
        self._ended = False
        self._end_done = threading.Event()

    def connect(self, address: Address) -> None:
        """Calls go there from now on."""
        engine = Engine(address, "ropewalk-executor")
        with self.lock:
            self._engine = engine
        self._fill()

    def start_private(self, cluster: PrivateCluster) -> None:
        """Calls go to a cluster that is started once the first one is there."""
        self._private = cluster

    def submit(self, call: Call) -> None:
        """Sends it, or keeps it until others are done.

        :raises RuntimeError: after :meth:`shutdown`.
        """
        with self.lock:
            if self.refusal is not None:
                raise self.refusal
            if self._engine is not None and self._has_room() and not self._waiting:
                self._send(call)
                return
            self._waiting.append(call)
            if self._engine is None and not self._starting:
                self._starting = True
                threading.Thread(target=self._start, name="ropewalk-executor-start", daemon=True).start()

    def _start(self) -> None:
        try:
            assert self._private
            self.connect(self._private.start())
        except BaseException as error:
            with self.lock:
                self.refusal = self.refusal or error
                failed = list(self._waiting)
                self._waiting.clear()
                self.idle.notify_all()
            for call in failed:
                call.finish(None, error)

    def _has_room(self) -> bool:
        return len(self._sent) < self._limit and self._sent_bytes < IN_FLIGHT_BYTES

    def _send(self, call: Union[Call, Bundle]) -> None:
        assert self._engine
        if isinstance(call, Call):
            call.sent = True
        self._sent[call] = None
        self._sent_bytes += call.size
        try:
            self._engine.send(call)
        except Closed:
            del self._sent[call]
            self._sent_bytes -= call.size
            raise

    def _fill(self) -> None:
        with self.lock:
            self._fill_locked()

    def _fill_locked(self) -> None:
        while self._waiting and self._engine is not None and self._has_room():
            call = self._waiting.popleft()
            if call.done():
                continue
            if call.name is not None and self._is_short(call.name):
                self._send_bundle(call)
            else:
                self._send(call)

    def _is_short(self, name: bytes) -> bool:
        return self._run_times.get(name, 1.0) < _SHORT_SECONDS

    def note_run_time(self, name: bytes, microseconds: int) -> None:
        """So long a function ran. Several have to be short before it counts as short; one that is long counts at once."""
        now = microseconds / 1e6 if microseconds < _LONG_MICROSECONDS else float("inf")  # never again, then
        before = self._run_times.get(name)
        if before == float("inf"):
            return
        if before is None:
            if len(self._run_times) > 1000:
                self._run_times.clear()
            before = 0.004
        self._run_times[name] = max(now, before + (now - before) * 0.25)

    # As many as are short, and leave something for other slots.
    def _send_bundle(self, first: Call) -> None:
        calls = [first]
        assert first.name is not None
        seconds = self._run_times[first.name]
        most = min(_BUNDLE_CALLS, len(self._waiting) // (self._slots or 8) + 1)
        while self._waiting and len(calls) < most:
            call = self._waiting[0]
            if call.done():
                self._waiting.popleft()
                continue
            if call.name is None or not self._is_short(call.name) or seconds > _BUNDLE_SECONDS:
                break
            seconds += self._run_times[call.name]
            calls.append(self._waiting.popleft())
        if len(calls) == 1:
            return self._send(first)
        bundle = Bundle(self, calls)
        for call in calls:
            call.bundle = bundle
            call.sent = True
        self._send(bundle)
        assert self._engine
        self._engine.call_later(_BUNDLE_WAITS_SECONDS, functools.partial(self._engine.cancel, bundle))

    def send_alone(self, calls: list[Call]) -> None:
        """Those of a bundle of which one was not well; they are the first of those that wait."""
        with self.lock:
            self._waiting.extendleft(reversed(calls))

    @property
    def is_over(self) -> bool:
        return self._ended

    def is_done(self, call: Union[Call, Bundle]) -> None:
        """It has its answer."""
        over = False
        with self.lock:
            if call in self._sent:
                del self._sent[call]
                self._sent_bytes -= call.size
            if self._waiting:
                try:
                    self._fill_locked()
                except Closed:
                    pass
            if not self._sent and not self._waiting:
                self.idle.notify_all()
                over = self.refusal is not None
        if over:
            self._end_in_background()

    def sends_again(self, call: Union[Call, Bundle], error: RopewalkError) -> bool:
        """What was not started, for want of room or of workers, is sent again: the caller knows nothing of that."""
        if call.unwanted or self._engine is None:
            return False
        now = time.monotonic()
        if isinstance(error, NoService):
            call.give_up_at = call.give_up_at or now + _NO_SERVICE_SECONDS
            if now > call.give_up_at:
                return False
        elif not isinstance(error, Busy):
            return False
        after = error.retry_after or _BUSY_SECONDS
        if call.expires is not None and now + after > call.expires:
            return False
        self._engine.call_later(after, lambda: self._again(call))
        return True

    def _again(self, call: Union[Call, Bundle]) -> None:
        if call.unwanted:
            return self.is_done(call)
        try:
            assert self._engine
            self._engine.send(call)
        except Closed as error:
            call.failed(error)

    def cancel(self, call: Call) -> None:
        """It is cancelled, and is to be ended wherever it is."""
        call.unwanted = True
        with self.lock:
            engine, bundle = self._engine, call.bundle
        if engine is None or not call.sent:
            return
        if bundle is None:
            engine.cancel(call)
        else:
            engine.call_later(_BUNDLE_GRACE_SECONDS, functools.partial(engine.cancel, bundle))

    def on_initializer_failed(self, error: BaseException) -> BaseException:
        """No call will ever run."""
        broken = concurrent.futures.BrokenExecutor(str(error))
        broken.__cause__ = error.__cause__
        with self.lock:
            self.refusal = broken
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            call.finish(None, broken)
        return broken

    def cancel_waiting(self) -> None:
        """Cancels what has not begun: all that was not sent, and of what was, all but as many of the oldest as can run."""
        with self.lock:
            waiting = list(self._waiting)
            self._waiting.clear()
            sent = [call for call in self._sent if not call.done()]
        for call in waiting:
            call.cancel()
        for one in sent[self._slots :] if self._slots is not None else ():
            one.cancel()

    def cancel_all(self) -> None:
        """Cancels whatever is not done."""
        with self.lock:
            calls: list[Union[Call, Bundle]] = [*self._waiting, *self._sent]
            self._waiting.clear()
        for call in calls:
            call.cancel()

    def shutdown(self, wait: bool) -> None:
        """Takes nothing more, and ends when all is done."""
        with self.lock:
            if self.refusal is None:
                self.refusal = RuntimeError("cannot schedule new futures after shutdown")
            over = not self._sent and not self._waiting
            if not over and wait:
                while self._sent or self._waiting:
                    self.idle.wait()
                over = True
        if over and wait:
            self.end()
        elif over:
            self._end_in_background()

    def _end_in_background(self) -> None:
        if self._ended:
            return
        try:
            threading.Thread(target=self.end, name="ropewalk-executor-end").start()
        except RuntimeError:  # the interpreter comes to its end
            self.end(now=True)

    def end(self, now: bool = False) -> None:
        """Closes the connection and ends a private cluster."""
        with self.lock:
            first, self._ended = not self._ended, True
        if not first:
            self._end_done.wait()
            return
        try:
            if self._engine is not None:
                self._engine.close(Cancelled("the executor was shut down"))
            if self._private is not None:
                self._private.stop(now)
        finally:
            self._end_done.set()

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)


