"""export-sft over units: runs of one text meet by the key of their text, and the smallest rank stands."""

from collections.abc import Iterator
from typing import Any

import msgspec

from distill.jsonl import encode_trusted
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import COMPLETIONS, QUARANTINE, SFT, export_sft
from distill.units.exports import Export, decode_exported, run_export
from distill.units.guard import permits
from distill.units.parts import KEY, PartWriter

__all__ = ["EXPORT", "run_units"]

_ENCODE = msgspec.json.Encoder().encode
_CANDIDATE = msgspec.json.Decoder(export_sft.Candidate).decode
run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_sft.spread(one, config)
    if isinstance(found, Outcome):
        return found
    head = found.key + ("1" if found.rank[0] else "0") + found.rank[1]
    part.keyed["groups"].append(head.encode() + _ENCODE(found))
    return None


def _gather(lines: list[bytes], config: Any, part: PartWriter) -> Iterator[Outcome]:
    """Let the smallest rank stand for a text, which is the first line; the others are not decoded."""
    outcome = _CANDIDATE(lines[0][2 * KEY + 1 :]).outcome()
    for row in outcome.rows:
        part.keyed["whole" if row.target == SFT else "turns"].append(row.key.encode() + encode_trusted(row.value))
    yield outcome
    for line in lines[1:]:
        yield Outcome("filtered", "", reason="failed_turns" if line[KEY : KEY + 1] == b"1" else "duplicate_text")


EXPORT = Export(
    frozenset({"rejected", "needs_human_review"}), export_sft.keep_out, _spread, _gather,
    ((SFT, "whole", KEY), (COMPLETIONS, "turns", KEY + 5)), f"{QUARANTINE}/sft.jsonl", decode_exported, permits,
)  # fmt: skip
"""What is particular to SFT."""
