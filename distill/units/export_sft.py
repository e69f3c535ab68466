"""export-sft over units: runs of one text meet by the key of their text, and the smallest rank stands."""

from collections.abc import Iterator
from typing import Any

import msgspec

from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import COMPLETIONS, QUARANTINE, SFT, export_sft
from distill.units.exports import Export, run_export
from distill.units.guard import permits
from distill.units.lean import decode_lean
from distill.units.parts import KEY, PartWriter

__all__ = ["EXPORT", "render_rows", "run_units"]

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
    one = _CANDIDATE(lines[0][2 * KEY + 1 :])
    kept_out, identity = one.rank
    render_rows(one, part.keyed["whole"], part.keyed["turns"])
    yield Outcome("filtered", identity, reason="failed_turns") if kept_out else Outcome("accepted", identity)
    for line in lines[1:]:
        yield Outcome("filtered", "", reason="failed_turns" if line[KEY : KEY + 1] == b"1" else "duplicate_text")


def render_rows(one: export_sft.Candidate, whole: list[bytes], turns: list[bytes]) -> None:
    """Add the lines of a run that stands, each after its key: the bytes of its `SftRow` and `PromptCompletionRow`s.

    Every text is encoded once, since it stands in both files and in several columns.
    """
    kept_out, identity = one.rank
    key = identity.encode()
    common = b'","source_run_id":%b,"quality_score":%b,"provenance":%b}' % (
        _ENCODE(one.run_id), _ENCODE(one.category), _ENCODE(one.provenance),
    )  # fmt: skip
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
    ((SFT, "whole"), (COMPLETIONS, "turns")), f"{QUARANTINE}/sft.jsonl", decode_lean, permits,
)  # fmt: skip
"""What is particular to SFT."""
