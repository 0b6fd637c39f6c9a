"""A hundred clients that mean harm. What each does, and in which order, is drawn from the seed and its own number; how
far it gets with it is the broker's to decide. Each goes on, one misdeed after the other, until time is up."""
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

import protocol

MISDEEDS = []
FOREVER_MS = 0xFFFFFFFF  # the longest deadline that a request can name
LARGE = 256 * 1024  # the broker's cap in a siege
RESET, NO_RESET = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # SO_LINGER


def misdeed(which):
    MISDEEDS.append(which)
    return which


class Client:
    def __init__(self, number, seed, clients, nodes, end):
        self.number = number
        self.random = random.Random(f"{seed}/{number}")
        self.clients = clients
        self.nodes = nodes
        self.end = end
        self.held = []

    def plan(self):
        """Its misdeeds, without an end: those of the seed."""
        while True:
            yield self.random.choice(MISDEEDS)

    def run(self):
        for what in self.plan():
            if self.left() <= 0:
                return
            try:
                what(self)
            except OSError:
                pass  # the broker may close a connection like these at any time
            self.held = self.held[-2:]  # the rest closes
            time.sleep(0.01)

    def left(self):
        return self.end - time.monotonic()

    def connect(self, where=None, receive_bytes=None):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        # When it goes it is gone, with all that it has said: who only closes may still be there, as far as the broker
        # can know, and what it has said is worked off.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        s.settimeout(1)
        s.connect(where or self.clients)
        self.held.append(s)
        return s

    def flood(self, s, piece, seconds):
        """Sends the same again and again, and reads nothing, until the broker takes no more or time is up."""
        end = time.monotonic() + min(seconds, max(self.left(), 0))
        while time.monotonic() < end:
            s.settimeout(max(0.01, end - time.monotonic()))
            s.sendall(piece)

    def moment(self):
        return self.random.choice([0.1, 0.5, 1.5, 3])


@misdeed
def lines_without_reading(c):
    line = c.random.choice([b"x\n", b"\n", b"echo x\n", b"hold 900\necho x\n", b"echo " + b"y" * 500 + b"\n"])
    c.flood(c.connect(receive_bytes=4096), line * (65536 // len(line)), c.moment())


@misdeed
def line_without_an_end(c):
    s = c.connect()
    s.sendall(b"echo ")
    for _ in range(c.random.randrange(1, 8)):
        s.sendall(b"z" * 262144)
    time.sleep(min(c.moment(), max(c.left(), 0)))


@misdeed
def frames_without_reading(c):
    payload = c.random.choice([b"", b"x" * 64, b"x" * 5000])
    frames = b"".join(protocol.request(i + 1, payload, "echo") for i in range(200))
    c.flood(c.connect(receive_bytes=4096), frames, c.moment())


@misdeed
def large_frames_without_reading(c):
    c.flood(c.connect(receive_bytes=4096), protocol.request(c.random.randrange(1, 1 << 60), b"L" * LARGE, "echo"),
            c.moment())


@misdeed
def frames_over_the_cap(c):
    head = protocol.HEADER.pack(12 + 100 * LARGE, protocol.REQUEST, 0, 0, 1)
    s = c.connect()
    s.sendall(head)
    c.flood(s, b"o" * 1048576, c.moment())


@misdeed
def announced_and_not_sent(c):
    fields = protocol.field(protocol.FIELD_SERVICE, b"echo")
    for _ in range(c.random.randrange(1, 4)):
        s = c.connect()
        s.sendall(protocol.HEADER.pack(12 + len(fields) + LARGE, protocol.REQUEST, 0, len(fields), 1) + fields + b"few")
    time.sleep(min(c.moment(), max(c.left(), 0)))


@misdeed
def ask_for_ever_and_close(c):
    for _ in range(c.random.randrange(1, 10)):
        with c.connect() as s:
            s.sendall(b"".join(protocol.request(i + 1, b"500", "hold", deadline_ms=FOREVER_MS, attempts=255)
                               for i in range(c.random.choice([1, 20]))))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_RESET)


@misdeed
def ask_and_close_half(c):
    s = c.connect(receive_bytes=4096)
    s.sendall(b"".join(protocol.request(i + 1, b"h" * 100000, "echo") for i in range(c.random.choice([1, 20]))))
    s.shutdown(socket.SHUT_WR)
    time.sleep(min(c.moment(), max(c.left(), 0)))


@misdeed
def drip(c):
    """A byte now and then, of what it says and of what it hears."""
    s = c.connect(receive_bytes=2048)
    s.sendall(b"".join(protocol.request(i + 1, b"d" * 60000, "echo") for i in range(20)))
    frame = protocol.request(99, b"d" * 1000, "echo")
    end = time.monotonic() + min(c.moment(), max(c.left(), 0))
    for at in range(len(frame)):
        if time.monotonic() > end:
            return
        s.sendall(frame[at:at + 1])
        s.recv(1)
        time.sleep(0.01)


@misdeed
def many_keys(c):
    frames = b"".join(protocol.request(i + 1, b"k", "echo", key=c.random.randbytes(16)) for i in range(500))
    c.flood(c.connect(), frames, c.moment())


@misdeed
def one_key(c):
    frames = b"".join(protocol.request(i + 1, b"100", "hold", key=b"the same for all") for i in range(200))
    c.flood(c.connect(), frames, c.moment())


@misdeed
def statuses(c):
    c.flood(c.connect(receive_bytes=4096), b"".join(protocol.frame(protocol.STATUS, i) for i in range(1000)),
            c.moment())


@misdeed
def pings_without_reading(c):
    c.flood(c.connect(receive_bytes=4096), protocol.frame(protocol.PING, 1, payload=b"p" * 100000), c.moment())


@misdeed
def nothing_but_talk(c):
    kinds = [protocol.frame(protocol.CANCEL, 7), protocol.hello(1), protocol.request(1, b"", "no-such-service")]
    c.flood(c.connect(), c.random.choice(kinds) * 500, c.moment())


@misdeed
def come_and_go(c):
    for _ in range(50):
        s = c.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, c.random.choice([RESET, NO_RESET]))
        s.close()


