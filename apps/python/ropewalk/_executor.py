"""`concurrent.futures.Executor`, by a cluster."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import os
import time
import weakref
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar, Union

from ._address import address_of
from ._calls import Call
from ._connection import FOREVER_MS, options_of
from ._pickling import Pickler
from ._pool import BUNDLED_BYTES, Pool
from ._private import SERVICE, PrivateCluster, find_program, program_of_this
from ._protocol import Field, number_field

T = TypeVar("T")

# What is on its way to a cluster whose size is not known: enough for a few machines.
_IN_FLIGHT = 512

# And for each slot, where it is: the next are there already when one is done.
_IN_FLIGHT_A_SLOT = 16


class _Mapping(concurrent.futures.Executor):
    """What has a `map` that does not take more of what it is given than it needs."""

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[T]:
        """The results of ``fn`` for each of what the iterables have, in order.

        Takes from the iterables as it goes: at most ``buffersize`` results (2000, unless said) are not fetched yet, so an
        endless generator is fine.

        :param timeout: seconds from now, after which the next result raises TimeoutError.
        :param chunksize: so many go with one call.
        :raises ValueError: if chunksize or buffersize is below 1.
        """
        return _map(self.submit, fn, iterables, timeout, chunksize, buffersize)


class Executor(_Mapping):
    """Runs calls in other processes, on this machine or many. In place of ProcessPoolExecutor, with one line changed.

    **Pickle means trust**: the workers run whatever code they are sent, and this program loads what they answer. Use it with a
    cluster where everybody who may ask for its service is trusted with a shell there, as with ``Executor()``, which starts a
    broker and a worker that nobody else can use.

    What is different from ProcessPoolExecutor: a process that dies costs its call a retry, or :class:`WorkerLost` for that
    call alone, and the others nothing; :meth:`~concurrent.futures.Future.cancel` ends a call that runs; a call can have a
    ``timeout``. Threads of it are daemons: what is not done when the interpreter ends is cancelled, unless the executor was
    used by ``with`` or shut down before.

    :param max_workers: how many calls run at a time; a private cluster's processes, one a processor unless said. It may be
        the first argument, as ProcessPoolExecutor's is.
    :param url: a cluster, ``ropewalk://token@host:7070``, in place of a private one. Its workers run
        ``exec:python3 -m ropewalk.executor``. Credentials as for :class:`Client`.
    :param mp_context: is accepted, and of no use here: processes are always fresh ones.
    :param initializer: called with ``initargs`` once in each process, before the first call. If it raises, calls raise
        ``concurrent.futures.BrokenExecutor``.
    :param max_tasks_per_child: a process is replaced after so many calls, or (but for 1) a few more: it works until the next
        one is ready. (Of a cluster that is the worker's option, ``recycle-after``.)
    :param timeout: seconds from a call's submission to its end; then it is ended and raises :class:`Timeout`.
    :param attempts: how often a call may be started if its processes die; 1 is at most once.
    :param service: the name of the cluster's service.
    :raises FileNotFoundError: if a private cluster is wanted and the program ``ropewalk`` is not there.
    :raises ValueError: where an argument makes no sense.

    >>> with Executor(2) as pool:                                                    # doctest: +SKIP
    ...     pool.submit(pow, 2, 10).result(), list(pool.map(abs, [-1, -2]))
    (1024, [1, 2])
    """

    def __init__(
        self,
        max_workers: Union[int, str, None] = None,
        mp_context: Any = None,
        initializer: Optional[Callable[..., Any]] = None,
        initargs: tuple[Any, ...] = (),
        *,
        url: Optional[str] = None,
        max_tasks_per_child: Optional[int] = None,
        timeout: Optional[float] = None,
        attempts: Optional[int] = None,
        service: str = SERVICE,
        **credentials: Any,
    ) -> None:
        if isinstance(max_workers, str):
            max_workers, url = None, max_workers
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._options: dict[str, Any] = {"timeout": timeout, "attempts": attempts, "priority": "normal", "key": None}
        self._service = service
        self._bundles = max_tasks_per_child is None
        self._fixed = self._fixed_fields(self._options)
        if url is None:
            slots = max_workers or len(os.sched_getaffinity(0))
            about = program_of_this()
            self._pool = Pool(_IN_FLIGHT_A_SLOT * slots, slots)
            self._pool.start_private(PrivateCluster(find_program(), slots, max_tasks_per_child, about))
            self._pickler = Pickler(bool(about["main"]), initializer, initargs)
        else:
            address = address_of(url, **credentials)
            self._pool = Pool(_IN_FLIGHT_A_SLOT * max_workers if max_workers else _IN_FLIGHT, max_workers)
            self._pool.connect(address)
            self._pickler = Pickler(False, initializer, initargs)
        self._pool.fixed_of_bundles = self._fixed_fields({**self._options, "attempts": 1})
        self._pool.fixed_of_second_starts = self._fixed_fields({**self._options, "attempts": max(1, (attempts or 3) - 1)})
        self._finalizer = weakref.finalize(self, self._pool.shutdown, False)
        self._finalizer.atexit = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[T]":
        """Has ``fn(*args, **kwargs)`` called in another process; returns the future of its result. Never waits.

        What cannot be pickled is the future's exception.

        :raises RuntimeError: after :meth:`shutdown`.
        """
        return self._submit(self._fixed, self._options, fn, args, kwargs)

    def _submit(self, fixed: bytes, options: dict[str, Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> Call:
        timeout = options["timeout"]
        expires = None if timeout is None else time.monotonic() + timeout
        call = Call(self._pool, fixed, expires, options["attempts"] == 1)
        try:
            call.pieces, call.size, call.name = self._pickler.call(fn, args, kwargs)
            if not self._bundles or fixed is not self._fixed or timeout is not None or options["attempts"] == 1 or call.size > BUNDLED_BYTES:
                call.name = None
        except Exception as error:
            if self._pool.refusal is not None:
                raise self._pool.refusal from None
            call.set_exception(error)
            return call
        self._pool.submit(call)
        return call

    def _fixed_fields(self, options: dict[str, Any]) -> bytes:
        fixed = options_of(self._service, options["attempts"], options["priority"], options["key"])
        return fixed if options["timeout"] is not None else fixed + number_field(Field.DEADLINE, FOREVER_MS)

    def options(self, **changed: Any) -> "WithOptions":
        """This executor, with other options for the calls that are made by it: ``timeout``, ``attempts``, ``priority``
        (``low``, ``normal``, ``high``) and ``key`` (bytes: calls with the same key run one after the other).

        >>> Executor(2).options(timeout=5, attempts=1).submit(pow, 2, 3).result()    # doctest: +SKIP
        8
        """
        unknown = set(changed) - set(self._options)
        if unknown:
            raise TypeError(f"a call has no option '{min(unknown)}'; there are: {', '.join(self._options)}")
        options = {**self._options, **changed}
        return WithOptions(self, self._fixed_fields(options), options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls.

        :param wait: return when all calls are done and the private cluster has ended; else that happens by itself.
        :param cancel_futures: cancel what has not begun. (Of a cluster: what was not sent, unless ``max_workers`` says how
            many calls can be running.)
        """
        with self._pool.lock:
            if self._pool.refusal is None:
                self._pool.refusal = RuntimeError("cannot schedule new futures after shutdown")
        if cancel_futures:
            self._pool.cancel_waiting()
        self._pool.shutdown(wait)

    def terminate_workers(self) -> None:
        """Cancels all calls, also those that run, and ends the private cluster. Of another one only these calls are ended."""
        self.kill_workers()

    def kill_workers(self) -> None:
        """The same: a call that runs is ended by SIGKILL."""
        with self._pool.lock:
            self._pool.refusal = self._pool.refusal or RuntimeError("cannot schedule new futures after shutdown")
        self._pool.cancel_all()
        self._pool.end(now=True)


class WithOptions(_Mapping):
    """An executor whose calls have options of their own; see :meth:`Executor.options`."""

    def __init__(self, executor: Executor, fixed: bytes, options: dict[str, Any]) -> None:
        self._executor = executor
        self._fixed = fixed
        self._options = options

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[T]":
        """As :meth:`Executor.submit`."""
        return self._executor._submit(self._fixed, self._options, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """That of the executor."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


_BUFFERED_RESULTS = 2000


def _chunk(function: Callable[..., T], chunk: list[tuple[Any, ...]]) -> list[T]:
    return [function(*args) for args in chunk]


def _map(
    submit: Callable[..., Any],
    function: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    timeout: Optional[float],
    chunksize: int,
    buffersize: Optional[int],
) -> Iterator[Any]:
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    deadline = None if timeout is None else time.monotonic() + timeout
    arguments = zip(*iterables)
    window = max(1, (buffersize or _BUFFERED_RESULTS) // chunksize)

    def more() -> Iterator[Any]:
        if chunksize == 1:
            for args in arguments:
                yield submit(function, *args)
        else:
            while chunk := list(itertools.islice(arguments, chunksize)):
                yield submit(_chunk, function, chunk)

    coming = more()
    futures = collections.deque(itertools.islice(coming, window))

    # Submitted already when this is called, as the standard library's.
    def in_order() -> Iterator[Any]:
        try:
            while futures:
                left = None if deadline is None else deadline - time.monotonic()
                future = futures.popleft()
                try:
                    results = [future.result(left)] if chunksize == 1 else future.result(left)
                except BaseException:
                    futures.append(future)  # to be cancelled with the rest, if it is not done
                    raise
                del future
                futures.extend(itertools.islice(coming, 1))
                results.reverse()
                while results:
                    yield results.pop()  # no reference stays here
        finally:
            for future in futures:
                future.cancel()

    return in_order()
