"""The acceptance suite's three runs: made with real doit, read back, and compared with or written to `expected/`.

`python -m tests.acceptance --rewrite` writes `fixtures/acceptance/expected` anew. What is replaced by fixed words before
the comparison, and why, is in `fixtures/acceptance/README.md`.
"""

import argparse
import json
import re
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.harness import Project, Result

__all__ = ["COMMAND", "EXPECTED", "FIXTURE", "RUNS", "Acceptance", "Run", "expected_files", "make_runs", "mask", "read_files"]

FIXTURE = Path(__file__).parent.parent / "fixtures" / "acceptance"
EXPECTED = FIXTURE / "expected"
COMMAND = "python -m tests.acceptance --rewrite"
INDEX = "exports/index/playbooks.sqlite"


class Run(NamedTuple):
    """One run of the suite."""

    name: str
    """Folder below `expected/`."""
    added: str
    """Folder of the fixture that is copied over the project before it."""
    run_id: str
    """Given run id."""
    now: str
    """Given clock."""


RUNS = (
    Run("first", "input", "00000000-0000-4000-8000-000000000001", "2026-04-28T20:00:00Z"),
    Run("second", "second-day", "00000000-0000-4000-8000-000000000002", "2026-04-29T20:00:00Z"),
    Run("third", "new-setting", "00000000-0000-4000-8000-000000000003", "2026-04-30T20:00:00Z"),
)

_HASH = r"(?:blake3:)?[0-9a-f]{64}"
_MASKS = (
    (re.compile(rf'("(?:code_hash|receipt_blake3|summary_blake3|prior_summary_hash|prev)": ?)"{_HASH}"'), r'\1"(not compared)"'),
    (re.compile(r'("tool_versions": ?)\{[^{}]*\}'), r'\1"(not compared)"'),
    (re.compile(rf"(- ledger head )`{_HASH}`"), r"\1`(not compared)`"),
)
_INDEX_FILE = re.compile(rf'("path": ?"{re.escape(INDEX)}",\s*)"blake3": ?"{_HASH}",(\s*)"sha256": ?"{_HASH}",(\s*)"bytes": ?\d+,')
_INDEX_HASH = re.compile(rf'("outputs": ?\{{.*?"hash": ?)"{_HASH}"', re.DOTALL)


class Acceptance(NamedTuple):
    """What the three runs left."""

    project: Project
    """The project after the last run."""
    results: dict[str, Result]
    """What each command did, by run."""
    files: dict[str, dict[str, bytes]]
    """Masked bytes of every file after each run, by run and path."""
    originals: dict[str, dict[str, bytes]]
    """Bytes as they lay on the disk, by run and path."""


def make_runs(folder: Path) -> Acceptance:
    """Make the project and run doit three times."""
    made = Acceptance(Project(folder), {}, {}, {})
    for run in RUNS:
        shutil.copytree(FIXTURE / run.added, folder, dirs_exist_ok=True)
        env = {"DISTILL_RUN_ID": run.run_id, "DISTILL_NOW": run.now, "DISTILL_GIT_COMMIT": "0123456789abcdef0123456789abcdef01234567"}
        made.results[run.name] = made.project.doit(env=env)
        made.originals[run.name] = read_files(folder)
        made.files[run.name] = _comparable(folder, made.originals[run.name])
    return made


def read_files(folder: Path) -> dict[str, bytes]:
    """Return every file below data/, exports/ and reports/, by path."""
    found = sorted(path for name in ("data", "exports", "reports") for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _comparable(folder: Path, originals: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files as they are compared: documents masked, the index as its rows."""
    files: dict[str, bytes] = {}
    for path, data in originals.items():
        if path == INDEX:
            files[f"{path}.jsonl"] = _index_rows(folder / path)
        else:
            files[path] = mask(path, data) if path.startswith("reports/") else data
    return files


def _index_rows(path: Path) -> bytes:
    """Return the rows of the index by id, with the text that is searched."""
    base = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        base.row_factory = sqlite3.Row
        query = "SELECT * FROM rows ORDER BY id"
        lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in base.execute(query)]
    finally:
        base.close()
    return "".join(lines).encode()


def mask(path: str, data: bytes) -> bytes:
    """Replace what depends on the code or on tools in a document below reports/."""
    text = data.decode()
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    if path.endswith("/index.json"):
        text = _INDEX_FILE.sub(r'\1"blake3": "(not compared)",\2"sha256": "(not compared)",\3"bytes": "(not compared)",', text)
        text = _INDEX_HASH.sub(r'\1"(not compared)"', text)
    return text.encode()


def expected_files(name: str) -> dict[str, bytes]:
    """Return what must be there after a run: each folder of `expected/` over those before it."""
    files: dict[str, bytes] = {}
    for run in RUNS:
        folder = EXPECTED / run.name
        files |= {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        if run.name == name:
            break
    return files


def _rewrite() -> None:
    """Write `expected/` anew: of each run what it added or changed."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_runs(Path(folder) / "project")
    failed = [name for name, result in made.results.items() if result.code != 0]
    if failed:
        sys.exit(f"nothing was written: run {failed[0]} did not pass\n{made.results[failed[0]].text}")
    shutil.rmtree(EXPECTED, ignore_errors=True)
    before: dict[str, bytes] = {}
    for run in RUNS:
        for path, data in made.files[run.name].items():
            if before.get(path) != data:
                target = EXPECTED / run.name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        before = made.files[run.name]
    print(f"{EXPECTED.relative_to(FIXTURE.parent.parent)} is written; read the difference before you keep it")


def main() -> None:
    """Rewrite the expected files where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("--rewrite", action="store_true", required=True, help="write expected/ anew")
    parser.parse_args()
    _rewrite()


if __name__ == "__main__":
    main()
