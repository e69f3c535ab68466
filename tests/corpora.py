"""Seeded corpora that meet every turn of the resolution and of the exports, and what the reference makes of them.

The reference is the plain generators of `distill.stages`, run in one go over whole files and collected in memory: the slower second
implementation that the work over units is judged by.
"""

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from distill.books import Books
from distill.config import Config
from distill.config_file import load_config
from distill.firewall import Verdicts
from distill.jsonl import encode_row
from distill.plan import build_plan
from distill.runner import Finished, Work, read_outcomes, run_stage
from distill.schemas.stage_receipt import Stats
from distill.stages import INDEX, STAGES, Stage
from tests.harness import Project, outcome, review

__all__ = ["MAPPED", "Judgement", "build", "change_corpus", "judge_by_reference", "load", "write_corpus"]

MAPPED = """
max_skipped = 0.9
min_rows = { sft = 0 }
%s

[[sources]]
name = "outcomes"
root = "logs"
glob = "**/outcomes*.jsonl"
format = "outcomes"
partition_prefix = ""

[[sources]]
name = "scrum_reviews"
root = "logs"
glob = "**/scrum_reviews*.jsonl"
format = "scrum_reviews"
partition_prefix = ""

[[sources]]
name = "placed"
root = "logs"
glob = "**/placed*.jsonl"
reader = "jsonl"
created_at = "absent"
run_id = "position"
run_id_scope = "%s"
[sources.fields]
task_id = { path = "task" }
instruction = { path = "asked" }
response = { path = "said" }
[[sources.signals]]
kind = "test"
path = "solved"
pass = [true]
fail = [false]

[[sources]]
name = "own"
root = "logs"
glob = "**/own*.jsonl"
reader = "jsonl"
created_at = "absent"
[sources.fields]
run_id = { path = "id" }
task_id = { path = "task" }
instruction = { path = "asked" }
response = { path = "said" }
reference = { path = "gold" }
[[sources.signals]]
kind = "test"
path = "solved"
pass = [true]
fail = [false]
"""
"""A configuration with native logs, one whose runs have no ids but their places, and one whose ids are its own; settings go in front."""
_SETTINGS = ("", 'sft = { include = ["accepted", "retried", "with_changes", "partial_reward"] }', "preference = { max_pairs_per_task = 1, step_pairs = true }",
             'sft = { allow_failed_turns = true }\nplaybooks = { group_by = "model" }')  # fmt: skip
_WRONG, _RIGHT = {"passed": 1, "failed": 2}, {"passed": 3, "failed": 0}
_ANSWERS = ("yes", "no", "a long enough answer to be told apart", " yes ", "", "other words of about the same length")
_BAD = (
    b"",
    b"   ",
    b"not json",
    b'{"run_id": "x"',
    b'{"a": 1, "a": 2}',
    b'"text"',
    b'{"run_id": "run-1", "task_id": "t", "created_at": "never"}',
    b"\xff\xfe",
)


class Judgement(NamedTuple):
    """What a stage must do."""

    files: dict[str, bytes]
    """Bytes of each target."""
    stats: Stats
    """Its books."""
    books: Books
    """What it tells, and how often."""
    records: dict[str, int]
    """Records of each input."""


def _messages(rng: random.Random, prompt: str) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "system", "content": rng.choice("ab")}] if rng.random() < 0.3 else []
    turns.append({"role": "user", "content": prompt})
    for _ in range(rng.randrange(1, 4)):
        turns.append({"role": "assistant", "content": rng.choice(_ANSWERS), "failed": rng.choice([None, None, True, False])})
        if rng.random() < 0.6:
            turns.append({"role": rng.choice(["user", "tool"]), "content": rng.choice(["go on", "result"])})
    return turns


def _besides(rng: random.Random) -> dict[str, Any]:
    """Return fields that most rows lack."""
    context = rng.choice([None, "", " ", "c", 'a "context"\nof two  lines ä', "\\"])
    tokens = rng.choice([None, {"input": 1}, {"output": 2, "input": 3}, {"input": 1, "output": 2, "cached": 3}])
    return rng.choice(
        [{}, {}, {"context": context}, {"tokens": tokens}, {"context": context, "tokens": tokens, "other": rng.choice([1, "x", None, [1]])}]
    )


