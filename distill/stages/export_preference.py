"""export-preference: pairs of a better and a worse answer to the same prompt (SPEC 5.4)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import msgspec

from distill.config import Config, Preference
from distill.conversation import Turn, normalise, text_key
from distill.hashing import row_id
from distill.outcome import Kind, Outcome, Row
from distill.runs import Run, admits
from distill.schemas.export_rows import PreferenceRow
from distill.stages import PREFERENCE, QUARANTINE
from distill.stages.export_common import chat, find_defect, leave_out, resolution_reason, run_turns

__all__ = ["Pair", "Side", "choose_pairs", "decide_task", "find_split", "keep_out", "pair_task", "run", "spread"]

_QUARANTINE = f"{QUARANTINE}/preference.jsonl"
MANY = 2500
"""Combinations of the two sides of a task from which not every one is tried."""
_SPARE = 4
_ORDER = ("over_cap", "duplicate_text", "not_final_turn", "diverges_before_agent", "prompts_differ")


class Side(msgspec.Struct, gc=False, array_like=True):
    """One run as a side of pairs; plain enough to travel between workers."""

    id: str
    """Evidence id."""
    chosen: bool
    """Whether it is to be imitated; else it was judged and rejected."""
    key: str
    """What equal texts share."""
    run_id: str
    """The run's id in its log."""
    model: str
    """Model that acted, or empty."""
    retried: bool
    """Whether it was accepted after the first attempt."""
    reason: str
    """Slug that decided its category."""
    provenance: str
    """Where it comes from."""
    turns: list[Turn]
    """Its conversation up to the last answer."""


class Pair(NamedTuple):
    """Two runs of one task that part at turn `split`."""

    chosen: Side
    """The better one."""
    rejected: Side
    """The worse one."""
    split: int
    """Turn at which they part: the first one that differs."""


