"""export-preference over units: the runs of one task meet by the key of their scope and task.

A side travels as JSON of its `Side`; its texts are looked at and put into pairs as they are spelt there. Sections of a part: `groups`
holds the sides, `pairs` the rows by the id of their pair, `witnesses` the two runs of each pair.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from distill.compiled import find_compiled
from distill.conversation import Turn
from distill.hashing import row_id
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import PREFERENCE, QUARANTINE, export_preference
from distill.units.exports import Export, grouped, run_export
from distill.units.guard import permits
from distill.units.jobs import Context
from distill.units.lean import decode_lean
from distill.units.merging import KEY_VALUE
from distill.units.outputs import Target
from distill.units.parts import KEY, PartWriter, sort_lines
from distill.units.quotes import quotes_of

__all__ = ["EXPORT", "PAIR_ROW", "render_pair", "run_units"]

_COMPILED = find_compiled("pairs")
_SPREAD = find_compiled("exports")
_ENCODE = msgspec.json.Encoder().encode


class _Spelt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A turn whose text is left as it is spelt."""

    role: str
    content: msgspec.Raw
    failed: bool = False


class _Side(export_preference.Side, array_like=True, gc=False):
    """A side whose turns are left as they are spelt."""

    turns: list[_Spelt]  # type: ignore[assignment]  # spelt here, read where they are compared


_SIDE = msgspec.json.Decoder(_Side).decode
_PAIR = (
    b'%b{"prompt":[%b],"chosen":[%b],"rejected":[%b],"id":"%b","chosen_run_id":%b,"rejected_run_id":%b,"chosen_model":%b,'
    b'"rejected_model":%b,"reason":%b,"provenance":%b}'
)
_QUESTION, _CHOSEN, _REJECTED, _CHOSEN_RUN, _REJECTED_RUN, _CHOSEN_MODEL, _REJECTED_MODEL, _REASON, _PLACES = range(9)  # of a pair
PAIR_ROW = (
    b'{"prompt":[{"role":"user","content":', _QUESTION, b'}],"chosen":[{"role":"assistant","content":', _CHOSEN,
    b'}],"rejected":[{"role":"assistant","content":', _REJECTED, b'}],"id":"', KEY_VALUE, b'","chosen_run_id":', _CHOSEN_RUN,
    b',"rejected_run_id":', _REJECTED_RUN, b',"chosen_model":', _CHOSEN_MODEL, b',"rejected_model":', _REJECTED_MODEL,
    b',"reason":', _REASON, b',"provenance":', _PLACES, b"}",
)  # fmt: skip
run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_preference.spread(one, config)
    if isinstance(found, Outcome):
        return found
    key = row_id("task", one.scope, one.evidence.task_id)
    part.keyed["groups"].append(key.encode() + found.id.encode() + _ENCODE(found))
    return None


def _gather(blocks: list[bytes], context: Context, part: PartWriter) -> Iterator[tuple[Outcome, int]]:
    rows, witnesses, settings = part.keyed["pairs"], part.keyed["witnesses"], context.config.preference
    spell = quotes_of(context).spell
    met: Counter[str | None] = Counter()
    if _COMPILED is None:
        groups: Iterable[list[bytes]] = grouped(sort_lines(blocks))
    else:
        many = sys.maxsize if settings.step_pairs else export_preference.MANY
        gather = _COMPILED.Gather(settings.max_pairs_per_task, settings.pair_scope == "same_model", many)
        met, groups = gather.take(blocks, rows, witnesses)
    for group in groups:
        sides: list[Any] = [_SIDE(spell(line[2 * KEY :])) for line in group]
        pairs, fates = export_preference.decide_task(sides, settings)
        for pair in pairs:
            row = render_pair(pair)
            rows.append(row)
            witnesses.append(row[:KEY] + pair.chosen.id.encode() + pair.rejected.id.encode())
        met.update(map(fates.get, [side.id for side in sides]))
    for reason, times in met.items():
        yield Outcome("filtered", "", reason=reason) if reason else Outcome("accepted", ""), times


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
    (Target(PREFERENCE, ("pairs",), PAIR_ROW, growth=4),), f"{QUARANTINE}/preference.jsonl", decode_lean, permits("imitate", "avoid"),
    compiled=lambda one: _SPREAD and _SPREAD.SpreadPreference(one.fates.of, _ENCODE, one.part.keyed, one.tasks.of_spelt),
    quotes=True,
)  # fmt: skip
"""What is particular to preference pairs."""
