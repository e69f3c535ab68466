"""The same work by the two libraries that people make training data with: datatrove and Hugging Face datasets.

Both get two workers. They are loaded by name, because the type checker has no business with them.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

from tests.benchmarks.staged import CAP

__all__ = ["WORKERS", "run_datasets", "run_datatrove"]

WORKERS = 2
_BUCKETS = 8


def _normalise(text: str) -> str:
    return " ".join(text.split())


def _lines(*paths: Path) -> int:
    return sum(1 for path in paths for _ in path.open("rb"))


def _judge(documents: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    """Score a document and say which bucket its task belongs to."""
    for document in documents:
        facts = document.metadata
        facts["good"] = not facts["tests"]["failed"]
        facts["bucket"] = crc32(facts["task_id"].encode()) % _BUCKETS
        yield document


def _gather(documents: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
    """Make the rows of the tasks of a bucket."""
    make = import_module("datatrove.data").Document
    sides: dict[str, tuple[dict[str, Any], dict[str, Any]]] = defaultdict(lambda: ({}, {}))
    for document in documents:
        facts = document.metadata
        sides[facts["task_id"]][not facts["good"]].setdefault(_normalise(document.text), document)
    for task in sorted(sides):
        good, bad = sides[task]
        for one in good.values():
            yield make(text=one.text, id=one.id, metadata={"kind": "sft", "prompt": one.metadata["prompt"]})
        for one, two in [(one, two) for one in good.values() for two in bad.values()][:CAP]:
            yield make(
                text=one.text, id=f"{one.id}-{two.id}", metadata={"kind": "pairs", "prompt": one.metadata["prompt"], "rejected": two.text}
            )


def run_datatrove(logs: Path, out: Path) -> dict[str, int]:
    """Read, score and spread over buckets by task; then gather the buckets: two executors, as its own deduplication has."""
    executor = import_module("datatrove.executor").LocalPipelineExecutor
    reader = import_module("datatrove.pipeline.readers").JsonlReader
    writer = import_module("datatrove.pipeline.writers").JsonlWriter
    spread = [
        reader(str(logs), text_key="response", id_key="run_id"), _judge,
        writer(str(out / "scored"), output_filename="${bucket}-${rank}.jsonl", compression=None),
    ]  # fmt: skip
    how = {"workers": WORKERS, "start_method": "fork"}
    executor(spread, tasks=_BUCKETS, logging_dir=str(out / "logging/spread"), **how).run()
    for path in (out / "scored").glob("*.jsonl"):  # a task takes every eighth file by name: let those be one bucket
        bucket, rank = path.stem.split("-")
        path.rename(path.with_name(f"{rank}-{bucket}.jsonl"))
    scored = sorted((out / "scored").glob("*.jsonl"))
    if [int(path.stem.split("-")[1]) for path in scored] != [number % _BUCKETS for number in range(_BUCKETS * _BUCKETS)]:
        raise SystemExit("a bucket of a file is empty; take more rows")
    gather = [reader(str(out / "scored")), _gather, writer(str(out / "rows"), output_filename="${kind}-${rank}.jsonl", compression=None)]
    executor(gather, tasks=_BUCKETS, logging_dir=str(out / "logging/gather"), **how).run()
    evidence = _lines(*scored)
    passed = sum(line.count(b'"good":true') for path in scored for line in path.open("rb"))
    return {
        "malformed": _lines(*logs.glob("*.jsonl")) - evidence, "evidence": evidence, "passed": passed, "rejected": evidence - passed,
        "sft": _lines(*(out / "rows").glob("sft-*.jsonl")), "pairs": _lines(*(out / "rows").glob("pairs-*.jsonl")),
    }  # fmt: skip


def _parse(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
    """Decode and score lines; a malformed one gives no row."""
    rows: defaultdict[str, list[Any]] = defaultdict(list)
    for line in batch["text"]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        for name in ("run_id", "task_id", "prompt", "response"):
            rows[name].append(row[name])
        rows["good"].append(not row["tests"]["failed"])
        rows["answer"].append(_normalise(row["response"]))
    return rows


def run_datasets(logs: Path, out: Path) -> dict[str, int]:
    """Map lines to scored rows; it has no group-by, so rows to keep and to pair are found in Python over its columns."""
    library = import_module("datasets")
    library.disable_progress_bars()
    files = [str(path) for path in sorted(logs.glob("*.jsonl"))]
    lines = library.load_dataset("text", data_files=files, split="train", cache_dir=str(out / "cache"), num_proc=WORKERS)
    runs = lines.map(_parse, batched=True, remove_columns=["text"], num_proc=WORKERS)
    counts: Counter[str] = Counter(malformed=len(lines) - len(runs), evidence=len(runs))
    sides: dict[str, tuple[dict[str, int], dict[str, int]]] = defaultdict(lambda: ({}, {}))
    place = 0
    for batch in runs.select_columns(["task_id", "good", "answer"]).iter(1000):
        for task, good, answer in zip(batch["task_id"], batch["good"], batch["answer"], strict=True):
            counts["passed" if good else "rejected"] += 1
            sides[task][not good].setdefault(answer, place)
            place += 1
    kept = sorted(number for good, _ in sides.values() for number in good.values())
    runs.select(kept).select_columns(["run_id", "prompt", "response"]).to_json(out / "sft.jsonl", num_proc=WORKERS)
    pairs = [
        pair for task in sorted(sides) for pair in [(one, two) for one in sides[task][0].values() for two in sides[task][1].values()][:CAP]
    ]
    chosen = runs.select([one for one, _ in pairs]).select_columns(["task_id", "prompt", "response"]).rename_column("response", "chosen")
    rejected = runs.select([two for _, two in pairs]).select_columns(["response"]).rename_column("response", "rejected")
    library.concatenate_datasets([chosen, rejected], axis=1).to_json(out / "pairs.jsonl", num_proc=WORKERS)
    return {**counts, "sft": len(kept), "pairs": len(pairs)}
