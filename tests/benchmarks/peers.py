"""The same work by other tools: collect, score, SFT and preference over one corpus, each started as a process of its own.

`python -m tests.benchmarks.peers NAME LOGS OUT` runs one and prints its counts as JSON. None of them writes receipts, hashes a
file, keeps a malformed row, reads its exports again, or takes anything over from its last run: what they leave out is named in `MISSING`.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks.frames import run_datasets, run_datatrove
from tests.benchmarks.staged import CAP, run_staged

__all__ = ["MISSING", "PEERS"]

MISSING = {
    "fused": "one process, all in memory, nothing between the stages; malformed rows only counted; no file hashes, resolution, receipts, second reading",
    "staged": "one process, exports in memory; malformed rows only counted; no file hashes, resolution, receipts, second reading",
    "datatrove": "malformed rows only in its log; grouping by task is ours; no hashes, provenance, resolution, receipts",
    "datasets": "cannot group: duplicates and pairs are found in Python, all keys in memory; its JSON reader fails on malformed rows, so lines are "
    "read as text; no hashes, provenance, resolution, receipts",
    "polars": "malformed rows have to be told by their look before they are decoded, and are dropped; no hashes, provenance, resolution, receipts",
    "duckdb": "malformed rows are dropped without a word; no hashes, provenance, resolution, receipts",
}
"""What each leaves out of the work."""


def run_fused(logs: Path, out: Path) -> dict[str, int]:
    """Stages fused by hand, rows hashed with blake3, everything in memory."""
    import msgspec
    from blake3 import blake3

    decode, encode = msgspec.json.Decoder(dict[str, Any]).decode, msgspec.json.Encoder().encode
    counts: Counter[str] = Counter()
    sft: dict[tuple[str, str], bytes] = {}
    sides: dict[str, tuple[dict[str, None], dict[str, None]]] = defaultdict(lambda: ({}, {}))
    for path in sorted(logs.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                try:
                    row = decode(line)
                except msgspec.DecodeError:
                    counts["malformed"] += 1
                    continue
                identity = blake3(line).hexdigest()[:32]
                counts["evidence"] += 1
                prompt, answer = " ".join(row["prompt"].split()), " ".join(row["response"].split())
                good = not row["tests"]["failed"]
                counts["passed" if good else "rejected"] += 1
                sides[row["task_id"]][not good][answer] = None
                if good and (prompt, answer) not in sft:
                    sft[prompt, answer] = encode({"id": identity, "prompt": row["prompt"], "response": row["response"]})
    (out / "sft.jsonl").write_bytes(b"\n".join(sorted(sft.values())))
    with (out / "pairs.jsonl").open("wb") as file:
        for task in sorted(sides):
            pairs = [(one, two) for one in sides[task][0] for two in sides[task][1]][:CAP]
            counts["pairs"] += len(pairs)
            file.writelines(encode({"task": task, "chosen": one, "rejected": two}) + b"\n" for one, two in pairs)
    return {**counts, "sft": len(sft)}


def run_polars(logs: Path, out: Path) -> dict[str, int]:
    """Lazy frames; the lines are read as text, so that a malformed one does not end the work."""
    import polars as pl

    fields = pl.Struct({
        "run_id": pl.String, "task_id": pl.String, "prompt": pl.String, "response": pl.String, "model": pl.String, "attempts": pl.Int64,
        "tests": pl.Struct({"passed": pl.Int64, "failed": pl.Int64}),
    })  # fmt: skip
    lines = pl.read_csv(
        sorted(logs.glob("*.jsonl")), has_header=False, new_columns=["line"], separator="\x01", quote_char=None, schema={"line": pl.String}
    )
    whole = lines.filter(pl.col("line").str.ends_with("}") & pl.col("line").str.contains('"tokens"'))
    frame = whole.select(pl.col("line").str.json_decode(fields)).unnest("line").with_columns(
        (pl.col("tests").struct.field("failed") == 0).alias("good"),
        pl.col("response").str.replace_all(r"\s+", " ").alias("text"), pl.int_range(pl.len()).alias("row"),
    )  # fmt: skip
    sft = frame.filter("good").unique(["prompt", "text"], keep="first", maintain_order=True)
    sft.select("run_id", "prompt", "response").write_ndjson(out / "sft.jsonl")
    distinct = frame.unique(["task_id", "good", "text"], keep="first", maintain_order=True)
    pairs = (
        distinct.filter("good").join(distinct.filter(~pl.col("good")), on="task_id").sort("task_id", "row", "row_right")
        .filter(pl.int_range(pl.len()).over("task_id") < CAP)
    )  # fmt: skip
    pairs.select("task_id", "prompt", "response", "response_right").write_ndjson(out / "pairs.jsonl")
    passed = int(frame["good"].sum())
    return {
        "malformed": len(lines) - len(frame), "evidence": len(frame), "passed": passed, "rejected": len(frame) - passed, "sft": len(sft),
        "pairs": len(pairs),
    }  # fmt: skip


def run_duckdb(logs: Path, out: Path) -> dict[str, int]:
    """SQL over `read_json` with `ignore_errors`."""
    import duckdb

    base = duckdb.connect()
    columns = "{run_id: 'VARCHAR', task_id: 'VARCHAR', prompt: 'VARCHAR', response: 'VARCHAR', attempts: 'BIGINT', tests: 'STRUCT(passed BIGINT, failed BIGINT)'}"
    source = f"read_json('{logs}/*.jsonl', format = 'newline_delimited', ignore_errors = true, columns = {columns})"
    base.execute(
        f"CREATE TABLE runs AS SELECT *, tests.failed = 0 AS good, regexp_replace(response, '\\s+', ' ', 'g') AS text, row_number() OVER () AS n "
        f"FROM {source} WHERE run_id IS NOT NULL AND tests IS NOT NULL"
    )
    base.execute(
        "CREATE TABLE sft AS SELECT arg_min(run_id, n) AS run_id, prompt, arg_min(response, n) AS response FROM runs WHERE good GROUP BY prompt, text"
    )
    base.execute(f"COPY (SELECT * FROM sft ORDER BY run_id) TO '{out}/sft.jsonl' (FORMAT json)")
    base.execute(
        "CREATE TABLE answers AS SELECT task_id, good, text, min(n) AS n, arg_min(response, n) AS response, any_value(prompt) AS prompt FROM runs GROUP BY ALL"
    )
    base.execute(
        "CREATE TABLE pairs AS SELECT a.task_id, a.prompt, a.response AS chosen, b.response AS rejected FROM answers a JOIN answers b "
        f"ON a.task_id = b.task_id AND a.good AND NOT b.good QUALIFY row_number() OVER (PARTITION BY a.task_id ORDER BY a.n, b.n) <= {CAP}"
    )
    base.execute(f"COPY (SELECT * FROM pairs ORDER BY task_id) TO '{out}/pairs.jsonl' (FORMAT json)")

    def one(query: str) -> int:
        row = base.execute(query).fetchone()
        return int(row[0]) if row else 0

    lines = sum(1 for path in logs.glob("*.jsonl") for _ in path.open("rb"))
    evidence, passed = one("SELECT count(*) FROM runs"), one("SELECT count(*) FROM runs WHERE good")
    return {
        "malformed": lines - evidence, "evidence": evidence, "passed": passed, "rejected": evidence - passed, "sft": one("SELECT count(*) FROM sft"),
        "pairs": one("SELECT count(*) FROM pairs"),
    }  # fmt: skip


PEERS = {
    "fused": run_fused, "staged": run_staged, "duckdb": run_duckdb, "polars": run_polars, "datatrove": run_datatrove, "datasets": run_datasets,
}  # fmt: skip
"""Functions of (folder of logs, folder to write into) that return their counts."""

if __name__ == "__main__":
    print(json.dumps(PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))))
