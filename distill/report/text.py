"""The few lines a run says on the terminal: verdict, datasets, errors, where to read on."""

from typing import TYPE_CHECKING

from distill.plan import REPORTS

if TYPE_CHECKING:
    from distill.build.history import AddedRun

__all__ = ["render_text"]


def render_text(run: "AddedRun", *, title: str, head: str) -> str:
    """Return the verdict of a run as lines."""
    if run.summary is None:
        return f"{title}: summary.json cannot be read\n"
    summary = run.summary
    verdict = "passed" if summary.overall_passed else "DID NOT PASS"
    lines = [f"{title}: {verdict}; drift {run.severity}"]
    for name, count in (
        ("SFT", summary.datasets.sft),
        ("preference", summary.datasets.preference),
        ("RAG", summary.datasets.rag),
    ):
        if count is not None:
            lines.append(f"  {name}: {count:,} rows")
    for receipt in run.receipts.values():
        lines += [f"  {receipt.stage}: {error}" for error in receipt.validation.errors[:5]]
    lines.append(f"  read {REPORTS}/{summary.run_id}/summary.md")
    lines.append(f"  ledger head {head}")
    return "\n".join(lines) + "\n"
