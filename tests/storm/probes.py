"""What is asked when the storm is over, by one client that asks and waits: does every service still work, what does a
silent connection cost, does the broker leave as it promises?"""
import signal
import socket
import time

import protocol
from clients import connect, note_answer, now_ns
from history import Request


class PatientClient:
    """One that asks and waits: for the status, and for whether everything still works."""

    def __init__(self, cluster, timeout=10):
        self.socket = connect(cluster.clients, cluster.tls_context, timeout)
        self.reader = protocol.Reader()
        self.frames = []

    def receive(self):
        while not self.frames:
            data = self.socket.recv(262144)
            if not data:
                raise ConnectionError("the broker has closed the connection")
            self.frames += self.reader.feed(data)
        return self.frames.pop(0)

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def ask(self, episode, id, service, milliseconds, deadline_ms=10000):
        request = Request(0, 0, 0, service, "e" if service == "echo" else "r", milliseconds, deadline_ms=deadline_ms,
                          id=id)
        payload = episode.payloads.fill(request, 100)
        request.sent = request.flushed = now_ns()
        episode.history.requests.append(request)
        self.send(protocol.request(id, payload, service, deadline_ms))
        return request

    def take_answer(self, episode, waiting):
        """Of one of these requests, by id; it is done with then."""
        kind, code, id, payload = self.receive()
        request = waiting.pop(id)
        note_answer(episode, request, kind, code, payload)
        return request


def silent_half_close(cluster):
    """Says nothing, and that it will say nothing more."""
    s = socket.create_connection(cluster.clients, 5)
    s.shutdown(socket.SHUT_WR)
    return s


def every_service_works(episode):
    """At as many requests as all slots take, twice. Returns what is wrong, or None."""
    client = PatientClient(episode.cluster)
    waiting = {}
    try:
        for service in episode.plan.services + ["echo"]:
            for _ in range(2 * episode.plan.slots * len(episode.plan.workers)):
                id = len(waiting) + 2
                waiting[id] = client.ask(episode, id, service, 5)
        while waiting:
            request = client.take_answer(episode, waiting)
            answer = request.answers[0]
            if answer.code != protocol.OK and not (answer.code == protocol.BUSY and episode.history.rules.limits):
                return f"{request} was answered {protocol.name_of(answer.code)}: {answer.text}"
    except (OSError, protocol.ProtocolError) as error:
        return f"{len(waiting)} of the requests have no answer: {error!r}"
    finally:
        client.close()
    return None


def drain_broker(episode):
    """SIGTERM while requests run: what was asked before is answered, what comes after is refused or finds nobody."""
    client = PatientClient(episode.cluster)
    waiting = {id: client.ask(episode, id, "slow", 200) for id in range(1, 3)}
    time.sleep(0.1)
    episode.history.rules.drain_at = now_ns()
    episode.cluster.signal(episode.cluster.broker.pid, signal.SIGTERM)
    time.sleep(0.02)
    late = client.ask(episode, 3, "slow", 0)
    late.listening = False  # it may cross the end of the connection
    waiting[3] = late
    try:
        while waiting:
            client.take_answer(episode, waiting)
    except OSError:
        pass
    finally:
        client.close()
