"""export-preference over units: the runs of one task meet by the key of their scope and task."""

from collections.abc import Iterator
from typing import Any

import msgspec

from distill.hashing import row_id
from distill.jsonl import encode_trusted
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import PREFERENCE, QUARANTINE, export_preference
from distill.units.exports import Export, decode_exported, run_export
from distill.units.guard import permits
from distill.units.parts import KEY, PartWriter

__all__ = ["EXPORT", "run_units"]

_ENCODE = msgspec.json.Encoder().encode
_SIDE = msgspec.json.Decoder(export_preference.Side).decode
run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_preference.spread(one, config)
    if isinstance(found, Outcome):
        return found
    key = row_id("task", one.scope, one.evidence.task_id)
    part.keyed["groups"].append(key.encode() + found.id.encode() + _ENCODE(found))
    return None


def _gather(lines: list[bytes], config: Any, part: PartWriter) -> Iterator[Outcome]:
    for outcome in export_preference.pair_task([_SIDE(line[2 * KEY :]) for line in lines], config.preference):
        for row in outcome.rows:
            part.keyed["pairs"].append(row.key.encode() + encode_trusted(row.value))
        yield outcome


EXPORT = Export(
    frozenset({"needs_human_review"}), export_preference.keep_out, _spread, _gather,
    ((PREFERENCE, "pairs", KEY),), f"{QUARANTINE}/preference.jsonl", decode_exported, permits,
)  # fmt: skip
"""What is particular to preference pairs."""
