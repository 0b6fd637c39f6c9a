"""A worker's side of the channel, without a worker: starts a program with handlers as a node does, and speaks frames to it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
from cluster import Cluster, program

FOLDER = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FOLDER))

from ropewalk._protocol import Code, Decoder, Field, Kind, field, head, number_field  # noqa: E402

ENOUGH = 20  # seconds


class Node:
    """One process of a handler."""

    def __init__(self, program, service, hello=True):
        ours, theirs = socket.socketpair()
        ours.settimeout(ENOUGH)
        self.channel = ours
        self._decoder = Decoder()
        self._frames = []
        self._last_id = 0
        environment = dict(os.environ, ROPEWALK_SERVICE=service, ROPEWALK_FD=str(theirs.fileno()), PYTHONPATH=str(FOLDER))
        environment.pop("PYTHONUNBUFFERED", None)  # what is printed is to arrive without it
        self.process = subprocess.Popen([sys.executable, str(program)], pass_fds=[theirs.fileno()], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        theirs.close()
        self.concurrency = None
        if hello:
            self.write(Kind.HELLO, 1, fields=field(Field.VERSION, b"\x01") + field(Field.SERVICE, service.encode()))
            frame = self.next_frame()
            assert frame.kind == Kind.HELLO_OK
            self.concurrency = int.from_bytes(frame.fields[-4:], "big")

    def write(self, kind, id, payload=b"", fields=b""):
        self.channel.sendall(head(kind, 0, id, len(payload), fields) + payload)

    def next_frame(self):
        while not self._frames:
            data = self.channel.recv(1 << 20)
            if not data:
                raise EOFError(f"the handler has closed its channel; it said: {self.process.communicate(timeout=ENOUGH)[0]}")
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def send(self, payload, attempt=1, deadline_ms=30_000, fields=b""):
        self._last_id += 1
        self.write(Kind.REQUEST, self._last_id, payload,
                   number_field(Field.DEADLINE, deadline_ms) + field(Field.ATTEMPT, bytes((attempt,))) + fields)
        return self._last_id

    def answer(self):
        """The next answer: id, code and payload."""
        frame = self.next_frame()
        assert frame.kind in (Kind.REPLY, Kind.ERROR)
        return frame.id, Code(frame.code), frame.payload

    def ask(self, payload, **more):
        """One message and its answer: code and payload."""
        id = self.send(payload, **more)
        answered, code, reply = self.answer()
        assert answered == id
        return code, reply

    def end(self, with_signal=None):
        """Ends it as a worker does (or by a signal); returns its exit status and what it printed."""
        if with_signal is None:
            self.channel.shutdown(socket.SHUT_WR)
        else:
            self.process.send_signal(with_signal)
        printed = self.process.communicate(timeout=ENOUGH)[0]
        return self.process.returncode, printed

    def kill(self):
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=ENOUGH)


@pytest.fixture
def node(tmp_path):
    """Starts handlers from a program's text: `node(text, service)`."""
    started = []

    def start(text, service="s", **more):
        program = tmp_path / f"handlers{len(started)}.py"
        program.write_text("import ropewalk\n" + textwrap.dedent(text) + "\nropewalk.serve()\n")
        started.append(Node(program, service, **more))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def cluster(tmp_path):
    """Starts brokers and workers, and ends them with the test."""
    started = _cluster(tmp_path)
    yield started
    started.end()


def _cluster(folder):
    found = program()
    if found is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    os.environ["ROPEWALK_PROGRAM"] = found
    return Cluster(folder)


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A broker whose worker has some services: echo, sleep (30 s), fail, and die, whose process ends with each message."""
    folder = tmp_path_factory.mktemp("echo")
    (folder / "die.py").write_text("import os, ropewalk\n@ropewalk.handler()\ndef die(message):\n    os._exit(7)\nropewalk.serve()\n")
    started = _cluster(folder)
    broker = started.broker()
    die = f"die=exec:env PYTHONPATH={FOLDER} {sys.executable} {folder}/die.py"
    options = ["--set", "die.slots=1"]
    started.worker(broker, "echo=builtin:echo", "sleep=cmd:sleep 30", "fail=cmd:sh -c 'echo no >&2; exit 3'", die, options=options)
    yield broker
    started.end()
