"""Runs a private broker and worker, and ends them with the program that wanted them, however that ends.

Started as `python3 -I -S _launcher.py OPTIONS` by ropewalk._private, with a pipe as its stdin: at its end, which the kernel
sees to, all that was started here is killed. A line `quit` before asks for an orderly end.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Optional

_READY = re.compile(rb"ready: clients=\S+:(\d+) nodes=(\S+:\d+)")
_START_SECONDS = 20.0
_END_SECONDS = 1.5
_AGAIN_SECONDS = 0.2  # from a death to the next start
_LOG_BYTES = 1 << 20


class Launcher:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._folder: str = options["folder"]
        self._client_port = b"0"
        self._nodes = b"127.0.0.1:0"
        self._broker: Optional[subprocess.Popen[bytes]] = None
        self._worker: Optional[subprocess.Popen[bytes]] = None
        self._log = open(os.path.join(self._folder, "log"), "wb", buffering=0)
        # Should this process be killed, these go with it.
        with_parent = shutil.which("setpriv")
        self._prefix = [with_parent, "--pdeathsig", "KILL"] if with_parent else []

    def start(self) -> None:
        self._start_broker()
        self._start_worker()

    def _start_broker(self) -> None:
        self._broker = self._start(["broker", "--listen", b"127.0.0.1:" + self._client_port, "--cluster", self._nodes,
                                    "--own-user", "--access-file", os.path.join(self._folder, "access"), *self._options["broker"]])  # fmt: skip
        ready = self._wait_for(self._broker, _READY, "the private broker")
        self._client_port, self._nodes = ready.group(1), ready.group(2)

    def _start_worker(self) -> None:
        self._worker = self._start(["worker", "--broker", self._nodes, "--own-user", *self._options["worker"]])
        self._wait_for(self._worker, re.compile(rb"joined the broker"), "the private worker")

    def _start(self, arguments: list[Any]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*self._prefix, self._options["program"], *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def _wait_for(self, process: "subprocess.Popen[bytes]", pattern: "re.Pattern[bytes]", what: str) -> "re.Match[bytes]":
        said = b""
        deadline = time.monotonic() + _START_SECONDS
        assert process.stdout is not None
        while time.monotonic() < deadline:
            if select.select([process.stdout, 0], [], [], deadline - time.monotonic())[0] == [0]:
                raise EOFError  # nobody wants it any more
            more = os.read(process.stdout.fileno(), 65536)
            self._note(more)
            said += more
            found = pattern.search(said)
            if found:
                return found
            if not more:
                break
        raise RuntimeError(f"{what} did not start; it said: {said.decode(errors='replace').strip() or 'nothing'}")

    def _note(self, said: bytes) -> None:
        if self._log.tell() > _LOG_BYTES:
            self._log.seek(0)
            self._log.truncate()
        self._log.write(said)

    def port(self) -> int:
        return int(self._client_port)

    def run(self, outputs: socket.socket) -> None:
        """Until stdin is at its end."""
        while True:
            assert self._broker and self._worker and self._broker.stdout and self._worker.stdout
            ready = select.select([0, outputs, self._broker.stdout, self._worker.stdout], [], [])[0]
            if 0 in ready:
                if b"quit" in os.read(0, 100):
                    self._end()
                return
            if outputs in ready:
                asking, _ = outputs.accept()
                with asking:
                    socket.send_fds(asking, [b"x"], [1, 2])
            for process in (self._worker, self._broker):
                assert process.stdout
                if process.stdout not in ready:
                    continue
                said = os.read(process.stdout.fileno(), 65536)
                self._note(said)
                if not said:
                    process.kill()
                    process.wait()
                    time.sleep(_AGAIN_SECONDS)
                    self._start_broker() if process is self._broker else self._start_worker()

    def _end(self) -> None:
        if self._worker:
            self._worker.send_signal(signal.SIGTERM)
            try:
                self._worker.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                pass

    def kill(self) -> None:
        for process in (self._worker, self._broker):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def main() -> None:
    options = json.loads(sys.argv[1])
    ready = os.fdopen(options["ready"], "w")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    launcher = Launcher(options)
    try:
        with socket.socket(socket.AF_UNIX) as outputs:
            outputs.bind(os.path.join(options["folder"], "output"))
            outputs.listen(128)
            try:
                launcher.start()
            except (OSError, RuntimeError) as error:
                print(json.dumps({"failed": str(error)}), file=ready, flush=True)
                return
            print(json.dumps({"port": launcher.port()}), file=ready, flush=True)
            ready.close()
            launcher.run(outputs)
    except EOFError:
        pass
    finally:
        launcher.kill()


if __name__ == "__main__":
    main()
