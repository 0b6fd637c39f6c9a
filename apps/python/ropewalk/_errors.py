"""What a request can come to besides a reply: one class for each error code of net/PROTOCOL.md, and two for what has none."""

from __future__ import annotations

from typing import Optional

from ._protocol import Code, Field, Frame, fields_of, number_of


class RopewalkError(Exception):
    """The answer to a request was an error, or there was none. Its text is the sentence that came with it.

    >>> try:
    ...     raise Busy("the queue is full", retry_after=0.25)
    ... except RopewalkError as error:
    ...     print(error, error.code.name, error.retry_after)
    the queue is full BUSY 0.25
    """

    #: The error's code; None for what no broker has said (:class:`ConnectionLost`).
    code: Optional[Code] = None

    def __init__(self, text: str = "", *, retry_after: Optional[float] = None) -> None:
        super().__init__(text)
        #: Seconds after which it is worth trying again; None where the broker did not say.
        self.retry_after = retry_after


class Failed(RopewalkError):
    """The handler ran and says that it failed: look at the message and the handler."""

    code = Code.FAILED


class Timeout(RopewalkError, TimeoutError):
    """The deadline passed: give more time, or add workers."""

    code = Code.TIMEOUT


class Busy(RopewalkError):
    """A limit is reached and the request was not started: send it again after :attr:`retry_after` seconds."""

    code = Code.BUSY


class NoService(RopewalkError):
    """No worker offers the service: check its name, or start a worker."""

    code = Code.NO_SERVICE


class TooLarge(RopewalkError):
    """The message, or the reply, is over the cap: split it, or raise ``--max-message-bytes``."""

    code = Code.TOO_LARGE


class WorkerLost(RopewalkError):
    """Every attempt's worker died. Look at the message: it may be what kills them."""

    code = Code.WORKER_LOST


class BadRequest(RopewalkError):
    """The request makes no sense to the broker."""

    code = Code.BAD_REQUEST


class Unauthorized(RopewalkError):
    """The broker does not know who asks, or does not let him ask for this service."""

    code = Code.UNAUTHORIZED


class Draining(RopewalkError):
    """The broker is going down and did not start the request; clients send it to another by themselves."""

    code = Code.DRAINING


class Cancelled(RopewalkError):
    """The client took the request back, or who runs the broker did: then the text says so."""

    code = Code.CANCELLED


class ConnectionLost(RopewalkError, ConnectionError):
    """The connection ended before the answer came, or none could be made. What was sent may have run, or may run on; with
    ``resend=True`` a client sends it again by itself.
    """


class Closed(RopewalkError):
    """The client was closed, or belongs to the process that this one was forked from."""


_CLASSES: dict[int, type[RopewalkError]] = {
    kind.code: kind
    for kind in (Failed, Timeout, Busy, NoService, TooLarge, WorkerLost, BadRequest, Unauthorized, Draining, Cancelled)
    if kind.code is not None
}


def error_of(frame: Frame) -> RopewalkError:
    """The exception that an ERROR frame stands for.

    >>> error_of(Frame(5, 6, 1, b"", b"killed by signal 11"))
    WorkerLost('killed by signal 11')
    """
    kind = _CLASSES.get(frame.code, RopewalkError)
    after = fields_of(frame.fields).get(Field.RETRY_AFTER) if frame.fields else None
    text = bytes(frame.payload).decode(errors="replace") or kind.__name__.lower()
    return kind(text, retry_after=None if after is None else number_of(after) / 1000)
