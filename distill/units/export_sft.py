"""export-sft over units: rows are made where their run is met, runs of one text meet by its key, and the rows of those that lose go.

Sections of a part: `whole` and `turns` hold the rows of the two files by the id of their run, `exchanges` the values of which both rows of
a run of one question and one answer are made, `groups` the rank of every run by the key of its text, `lost` the runs that do not stand for
theirs.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from distill.compiled import find_compiled
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import COMPLETIONS, QUARANTINE, SFT, export_sft
from distill.units.exports import Export, run_export
from distill.units.guard import permits
from distill.units.jobs import Context
from distill.units.lean import decode_lean
from distill.units.merging import KEY_VALUE
from distill.units.outputs import Target
from distill.units.parts import KEY, PartWriter, sort_lines

__all__ = ["EXPORT", "render_rows", "run_units"]

_COMPILED = find_compiled("exports")
_ENCODE = msgspec.json.Encoder().encode
_STANDS, _KEPT_OUT = b"0", b"1"
_CATEGORIES = {name: _ENCODE(name) for name in ("accepted", "partially_accepted", "rejected", "needs_human_review")}
_ASKED, _ANSWER, _COMMON_VALUE = range(3)  # of an exchange
_WHOLE_ROW = (
    b'{"messages":[{"role":"user","content":', _ASKED, b'},{"role":"assistant","content":', _ANSWER, b'}],"instruction":', _ASKED,
    b',"response":', _ANSWER, b',"id":"', KEY_VALUE, _COMMON_VALUE,
)  # fmt: skip
_TURN_ROW = (
    b'{"prompt":[{"role":"user","content":', _ASKED, b'}],"completion":[{"role":"assistant","content":', _ANSWER, b'}],"id":"', KEY_VALUE,
    b"#0001", _COMMON_VALUE,
)  # fmt: skip
_COMMON = b'","source_run_id":%b,"quality_score":%b,"provenance":%b}'
_WHOLE = b'%b{"messages":[{"role":"user","content":%b},{"role":"assistant","content":%b}],"instruction":%b,"response":%b,"id":"%b%b'
_TURN = b'%b#0001{"prompt":[{"role":"user","content":%b}],"completion":[{"role":"assistant","content":%b}],"id":"%b#0001%b'
run_units = run_export


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = export_sft.spread(one, config)
    if isinstance(found, Outcome):
        return found
    kept_out, identity = found.rank
    part.keyed["groups"].append(found.key.encode() + (_KEPT_OUT if kept_out else _STANDS) + identity.encode())
    render_rows(found, part.keyed["whole"], part.keyed["turns"])
    return None


def _gather(blocks: list[bytes], context: Context, part: PartWriter) -> Iterator[tuple[Outcome, int]]:
    """Let the smallest rank stand for a text, which is the first line; the rows of the others are lost."""
    before = b""
    stand: list[bytes] = []
    lose: list[bytes] = []
    for line in sort_lines(blocks):
        key = line[:KEY]
        (lose if key == before else stand).append(line)
        before = key
    part.keyed["lost"] += [line[KEY + 1 :] + b"-" for line in lose]
    kept = Counter(line[KEY : KEY + 1] for line in stand)
    others = Counter(line[KEY : KEY + 1] for line in lose)
    yield Outcome("accepted", ""), kept[_STANDS]
    yield Outcome("filtered", "", reason="failed_turns"), kept[_KEPT_OUT] + others[_KEPT_OUT]
    yield Outcome("filtered", "", reason="duplicate_text"), others[_STANDS]


def render_rows(one: export_sft.Candidate, whole: list[bytes], turns: list[bytes]) -> None:
    """Add the lines of a run, each after its key: the bytes of its `SftRow` and `PromptCompletionRow`s.

    Every text is encoded once, since it stands in both files and in several columns.
    """
    kept_out, identity = one.rank
    key = identity.encode()
    common = _COMMON % (_ENCODE(one.run_id), _ENCODE(one.category), _ENCODE(one.provenance))
    texts = [_ENCODE(turn.content) for turn in one.turns]
    messages = [b'{"role":"%b","content":%b}' % (turn.role.encode(), text) for turn, text in zip(one.turns, texts, strict=True)]
    for i, turn in enumerate(one.turns):
        if turn.role == "assistant" and not turn.failed:
            name = b"%b#%04d" % (key, i)
            turns.append(b'%b{"prompt":[%b],"completion":[%b],"id":"%b%b' % (name, b",".join(messages[:i]), messages[i], name, common))
    if not kept_out:
        asked = texts[0] if one.asked is None else _ENCODE(one.asked)
        columns = (key, b",".join(messages), asked, texts[-1], key, common)
        whole.append(b'%b{"messages":[%b],"instruction":%b,"response":%b,"id":"%b%b' % columns)


EXPORT = Export(
    frozenset({"rejected", "needs_human_review"}), export_sft.keep_out, _spread, _gather,
    ((
        Target(SFT, ("whole", "exchanges", "lost"), _WHOLE_ROW, b"{", 6),
        Target(COMPLETIONS, ("turns", "exchanges", "lost"), _TURN_ROW, b"#", 4),
    ),),
    f"{QUARANTINE}/sft.jsonl", decode_lean, permits("imitate"),
    compiled=lambda spreader: _COMPILED and _COMPILED.SpreadSft(spreader.fates.of, _ENCODE, spreader.part.keyed), quotes=True,
)  # fmt: skip
"""What is particular to SFT."""