def run(runs: Iterable[Run], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row; a pair comes with the outcome of its chosen run."""
    tasks: dict[tuple[str, str], list[Side]] = defaultdict(list)
    for one in runs:
        found = spread(one, config)
        if isinstance(found, Outcome):
            yield found
        else:
            tasks[one.scope, one.evidence.task_id or ""].append(found)
    for task in sorted(tasks):
        yield from pair_task(sorted(tasks[task], key=lambda side: side.id), config.preference)


def spread(one: Run, config: Config) -> Outcome | Side:
    """Return the fate of a run by itself, or the side it is of among the runs of its task."""
    out = keep_out(one, config)
    turns = [] if out else run_turns(one)
    defect = None if out else find_defect(one, turns)
    if defect is not None:
        out = ("quarantined", defect)
    if out is None and one.evidence.task_id is None:
        out = ("filtered", "missing_task_id")
    if out is not None:
        return leave_out("export-preference", one, *out, target=_QUARANTINE)
    evidence = one.evidence
    return Side(
        evidence.id, admits(one, config.sft.include), (text_key(turns) or b"").hex()[:32], evidence.run_id or "", evidence.model or "",
        one.category != "accepted", one.reasons[0], str(evidence.provenance), turns,
    )  # fmt: skip


def keep_out(one: Run, config: Config) -> tuple[Kind, str] | None:
    """Return why a run's verdict alone keeps it out, or None; its texts are not looked at."""
    resolved = resolution_reason(one)
    if resolved is not None:
        return resolved
    judged = one.category == "rejected" and one.reasons[0] != "errors_unjudged" and not one.infrastructure
    return None if judged or admits(one, config.sft.include) else ("filtered", "neither_side")


def pair_task(sides: list[Side], settings: Preference) -> Iterator[Outcome]:
    """Yield the outcome of every side of one task; `sides` are sorted by id."""
    pairs, fates = decide_task(sides, settings)
    rows = defaultdict(list)
    for pair in pairs:
        rows[pair.chosen.id].append(_build_row(pair))
    for side in sides:
        reason = fates.get(side.id)
        yield Outcome("filtered", side.id, reason=reason) if reason else Outcome("accepted", side.id, rows=tuple(rows.get(side.id, ())))


def decide_task(sides: list[Side], settings: Preference) -> tuple[list[Pair], dict[str, str]]:
    """Return the pairs of one task, and the reason of every side that is in none; `sides` are sorted by id."""
    standing: dict[tuple[bool, str], Side] = {}
    fate: dict[str, str] = {}
    for side in sides:
        if standing.setdefault((side.chosen, side.key), side) is not side:
            fate[side.id] = "duplicate_text"
    pairs = choose_pairs(_candidates(list(standing.values()), fate, settings), settings)
    paired = {side.id for pair in pairs for side in (pair.chosen, pair.rejected)}
    both = {side.chosen for side in sides} == {True, False}
    return pairs, {
        side.id: fate.get(side.id, "no_counterpart") if both else "no_counterpart" for side in sides if side.id not in paired
    }  # fmt: skip


def _candidates(standing: list[Side], fate: dict[str, str], settings: Preference) -> list[Pair]:
    """Return every pair that could be taken; in `fate`, the best reason of every side should it be in none."""
    ours, theirs = [side for side in standing if side.chosen], [side for side in standing if not side.chosen]
    if len(ours) * len(theirs) > MANY and not settings.step_pairs:
        return _thin_candidates(standing, fate, settings)
    found: list[Pair] = []
    if _is_one_question(standing):
        both = product(ours, theirs)
        found = [Pair(*one, 1) for one in both if _may_pair(*one, settings)]
        fate.update(dict.fromkeys([side.id for pair in found for side in pair[:2]], "over_cap"))
        return found
    for chosen in ours:
        for rejected in theirs:
            split = find_split(chosen, rejected, settings)
            if isinstance(split, Pair):
                found.append(split)
            if split is not None:
                reason = "over_cap" if isinstance(split, Pair) else split
                _better(fate, chosen.id, reason)
                _better(fate, rejected.id, reason)
    return found


def _is_one_question(sides: list[Side]) -> bool:
    """Tell whether every side is one answer to one question, spelt the same, so that any two part at the answer."""
    if not sides or len(sides[0].turns) != 2:
        return False
    asked = sides[0].turns[0]
    return asked.role == "user" and all(
        len(side.turns) == 2 and side.turns[0].content == asked.content and side.turns[0].role == "user" and not side.turns[1].failed
        for side in sides
    )


def _may_pair(chosen: Side, rejected: Side, settings: Preference) -> bool:
    if settings.pair_scope == "same_model" and chosen.model != rejected.model:
        return False
    return chosen.run_id != rejected.run_id and chosen.key != rejected.key


def _thin_candidates(standing: list[Side], fate: dict[str, str], settings: Preference) -> list[Pair]:
    """Return at least the pairs that can be taken, without trying every side with every other.

    Final answers pair where all turns before them are equal. Of the sides that agree in that, in model and in being retried, only the
    first few by id can ever be taken: each pair taken uses one text of a side, and the cap is small.
    """
    groups: dict[str, list[Side]] = defaultdict(list)
    for side in standing:
        groups[_key_before(side)].append(side)
    found: list[Pair] = []
    alone: list[Side] = []
    for members in groups.values():
        first: dict[tuple[bool, str, bool], list[Side]] = defaultdict(list)
        for side in sorted(members, key=lambda side: side.id):
            few = first[side.chosen, side.model, side.retried]
            if len(few) < settings.max_pairs_per_task + _SPARE and not (side.chosen and side.turns[-1].failed):
                few.append(side)
        kept = [side for few in first.values() for side in few]
        for chosen, rejected in product([s for s in kept if s.chosen], [s for s in kept if not s.chosen]):
            split = find_split(chosen, rejected, settings)
            if isinstance(split, Pair):
                found.append(split)
        for side in members:
            if any(isinstance(_split_of(side, other, settings), Pair) for other in kept if other.chosen != side.chosen):
                fate[side.id] = "over_cap"
            else:
                alone.append(side)
    for side in alone:
        _explain(side, standing, fate, settings)
    return found


def _key_before(side: Side) -> str:
    """Return what sides share whose turns before the last are equal."""
    return (text_key([Turn(turn.role, _text(turn), turn.failed) for turn in side.turns[:-1]]) or b"").hex()


def _split_of(one: Side, other: Side, settings: Preference) -> Pair | str | None:
    return find_split(one, other, settings) if one.chosen else find_split(other, one, settings)


def _explain(side: Side, standing: list[Side], fate: dict[str, str], settings: Preference) -> None:
    """Find the best reason of a side that no other pairs with."""
    for other in standing:
        if other.chosen == side.chosen:
            continue
        split = _split_of(side, other, settings)
        if isinstance(split, str):
            _better(fate, side.id, split)
        if fate.get(side.id) == "not_final_turn":
            return


def _better(fate: dict[str, str], identity: str, reason: str) -> None:
    present = fate.get(identity)
    if present is None or _ORDER.index(reason) < _ORDER.index(present):
        fate[identity] = reason


def find_split(chosen: Side, rejected: Side, settings: Preference) -> Pair | str | None:
    """Return the pair two runs make, or the reason why they make none; None where their scope forbids it."""
    if not _may_pair(chosen, rejected, settings):
        return None
    ours, theirs = chosen.turns, rejected.turns
    split, asked = 0, False
    last = len(ours) - 1 if len(ours) == len(theirs) else -1  # with all before it equal it differs, since the keys do
    while split < min(len(ours), len(theirs)) and split != last and _is_same(ours[split], theirs[split]):
        asked = asked or ours[split].role == "user"
        split += 1
    if not asked:
        return "prompts_differ"
    if split >= len(ours) or split >= len(theirs) or ours[split].role != "assistant" or theirs[split].role != "assistant":
        return "diverges_before_agent"
    final = split == len(ours) - 1 and split == len(theirs) - 1
    if chosen.turns[split].failed or not (final or settings.step_pairs):
        return "not_final_turn"
    return Pair(chosen, rejected, split)


def _is_same(one: Turn, other: Turn) -> bool:
    if one.role != other.role:
        return False
    return one.content == other.content or normalise(_text(one)) == normalise(_text(other))


def _text(turn: Turn) -> str:
    """Return the text of a turn, which may still be spelt as JSON."""
    content: Any = turn.content
    return content if isinstance(content, str) else msgspec.json.decode(content, type=str)


def choose_pairs(candidates: list[Pair], settings: Preference) -> list[Pair]:
    """Take at most `max_pairs_per_task` pairs, one at a time, each the first by the order of SPEC 5.4."""
    left, taken, uses = sorted(candidates, key=_rank), list[Pair](), Counter[str]()
    while left and len(taken) < settings.max_pairs_per_task:
        first, place, fewest = _rank(left[0])[:2], 0, -1
        for i, pair in enumerate(left):  # in the order of everything but uses, which come third
            used = uses[pair.chosen.key] + uses[pair.rejected.key]
            if 0 <= fewest <= used:
                continue
            if i and _rank(pair)[:2] != first:
                break
            place, fewest = i, used
            if not used:
                break
        best = left.pop(place)
        taken.append(best)
        uses.update((best.chosen.key, best.rejected.key))
    return taken


def _rank(pair: Pair) -> tuple[bool, bool, str, str]:
    chosen, rejected = pair.chosen, pair.rejected
    return (chosen.model != rejected.model, chosen.retried, chosen.id, rejected.id)


def _build_row(pair: Pair) -> Row:
    chosen, rejected = pair.chosen, pair.rejected
    identity = row_id(chosen.id, rejected.id)
    row = PreferenceRow(
        prompt=chat(chosen.turns[: pair.split]),
        chosen=chat([chosen.turns[pair.split]]),
        rejected=chat([rejected.turns[pair.split]]),
        id=identity,
        chosen_run_id=chosen.run_id,
        rejected_run_id=rejected.run_id,
        chosen_model=chosen.model,
        rejected_model=rejected.model,
        reason=rejected.reason,
        provenance=f"{chosen.provenance}; {rejected.provenance}",
    )
    return Row(PREFERENCE, identity, row)
