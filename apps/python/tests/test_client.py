"""Clients against a real broker: the one with threads, and the one with an event loop, which do the same."""

import asyncio
import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import ropewalk
from cluster import ENOUGH, ROOT, program, wait_until


class Loop:
    """AsyncClient, as its tests see it: each call a task of a loop in a thread."""

    def __init__(self, url, **options):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = self._run(self._make(url, options))

    async def _make(self, url, options):
        return ropewalk.AsyncClient(url, **options)

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ENOUGH)

    def submit(self, *what, **options):
        return asyncio.run_coroutine_threadsafe(self._client.request(*what, **options), self._loop)

    def request(self, *what, **options):
        return self.submit(*what, **options).result(ENOUGH)

    def status(self):
        return self._run(self._client.status())

    def close(self):
        self._run(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ENOUGH)
        self._loop.close()


@pytest.fixture(params=["threads", "asyncio"])
def connect(request):
    """Makes clients of one kind, and closes them."""
    made = []

    def start(url, **options):
        made.append((ropewalk.Client if request.param == "threads" else Loop)(url, **options))
        return made[-1]

    yield start
    for client in made:
        client.close()


def test_a_message_is_bytes_in_and_bytes_out(echo, connect):
    client = connect(echo.url)
    for payload in (b"", b"many hands", bytes(range(256)) * 100, os.urandom(2_000_000)):
        assert client.request("echo", payload) == payload
    assert client.request("echo", bytearray(b"ab")) == b"ab"
    assert client.request("echo", memoryview(b"abc")[1:]) == b"bc"
    assert client.request("echo", "\u00e4") == "\u00e4".encode()


def test_requests_are_pipelined_and_each_gets_its_own_answer(echo, connect):
    client = connect(echo.url)
    asked = {client.submit("echo", b"%d" % i * 50): b"%d" % i * 50 for i in range(3000)}
    for reply, payload in asked.items():
        assert reply.result(ENOUGH) == payload


def test_many_large_messages_at_once(echo, connect):
    client = connect(echo.url)
    payloads = [bytes([i]) * 1_500_000 for i in range(40)]
    for reply, payload in [(client.submit("echo", p), p) for p in payloads]:
        assert reply.result(ENOUGH) == payload


@pytest.mark.parametrize("service, payload, options, kind, text", [
    ("fail", b"", {}, ropewalk.Failed, "no"),
    ("sleep", b"", {"timeout": 0.2}, ropewalk.Timeout, ""),
    ("nothing", b"", {}, ropewalk.NoService, ""),
    ("echo", b"x" * 3_000_000, {}, ropewalk.TooLarge, "2MiB"),
    ("die", b"", {"attempts": 1}, ropewalk.WorkerLost, "status 7"),
])
def test_each_error_is_an_exception_of_its_own(echo, connect, service, payload, options, kind, text):
    client = connect(echo.url)
    with pytest.raises(kind, match=text) as caught:
        client.request(service, payload, **options)
    assert caught.value.code is not None and caught.value.retry_after is None
    assert client.request("echo", b"goes on") == b"goes on"


def test_busy_says_when_to_try_again(cluster, connect):
    broker = cluster.broker("--queue", "1")
    cluster.worker(broker, "sleep=cmd:sleep 30")
    client = connect(broker.url)
    replies = [client.submit("sleep") for _ in range(200)]
    done = concurrent.futures.wait(replies, ENOUGH, concurrent.futures.FIRST_COMPLETED).done
    with pytest.raises(ropewalk.Busy) as caught:
        done.pop().result()
    assert caught.value.retry_after > 0


def test_a_request_that_is_cancelled_is_taken_back_while_it_runs(echo, connect):
    client = connect(echo.url)
    before = time.monotonic()
    replies = [client.submit("sleep") for _ in range(2)]  # as many as there are slots
    wait_until(lambda: client.status()["in_flight"] == 2)
    for reply in replies:
        assert reply.cancel() and reply.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        replies[0].result()
    wait_until(lambda: client.status()["in_flight"] == 0)
    assert time.monotonic() - before < 15
    assert client.request("echo", b"on") == b"on"


