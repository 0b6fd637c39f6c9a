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
from typing import Callable, NoReturn, Optional, Union

from ._protocol import HEAD_BYTES, VERSION, Code, Field, Kind, field, fields_of, head, head_of, number_field

_MARK = b"ROPEWALK_RUN"
_DESCRIPTORS = 3  # of a fork: channel, stdout, stderr
_ROOM = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)


class _Asked:
    """A FORK."""

    def __init__(self, id: int, environment: bytes, passed: list[int]) -> None:
        self.id = id
        self.environment = environment
        self.passed = passed

    def close(self) -> None:
        for number in self.passed:
            os.close(number)


class ForkServer:
    """Speaks with the worker over the channel of the program that was loaded."""

    # What a new process does by itself is written for few pages: each that it touches is copied, which is most of what it costs.

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
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
        # SIGTERM ends it; SIGINT would be an exception anywhere. Processes that serve have handlers of their own.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(ConnectionError):
            asked: list[_Asked] = []
            while True:
                try:
                    data, passed = self._read(HEAD_BYTES, socket.MSG_DONTWAIT if asked else 0)
                except BlockingIOError:  # that was all for now
                    own = self._fork(asked)
                    if own:
                        return own
                    asked = []
                    continue
                if not data:
                    break
                length, kind, _, fields, id = head_of(data)
                body = self._read(4 + length - HEAD_BYTES)[0]
                if kind == Kind.HELLO:
                    self._hello(id)
                elif kind == Kind.FORK:
                    asked.append(_Asked(id, body[fields:], passed))
                    if len(passed) != _DESCRIPTORS:
                        asked.pop().close()
                        self._refuse(id, "the descriptors did not get through: raise `ulimit -n`")
                elif kind == Kind.PING:
                    self._channel.sendall(head(Kind.PONG, Code.OK, id, len(body) - fields) + body[fields:])
        return None

    def _read(self, size: int, flags: int = 0) -> tuple[bytes, list[int]]:
        """So many bytes, fewer at the end, and the descriptors that came with them. The flags are for the first of them.

        :raises BlockingIOError: with MSG_DONTWAIT, if there is nothing.
        """
        data = b""
        passed: list[int] = []
        while len(data) < size:
            more, beside, _, _ = self._channel.recvmsg(size - len(data), _ROOM, socket.MSG_CMSG_CLOEXEC | flags)
            for level, type, numbers in beside:
                if (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    passed += array.array("i", numbers)
            if not more:
                break
            data += more
            flags = 0
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

    def _fork(self, asked: list[_Asked]) -> Optional[socket.socket]:
        """Not None: this is one of the new processes, and that its channel."""
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()  # what waits there would be printed by each of them
        why = threads_at_work()
        answers = [why] * len(asked) if why else _fork_orphans(len(asked))
        if isinstance(answers, int):
            for other in asked[:answers] + asked[answers + 1 :]:
                other.close()
            return self._become(asked[answers])
        for one, answer in zip(asked, answers):
            one.close()
            if answer.isdigit():
                self._channel.sendall(head(Kind.FORKED, Code.OK, one.id, 0, number_field(Field.PID, int(answer))))
            else:
                self._refuse(one.id, answer)
        return None

    def _become(self, asked: _Asked) -> socket.socket:
        self._channel.close()
        channel, out, err = asked.passed
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        for entry in asked.environment.split(b"\0"):
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


def _fork_orphans(count: int) -> Union[list[str], int]:
    """In each of so many new processes which it is, from 0 on; in this one, of each its PID, or why there is none.

    Their parent is one that has ended, so that they are the worker's. It is forked for all of them.
    """
    read, write = os.pipe()
    try:
        between = os.fork()
        if not between:
            said = []
            for number in range(count):
                try:
                    pid = os.fork()
                except OSError as error:
                    said.append(f"cannot fork: {error}")
                    continue
                if not pid:
                    return number
                said.append(str(pid))
            os.write(write, "\0".join(said).encode())
            os._exit(0)
        os.close(write)
        write = -1
        os.waitpid(between, 0)
        said = os.read(read, 65536).decode().split("\0")
        return said if len(said) == count and all(said) else ["the process in between was killed"] * count
    except OSError as error:
        return [f"cannot fork: {error}"] * count
    finally:
        os.close(read)
        if write >= 0:
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
    try:
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        os.pwrite(memory, value, address)
        os.close(memory)
    except OSError:
        pass