def _native(rng: random.Random, names: list[str]) -> dict[str, Any]:
    task, number = rng.randrange(4), rng.randrange(10**6)
    prompt = rng.choice([f"Solve {task}.", "Solve it.", ""])
    row = outcome(
        rng.choice([*names, *names, None]), task_id=f"task-{task}", prompt=prompt, model=rng.choice(["model-a", "model-b", None]),
        created_at=f"2026-04-27T09:00:{rng.randrange(4):02}Z", response=rng.choice([*_ANSWERS, f"answer {number}"]),
        tests=rng.choice([_WRONG, _RIGHT, _RIGHT, None, {"passed": 0, "failed": 0}]), attempts=rng.choice([None, 1, 2]), ok=rng.choice([True, False, None]),
        errors=rng.choice([[], [], ["the connection broke"], ["IndexError"]]),
    )  # fmt: skip
    if rng.random() < 0.3:
        row |= {"messages": _messages(rng, prompt or "Hello."), "response": None, "prompt": None}
    return row | _besides(rng)


def _review(rng: random.Random, names: list[str]) -> dict[str, Any]:
    task = f"task-{rng.randrange(4)}"
    verdict = rng.choice(["accept", "accept_with_changes", "reject", "reject", "escalate"])
    row = review(
        rng.choice(names), verdict, task_id=task, created_at=f"2026-04-27T10:00:{rng.randrange(3):02}Z",
        reviewer=rng.choice(["human:1", "human:2", "judge-1", None]), confidence=rng.choice([None, 0.5, 0.95]), notes=rng.choice([None, "a note"]),
        corrected_response=rng.choice([None, "corrected", "yes"]), accepted_on_attempt=rng.choice([None, 3]),
    )  # fmt: skip
    if rng.random() < 0.3:
        row |= {"response": rng.choice(_ANSWERS[:4]), "prompt": "Solve it."}
    return row


def _mapped(rng: random.Random, names: list[str]) -> dict[str, Any]:
    gold = rng.choice([None, None, "a long enough answer to be told apart"])
    asked = rng.choice(["Solve it.", "Say: a long enough answer to be told apart"])
    task = rng.choice(["task-0", "task-1", None])
    return {
        "id": rng.choice(names),
        "task": task,
        "asked": asked,
        "said": rng.choice(_ANSWERS),
        "solved": rng.choice([True, False, None]),
        "gold": gold,
    }


_PATHS = (
    "a/outcomes.jsonl",
    "b/outcomes.jsonl",
    "a/scrum_reviews.jsonl",
    "a/placed.jsonl",
    "b/placed.jsonl",
    "own.jsonl",
    "empty/outcomes.jsonl",
)
_MAKERS = {"outcomes": _native, "scrum_reviews": _review, "placed": _mapped, "own": _mapped}


def write_corpus(folder: Path, seed: int, *, rows: int = 40) -> Project:
    """Return a project whose logs repeat rows, run ids, texts and tasks within files and across them, with broken lines between."""
    rng = random.Random(seed)
    project = Project(folder, config=MAPPED % (rng.choice(_SETTINGS), rng.choice(["source", "project"])))
    noise = rng.choice([0.0, 0.05, 0.3, 1.0])
    seen: dict[str, list[bytes]] = defaultdict(list)
    for path in _PATHS:
        kind = path.split("/")[-1].removesuffix(".jsonl")
        lines: list[bytes] = []
        for _ in range(0 if "empty" in path else rng.randrange(1, rows)):
            chance = rng.random()
            if chance < 0.15 * noise and seen[kind]:
                lines.append(rng.choice(seen[kind]))
            elif 0.2 < chance < 0.25:
                lines += rng.choices(_BAD, k=rng.choice([1, 1, 6]))
            else:
                lines.append(json.dumps(_calm(rng, kind, noise), ensure_ascii=rng.random() < 0.5).encode())
                seen[kind].append(lines[-1])
        data = b"".join(line + rng.choice([b"\n", b"\n", b"\r\n"]) for line in lines)
        project.write(
            f"logs/{path}", rng.choice([b"", b"\xef\xbb\xbf"]) + data + rng.choice([b"", b'{"run_id": "late", "ta', data.split(b"\n")[0]])
        )
    return project


