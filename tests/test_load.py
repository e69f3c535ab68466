"""A small core of `tests/load.py`: every engine and number of workers, and killed workers, give the same bytes (SPEC 7, law 4)."""

from pathlib import Path

import pytest

from tests.load import KILLED, WAYS, Seen, make_project, run_way, write_load

SMALL = """from distill.units import cutting, parts, workshop
cutting.cut_file.__kwdefaults__['size'] = 20_000
parts._BUCKET = 30_000
workshop._SMALL, workshop._BATCH = 10_000, 15_000
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
