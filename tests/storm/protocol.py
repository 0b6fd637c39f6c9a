"""net/PROTOCOL.md, written once more from the document: what the storm takes for right must not come from the code that
it tests."""
import struct

HELLO, HELLO_OK, REQUEST, REPLY, ERROR, CANCEL, STATUS, PING, PONG = range(1, 10)

(OK, FAILED, TIMEOUT, BUSY, NO_SERVICE, TOO_LARGE, WORKER_LOST, BAD_REQUEST, UNAUTHORIZED, DRAINING,
 CANCELLED) = range(11)
CODE_NAMES = ["OK", "FAILED", "TIMEOUT", "BUSY", "NO_SERVICE", "TOO_LARGE", "WORKER_LOST", "BAD_REQUEST",
              "UNAUTHORIZED",
              "DRAINING", "CANCELLED"]

FIELD_VERSION, FIELD_SERVICE, FIELD_TOKEN, FIELD_DEADLINE, FIELD_ATTEMPTS, FIELD_KEY, FIELD_PRIORITY = range(1, 8)
MAX_MESSAGE = 2 * 1024 * 1024
HEADER = struct.Struct(">IBBHQ")
BEHIND_LENGTH = HEADER.size - 4


class ProtocolError(Exception):
    """The broker said something that the document does not allow."""


def name_of(code):
    return CODE_NAMES[code] if code < len(CODE_NAMES) else f"code {code}"


def field(kind, value):
    return bytes([kind, len(value)]) + value


def frame(kind, id, fields=b"", payload=b""):
    return HEADER.pack(BEHIND_LENGTH + len(fields) + len(payload), kind, 0, len(fields), id) + fields + payload


def hello(id, service=None):
    fields = field(FIELD_VERSION, b"\x01")
    if service:
        fields += field(FIELD_SERVICE, service.encode())
    return frame(HELLO, id, fields)


def request(id, payload, service=None, deadline_ms=None, attempts=None, key=None, priority=None):
    fields = b""
    if service:
        fields += field(FIELD_SERVICE, service.encode())
    if deadline_ms is not None:
        fields += field(FIELD_DEADLINE, struct.pack(">I", deadline_ms))
    if attempts is not None:
        fields += field(FIELD_ATTEMPTS, bytes([attempts]))
    if key is not None:
        fields += field(FIELD_KEY, key)
    if priority is not None:
        fields += field(FIELD_PRIORITY, bytes([priority]))
    return frame(REQUEST, id, fields, payload)


def cancel(id):
    return frame(CANCEL, id)


class Reader:
    """Bytes in, frames out: (kind, code, id, payload)."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= HEADER.size:
            length, kind, code, fields, id = HEADER.unpack_from(self.buffer, at)
            if length < BEHIND_LENGTH + fields or length > MAX_MESSAGE + 8192 or not HELLO <= kind <= PONG:
                raise ProtocolError(f"a frame that makes no sense: length {length}, kind {kind}, fields {fields}")
            if len(self.buffer) - at < 4 + length:
                break
            begin = at + HEADER.size + fields
            at += 4 + length
            yield kind, code, id, bytes(self.buffer[begin:at])
        del self.buffer[:at]
