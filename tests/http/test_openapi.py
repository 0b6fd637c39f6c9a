"""net/openapi.json is OpenAPI 3.1, and everything that --http serves: each path and method answers as it is documented,
every documented answer can be had, and what is not documented is not served."""

import copy
import hashlib
import http.client
import re
import select
import signal

import pytest
from cluster import ENOUGH, ROOT, wait_until
from conftest import SERVICES, Reply, ask, connect
from contract import DOCUMENT, METHODS, Contract, faults_of, operations, target

# Who may what, by his token.
RIGHTS = {"all": "*,@admin", "some": "echo", "sees": "@status"}
# Had on a socket of its own, by who waits while whoever runs the broker takes it back.
NOT_TO_BE_HAD = {("/v1/services/{name}", "post", "409")}


def test_it_is_openapi():
    assert faults_of(DOCUMENT) == []


def faulty():
    """Documents with one fault each."""
    for change in (
        lambda d: d.update(openapi="3.0.3"),
        lambda d: d["info"].pop("version"),
        lambda d: d["paths"].update({"status": {}}),
        lambda d: d["paths"]["/status"]["get"].update(operationId="send"),
        lambda d: d["paths"]["/status"]["get"]["responses"].update({"20": {"description": "x"}}),
        lambda d: d["paths"]["/status"]["get"]["responses"]["200"].pop("description"),
        lambda d: d["paths"]["/status"]["get"]["responses"].pop("default"),
        lambda d: d["paths"]["/status"].update(fetch={}),
        lambda d: d["paths"]["/v1/services/{name}"].pop("parameters"),
        lambda d: d["paths"]["/v1/services/{name}"]["post"]["parameters"].append({"$ref": "#/components/parameters/none"}),
        lambda d: d["components"]["parameters"]["service"].update(required=False),
        lambda d: d["components"]["parameters"]["timeout"].update(example=5),
        lambda d: d["components"]["schemas"]["Done"].update(type="thing"),
        lambda d: d["components"]["schemas"].update(Spare={"type": "object"}),
        lambda d: d.update(security=[{"cookie": []}]),
    ):
        document = copy.deepcopy(DOCUMENT)
        change(document)
        yield document


def test_faults_would_be_found():
    for number, document in enumerate(faulty()):
        assert faults_of(document), number


@pytest.fixture(scope="module")
def contract():
    return Contract()


@pytest.fixture(scope="module")
def guarded(cluster):
    """A broker that asks who it is, where one request may wait for each service."""
    access = cluster.folder / "access"
    access.write_text("".join(f"{who} sha256:{hashlib.sha256(who.encode()).hexdigest()} {rights}\n" for who, rights in RIGHTS.items()))
    one = cluster.broker("--http", "127.0.0.1:0", "--access-file", access, "--queue", "1", "--startup-grace", "0s")
    worker = cluster.worker(one, *SERVICES, options=("--name", "left"))
    assert worker
    return one


def bearer(who):
    return {"Authorization": f"Bearer {who}"} if who else {}


class Asking:
    """Asks a broker, and holds every answer to the document."""

    def __init__(self, contract, broker):
        self.contract, self.address = contract, broker.http

    def __call__(self, method, path, body=None, who="all", **fields):
        reply = ask(self.address, method, path, body, **bearer(who), **fields)
        self.contract.check(method, path, reply)
        return reply

    def many(self, method, path, count, who="all"):
        """All at once, on one connection."""
        with connect(self.address) as one:
            fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **bearer(who)}.items())
            one.sendall(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() * count)
            stream = one.makefile("rb")
            replies = [Reply(Answer(stream, method)) for _ in range(count)]
        for reply in replies:
            self.contract.check(method, path, reply)
        return replies


class Answer(http.client.HTTPResponse):
    """One of several on a connection, whose stream is not its own."""

    def __init__(self, stream, method):
        self.stream = stream
        super().__init__(self, method=method)
        self.begin()

    def makefile(self, _mode):
        return Lent(self.stream)


class Lent:
    def __init__(self, stream):
        self.readline, self.read, self.readinto, self.flush = stream.readline, stream.read, stream.readinto, lambda: None

    def close(self):
        pass


@pytest.fixture
def asking(contract, guarded):
    return Asking(contract, guarded)


def named(path):
    """A path with names in it."""
    return path.replace("{name}", "echo").replace("{node}", "left").replace("{id}", "0.0.0-1")


