"""The firewall (SPEC 7, law 6): clean rows pass, every planted leak is found with path and line."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.config import Config
from distill.errors import SchemaError
from distill.firewall import CHECKS, ROW_TYPES, Verdicts, check_rows
from distill.hashing import row_id
from distill.jsonl import encode_row
from distill.runs import Run, assemble_runs
from distill.schemas.evidence import EvidenceRecord
from distill.schemas.export_rows import ChatMessage
from distill.stages import COMPLETIONS, PLAYBOOKS, PREFERENCE, RAG, SFT
from distill.stages.export_preference import run as export_preference
from distill.stages.export_rag import run as export_rag
from distill.stages.export_sft import run as export_sft
from distill.stages.extract_playbooks import run as extract
from distill.stages.resolution import build_entry, resolve
from distill.stages.score import score_record
from tests.strategies import chat, checked, evidence, human, judge, rows_of, signal

PASS, FAIL = [checked(1, 0)], [checked(0, 1)]
WRONG = "a wrong answer of some length"
RECORDS = [
    *(evidence(f"good{i}", task_id=f"t{i}", instruction=f"Task {i}.", response=f"right answer {i}", signals=PASS, line=10 + i) for i in range(3)),
    *(evidence(f"bad{i}", task_id=f"t{i}", instruction=f"Task {i}.", response=f"{WRONG} {i}", signals=FAIL, line=20 + i) for i in range(3)),
    evidence("talk", task_id="t9", messages=chat("system: s", "user: q", "assistant: x", "user: r", "assistant: y"), signals=[judge("pass")], line=30),
    evidence("open", task_id="t0", instruction="Task 0.", response="nobody judged this", line=31),
    evidence("crash", task_id="t0", instruction="Task 0.", response="errors and no judge", errors=["boom"], line=32),
    evidence("broken", task_id="t0", instruction="Task 0.", signals=[human("fail"), signal("infrastructure", "none")], line=33),
    evidence("said", run_id="run-good2", response=None, signals=[human("pass")], line=34),
    evidence("other", run_id="run-good0", source="elsewhere", signals=FAIL, task_id="t0", line=35, file="elsewhere/log.jsonl"),
    evidence("anonymous", run_id=None, task_id="t7", signals=PASS, line=37),
    evidence("retry", task_id="t8", attempts=2, signals=PASS, line=36),
]  # fmt: skip
CONFIG = Config()


def corpus() -> tuple[list[Run], Verdicts]:
    """Return the runs of RECORDS and what the firewall knows of them."""
    scopes, verdicts = {"src": ""}, Verdicts(include=CONFIG.sft.include)
    scored = [score_record(record, judge_confidence=0.8) for record in RECORDS]
    pairs = list(zip(RECORDS, scored, strict=True))
    resolution = resolve([build_entry(one, row, scopes.get(one.source, one.source)) for one, row in pairs], judge_confidence=0.8)
    for record, row in [*pairs, pairs[0]]:
        verdicts.add_scored(record, row, scopes.get(record.source, record.source))
        verdicts.add_text(record, scopes.get(record.source, record.source))
    for found in resolution:
        verdicts.add_resolution(found)
    verdicts.settle()
    return list(assemble_runs(pairs, resolution, scopes)), verdicts


RUNS, VERDICTS = corpus()
BOOKS = rows_of(extract(RUNS, CONFIG), PLAYBOOKS)
ROWS: dict[str, list[Any]] = {
    RAG: rows_of(export_rag(RUNS, BOOKS, CONFIG), RAG),
    SFT: rows_of(export_sft(RUNS, CONFIG), SFT),
    COMPLETIONS: rows_of(export_sft(RUNS, CONFIG), COMPLETIONS),
    PREFERENCE: rows_of(export_preference(RUNS, CONFIG), PREFERENCE),
}


def violations(path: str, rows: list[Any], verdicts: Verdicts = VERDICTS) -> list[str]:
    """Check rows as they would be read from disk."""
    return check_rows(path, iter([encode_row(row) for row in rows]), verdicts)


def of(name: str) -> EvidenceRecord:
    """Return a record by its id."""
    return next(record for record in RECORDS if record.id == name)


def imitate(name: str) -> Callable[[Any], dict[str, Any]]:
    """Return a change that makes a row stand for another record."""
    return lambda row: {"id": name + ("#0001" if "#" in row.id else ""), "source_run_id": of(name).run_id or ""}


def pair(chosen: str, rejected: str, **fields: Any) -> Callable[[Any], dict[str, Any]]:
    """Return a change that makes a pair of two other records."""
    one, two = of(chosen), of(rejected)
    values = {
        "id": row_id(chosen, rejected), "provenance": f"{one.provenance}; {two.provenance}", "chosen_run_id": one.run_id, "rejected_run_id": two.run_id,
    }  # fmt: skip
    return lambda row: values | fields


def says(role: str, content: str) -> ChatMessage:
    """Return one message."""
    return ChatMessage(role=role, content=content)  # type: ignore[arg-type]


TRAINED: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "rejected": (imitate("bad0"), "[forbidden_category] category is 'rejected' (tests_failed), expected one of accepted, retried"),
    "unreviewed": (imitate("open"), "[forbidden_category] category is 'needs_human_review' (no_signal)"),
    "superseded": (imitate("said"), "[forbidden_category] the run is 'superseded_by_review', expected a standing one"),
    "unknown": (lambda row: {"id": "nobody"}, "[forbidden_category] evidence 'nobody' is in no scored run"),
    "no_run": (lambda row: {"source_run_id": ""}, "[forbidden_run] source_run_id is empty"),
    "other_run": (lambda row: {"source_run_id": "run-bad0"}, "[forbidden_run] run id 'run-bad0' is not the one of evidence"),
}
SYSTEM = says("system", "s")
WHOLE: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "blank_answer": (lambda row: {"messages": [*row.messages[:-1], says("assistant", " ")]}, "[empty_answer]"),
    "no_answer": (lambda row: {"messages": row.messages[:-1]}, "[empty_answer]"),
    "no_messages": (lambda row: {"messages": []}, "[empty_answer]"),
    "no_user": (lambda row: {"messages": row.messages[-1:]}, "[broken_turns] the first message after the system's is not the user's"),
    "twice": (
        lambda row: {"messages": [*row.messages[:-1], row.messages[-2], row.messages[-1]]},
        "[broken_turns] the roles do not alternate",
    ),
    "late_system": (lambda row: {"messages": [*row.messages[:-1], SYSTEM, row.messages[-1]]}, "[broken_turns] the roles do not alternate"),
}
TURN: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "blank": (lambda row: {"completion": [says("assistant", "")]}, "[empty_answer]"),
    "no_completion": (lambda row: {"completion": []}, "[empty_answer]"),
    "user_completes": (lambda row: {"completion": [says("user", "x")]}, "[empty_answer]"),
    "no_prompt": (lambda row: {"prompt": []}, "[broken_turns]"),
    "system_alone": (lambda row: {"prompt": [SYSTEM]}, "[broken_turns]"),
}
PAIRS: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "self_pair": (lambda row: {"rejected_run_id": row.chosen_run_id}, "[self_pair] a self-pair of run"),
    "equal_text": (
        lambda row: {"rejected": [says("assistant", f" {row.chosen[0].content}\n")]},
        "[self_pair] chosen and rejected have equal text",
    ),
    "blank_rejected": (lambda row: {"rejected": [says("assistant", "")]}, "[empty_answer]"),
    "no_prompt": (lambda row: {"prompt": []}, "[broken_turns]"),
    "nowhere": (lambda row: {"provenance": "nowhere"}, "[forbidden_pair] provenance does not lead to the two runs"),
    "other_id": (pair("good0", "bad0", id="x"), "[forbidden_pair] provenance does not lead to the two runs"),
    "chosen_rejected": (pair("bad1", "bad0"), "[forbidden_pair] chosen: category is 'rejected'"),
    "chosen_superseded": (pair("said", "bad0"), "[forbidden_pair] chosen: the run is 'superseded_by_review'"),
    "chosen_other_run": (pair("good0", "bad0", chosen_run_id="run-good1"), "[forbidden_pair] chosen: run id 'run-good1' is not the one"),
    "rejected_accepted": (pair("good0", "good1"), "[forbidden_pair] rejected: the run is 'accepted'"),
    "rejected_unjudged": (pair("good0", "crash"), "[forbidden_pair] rejected: the run is 'rejected' (errors_unjudged)"),
    "rejected_superseded": (pair("good0", "said"), "[forbidden_pair] rejected: the run is 'superseded_by_review'"),
    "rejected_other_run": (
        pair("good0", "bad0", rejected_run_id="run-bad1"),
        "[forbidden_pair] rejected: run id 'run-bad1' is not the one",
    ),
    "chosen_without_run": (pair("anonymous", "bad0", chosen_run_id=""), "[forbidden_pair] chosen: run id '' is not the one of evidence"),
    "rejected_broken": (pair("good0", "broken"), "[forbidden_pair] rejected: the infrastructure failed in run 'run-broken'"),
}
DOCUMENTS: dict[str, tuple[Callable[[Any], dict[str, Any]], str]] = {
    "rejected": (lambda row: {"id": "bad0", "kind": "run"}, "[unsafe_document] category is 'rejected'"),
    "unreviewed": (lambda row: {"id": "open", "kind": "run"}, "[unsafe_document] category is 'needs_human_review'"),
    "superseded": (lambda row: {"id": "said", "kind": "run"}, "[unsafe_document] the run is 'superseded_by_review'"),
    "no_run": (lambda row: {"id": "good0", "kind": "run", "source_run_ids": []}, "[unsafe_document] source_run_ids is empty"),
    "other_run": (lambda row: {"id": "good0", "kind": "run", "source_run_ids": ["x"]}, "[unsafe_document] run id 'x' is not the one"),
    "both": (
        lambda row: {"kind": "playbook", "source_run_ids": ["a", "b"], "failed_run_ids": ["b"]},
        "[unsafe_source] run 'b' stands among",
    ),
    "rejected_text": (
        lambda row: {
            "kind": "playbook",
            "provenance": str(of("good0").provenance),
            "embedding_text": f"Task 0. {WRONG.replace(' ', '  ')} 0!",
        },
        f"[rejected_text] embedding_text holds a rejected run's text: '{WRONG} 0'",
    ),
}
LEAKS = [
    *((path, *case) for path in (SFT, COMPLETIONS) for case in TRAINED.values()), *((SFT, *case) for case in WHOLE.values()),
    *((COMPLETIONS, *case) for case in TURN.values()), *((PREFERENCE, *case) for case in PAIRS.values()),
    *((RAG, *case) for case in DOCUMENTS.values()),
]  # fmt: skip


@pytest.mark.parametrize("path", ROWS)
def test_clean_rows_pass(path: str) -> None:
    """What the stages export of a corpus with every kind of run passes, equal run ids of two scopes included."""
    assert len(ROWS[path]) >= 3
    assert violations(path, ROWS[path]) == []
    assert violations(path, []) == []


@given(st.sampled_from(range(len(LEAKS))), st.data())
def test_leak_planted_anywhere_is_found(number: int, data: st.DataObject) -> None:
    """A leak in any row is found with its path and line, and the other rows are left alone."""
    path, change, expected = LEAKS[number]
    rows = list(ROWS[path])
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place] = msgspec.structs.replace(rows[place], **change(rows[place]))

    found = violations(path, rows)

    leaks = [text for text in found if "[order]" not in text]
    assert len(leaks) == 1
    assert leaks[0].startswith(f"{path}:{place + 1}: {expected}")


@pytest.mark.parametrize(("path", "change", "expected"), LEAKS, ids=range(len(LEAKS)))
def test_each_leak_is_found_in_the_first_row(path: str, change: Callable[[Any], dict[str, Any]], expected: str) -> None:
    """Each kind of leak is found, one violation for its row."""
    row = ROWS[path][0]

    (found,) = violations(path, [msgspec.structs.replace(row, **change(row))])

    assert found.startswith(f"{path}:1: {expected}")


def test_pooled_verdicts_count() -> None:
    """A rejection in another row of the same run, not told by the resolution, forbids the run."""
    verdicts = Verdicts(include=("accepted",))
    for record in (evidence("a", run_id="r", signals=PASS), evidence("b", run_id="r", signals=FAIL, line=2)):
        verdicts.add_scored(record, score_record(record, judge_confidence=0.8), "")
    row = msgspec.structs.replace(ROWS[SFT][0], id="a", source_run_id="r")

    assert violations(SFT, [row], verdicts) == [f"{SFT}:1: [forbidden_run] run 'r' is 'rejected' in evidence 'b'"]


def test_include_is_enforced() -> None:
    """An accepted run is a leak where `sft.include` leaves accepted runs out."""
    verdicts = Verdicts(include=("retried",))
    record = of("good0")
    verdicts.add_scored(record, score_record(record, judge_confidence=0.8), "")

    (found,) = violations(SFT, [row for row in ROWS[SFT] if row.id == "good0"], verdicts)

    assert found.endswith("[forbidden_category] category is 'accepted', which sft.include leaves out")


def test_rows_stand_in_the_order_of_their_ids() -> None:
    """A row that repeats an id, or comes before the one above it, is told."""
    one, two = ROWS[SFT][:2]

    assert violations(SFT, [two, one, one]) == [
        f"{SFT}:2: [order] id {one.id!r} does not come after {two.id!r}", f"{SFT}:3: [order] id {one.id!r} does not come after {one.id!r}",
    ]  # fmt: skip


def test_line_that_is_no_row_is_a_schema_error() -> None:
    """A damaged line names its path and number."""
    with pytest.raises(SchemaError, match=f"^{SFT}:2: found"):
        check_rows(SFT, iter([encode_row(ROWS[SFT][0]), b"{}"]), VERDICTS)


def test_every_check_guards_an_export_and_is_tested() -> None:
    """Each export file has checks, and each check has a leak above that it finds."""
    kinds = {kind for check in CHECKS for kind in check.kinds}

    assert kinds == set(ROW_TYPES.values())
    assert {check.name for check in CHECKS} == {expected[1:].split("]")[0] for *_, expected in LEAKS}
