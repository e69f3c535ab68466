"""What must never stand in an export: one table of checks over rows read back from disk (SPEC 7, law 6).

The firewall trusts nothing a stage decided: it takes verdicts from the scored runs and the resolution themselves.
It never quarantines; what it finds fails the stage.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from distill.conversation import normalise, user_text
from distill.hashing import row_id
from distill.jsonl import decode_document
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.export_rows import PreferenceRow, PromptCompletionRow, RagRow, SftRow
from distill.schemas.scored_run import Category, ResolutionRow, ScoredRun

__all__ = ["CHECKS", "ROW_TYPES", "Check", "Verdicts", "check_rows", "split_places"]

ROW_TYPES: dict[str, type[msgspec.Struct]] = {
    "exports/rag/playbooks.jsonl": RagRow,
    "exports/sft/instruction_response.jsonl": SftRow,
    "exports/sft/prompt_completion.jsonl": PromptCompletionRow,
    "exports/preference/chosen_rejected.jsonl": PreferenceRow,
}
"""The export files that are read back, and what stands in them."""

_GONE = frozenset({"same_run", "superseded_by_review", "conflicting_verdicts", "run_id_reused"})
_SHORT = 20
_HASH = re.compile(r"[0-9a-f]{64}").fullmatch
_PLACES = re.compile(r"(?<=[0-9a-f]{64}); ")  # a file name may hold a semicolon


def split_places(provenance: str) -> list[str]:
    """Return the places a row comes from."""
    places = provenance.split("; ")
    if len(places) == 2 and _HASH(places[0][-64:]):
        return places
    return _PLACES.split(provenance)


class Verdicts:
    """What the corpus says of every run, built row by row beside the stage; runs are told apart by scope and run id."""

    def __init__(self, *, include: Sequence[str] = ()) -> None:
        """Start empty; `include` is `sft.include`."""
        self.include = tuple(include)
        self.category: dict[str, Category] = {}
        self.reason: dict[str, str] = {}
        self.gone: dict[str, str] = {}
        self.run_of: dict[str, tuple[str, str]] = {}
        self.of_run: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.at: dict[str, str] = {}
        self.broken: set[str] = set()
        self.answers: dict[str, list[str]] = {}
        self.task_of: dict[str, tuple[str, str]] = {}
        self.asked_of: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.rejected_of: dict[tuple[str, str], set[str]] = defaultdict(set)

    def add_scored(self, record: EvidenceRecord, row: ScoredRun, scope: str) -> None:
        """Take the verdict on one row; the first of an id counts."""
        self.at[str(record.provenance)] = record.id
        if record.id in self.category:
            return
        self.category[record.id], self.reason[record.id] = row.category, row.reasons[0]
        if row.run_id is not None:
            self.run_of[record.id] = (scope, row.run_id)
            self.of_run[scope, row.run_id].add(record.id)
        if any(signal.kind == "infrastructure" for signal in record.signals):
            self.broken.add(record.id)

    def add_resolution(self, row: ResolutionRow) -> None:
        """Take what the corpus shows; call after every scored row."""
        if row.category is not None:
            self.category[row.evidence_id], self.reason[row.evidence_id] = row.category, row.reasons[0]
        if row.kind in _GONE:
            self.gone[row.evidence_id] = row.kind

    def add_text(self, record: EvidenceRecord, scope: str) -> None:
        """Remember answers, to recognise them in text that is embedded, and what was asked, which is no leak."""
        task = (scope, record.task_id or "")
        self.task_of[record.id] = task
        self.asked_of[task].add(normalise(user_text(record)))
        texts = [normalise(text) for text in (record.response, record.corrected_response) if text and text.strip()]
        self.answers[record.id] = texts

    def settle(self) -> None:
        """Sort the answers of rejected runs by task; call when everything was added."""
        for identity, texts in self.answers.items():
            if self.category.get(identity) == "rejected":
                self.rejected_of[self.task_of[identity]].update(texts[:1])

    def sources(self, provenance: str) -> list[str]:
        """Return the evidence ids behind the provenance of a row; of places that no log has, none."""
        return [self.at[place] for place in split_places(provenance) if place in self.at]

    def same_run(self, identity: str) -> set[str]:
        """Return every evidence id of the run an evidence id belongs to."""
        return self.of_run[self.run_of[identity]] if identity in self.run_of else {identity}

    def may_be_imitated(self, identity: str) -> str | None:
        """Return why a row may not be trained on, or None."""
        category = self.category.get(identity)
        if category is None:
            return f"evidence {identity!r} is in no scored run"
        if identity in self.gone:
            return f"the run is {self.gone[identity]!r}, expected a standing one"
        if category == "accepted":
            return None if "accepted" in self.include else "category is 'accepted', which sft.include leaves out"
        if category == "partially_accepted" and self.reason[identity] in self.include:
            return None
        return f"category is {category!r} ({self.reason[identity]}), expected one of {', '.join(self.include)}"

    def run_verdict(self, identity: str, run_id: str) -> str | None:
        """Return why a run id may not stand for this evidence, or None; pooled verdicts count."""
        if identity not in self.run_of or self.run_of[identity][1] != run_id:
            return f"run id {run_id!r} is not the one of evidence {identity!r}"
        for other in sorted(self.same_run(identity)):
            if other != identity and other not in self.gone and self.category[other] in {"rejected", "needs_human_review"}:
                return f"run {run_id!r} is {self.category[other]!r} in evidence {other!r}"
        return None


class Check(NamedTuple):
    """One line of the table."""

    name: str
    """What it guards against."""
    kinds: tuple[type[msgspec.Struct], ...]
    """Rows it looks at."""
    find: Callable[[Any, Verdicts], str | None]
    """Returns what was found, or None."""


def _forbidden_source(row: SftRow | PromptCompletionRow, verdicts: Verdicts) -> str | None:
    return verdicts.may_be_imitated(row.id.split("#")[0])


def _forbidden_run(row: SftRow | PromptCompletionRow, verdicts: Verdicts) -> str | None:
    if not row.source_run_id:
        return "source_run_id is empty"
    return verdicts.run_verdict(row.id.split("#")[0], row.source_run_id)


def _empty_answer(row: SftRow | PromptCompletionRow | PreferenceRow, verdicts: Verdicts) -> str | None:
    if isinstance(row, SftRow):
        answers = [row.messages]
    else:
        answers = [row.completion] if isinstance(row, PromptCompletionRow) else [row.chosen, row.rejected]
    for messages in answers:
        if not messages or messages[-1].role != "assistant" or not messages[-1].content.strip():
            return "the last message is no answer of the assistant"
    return None


def _broken_turns(row: SftRow | PromptCompletionRow | PreferenceRow, verdicts: Verdicts) -> str | None:
    answer = row.completion if isinstance(row, PromptCompletionRow) else row.chosen if isinstance(row, PreferenceRow) else []
    roles = [message.role for message in (row.messages if isinstance(row, SftRow) else [*row.prompt, *answer])]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns[0] != "user":
        return "the first message after the system's is not the user's"
    if any(role == "system" for role in turns) or any(one == two for one, two in pairwise(turns)):
        return "the roles do not alternate"
    return None


def _bad_pair(row: PreferenceRow, verdicts: Verdicts) -> str | None:
    if row.chosen_run_id == row.rejected_run_id:
        return f"a self-pair of run {row.chosen_run_id!r}"
    if row.chosen and row.rejected and normalise(row.chosen[-1].content) == normalise(row.rejected[-1].content):
        return "chosen and rejected have equal text"
    return None


def _bad_sources(row: PreferenceRow, verdicts: Verdicts) -> str | None:
    ids = verdicts.sources(row.provenance)
    if len(ids) != 2 or row.id != row_id(*ids):
        return "provenance does not lead to the two runs of the pair"
    chosen, rejected = ids
    found = verdicts.may_be_imitated(chosen) or verdicts.run_verdict(chosen, row.chosen_run_id)
    if found is not None:
        return f"chosen: {found}"
    category, reason = verdicts.category[rejected], verdicts.reason[rejected]
    if rejected in verdicts.gone:
        return f"rejected: the run is {verdicts.gone[rejected]!r}, expected a standing one"
    if category != "rejected" or reason == "errors_unjudged":
        return f"rejected: the run is {category!r} ({reason}), expected one that was judged and rejected"
    if verdicts.run_of.get(rejected, ("", ""))[1] != row.rejected_run_id:
        return f"rejected: run id {row.rejected_run_id!r} is not the one of evidence {rejected!r}"
    if verdicts.broken & verdicts.same_run(rejected):
        return f"rejected: the infrastructure failed in run {row.rejected_run_id!r}"
    return None


def _unsafe_document(row: RagRow, verdicts: Verdicts) -> str | None:
    if row.kind != "run":
        return None
    category = verdicts.category.get(row.id)
    if row.id in verdicts.gone:
        return f"the run is {verdicts.gone[row.id]!r}, expected a standing one"
    if category not in {"accepted", "partially_accepted"}:
        return f"category is {category!r}, expected accepted or partially_accepted"
    return verdicts.run_verdict(row.id, row.source_run_ids[0]) if row.source_run_ids else "source_run_ids is empty"


def _unsafe_source(row: RagRow, verdicts: Verdicts) -> str | None:
    both = set(row.source_run_ids) & set(row.failed_run_ids)
    return f"run {min(both)!r} stands among the passed and the failed" if both else None


def _rejected_text(row: RagRow, verdicts: Verdicts) -> str | None:
    """Look for a rejected answer of the same task in what is embedded; what was asked, or passed too, is no leak."""
    sources = verdicts.sources(row.provenance)
    tasks = sorted({verdicts.task_of[identity] for identity in sources if identity in verdicts.task_of})
    passed = [text for i in sources if verdicts.category.get(i) != "rejected" for text in verdicts.answers.get(i, ())]
    asked = sorted(text for task in tasks for text in verdicts.asked_of[task])
    harmless = [*passed, *asked, *(f"{question} {answer}" for question in asked for answer in passed)]
    embedded = normalise(row.embedding_text)
    for text in sorted({text for task in tasks for text in verdicts.rejected_of.get(task, ())}):
        if len(text) >= _SHORT and text in embedded and not any(text in other for other in harmless):
            return f"embedding_text holds a rejected run's text: {text[:60]!r}"
    return None


_TRAINED = (SftRow, PromptCompletionRow)

CHECKS: tuple[Check, ...] = (
    Check("forbidden_category", _TRAINED, _forbidden_source),
    Check("forbidden_run", _TRAINED, _forbidden_run),
    Check("empty_answer", (*_TRAINED, PreferenceRow), _empty_answer),
    Check("broken_turns", (*_TRAINED, PreferenceRow), _broken_turns),
    Check("self_pair", (PreferenceRow,), _bad_pair),
    Check("forbidden_pair", (PreferenceRow,), _bad_sources),
    Check("unsafe_document", (RagRow,), _unsafe_document),
    Check("unsafe_source", (RagRow,), _unsafe_source),
    Check("rejected_text", (RagRow,), _rejected_text),
)
"""In the order they are asked; the first that finds something speaks for the row."""


def check_rows(path: str, lines: Iterator[bytes], verdicts: Verdicts) -> list[str]:
    """Return the violations in an export file, each with path and line.

    Raises:
        SchemaError: a line is not a row of that export.
    """
    kind = ROW_TYPES[path]
    checks = [check for check in CHECKS if kind in check.kinds]
    found: list[str] = []
    before = ""
    for number, line in enumerate(lines, 1):
        row: Any = decode_document(line, kind, place=f"{path}:{number}")
        if row.id <= before:
            found.append(f"{path}:{number}: [order] id {row.id!r} does not come after {before!r}")
        before = row.id
        for check in checks:
            text = check.find(row, verdicts)
            if text is not None:
                found.append(f"{path}:{number}: [{check.name}] {text}")
                break
    return found
