#!/usr/bin/env python3
"""A handler with a model in memory, here a nearest neighbour in numpy (python3-numpy): loaded once, and shared by all processes,
which are forked from it.

    ropewalk worker --service 'nearest=exec:python3 apps/examples/model.py' --slots 4

A message is 64 numbers as JSON; the reply says which of the model's points is the nearest, and how far it is.
"""
import json

import numpy
import ropewalk

POINTS = numpy.random.default_rng(1).random((50_000, 64))  # as much as a model is: 25 MB, which takes a while


@ropewalk.startup
def begin() -> None:
    numpy.random.seed()  # what was drawn before the fork is every process's; what comes is its own


@ropewalk.handler("nearest")
def nearest(message: bytes) -> str:
    distances = numpy.linalg.norm(POINTS - numpy.array(json.loads(message)), axis=1)
    return json.dumps({"point": int(distances.argmin()), "distance": float(distances.min())})


if __name__ == "__main__":
    ropewalk.serve(preload=True)
