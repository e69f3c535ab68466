"""Where units are worked on: in this process or on local processes. An engine maps a function over tasks and nothing else.

Law: results come in the order of the tasks, and are the same from every engine. A task is a function's name and plain values, so
that any engine can carry it; the function knows neither engine nor worker. A worker that dies has its task run again, twice at
most.
"""

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, Protocol

from distill.errors import WorkerError

__all__ = ["AHEAD", "Engine", "Inline", "Processes", "Task", "count_workers", "make_engine"]

RERUNS = 2
AHEAD = 3
"""Results for each worker that may wait to be taken."""
_MALLOC = ((-1, 1 << 28), (-2, 1 << 24), (-3, 1 << 28))
"""glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD, in bytes."""


class Task(NamedTuple):
    """One call."""

    function: str
    """`module:name` of a function of (context, payload)."""
    payload: Any
    """Plain values."""
    place: str
    """What it works on, for a person: file and byte range."""


class Engine(Protocol):
    """Maps tasks to results."""

    def map(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the result of each task, in order; what a task raises is raised here."""

    def close(self) -> None:
        """Let the workers go."""


@cache
def _function(name: str) -> Callable[[Any, Any], Any]:
    module, attribute = name.split(":")
    function: Callable[[Any, Any], Any] = getattr(import_module(module), attribute)
    return function


class Inline:
    """Every task in this process, one after the other."""

    def __init__(self, context: Any) -> None:
        """Keep what every task shares."""
        self._context = context
        _keep_memory()

    def map(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the result of each task."""
        for task in tasks:
            collecting = gc.isenabled()
            gc.disable()  # a unit makes many records and no cycles
            try:
                result = _function(task.function)(self._context, task.payload)
            finally:
                if collecting:
                    gc.enable()
            yield result

    def close(self) -> None:
        """Do nothing."""


class _Worker:
    """One process and its pipe."""

    def __init__(self, kind: Any, context: Any) -> None:
        self.pipe, theirs = kind.Pipe()
        self.process = kind.Process(target=_serve, args=(theirs, self.pipe, context), daemon=True)
        self.process.start()
        theirs.close()
        self.job: tuple[int, Task] | None = None

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _keep_memory() -> None:
    """Let the C library keep what a unit gave back for the next one; else it hands its large blocks to the system and asks for them anew.

    Measured on 100,000 rows: half as many page faults. Where the library knows no `mallopt`, nothing happens.
    """
    with suppress(AttributeError):
        mallopt = _library().mallopt
        for name, value in _MALLOC:
            mallopt(name, value)


def _give_back() -> None:
    """Let the C library give back what it keeps, so that workers do not start with the holes a stage before left."""
    with suppress(AttributeError):
        _library().malloc_trim(0)


@cache
def _library() -> Any:
    """Return the C library."""
    import ctypes  # noqa: PLC0415 -- only where there is work

    with suppress(OSError):
        return ctypes.CDLL(None)
    return None


def _serve(pipe: Connection, other: Connection, context: Any) -> None:
    """Work until the other end is gone."""
    other.close()
    _keep_memory()
    gc.freeze()
    gc.disable()  # a unit makes many records and no cycles
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        while True:
            name, payload = pipe.recv()
            try:
                answer = (True, _function(name)(context, payload))
            except Exception as err:  # noqa: BLE001 -- raised again where the stage runs
                answer = (False, err)
            pipe.send(answer)
    os._exit(0)


class Processes:
    """Tasks on local processes; each worker has one at a time."""

    def __init__(self, workers: int, context: Any) -> None:
        """Start nothing yet."""
        self._kind = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
        self._count, self._context = workers, context
        self._workers: list[_Worker] = []

    def map(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the result of each task; a few are worked on ahead of the one that is waited for."""
        source, again = enumerate(tasks), deque[tuple[int, Task]]()
        done: dict[int, Any] = {}
        tries: dict[int, int] = {}
        wanted, left = 0, True
        try:
            while True:
                for worker in self._idle():
                    job = again.popleft() if again else None
                    if job is None and left and len(done) + len(self._busy()) < AHEAD * self._count:
                        job = next(source, None)
                        left = job is not None
                    if job is None:
                        break
                    self._give(worker, job)
                if wanted in done:
                    yield done.pop(wanted)
                    wanted += 1
                elif self._busy():
                    self._collect(done, again, tries)
                elif not again and not left:
                    return
        except BaseException:
            self.close()
            raise

    def _idle(self) -> list[_Worker]:
        if len(self._workers) < self._count:
            _give_back()
        while len(self._workers) < self._count:
            self._workers.append(_Worker(self._kind, self._context))
        return [worker for worker in self._workers if worker.job is None]

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.job is not None]

    @staticmethod
    def _give(worker: _Worker, job: tuple[int, Task]) -> None:
        worker.job = job
        with suppress(OSError):  # it died meanwhile; the next receive tells
            worker.pipe.send((job[1].function, job[1].payload))

    def _collect(self, done: dict[int, Any], again: deque[tuple[int, Task]], tries: dict[int, int]) -> None:
        """Take what is ready; put the task of a dead worker back."""
        ready = wait([worker.pipe for worker in self._busy()])
        for worker in self._busy():
            if worker.pipe not in ready or worker.job is None:
                continue
            number, task = worker.job
            try:
                good, value = worker.pipe.recv()
            except (EOFError, OSError):
                worker.end()
                self._workers.remove(worker)
                tries[number] = tries.get(number, 0) + 1
                if tries[number] > RERUNS:
                    status = worker.process.exitcode
                    raise WorkerError(
                        f"{task.place}: the worker died {tries[number]} times on this unit (exit status {status}); "
                        "look for a kill by the system for lack of memory, lower workers, then run doit again"
                    ) from None
                again.append((number, task))
                continue
            worker.job = None
            if not good:
                raise value
            done[number] = value

    def close(self) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()


def count_workers(name: str, workers: int) -> int:
    """Return how many workers an engine has; `workers` 0 means all cores this process may use."""
    if name == "inline":
        return 1
    return workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def make_engine(workers: int, context: Any) -> Engine:
    """Return the engine of so many workers; at most `AHEAD` results for each of them wait to be taken."""
    return Inline(context) if workers == 1 else Processes(workers, context)
