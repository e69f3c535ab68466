"""A small core of `tests/load.py`: every engine and number of workers, and killed workers, give the same bytes (SPEC 7, law 4)."""

import shutil
from pathlib import Path

import pytest

from tests.load import KILLED, WAYS, Seen, make_project, run_way, write_load

SMALL = """from distill.units import cutting, jobs, parts
cutting.cut_file.__kwdefaults__['size'] = 20_000
parts._BUCKET = 30_000
jobs._SMALL, jobs._BATCH = 10_000, 15_000
"""
SLOW = (
    SMALL
    + """import time
from distill.units import collect, exports, score
for module, name in ((collect, 'collect_unit'), (score, 'score_unit'), (exports, 'export_unit')):
    def slow(context, payload, *, honest=getattr(module, name)):
        time.sleep(0.05)
        return honest(context, payload)
    setattr(module, name, slow)
"""
)


IMPATIENT = f"{SMALL}from distill.units import seats\nseats._LOOKS = 0\n"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of half a megabyte, one file of which is more than half of it."""
    folder = tmp_path_factory.mktemp("load") / "logs"
    write_load(folder, 0.5)
    return folder


@pytest.fixture(scope="module")
def alone(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What one process alone makes of it, in units of the usual size."""
    return run_way(make_project(tmp_path_factory.mktemp("alone") / "project", logs), "inline")


@pytest.mark.parametrize("name", WAYS)
def test_every_engine_gives_the_same_bytes(logs: Path, alone: Seen, tmp_path: Path, name: str) -> None:
    """No engine, no number of workers, no size of units and no killed worker reaches the bytes."""
    project = make_project(tmp_path / "project", logs, head=SLOW if name == KILLED else SMALL)

    seen = run_way(project, name)

    assert (seen.code, seen.files, seen.run_hash) == (0, alone.files, alone.run_hash)
    assert (len(seen.killed) >= 2) is (name == KILLED)
    assert list((project.folder / ".distill/parts").rglob("*distill-tmp*")) == []


@pytest.mark.parametrize("name", ["inline", "2 processes"])
def test_rows_that_do_not_go_to_their_seats_are_copied(logs: Path, alone: Seen, tmp_path: Path, name: str) -> None:
    """Where no worker waits until it is known where its rows start, the process that shares out the work puts them in their place."""
    mine = Path(shutil.copytree(logs, tmp_path / "logs"))
    project = make_project(tmp_path / "project", mine, head=IMPATIENT)

    built = run_way(project, name)
    log = max(mine.iterdir(), key=lambda path: path.stat().st_size)
    log.write_bytes(log.read_bytes() + log.read_bytes().split(b"\n")[0] + b"\n")
    grown, fresh = run_way(project, name), run_way(make_project(tmp_path / "fresh", mine), "inline")

    assert (built.code, built.files, built.run_hash) == (0, alone.files, alone.run_hash)
    assert (grown.code, grown.files) == (0, fresh.files)
