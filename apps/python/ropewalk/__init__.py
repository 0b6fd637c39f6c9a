"""Handlers for Ropewalk, a message processing service, in Python.

A program that defines handlers and serves them is one that a worker keeps running::

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

from ._handlers import Context, Retry, handler, shutdown, startup
from ._serve import serve

__all__ = ["Context", "Retry", "handler", "serve", "shutdown", "startup"]
__version__ = "0.1.0"