def test_it_is_served_to_everybody(asking):
    text = (ROOT / "net/openapi.json").read_bytes()
    assert asking("GET", "/openapi.json", who=None).body == text
    assert int(asking("HEAD", "/openapi.json", who=None).fields["Content-Length"]) == len(text)
    assert asking("GET", "/status").json()["version"] == DOCUMENT["info"]["version"]


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_a_path_has_the_documented_methods_and_no_others(asking, path):
    documented = {method.upper() for method in METHODS if method in DOCUMENT["paths"][path]}
    assert set(asking("OPTIONS", named(path), who=None).fields["Allow"].split(", ")) == documented
    for method in {method.upper() for method in METHODS} - documented | {"CONNECT", "BREW"}:
        refused = ask(asking.address, method, named(path), **bearer("all"))
        assert (refused.status, set(refused.fields["Allow"].split(", "))) == (405, documented), method
        asking.contract.check_body(method, target(DOCUMENT, DOCUMENT["components"]["responses"]["Refused"])["content"], refused, method == "HEAD")
    for method in documented - {"OPTIONS"}:
        if path != "/events":
            assert asking(method, named(path)).status == (404 if "cancel" in path else 200) # there is no such message


def test_nothing_else_is_served(asking):
    """Every path that the source names stands in the document, and what does not is not found."""
    source = (ROOT / "actors/admin/http_routes.cpp").read_text() + (ROOT / "actors/admin/message_pages.hpp").read_text()
    paths = set(re.findall(r'"(/[\w./-]*)"', source))
    assert len(paths) >= 10
    for path in paths - {"/"}:
        assert asking.contract.path_of(path + ("x" if path.endswith("/") else "")), f"{path} is served, and not in net/openapi.json"
    for path in ("/v1", "/v1/", "/v1/services", "/v1/services/", "/v1/nodes", "/openapi.yaml", "/docs", "/metrics/", "/index.html", "/v1/explode/x", "/v2/status"):
        assert asking.contract.path_of(path) is None
        assert ask(asking.address, "GET", path).status == 404


def test_messages(asking, guarded):
    send = lambda name, body=b"x", **fields: asking("POST", f"/v1/services/{name}", body, **fields)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    reply = send("echo", traceparent=parent, Ropewalk_Key="k", Ropewalk_Priority="high", Ropewalk_Attempts="2", Ropewalk_Timeout="5s")
    assert (reply.status, reply.body, reply.fields["traceparent"]) == (200, b"x", parent)
    assert send("no", traceparent=parent).status == 422
    assert send("dies", Ropewalk_Attempts="2").status == 502
    assert send("nap", b"600000", Ropewalk_Timeout="30ms").status == 504
    assert send("none").status == 404
    assert send("echo", Ropewalk_Priority="urgent").status == 400
    assert send("echo", b"x" * 2_200_000).status == 413
    assert send("echo", who=None).status == send("echo", who="nobody").status == 401
    assert send("no", who="some").status == 403
    assert asking("POST", "/v1/pause/nap").status == 200
    with connect(guarded.http) as waits:
        waits.sendall(b"POST /v1/services/nap HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer all\r\nContent-Length: 1\r\n\r\n1")
        wait_until(lambda: asking("GET", "/status").json()["queued"] == 1)
        assert send("nap").status == 429
        waiting = asking("GET", "/v1/messages?open").json()["messages"][0]
        assert "before" in waiting
        cancel = f"/v1/cancel/{waiting['id']}"
        assert asking("POST", cancel, who=None).status == 401
        assert asking("POST", cancel, who="sees").status == 403
        assert asking("POST", cancel).status == 200
        assert waits.recv(4096).startswith(b"HTTP/1.1 409 ")
        assert asking("POST", cancel).status == 409
        assert "cancelled_by" in asking("GET", "/v1/messages?failed").json()["messages"][0]
    assert asking("POST", "/v1/cancel/0.9999.0-1").status == 404
    assert asking("POST", "/v1/cancel/weather").status == 400
    assert {reply.status for reply in asking.many("POST", "/v1/cancel/0.9999.0-1", 65)} == {404, 429}
    assert asking("POST", "/v1/resume/nap").status == 200

    # What became of them: every kind of attempt that there was fits the document, too.
    for question, wanted in (("", "OK"), ("?failed", "WORKER_LOST"), ("?slow&limit=1", "OK"), ("?failed&service=no", "FAILED"), (f"/{parent}", "FAILED")):
        path = f"/v1/messages{question}"
        assert wanted in [one["code"] for one in asking("GET", path).json()["messages"]], path
        assert asking("HEAD", path).status == 200
    for path in ("/v1/messages?weather", "/v1/messages/weather"):
        assert asking("GET", path).status == asking("HEAD", path).status == 400


