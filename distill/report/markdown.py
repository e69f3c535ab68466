"""summary.md: the verdict first, then the books, the reasons by what to do about them, drift in words, what is next."""

from collections import defaultdict
from collections.abc import Sequence

from distill.reasons import ACTIONS, Action, action_of, meaning_of
from distill.schemas.drift_report import DriftReport
from distill.schemas.run_summary import RunSummary
from distill.schemas.stage_receipt import StageReceipt

__all__ = ["render_summary"]

_MANY = 20
"""Lines of one kind that a page shows."""
_OUTCOMES = ("accepted", "rejected", "quarantined", "skipped", "filtered")


def render_summary(summary: RunSummary, receipts: Sequence[StageReceipt], drift: DriftReport, *, head: str) -> str:
    """Return the page of one run; `head` is the ledger's after this run."""
    books = (_books(receipts), _categories(receipts), _reasons(receipts), _warnings(receipts))
    parts = [_verdict(summary, drift), _datasets(summary), *books, _drift(drift), _proof(summary, head)]
    return "\n\n".join(part for part in [*parts, f"## Next\n\n{_next(summary, drift)}"] if part) + "\n"


def _proof(summary: RunSummary, head: str) -> str:
    commit = f"commit `{summary.git_commit}`" if summary.git_commit else "outside a repository"
    told = f"`{summary.run_hash}`: equal outputs, equal hash" if summary.run_hash else "none: not every stage has outputs"
    kept = "keep it outside this project; without it, or a signature, whoever can write everything could also rewrite the chain"
    lines = [
        f"- run `{summary.run_id}`, {summary.scope}, {summary.started_at} to {summary.ended_at}, {commit}",
        f"- run hash {told}",
        f"- ledger head `{head}`: {kept}",
    ]
    return "\n".join(["## Proof", "", *lines])


def _verdict(summary: RunSummary, drift: DriftReport) -> str:
    lines = [f"# {'Passed' if summary.overall_passed else 'Did not pass'}", ""]
    failed = [stage.stage for stage in summary.stages if not stage.passed]
    if failed:
        lines.append(f"These stages did not pass: {', '.join(failed)}. Training on the exports is not safe until they do.")
    elif drift.severity == "alert":
        lines.append("Every stage passed, but drift raised an alert: look at it before you train.")
    else:
        lines.append("Every stage passed, every record is accounted for, and the firewall found nothing that must not be exported.")
    return "\n".join(lines)


def _datasets(summary: RunSummary) -> str:
    sets = summary.datasets
    names = (("SFT rows", sets.sft), ("preference pairs", sets.preference), ("retrieval rows", sets.rag))
    return "\n".join(f"- {count:,} {name}" for name, count in names if count is not None)


def _books(receipts: Sequence[StageReceipt]) -> str:
    columns = ("stage", "decision", "unit", "considered", *_OUTCOMES, "passed")
    lines = ["## The books", "", _line(columns), "|---|---|---|---:|---:|---:|---:|---:|---:|---|"]
    for receipt in receipts:
        stats = receipt.stats
        counts = [f"{getattr(stats, name):,}" for name in ("considered", *_OUTCOMES)]
        decision = f"{receipt.decision}: {receipt.decision_reason}"
        lines.append(_line((receipt.stage, decision, stats.unit, *counts, "yes" if receipt.validation.passed else "**no**")))
    errors = [f"- {receipt.stage}: {error}" for receipt in receipts for error in receipt.validation.errors]
    return "\n".join([*lines, *(["", *errors] if errors else [])])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _categories(receipts: Sequence[StageReceipt]) -> str:
    """Say what the runs were judged to be."""
    totals: defaultdict[str, int] = defaultdict(int)
    for receipt in receipts:
        if receipt.stage == "score":
            for counts in receipt.stats.by_file.values():
                for name in ("accepted", "partially_accepted", "rejected", "needs_human_review"):
                    totals[name] += counts.get(name, 0)
    if not totals:
        return ""
    return "Runs: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in totals.items()) + "."


def _reasons(receipts: Sequence[StageReceipt]) -> str:
    """Group what was not let through by who can do something about it."""
    found: defaultdict[Action, list[str]] = defaultdict(list)
    for receipt in receipts:
        for slug, count in sorted(receipt.stats.reasons.items(), key=lambda item: (-item[1], item[0])):
            found[action_of(slug)].append(f"- {receipt.stage}: {count:,} `{slug}`: {meaning_of(slug)}")
    lines = ["## What was left out, and what to do"] if found else []
    for action, text in ACTIONS.items():
        if found[action]:
            lines += ["", f"**{action.replace('_', ' ')}**: {text}", "", *found[action]]
    return "\n".join(lines)


def _warnings(receipts: Sequence[StageReceipt]) -> str:
    told: list[str] = []
    for receipt in receipts:
        lines = [f"- {receipt.stage}: {text}" for text in receipt.validation.warnings if not text[:1].isdigit()]
        told += _few(lines, f"{receipt.stage}.json has all")
    return "\n".join(["## Worth knowing", "", *told]) if told else ""


def _few(lines: list[str], rest: str) -> list[str]:
    """Return the first of many lines, and how many more there are."""
    return lines if len(lines) <= _MANY else [*lines[:_MANY], f"- and {len(lines) - _MANY:,} more, {rest}"]


def _drift(drift: DriftReport) -> str:
    """Say in sentences what moved, where, by how much, and whether it may be chance."""
    words = {"ok": "nothing to worry about", "warn": "worth a look", "alert": "look at it before you train"}[drift.severity]
    against = f"Compared with run `{drift.prior_run_id}`: {words}." if drift.prior_run_id else f"{words.capitalize()}."
    flags = _few([f"- {flag}" for flag in drift.flags], "none worse than these; drift.json has all") or ["- nothing moved"]
    short = sum(test.direction.startswith("insufficient_sample") for test in drift.tests)
    asked = f"{len(drift.tests)} questions were asked" if drift.tests else ""
    if short:
        asked += f"; {short} of them have too few records on one side to be answered (`insufficient_sample`)"
    return "\n".join(
        [f"## Drift: {drift.severity}", "", against, "", *flags, *(["", f"{asked}; all figures are in drift.json."] if asked else [])]
    )


def _next(summary: RunSummary, drift: DriftReport) -> str:
    if not summary.overall_passed:
        return "Repair what is named above, then run `doit`; it goes on from the last finished stage."
    if drift.severity == "alert":
        return "If the change is meant, `doit --always` adds a run that accepts it."
    if summary.datasets.sft:
        return "Train on `exports/sft/`; where a row came from says its `provenance`. `distill search WORDS` looks into the playbooks."
    return "Add verdicts to the logs, or a mapping that reads them; then run `doit`."
