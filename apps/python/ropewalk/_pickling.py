"""How calls and their results are written: pickle protocol 5, with large buffers behind the pickle and not in it.

A call is a head (flags, and the sizes of what follows), the initializer if there is one, the function, its arguments, and
buffers. Sizes are in bytes.
"""

from __future__ import annotations

import importlib
import pickle
import struct
import traceback
import types
from typing import Any, Callable, Optional, Sequence, Union

from ._errors import RopewalkError
from ._protocol import Piece

_CALL = struct.Struct(">BIIIH")  # flags; bytes of initializer, function and arguments; number of buffers
_BUFFER = struct.Struct(">I")
_COUNT = struct.Struct(">BI")

#: The function is named and not written out: it is the same every time.
BY_NAME = 1

#: The arguments are those by position and those by keyword, and not the former alone.
KEYWORDS = 2

#: Bytes from which on an argument or result of bytes goes out of band.
LARGE_BYTES = 32 * 1024

#: A call that is several: their number and sizes, and then each.
BUNDLE = 4

# What a result begins with: its kind, and how long the call ran, in microseconds.
_RESULT = struct.Struct(">BI")
RESULT_BYTES = _RESULT.size
PICKLED, RAW, WITH_BUFFERS, RAISED, BUNDLED = 0, 1, 2, 3, 4

View = Union[bytes, memoryview]


class RemoteError(RopewalkError):
    """The call raised what cannot be brought here, or returned what cannot: its text is what is known of it."""


class RemoteTraceback(Exception):
    """The ``__cause__`` of an exception that a call raised: the traceback in its worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class _Large:
    """Bytes that are not copied into the pickle, and arrive as what they were."""

    __slots__ = ("data",)

    def __init__(self, data: Union[bytes, bytearray]) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self.data), (pickle.PickleBuffer(self.data),)


def _outside(value: Any) -> Any:
    kind = type(value)
    return _Large(value) if (kind is bytes or kind is bytearray) and len(value) >= LARGE_BYTES else value


class Pickler:
    """Pickles calls. Where functions cannot be found by their names in a worker, cloudpickle writes them out, if it is there.

    :param main_is_known: workers can import the program that runs here.
    """

    def __init__(self, main_is_known: bool, initializer: Optional[Callable[..., Any]], initargs: tuple[Any, ...]) -> None:
        self._main_is_known = main_is_known
        self._named: dict[Any, bytes] = {}
        self._initializer = b""
        if initializer is not None:
            self._initializer = self._dumps((initializer, initargs), None)

    def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Sequence[Piece], int, Optional[bytes]]:
        """The pieces of a call, the bytes of all of them, and the function's name if it goes by that.

        :raises Exception: whatever pickle raises, if it cannot be pickled.
        """
        flags = 0
        blob = None
        if type(function) in (types.FunctionType, types.BuiltinFunctionType, type):
            blob = self._named.get(function)
            if blob is None:
                blob = self._name(function)
            flags = BY_NAME
        if blob is None:
            flags = 0
            blob = self._dumps(function, None)
        for value in args:
            if type(value) in (bytes, bytearray) and len(value) >= LARGE_BYTES:
                args = tuple(map(_outside, args))
                break
        if kwargs:
            flags |= KEYWORDS
        buffers: list[pickle.PickleBuffer] = []
        about = self._dumps((args, kwargs) if kwargs else args, buffers.append)
        first = _CALL.pack(flags, len(self._initializer), len(blob), len(about), len(buffers))
        if not buffers:
            whole = first + self._initializer + blob + about
            return (whole,), len(whole), blob if flags & BY_NAME else None
        views = [buffer.raw() for buffer in buffers]
        sizes = b"".join([_BUFFER.pack(len(view)) for view in views])
        whole = first + self._initializer + blob + about + sizes
        return (whole, *views), len(whole) + sum(map(len, views)), None

    # By name, if the worker will find the same under it.
    def _name(self, function: Any) -> Optional[bytes]:
        if function.__module__ == "__main__" and not self._main_is_known and _cloudpickle() is not None:
            return None
        try:
            blob = pickle.dumps(function, 5)
        except Exception:
            return None
        if len(self._named) > 1000:
            self._named.clear()
        self._named[function] = blob
        return blob

    def _dumps(self, what: Any, callback: Optional[Callable[[pickle.PickleBuffer], Any]]) -> bytes:
        cloudpickle = None if self._main_is_known else _cloudpickle()
        if cloudpickle is None:
            try:
                return pickle.dumps(what, 5, buffer_callback=callback)
            except Exception:
                cloudpickle = _cloudpickle()
                if cloudpickle is None:
                    raise
        done: bytes = cloudpickle.dumps(what, 5, buffer_callback=callback)
        return done


def _cloudpickle() -> Any:
    global _found
    if _found is _UNKNOWN:
        try:
            _found = importlib.import_module("cloudpickle")
        except ImportError:
            _found = None
    return _found


_UNKNOWN = object()
_found: Any = _UNKNOWN


def parts_of(payload: View) -> tuple[int, View, View, View, list[View]]:
    """A call's flags, initializer, function, arguments and buffers."""
    flags, initializer, function, arguments, count = _CALL.unpack_from(payload)
    a = _CALL.size
    b = a + initializer
    c = b + function
    d = c + arguments
    buffers: list[View] = []
    if count:
        at = d + count * _BUFFER.size
        for (size,) in _BUFFER.iter_unpack(payload[d:at]):
            buffers.append(payload[at : at + size])
            at += size
    return flags, payload[a:b], payload[b:c], payload[c:d], buffers


