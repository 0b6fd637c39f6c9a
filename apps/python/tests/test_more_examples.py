"""Examples with packages of Debian: a web server, a model that is loaded once, a bar that shows how far it is."""

import concurrent.futures
import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
import ropewalk
from cluster import ENOUGH, ROOT, program

EXAMPLES = ROOT / "apps/examples"


@pytest.fixture
def environment():
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    return dict(os.environ, ROPEWALK_PROGRAM=program(), PYTHONPATH=str(ROOT / "apps/python"))


def test_a_web_server_hands_its_work_over(environment):
    pytest.importorskip("aiohttp", reason="python3-aiohttp is not installed")
    server = subprocess.Popen([sys.executable, EXAMPLES / "web.py"], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().split()[-1]}/score"

        def post(number):
            with urllib.request.urlopen(urllib.request.Request(url, data=b"%d" % number), timeout=ENOUGH) as answer:
                return json.load(answer)["score"]

        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            scores = list(clients.map(post, range(40)))
        assert scores == [hashlib.pbkdf2_hmac("sha256", b"%d" % number, b"", 10_000).hex() for number in range(40)]
        server.send_signal(signal.SIGINT)
        assert server.wait(ENOUGH) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_model_is_loaded_once_and_its_memory_shared(cluster):
    numpy = pytest.importorskip("numpy", reason="python3-numpy is not installed")
    broker = cluster.broker()
    path = ROOT / "apps/python"
    worker = cluster.worker(broker, f"nearest=exec:{sys.executable} {EXAMPLES}/model.py",
                            options=["--set", "nearest.slots=4", "--set", f"nearest.env=PYTHONPATH={path}", "--set", "nearest.env=OMP_NUM_THREADS=1"])
    worker.says("its program is loaded")
    for number in range(4):
        worker.says(f"process {number} is ready")
    points = numpy.random.default_rng(1).random((50_000, 64))
    with ropewalk.Client(broker.url) as client:
        replies = [client.submit("nearest", json.dumps(list(points[i] + 0.001)).encode(), timeout=ENOUGH) for i in range(40)]
        assert [json.loads(reply.result(ENOUGH))["point"] for reply in replies] == list(range(40))


def test_a_loop_shows_how_far_it_is(environment):
    pytest.importorskip("tqdm", reason="python3-tqdm is not installed")
    ran = subprocess.run([sys.executable, EXAMPLES / "progress.py", "300"], capture_output=True, text=True, env=environment, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "100%" in ran.stderr and "300/300" in ran.stderr
    assert ran.stdout.startswith("the best of 300: ")
