"""HAProxy and nginx in front of a broker, configured as the README says: what clients are answered through them, and
what the broker learns of clients that go away."""

import re
import signal
import socket
import struct

import pytest
from cluster import wait_until
from conftest import ask, connect, idle, next_answer, service
from proxies import Haproxy, Nginx

# What a request is answered, with or without a proxy: status, code, and what is asked.
ERRORS = [
    (400, "BAD_REQUEST", "POST", "/v1/services/echo", b"x", {"Ropewalk-Priority": "urgent"}),
    (403, None, "POST", "/v1/services/echo", b"x", {"Origin": "http://evil.example"}),
    (404, None, "GET", "/nothing", None, {}),
    (404, "NO_SERVICE", "POST", "/v1/services/none", b"x", {}),
    (405, None, "GET", "/v1/services/echo", None, {}),
    (413, "TOO_LARGE", "POST", "/v1/services/echo", b"x" * 3_000_000, {}),
    (413, "TOO_LARGE", "POST", "/v1/services/echo", [b"x" * 500_000] * 6, {}),
    (422, "FAILED", "POST", "/v1/services/no", b"x", {}),
    (502, "WORKER_LOST", "POST", "/v1/services/dies", b"x", {"Ropewalk-Attempts": "1"}),
    (504, "TIMEOUT", "POST", "/v1/services/nap", b"600000", {"Ropewalk-Timeout": "50ms"}),
]


@pytest.mark.parametrize("status, code, method, path, body, fields", ERRORS,
                         ids=[f"{one[0]}-{one[1] or one[3]}{'-chunked' if isinstance(one[4], list) else ''}" for one in ERRORS])
def test_errors_are_the_brokers_own(proxy, broker, status, code, method, path, body, fields):
    direct, through = (ask(where, method, path, iter(body) if isinstance(body, list) else body, **fields) for where in (broker.http, proxy.address))
    for one in (direct, through):
        assert (one.status, one.type, one.json()["status"], one.json().get("code")) == (status, "application/problem+json", status, code)
    assert through.json()["detail"] == direct.json()["detail"]
    assert through.fields["Allow"] == direct.fields["Allow"]


def test_busy_says_when_to_come_again(proxy, full):
    busy = ask(proxy.address, "POST", "/v1/services/nap", b"1")
    assert (busy.status, busy.json()["code"]) == (429, "BUSY") and int(busy.fields["Retry-After"]) >= 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("kept", [False, True], ids=["first", "later"])
def test_client_that_goes_away_takes_its_message_back(proxy, broker, how, kept):
    """What runs (two slots) and what waits, on new connections and on those that have been used before."""
    clients = [connect(proxy.address) for _ in range(4)]
    for one in clients:
        if kept:
            one.sendall(b"POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
            assert next_answer(one.makefile("rb")) == (200, b"x")
        one.sendall(b"POST /v1/services/nap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n600000")
    wait_until(lambda: (now := service(broker, "nap"))["slots_busy"] == 2 and now["waiting"] + now["in_flight"] == 4)
    for one in clients:
        if how == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
    wait_until(lambda: idle(broker, "nap"), 3)


def test_client_that_goes_away_in_its_upload_leaves_nothing(proxy, broker):
    before = service(broker, "echo")["submitted"]
    with connect(proxy.address) as one:
        one.sendall(b"POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
    left = wait_until(lambda: (status := ask(broker.http, "GET", "/status").json())["incoming_bytes"] == 0 and status, 3)
    assert left["held_bytes"] == 0
    assert service(broker, "echo")["submitted"] == before


def test_connections_to_the_broker_are_kept(proxy, broker):
    """A hundred clients, one after the other: the broker sees few connections, which are used again and again."""
    def seen():
        return {one["id"]: one["requests"] for one in ask(broker.http, "GET", "/status").json()["clients"]}

    before = seen()
    for number in range(100):
        assert ask(proxy.address, "POST", "/v1/services/echo", b"%d" % number).body == b"%d" % number
    grown = [requests - before.get(id, 0) for id, requests in seen().items() if requests > before.get(id, 0)]
    assert sum(grown) == 100 and len(grown) <= 4, grown


def test_events_come_as_they_happen(proxy):
    with connect(proxy.address) as one:
        one.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b""
        while said.count(b"event: status") < 2:
            more = one.recv(65536)
            assert more, said
            said += more
    assert said.startswith(b"HTTP/1.1 200 OK\r\n") and b"event: hello" in said


def test_log_of_the_proxy_and_history_of_the_broker_meet(proxy, broker):
    """The broker sees the proxy's address; the client's is in the proxy's log, with the trace by which explain knows the message."""
    failed = ask(proxy.address, "POST", "/v1/services/no", b"x")
    assert failed.status == 422
    trace = failed.fields["traceparent"]
    said = wait_until(lambda: re.search(rf"^127\.0\.0\.1 POST /v1/services/no 422 {trace}$", proxy.log.read_text(), re.M))
    assert said
    message, = ask(broker.http, "GET", f"/v1/messages/{trace}").json()["messages"]
    assert (message["service"], message["code"], message["traceparent"]) == ("no", "FAILED", trace)
    # Who has a trace keeps it.
    own = f"00-{'4bf92f3577b34da6a3ce929d0e0e4736'}-00f067aa0ba902b7-01"
    assert ask(proxy.address, "POST", "/v1/services/echo", b"x", traceparent=own).fields["traceparent"] == own
    wait_until(lambda: f"/v1/services/echo 200 {own}" in proxy.log.read_text())


def test_other_names_are_not_answered(proxy):
    assert ask(proxy.address, "GET", "/status", Host="localhost").status == 200
    assert ask(proxy.address, "GET", "/status", Host="evil.example").status == 421


@pytest.mark.parametrize("kind", [Haproxy, Nginx])
def test_a_proxy_has_a_name_of_its_own(kind, broker, tmp_path):
    """The Host is the broker's, the Origin that of the page: that it is the same site is the browser's to say."""
    proxy = kind(tmp_path, broker.http, {"localhost 127.0.0.1": "ropewalk.example"})
    act = lambda what, **fields: ask(proxy.address, "POST", f"/v1/{what}/echo", b"", Host="ropewalk.example", **fields).status
    page = {"Origin": "https://ropewalk.example"}
    try:
        assert act("pause") == act("resume") == 200
        assert act("pause", **page, Sec_Fetch_Site="same-origin") == act("resume", **page, Sec_Fetch_Site="same-origin") == 200
        assert act("pause", **page) == act("pause", **page, Sec_Fetch_Site="same-site") == 403
        assert ask(proxy.address, "GET", "/status", Host="localhost").status == 421
    finally:
        proxy.end()


def test_haproxy_sends_nothing_to_a_broker_that_drains(cluster, tmp_path):
    broker = cluster.broker("--http", "127.0.0.1:0")
    cluster.worker(broker, "nap=builtin:sleep")
    proxy = Haproxy(tmp_path, broker.http, {"inter 1s": "inter 20ms"})
    try:
        with connect(proxy.address) as one:
            one.sendall(b"POST /v1/services/nap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n800")
            wait_until(lambda: service(broker, "nap")["slots_busy"] == 1)
            assert "DOWN" not in proxy.log.read_text()
            broker.send(signal.SIGTERM)
            wait_until(lambda: "Server ropewalk/broker is DOWN" in proxy.log.read_text())
            assert ask(proxy.address, "GET", "/healthz").status == 503
            assert next_answer(one.makefile("rb"))[0] == 200  # what ran is finished
    finally:
        proxy.end()
