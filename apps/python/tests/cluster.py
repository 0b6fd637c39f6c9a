"""Brokers and workers as tests start them: the program that was built, on ports that are free."""

import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENOUGH = 20  # seconds


def program():
    """The program `ropewalk`: ROPEWALK_PROGRAM, or what was built here; None if there is none."""
    for one in (os.environ.get("ROPEWALK_PROGRAM"), ROOT / "build/release/bin/ropewalk", ROOT / "build/dev/bin/ropewalk"):
        if one and os.access(one, os.X_OK):
            return str(one)
    return None


def wait_until(what, seconds=ENOUGH, why=""):
    """Until it is true; what it is then."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, f"not within {seconds} s: {why or what}"
        time.sleep(0.005)


class Program:
    """A process whose log is in a file."""

    def __init__(self, folder, name, arguments):
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)

    def says(self, pattern):
        """The match of what is in the log, once it is."""

        def look():
            found = re.search(pattern, self.log.read_text(errors="replace"))
            assert found or self.process.poll() is None, f"it has ended: {self.log.read_text(errors='replace')}"
            return found

        return wait_until(look, why=f"'{pattern}' in {self.log}")

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(ENOUGH)


class Cluster:
    """Starts brokers and workers in a folder, and ends them all."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def broker(self, *options, port=0, nodes="127.0.0.1:0"):
        """A broker; its `url` is without a token, its `http` what it listens on with --http (host:port)."""
        one = Program(self.folder, "broker", ["broker", "--listen", f"127.0.0.1:{port}", "--cluster", nodes, *options])
        self.running.append(one)
        ready = one.says(r"ready: clients=\S+:(\d+)(?: http=(\S+))? nodes=(\S+)")
        one.port, one.http, one.nodes = int(ready.group(1)), ready.group(2), ready.group(3)
        one.url = f"ropewalk://127.0.0.1:{one.port}"
        return one

    def worker(self, broker, *services, options=(), joins=True):
        """A worker for services of the form NAME=HANDLER, once it has joined."""
        said = [part for service in services for part in ("--service", service)]
        one = Program(self.folder, "worker", ["worker", "--broker", broker.nodes, "--slots", "2", *said, *options])
        self.running.append(one)
        if joins:
            one.says("joined the broker")
        return one

    def end(self):
        for one in self.running:
            one.end()