def result_pieces(result: Any, microseconds: int = 0) -> list[Piece]:
    """What a call's result is written as.

    :raises Exception: whatever pickle raises, if it cannot be pickled.
    """
    if type(result) is bytes:
        return [_RESULT.pack(RAW, microseconds), result]
    if type(result) is bytearray:
        result = _outside(result)
    buffers: list[pickle.PickleBuffer] = []
    try:
        about = pickle.dumps(result, 5, buffer_callback=buffers.append)
    except Exception:
        cloudpickle = _cloudpickle()
        if cloudpickle is None:
            raise
        buffers.clear()
        about = cloudpickle.dumps(result, 5, buffer_callback=buffers.append)
    if not buffers:
        return [_RESULT.pack(PICKLED, microseconds), about]
    views = [buffer.raw() for buffer in buffers]
    first = _RESULT.pack(WITH_BUFFERS, microseconds) + _CALL.pack(0, 0, 0, len(about), len(views))
    return [first, about, *[_BUFFER.pack(len(v)) for v in views], *views]


def raised_pieces(error: BaseException) -> list[Piece]:
    """What an exception is written as; whatever it is like."""
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:
        text = type(error).__name__
    said = text.encode(errors="replace")
    try:
        about = pickle.dumps(error, 5)
    except Exception:
        about = b""
    return [_RESULT.pack(RAISED, 0xFFFFFFFF), _BUFFER.pack(len(said)), said, about]


def bundle_of(calls: Sequence[Piece]) -> bytes:
    """Several calls, of one piece each, as one.

    >>> parts_of_bundle(bundle_of([b"a", b"bc"]))
    [b'a', b'bc']
    """
    return b"".join([_COUNT.pack(BUNDLE, len(calls)), *[_BUFFER.pack(len(call)) for call in calls], *calls])


def parts_of_bundle(payload: View) -> list[View]:
    """The calls, or results, of a bundle."""
    _, count = _COUNT.unpack_from(payload)
    at = _COUNT.size + count * _BUFFER.size
    parts = []
    for (size,) in _BUFFER.iter_unpack(payload[_COUNT.size : at]):
        parts.append(payload[at : at + size])
        at += size
    return parts


def run_time_of(payload: View) -> int:
    """How long the call ran, in microseconds; the highest number if that is not known."""
    time: int = _RESULT.unpack_from(payload)[1]
    return time


def result_of(payload: View) -> tuple[Any, Optional[BaseException]]:
    """A call's result, or what it raised."""
    kind = payload[0]
    if kind == RAW:
        return bytes(payload[RESULT_BYTES:]), None
    try:
        if kind == PICKLED:
            return pickle.loads(payload[RESULT_BYTES:]), None
        if kind == WITH_BUFFERS:
            _, _, _, about, buffers = parts_of(payload[RESULT_BYTES:])
            return pickle.loads(about, buffers=buffers), None
    except Exception as error:
        wrapped = RemoteError(f"what the call returned cannot be loaded here: {type(error).__name__}: {error}")
        wrapped.__cause__ = error
        return None, wrapped
    (size,) = _BUFFER.unpack_from(payload, RESULT_BYTES)
    at = RESULT_BYTES + _BUFFER.size
    text = bytes(payload[at : at + size]).decode(errors="replace")
    raised: BaseException
    try:
        raised = pickle.loads(payload[at + size :])
        if not isinstance(raised, BaseException):
            raise TypeError("no exception")
    except Exception:
        lines = text.strip().splitlines()
        raised = RemoteError(lines[-1] if lines else "an exception")
    raised.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    return None, raised
