"""What happened in an episode, as its two witnesses have it: what the clients asked and were told, and which runs the
handlers put on record. All times are CLOCK_MONOTONIC in nanoseconds; one machine, one clock."""
import bisect
import dataclasses
import itertools
import struct
import zlib

import protocol

MS = 1_000_000
GIVEN_UP_NS = 2500 * MS  # frozen for so long, a node may be given up by its broker
NAMES = {"r": "replies", "f": "fails", "k": "kills itself", "s": "segfaults", "o": "dies once", "n": "is noisy",
         "t": "ignores SIGTERM", "e": "echo"}


@dataclasses.dataclass
class Answer:
    at: int
    kind: int
    code: int
    right: bool = True  # of this request, by its content
    attempt: int = 0  # which run says it, 0 if none
    text: str = ""


@dataclasses.dataclass
class Request:
    number: int
    nonce: int
    connection: int
    service: str
    behaviour: str = "r"
    milliseconds: int = 0
    length: int = 0
    crc: int = 0
    key: bytes = None
    deadline_ms: int = 30000
    attempts: int = 3
    priority: int = None
    refused: int = None  # the code that it must be answered with, whatever else happens
    id: int = 0
    sent: int = 0  # before its first byte went out
    flushed: int = 0  # after its last byte did
    cancelled: int = None
    gone: int = None  # its client has reset the connection
    listening: bool = True  # its client waits for the answer to the end
    answers: list = dataclasses.field(default_factory=list)
    filler: tuple = (0, 0)

    @property
    def end_told(self):
        """When its end was said, or its client was gone; None: neither."""
        if self.answers:
            return self.answers[0].at
        return self.gone

    def __str__(self):
        more = "".join([f", key {self.key.decode()}" if self.key else "",
                        f", priority {self.priority}" if self.priority is not None else ""])
        return (f"request {self.number} (id {self.id} of connection {self.connection}) to {self.service}, "
                f"{self.length} bytes, {NAMES[self.behaviour]} after {self.milliseconds} ms, "
                f"deadline {self.deadline_ms} ms, attempts {self.attempts}{more}")


@dataclasses.dataclass
class Run:
    start: int
    alive: int
    read: int = 0
    end: int = 0
    number: int = 0
    nonce: int = 0
    pid: int = 0
    ancestors: tuple = ()
    attempt: int = 1
    length: int = 0
    crc: int = 0
    status: int = 0
    service: str = "job"

    @property
    def last_seen(self):
        return self.end or self.alive

    @property
    def node(self):
        return self.ancestors[0] if self.ancestors else 0


@dataclasses.dataclass
class Fault:
    """Something that the storm did to processes: kill, kill-handler, freeze, signal."""
    kind: str
    at: int
    pids: tuple = ()
    until: int = 0  # of a freeze
    text: str = ""


@dataclasses.dataclass
class Loss:
    """The broker's log says that it let a node go."""
    at: int
    name: str
    pid: int
    why: str

    @property
    def drained(self):
        return "drained" in self.why


@dataclasses.dataclass
class Rules:
    """What this episode's configuration allows."""
    shards: int = 1
    limits: bool = False  # small limits: BUSY, and a broker that stops reading
    only_ok: bool = False  # nothing was done that could cost an answer
    slots: int = 1  # of each service on a node
    drain_at: int = 0  # when the broker was told to leave; 0: it was not, while requests came


class Journal:
    """The handlers' records; handler.c writes them."""
    RECORD = struct.Struct("<6Q9I16s28x")
    CAPACITY = 65536

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(self.CAPACITY * self.RECORD.size)

    def runs(self):
        with open(self.path, "rb") as f:
            taken = struct.unpack("<Q", f.read(8))[0]
            f.seek(self.RECORD.size)
            data = f.read(min(taken, self.CAPACITY - 1) * self.RECORD.size)
        result = []
        for values in self.RECORD.iter_unpack(data):
            start, alive, read, end, number, nonce, pid, *ancestors = values[:11]
            attempt, length, crc, status, service = values[11:]
            if start:
                result.append(Run(start, max(alive, start), read, end, number, nonce, pid,
                                  tuple(a for a in ancestors if a > 1),
                                  attempt, length, crc, status, service.rstrip(b"\0").decode()))
        return result


class Lateness:
    """When this program itself did not get to run: what it saw then it may have seen late."""

    def __init__(self):
        self.gaps = []  # (begin, end), in order

    def add(self, begin, end):
        if not self.gaps or begin >= self.gaps[-1][0]:
            self.gaps.append((begin, end))

    def within(self, begin, end):
        """Nanoseconds of such gaps in this span, the whole of each that touches it."""
        first = max(0, bisect.bisect_left(self.gaps, (begin,)) - 1)
        total = 0
        for gap in itertools.islice(self.gaps, first, None):
            if gap[0] > end:
                break
            if gap[1] >= begin:
                total += gap[1] - gap[0]
        return total


@dataclasses.dataclass
class History:
    rules: Rules = dataclasses.field(default_factory=Rules)
    requests: list = dataclasses.field(default_factory=list)
    runs: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)
    losses: list = dataclasses.field(default_factory=list)
    lateness: Lateness = dataclasses.field(default_factory=Lateness)
    oddities: list = dataclasses.field(default_factory=list)  # (kind, text): what no request is to blame for
    started: int = 0


class Payloads:
    """Random bytes to fill messages with, and what handlers make of them, cut from one pool."""
    SIZE = protocol.MAX_MESSAGE + 262144

    def __init__(self, random):
        self.pool = random.randbytes(self.SIZE)
        self.turned = self.pool.translate(bytes(b ^ 0x5A for b in range(256)))
        self.random = random
        self.numbers = itertools.count(1)

    def fill(self, request, size):
        """Gives the request its number and its bytes: `size` of them, or what its first line takes."""
        request.number = next(self.numbers)
        request.nonce = self.random.getrandbits(60) | 1
        if request.behaviour == "e":
            head = b"%d %x " % (request.number, request.nonce) if size else b""
        else:
            head = b"%d %x %s %d\n" % (request.number, request.nonce, request.behaviour.encode(), request.milliseconds)
        length = max(0, size - len(head))
        request.filler = (self.random.randrange(self.SIZE - length) if length else 0, length)
        payload = head + self._cut(self.pool, request)
        request.length, request.crc = len(payload), zlib.crc32(payload)
        return payload

    @staticmethod
    def _cut(pool, request):
        begin, length = request.filler
        return pool[begin:begin + length]

    def check_reply(self, request, payload):
        """(whether these are the bytes that are due, the number of the attempt that says so)"""
        if request.behaviour == "e":
            return len(payload) == request.length and zlib.crc32(payload) == request.crc, 0
        head, _, filler = payload.partition(b"\n")
        words = head.split(b" ")
        if len(words) != 4 or words[:2] != [b"%d" % request.number, b"%x" % request.nonce]:
            return False, 0
        return filler == self._cut(self.turned, request), int(words[3])
