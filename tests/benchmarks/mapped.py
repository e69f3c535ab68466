"""What a mapping costs: collect of the same rows by the native format and by a mapping of every field it has."""

import shutil
from statistics import median

from tests.benchmarks.corpus import write_corpus
from tests.benchmarks.page import render_table, write_section
from tests.benchmarks.projects import make_project, read_collected, run_ours
from tests.benchmarks.work import Order

__all__ = ["write_mapped"]

_SIMPLE = """
max_skipped = 0.05

[[sources]]
name = "outcomes"
root = '{logs}'
glob = "*.jsonl"
reader = "jsonl"
[sources.fields]
run_id = {{ path = "run_id" }}
task_id = {{ path = "task_id" }}
created_at = {{ path = "created_at" }}
model = {{ path = "model" }}
provider = {{ path = "provider", optional = true }}
role = {{ path = "role", optional = true }}
instruction = {{ path = "prompt" }}
context = {{ path = "context", optional = true }}
response = {{ path = "response" }}
attempts = {{ path = "attempts" }}
errors = {{ path = "errors", optional = true }}
cost_usd = {{ path = "cost_usd", optional = true }}
latency_ms = {{ path = "latency_ms", optional = true }}
[sources.tokens]
input = {{ path = "tokens.input", optional = true }}
output = {{ path = "tokens.output", optional = true }}
[[sources.signals]]
kind = "test"
checks = {{ passed = "tests.passed", failed = "tests.failed" }}
optional = true
[[sources.signals]]
kind = "self"
path = "ok"
pass = [true]
fail = [false]
optional = true
"""


def write_mapped(order: Order) -> None:
    """Measure collect inline, by format and by mapping in turn; both must read the same number of rows."""
    logs = write_corpus(order.base / f"logs-{order.rows}", order.rows)
    found: dict[str, list[float]] = {"native format": [], "mapping": []}
    counts: set[tuple[int, int]] = set()
    for _ in range(order.rounds):
        for name, times in found.items():
            project = make_project(order.base / "turn", logs)
            if name == "mapping":
                (project / "distill.toml").write_text(_SIMPLE.format(logs=logs))
            times.append(run_ours(project, "collect", engine="inline").cpu)
            counts.add(read_collected(project))
            shutil.rmtree(project)
    if len(counts) > 1:
        raise SystemExit(f"not the same work: {counts}")
    native = median(found["native format"])
    rows = [
        (name, f"{median(times):.2f}", f"{median(times) / order.rows * 1e6:.1f}", f"{median(times) / native:.2f}")
        for name, times in found.items()
    ]
    write_section(
        "mapped", command=order.command, body=render_table(("collect by", "CPU s", "us a row", "of native"), rows),
        facts=f"{order.rows:,} rows of about 1 KB in eight files, `doit collect` inline, {order.rounds} rounds in turn, medians of CPU seconds "
        "of the whole process; every field and signal the native log has is mapped",
    )  # fmt: skip