def test_what_is_cancelled_before_it_was_sent_is_never_sent(connect):
    client = connect("ropewalk://127.0.0.1:1")  # nobody is there
    reply = client.submit("echo", b"")
    assert reply.cancel()
    with pytest.raises(ropewalk.Timeout, match="(?i)refused|failed"):
        client.request("echo", b"", timeout=0.3)


def test_when_a_broker_dies_the_next_is_asked(cluster, connect):
    brokers = [cluster.broker(), cluster.broker()]
    for broker in brokers:
        cluster.worker(broker, "echo=builtin:echo", "sleep=cmd:sleep 1")
    client = connect(f"ropewalk://127.0.0.1:{brokers[0].port},127.0.0.1:{brokers[1].port}")
    assert client.request("echo", b"1") == b"1"
    once, again = client.submit("sleep"), client.submit("sleep", resend=True)
    wait_until(lambda: client.status()["in_flight"] == 2)
    brokers[0].end()
    with pytest.raises(ropewalk.ConnectionLost, match="may have run"):
        once.result(ENOUGH)
    assert again.result(ENOUGH) == b""
    assert client.request("echo", b"2") == b"2"
    assert client.status()["pid"] == brokers[1].process.pid


def test_a_broker_that_drains_answers_what_it_has_and_the_next_is_asked_meanwhile(cluster, connect):
    brokers = [cluster.broker(), cluster.broker()]
    for broker in brokers:
        cluster.worker(broker, "echo=builtin:echo", "sleep=cmd:sh -c 'sleep 2; echo slept'")
    client = connect(f"ropewalk://127.0.0.1:{brokers[0].port},127.0.0.1:{brokers[1].port}")
    slow = client.submit("sleep")
    wait_until(lambda: client.status()["in_flight"] == 1)
    brokers[0].send(signal.SIGTERM)
    brokers[0].says("drain")
    for i in range(50):
        assert client.request("echo", b"%d" % i) == b"%d" % i
    assert not slow.done()
    assert client.status()["pid"] == brokers[1].process.pid
    assert slow.result(ENOUGH) == b"slept\n"


def test_a_broker_that_is_started_again_is_found_again(cluster, connect):
    broker = cluster.broker()
    cluster.worker(broker, "echo=builtin:echo")
    client = connect(broker.url)
    assert client.request("echo", b"1") == b"1"
    broker.end()
    asked = client.submit("echo", b"2", resend=True)
    again = cluster.broker(port=broker.port, nodes=broker.nodes)
    again.says("joined from")
    try:
        assert asked.result(ENOUGH) == b"2"
    except ropewalk.NoService:
        pass  # the broker was there before its worker was
    assert client.request("echo", b"3") == b"3"


def test_who_shows_no_token_or_a_wrong_one_is_refused(cluster, connect, monkeypatch):
    made = subprocess.run([program(), "token", "alice", "--services", "echo", "--to", cluster.folder / "token"],
                          stderr=subprocess.PIPE, check=True)
    (cluster.folder / "access").write_bytes(made.stderr)
    broker = cluster.broker("--access-file", cluster.folder / "access")
    cluster.worker(broker, "echo=builtin:echo", "other=builtin:echo")
    token = (cluster.folder / "token").read_text().strip()
    url = f"ropewalk://{token}@127.0.0.1:{broker.port}"
    for wrong in (broker.url, url.replace(token, "wrong")):
        with pytest.raises(ropewalk.Unauthorized):
            connect(wrong).request("echo", b"")
    assert connect(url).request("echo", b"1") == b"1"
    assert connect(broker.url, token=token).request("echo", b"2") == b"2"
    assert connect(broker.url, token_file=cluster.folder / "token").request("echo", b"3") == b"3"
    assert connect(f"{broker.url}?token-file={cluster.folder}/token").request("echo", b"4") == b"4"
    monkeypatch.setenv("ROPEWALK_TOKEN_FILE", str(cluster.folder / "token"))
    client = connect(broker.url)
    assert client.request("echo", b"5") == b"5"
    with pytest.raises(ropewalk.Unauthorized):
        client.request("other", b"")
    assert client.request("echo", b"6") == b"6"


