"""A broker with HTTP, and what stands in front of it."""

import http.client
import json
import pathlib
import socket
import sys

import pytest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "apps/python/tests"))

from cluster import ENOUGH, Cluster, program, wait_until  # noqa: E402
from proxies import Haproxy, Nginx  # noqa: E402

SERVICES = ("echo=builtin:echo", "nap=builtin:sleep", "no=cmd:false", "dies=cmd:sh -c 'kill -9 $$'")


class Reply:
    """What HTTP answered."""

    def __init__(self, answer):
        self.status, self.fields, self.body = answer.status, answer.headers, answer.read()
        self.type = answer.getheader("Content-Type", "")

    def json(self):
        return json.loads(self.body)


def ask(address, method, path, body=None, **fields):
    """One request on a connection of its own; ropewalk_timeout is Ropewalk-Timeout."""
    connection = http.client.HTTPConnection(address, timeout=ENOUGH)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        return Reply(connection.getresponse())
    finally:
        connection.close()


def connect(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), ENOUGH)


def next_answer(stream):
    """Its status and its body: one of several on a connection."""
    status = int(stream.readline().split()[1])
    fields = http.client.parse_headers(stream)
    return status, stream.read(int(fields["Content-Length"]))


def service(broker, name):
    """What the status says of one."""
    return next(one for one in ask(broker.http, "GET", "/status").json()["services"] if one["name"] == name)


def idle(broker, name):
    """Nothing waits and nothing runs there any more."""
    one = service(broker, name)
    return one["waiting"] == 0 and one["in_flight"] == 0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    assert program(), "there is no program: build it, or say where in ROPEWALK_PROGRAM"
    one = Cluster(tmp_path_factory.mktemp("cluster"))
    yield one
    one.end()


@pytest.fixture(scope="session")
def broker(cluster):
    """Its queues are short, so that they can be filled."""
    one = cluster.broker("--http", "127.0.0.1:0", "--queue", "64", "--startup-grace", "0s")
    cluster.worker(one, *SERVICES)
    return one


@pytest.fixture(scope="session", params=[Haproxy, Nginx], ids=["haproxy", "nginx"])
def proxy(request, broker, tmp_path_factory):
    """In front of the broker; it listens at `address`."""
    one = request.param(tmp_path_factory.mktemp("proxy"), broker.http)
    yield one
    one.end()


@pytest.fixture(scope="session", params=[None, Haproxy, Nginx], ids=["direct", "haproxy", "nginx"])
def address(request, broker, tmp_path_factory):
    """Where a client sends its requests: to the broker, or to a proxy."""
    if request.param is None:
        yield broker.http
        return
    one = request.param(tmp_path_factory.mktemp("proxy"), broker.http)
    yield one.address
    one.end()


@pytest.fixture
def full(broker):
    """Nothing more can wait for the service nap: it is paused, and its queue full. (What waits is taken back at the end.)"""
    assert ask(broker.http, "POST", "/v1/pause/nap").status == 200
    with connect(broker.http) as one:
        one.sendall(64 * (b"POST /v1/services/nap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1"))
        wait_until(lambda: service(broker, "nap")["waiting"] == 64)
        yield
    wait_until(lambda: idle(broker, "nap"))
    assert ask(broker.http, "POST", "/v1/resume/nap").status == 200
