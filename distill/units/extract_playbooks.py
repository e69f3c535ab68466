"""extract-playbooks over units: the runs of one group meet by its key, each with its evidence and that of its other rows."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import msgspec

from distill.compiled import find_compiled
from distill.hashing import row_id
from distill.jsonl import encode_row
from distill.outcome import Outcome
from distill.runs import Run
from distill.stages import PLAYBOOKS, extract_playbooks
from distill.units.exports import Export, Spreader, grouped, run_export
from distill.units.jobs import Context
from distill.units.lean import decode_told
from distill.units.outputs import Target
from distill.units.parts import KEY, PartWriter, sort_lines

__all__ = ["EXPORT", "run_units", "spell_title"]

_COMPILED = find_compiled("documents")
_GATHER = find_compiled("playbooks")
_TEXT: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_ENCODE = msgspec.json.Encoder().encode
run_units = run_export


class _Judged(msgspec.Struct, array_like=True, gc=False):
    """A run's verdict after the resolution, as it travels beside its evidence."""

    scope: str
    group: str
    category: Any
    reasons: list[str]
    score: float
    attempts: int | None
    corrected_response: str | None
    infrastructure: bool


_VERDICT = msgspec.json.Decoder(_Judged).decode


def _compiled(spreader: Spreader) -> Any:
    scopes = spreader.scopes

    def group_of(source: bytes, task_id: bytes) -> tuple[bytes, bytes]:
        name, group = _TEXT(source), _TEXT(task_id)
        scope = scopes.get(name, name)
        return row_id("group", scope, group).encode(), _ENCODE((scope, group))[:-1]

    if _COMPILED is None or spreader.config.playbooks.group_by != "task_id":
        return None
    whole = bool(extract_playbooks.cumulative_keys(spreader.config))
    return _COMPILED.SpreadMembers(spreader.fates.of, _ENCODE, spreader.part.keyed, group_of, whole)


def _spread(one: Run, lines: list[bytes], config: Any, part: PartWriter) -> Outcome | None:
    found = extract_playbooks.find_group(one, config)
    if isinstance(found, Outcome):
        return found
    verdict = _Judged(*found, one.category, one.reasons, one.score, one.attempts, one.corrected_response, one.infrastructure)
    part.keyed["groups"].append(b"\t".join([(row_id("group", *found) + one.evidence.id).encode() + _ENCODE(verdict), *lines]))
    return None


@lru_cache(maxsize=256)
def spell_title(asked: bytes) -> bytes:
    """Return the title of a user text, both as JSON."""
    return _ENCODE(extract_playbooks.make_title(_TEXT(asked)))


def _name_of(scope: bytes, group: bytes) -> tuple[bytes, bytes]:
    """Return the id of a playbook and the name of its group as JSON, from the scope and the group as JSON."""
    told = _TEXT(scope)
    name = f"{told}:{_TEXT(group)}" if told else _TEXT(group)
    return row_id("playbook", name).encode(), _ENCODE(name)


def _gather(blocks: list[bytes], context: Context, part: PartWriter) -> Iterator[tuple[Outcome, int]]:
    groups: Iterable[list[bytes]]
    if _GATHER is None:
        groups = grouped(sort_lines(blocks))
    else:
        told, silent, groups = _GATHER.Gather(_name_of, spell_title).take(blocks, part.keyed["playbooks"])
        if told:
            yield Outcome("accepted", ""), told
        if silent:
            yield Outcome("filtered", "", reason="no_playbook"), silent
    for group in groups:
        for outcome in _gather_group(group, context.config, part):
            yield outcome, 1


def _gather_group(lines: list[bytes], config: Any, part: PartWriter) -> Iterator[Outcome]:
    runs: list[Run] = []
    group = ("", "")
    for line in lines:
        head, *evidence = line.split(b"\t")
        verdict = _VERDICT(head[2 * KEY :])
        own, *others = [decode_told(one) for one in evidence]
        group = (verdict.scope, verdict.group)
        runs.append(Run(
            own, verdict.scope, verdict.category, verdict.reasons, verdict.score, None, verdict.attempts, verdict.corrected_response,
            verdict.infrastructure, others,
        ))  # fmt: skip
    for outcome in extract_playbooks.gather(group, runs, extract_playbooks.cumulative_keys(config)):
        for row in outcome.rows:
            part.keyed["playbooks"].append(row.key.encode() + encode_row(row.value)[:-1])
        yield outcome


EXPORT = Export(
    frozenset(), lambda one, config: None, _spread, _gather, (Target(PLAYBOOKS, ("playbooks",)),), None, decode_told,
    lambda one, config: iter(()), compiled=_compiled,
)  # fmt: skip
"""What is particular to playbooks."""
