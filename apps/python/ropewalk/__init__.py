"""Ropewalk, a message processing service, in Python: an executor, clients, and handlers.

:class:`Executor` stands in for ProcessPoolExecutor, :class:`Client` and :class:`AsyncClient` ask services, and a program that
defines handlers and serves them is one that a worker keeps running::

    import ropewalk

    @ropewalk.handler("upper")
    def upper(message: bytes) -> bytes:
        return message.upper()

    if __name__ == "__main__":
        ropewalk.serve()

    $ ropewalk worker --service 'upper=exec:python3 upper.py' --slots 4

Each process runs one message at a time, and dies, hangs or leaks without hurting anything but its own message. A handler
that is a coroutine runs many at a time in its process. What is printed is in the worker's log.

Needs Python 3.9 or newer and nothing else.
"""

from typing import TYPE_CHECKING, Any

from ._errors import (
    BadRequest,
    Busy,
    Cancelled,
    Closed,
    ConnectionLost,
    Draining,
    Failed,
    NoService,
    RopewalkError,
    Timeout,
    TooLarge,
    Unauthorized,
    WorkerLost,
)
from ._handlers import Context, Retry, handler, shutdown, startup
from ._serve import serve

if TYPE_CHECKING:
    from ._aio import AsyncClient
    from ._client import Client
    from ._executor import Executor
    from ._pickling import RemoteError, RemoteTraceback
    from ._private import StartFailed

# What handlers do not need is loaded when it is asked for: a process that starts often is to start fast.
_LATER = {
    "AsyncClient": "_aio",
    "Client": "_client",
    "Executor": "_executor",
    "RemoteError": "_pickling",
    "RemoteTraceback": "_pickling",
    "StartFailed": "_private",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'ropewalk' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"ropewalk.{_LATER[name]}"), name)


__all__ = [
    "AsyncClient",
    "BadRequest",
    "Busy",
    "Cancelled",
    "Client",
    "Closed",
    "ConnectionLost",
    "Context",
    "Draining",
    "Executor",
    "Failed",
    "NoService",
    "RemoteError",
    "RemoteTraceback",
    "Retry",
    "RopewalkError",
    "StartFailed",
    "Timeout",
    "TooLarge",
    "Unauthorized",
    "WorkerLost",
    "handler",
    "serve",
    "shutdown",
    "startup",
]
__version__ = "0.1.0"
