"""Every reader over units and over its plain generator: the same bytes, books and counts, from any number of workers (SPEC 2, SPEC 7.4)."""

import gzip
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from distill.plan import build_plan
from distill.runner import Work, run_stage
from distill.stages import STAGES, stage_named
from distill.units import collect, jobs, workshop
from distill.validation import validate_stage
from tests.corpora import judge_by_reference, load
from tests.harness import Project
from tests.test_units import check_stages, hashes_in

ENGINES: dict[str, dict[str, Any]] = {
    "inline": {"engine": "inline"},
    "one": {"engine": "processes", "workers": 1},
    "two": {"engine": "processes", "workers": 2},
}
FIELDS = """
created_at = "absent"
fields = { run_id = { path = "run" }, task_id = { path = "task" }, instruction = { path = "ask" }, response = { path = "answer" } }
signals = [{ kind = "test", path = "ok", pass = [true], fail = [false] }]
"""
READERS = {"jsonl": "*.jsonl*", "json_array": "*.array*", "json_object": "*.object*", "json_file": "each/**/*.json*", "zip": "*.zip*"}
CONFIG = "max_skipped = 99\n" + "".join(
    f'\n[[sources]]\nname = "{name}"\nroot = "logs"\nglob = "{glob}"\nreader = "{name}"{FIELDS}' for name, glob in READERS.items()
)
SPANS = '\n[[sources]]\nname = "spans"\nroot = "logs"\nglob = "spans/**/*"\nformat = "otel"\n'


def row(number: int, chance: random.Random) -> dict[str, Any]:
    """Return one run."""
    task = f"t{chance.randrange(9)}"
    return {"run": f"r{number}", "task": task, "ask": f"do {task}", "answer": f"é{chance.randrange(40)}", "ok": chance.random() < 0.5}


