"""collect and the SFT export, fed with records in memory (SPEC 5.3, SPEC 9)."""

import base64
from typing import Any

import pytest

from distill.config import Config, Sft, Source
from distill.hashing import hash_bytes, row_id
from distill.jsonl import BadLine, RawLine
from distill.outcome import Outcome
from distill.plan import FileRef, RawLog
from distill.runs import Run
from distill.schemas.evidence import EvidenceRecord, Message
from distill.schemas.export_rows import PromptCompletionRow, SftRow
from distill.stages import COMPLETIONS, QUARANTINE, SFT
from distill.stages.collect import run as collect
from distill.stages.export_sft import run
from tests.strategies import chat, fates, made_run, rows_of

LEAK = "a long enough reference answer"


def export(*runs: Run, **sft: Any) -> list[Outcome]:
    """Run the SFT stage with these settings."""
    return list(run(runs, Config(sft=Sft(**sft))))


def test_row_of_a_run() -> None:
    """An accepted run is one whole conversation and one completion."""
    one = made_run("a", instruction="Add.", context="Fast.", response="2")

    outcomes = export(one)

    common = {"source_run_id": "run-a", "quality_score": "accepted", "provenance": str(one.evidence.provenance)}
    asked, answer = ({"role": "user", "content": "Add.\n\nFast."}, {"role": "assistant", "content": "2"})
    import msgspec

    assert [msgspec.to_builtins(row) for row in rows_of(outcomes, SFT)] == [
        {"messages": [asked, answer], "instruction": "Add.\n\nFast.", "response": "2", "id": "a", **common}
    ]
    assert [msgspec.to_builtins(row) for row in rows_of(outcomes, COMPLETIONS)] == [
        {"prompt": [asked], "completion": [answer], "id": "a#0001", **common}
    ]


def test_columns_are_those_trainers_take() -> None:
    """Beside `messages` stands no column named prompt, completion, text, input_ids or labels."""
    assert SftRow.__struct_fields__ == ("messages", "instruction", "response", "id", "source_run_id", "quality_score", "provenance")
    assert PromptCompletionRow.__struct_fields__ == ("prompt", "completion", "id", "source_run_id", "quality_score", "provenance")


def test_every_assistant_turn_is_a_completion() -> None:
    """Each answer of a conversation is a row with all that came before it; what came after the last one is cut."""
    one = made_run("a", messages=chat("system: s", "user: q", "assistant: x", "user: r", "assistant: y", "user: bye"))

    outcomes = export(one)

    found = [(row.id, [m.content for m in row.prompt], row.completion[0].content) for row in rows_of(outcomes, COMPLETIONS)]
    assert found == [("a#0002", ["s", "q"], "x"), ("a#0004", ["s", "q", "x", "r"], "y")]
    assert [row.response for row in rows_of(outcomes, SFT)] == ["y"]


def test_final_tool_call_is_an_answer() -> None:
    """A run that ends with a tool call ends with an answer."""
    from distill.schemas.evidence import ToolCall

    call = Message(role="assistant", tool_calls=[ToolCall(name="stop")])

    (row,) = rows_of(export(made_run("a", messages=[*chat("user: q"), call])), SFT)

    assert row.response == '<tool_call>{"name": "stop", "arguments": null}</tool_call>'


TURNS = ("user: q", "!assistant: x", "user: r", "assistant: y")


def test_wrong_turns_are_context_only() -> None:
    """A run with turns marked wrong is filtered; its good turns are completions, unless `allow_failed_turns`."""
    one = made_run("a", messages=chat(*TURNS))

    kept_out, let_in = export(one), export(one, allow_failed_turns=True)

    assert fates(kept_out) == {"a": "failed_turns"}
    assert (rows_of(kept_out, SFT), [row.id for row in rows_of(kept_out, COMPLETIONS)]) == ([], ["a#0003"])
    assert (len(rows_of(let_in, SFT)), [row.id for row in rows_of(let_in, COMPLETIONS)]) == (1, ["a#0003"])


REASONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "duplicate": ({"excluded": "duplicate", "kind": "rejected"}, "filtered", "duplicate"),
    "same_run": ({"excluded": "same_run"}, "filtered", "same_run"),
    "superseded": ({"excluded": "superseded_by_review"}, "filtered", "superseded_by_review"),
    "conflict": ({"excluded": "conflicting_verdicts"}, "quarantined", "conflicting_verdicts"),
    "reused": ({"excluded": "run_id_reused", "kind": "review"}, "quarantined", "run_id_reused"),
    "rejected": ({"kind": "rejected", "run_id": None}, "quarantined", "unsafe_sft_category"),
    "review": ({"kind": "review"}, "quarantined", "unsafe_sft_category"),
    "partial": ({"kind": "partial_reward", "run_id": None}, "quarantined", "category_disallowed"),
    "changes": ({"kind": "with_changes", "corrected_response": "x"}, "quarantined", "category_disallowed"),
    "no_run_id": ({"run_id": None, "instruction": None}, "quarantined", "missing_source_run_id"),
    "no_instruction": ({"instruction": None, "response": None}, "quarantined", "empty_instruction"),
    "no_user_turn": ({"messages": chat("assistant: x")}, "quarantined", "empty_instruction"),
    "no_response": ({"response": " ", "reference": [LEAK], "instruction": LEAK}, "quarantined", "empty_response"),
    "leak": ({"messages": chat(f"system: {LEAK}", *TURNS), "reference": [LEAK]}, "quarantined", "answer_leak"),
}


@pytest.mark.parametrize(("fields", "kind", "reason"), REASONS.values(), ids=REASONS)
def test_run_is_kept_out(fields: dict[str, Any], kind: str, reason: str) -> None:
    """A run that may not be trained on has the first reason that fits; a quarantined one leaves a row."""
    (outcome,) = export(made_run("a", **({"kind": "accepted"} | fields)))

    assert (outcome.kind, outcome.reason) == (kind, reason)
    rows: list[Any] = list(outcome.rows)
    assert [(row.target, row.value.reason) for row in rows] == ([(f"{QUARANTINE}/sft.jsonl", reason)] if kind == "quarantined" else [])


def test_include_admits_what_it_names() -> None:
    """With changes a run is admitted only with its correction, which is then the response."""
    runs = [
        made_run("a", "with_changes", corrected_response="better"),
        made_run("b", "with_changes"),
        made_run("c"),
        made_run("d", "partial_reward"),
    ]

    outcomes = export(*runs, include=("with_changes", "partial_reward"))

    assert fates(outcomes) == {"a": "accepted", "b": "empty_response", "c": "category_disallowed", "d": "accepted"}
    assert [(row.response, row.quality_score) for row in rows_of(outcomes, SFT)] == [
        ("better", "partially_accepted"), ("answer d", "partially_accepted"),
    ]  # fmt: skip


def test_equal_text_is_one_row() -> None:
    """Of equal texts the smallest id keeps its own spelling; failed turns are told before duplicate text."""
    outcomes = export(made_run("b", response="x y"), made_run("a", response="x\n y"), made_run("c", response="z"))
    wrong = export(made_run("b", messages=chat(*TURNS)), made_run("a", messages=chat(*TURNS)))

    assert fates(outcomes) == {"a": "accepted", "b": "duplicate_text", "c": "accepted"}
    assert [row.response for row in rows_of(outcomes, SFT)] == ["x\n y", "z"]
    assert fates(wrong) == {"a": "failed_turns", "b": "failed_turns"}
    assert [row.id for row in rows_of(wrong, COMPLETIONS)] == ["a#0003"]


@pytest.mark.parametrize(
    ("allowed", "expected"), [(False, {"a": "failed_turns", "b": "accepted"}), (True, {"a": "accepted", "b": "duplicate_text"})]
)
def test_equal_text_of_which_one_has_wrong_turns(allowed: bool, expected: dict[str, str]) -> None:
    """Where wrong turns keep a run out, its equal without them stands; where they do not, the smallest id does."""
    right = [turn.removeprefix("!") for turn in TURNS]

    outcomes = export(made_run("a", messages=chat(*TURNS)), made_run("b", messages=chat(*right)), allow_failed_turns=allowed)

    assert fates(outcomes) == expected


GOOD = b'{"task_id": "t", "created_at": "2026-01-01T00:00:00Z", "response": "x", "prompt": "p"}'


def read(*lines: RawLine | BadLine, **settings: Any) -> list[Outcome]:
    """Collect one log of these lines."""
    source = Source("src", "*", format="outcomes")
    log = RawLog(FileRef("logs/a.jsonl", "src/a.jsonl"), source, (("model", "m"), ("size", None)), "part.jsonl")
    return list(collect([(log, lines)], Config(sources=(source,), **settings)))


def line(raw: bytes, number: int = 1, *, ended: bool = True) -> RawLine:
    """Return one line as it was read."""
    return RawLine(number, (number - 1) * 1000, raw, ended, len(raw), None)