def _calm(rng: random.Random, kind: str, noise: float) -> dict[str, Any]:
    """Return a row; the less noise, the more rows are runs of their own with texts of their own, passed or failed."""
    row = _MAKERS[kind](rng, [f"run-{number}" for number in range(12)])
    if kind != "scrum_reviews" and rng.random() > noise:
        said = f"answer {rng.randrange(10**9)}"
        row |= {
            "response": said,
            "said": said,
            "run_id": said,
            "id": said,
            "solved": rng.random() < 0.6,
            "prompt": rng.choice(["Solve it.", "Solve it.", "Solve  it.\\n", " "]),
            "asked": "Solve it.",
        }
        row |= {"tests": rng.choice([_RIGHT, _WRONG]), "messages": None, "errors": []}
        if kind == "outcomes" and rng.random() < 0.3:
            row |= {"messages": _messages(rng, "Solve it."), "response": None, "prompt": None}
    return row


def change_corpus(project: Project, seed: int) -> None:
    """Change some logs: rows more, rows less, rows elsewhere, nothing left, a file that is gone, a file that is new."""
    rng = random.Random(seed)
    for path in _PATHS:
        file = project.folder / "logs" / path
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        kind = path.split("/")[-1].removesuffix(".jsonl")
        more = [json.dumps(_calm(rng, kind, 0.3)).encode() + b"\n" for _ in range(rng.randrange(1, 6))]
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        place = rng.randrange(len(lines) + 1)
        way = rng.choice(["same", "same", "append", "append", "insert", "alter", "cut", "double", "shuffle", "nothing", "gone", "bad"])
        changed = {
            "alter": [_alter(rng, line) for line in lines], "append": lines + more, "insert": lines[:place] + more + lines[place:], "cut": lines[place:], "double": lines + lines[:place],
            "shuffle": rng.sample(lines, len(lines)), "nothing": [], "bad": lines + [rng.choice(_BAD) + b"\n" for _ in range(9)],
        }.get(way, lines)  # fmt: skip
        if way == "gone" and path != "own.jsonl" and not path.startswith("a/"):
            file.unlink(missing_ok=True)
        elif way != "same":
            project.write(f"logs/{path}", b"".join(changed))


def _alter(rng: random.Random, line: bytes) -> bytes:
    """Return a line as long as it was, with another digit somewhere; of most, the line itself."""
    places = [place for place, byte in enumerate(line) if byte in b"0123456789"]
    if not places or rng.random() < 0.7:
        return line
    place = rng.choice(places)
    return line[:place] + str(rng.randrange(10)).encode() + line[place + 1 :]


def load(project: Project, **changes: Any) -> Config:
    """Return the settings of a project, by default to be run in this process."""
    return load_config(project.folder, {})._replace(**({"engine": "inline"} | changes))


def judge_by_reference(stage: Stage, project: Project, config: Config) -> Judgement:
    """Run the plain generator of a stage over the present inputs."""
    work = Work(project.folder, build_plan(project.folder, config), config)
    books, keyed = Books(by_file=stage.by_file), defaultdict[str, list[tuple[Any, bytes]]](list)
    files = dict.fromkeys(stage.outputs(work.plan), b"")
    for one in read_outcomes(stage, work, Verdicts(include=config.sft.include)):
        books.count(one)
        if one.unit is None and stage.name == "collect" and one.file is not None:
            work.pending.add(one.file)
        for row in one.rows:
            keyed[row.target].append((row.key, encode_row(row.value)))
    for path, lines in keyed.items():
        files[path] = b"".join(line for _, line in (lines if lines[0][0] is None else sorted(lines)))
    records = {path: state.record_count for path, state in work.inputs.items()}
    return Judgement(files, books.close(stage.unit), books, records)


def build(project: Project, config: Config, *, always: bool = False, identity: str = "", keep: Any = None) -> dict[str, Finished]:
    """Run every stage but the index over units, in this process's session."""
    plan = build_plan(project.folder, config)
    known = {} if keep is None else {"known_hashes": keep}
    return {
        stage.name: run_stage(stage, Work(project.folder, plan, config, always=always, identity=identity, **known))
        for stage in STAGES
        if INDEX not in stage.outputs(plan)
    }
