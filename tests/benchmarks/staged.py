"""The fused script cut into four: each reads what the one before wrote, as tools of a pipeline do, and nothing more is done.

`python -m tests.benchmarks.staged collect LOG EVIDENCE`, `score EVIDENCE SCORED`, `sft EVIDENCE_FOLDER SCORED_FOLDER OUT` and
`preference EVIDENCE_FOLDER SCORED_FOLDER OUT` run one stage; builders are measured with them.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

__all__ = ["CAP", "run_staged"]

CAP = 4
_DECODE, _ENCODE = msgspec.json.Decoder(dict[str, Any]).decode, msgspec.json.Encoder().encode


def collect(log: Path, out: Path) -> Counter[str]:
    """Write the evidence of a log; malformed rows are counted."""
    counts: Counter[str] = Counter()
    with log.open("rb") as lines, out.open("wb") as file:
        for number, line in enumerate(lines, 1):
            try:
                row = _DECODE(line)
            except msgspec.DecodeError:
                counts["malformed"] += 1
                continue
            counts["evidence"] += 1
            file.write(_ENCODE({"id": blake3(line).hexdigest()[:32], "place": f"{log.name}:{number}", **row}) + b"\n")
    return counts


def score(evidence: Path, out: Path) -> Counter[str]:
    """Write the verdict on every line of evidence."""
    counts: Counter[str] = Counter()
    with evidence.open("rb") as lines, out.open("wb") as file:
        for line in lines:
            row = _DECODE(line)
            category = "rejected" if row["tests"]["failed"] else "passed"
            counts[category] += 1
            file.write(_ENCODE({"id": row["id"], "category": category}) + b"\n")
    return counts


def _runs(evidence: Path, scored: Path) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield every run and whether it passed."""
    for path in sorted(evidence.glob("*.jsonl")):
        with path.open("rb") as left, (scored / path.name).open("rb") as right:
            for one, two in zip(left, right, strict=True):
                yield _DECODE(one), _DECODE(two)["category"] == "passed"


def _normalise(text: str) -> str:
    return " ".join(text.split())


def export_sft(evidence: Path, scored: Path, out: Path) -> Counter[str]:
    """Write one row per text that passed."""
    rows: dict[tuple[str, str], bytes] = {}
    for row, good in _runs(evidence, scored):
        key = _normalise(row["prompt"]), _normalise(row["response"])
        if good and key not in rows:
            rows[key] = _ENCODE({"id": row["id"], "prompt": row["prompt"], "response": row["response"], "place": row["place"]})
    out.write_bytes(b"".join(line + b"\n" for line in sorted(rows.values())))
    return Counter(sft=len(rows))


def export_preference(evidence: Path, scored: Path, out: Path) -> Counter[str]:
    """Write the pairs of every task."""
    sides: dict[str, tuple[dict[str, None], dict[str, None]]] = defaultdict(lambda: ({}, {}))
    for row, good in _runs(evidence, scored):
        sides[row["task_id"]][not good][_normalise(row["response"])] = None
    counts: Counter[str] = Counter(pairs=0)
    with out.open("wb") as file:
        for task in sorted(sides):
            pairs = [(one, two) for one in sides[task][0] for two in sides[task][1]][:CAP]
            counts["pairs"] += len(pairs)
            file.writelines(_ENCODE({"task": task, "chosen": one, "rejected": two}) + b"\n" for one, two in pairs)
    return counts


def run_staged(logs: Path, out: Path) -> dict[str, int]:
    """Run the four stages one after the other."""
    counts: Counter[str] = Counter()
    evidence, scored = out / "evidence", out / "scored"
    evidence.mkdir()
    scored.mkdir()
    for log in sorted(logs.glob("*.jsonl")):
        counts += collect(log, evidence / log.name)
    for path in sorted(evidence.glob("*.jsonl")):
        counts += score(path, scored / path.name)
    counts += export_sft(evidence, scored, out / "sft.jsonl")
    counts += export_preference(evidence, scored, out / "pairs.jsonl")
    return dict(counts)


if __name__ == "__main__":
    stage = {"collect": collect, "score": score, "sft": export_sft, "preference": export_preference}[sys.argv[1]]
    stage(*map(Path, sys.argv[2:]))  # type: ignore[operator]  # as many paths as the stage takes