@pytest.mark.parametrize("path, who", [("/status", {401: None}), ("/metrics", {401: None, 403: "some"}), ("/v1/messages", {401: None}),
                                       ("/v1/messages/{id}", {401: None}), ("/events", {401: None, 403: "some"}),
                                       *((f"/v1/{what}", {401: None, 403: "sees"}) for what in ("drain/{node}", "undrain/{node}", "pause/{name}", "resume/{name}"))])
def test_rights_and_limits(asking, path, who):
    """Who may not, and who asks for more than is answered at a time."""
    for method in {"GET", "HEAD", "POST"} & {method.upper() for method in DOCUMENT["paths"][path]}:
        for status, one in who.items():
            assert asking(method, named(path), who=one).status == status
        if path != "/events":
            # Some are answered before the others are read; then 64 wait, and the rest are too many.
            statuses = [reply.status for reply in asking.many(method, named(path), 300)]
            assert set(statuses) == {200, 429}
    if "{node}" in path or path.startswith("/v1/pause") or path.startswith("/v1/resume"):
        assert asking("POST", named(path).replace("echo", "none").replace("left", "none")).status == 404


def test_events(asking, guarded):
    listeners = []
    try:
        for _ in range(32):
            connection = http.client.HTTPConnection(guarded.http, timeout=ENOUGH)
            connection.request("GET", "/events", headers=bearer("sees"))
            listeners.append(connection.getresponse())
        many = asking("GET", "/events")
        assert many.status == 503
        first = listeners[0]
        assert first.fp.readline() == b"event: hello\n"
        first.body, first.type, first.fields = b"event: hello", first.headers["Content-Type"], first.headers
        asking.contract.check("GET", "/events", first)
    finally:
        for one in listeners:
            one.close()


def raw(address, request):
    """What is answered to these bytes, which are no request."""
    with connect(address) as one:
        one.sendall(request)
        return Reply(Answer(one.makefile("rb"), request.split(b" ")[0].decode(errors="replace")))


def test_what_http_itself_refuses(cluster, contract):
    """Every status in the document's closed set, and no other."""
    broker = cluster.broker("--http", "127.0.0.1:0", "--hello-time", "200ms", "--memory", "8MiB", "--service-memory", "4MiB", "--connection-memory", "4MiB")
    get = b"GET /status HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    post = b"POST /v1/services/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    said = [raw(broker.http, request) for request in (
        b"GET /status\r\n\r\n", b"GET /status HTTP/1.1\r\n\r\n", get % b"Origin: http://evil.example\r\n", b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PUT /status HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /status HTTP/1.1\r\nHo", get % b"Content-Length: 9000000\r\n", get % b"Expect: cake\r\n",
        b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", get % (b"X: %s\r\n" % (b"x" * 9000)), get % b"Transfer-Encoding: gzip\r\n",
        b"GET /status HTTP/1.7\r\nHost: localhost\r\n\r\n")]
    uploads = [connect(broker.http) for _ in range(5)]  # two million bytes of each body, and never the rest
    for one in uploads:
        one.sendall(post % 2_000_001 + b"x" * 2_000_000)
    one, = select.select(uploads, [], [], ENOUGH)[0]
    said.append(Reply(Answer(one.makefile("rb"), "POST")))
    for one in uploads:
        one.close()
    refused = contract.document["components"]["responses"]["Refused"]["content"]
    for reply in said:
        contract.check_body(f"{reply.status}", refused, reply, head=False)
    wanted = refused["application/problem+json"]["schema"]["allOf"][1]["properties"]["status"]["enum"]
    assert {reply.status for reply in said} == set(wanted)


def test_draining(asking, guarded):
    """The last that is asked of this broker: it is told to stop while something runs."""
    runs, kept = connect(guarded.http), [http.client.HTTPConnection(guarded.http, timeout=ENOUGH) for _ in range(3)]
    for one in kept:
        one.connect()
    runs.sendall(b"POST /v1/services/nap HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer all\r\nContent-Length: 6\r\n\r\n600000")
    wait_until(lambda: any(one["name"] == "nap" and one["slots_busy"] == 1 for one in asking("GET", "/status").json()["services"]))
    guarded.send(signal.SIGTERM)
    guarded.says("draining: ")
    for one, (method, path) in zip(kept, (("GET", "/readyz"), ("HEAD", "/readyz"), ("POST", "/v1/services/echo"))):
        one.request(method, path, headers=bearer("all"))
        reply = Reply(one.getresponse())
        asking.contract.check(method, path, reply)
        assert reply.status == 503
        one.close()
    runs.close()


def test_every_documented_answer_was_had(contract):
    """By the tests before this one. What HTTP itself refuses is a test of its own."""
    documented = {(path, method, status) for path, method, one in operations(DOCUMENT) for status in one["responses"] if status != "default"}
    assert documented - contract.seen == NOT_TO_BE_HAD
