"""A broker and a worker of this machine for one program, which end with it, and which nobody else can use.

The token without which the broker answers no client is in a folder that only this user can read. Workers reach it by a Unix
socket whose kernel says whose process each side is (``--own-user``), and are refused if it is another user's.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import Any, Optional, Sequence

from ._address import Address
from ._errors import RopewalkError

#: The service that calls are sent to.
SERVICE = "python"

#: The environment's name for the program, if it is not in PATH.
PROGRAM = "ROPEWALK_PROGRAM"

_MAX_MESSAGE_BYTES = 256 * 1024 * 1024

# Of a call that was cancelled, and of an interpreter that comes to its end.
_STOP_TIMEOUT = "30ms"

# Processes that die are started again, however many: here nobody else suffers from that, and a pool is not to give up.
_GO_ON = ("--restarts", "10000", "--restart-window", "1000")


class StartFailed(RopewalkError):
    """The private broker and worker could not be started; the text says what they said."""


def find_program() -> str:
    """The program `ropewalk`.

    :raises FileNotFoundError: if there is none, with how to get it.
    """
    said = os.environ.get(PROGRAM)
    found = said or shutil.which("ropewalk")
    if found is None or not os.access(found, os.X_OK):
        raise FileNotFoundError(
            f"the program {said or 'ropewalk'} is not there, and Executor() runs it: build and install it (cmake --install "
            f"build/release), or say where it is ({PROGRAM}=build/release/bin/ropewalk), or use a cluster: "
            "Executor('ropewalk://HOST:7070')"
        )
    return found


def program_of_this() -> dict[str, Any]:
    """How a worker finds what this program defines; `main` is empty if it cannot (an interactive one)."""
    from multiprocessing import process, spawn

    about = spawn.get_preparation_data("ropewalk")
    main = {key: about[key] for key in ("init_main_from_name", "init_main_from_path") if about.get(key)}
    path = main.get("init_main_from_path")
    if path is not None and not os.path.isfile(path):
        main = {}
    key = process.current_process().authkey.hex()  # for managers and connections of multiprocessing
    return {"authkey": key, "path": [os.path.abspath(one) if one == "" else one for one in sys.path], "argv": sys.argv, "main": main}


class PrivateCluster:
    """Started once, by :meth:`start`; ended by :meth:`stop`, or when the interpreter is at its end."""

    def __init__(self, program: str, slots: int, max_tasks_per_child: Optional[int], about: dict[str, Any]) -> None:
        self._program = program
        self._slots = slots
        self._max_tasks = max_tasks_per_child
        self._about = about
        self._launcher: Optional[subprocess.Popen[bytes]] = None
        self._lock = threading.Lock()
        self._stopped = False
        self._control = -1  # the end of the pipe that the launcher waits for
        _clusters.add(self)

    def start(self) -> Address:
        """Returns when calls can be sent.

        :raises StartFailed: if it does not work.
        """
        folder = tempfile.mkdtemp(prefix="ropewalk-executor-")
        token = secrets.token_urlsafe(32)
        self._write(folder, "access", f"executor sha256:{hashlib.sha256(token.encode()).hexdigest()} {SERVICE}\n")
        self._write(folder, "program.json", json.dumps(self._about))
        ready, said = os.pipe()
        options = {"folder": folder, "program": self._program, "ready": said, "broker": self._broker(), "worker": self._worker(folder)}
        environment = dict(os.environ)
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (here, environment.get("PYTHONPATH"))))
        launcher = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_launcher.py")
        with self._lock:
            if self._stopped:
                shutil.rmtree(folder, ignore_errors=True)
                raise StartFailed("it was stopped before it had started")
            theirs, self._control = os.pipe()
            self._launcher = subprocess.Popen([sys.executable, "-I", "-S", launcher, json.dumps(options)], stdin=theirs,
                                              pass_fds=[said], env=environment, start_new_session=True)  # fmt: skip
            os.close(theirs)
        os.close(said)
        with open(ready, "rb") as answer:
            line = answer.readline()
        about = json.loads(line or '{"failed": "its launcher came to its end"}')
        if "failed" in about:
            self.stop()
            raise StartFailed(about["failed"])
        return Address((("127.0.0.1", about["port"]),), token.encode())

    def stop(self, now: bool = False) -> None:
        """Ends it: idle processes in an orderly way, or all of them at once."""
        with self._lock:
            self._stopped = True
            launcher, self._launcher = self._launcher, None
            control, self._control = self._control, -1
        if launcher is None:
            return
        try:
            if not now:
                os.write(control, b"quit\n")
        except OSError:
            pass  # it is gone
        os.close(control)
        launcher.wait()

    def forked(self) -> None:
        """In the child: the launcher waits for the end of a pipe whose other end is here, too."""
        self._lock = threading.Lock()
        self._launcher = None
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def _broker(self) -> Sequence[str]:
        size = str(_MAX_MESSAGE_BYTES)
        options = ["--max-message-bytes", size, "--connection-memory", size, "--max-deadline", "4294967295"]
        return [*options, "--retry-share", "10000", *_GO_ON]

    def _worker(self, folder: str) -> Sequence[str]:
        options = [
            *("--service", f"{SERVICE}=exec:'{sys.executable}' -m ropewalk.executor --private '{folder}'"),
            *("--slots", str(self._slots), "--max-message-bytes", str(_MAX_MESSAGE_BYTES)),
            *("--set", f"{SERVICE}.stop-timeout={_STOP_TIMEOUT}"),
            *_GO_ON,
        ]
        if self._max_tasks is not None:
            options += ["--set", f"{SERVICE}.recycle-after={self._max_tasks}"]
        return options

    @staticmethod
    def _write(folder: str, name: str, text: str) -> None:
        file = os.open(os.path.join(folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(text)


_clusters: "weakref.WeakSet[PrivateCluster]" = weakref.WeakSet()


def _forked() -> None:
    for cluster in list(_clusters):
        cluster.forked()


os.register_at_fork(after_in_child=_forked)
