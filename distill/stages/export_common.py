"""What the exports share: when a run must stay out, what its quarantine row says, its chat messages (SPEC 5)."""

from collections.abc import Sequence

from distill.conversation import Turn, build_turns, has_leak, user_text
from distill.outcome import Kind, Outcome, Row
from distill.reasons import action_of, meaning_of
from distill.runs import Run
from distill.schemas.export_rows import ChatMessage
from distill.schemas.quarantine_row import QuarantineRow

__all__ = ["chat", "find_defect", "leave_out", "resolution_reason", "run_turns"]

_FILTERED = ("duplicate", "same_run", "superseded_by_review")


def chat(turns: Sequence[Turn]) -> list[ChatMessage]:
    """Return turns as messages."""
    return [ChatMessage(role=turn.role, content=turn.content) for turn in turns]  # type: ignore[arg-type]


def run_turns(run: Run) -> list[Turn]:
    """Return the turns of a run, with a person's correction as the last answer where it was accepted with changes."""
    return [] if run.lacks_correction else build_turns(run.evidence, response=run.answer)


def resolution_reason(run: Run) -> tuple[Kind, str] | None:
    """Return the outcome the resolution gives a run in an export, or None."""
    if run.excluded is None:
        return None
    return ("filtered" if run.excluded in _FILTERED else "quarantined"), run.excluded


def find_defect(run: Run, turns: Sequence[Turn]) -> str | None:
    """Return the first reason why a run of a fitting category cannot be exported, in the order of SPEC 6."""
    if not run.evidence.run_id:
        return "missing_source_run_id"
    if not user_text(run.evidence).strip():
        return "empty_instruction"
    if not turns:
        return "empty_response"
    if has_leak(run.evidence):
        return "answer_leak"
    return None


def leave_out(stage: str, run: Run, kind: Kind, reason: str, *, target: str) -> Outcome:
    """Return the outcome of a run that stays out; a quarantined one leaves a row in `target`."""
    if kind != "quarantined":
        return Outcome(kind, run.evidence.id, reason=reason)
    detail = f"{meaning_of(reason)}; category {run.category} ({', '.join(run.reasons)})"
    row = QuarantineRow(
        stage=stage, reason=reason, action=action_of(reason), evidence_id=run.evidence.id, provenance=str(run.evidence.provenance),
        detail=detail, raw=None,
    )  # fmt: skip
    return Outcome(kind, run.evidence.id, reason=reason, rows=(Row(target, (run.evidence.id, row.provenance), row),))
