"""What tests have called in other processes."""

import ctypes
import os
import signal
import sys
import threading
import time


def echo(value):
    return value


def mark(path, seconds=0.0):
    """Leaves a line in a file for each time that it runs, and takes so long."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def fail(text):
    raise LookupError(text)


class Awkward(Exception):
    """Cannot be loaded from its own pickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()


def raise_awkward():
    raise Awkward(1, 2)


def raise_unpicklable():
    raise Unpicklable


def return_unpicklable():
    return threading.Lock()


def segfault():
    ctypes.string_at(0)


def die_once(path):
    """Kills its process the first time, and is done the second."""
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def exit_python():
    sys.exit(3)


def hold_the_lock():
    """Runs, in C, with Python's lock held."""
    ctypes.PyDLL(None).sleep(1000)


def fork_and_leave():
    """Leaves a child behind."""
    child = os.fork()
    if child == 0:
        time.sleep(1000)
        os._exit(0)
    return child


state = []


def initialize(value):
    state.append(value)


def fail_to_initialize():
    raise OSError("no such model")


def get_state():
    return list(state)


def random_end(how, seconds):
    """Sleeps, then ends in one of the ways in which calls end."""
    time.sleep(seconds)
    if how == "raise":
        raise LookupError("raised")
    if how == "exit":
        os._exit(9)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return how
