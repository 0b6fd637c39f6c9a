"""What handlers that run one after the other and those that run side by side answer alike."""

from __future__ import annotations

import os
import time
import traceback
from typing import Any

from ._handlers import Context, Handler, Retry
from ._protocol import VERSION, Code, Field, Frame, Kind, field, fields_of, head, number_field, number_of


def reply_of(result: Any) -> bytes:
    """The bytes of what a handler returned."""
    if isinstance(result, bytes):
        return result
    if result is None:
        return b""
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, (bytearray, memoryview)):
        return bytes(result)
    raise TypeError(f"the handler returned a {type(result).__name__}; it may return bytes, str or None")


def _explain(error: BaseException) -> bytes:
    """For who sent the message: the last line of the traceback, and the place in the handler's own code."""
    last = "".join(traceback.format_exception_only(type(error), error)).strip()
    here = os.path.dirname(__file__)
    places = [f for f in traceback.extract_tb(error.__traceback__) if os.path.dirname(f.filename) != here]
    where = f" ({places[-1].filename}:{places[-1].lineno}, in {places[-1].name})" if places else ""
    return (last + where).encode(errors="replace")


def answer_to(error: BaseException) -> tuple[Code, bytes]:
    """Whatever the exception is like: there is an answer."""
    try:
        if isinstance(error, Retry):
            return Code.BUSY, str(error).encode(errors="replace")
        traceback.print_exception(type(error), error, error.__traceback__)
        return Code.FAILED, _explain(error)
    except Exception:  # its text cannot be made, or there is no stderr
        return Code.FAILED, type(error).__name__.encode(errors="replace")


def message_of(request: Frame) -> bytes:
    """A message as its handler gets it."""
    payload = request.payload
    return payload if isinstance(payload, bytes) else bytes(payload)


def context_of(service: str, request: Frame) -> Context:
    """What a handler that takes two arguments is given as the second."""
    fields = fields_of(request.fields)
    left = number_of(fields.get(Field.DEADLINE)) / 1000
    return Context(
        service,
        number_of(fields.get(Field.ATTEMPT), 1),
        time.monotonic() + left,
        fields.get(Field.KEY, b""),
        fields.get(Field.TRACE, b""),
        fields.get(Field.CLIENT, b"").decode(errors="replace"),
    )


def hello_ok(hello: Frame, handler: Handler) -> bytes:
    """The answer to a worker's HELLO."""
    fields = field(Field.VERSION, bytes((VERSION,))) + number_field(Field.CONCURRENCY, handler.concurrency)
    return head(Kind.HELLO_OK, Code.OK, hello.id, 0, fields)
