"""What a program says about its handlers, before it serves them."""

from __future__ import annotations

import dataclasses
import inspect
import time
from typing import Any, Awaitable, Callable, Optional, TypeVar, Union

Result = Union[bytes, bytearray, memoryview, str, None]
Function = Callable[..., Union[Result, Awaitable[Result]]]
F = TypeVar("F", bound=Function)
G = TypeVar("G", bound=Callable[[], Any])

#: How many messages a coroutine runs at a time, unless its handler says otherwise.
DEFAULT_CONCURRENCY = 100


class Retry(Exception):
    """Raised by a handler that cannot take the message now: it is given to another worker, and nobody is charged with an
    attempt. What was done so far should be as good as nothing.
    """


@dataclasses.dataclass(frozen=True)
class Context:
    """What is known of a message besides its bytes: the second argument of a handler that takes two."""

    service: str
    #: Which start of the message this is. Above 1, an earlier one ended with a lost worker, and may have had effects.
    attempt: int
    #: When the answer is of no use any more, on the clock of :func:`time.monotonic`, in seconds.
    deadline: float
    #: The ordering key that the client gave, if any: no other message with the same one runs at the same time.
    key: bytes = b""
    #: The trace context that the client gave, as it is, if any.
    trace: bytes = b""
    #: Who sent it, where the broker asks who its clients are.
    client: str = ""

    @property
    def time_left(self) -> float:
        """Seconds until the deadline; below 0 when it is over."""
        return self.deadline - time.monotonic()


@dataclasses.dataclass(frozen=True)
class Handler:
    """A function and how it is to be run."""

    function: Function
    concurrency: int
    is_coroutine: bool
    takes_context: bool
    #: Is given the payload as it came, bytes or a writable memoryview, and returns the pieces of its reply.
    raw: bool = False


_handlers: dict[str, Handler] = {}
_startup: list[Callable[[], Any]] = []
_shutdown: list[Callable[[], Any]] = []


def handler(service: str = "", *, concurrency: Optional[int] = None) -> Callable[[F], F]:
    """Makes a function, or a coroutine function, the handler of a service.

    It is called with the message, as bytes, and if it wants a second argument with its :class:`Context`. What it returns is
    the reply: bytes, or a text (UTF-8), or None for an empty reply. What it raises is the answer FAILED: its last line and
    where it was raised; the traceback goes to the worker's log. :class:`Retry` gives the message to another worker.

    :param service: the name with which clients ask for it. Empty: whatever service the worker runs this program for.
    :param concurrency: how many messages a process takes at a time, at least 1. A coroutine runs them side by side (100,
        unless said); its task is cancelled when its message is, or when its time is over. A function runs them one after
        the other (1, unless said): more than one means only that the next ones are here already when one is done, which
        is faster for very short ones; if the process dies then, it is not known of which.

    >>> @handler("reverse")
    ... def reverse(message: bytes) -> bytes:
    ...     return message[::-1]
    >>> reverse(b"abc")
    b'cba'
    """
    if concurrency is not None and concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, and is {concurrency}")

    def register(function: F) -> F:
        if service in _handlers:
            name = f"service '{service}'" if service else "whatever service it runs for"
            raise ValueError(f"this program has two handlers for {name}")
        is_coroutine = inspect.iscoroutinefunction(function)
        default = DEFAULT_CONCURRENCY if is_coroutine else 1
        arguments = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        if not arguments:
            raise TypeError(f"{function.__name__}() takes no argument; a handler is called with the message")
        # What has a default is not asked for: functions are handlers as they are (zlib.compress).
        takes_context = len(arguments) > 1 and arguments[1].default is inspect.Parameter.empty
        _handlers[service] = Handler(function, concurrency or default, is_coroutine, takes_context)
        return function

    return register


def serve_raw(function: Callable[[Any], Any]) -> None:
    """Makes a function the handler that is given payloads as they came, and returns the pieces of its reply."""
    _handlers[""] = Handler(function, 1, False, False, raw=True)


def startup(function: G) -> G:
    """Has a function, or a coroutine function, called once a process before its first message: to load a model, to connect
    to a database. The process is offered no message before it has returned. What it raises ends the process; the worker
    says so and tries again.
    """
    _startup.append(function)
    return function


def shutdown(function: G) -> G:
    """Has a function, or a coroutine function, called when the process ends in an orderly way: when the worker drains, or
    replaces it.
    """
    _shutdown.append(function)
    return function


def find(service: str) -> Handler:
    """The handler for a service; :class:`LookupError`, with a sentence for people, if there is none."""
    found = _handlers.get(service) or _handlers.get("")
    if found:
        return found
    names = ", ".join(f"'{name}'" for name in _handlers) or "none"
    raise LookupError(f"this program has no handler for service '{service}'; it has: {names}")


def hooks() -> tuple[list[Callable[[], Any]], list[Callable[[], Any]]]:
    """What is to be called at the start and at the end, in that order (the latter backwards)."""
    return list(_startup), list(reversed(_shutdown))
