"""export-sft over units: runs of one text meet by the key of their text, and the smallest rank stands."""

from collections.abc import Iterator
from typing import Any

from distill.jsonl import encode_trusted
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import COMPLETIONS, QUARANTINE, SFT, export_sft
from distill.units.exports import Export, decode_exported, run_export
from distill.units.parts import KEY, PartWriter

__all__ = ["EXPORT", "run_units"]

run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_sft.spread(one, config)
    if isinstance(found, Outcome):
        return found
    rows = {SFT: b"", COMPLETIONS: []}
    for row in found.outcome.rows:
        if row.target == SFT:
            rows[SFT] = encode_trusted(row.value)
        else:
            rows[COMPLETIONS].append(row.key[KEY:].encode() + encode_trusted(row.value))  # type: ignore[attr-defined]
    head = found.key.hex()[:KEY] + str(int(found.rank[0])) + found.rank[1]
    part.keyed["groups"].append(b"\t".join([head.encode(), rows[SFT], *rows[COMPLETIONS]]))  # type: ignore[list-item]
    return None


def _gather(lines: list[bytes], config: Any, part: PartWriter) -> Iterator[Outcome]:
    """Let the smallest rank stand for a text, which is the first line."""
    for place, line in enumerate(lines):
        failed = line[KEY : KEY + 1] == b"1"
        if place:
            yield Outcome("filtered", "", reason="failed_turns" if failed else "duplicate_text")
            continue
        head, whole, *turns = line.split(b"\t")
        identity = head[KEY + 1 :]
        if whole:
            part.keyed["whole"].append(identity + whole)
        part.keyed["turns"] += [identity + turn for turn in turns]
        yield Outcome("filtered", "", reason="failed_turns") if failed else Outcome("accepted", "")


EXPORT = Export(
    frozenset({"rejected", "needs_human_review"}), export_sft.keep_out, _spread, _gather,
    ((SFT, "whole", KEY), (COMPLETIONS, "turns", KEY + 5)), f"{QUARANTINE}/sft.jsonl", decode_exported,
)  # fmt: skip
"""What is particular to SFT."""
