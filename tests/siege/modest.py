"""The client that everybody else's misdeeds must not hurt: one short message after the other, and how long each took.
It asks for a service of its own: at one that a hundred others flood it would wait for its turn, as it should."""
import math
import socket
import threading
import time

import protocol

PAUSE_S = 0.002
SERVICE = "mine"


class Modest:
    """Asks from now until `stop`, in a thread of its own."""

    def __init__(self, where):
        self.where = where
        self.times = []
        self.late = []  # how much later than it wanted it came to run: what the machine does to everybody
        self.wrong = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        reader = protocol.Reader()
        try:
            with socket.create_connection(self.where, 10) as s:
                s.settimeout(30)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                id = 0
                rests = time.monotonic()
                while not self.over.wait(PAUSE_S):
                    id += 1
                    begin = time.monotonic()
                    self.late.append(begin - rests - PAUSE_S)
                    s.sendall(protocol.request(id, b"modest", SERVICE))
                    kind, code, answered, payload = self.answer(s, reader)
                    rests = time.monotonic()
                    self.times.append(rests - begin)
                    if (kind, code, answered, payload) != (protocol.REPLY, protocol.OK, id, b"modest"):
                        self.wrong.append(f"{protocol.name_of(code)}: {payload.decode(errors='replace')}")
        except (OSError, protocol.ProtocolError) as e:
            self.wrong.append(f"its connection: {e!r}")

    @staticmethod
    def answer(s, reader):
        while True:
            data = s.recv(65536)
            if not data:
                raise protocol.ProtocolError("the broker closed the connection")
            frames = list(reader.feed(data))
            if frames:
                return frames[0]  # one is asked at a time

    def stop(self):
        self.over.set()
        self.thread.join(60)
        return self


def p99_ms(times):
    ordered = sorted(times)
    return 1000 * ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else math.inf
