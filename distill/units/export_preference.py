"""export-preference over units: the runs of one task meet by the key of their scope and task."""

from collections.abc import Iterator
from typing import Any

import msgspec

from distill.conversation import Turn
from distill.hashing import row_id
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import PREFERENCE, QUARANTINE, export_preference
from distill.units.exports import Export, run_export
from distill.units.guard import permits
from distill.units.lean import decode_lean
from distill.units.parts import KEY, PartWriter

__all__ = ["EXPORT", "render_pair", "run_units"]

_ENCODE = msgspec.json.Encoder().encode
_SIDE = msgspec.json.Decoder(export_preference.Side).decode
_PAIR = (
    b'%b{"prompt":[%b],"chosen":[%b],"rejected":[%b],"id":"%b","chosen_run_id":%b,"rejected_run_id":%b,"chosen_model":%b,'
    b'"rejected_model":%b,"reason":%b,"provenance":%b}'
)
run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_preference.spread(one, config)
    if isinstance(found, Outcome):
        return found
    key = row_id("task", one.scope, one.evidence.task_id)
    part.keyed["groups"].append(key.encode() + found.id.encode() + _ENCODE(found))
    return None


def _gather(lines: list[bytes], config: Any, part: PartWriter) -> Iterator[Outcome]:
    sides = [_SIDE(line[2 * KEY :]) for line in lines]
    pairs, fates = export_preference.decide_task(sides, config.preference)
    part.keyed["pairs"] += map(render_pair, pairs)
    for side in sides:
        reason = fates.get(side.id)
        yield Outcome("filtered", side.id, reason=reason) if reason else Outcome("accepted", side.id)


def render_pair(pair: export_preference.Pair) -> bytes:
    """Return the line of a pair after its key: the bytes of its `PreferenceRow`."""
    chosen, rejected = pair.chosen, pair.rejected
    key = row_id(chosen.id, rejected.id).encode()
    columns = (
        key, b",".join([_message(turn) for turn in chosen.turns[: pair.split]]), _message(chosen.turns[pair.split]),
        _message(rejected.turns[pair.split]), key, _ENCODE(chosen.run_id), _ENCODE(rejected.run_id), _ENCODE(chosen.model),
        _ENCODE(rejected.model), _ENCODE(rejected.reason), _ENCODE(f"{chosen.provenance}; {rejected.provenance}"),
    )  # fmt: skip
    return _PAIR % columns


def _message(turn: Turn) -> bytes:
    return b'{"role":"%b","content":%b}' % (turn.role.encode(), _ENCODE(turn.content))


EXPORT = Export(
    frozenset({"needs_human_review"}), export_preference.keep_out, _spread, _gather,
    ((PREFERENCE, "pairs"),), f"{QUARANTINE}/preference.jsonl", decode_lean, permits,
)  # fmt: skip
"""What is particular to preference pairs."""
