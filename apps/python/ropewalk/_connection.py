"""One connection to a broker without its I/O: requests in, bytes out; bytes in, answers out. Reads no clock, knows no socket,
and is used by one thread at a time. Clients are shells around it.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, Optional, Protocol, Sequence, TypeVar

from ._protocol import VERSION, Code, Decoder, Field, Frame, Kind, Piece, field, fields_of, head, number_field, number_of

#: A piece up to this size is joined with its neighbours for one write; a larger one is not copied.
COPIED_BYTES = 16 * 1024

FOREVER_MS = 0xFFFFFFFF  # what a request says that waits as long as the broker lets it

_PRIORITIES = {"low": 0, "normal": 1, "high": 2}


class Asked(Protocol):
    """A request, as its connection sees it."""

    #: On this connection; 0 while it is on none.
    id: int
    #: REQUEST, or STATUS, which has neither fields nor pieces.
    kind: Kind
    #: The fields that do not depend on when it is sent.
    fixed: bytes
    #: When its answer is of no use any more, in seconds of the shell's clock; None: whenever the broker thinks.
    expires: Optional[float]
    pieces: Sequence[Piece]
    #: Bytes of the pieces.
    size: int
    #: Not wanted any more, although it has no answer yet.
    unwanted: bool


R = TypeVar("R", bound=Asked)


class Event(NamedTuple):
    """Something has come."""

    #: Whose answer it is (an R); None: it is about the connection, which ends.
    request: Any
    frame: Frame


def options_of(service: str, attempts: Optional[int] = None, priority: str = "normal", key: Optional[bytes] = None) -> bytes:
    """The fields of a request that do not depend on the time.

    :raises ValueError: where the protocol has no such value.

    >>> options_of("up", attempts=1).hex()
    '02027570050101'
    """
    name = service.encode()
    if not 1 <= len(name) <= 128 or any(byte <= 0x20 for byte in name):
        raise ValueError(f"'{service}' is no service: a name has 1 to 128 bytes and no blanks")
    fields = field(Field.SERVICE, name)
    if attempts is not None:
        if not 1 <= attempts <= 255:
            raise ValueError(f"attempts are 1 to 255, and not {attempts}")
        fields += field(Field.ATTEMPTS, bytes((attempts,)))
    if priority != "normal":
        if priority not in _PRIORITIES:
            raise ValueError(f"priority is 'low', 'normal' or 'high', and not '{priority}'")
        fields += field(Field.PRIORITY, bytes((_PRIORITIES[priority],)))
    if key is not None:
        if not 1 <= len(key) <= 255:
            raise ValueError(f"a key has 1 to 255 bytes, and this one {len(key)}")
        fields += field(Field.KEY, key)
    return fields


class Connection(Generic[R]):
    """What goes over one connection, from HELLO on.

    Bytes that came are put where :meth:`buffer` says; :meth:`received` returns what they mean. What is to be written is got
    by :meth:`take_out`, in order.
    """

    def __init__(self, token: Optional[bytes] = None) -> None:
        self._decoder = Decoder()
        self._last_id = 0
        #: The requests that wait for their answers.
        self.in_flight: dict[int, R] = {}
        self._out: list[Piece] = []
        #: Requests, and bytes, that are to be written.
        self.unsent_requests = 0
        self.unsent_bytes = 0
        #: The broker is going down: it starts nothing more, and another is wanted.
        self.draining = False
        #: The largest message that the broker takes, in bytes; 0 before it said so.
        self.max_message = 0
        self._write(head_of_hello(token))

    def request(self, what: R, now: float) -> None:
        """Sends a request. Its answer, of which there is exactly one, comes out of :meth:`received`."""
        self._last_id = id = self._last_id + 1
        what.id = id
        self.in_flight[id] = what
        self.unsent_requests += 1
        fields = what.fixed
        if what.expires is not None:
            left = int((what.expires - now) * 1000)
            fields += number_field(Field.DEADLINE, min(max(left, 1), FOREVER_MS))
        pieces = what.pieces
        if what.kind == Kind.STATUS:
            fields = b""
        first = head(what.kind, Code.OK, id, what.size, fields)
        if what.size <= COPIED_BYTES:
            first += b"".join(pieces)
            self._write(first)
            return
        self._write(first)
        for piece in pieces:
            self._write(piece)

    def cancel(self, what: R) -> bool:
        """Takes a request back: it is answered CANCELLED, or with what was on its way. False if it has its answer."""
        if self.in_flight.get(what.id) is not what:
            return False
        self._write(head(Kind.CANCEL, Code.OK, what.id, 0))
        return True

    def take_out(self) -> list[Piece]:
        """All that is to be written, which is the shell's from now on: small pieces joined, large ones as they are."""
        out, self._out = self._out, []
        self.unsent_requests = 0
        self.unsent_bytes = 0
        if len(out) < 2:
            return out
        joined: list[Piece] = []
        small: list[Piece] = []
        for piece in out:
            if len(piece) <= COPIED_BYTES:
                small.append(piece)
                continue
            if small:
                joined.append(b"".join(small))
                small = []
            joined.append(piece)
        if small:
            joined.append(b"".join(small))
        return joined

    def buffer(self) -> memoryview:
        """Where the next bytes that come are to be put; never empty."""
        return self._decoder.buffer()

    def received(self, count: int) -> list[Event]:
        """What ``count`` bytes in the buffer mean.

        :raises ProtocolError: if that is nothing; the connection is of no use any more.
        """
        events: list[Event] = []
        pop = self.in_flight.pop
        for frame in self._decoder.received(count):
            if frame.kind == Kind.REPLY or frame.kind == Kind.STATUS:
                request = pop(frame.id, None)
                if request is not None:
                    events.append(Event(request, frame))
            elif frame.kind == Kind.ERROR:
                request = pop(frame.id, None)
                if frame.code == Code.DRAINING:
                    self.draining = True
                if request is not None or frame.id == 0 or frame.id == _HELLO_ID:
                    events.append(Event(request, frame))
            elif frame.kind == Kind.HELLO_OK:
                self.max_message = number_of(fields_of(frame.fields).get(Field.MAX_MESSAGE))
            elif frame.kind == Kind.PING:
                self._write(head(Kind.PONG, Code.OK, frame.id, len(frame.payload)))
                self._write(frame.payload)
        return events

    def give_up(self) -> list[R]:
        """The connection is over: the requests that have no answer, in the order in which they were sent."""
        rest = list(self.in_flight.values())
        self.in_flight.clear()
        self._out.clear()
        return rest

    def _write(self, piece: Piece) -> None:
        self._out.append(piece)
        self.unsent_bytes += len(piece)


_HELLO_ID = 0xFFFFFFFFFFFFFFFF


def head_of_hello(token: Optional[bytes]) -> bytes:
    """The frame that a connection begins with."""
    fields = field(Field.VERSION, bytes((VERSION,)))
    if token:
        fields += field(Field.TOKEN, token)
    return head(Kind.HELLO, Code.OK, _HELLO_ID, 0, fields)
