"""The clients that behave: one loop over all their connections that sends what the plan says and writes down what it
is told. Whoever must not be served late by the others' misbehaviour is here; the rest is in hostile.py."""
import heapq
import itertools
import json
import random
import selectors
import socket
import ssl
import threading
import time

import protocol
from history import MS, Answer, Request

LATE_NS = 20 * MS  # a turn of the loop that took longer is a time in which answers may have been seen late
MAX_UNSENT = 8 << 20
MAX_IN_FLIGHT = 300


def now_ns():
    return time.monotonic_ns()


def connect(address, tls_context=None, timeout=10):
    plain = socket.create_connection(address, timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls_context.wrap_socket(plain, server_hostname="localhost") if tls_context else plain


def note_answer(episode, request, kind, code, payload, at=None):
    """What a client was told for this request, and whether it is what is due."""
    answer = Answer(at or now_ns(), kind, code)
    if kind == protocol.REPLY:
        answer.right, answer.attempt = episode.payloads.check_reply(request, payload)
    else:
        answer.text = payload.decode(errors="replace")
    request.answers.append(answer)


class Connection:
    def __init__(self, number, asks, episode):
        self.number = number
        self.asks = asks
        self.next_ask = 0
        self.episode = episode
        self.random = random.Random(f"{episode.plan.seed} {number}")
        self.socket = connect(episode.cluster.clients, episode.cluster.tls_context)
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        self.reader = protocol.Reader()
        self.out = bytearray()
        self.queued_bytes = self.sent_bytes = 0
        self.flushes = []  # (how many bytes have gone out by then, called with the time)
        self.in_flight = {}  # id: request
        self.notes_due = {}  # (kind, id): payload
        self.used_ids = []
        self.ids = itertools.count(1)
        self.service = None  # that its HELLO has named
        self.closed = False

    # -- out

    def queue(self, data, on_flushed=None):
        self.out += data
        self.queued_bytes += len(data)
        if on_flushed:
            self.flushes.append((self.queued_bytes, on_flushed))

    def flush(self):
        while self.out and not self.closed:
            try:
                count = self.socket.send(self.out[:262144])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                return self.lost(f"while writing: {error}")
            self.sent_bytes += count
            del self.out[:count]
            at = now_ns()
            while self.flushes and self.flushes[0][0] <= self.sent_bytes:
                self.flushes.pop(0)[1](at)

    def new_id(self, again):
        if again and self.used_ids:
            return self.used_ids.pop(self.random.randrange(len(self.used_ids)))
        return next(self.ids)

    def ask(self, ask):
        if ask.kind != "request":
            return self.ask_note(ask.kind)
        plan = self.episode.plan
        request = Request(0, 0, self.number, ask.service, ask.behaviour, ask.milliseconds, key=ask.key,
                          priority=ask.priority,
                          refused=ask.refused, deadline_ms=ask.deadline_ms or plan.timeout_ms,
                          attempts=min(ask.attempts or 3, 3))  # the broker's own number, at most
        payload = self.episode.payloads.fill(request, ask.size)
        request.id = self.new_id(ask.same_id)
        in_hello = self.service == ask.service
        data = protocol.request(request.id, payload, None if in_hello else ask.service, ask.deadline_ms, ask.attempts,
                                ask.key,
                                ask.priority)
        self.in_flight[request.id] = request
        self.episode.history.requests.append(request)
        request.sent = now_ns()
        if ask.cancel_after == 0:
            data += protocol.cancel(request.id)
            request.cancelled = request.sent

        def flushed(at):
            request.flushed = at
        self.queue(data, flushed)
        return request

    def ask_note(self, kind):
        id = next(self.ids)
        if kind == "ping":
            payload = self.random.randbytes(self.random.randrange(100))
            self.notes_due[protocol.PONG, id] = payload
            self.queue(protocol.frame(protocol.PING, id, payload=payload))
        elif kind == "status":
            self.notes_due[protocol.STATUS, id] = None
            self.queue(protocol.frame(protocol.STATUS, id))
        else:
            self.service = self.random.choice(self.episode.plan.services + ["echo"])
            self.notes_due[protocol.HELLO_OK, id] = b""
            self.queue(protocol.hello(id, self.service))

    def cancel(self, request):
        if self.in_flight.get(request.id) is request and not self.closed:
            request.cancelled = now_ns()
            self.queue(protocol.cancel(request.id))
            self.flush()

    # -- in

    def receive(self):
        while not self.closed:
            try:
                data = self.socket.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                return self.lost(f"while reading: {error}")
            if not data:
                return self.lost("the broker has closed it")
            at = now_ns()
            try:
                for kind, code, id, payload in self.reader.feed(data):
                    self.take(at, kind, code, id, payload)
            except protocol.ProtocolError as error:
                return self.lost(str(error))

    def take(self, at, kind, code, id, payload):
        if kind not in (protocol.REPLY, protocol.ERROR):
            return self.take_note(kind, id, payload)
        request = self.in_flight.pop(id, None)
        text = "" if kind == protocol.REPLY else payload.decode(errors="replace")
        if not request:
            what = f"connection {self.number}: {protocol.name_of(code)} for id {id}, which it does not wait for: {text}"
            self.episode.history.oddities.append(("an answer that nobody waits for", what))
            return
        note_answer(self.episode, request, kind, code, payload, at)
        self.used_ids.append(id)

    def take_note(self, kind, id, payload):
        due = self.notes_due.pop((kind, id), "nothing")
        if kind == protocol.STATUS and due is None:
            json.loads(payload)
        elif due == "nothing" or (kind == protocol.PONG and due != payload):
            self.episode.history.oddities.append(("a frame that was not asked for",
                                                  f"connection {self.number}: kind {kind}, id {id}"))

    def lost(self, why):
        self.closed = True
        self.socket.close()
        self.episode.history.oddities.append(("a good client's connection was closed",
                                              f"connection {self.number}: {why}"))

    @property
    def is_done(self):
        return self.closed or (self.next_ask >= len(self.asks) and not self.in_flight and not self.notes_due)


class Clients(threading.Thread):
    """Runs until all is answered; then `probe` asks whether everything still works."""
    GRACE_S = 4

    def __init__(self, episode):
        super().__init__(daemon=True)
        self.episode = episode
        self.connections = [Connection(i + 1, asks, episode) for i, asks in enumerate(episode.plan.connections)]
        self.cancels = []  # a heap of (when, number, connection, request)
        self.selector = selectors.DefaultSelector()
        self.started = now_ns()
        self.stop = False
        self.error = None
        self.max_in_flight = MAX_IN_FLIGHT
        if episode.history.rules.limits:
            self.max_in_flight = 40  # each may have to wait for its own deadline

    def run(self):
        try:
            self.started = now_ns()
            for c in self.connections:
                self.selector.register(c.socket, selectors.EVENT_READ, c)
            while not self.stop and not all(c.is_done for c in self.connections):
                self.turn()
                if self.over_time():
                    return
        except Exception as error:  # a fault of the storm's own: it must not pass for silence
            self.error = error
            raise

    def over_time(self):
        """True when nothing more can come: every deadline, and a grace, is over."""
        if any(c.next_ask < len(c.asks) for c in self.connections):
            return False
        now = now_ns()
        waiting = [r for c in self.connections if not c.closed for r in c.in_flight.values()]
        last = max([r.flushed + r.deadline_ms * MS for r in waiting if r.flushed] + [self.started], default=0)
        if self.episode.history.rules.limits:
            # A deadline begins when the broker reads, which may be one deadline after another.
            answered = max((a.at for c in self.connections for r in self.episode.history.requests[-2000:]
                            for a in r.answers), default=0)
            last = max(last, answered + 15_000 * MS)
            return now > last or now > self.started + 90_000 * MS
        if any(not r.flushed for r in waiting):
            last = max(last, self.started + 60_000 * MS)
        return now > last + self.GRACE_S * 1000 * MS

    def turn(self):
        begin = now_ns()
        self.send_due(begin)
        wait_ns = self.time_to_next(begin)
        for c in self.connections:
            if not c.closed:
                self.selector.modify(c.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if c.out else 0), c)
            elif c.fd in self.selector.get_map():
                self.selector.unregister(c.fd)
        for key, events in self.selector.select(wait_ns / 1e9):
            key.data.receive()
            if events & selectors.EVENT_WRITE:
                key.data.flush()
        end = now_ns()
        if end - begin - wait_ns > LATE_NS:
            self.episode.history.lateness.add(begin, end)

    def send_due(self, now):
        seconds = (now - self.started) / 1e9
        for c in self.connections:
            while c.next_ask < len(c.asks) and c.asks[c.next_ask].at <= seconds:
                if not c.closed and len(c.out) < MAX_UNSENT and len(c.in_flight) < self.max_in_flight:
                    ask = c.asks[c.next_ask]
                    request = c.ask(ask)
                    if request and ask.cancel_after:
                        at = now + int(ask.cancel_after * 1e9)
                        heapq.heappush(self.cancels, (at, request.number, c, request))
                c.next_ask += 1
            c.flush()
        while self.cancels and self.cancels[0][0] <= now:
            _, _, c, request = heapq.heappop(self.cancels)
            c.cancel(request)

    def time_to_next(self, now):
        due = [self.started + int(c.asks[c.next_ask].at * 1e9) for c in self.connections if c.next_ask < len(c.asks)]
        due += [self.cancels[0][0]] if self.cancels else []
        return max(0, min([now + 10 * MS] + due) - now)

    def finish(self):
        """Closes up; what was due and has not come is said."""
        for c in self.connections:
            if not c.closed:
                for kind, id in c.notes_due:
                    self.episode.history.oddities.append(("a frame that was due has not come",
                                                          f"connection {c.number}: kind {kind}, id {id}"))
                c.socket.close()
            else:
                for r in c.in_flight.values():
                    r.listening = False