def test_record_becomes_evidence() -> None:
    """A record is evidence with an id of its bytes, its place, and its own time as recorded_at unless one is given."""
    (outcome,) = read(line(GOOD, 3))
    (given,) = read(line(GOOD, 3), recorded_at="2030-01-01T00:00:00Z")

    record = outcome.rows[0].value
    assert isinstance(record, EvidenceRecord)
    assert record.id == outcome.unit == row_id("src", "m", None, GOOD, None)
    assert str(record.provenance) == f"src/a.jsonl:3@2000 blake3:{hash_bytes(GOOD)}"
    assert record.provenance.recorded_at == "2026-01-01T00:00:00Z"
    assert given.rows[0].value.provenance.recorded_at == "2030-01-01T00:00:00Z"  # type: ignore[attr-defined]
    assert (outcome.rows[0].target, outcome.file) == ("data/evidence/part.jsonl", "part.jsonl")


def test_unreadable_record_alone_is_skipped() -> None:
    """A bad line is skipped with its bytes and its neighbours are kept; a warning names its source."""
    unseen = GOOD.replace(b'"prompt"', b'"messages": [{"role": "user", "content": "q"}], "prompt"')

    first, bad, last = read(line(GOOD), line(b"{\xff}", 2), line(unseen, 3))

    assert (first.kind, last.kind, last.warning) == ("accepted", "accepted", "instruction_not_seen: src")
    row = bad.rows[0].value
    assert (bad.kind, bad.reason, bad.unit, bad.file) == ("skipped", "invalid_utf8", row.provenance, "part.jsonl")  # type: ignore[attr-defined]
    assert base64.b64decode(row.raw) == b"{\xff}"  # type: ignore[attr-defined]
    assert (row.action, row.evidence_id) == ("fix_source", None)  # type: ignore[attr-defined]


def test_overlong_record_keeps_its_head_length_and_hash() -> None:
    """Of a line too long to be read, or too long to be quarantined whole, 64 KiB stand with length and hash."""
    too_long = RawLine(1, 0, b"x" * (1 << 16), ended=True, length=1 << 20, hash="ab" * 32)
    wide = b"x" * 70_000

    (first,), (second,) = read(too_long, max_line_bytes=10), read(line(wide))

    one, two = first.rows[0].value, second.rows[0].value
    assert (first.reason, second.reason) == ("line_too_long", "not_json")
    assert "1048576 bytes, at most 10 are read" in one.detail  # type: ignore[attr-defined]
    assert one.raw.endswith(f" … 1048576 bytes blake3:{'ab' * 32}")  # type: ignore[attr-defined]
    assert two.raw.endswith(f" … 70000 bytes blake3:{hash_bytes(wide)}")  # type: ignore[attr-defined]
    assert base64.b64decode(two.raw.split(" ")[0]) == wide[: 1 << 16]  # type: ignore[attr-defined]


@pytest.mark.parametrize("raw", [GOOD[:-1], GOOD[:20], b'{"a": -', b'{"a": "\xe2\x82', b'{"a": "' + b"[" * 600], ids=range(5))
def test_unfinished_last_line_is_pending(raw: bytes) -> None:
    """A last line without newline that does not parse is a warning and no record yet."""
    _, outcome = read(line(GOOD), line(raw, 2, ended=False))

    assert (outcome.unit, outcome.rows, outcome.warning) == (None, (), "pending: src/a.jsonl:2 is not finished yet")


@pytest.mark.parametrize("raw", [GOOD, b'{"a": 1, "a": 2}'], ids=["good", "bad"])
def test_last_line_that_parses_needs_no_newline(raw: bytes) -> None:
    """A last line without newline that is whole JSON is a record, read or skipped like any other."""
    (outcome,) = read(line(raw, ended=False))

    assert outcome.kind == ("accepted" if raw == GOOD else "skipped")


def test_damaged_compression_ends_the_file() -> None:
    """Where compressed data is damaged, one record is skipped at that place and what was read before is kept."""
    first, end = read(line(GOOD), BadLine("unreadable_member", "crc"), line(GOOD, 3))

    assert (first.kind, end.kind, end.reason) == ("accepted", "skipped", "unreadable_member")
    assert str(end.unit).startswith(f"src/a.jsonl:2@{len(GOOD) + 1} ")


def test_one_reader_serves_all_logs_of_a_source() -> None:
    """Two logs of one source are read one after the other into their own partitions."""
    source = Source("src", "*", format="outcomes")
    logs = [(RawLog(FileRef(name, name), source, (), name), [line(GOOD)]) for name in ("a", "b")]

    assert [outcome.file for outcome in collect(logs, Config(sources=(source,)))] == ["a", "b"]
