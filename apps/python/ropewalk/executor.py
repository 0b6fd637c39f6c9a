"""The worker's side of :class:`ropewalk.Executor`: runs whatever Python it is sent.

    ropewalk worker --service 'python=exec:python3 -m ropewalk.executor' --set python.stop-timeout=30ms

**Pickle means trust**: who may ask for this service runs code as the worker's user. Offer it where you would give those
who ask a shell; let nobody but them reach the broker (``--access-file``, ``--cluster-tls``). With ``--modules`` calls are
held to the functions of named modules, and their arguments to the classes of these and plain data:

    ropewalk worker --service 'python=exec:python3 -m ropewalk.executor --modules scores,pictures'

That narrows what can be asked; a module that itself evaluates what it is given is as open as ever.
"""

from __future__ import annotations

import argparse
import builtins
import importlib
import io
import os
import pickle
import sys
import time
import types
from typing import Any, Callable, Optional, Sequence

from ._handlers import serve_raw, startup
from ._pickling import BUNDLE, BY_NAME, KEYWORDS, View, bundle_of, parts_of, parts_of_bundle, raised_pieces, result_pieces
from ._protocol import Piece
from ._serve import serve

_PLAIN = frozenset(
    "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple".split()
) | {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}


# Of calls that came together because they are short, those that have not begun by then are given back: they are not.
_BUNDLE_SECONDS = 0.02


class InitializerFailed(Exception):
    """The initializer raised; the executor is of no use. Its ``__cause__`` is what it raised."""


class _Held(pickle.Unpickler):
    """Finds nothing but what is in the named modules, and plain data."""

    modules: Sequence[str] = ()

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name in _PLAIN:
            return getattr(builtins, name)
        found: Any = None
        if self._allows(module):
            found = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
                # Not on to the modules that it imports, nor to what it has from them.
                if isinstance(found, types.ModuleType) or not self._allows(getattr(found, "__module__", None) or module):
                    found = None
                    break
        if found is None:
            raise pickle.UnpicklingError(f"this worker is held to the modules {', '.join(self.modules)}: not {module}.{name}")
        return found

    def _allows(self, module: str) -> bool:
        return any(module == one or module.startswith(one + ".") for one in self.modules)


class Worker:
    """Runs calls in this process, one after the other.

    >>> from ropewalk._pickling import Pickler, result_of
    >>> (payload,), _, _ = Pickler(True, None, ()).call(divmod, (7, 2), {})
    >>> result_of(b"".join(Worker().run(payload)))
    ((3, 1), None)
    """

    def __init__(self, modules: Sequence[str] = (), load_main: Optional[Callable[[], bool]] = None) -> None:
        self._load_main = load_main
        self._named: dict[bytes, Callable[..., Any]] = {}
        self._initialized: Optional[bytes] = None
        self._broken: Optional[BaseException] = None
        self._held: Optional[type[_Held]] = type("_HeldTo", (_Held,), {"modules": tuple(modules)}) if modules else None

    def run(self, payload: View) -> list[Piece]:
        """A call's pieces in, its result's out. Whatever the call does short of ending the process: there is a result."""
        if payload[0] & BUNDLE:
            until = time.monotonic() + _BUNDLE_SECONDS
            calls = parts_of_bundle(payload)
            return [bundle_of([b"".join(self.run(call)) if time.monotonic() < until else b"" for call in calls])]
        try:
            flags, initializer, function_blob, arguments, buffers = parts_of(payload)
            if initializer:
                self._initialize(bytes(initializer))
            function = self._function(flags, bytes(function_blob))
            about = self._loads(arguments, buffers)
            began = time.perf_counter()
            if flags & KEYWORDS:
                result = function(*about[0], **about[1])
            else:
                result = function(*about)
            return result_pieces(result, min(int((time.perf_counter() - began) * 1e6), 0xFFFFFFFE))
        except BaseException as error:  # SystemExit, too: as in ProcessPoolExecutor's processes
            return raised_pieces(error)

    def _function(self, flags: int, blob: bytes) -> Callable[..., Any]:
        if not flags & BY_NAME:
            function: Callable[..., Any] = self._loads(blob, ())
            return function
        known = self._named.get(blob)
        if known is None:
            known = self._loads(blob, ())
            if len(self._named) > 1000:
                self._named.clear()
            self._named[blob] = known
        return known

    def _loads(self, blob: View, buffers: Sequence[View]) -> Any:
        if self._held is not None:
            return self._held(io.BytesIO(blob), buffers=buffers).load()
        try:
            return pickle.loads(blob, buffers=buffers)
        except AttributeError:
            # Something of the caller's own program, which is loaded only when it is wanted.
            if self._load_main is None or not self._load_main():
                raise
            return pickle.loads(blob, buffers=buffers)

    # Once a process; of two callers with different ones, each gets its own.
    def _initialize(self, blob: bytes) -> None:
        if blob != self._initialized:
            self._broken = None
            self._initialized = blob
            try:
                function, arguments = self._loads(blob, ())
                function(*arguments)
            except BaseException as error:
                self._broken = error
        if self._broken is not None:
            raise InitializerFailed(f"the initializer raised {type(self._broken).__name__}: {self._broken}") from self._broken


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Serves calls until the worker says that there are no more."""
    parser = argparse.ArgumentParser(prog="python3 -m ropewalk.executor", description="runs calls of ropewalk.Executor")
    parser.add_argument("--modules", default="", help="run only functions of these modules, with commas between them")
    parser.add_argument("--private", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    load_main: Optional[Callable[[], bool]] = None
    if options.private:
        from . import _private_worker  # only here: with it come parts of multiprocessing

        _private_worker.prepare(options.private)
        startup(_private_worker.take_output)
        load_main = _private_worker.load_main
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    worker = Worker([one for one in options.modules.split(",") if one], load_main)
    serve_raw(worker.run)
    serve(preload=True)  # after a call that was ended the next process is there at once


if __name__ == "__main__":
    from ropewalk.executor import main as _main  # and not as __main__, which is the caller's program's name

    _main()
