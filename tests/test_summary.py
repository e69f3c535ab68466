"""The books of a run (SPEC 6): receipts to summary, stable hashes, and what does not add up."""

from typing import Any

import msgspec
import pytest

from distill.books import Books
from distill.config import Config, MinRows
from distill.errors import SchemaError
from distill.hashing import aggregate_hash, hash_bytes
from distill.jsonl import encode_document
from distill.schemas.run_summary import RunSummary
from distill.schemas.stage_receipt import VOLATILE, FileSet, FileState, StageReceipt, Stats, Validation, check_books
from distill.stages import STAGES, stage_named
from distill.summary import build_summary, stable_hash
from distill.validation import validate_stage

HASH = "blake3:" + "0" * 64


def file(path: str, records: int = 3, content: str = "x") -> FileState:
    """Return the state of a file."""
    digest = hash_bytes(content.encode())
    return FileState(path=path, blake3=digest, sha256=digest, bytes=1, record_count=records)


def files(*found: FileState) -> FileSet:
    """Return a whole set of files."""
    total = aggregate_hash((one.path, one.blake3) for one in found)
    return FileSet(files=list(found), record_count=sum(one.record_count for one in found), hash=total)


def receipt(stage: str = "collect", **fields: Any) -> StageReceipt:
    """Return a receipt whose books balance."""
    outputs = files(*(file(path) for path in [stage_named(stage).dataset or f"data/{stage}"]))
    values: dict[str, Any] = {
        "run_id": "r1", "stage": stage, "timestamp": "2026-01-01T00:00:00Z", "git_commit": None, "git_dirty": None, "code_hash": HASH,
        "config_hash": HASH, "tool_versions": {"python": "3"}, "decision": "executed", "decision_reason": "new", "carried_from": None,
        "executed_commit": None, "inputs": files(file(f"src/{stage}")), "outputs": outputs,
        "stats": Stats(unit="run", considered=3, accepted=2, quarantined=1, reasons={"no_signal": 1}), "validation": Validation(passed=True),
        "duration_ms": 5,
    }  # fmt: skip
    return StageReceipt(**(values | fields))


def all_receipts(**changed: StageReceipt) -> list[StageReceipt]:
    """Return a receipt for every stage; `changed` replaces some, by task name."""
    return [changed.get(stage.task, receipt(stage.name)) for stage in STAGES]


def summarise(receipts: list[StageReceipt], **fields: Any) -> RunSummary:
    """Return the summary of receipts."""
    values: dict[str, Any] = {
        "index_hash": "blake3:" + "1" * 64, "run_id": "r1", "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:09Z",
        "git_commit": None, "prior_run_id": None, "prior_summary_hash": None,
    }  # fmt: skip
    return build_summary(receipts, **(values | fields))


def test_summary_sums_over_stages() -> None:
    """Totals are sums over stages, datasets are rows of each export's first file, and each stage names its receipt's hash."""
    receipts = all_receipts()

    found = summarise(receipts)

    assert (found.scope, found.overall_passed, found.total_records_in, found.total_accepted, found.total_quarantined) == (
        "full",
        True,
        21,
        14,
        7,
    )
    assert (found.datasets.rag, found.datasets.sft, found.datasets.preference) == (3, 3, 3)
    assert [stage.receipt_blake3 for stage in found.stages] == [hash_bytes(encode_document(one)) for one in receipts]


def test_run_hash_takes_the_content_of_the_index() -> None:
    """The run hash covers stage and output hash, for the index its logical content instead of its bytes."""
    one = summarise(all_receipts())
    other_bytes = summarise(all_receipts(index=receipt("index", outputs=files(file("x", content="other")))))
    other_content = summarise(all_receipts(), index_hash="blake3:" + "2" * 64)

    leaves = [(stage.stage, (stage.output_hash or "").removeprefix("blake3:")) for stage in one.stages]
    assert one.run_hash == aggregate_hash(leaves) == other_bytes.run_hash
    assert one.run_hash != other_content.run_hash


def test_partial_or_broken_run_has_no_run_hash() -> None:
    """A run of selected stages is partial, and a stage without outputs leaves no run hash and no dataset."""
    blocked = receipt("export-sft", decision="blocked", outputs=FileSet(), validation=Validation(passed=False), stats=Stats(unit="run"))
    lost_index = receipt("index", decision="failed", outputs=FileSet(), validation=Validation(passed=False), stats=Stats(unit="row"))

    partial, broken = summarise([receipt()]), summarise(all_receipts(export_sft=blocked, index=lost_index))

    assert (partial.scope, partial.run_hash, partial.overall_passed, partial.datasets.sft) == ("partial", None, True, None)
    assert (broken.scope, broken.run_hash, broken.overall_passed, broken.datasets.sft, broken.datasets.rag) == (
        "full",
        None,
        False,
        None,
        3,
    )
    assert broken.stages[-1].output_hash is None


CHANGES: dict[str, Any] = {
    "run_id": "r2", "timestamp": "2027-01-01T00:00:00Z", "duration_ms": 9, "git_commit": "abc", "git_dirty": True, "decision": "up_to_date",
    "decision_reason": "other", "carried_from": "r0",
}  # fmt: skip


