"""export-rag: accepted runs and playbooks as documents for retrieval (SPEC 5.2)."""

from collections.abc import Iterable, Iterator

from distill.config import Config
from distill.conversation import has_leak, user_text
from distill.outcome import Kind, Outcome, Row
from distill.reasons import action_of, meaning_of
from distill.runs import Run
from distill.schemas.export_rows import Playbook, RagRow
from distill.schemas.quarantine_row import QuarantineRow
from distill.stages import QUARANTINE, RAG
from distill.stages.export_common import find_defect, leave_out, resolution_reason, run_turns
from distill.stages.extract_playbooks import make_title

__all__ = ["keep_out", "playbook_outcome", "run", "run_outcome"]

_QUARANTINE = f"{QUARANTINE}/rag.jsonl"


def run(runs: Iterable[Run], playbooks: Iterable[Playbook], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row and one per playbook."""
    leaking: set[str] = set()
    for one in runs:
        if has_leak(one.evidence):
            leaking.add(one.evidence.id)
        yield run_outcome(one)
    for playbook in playbooks:
        yield playbook_outcome(playbook, leaking)


def run_outcome(one: Run) -> Outcome:
    """Return the fate of one run, with its document where it is accepted."""
    out = keep_out(one)
    if out is not None:
        return leave_out("export-rag", one, *out, target=_QUARANTINE)
    turns = run_turns(one)
    defect = find_defect(one, turns)
    if defect is not None:
        return leave_out("export-rag", one, "quarantined", defect, target=_QUARANTINE)
    evidence, asked, answer = one.evidence, user_text(one.evidence), turns[-1].content
    own = {"task": evidence.task_id, "model": evidence.model, "category": one.category, "source": evidence.source}
    tags = [f"{key}={value}" for named in (own, evidence.tags) for key, value in named.items() if value]
    row = RagRow(
        id=evidence.id, kind="run", title=make_title(asked), content=f"{asked}\n\n{answer}",
        tags=sorted(set(tags)), source_run_ids=[evidence.run_id or ""], failed_run_ids=[],
        success_score=one.score, embedding_text=f"{asked}\n\n{answer}", provenance=str(evidence.provenance),
    )  # fmt: skip
    return Outcome("accepted", evidence.id, rows=(Row(RAG, row.id, row),))


def keep_out(one: Run) -> tuple[Kind, str] | None:
    """Return why a run's verdict alone keeps it out, or None."""
    resolved = resolution_reason(one)
    if resolved is not None:
        return resolved
    return None if one.category in {"accepted", "partially_accepted"} else ("quarantined", "unsafe_category")


def _defect_of(playbook: Playbook, leaking: set[str]) -> str | None:
    counts = playbook.counts
    if counts["needs_human_review"] == sum(counts.values()):
        return "unsafe_category"
    if not playbook.source_run_ids and not playbook.failed_run_ids:
        return "missing_source_run_id" if playbook.steps or counts["rejected"] else "empty_response"
    if not playbook.when.strip():
        return "empty_instruction"
    return "answer_leak" if leaking.intersection(playbook.evidence_ids) else None


def playbook_outcome(playbook: Playbook, leaking: set[str]) -> Outcome:
    """Return the fate of one playbook; `leaking` are the evidence ids whose text holds a reference."""
    defect = _defect_of(playbook, leaking)
    if defect is not None:
        row = QuarantineRow(
            stage="export-rag", reason=defect, action=action_of(defect), evidence_id=None, provenance=playbook.provenance,
            detail=f"{meaning_of(defect)}; playbook {playbook.id} of group {playbook.group}", raw=None,
        )  # fmt: skip
        return Outcome("quarantined", playbook.id, reason=defect, rows=(Row(_QUARANTINE, (playbook.id, ""), row),))
    steps = "\n".join(statement.text for statement in playbook.steps)
    runs = sum(playbook.counts.values())
    passed = playbook.counts["accepted"] + playbook.counts["partially_accepted"]
    share = passed / runs if playbook.kind == "playbook" else 0.0
    tags = [f"group={playbook.group}", *(f"model={model}" for model in playbook.models)]
    rag = RagRow(
        id=playbook.id, kind=playbook.kind, title=playbook.title, content=render_playbook(playbook), tags=sorted(tags),
        source_run_ids=playbook.source_run_ids, failed_run_ids=playbook.failed_run_ids, success_score=share,
        embedding_text="\n\n".join(part for part in (playbook.when, steps) if part), provenance=playbook.provenance,
    )  # fmt: skip
    return Outcome("accepted", playbook.id, rows=(Row(RAG, rag.id, rag),))


def render_playbook(playbook: Playbook) -> str:
    """Return a playbook as a reader is shown it."""
    passed = playbook.counts["accepted"] + playbook.counts["partially_accepted"]
    lines = [f"# {playbook.title}", "", f"{passed} of {sum(playbook.counts.values())} runs passed.", "", "## When", playbook.when]
    if playbook.steps:
        lines += ["", "## Steps"]
        lines += [f"- {step.text} ({step.support} of {step.of} passing runs)" for step in playbook.steps]
    if playbook.pitfalls:
        lines += ["", "## Pitfalls"]
        lines += [f"- {pitfall.text} ({pitfall.kind}, {len(pitfall.evidence_ids)} runs)" for pitfall in playbook.pitfalls]
    return "\n".join(lines)
