"""A call of an executor, and several that go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Sequence

from ._errors import Closed, ConnectionLost, WorkerLost, error_of
from ._futures import Cancellable
from ._pickling import RAISED, View, bundle_of, parts_of_bundle, result_of, run_time_of
from ._protocol import Frame, Kind, Piece

if TYPE_CHECKING:
    from ._pool import Pool


class Call(Cancellable):
    """The future of a call. :meth:`cancel` ends the call also while it runs, and nothing else."""

    kind = Kind.REQUEST

    def __init__(self, pool: Pool, fixed: bytes, expires: Optional[float], once: bool) -> None:
        super().__init__()
        self._pool = pool
        self.id = 0
        self.fixed = fixed
        self.pieces: Sequence[Piece] = ()
        self.size = 0
        self.expires = expires
        self.resend = not once
        self.unwanted = False
        self.sent = False
        self.give_up_at = 0.0
        #: Of its function, by which it is known how long it runs; None if the call is not to be sent with others.
        self.name: Optional[bytes] = None
        self.bundle: Optional[Bundle] = None

    def running(self) -> bool:
        """Whether it was sent to the cluster and has no result yet."""
        return self.sent and not self.done()

    def take_back(self) -> None:
        self._pool.cancel(self)

    def answered(self, frame: Frame) -> None:
        """For the engine."""
        if frame.kind == Kind.REPLY:
            self.take(frame.payload)
            self._pool.is_done(self)
        elif not self._pool.sends_again(self, error := error_of(frame)):
            self.failed(error)

    def take(self, payload: View) -> None:
        """Its result, as the worker wrote it."""
        if self.name is not None and payload[0] != RAISED:
            self._pool.note_run_time(self.name, run_time_of(payload))
        if not self.unwanted:
            value, error = result_of(payload)
            if error is not None and type(error).__name__ == "InitializerFailed":
                error = self._pool.on_initializer_failed(error)
            self.finish(value, error)

    def failed(self, error: BaseException) -> None:
        """For the engine."""
        if isinstance(error, ConnectionLost) and not self.resend and self.sent:
            error = WorkerLost(str(error))
        self.finish(None, error)
        self._pool.is_done(self)

    def finish(self, value: Any, error: Optional[BaseException] = None) -> None:
        """Its result, unless it is cancelled."""
        self.pieces = ()
        super().finish(value, error)


class Bundle:
    """Short calls that go together. If that does not go well, each goes alone."""

    kind = Kind.REQUEST
    expires: Optional[float] = None
    resend = False

    def __init__(self, pool: Pool, calls: list[Call]) -> None:
        self._pool = pool
        self.calls = calls
        self.id = 0
        self.fixed = pool.fixed_of_bundles
        payload = bundle_of([call.pieces[0] for call in calls])
        self.pieces: Sequence[Piece] = (payload,)
        self.size = len(payload)
        self.unwanted = False
        self.give_up_at = 0.0

    def done(self) -> bool:
        return all(call.done() for call in self.calls)

    def cancel(self) -> None:
        for call in self.calls:
            call.cancel()

    def answered(self, frame: Frame) -> None:
        """For the engine."""
        if frame.kind == Kind.REPLY:
            alone = []
            for call, result in zip(self.calls, parts_of_bundle(frame.payload)):
                call.bundle = None
                if result:
                    call.take(result)
                elif not call.done():
                    call.name = None  # it had not begun when it was late already
                    alone.append(call)
            self._pool.send_alone(alone)
            self._pool.is_done(self)
        elif not self._pool.sends_again(self, error := error_of(frame)):
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """For the engine."""
        for call in self.calls:
            call.bundle = None
            call.name = None
            call.fixed = self._pool.fixed_of_second_starts
        if isinstance(error, Closed) or self._pool.is_over:
            for call in self.calls:
                call.finish(None, error)
        else:
            self._pool.send_alone([call for call in self.calls if not call.done()])
        self._pool.is_done(self)
