#!/usr/bin/env python3
"""A handler that keeps what it has read: of a message that says N, N MiB, 100 MiB a second."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "apps/python"))

import ropewalk  # noqa: E402

kept = []


@ropewalk.handler("thumb")
def thumb(message: bytes) -> bytes:
    for _ in range(int(message)):
        kept.append(b"x" * (1 << 20))
        time.sleep(0.01)
    return b"done"


if __name__ == "__main__":
    ropewalk.serve()
