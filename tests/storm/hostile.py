"""Clients that misbehave: each comes, does its worst, and goes, within seconds. What the broker owes even them is
checked: nothing is started for one that has reset its connection, and who only closes its sending half is answered."""
import random
import socket
import ssl
import struct
import time

import probes
import protocol
from clients import connect, note_answer, now_ns
from history import Request

BROKEN = (OSError, ssl.SSLError, protocol.ProtocolError)


class Hostile:
    def __init__(self, episode, seed):
        self.episode = episode
        self.random = random.Random(seed)
        kinds = [self.vanish, self.reset, self.reset, self.half_close, self.garbage, self.half_a_frame, self.never_read,
                 self.dying_words, self.silent_half_close]
        if episode.plan.client_tls:
            kinds += [self.half_a_handshake] * 4
        self.what = self.random.choice(kinds)

    def __call__(self):
        try:
            self.what()
        except BROKEN:
            pass  # the broker may close a connection like these at any time

    def connect(self):
        return connect(self.episode.cluster.clients, self.episode.cluster.tls_context)

    def request(self, service=None, milliseconds=None, deadline_ms=5000, id=1):
        """One that is on record: its runs are checked like all others. Returns it and its frame."""
        service = service or self.random.choice(["job", "slow", "stay"])
        if milliseconds is None:
            milliseconds = self.random.choice([0, 10, 300, 1500])
        request = Request(0, 0, 0, service, "r", milliseconds, deadline_ms=deadline_ms, id=id, listening=False)
        payload = self.episode.payloads.fill(request, self.random.choice([0, 100, 50000]))
        request.sent = request.flushed = now_ns()
        self.episode.history.requests.append(request)
        return request, protocol.request(id, payload, service, deadline_ms)

    def some_requests(self, **how):
        made = [self.request(id=i + 1, **how) for i in range(self.random.choice([1, 2, 2, 5, 20]))]
        return [m[0] for m in made], b"".join(m[1] for m in made)

    def vanish(self):
        """Closes, with answers on their way or not: for the broker that is a half-close until it writes."""
        with self.connect() as s:
            s.sendall(self.some_requests()[1])
            time.sleep(self.random.choice([0, 0.005, 0.1, 0.5]))

    def reset(self):
        with self.connect() as s:
            requests, frames = self.some_requests(milliseconds=self.random.choice([None, 2000]))
            s.sendall(frames)
            time.sleep(self.random.choice([0, 0.005, 0.1, 0.5]))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone = now_ns()
        for r in requests:
            r.gone = gone

    def half_close(self):
        """As `nc` does at the end of its input."""
        if self.episode.plan.client_tls:  # Python's TLS cannot close one half
            return self.vanish()
        requests, frames = self.some_requests()
        waiting = {r.id: r for r in requests}
        reader = protocol.Reader()
        with self.connect() as s:
            s.settimeout(20)
            s.sendall(frames)
            s.shutdown(socket.SHUT_WR)
            for r in requests:
                r.listening = True
            while data := s.recv(65536):
                for kind, code, id, payload in reader.feed(data):
                    request = waiting.get(id)
                    if request:
                        note_answer(self.episode, request, kind, code, payload)

    def garbage(self):
        with self.connect() as s:
            s.sendall(self.random.randbytes(self.random.choice([1, 17, 500, 100000])))
            time.sleep(0.2)

    def half_a_frame(self):
        with self.connect() as s:
            _, frame = self.request()
            s.sendall(frame[:self.random.randrange(1, len(frame))])
            time.sleep(self.random.choice([0, 0.1, 1]))

    def never_read(self):
        with self.connect() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.settimeout(1)
            for i in range(20):
                s.sendall(protocol.request(i + 1, bytes(200000), "echo"))
            time.sleep(1)

    def dying_words(self):
        """Requests whose deadlines pass while the broker is closing their connection."""
        sockets = []
        for deadline_ms in range(1960, 2020, 4):
            s = self.connect()
            _, frame = self.request("slow", 2500, deadline_ms)
            s.sendall(frame + protocol.frame(99, 1))
            sockets.append(s)
        time.sleep(2.3)
        for s in sockets:
            s.close()

    def silent_half_close(self):
        """To the end of the episode: what does it cost the broker?"""
        self.episode.held.append(probes.silent_half_close(self.episode.cluster))

    def half_a_handshake(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.episode.cluster.tls_context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        with socket.create_connection(self.episode.cluster.clients, 5) as s:
            s.sendall(hello[:self.random.choice([0, 1, 5, 100, len(hello)])])
            time.sleep(self.random.choice([0, 0.01, 0.2]))
            if self.random.random() < 0.5:
                s.shutdown(socket.SHUT_WR)
                time.sleep(0.3)
