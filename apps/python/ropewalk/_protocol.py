"""The binary frames of net/PROTOCOL.md: what is on the wire, and nothing of what it means.

All numbers are unsigned and big-endian; sizes are in bytes, times in milliseconds.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple, Optional, Union

VERSION = 1

_HEAD = struct.Struct(">IBBHQ")
HEAD_BYTES = _HEAD.size  # 16

_HEAD_REST = 12  # what a frame's length counts of its header
_MAX_LENGTH = 0x20000000  # no frame's length is so high (its first byte would be one of text)
_LARGE_BYTES = 64 * 1024  # the length from which on a frame is read into memory of its own

# Memory of large frames that is used again: of so many, and up to this size each. To be given new memory costs more than what is
# read into it.
_KEPT = 2
_KEPT_BYTES = 8 * 1024 * 1024


class Kind(enum.IntEnum):
    HELLO = 1
    HELLO_OK = 2
    REQUEST = 3
    REPLY = 4
    ERROR = 5
    CANCEL = 6
    STATUS = 7
    PING = 8
    PONG = 9
    FORK = 10
    FORKED = 11


class Code(enum.IntEnum):
    OK = 0
    FAILED = 1
    TIMEOUT = 2
    BUSY = 3
    NO_SERVICE = 4
    TOO_LARGE = 5
    WORKER_LOST = 6
    BAD_REQUEST = 7
    UNAUTHORIZED = 8
    DRAINING = 9
    CANCELLED = 10


class Field(enum.IntEnum):
    VERSION = 1
    SERVICE = 2
    TOKEN = 3
    DEADLINE = 4
    ATTEMPTS = 5
    KEY = 6
    PRIORITY = 7
    TRACE = 8
    RETRY_AFTER = 9
    MAX_MESSAGE = 10
    CONCURRENCY = 11
    ATTEMPT = 12
    CLIENT = 13
    FORKS = 14
    PID = 15


#: What is sent, piece by piece.
Piece = Union[bytes, bytearray, memoryview]


class Frame(NamedTuple):
    kind: int
    code: int
    id: int
    fields: bytes
    payload: Union[bytes, memoryview]


def head(kind: int, code: int, id: int, payload_bytes: int, fields: bytes = b"") -> bytes:
    """The beginning of a frame, up to its payload.

    >>> head(Kind.REPLY, Code.OK, 1, 2).hex()
    '0000000e040000000000000000000001'
    """
    return _HEAD.pack(_HEAD_REST + len(fields) + payload_bytes, kind, code, len(fields), id) + fields


def head_of(data: bytes) -> tuple[int, int, int, int, int]:
    """Length, kind, code, fields size and id of a frame's first 16 bytes.

    >>> head_of(head(Kind.REPLY, Code.OK, 1, 2))
    (14, 4, 0, 0, 1)
    """
    length, kind, code, fields, id = _HEAD.unpack(data)
    return length, kind, code, fields, id


def field(type: int, value: bytes) -> bytes:
    """One optional field; its value has at most 255 bytes.

    >>> field(Field.SERVICE, b"up").hex()
    '02027570'
    """
    return bytes((type, len(value))) + value


def number_field(type: int, value: int) -> bytes:
    """A field that is a u32."""
    return field(type, value.to_bytes(4, "big"))


def fields_of(data: bytes) -> dict[int, bytes]:
    """Fields by their types; those that this version does not know are among them.

    >>> fields_of(field(Field.SERVICE, b"up") + number_field(Field.DEADLINE, 5))
    {2: b'up', 4: b'\\x00\\x00\\x00\\x05'}
    """
    result = {}
    at = 0
    while at + 2 <= len(data):
        size = data[at + 1]
        result[data[at]] = data[at + 2 : at + 2 + size]
        at += 2 + size
    return result


def number_of(value: Optional[bytes], default: int = 0) -> int:
    """The number that is a field's value."""
    return int.from_bytes(value, "big") if value else default


class ProtocolError(ValueError):
    """What was received is no frame of this protocol."""


class Decoder:
    """Cuts what was received into frames.

    What is read goes straight into :meth:`buffer`, and :meth:`received` says how much it was. Many small frames come with one
    read, and their payloads are bytes. A large frame (over 64 KiB) is read into memory of its own, which its payload is a
    writable memoryview of: it is not copied.

    >>> d = Decoder()
    >>> d.feed(head(Kind.PING, 0, 7, 3) + b"ab"), [f.payload for f in d.feed(b"c")]
    ([], [b'abc'])
    """

    def __init__(self, buffer_bytes: int = 256 * 1024) -> None:
        self._small = memoryview(bytearray(buffer_bytes))
        self._large: Optional[memoryview] = None  # the frame that is being read, if it is large
        self._have = 0  # bytes of one or the other
        self._kept: list[bytearray] = []

    def buffer(self) -> memoryview:
        """Where the next bytes go: never empty, and good until the next call of :meth:`received`."""
        return (self._small if self._large is None else self._large)[self._have :]

    def received(self, count: int) -> list[Frame]:
        """The frames that are whole now that ``count`` more bytes are in the buffer.

        :raises ProtocolError: where that is no frame; nothing that comes after it can be understood.
        """
        self._have += count
        if self._large is not None:
            return self._large_frame()
        data = bytes(self._small[: self._have])
        frames: list[Frame] = []
        at = 0
        end = self._have
        unpack = _HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            length, kind, code, fields, id = unpack(data, at)
            if length < _HEAD_REST + fields or length > _MAX_LENGTH:
                raise ProtocolError(f"a frame of kind {kind} says that it has {length} bytes, {fields} of them fields")
            frame_end = at + 4 + length
            if frame_end > end:
                if length > _LARGE_BYTES:
                    self._large = self._memory(4 + length)
                    self._have = end - at
                    self._large[: self._have] = data[at:]
                    return frames
                break
            begin = at + HEAD_BYTES + fields
            frames.append(Frame(kind, code, id, data[at + HEAD_BYTES : begin] if fields else b"", data[begin:frame_end]))
            at = frame_end
        self._have = end - at
        if at and self._have:
            self._small[: self._have] = data[at:]
        return frames

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole with ``data``, for who has not read into the buffer.

        :raises ProtocolError: as :meth:`received`.
        """
        frames = []
        rest = memoryview(data)
        while rest:
            buffer = self.buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            rest = rest[count:]
            frames += self.received(count)
        return frames

    def _memory(self, size: int) -> memoryview:
        for one in self._kept:
            if size <= len(one) <= 4 * size:
                try:
                    one.append(one.pop())  # BufferError: somebody has a view of it
                    return memoryview(one)[:size]
                except BufferError:
                    pass
        made = bytearray(size)
        if size <= _KEPT_BYTES:
            self._kept = [made, *self._kept[: _KEPT - 1]]
        return memoryview(made)

    def _large_frame(self) -> list[Frame]:
        assert self._large is not None
        if self._have < len(self._large):
            return []
        _, kind, code, fields, id = _HEAD.unpack_from(self._large)
        begin = HEAD_BYTES + fields
        frame = Frame(kind, code, id, bytes(self._large[HEAD_BYTES:begin]), self._large[begin:])
        self._large = None
        self._have = 0
        return [frame]
