"""export-sft: whole conversations, and one completion per assistant turn (SPEC 5.3)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from distill.config import Config
from distill.conversation import Turn, text_key, user_text
from distill.outcome import Kind, Outcome, Row
from distill.runs import Run, admits
from distill.schemas.export_rows import PromptCompletionRow, SftRow
from distill.stages import COMPLETIONS, QUARANTINE, SFT
from distill.stages.export_common import chat, find_defect, leave_out, resolution_reason, run_turns

__all__ = ["Waiting", "keep_out", "run", "spread"]

_QUARANTINE = f"{QUARANTINE}/sft.jsonl"


class Waiting(NamedTuple):
    """A run that may be exported; of equal texts only the smallest rank stands."""

    key: bytes
    """What equal texts share."""
    rank: tuple[bool, str]
    """A run that may stand whole stands before one that may not; then the smallest id."""
    outcome: Outcome
    """Its fate should it stand."""

    @property
    def lost(self) -> Outcome:
        """Its fate should another stand for its text."""
        return Outcome("filtered", self.outcome.unit, reason=self.outcome.reason or "duplicate_text")


def run(runs: Iterable[Run], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row; of equal texts the smallest id stands."""
    waiting: list[Waiting] = []
    smallest: dict[bytes, tuple[bool, str]] = {}
    for one in runs:
        found = spread(one, config)
        if isinstance(found, Outcome):
            yield found
            continue
        smallest[found.key] = min(found.rank, smallest.get(found.key, found.rank))
        waiting.append(found)
    for found in waiting:
        yield found.outcome if smallest[found.key] == found.rank else found.lost


def spread(one: Run, config: Config) -> Outcome | Waiting:
    """Return the fate of a run by itself, or what decides it among the runs of its text."""
    out = keep_out(one, config)
    turns = [] if out else run_turns(one)
    defect = None if out else find_defect(one, turns)
    if defect is not None:
        out = ("quarantined", defect)
    if out is not None:
        return leave_out("export-sft", one, *out, target=_QUARANTINE)
    kept_out = any(turn.failed for turn in turns) and not config.sft.allow_failed_turns
    return Waiting(text_key(turns) or b"", (kept_out, one.evidence.id), _export(one, turns, config))


def keep_out(one: Run, config: Config) -> tuple[Kind, str] | None:
    """Return why a run's verdict alone keeps it out, or None; its texts are not looked at."""
    resolved = resolution_reason(one)
    if resolved is not None:
        return resolved
    if one.category in {"rejected", "needs_human_review"}:
        return "quarantined", "unsafe_sft_category"
    return None if admits(one, config.sft.include) else ("quarantined", "category_disallowed")


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
