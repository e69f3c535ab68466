"""Engines: the order of results, errors with their fields, workers that die, and nothing left behind."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distill.engine import Engine, Inline, Processes, Task, count_workers, make_engine
from distill.errors import ConfigError, ContaminationError, WorkerError
from tests import engine_tasks

ENGINES = {"inline": 1, "one process": 1, "two processes": 2, "seven processes": 7}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine, with the number 1,000 shared."""
    made: Engine = Inline(1000) if request.param == "inline" else Processes(ENGINES[request.param], 1000)
    yield made
    made.close()


def tasks(name: str, payloads: Any) -> list[Task]:
    """Return a task for every payload."""
    return [Task(f"{engine_tasks.__name__}:{name}", payload, f"place {number}") for number, payload in enumerate(payloads)]


def children() -> set[int]:
    """Return the children of this process."""
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_tasks(engine: Engine, count: int) -> None:
    """Every task has one result, in the order of the tasks, and an engine can be asked again."""
    found = [list(engine.map(tasks("add", range(count)))) for _ in range(2)]

    assert found == [[1000 + number for number in range(count)]] * 2


def test_slow_tasks_hold_up_no_order(engine: Engine) -> None:
    """A task that takes longer than those after it still comes first."""
    times = [0.2, 0.0, 0.05, 0.0, 0.1, 0.0]

    assert list(engine.map(tasks("sleep", times))) == times


def test_tasks_are_asked_for_as_they_are_needed() -> None:
    """No more than three tasks a worker are taken ahead of the one that is waited for."""
    engine, taken = Processes(2, 0), []

    def source() -> Iterator[Task]:
        for task in tasks("add", range(100)):
            taken.append(task)
            yield task

    results = engine.map(source())
    assert next(results) == 0
    engine.close()

    assert len(taken) <= 7


@pytest.mark.parametrize(("name", "kind", "fields"), [
    ("contamination", ContaminationError, {"violations": tuple(f"line {number}" for number in range(12))}),
    ("config", ConfigError, {"problems": ("one", "two")}), ("os", FileNotFoundError, {"errno": 2, "filename": "some/file"}),
    ("value", ValueError, {"args": ("wrong",)}),
])  # fmt: skip
def test_an_error_comes_through_with_its_fields(engine: Engine, name: str, kind: type[Exception], fields: dict[str, Any]) -> None:
    """What a task raises is raised where its result is taken, of its class and with its fields; results before it come first."""
    found = []

    with pytest.raises(kind) as caught:
        for result in engine.map([*tasks("add", [1, 2]), *tasks("raise_error", [name])]):
            found.append(result)

    assert type(caught.value) is kind
    assert {field: getattr(caught.value, field) for field in fields} == fields
    assert found == [1001, 1002][: len(found)]


@pytest.mark.parametrize("times", [1, 2])
def test_the_task_of_a_dead_worker_is_run_again(tmp_path: Path, times: int) -> None:
    """A worker that dies once or twice on a task costs nothing but time, whichever task it is."""
    engine = Processes(2, None)
    payloads = [(str(tmp_path), number, times if number in {0, 4, 9} else 0) for number in range(10)]

    found = list(engine.map(tasks("end_itself", payloads)))

    engine.close()
    assert found == list(range(10))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_kills_three_workers_is_named(tmp_path: Path, workers: int) -> None:
    """A task on which three workers died is a WorkerError with its place and the way out; no worker is left."""
    before = children()
    engine = Processes(workers, None)
    payloads = [(str(tmp_path), number, 3 if number == 2 else 0) for number in range(4)]

    with pytest.raises(WorkerError, match=r"^place 2: the worker died 3 times .*exit status -9.*lower workers"):
        list(engine.map(tasks("end_itself", payloads)))

    assert children() == before


@pytest.mark.parametrize("ending", ["close", "error", "left in the middle"])
def test_no_child_is_left_behind(ending: str) -> None:
    """After `close`, an error or a map nobody finishes, the process has the children it had before."""
    before = children()
    engine = Processes(3, 0)
    results = engine.map(tasks("name_process", range(20)))
    workers = {next(results), *children()} - before

    if ending == "error":
        with pytest.raises(ValueError, match="wrong"):
            list(engine.map(tasks("raise_error", ["value"])))
    results.close()  # type: ignore[attr-defined]  # it is a generator
    engine.close()

    assert workers
    assert children() == before


def test_workers_are_processes_of_their_own() -> None:
    """Two workers share the tasks, and this process does none of them."""
    engine = Processes(2, None)

    found = set(engine.map(tasks("name_process", range(10))))

    engine.close()
    assert len(found) == 2
    assert os.getpid() not in found


def test_a_result_that_cannot_travel_is_an_error_and_no_wait() -> None:
    """A result that cannot be sent ends in an error within moments."""
    engine, start = Processes(1, None), time.monotonic()

    with pytest.raises(Exception, match=r"place 0|pickle|lambda"):
        list(engine.map(tasks("unpicklable", [1])))

    engine.close()
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(("name", "workers", "kind"), [("inline", 4, Inline), ("processes", 1, Inline), ("processes", 2, Processes)])
def test_the_setting_chooses_the_engine(name: str, workers: int, kind: type[Any]) -> None:
    """`engine` and `workers` choose; one worker alone needs no process of its own, and 0 means every core there is."""
    assert isinstance(make_engine(count_workers(name, workers), None), kind)
    assert count_workers("processes", 0) == len(os.sched_getaffinity(0))
