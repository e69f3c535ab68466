"""A seeded corpus of realistic agent logs for the benchmarks: about 1 KB a row, eight files, several attempts a task.

`python -m tests.benchmarks.corpus FOLDER ROWS [FILES]` writes it. 2 % of the rows are malformed, 5 % repeat an earlier answer of
their task; no text is both accepted and rejected, so that every tool can be held to the same counts.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

__all__ = ["FILES", "append_row", "change_row", "write_corpus"]

FILES = 8
ATTEMPTS = 6
_WORDS = (
    "parse render merge index token stream buffer branch commit deploy query schema worker retry cache queue shard metric alert policy "
    "router socket cursor lambda vector kernel thread column record bucket digest signal"
).split()


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))


def write_corpus(folder: Path, rows: int, *, files: int = FILES, seed: int = 1) -> Path:
    """Write `rows` rows in so many files below `folder`; one that was written before is left as it is."""
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    for number in range(files):
        with (folder / f"runs-{number}.jsonl").open("w", encoding="utf-8") as file:
            prompt, passed, failed = "", list[str](), list[str]()
            for row in range(rows // files):
                if row % ATTEMPTS == 0:
                    prompt, passed, failed = f"Task {number}-{row // ATTEMPTS}: {_words(rng, 40)}.", [], []
                good = rng.random() < 0.55
                said = passed if good else failed
                if said and rng.random() < 0.05:
                    answer = rng.choice(said)
                else:
                    answer = f"{'Done' if good else 'Tried'} {number}-{row}: {_words(rng, 70)}."
                    said.append(answer)
                record = {
                    "run_id": f"run-{number}-{row}", "task_id": f"task-{number}-{row // ATTEMPTS}", "created_at": "2026-04-27T09:14:03Z",
                    "model": f"model-{rng.randrange(4)}", "provider": "provider", "role": "developer", "prompt": prompt, "response": answer,
                    "ok": True, "errors": [], "attempts": 1 if rng.random() < 0.8 else 2,
                    "tests": {"passed": rng.randrange(1, 9), "failed": 0 if good else rng.randrange(1, 4)}, "cost_usd": 0.01,
                    "latency_ms": rng.randrange(100, 9000), "tokens": {"input": rng.randrange(9000), "output": rng.randrange(900)},
                }  # fmt: skip
                line = json.dumps(record)
                file.write((line[: len(line) // 2] if rng.random() < 0.02 else line) + "\n")
    return folder


def _whole(lines: list[str], place: int) -> tuple[int, dict[str, Any]]:
    """Return the first record from a place on that is not malformed, and its line."""
    for number in range(place, len(lines)):
        if lines[number].endswith("}\n"):
            return number, json.loads(lines[number])
    raise SystemExit("no whole row from there on; take more rows")


def append_row(path: Path, turn: int) -> None:
    """Append one more run of the file's first task, as an agent would that goes on working."""
    with path.open(encoding="utf-8") as file:
        head = [line for line, _ in zip(file, range(100), strict=False)]
    _, record = _whole(head, 0)
    more = {"run_id": f"run-appended-{turn}", "response": f"{record['response']} Appended {turn}."}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**record, **more}) + "\n")


def change_row(path: Path, turn: int) -> None:
    """Change the answer in the middle of a file."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    number, record = _whole(lines, len(lines) // 2)
    lines[number] = json.dumps({**record, "response": f"{record['response']} Changed {turn}."}) + "\n"
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]), int(sys.argv[2]), files=int(sys.argv[3]) if len(sys.argv) > 3 else FILES)
