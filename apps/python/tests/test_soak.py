"""Cancellations, time-outs and deaths at random: 5 s here, a minute and 10,000 calls with ROPEWALK_SOAK_SECONDS=60."""

import os

import pytest
import soak
from cluster import program


def test_no_future_hangs_and_nothing_is_left(tmp_path):
    if program() is None:
        pytest.skip("the program ropewalk is not built (cmake --build --preset release), and ROPEWALK_PROGRAM names none")
    os.environ["ROPEWALK_PROGRAM"] = program()
    print(soak.soak(tmp_path))
