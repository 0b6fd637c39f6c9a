"""The binary frames of net/PROTOCOL.md: what is on the wire, and nothing of what it means.

All numbers are unsigned and big-endian; sizes are in bytes, times in milliseconds.
"""

from __future__ import annotations

import enum
import struct
from typing import Iterator, NamedTuple, Optional

VERSION = 1

_HEAD = struct.Struct(">IBBHQ")
HEAD_BYTES = _HEAD.size  # 16

_HEAD_REST = 12  # what a frame's length counts of its header


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


class Frame(NamedTuple):
    kind: int
    code: int
    id: int
    fields: bytes
    payload: bytes


def head(kind: int, code: int, id: int, payload_bytes: int, fields: bytes = b"") -> bytes:
    """The beginning of a frame, up to its payload.

    >>> head(Kind.REPLY, Code.OK, 1, 2).hex()
    '0000000e040000000000000000000001'
    """
    return _HEAD.pack(_HEAD_REST + len(fields) + payload_bytes, kind, code, len(fields), id) + fields


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


class Decoder:
    """Cuts what was received into frames.

    Small frames come many with one read; of a large one what has come is collected without being copied again each time.

    >>> d = Decoder()
    >>> list(d.feed(head(Kind.PING, 0, 7, 3) + b"ab")), [f.payload for f in d.feed(b"c")]
    ([], [b'abc'])
    """

    def __init__(self) -> None:
        self._have = bytearray()
        self._want = HEAD_BYTES  # so many, until there is something to look at

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now, of which ``data`` is the end. To be used up before the next call."""
        if self._have:
            self._have += data
            if len(self._have) < self._want:
                return
            data = bytes(self._have)
            self._have.clear()
        at = 0
        end = len(data)
        unpack = _HEAD.unpack_from
        while end - at >= HEAD_BYTES:
            length, kind, code, fields, id = unpack(data, at)
            frame_end = at + 4 + length
            if frame_end > end:
                self._want = 4 + length
                break
            begin = at + HEAD_BYTES
            yield Frame(kind, code, id, data[begin : begin + fields], data[begin + fields : frame_end])
            at = frame_end
        else:
            self._want = HEAD_BYTES
        if at < end:
            self._have += data[at:]