def test_stable_hash_ignores_exactly_the_volatile_fields() -> None:
    """Two receipts that differ in volatile fields alone have one stable hash; any other field changes it."""
    base = receipt()
    others: dict[str, Any] = {
        "code_hash": "blake3:" + "3" * 64, "tool_versions": {}, "executed_commit": "abc", "decision": "failed", "stats": Stats(unit="row"),
        "validation": Validation(passed=True, warnings=["w"]), "inputs": FileSet(), "outputs": FileSet(), "stage": "score",
    }  # fmt: skip

    assert set(CHANGES) == set(VOLATILE)
    assert stable_hash(msgspec.structs.replace(base, **CHANGES)) == stable_hash(base)
    assert len(
        {stable_hash(base), *(stable_hash(msgspec.structs.replace(base, **{key: value})) for key, value in others.items())}
    ) == 1 + len(others)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None), ({"stats": Stats(unit="run", considered=2, accepted=1)}, "considered 2 but the outcomes add up to 1"),
        ({"stats": Stats(unit="run", considered=1, skipped=1)}, "1 units were not let through but the reasons name 0"),
        ({"stats": Stats(unit="run", reasons={"x": 1})}, "0 units were not let through but the reasons name 1"),
        ({"inputs": FileSet(files=[file("a")], record_count=1)}, "record_count is not the sum over the files"),
        ({"outputs": FileSet(record_count=1)}, "record_count is not the sum over the files"),
    ],
)  # fmt: skip
def test_books_that_do_not_balance_are_told(fields: dict[str, Any], expected: str | None) -> None:
    """A receipt whose books do not add up says which sum is wrong."""
    assert check_books(receipt(**fields)) == ([] if expected is None else [f"collect: {expected}"])


def test_receipt_with_a_wrong_hash_cannot_be_written() -> None:
    """A hash without its algorithm, or of another length, is a schema error."""
    for fields in (
        {"code_hash": "0" * 64},
        {"inputs": FileSet(files=[msgspec.structs.replace(file("a"), blake3="0")])},
        {"duration_ms": -1},
    ):
        with pytest.raises(SchemaError, match="StageReceipt: "):
            encode_document(receipt(**fields))


def validated(stage: str, stats: Stats, rows: int = 1, **settings: Any) -> Validation:
    """Return the verdict on an executed stage that wrote `rows` rows to each file."""
    written = [
        file(path, rows)
        for path in ("exports/sft/instruction_response.jsonl", "exports/sft/prompt_completion.jsonl", "exports/rag/playbooks.jsonl")
    ]
    books = Books(by_file=False)
    books.warnings.update({"a": 1, "b": 2})
    kind = "skipped" if stats.skipped else "quarantined"
    for slug, times in stats.reasons.items():
        books.add("filtered" if slug == "duplicate" else kind, slug, times=times)
    return validate_stage(stage_named(stage), Config(**settings), stats, books=books, written=written)


def test_warnings_are_counted_and_told() -> None:
    """Warnings show their counts, and the reasons of every outcome, most frequent first."""
    stats = Stats(unit="run", considered=4, accepted=1, quarantined=3, reasons={"no_signal": 1, "unsafe_category": 2})
    both = Stats(unit="run", considered=2, quarantined=1, filtered=1, reasons={"duplicate": 1, "unsafe_category": 1})

    assert validated("export-sft", stats).warnings == [
        "a", "b (2 records)", "3 quarantined (unsafe_category=2 no_signal=1)",
    ]  # fmt: skip
    assert validated("export-sft", both).warnings[2:] == ["1 quarantined (unsafe_category=1)", "1 filtered (duplicate=1)"]
    assert len(validated("score", stats).warnings) == 2


@pytest.mark.parametrize(("allowed", "passed"), [(0, False), (1, False), (2, True), (0.1, False), (0.2, True)])
def test_skipped_rows_beyond_the_bound_fail(allowed: float, passed: bool) -> None:
    """`max_skipped` is a count, or a share below 1."""
    stats = Stats(unit="record", considered=10, accepted=8, skipped=2, reasons={"not_json": 2})

    verdict = validated("collect", stats, max_skipped=allowed)

    assert verdict.passed is passed
    assert all(text.startswith("2 of 10 records could not be read (not_json=2), max_skipped is ") for text in verdict.errors)


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (Stats(unit="run"), "there are no runs; check the globs of the sources"),
        (Stats(unit="run", considered=30, quarantined=30, reasons={"no_signal": 30}), "no_signal"),
        (Stats(unit="run", considered=3, quarantined=3, reasons={"answer_leak": 3}), "change the settings"),
        (Stats(unit="run", considered=3, quarantined=3, reasons={"missing_source_run_id": 3}), "repair the logs"),
        (Stats(unit="run", considered=3, quarantined=3, reasons={"empty_response": 3}), "collect runs with another outcome"),
        (Stats(unit="run", considered=3, accepted=3), "3 runs were considered"),
    ],
)  # fmt: skip
def test_empty_export_says_why_and_what_to_do(stats: Stats, expected: str) -> None:
    """Below `min_rows` a stage does not pass and says why; an empty export that may be empty is a warning."""
    failed, warned = validated("export-sft", stats, 0), validated("export-sft", stats, 0, min_rows=MinRows(sft=0))

    assert (failed.passed, warned.passed) == (False, True)
    assert expected in failed.errors[0]
    assert expected in warned.warnings[-1]
    assert validated("export-rag", stats, 0).passed
