"""extract-playbooks: what the runs of one task teach, without calling a model (SPEC 5.1)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from distill.config import Config
from distill.conversation import Turn, normalise, user_text
from distill.hashing import row_id
from distill.outcome import Outcome, Row
from distill.runs import Run
from distill.schemas.export_rows import Pitfall, Playbook, Statement
from distill.schemas.scored_run import CATEGORIES
from distill.stages import PLAYBOOKS
from distill.stages.export_common import run_turns

__all__ = ["build_playbook", "cumulative_keys", "find_group", "find_repeated", "gather", "make_title", "run"]

_TITLE = 80


def run(runs: Iterable[Run], config: Config) -> Iterator[Outcome]:
    """Yield one outcome per scored row; the playbook of a group comes with its first run."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    cumulative = cumulative_keys(config)
    for one in runs:
        group = find_group(one, config)
        if isinstance(group, Outcome):
            yield group
        else:
            groups[group].append(one)
    for group, members in sorted(groups.items()):
        yield from gather(group, sorted(members, key=lambda one: one.evidence.id), cumulative)


def find_group(one: Run, config: Config) -> tuple[str, str] | Outcome:
    """Return scope and group of a run, or its fate where it belongs to none."""
    value = _group_of(one, config.playbooks.group_by)
    if one.excluded is not None:
        return Outcome("filtered", one.evidence.id, reason=one.excluded)
    return Outcome("filtered", one.evidence.id, reason="missing_task_id") if value is None else (one.scope, value)


def cumulative_keys(config: Config) -> dict[str, str]:
    """Return, by source, the field by whose value a success that later files repeat is known as one (SPEC 5.1)."""
    return {source.name: source.cumulative for source in config.sources if source.cumulative is not None}


def gather(group: tuple[str, str], members: list[Run], cumulative: dict[str, str]) -> Iterator[Outcome]:
    """Yield the outcome of every run of one group; `members` are sorted by id."""
    scope, value = group
    playbook = build_playbook(f"{scope}:{value}" if scope else value, members, repeated=find_repeated(members, cumulative))
    if playbook is None:
        yield from (Outcome("filtered", one.evidence.id, reason="no_playbook") for one in members)
        return
    rows: tuple[Row, ...] = (Row(PLAYBOOKS, playbook.id, playbook),)
    for one in members:
        yield Outcome("accepted", one.evidence.id, rows=rows)
        rows = ()


def _group_of(one: Run, group_by: str) -> str | None:
    if group_by.startswith("tags."):
        return one.evidence.tags.get(group_by.removeprefix("tags."))
    value = getattr(one.evidence, group_by)
    return None if value is None else str(value)


def find_repeated(members: list[Run], cumulative: dict[str, str]) -> frozenset[str]:
    """Return the ids of successes that only repeat an earlier one of their source: all but the first by file and place."""
    first: dict[tuple[str, str], Run] = {}
    repeated: set[str] = set()
    if not any(one.evidence.source in cumulative for one in members):
        return frozenset()
    for one in sorted(members, key=lambda one: (one.evidence.provenance.source_file, one.evidence.provenance.offset, one.evidence.id)):
        key = cumulative.get(one.evidence.source)
        value = None if key is None else _group_of(one, key)
        passed = one.category in {"accepted", "partially_accepted"}
        if value is not None and passed and first.setdefault((one.evidence.source, value), one) is not one:
            repeated.add(one.evidence.id)
    return frozenset(repeated)


def build_playbook(group: str, members: list[Run], *, repeated: frozenset[str] = frozenset()) -> Playbook | None:
    """Return the playbook of a group, or None where it would say nothing; `members` are sorted by id.

    Runs whose ids are `repeated` are no evidence of their own: they count in no figure, and what they teach is heard.
    """
    told = members
    members = [one for one in told if one.evidence.id not in repeated]
    passed = [one for one in members if one.category in {"accepted", "partially_accepted"} and not one.lacks_correction]
    answered = [one for one in passed if run_turns(one)]
    failed = [one for one in members if one.category == "rejected"]
    pitfalls = _pitfalls(told)
    if not passed and not pitfalls and not failed:
        return None
    best = answered or failed or members
    asked = min((user_text(one.evidence) for one in best), key=lambda text: (not text, len(text), text))
    counts = Counter(one.category for one in members)
    return Playbook(
        id=row_id("playbook", group),
        group=group,
        kind="playbook" if passed else "pitfalls",
        title=make_title(asked),
        when=asked,
        steps=_steps(answered),
        pitfalls=pitfalls,
        counts={category: counts[category] for category in CATEGORIES},
        models=sorted({one.evidence.model for one in passed if one.evidence.model}),
        single_support=len(answered) == 1,
        source_run_ids=sorted({one.evidence.run_id for one in passed if one.evidence.run_id}),
        failed_run_ids=sorted({one.evidence.run_id for one in failed if one.evidence.run_id}),
        evidence_ids=[one.evidence.id for one in told],
        provenance="; ".join(str(one.evidence.provenance) for one in told),
    )


def make_title(text: str) -> str:
    """Return the first line of a text that says something, cut to 80 characters."""
    line = next((line for line in map(normalise, text.splitlines()) if line), "")
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"


def _calls(one: Run) -> tuple[str, ...]:
    calls = [call for message in one.evidence.messages or () for call in message.tool_calls or ()]
    return tuple(f"{call.name}({', '.join(sorted(call.arguments)) if isinstance(call.arguments, dict) else ''})" for call in calls)


def _steps(passed: list[Run]) -> list[Statement]:
    """Return the call sequence most runs share, or else the shortest accepted answer as worked example."""
    sequences = {one.evidence.id: _calls(one) for one in passed}
    shared = Counter(sequence for sequence in sequences.values() if sequence)
    if shared:
        sequence, support = min(shared.items(), key=lambda item: (-item[1], len(item[0]), item[0]))
        ids = sorted(identity for identity, calls in sequences.items() if calls == sequence)
        return [Statement(text=call, support=support, of=len(passed), evidence_ids=ids) for call in sequence]
    if not passed:
        return []
    answers = [(run_turns(one)[-1], one.evidence.id) for one in passed]
    shortest, identity = min(answers, key=lambda item: (len(item[0].content), item[0].content, item[1]))
    return [Statement(text=shortest.content, support=_support(shortest, answers), of=len(passed), evidence_ids=[identity])]


def _support(answer: Turn, answers: list[tuple[Turn, str]]) -> int:
    return sum(normalise(other.content) == normalise(answer.content) for other, _ in answers)


def _pitfalls(members: list[Run]) -> list[Pitfall]:
    """Return lessons, the reasons persons gave, errors and calls only failing runs made, each once with every run behind it.

    What another row of the same run says counts as said by the run, so that a review in a log of its own is heard.
    """
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    usual = {call for one in members if one.category != "rejected" for call in _calls(one)}
    for one in members:
        texts = [("call", call) for call in _calls(one) if call not in usual]
        for record in (one.evidence, *one.others):
            verdicts = {signal.verdict for signal in record.signals if signal.kind == "human"}
            if verdicts != {"pass"}:  # praise is no pitfall
                texts += [("human_reason" if verdicts else "lesson", lesson) for lesson in record.lessons]
            texts += [("error", error) for error in record.errors]
        for kind, text in texts:
            if text.strip():
                found.setdefault((kind, normalise(text)), (text, []))[1].append(one.evidence.id)
    return [
        Pitfall(text=text, kind=kind, evidence_ids=sorted(set(ids)))  # type: ignore[arg-type]
        for (kind, _), (text, ids) in sorted(found.items())
    ]
