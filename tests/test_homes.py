"""Homes: what a bucket of the resolution made stands as long as the evidence that it read does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.hashing import hash_bytes
from distill.units.homes import Home, Homes
from distill.units.parts import Part
from tests.harness import DODO, Project, many_outcomes
from tests.test_incremental import INLINE, LOG, SMALL, append, is_unit, part_files, small_project


def shared_project(folder: Path) -> Project:
    """Return a project, not built yet, that spreads the runs of a long log over many buckets; two rows in it are of one run."""
    project = small_project(folder)
    project.write("dodo.py", f"{SMALL}{DODO}\nfrom distill.units import parts\nparts._BUCKET = 500\n")
    rows = many_outcomes(200)
    rows[5:5] = [rows[4] | {"model": "model-x"}]
    project.log("2026/outcomes.jsonl", rows)
    return project


def resolution_parts(project: Project) -> dict[str, tuple[int, int]]:
    """Return the state of every part of a bucket of the resolution."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in part_files(project, "score") if not is_unit(path)}


def change_model(project: Project) -> None:
    """Make another row of one in the log that shares its run, without moving anything."""
    log = (project.folder / LOG).read_bytes()
    assert log.count(b"model-x") == 1
    (project.folder / LOG).write_bytes(log.replace(b"model-x", b"model-y"))


@pytest.mark.parametrize("change", [append, change_model])
def test_what_a_bucket_read_of_the_evidence_is_asked_for_again(tmp_path: Path, change: Callable[[Project], None]) -> None:
    """Buckets of the resolution stand while the evidence they read does; a row they did read and that changed is read again."""
    project, fresh = shared_project(tmp_path / "project"), shared_project(tmp_path / "fresh")
    assert project.doit(env=INLINE).code == 0
    before = resolution_parts(project)
    change(project)
    change(fresh)

    assert [project.doit(env=INLINE).code, fresh.doit(env=INLINE).code] == [0, 0]

    after = resolution_parts(project)
    changed = {name for name, state in after.items() if before.get(name) != state}
    assert project.data_files() == fresh.data_files()
    assert len(after) > 20
    assert 0 < len(changed) < 0.2 * len(after)


def test_a_unit_that_grew_keeps_what_was_read_of_it(tmp_path: Path) -> None:
    """Of a unit that has grown at its end, what a bucket read before stands; of one that was changed, or is shorter, it does not."""
    whole = b"".join(b"line %d\n" % number for number in range(9))
    (tmp_path / "data/evidence").mkdir(parents=True)
    (tmp_path / "data/evidence/log").write_bytes(b"before\n" + whole)
    now = Home("log", 7, 7 + len(whole), hash_bytes(whole))
    short = Home("log", 7, 7 + 14, hash_bytes(whole[:14]))
    cases = [
        now,
        short,
        short._replace(digest=hash_bytes(b"other")),
        now._replace(end=99),
        now._replace(start=0),
        now._replace(partition="x"),
    ]

    found = [Homes(tmp_path, [now]).hold(Part("", {}, {"read": [list(home)]})) for home in cases]

    assert found == [True, True, False, False, False, False]
    assert Homes(tmp_path, [now]).hold(Part("", {}, {"read": []}))
    assert not Homes(tmp_path, [now]).hold(Part("", {}, {"read": [list(now), list(now._replace(end=99))]}))
