"""What a process of a private cluster takes over from the program that it works for: its output, its path, its main module."""

from __future__ import annotations

import json
import os
import socket
import sys
from multiprocessing import process
from typing import Any, Optional

_main: Optional[dict[str, Any]] = None
_output = ""


def prepare(folder: str) -> None:
    """Once, at the start, in a process of the private cluster of that folder, or in the one that they are forked from."""
    global _main, _output
    _output = os.path.join(folder, "output")
    with open(os.path.join(folder, "program.json"), encoding="utf-8") as file:
        program = json.load(file)
    sys.path[:] = program["path"]
    sys.argv[:] = program["argv"]
    _main = program["main"]
    process.current_process().authkey = bytes.fromhex(program["authkey"])


def load_main() -> bool:
    """Imports the program's main module, as multiprocessing's processes that are spawned do; false if that was done, or there
    is none.
    """
    global _main
    about, _main = _main, None
    if not about:
        return False
    from multiprocessing import spawn

    spawn.prepare(about)
    return True


def take_output() -> None:
    """What calls print comes where the program's own does: once in each process."""
    try:
        with socket.socket(socket.AF_UNIX) as from_launcher:
            from_launcher.settimeout(5)
            from_launcher.connect(_output)
            _, descriptors, _, _ = socket.recv_fds(from_launcher, 1, 2)
        for number, descriptor in enumerate(descriptors, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    except OSError:
        pass  # then it is in the worker's log
