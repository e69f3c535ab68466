"""export-sft: whole conversations, and one completion per assistant turn (SPEC 5.3)."""

from collections.abc import Iterable, Iterator

import msgspec

from distill.config import Config
from distill.conversation import Turn, text_key, user_text
from distill.outcome import Kind, Outcome, Row
from distill.runs import Run, admits
from distill.schemas.export_rows import PromptCompletionRow, SftRow
from distill.stages import COMPLETIONS, QUARANTINE, SFT
from distill.stages.export_common import chat, find_defect, leave_out, resolution_reason, run_turns

__all__ = ["Candidate", "keep_out", "run", "spread"]

_QUARANTINE = f"{QUARANTINE}/sft.jsonl"


class Candidate(msgspec.Struct, gc=False, array_like=True):
    """A run that may be exported; of equal texts only the smallest rank stands. Plain enough to travel between workers."""

    key: str
    """What equal texts share."""
    rank: tuple[bool, str]
    """A run that may stand whole stands before one that may not; then the smallest id."""
    run_id: str
    """The run's id in its log."""
    category: str
    """Its category."""
    provenance: str
    """Where it comes from."""
    asked: str | None
    """What it was asked; None where that is its first turn."""
    turns: list[Turn]
    """Its conversation."""

    def outcome(self) -> Outcome:
        """Return its fate should it stand."""
        return _export(self)

    def lost(self) -> Outcome:
        """Return its fate should another stand for its text."""
        return Outcome("filtered", self.rank[1], reason="failed_turns" if self.rank[0] else "duplicate_text")


def run(runs: Iterable[Run], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row; of equal texts the smallest id stands."""
    waiting: list[Candidate] = []
    smallest: dict[str, tuple[bool, str]] = {}
    for one in runs:
        found = spread(one, config)
        if isinstance(found, Outcome):
            yield found
            continue
        smallest[found.key] = min(found.rank, smallest.get(found.key, found.rank))
        waiting.append(found)
    for found in waiting:
        yield found.outcome() if smallest[found.key] == found.rank else found.lost()


def spread(one: Run, config: Config) -> Outcome | Candidate:
    """Return the fate of a run by itself, or what decides it among the runs of its text."""
    out = keep_out(one, config)
    turns = [] if out else run_turns(one)
    defect = None if out else find_defect(one, turns)
    if defect is not None:
        out = ("quarantined", defect)
    if out is not None:
        return leave_out("export-sft", one, *out, target=_QUARANTINE)
    kept_out = any(turn.failed for turn in turns) and not config.sft.allow_failed_turns
    evidence, asked = one.evidence, user_text(one.evidence)
    return Candidate(
        (text_key(turns) or b"").hex()[:32], (kept_out, evidence.id), evidence.run_id or "", one.category, str(evidence.provenance),
        None if asked == turns[0].content else asked, turns,
    )  # fmt: skip


def keep_out(one: Run, config: Config) -> tuple[Kind, str] | None:
    """Return why a run's verdict alone keeps it out, or None; its texts are not looked at."""
    resolved = resolution_reason(one)
    if resolved is not None:
        return resolved
    if one.category in {"rejected", "needs_human_review"}:
        return "quarantined", "unsafe_sft_category"
    return None if admits(one, config.sft.include) else ("quarantined", "category_disallowed")


def _export(one: Candidate) -> Outcome:
    kept_out, identity = one.rank
    common = {"source_run_id": one.run_id, "quality_score": one.category, "provenance": one.provenance}
    turns = one.turns
    rows = [
        Row(COMPLETIONS, name, PromptCompletionRow(prompt=chat(turns[:i]), completion=chat([turn]), id=name, **common))
        for i, turn in enumerate(turns)
        if turn.role == "assistant" and not turn.failed
        for name in (f"{identity}#{i:04d}",)
    ]
    if kept_out:
        return Outcome("filtered", identity, reason="failed_turns", rows=tuple(rows))
    asked = turns[0].content if one.asked is None else one.asked
    whole = SftRow(messages=chat(turns), instruction=asked, response=turns[-1].content, id=identity, **common)
    return Outcome("accepted", identity, rows=(Row(SFT, identity, whole), *rows))
