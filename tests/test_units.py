"""Stages over units against the plain generators: byte for byte and count for count, however small the units are (DESIGN 3)."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from distill.hashing import hash_file
from distill.plan import build_plan
from distill.runner import Work, run_stage
from distill.stages import INDEX, STAGES
from distill.units import cutting, exceptions, fates, growing, jobs, parts, score
from distill.validation import validate_stage
from tests.corpora import change_corpus, judge_by_reference, load, write_corpus
from tests.harness import Project

SEEDS = range(400 if os.environ.get("DISTILL_SLOW") == "1" else 24)


def make_small(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let units, batches of them and buckets hold next to nothing, or less, or all there is."""
    unit, batch, bucket = (1, 300, 2000, 1 << 20)[seed % 4], (1, 500, 3000, 1 << 20, 1 << 20)[seed % 5], (1, 500, 5000)[seed % 3]
    monkeypatch.setattr(jobs, "_SMALL", (1, batch)[seed // 5 % 2])
    monkeypatch.setattr(jobs, "_BATCH", batch)
    monkeypatch.setitem(cutting.cut_file.__kwdefaults__ or {}, "size", unit)
    monkeypatch.setattr(parts, "_BUCKET", bucket)
    monkeypatch.setattr(growing, "_SECTION", (1 << 20, 700)[seed // 7 % 2])
    monkeypatch.setattr(exceptions, "_HELD", (1 << 20, 0)[seed // 3 % 2])
    monkeypatch.setattr(fates, "_FATES", (1 << 12, 1)[seed // 2 % 2])
    monkeypatch.setattr(score, "_REMEMBERED", (1 << 14, 1)[seed // 2 % 2])


def hashes_in(project: Project) -> Any:
    """Return what the store does for a stage: the hashes of a file as it lies there."""

    def known(path: str) -> tuple[str, str] | None:
        file = project.folder / path
        found = hash_file(file, sha256=True) if file.is_file() else None
        return None if found is None else (found.blake3, found.sha256)

    return known


def check_stages(project: Project, **settings: Any) -> Counter[str]:
    """Run every stage and hold it against its reference; return what was met."""
    config, met = load(project, **settings), Counter[str]()
    plan = build_plan(project.folder, config)
    for stage in STAGES:
        if INDEX in stage.outputs(plan):
            continue
        done = run_stage(stage, Work(project.folder, plan, config, known_hashes=hashes_in(project)))
        wanted = judge_by_reference(stage, project, config)
        for path, data in wanted.files.items():
            assert (project.folder / path).read_bytes().split(b"\n") == data.split(b"\n"), f"{stage.name}: {path}"
        assert done.stats == wanted.stats, stage.name
        assert {file.path: file.record_count for file in done.inputs.files} == wanted.records, stage.name
        for file in done.outputs.files:
            found = hash_file(project.folder / file.path, sha256=True)
            assert (file.blake3, file.sha256, file.bytes) == (found.blake3, found.sha256, found.bytes), file.path
            assert wanted.files[file.path].count(b"\n") == file.record_count, file.path
        assert done.validation == validate_stage(stage, config, wanted.stats, books=wanted.books, written=done.outputs.files)
        met.update(done.stats.reasons)
    return met


@pytest.mark.parametrize("seed", SEEDS)
def test_units_give_what_the_reference_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every stage over units gives the files, books, counts and warnings of its plain generator, also where parts are taken over."""
    make_small(monkeypatch, seed)
    project = write_corpus(tmp_path, seed)

    for again in range(3):
        check_stages(project)
        change_corpus(project, seed * 10 + again)