def pack(path: Path, data: bytes) -> None:
    """Write a file, packed as its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = {".gz": lambda: gzip.compress(data, mtime=0), ".zst": lambda: zstandard.ZstdCompressor().compress(data)}
    path.write_bytes(packed[path.suffix]() if path.suffix in packed else data)


def zipped(folder: Path, members: dict[str, bytes]) -> bytes:
    """Return an archive."""
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path.read_bytes()


def spans(number: int, chance: random.Random) -> dict[str, Any]:
    """Return one line of spans, of several traces."""
    return {
        "trace_id": f"{chance.randrange(8):032x}", "span_id": f"{number:016x}", "name": "chat", "start_time": 1_700_000_000_000_000_000 + number,
        "end_time": 1_700_000_000_000_000_900 + number,
        "attributes": {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": f"ask {number}"}]}],
            "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": f"answer {number}"}]}],
        },
    }  # fmt: skip


def write_logs(tmp_path: Path, seed: int) -> Project:
    """Make a project with logs of every shape, some of them broken, some packed."""
    chance, project = random.Random(seed), Project(tmp_path / "project", config=CONFIG + SPANS)
    logs = project.folder / "logs"
    for suffix in ("", ".gz", ".zst"):
        rows = [row(number, chance) for number in range(chance.randrange(40))]
        texts = [json.dumps(one, ensure_ascii=False, indent=chance.choice([None, 1])).encode() for one in rows]
        texts += chance.choices([b"tru", b'{"run": 1, "run": 2}', b"[[[]]]", b'{"ask": "\xff"}'], k=2)
        chance.shuffle(texts)
        lines = [text.replace(b"\n", b"") for text in texts]
        keyed = [b'"k%d": %s' % (chance.randrange(60), text) for text in texts]
        cut = chance.choice([b"]", b"", b'{"run": "cu', b"] more"])
        pack(logs / f"a.jsonl{suffix}", b"\n".join(lines))
        pack(logs / f"a.array{suffix}", b"[" + b" ,\n".join(texts) + cut)
        pack(logs / f"a.object{suffix}", b"{" + b", ".join(keyed) + cut.replace(b"]", b"}"))
        pack(logs / f"a.zip{suffix}", zipped(tmp_path, {f"{chance.randrange(99)}/{i}.json": text for i, text in enumerate(texts)}))
        for i, text in enumerate(texts):
            pack(logs / f"each/{i % 3}/{i}.json{suffix}", text)
        shuffled = [json.dumps(spans(number, chance)).encode() for number in range(60)]
        pack(logs / f"spans/{suffix[1:] or 'plain'}.jsonl{suffix}", b"\n".join([*shuffled, b'{"resourceSpans": []}', b"tru"]))
    (logs / "each/1/none.json").write_bytes(b" \n")
    (logs / "b.zip").write_bytes(b"no zip")
    return project


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("small", [True, False])
def test_every_reader_gives_the_same_over_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, seed: int, small: bool) -> None:
    """Arrays, objects, single files, archives and traces over units give the files, books, counts and warnings of the plain generator."""
    if small:
        monkeypatch.setattr(jobs, "_BATCH", 1500)
        monkeypatch.setattr(collect, "UNIT_BYTES", 700)
    project = write_logs(tmp_path, seed)

    met = check_stages(project) + check_stages(project)

    assert met["not_json"] and met["duplicate_key"] and met["unreadable_member"] and met["same_run"] and met["no_run"]


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_change_no_byte_of_any_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    """SPEC 7.4: the evidence and the quarantine are the same inline, from one worker and from two."""
    monkeypatch.setattr(jobs, "_BATCH", 1500)
    monkeypatch.setattr(workshop, "_WORTH", 0)
    project, stage = write_logs(tmp_path, 7), stage_named("collect")
    config = load(project, **ENGINES[engine])
    plan = build_plan(project.folder, config)

    done = run_stage(stage, Work(project.folder, plan, config, known_hashes=hashes_in(project)))

    wanted = judge_by_reference(stage, project, config)
    assert {path: (project.folder / path).read_bytes() for path in wanted.files} == wanted.files
    assert done.stats == wanted.stats
    assert done.validation == validate_stage(stage, config, wanted.stats, books=wanted.books, written=done.outputs.files)


def test_a_jsonl_file_that_becomes_an_array_is_read_anew(tmp_path: Path) -> None:
    """A file whose cut is remembered in many units is one unit once its reader is another."""
    project, stage = write_logs(tmp_path, 3), next(iter(STAGES))
    config = load(project)
    plan = build_plan(project.folder, config)
    run_stage(stage, Work(project.folder, plan, config, known_hashes=hashes_in(project)))

    check_stages(project)

    assert {log.partition for log in plan.logs if log.source.name == "json_file"} == {f"json_file/each/{i}.jsonl" for i in range(3)}


JOINED = """
max_skipped = 9
[[sources]]
name = "arr"
root = "logs"
glob = "*.array.json"
reader = "json_array"
created_at = "absent"
fields = { run_id = { path = "run" }, instruction = { path = "ask" }, response = { path = "answer" }, task_id = { lookup = "tasks", path = "name" } }
lookups = [{ name = "tasks", path = "tasks.jsonl", key = "id", by = { path = "task" } }]
verdicts = [{ path = "report.json", kind = "test", by = { field = "run_id" }, lists = { good = "pass" }, otherwise = "fail" }]
"""


@pytest.mark.parametrize("small", [True, False])
def test_second_files_give_the_same_over_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, small: bool) -> None:
    """SPEC 2, 7.4: lookups and verdicts give the same over units as over the plain generator, keys of no or several runs included."""
    if small:
        monkeypatch.setattr(jobs, "_BATCH", 1)
    project, chance = Project(tmp_path, config=JOINED), random.Random(1)
    for name in "abc":
        rows = [row(number, chance) | {"answer": f"{name}{number}"} for number in (1, 2, 3, ord(name))]
        project.write(f"logs/{name}.array.json", json.dumps([one if one["run"] != "r3" else one | {"run": f"r{name}"} for one in rows]))
    project.write("logs/tasks.jsonl", "".join(json.dumps({"id": f"t{i}", "name": f"task {i}"}) + "\n" for i in range(9)))
    project.write("logs/report.json", json.dumps({"good": ["r1", "ra", "r97", "gone"]}))

    check_stages(project)

    rows = project.rows("data/evidence/arr/a.array.json.jsonl")
    assert all(one["task_id"].startswith("task ") for one in rows)
    assert {one["run_id"]: [signal["verdict"] for signal in one["signals"]] for one in rows}["ra"] == ["pass"]