@misdeed
def newcomers_that_flood(c):
    """Several at once say little, and then all that a read can hold."""
    little, much = c.random.choice([(protocol.frame(protocol.PING, 1), protocol.request(1, b"", "echo")),
                                    (protocol.frame(protocol.PING, 1), protocol.frame(protocol.CANCEL, 7)),
                                    (b"echo x\n", b"x\n"), (b"echo x\n", b"echo x\n")])
    some = [c.connect() for _ in range(5)]
    for s in some:
        s.sendall(little)
    time.sleep(0.05)
    for s in some:
        s.settimeout(0)
        s.send(much * (200_000 // len(much)))
    time.sleep(0.2)
    for s in some:
        s.close()


@misdeed
def many_that_nobody_waits_for(c):
    s = c.connect()
    requests = b"".join(protocol.request(i + 1, b"900", "hold", deadline_ms=c.random.choice([200, 3000]))
                        for i in range(5000))
    s.sendall(requests)
    time.sleep(0.3)
    s.close()


@misdeed
def statuses_one_by_one(c):
    s = c.connect()
    end = time.monotonic() + min(c.moment(), max(c.left(), 0))
    reader = protocol.Reader()
    while time.monotonic() < end:
        s.sendall(protocol.frame(protocol.STATUS, 1))
        while not list(reader.feed(s.recv(1 << 20))):
            pass


@misdeed
def reset_in_the_middle(c):
    s = c.connect()
    s.sendall(b"".join(protocol.request(i + 1, b"300", c.random.choice(["hold", "echo"])) for i in range(20)))
    time.sleep(0.05)
    s.close()


@misdeed
def garbage(c):
    c.connect().sendall(c.random.randbytes(c.random.choice([1, 17, 500, 100000])))


@misdeed
def strangers_at_the_cluster_port(c):
    for _ in range(5):
        s = c.connect(c.nodes)
        # A compact frame before hands are shaken, half a header, or nothing.
        s.sendall(c.random.choice([struct.pack(">BHBIQQQ", 2, 0, 0x80, 64 << 20, 0, 0, 10) + b"b" * 200000,
                                   b"\1\0\0\0", c.random.randbytes(100), b""]))
    time.sleep(min(c.moment(), max(c.left(), 0)))


def attack(numbers, seed, clients, nodes, seconds):
    """A process with these clients, a thread each; it ends when time is up, and all of its connections with it."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.nice(15)  # the broker and who is measured come first: what is looked at is the broker, not the machine
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=Client(n, seed, clients, nodes, end).run, daemon=True) for n in numbers]
    for t in threads:
        t.start()
    time.sleep(seconds)
    sys.stdout.flush()
    os._exit(0)
