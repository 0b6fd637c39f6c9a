"""A program that is loaded once: each of its processes is forked from it when the worker asks (net/PROTOCOL.md, "Fork servers")."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from typing import Callable, NoReturn, Optional, Sequence

from ._protocol import HEAD_BYTES, VERSION, Code, Field, Kind, field, fields_of, head, head_of, number_field

_MARK = b"ROPEWALK_RUN"
_DESCRIPTORS = 3  # of a fork: channel, stdout, stderr


class ForkServer:
    """Speaks with the worker over the channel of the program that was loaded."""

    def __init__(self, channel: socket.socket, stops: Sequence[int]) -> None:
        self._channel = channel
        self._stops = stops
        self._mark = _place_of(_MARK)

    def is_wanted(self) -> bool:
        """Whether the worker can ask for forks. Its HELLO stays where it is."""
        data = self._channel.recv(HEAD_BYTES, socket.MSG_PEEK | socket.MSG_WAITALL)
        if len(data) < HEAD_BYTES:
            return False
        length, kind, _, fields, _ = head_of(data)
        data = self._channel.recv(4 + length, socket.MSG_PEEK | socket.MSG_WAITALL)
        return kind == Kind.HELLO and Field.FORKS in fields_of(data[HEAD_BYTES : HEAD_BYTES + fields])

    def run(self) -> Optional[socket.socket]:
        """Forks until there is nothing more to come, and returns None then; in each process that was forked, returns its channel."""
        # What is there now is shared: no collection is to write to it.
        gc.collect()
        gc.freeze()
        for number in self._stops:
            signal.signal(number, lambda *_: sys.exit(0))
        with contextlib.suppress(ConnectionError):
            while True:
                data, passed = self._read(HEAD_BYTES)
                if not data:
                    break
                length, kind, _, fields, id = head_of(data)
                body = self._read(4 + length - HEAD_BYTES)[0]
                if kind == Kind.HELLO:
                    self._hello(id)
                elif kind == Kind.FORK:
                    forked = self._fork(id, body[fields:], passed)
                    if forked:
                        return forked
                elif kind == Kind.PING:
                    self._channel.sendall(head(Kind.PONG, Code.OK, id, len(body) - fields) + body[fields:])
        return None

    def _read(self, size: int) -> tuple[bytes, list[int]]:
        """So many bytes, fewer at the end, and the descriptors that came with them."""
        data = b""
        passed: list[int] = []
        room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
        while len(data) < size:
            more, beside, _, _ = self._channel.recvmsg(size - len(data), room, socket.MSG_CMSG_CLOEXEC)
            for level, type, numbers in beside:
                if (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    passed += array.array("i", numbers)
            if not more:
                break
            data += more
        return data, passed

    def _refuse(self, id: int, why: str) -> None:
        text = why.encode(errors="replace")
        self._channel.sendall(head(Kind.ERROR, Code.FAILED, id, len(text)) + text)

    def _hello(self, id: int) -> None:
        why = threads_at_work()
        if why:
            return self._refuse(id, why)
        fields = field(Field.VERSION, bytes((VERSION,))) + field(Field.FORKS, b"\x01")
        self._channel.sendall(head(Kind.HELLO_OK, Code.OK, id, 0, fields))

    def _fork(self, id: int, environment: bytes, passed: list[int]) -> Optional[socket.socket]:
        """Not None: this is the new process, and that its channel."""
        why = "" if len(passed) == _DESCRIPTORS else "the descriptors did not get through: raise `ulimit -n`"
        why = why or threads_at_work()
        if not why:
            for stream in (sys.stdout, sys.stderr):
                if stream:
                    stream.flush()  # what waits there would be printed by each of them
            signal.pthread_sigmask(signal.SIG_BLOCK, self._stops)
            try:
                pid, why = _fork_orphan()
                if not pid and not why:
                    return self._become(environment, passed)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, self._stops)
        for number in passed:
            os.close(number)
        if why:
            self._refuse(id, why)
        else:
            self._channel.sendall(head(Kind.FORKED, Code.OK, id, 0, number_field(Field.PID, pid)))
        return None

    def _become(self, environment: bytes, passed: list[int]) -> socket.socket:
        for number in self._stops:
            signal.signal(number, signal.SIG_DFL)
        self._channel.close()
        channel, out, err = passed
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        for entry in environment.split(b"\0"):
            name, is_one, value = entry.partition(b"=")
            if is_one:
                os.environb[name] = value
            if name == _MARK:
                _write_over(self._mark, value)
        return socket.socket(fileno=channel)


def run_to_the_end(work: Callable[[], None]) -> NoReturn:
    """Does the work of a process that was forked, and ends it. What stands behind the fork in the program is not its own, and
    to give back all the memory that it shares would cost as much as to have copied it.
    """
    status = 1
    try:
        work()
        status = 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status = end.code or 0
        else:
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status & 0xFF)


def threads_at_work() -> str:
    """Why this process cannot be forked: other threads run, which would stop at some point in the copy and hold what they
    hold for ever. Empty: there are none.
    """
    known = {thread.native_id: thread.name for thread in threading.enumerate()}
    try:
        ids = {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:  # no /proc: those of Python are all that can be seen
        ids = {number for number in known if number}
    said = []
    for number in sorted(ids - {threading.get_native_id()}):
        if number in known:
            said.append(f"'{known[number]}'")
            continue
        with contextlib.suppress(OSError):  # it has just ended
            with open(f"/proc/self/task/{number}/comm") as name:
                said.append(f"'{name.read().strip()}' (of a native library: OMP_NUM_THREADS=1 or the like may keep it from starting them)")
    return f"threads run in the program that is to be forked: {', '.join(said)}; start them in @ropewalk.startup" if said else ""


def _fork_orphan() -> tuple[int, str]:
    """The PID of a process whose parent has ended, so that it is the worker's; or 0 and why not; (0, "") in that process."""
    read, write = os.pipe()
    try:
        between = os.fork()
        if not between:
            try:
                pid = os.fork()
                said = str(pid)
            except OSError as error:
                pid, said = -1, f"cannot fork: {error}"
            if not pid:
                return 0, ""
            os.write(write, said.encode())
            os._exit(0)
        os.waitpid(between, 0)
        text = os.read(read, 1000).decode()
        return (int(text), "") if text.isdigit() else (0, text)
    except OSError as error:
        return 0, f"cannot fork: {error}"
    finally:
        os.close(read)
        os.close(write)


def _place_of(name: bytes) -> tuple[int, int]:
    """Where in memory the value of a variable stands with which this process was started, and its size in bytes; (0, 0) if
    that cannot be found out.

    >>> _place_of(b"no such variable")
    (0, 0)
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            text = b"\0" + file.read()
        with open("/proc/self/stat", "rb") as file:
            begin = int(file.read().rpartition(b")")[2].split()[47])  # env_start
    except (OSError, ValueError, IndexError):
        return 0, 0
    at = text.find(b"\0" + name + b"=") + len(name) + 2
    if at < len(name) + 2 or not begin:
        return 0, 0
    return begin + at - 1, text.index(b"\0", at) - at


def _write_over(place: tuple[int, int], value: bytes) -> None:
    """So that what this process leaves behind is known as its own, also what executes no program."""
    address, size = place
    if size != len(value):
        return
    with contextlib.suppress(OSError):
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(value)
