"""--own-user: a broker and workers of one user of a machine, which anybody else on it can neither join nor play."""

import os
import shutil
import subprocess
import time

import pytest
import ropewalk
from cluster import ENOUGH, program

NOBODY = 65534


def start_as_nobody(cluster, broker, *options):
    """A worker of another user; its log."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can start a process of another user")
    log = cluster.folder / "nobody.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program(), "worker", "--broker",
                                    broker.nodes, "--service", "echo=builtin:echo", *options], stdout=out, stderr=out, cwd="/")
    return process, log


def test_workers_of_the_same_user_join_by_the_local_socket(cluster):
    broker = cluster.broker("--own-user")
    cluster.worker(broker, "echo=builtin:echo", options=["--own-user"])
    with ropewalk.Client(broker.url) as client:
        assert client.request("echo", b"x" * 1_000_000) == b"x" * 1_000_000


def test_who_comes_by_tcp_is_refused(cluster):
    broker = cluster.broker("--own-user")
    worker = cluster.worker(broker, "echo=builtin:echo", options=["--tcp-only"], joins=False)
    broker.says("refused at the cluster port: it came by TCP")
    time.sleep(0.3)
    assert "joined the broker" not in worker.log.read_text()
    with ropewalk.Client(broker.url) as client, pytest.raises(ropewalk.NoService):
        client.request("echo", b"")


@pytest.mark.parametrize("options", [["--own-user"], []])
def test_a_process_of_another_user_is_refused(cluster, options):
    broker = cluster.broker("--own-user")
    process, log = start_as_nobody(cluster, broker, *options)
    try:
        broker.says("refused at the cluster port: (it is another user's process|it came by TCP)")
        time.sleep(0.3)
        assert "joined the broker" not in log.read_text()
    finally:
        process.kill()
        process.wait(ENOUGH)


def test_a_worker_works_for_no_broker_of_another_user(cluster):
    """Somebody who takes the port of a broker that is gone could have it run his calls."""
    # A broker that is reached by TCP alone: as if the name of the local socket were not its.
    broker = cluster.broker("--cluster-tls", certificates(cluster))
    worker = cluster.worker(broker, "echo=builtin:echo", options=["--own-user"], joins=False)
    worker.says("no broker of this user has a local socket")
    assert "joined the broker" not in worker.log.read_text()


def certificates(cluster):
    subprocess.run([program(), "certs", "--dir", cluster.folder / "certs"], check=True, stdout=subprocess.DEVNULL)
    return cluster.folder / "certs/broker"


def test_it_does_not_go_with_tls_or_beyond_loopback(cluster):
    for wrong in (["--cluster-tls", certificates(cluster)], ["--cluster", "0.0.0.0:0", "--insecure-cluster"]):
        done = subprocess.run([program(), "broker", "--listen", "127.0.0.1:0", "--own-user", *wrong], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=ENOUGH)
        assert done.returncode != 0 and "--own-user" in done.stdout
