"""A seeded corpus of realistic agent logs for the benchmarks: about 1 KB a row, eight files, several attempts a task.

`python -m tests.benchmarks.corpus FOLDER ROWS` writes it. 2 % of the rows are malformed, 5 % repeat an earlier answer of
their task; no text is both accepted and rejected, so that every tool can be held to the same counts.
"""

import json
import random
import sys
from pathlib import Path

FILES = 8
ATTEMPTS = 6
_WORDS = (
    "parse render merge index token stream buffer branch commit deploy query schema worker retry cache queue shard metric alert policy "
    "router socket cursor lambda vector kernel thread column record bucket digest signal"
).split()


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(_WORDS, k=count))


def write_corpus(folder: Path, rows: int, *, seed: int = 1) -> None:
    """Write `rows` rows in eight files below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number in range(FILES):
        with (folder / f"runs-{number}.jsonl").open("w", encoding="utf-8") as file:
            prompt, passed, failed = "", list[str](), list[str]()
            for row in range(rows // FILES):
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


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]), int(sys.argv[2]))
