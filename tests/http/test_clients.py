"""Clients that others have written, at the broker itself and through HAProxy and nginx."""

import http.client
import re
import subprocess

import pytest
import requests
from cluster import ENOUGH, wait_until
from conftest import connect, idle, next_answer, service

SIZES = (0, 1, 64, 1400, 65536, 2_000_000)


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, timeout=ENOUGH, check=True).stdout


def ab(*words):
    """What ab counted, by its own names."""
    out = run("ab", "-q", *words).decode()
    return {name: int(number) for name, number in re.findall(r"^([A-Z][\w -]+):\s+(\d+)", out, re.M)}


@pytest.mark.parametrize("how", [(), ("-0",), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"), ("-H", "Expect:")],
                         ids=["HTTP/1.1", "HTTP/1.0", "chunked", "Expect", "no Expect"])
def test_curl(address, tmp_path, how):
    message = bytes(range(256)) * 7800  # 2 MB, every byte
    (tmp_path / "message").write_bytes(message)
    url = f"http://{address}/v1/services/echo"
    assert run("curl", "-sS", *how, "--data-binary", f"@{tmp_path / 'message'}", url) == message
    # Two on one connection, and an error, which curl is to see as one.
    assert run("curl", "-sS", *how, "-d", "a", url, url) == b"aa"
    said = run("curl", "-sS", *how, "-o", tmp_path / "none", "-w", "%{http_code} %{content_type}", "-d", "a", url + "-that-is-none")
    assert said == b"404 application/problem+json"


@pytest.mark.parametrize("size", [64, 100_000])
def test_ab(address, tmp_path, size):
    (tmp_path / "message").write_bytes(b"x" * size)
    requests = 1500 if size == 64 else 100
    words = ("-n", requests, "-c", 8, "-p", tmp_path / "message", "-T", "application/octet-stream", f"http://{address}/v1/services/echo")
    kept = ab("-k", *words)
    assert (kept["Complete requests"], kept["Keep-Alive requests"]) == (requests, requests)
    each_its_own = ab(*words)
    for counted in (kept, each_its_own):
        assert counted["Complete requests"] == requests and counted["Failed requests"] == 0
        assert "Non-2xx responses" not in counted and counted["Document Length"] == size


def test_http_client(address):
    connection = http.client.HTTPConnection(address, timeout=ENOUGH)
    first = None
    for size in SIZES + SIZES:
        message = b"m" * size
        for chunked in (False, True):
            pieces = (message[at:at + 100_000] for at in range(0, size, 100_000))
            connection.request("POST", "/v1/services/echo", pieces if chunked else message, encode_chunked=chunked,
                               headers={"Transfer-Encoding": "chunked"} if chunked else {})
            first = first or connection.sock
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, message), (size, chunked)
    assert connection.sock is first, "it was to be one connection"
    connection.close()


def test_requests(address, full):
    with requests.Session() as session:
        url = f"http://{address}/v1/services/"
        assert session.post(url + "echo", data=b"x" * 2_000_000).content == b"x" * 2_000_000
        assert session.post(url + "echo", data=iter([b"a", b"b" * 200_000])).content == b"a" + b"b" * 200_000
        busy = session.post(url + "nap", data=b"1")
        assert (busy.status_code, busy.json()["code"]) == (429, "BUSY") and int(busy.headers["Retry-After"]) >= 1
        assert session.get(f"http://{address}/status").json()["services"]
        with pytest.raises(requests.HTTPError, match="422"):
            session.post(url + "no", data=b"x").raise_for_status()


def test_requests_gives_up(address, broker):
    """A client's own timeout closes its connection: what it asked for is taken back."""
    before = service(broker, "nap")["errors"].get("CANCELLED", 0)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"http://{address}/v1/services/nap", data=b"600000", timeout=0.2)
    wait_until(lambda: idle(broker, "nap"), 3)
    assert service(broker, "nap")["errors"]["CANCELLED"] == before + 1


def test_pipelining(address):
    """Fifty on their way at once, of every kind, answered in their order."""
    asked = []
    for number in range(50):
        body = b"%04d" % number * (1 + number % 7 * 500)
        name = b"none" if number % 10 == 9 else b"echo"
        asked.append((name, body))
    with connect(address) as one:
        one.sendall(b"".join(b"POST /v1/services/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (name, len(body), body)
                             for name, body in asked))
        stream = one.makefile("rb")
        for name, body in asked:
            status, said = next_answer(stream)
            assert (status, said) == (200, body) if name == b"echo" else status == 404


@pytest.mark.parametrize("keep", [False, True], ids=["closes", "keeps"])
def test_http_1_0(address, keep):
    """As ab and old proxies speak it: without a Host, and without keep-alive unless it is asked for."""
    request = b"POST /v1/services/echo HTTP/1.0\r\n%sContent-Length: 3\r\n\r\nabc" % (b"Connection: keep-alive\r\n" if keep else b"")
    with connect(address) as one:
        for _ in range(3 if keep else 1):
            one.sendall(request)
            said = b""
            while not said.endswith(b"\r\n\r\nabc"):
                more = one.recv(65536)
                assert more, said
                said += more
            assert b"HTTP/1." in said and b" 200 OK\r\n" in said and b"chunked" not in said
            assert (b"connection: keep-alive" in said.lower()) == keep
        if not keep:
            assert one.recv(1) == b""
