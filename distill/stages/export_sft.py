"""export-sft: whole conversations, and one completion per assistant turn (SPEC 5.3)."""

from collections.abc import Iterable, Iterator

from distill.config import Config
from distill.conversation import Turn, text_key, user_text
from distill.outcome import Kind, Outcome, Row
from distill.runs import Run, admits
from distill.schemas.export_rows import PromptCompletionRow, SftRow
from distill.stages import COMPLETIONS, QUARANTINE, SFT
from distill.stages.export_common import chat, find_defect, leave_out, resolution_reason, run_turns

__all__ = ["run"]

_QUARANTINE = f"{QUARANTINE}/sft.jsonl"


def run(runs: Iterable[Run], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row; of equal texts the smallest id stands."""
    waiting: list[tuple[Run, bytes]] = []
    smallest: dict[bytes, tuple[bool, str]] = {}
    for one in runs:
        turns = run_turns(one)
        out = _keep_out(one, turns, config)
        if out is not None:
            yield leave_out("export-sft", one, *out, target=_QUARANTINE)
            continue
        key = text_key(turns) or b""
        kept_out = any(turn.failed for turn in turns) and not config.sft.allow_failed_turns
        rank = (kept_out, one.evidence.id)  # a run that may stand whole stands before one that may not
        smallest[key] = min(rank, smallest.get(key, rank))
        waiting.append((one, key))
    for one, key in waiting:
        outcome = _export(one, run_turns(one), config)
        if smallest[key][1] != one.evidence.id:
            outcome = Outcome("filtered", one.evidence.id, reason=outcome.reason or "duplicate_text")
        yield outcome


def _keep_out(one: Run, turns: list[Turn], config: Config) -> tuple[Kind, str] | None:
    resolved = resolution_reason(one)
    if resolved is not None:
        return resolved
    if one.category in {"rejected", "needs_human_review"}:
        return "quarantined", "unsafe_sft_category"
    if not admits(one, config.sft.include):
        return "quarantined", "category_disallowed"
    defect = find_defect(one, turns)
    return ("quarantined", defect) if defect is not None else None


def _export(one: Run, turns: list[Turn], config: Config) -> Outcome:
    evidence = one.evidence
    common = {"source_run_id": evidence.run_id or "", "quality_score": one.category, "provenance": str(evidence.provenance)}
    rows = [
        Row(COMPLETIONS, identity, PromptCompletionRow(prompt=chat(turns[:i]), completion=chat([turn]), id=identity, **common))
        for i, turn in enumerate(turns)
        if turn.role == "assistant" and not turn.failed
        for identity in (f"{evidence.id}#{i:04d}",)
    ]
    if any(turn.failed for turn in turns) and not config.sft.allow_failed_turns:
        return Outcome("filtered", evidence.id, reason="failed_turns", rows=tuple(rows))
    whole = SftRow(messages=chat(turns), instruction=user_text(evidence), response=turns[-1].content, id=evidence.id, **common)
    return Outcome("accepted", evidence.id, rows=(Row(SFT, evidence.id, whole), *rows))