def test_tls(cluster, connect):
    certs = cluster.folder / "certs"
    subprocess.run([program(), "certs", "--dir", certs, "--host", "localhost", "--host", "127.0.0.1", "--client", "alice"],
                   check=True, stdout=subprocess.DEVNULL)
    options = ["--tls-cert", certs / "broker/cert.pem", "--tls-key", certs / "broker/key.pem", "--client-ca", certs / "ca.pem"]
    broker = cluster.broker(*options)
    cluster.worker(broker, "echo=builtin:echo")
    alice = next(certs.glob("**/alice"))
    url = f"ropewalks://127.0.0.1:{broker.port}"
    client = connect(url, ca=certs / "ca.pem", cert=alice / "cert.pem", key=alice / "key.pem")
    for payload in (b"hi", os.urandom(2_000_000)):
        assert client.request("echo", payload) == payload
    asked = {client.submit("echo", b"%d" % i): b"%d" % i for i in range(1000)}
    assert all(reply.result(ENOUGH) == payload for reply, payload in asked.items())
    with pytest.raises(ropewalk.RopewalkError):  # without a certificate of its own
        connect(url, ca=certs / "ca.pem").request("echo", b"", timeout=2)
    with pytest.raises(ropewalk.ConnectionLost, match="(?i)certificate"):  # of an authority that it does not know
        connect(url, cert=alice / "cert.pem", key=alice / "key.pem").request("echo", b"", timeout=5)
    with pytest.raises(ropewalk.RopewalkError):  # plainly
        connect(broker.url).request("echo", b"", timeout=2)


def test_what_is_in_flight_is_bounded(echo, connect):
    client = connect(echo.url, max_in_flight=2)
    client.request("echo", b"")
    began = time.monotonic()
    if isinstance(client, Loop):
        replies = [client.submit("sleep", timeout=1) for _ in range(2)]
        wait_until(lambda: client._client._open == 2)
        late = client.submit("echo", b"late")
        time.sleep(0.2)
        assert not late.done()
        assert late.result(ENOUGH) == b"late"
    else:
        replies = [client.submit("sleep", timeout=1) for _ in range(2)]
        assert client.submit("echo", b"late").result(ENOUGH) == b"late"
    assert time.monotonic() - began > 0.9
    with pytest.raises(ropewalk.Timeout):
        replies[0].result(ENOUGH)


def test_priority_and_key_are_taken(echo, connect):
    client = connect(echo.url)
    for priority in ("low", "normal", "high"):
        assert client.request("echo", b"x", priority=priority, key=b"k") == b"x"
    with pytest.raises(ValueError, match="urgent"):
        client.request("echo", b"x", priority="urgent")


def test_a_client_that_is_closed_says_so(echo):
    client = ropewalk.Client(echo.url)
    assert client.request("echo", b"") == b""
    reply = client.submit("sleep")
    client.close()
    with pytest.raises(ropewalk.Closed):
        reply.result(1)
    with pytest.raises(ropewalk.Closed):
        client.request("echo", b"")
    client.close()


def test_threads_share_a_client(echo):
    with ropewalk.Client(echo.url) as client, concurrent.futures.ThreadPoolExecutor(8) as threads:
        asked = [b"%d" % i for i in range(500)]
        assert list(threads.map(lambda payload: client.request("echo", payload), asked)) == asked


def test_a_client_belongs_to_the_process_that_made_it(echo):
    with ropewalk.Client(echo.url) as client:
        assert client.request("echo", b"1") == b"1"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                client.request("echo", b"", timeout=2)
            except ropewalk.Closed as closed:
                status = 0 if "forked" in str(closed) else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert client.request("echo", b"2") == b"2"


def test_an_interpreter_ends_at_once_whatever_is_in_flight(echo):
    program = f"""if True:
        import ropewalk, sys, time
        client = ropewalk.Client({echo.url!r})
        client.request("echo", b"")
        replies = [client.submit("sleep") for _ in range(100)]
        print(time.time(), flush=True)
    """
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, timeout=ENOUGH,
                          env=dict(os.environ, PYTHONPATH=str(ROOT / "apps/python")))
    assert time.time() - float(done.stdout) < 2  # a second, and as much for a machine that is busy


@pytest.mark.parametrize("url", ["", "http://a", "ropewalk://", "ropewalk://a:b", "ropewalk://a:0", "ropewalk://a?x=1",
                                 "ropewalk://a?ca=b", "ropewalk://a,,b"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError):
        ropewalk.Client(url)
