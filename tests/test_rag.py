"""Documents for retrieval (SPEC 5.2) and the index over them (SPEC 1)."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distill.config import Config
from distill.hashing import hash_bytes
from distill.jsonl import encode_row
from distill.outcome import Outcome
from distill.runs import Run
from distill.schemas.export_rows import Playbook, RagRow
from distill.stages import INDEX, PLAYBOOKS, QUARANTINE, RAG
from distill.stages.export_rag import run
from distill.stages.extract_playbooks import run as extract
from distill.stages.index import IndexWriter, WordsWriter, check_counts, check_range, hash_index, search_index, take_words
from distill.stages.index import run as index
from distill.units.cutting import Unit
from distill.units.index import find_words, write_rows
from tests.strategies import chat, fates, made_run, rows_of

LEAK = "a long enough reference answer"


def playbooks_of(*runs: Run) -> list[Playbook]:
    """Return the playbooks of runs."""
    return rows_of(extract(runs, Config()), PLAYBOOKS)


def export(*runs: Run, playbooks: list[Playbook] | None = None) -> list[Outcome]:
    """Run the stage over runs and their playbooks."""
    return list(run(runs, playbooks_of(*runs) if playbooks is None else playbooks, Config()))


def test_row_of_a_run() -> None:
    """An accepted run is a document with its question and answer, its score, and tags without empty ones."""
    one = made_run("a", "retried", instruction="Add.\nNow.", response="2", tags={"language": "py"}, model=None)

    (row,) = rows_of(export(one, playbooks=[]), RAG)

    assert (row.id, row.kind, row.title, row.content) == ("a", "run", "Add.", "Add.\nNow.\n\n2")
    assert (row.embedding_text, row.success_score, row.source_run_ids, row.failed_run_ids) == (row.content, 0.8, ["run-a"], [])
    assert row.tags == ["category=partially_accepted", "language=py", "source=src", "task=task-1"]
    assert row.provenance == str(one.evidence.provenance)


def test_correction_is_the_answer_of_a_run_with_changes() -> None:
    """A run accepted with changes shows its correction, never its own answer."""
    (row,) = rows_of(export(made_run("a", "with_changes", response="own", corrected_response="better"), playbooks=[]), RAG)

    assert "own" not in row.content
    assert row.embedding_text.endswith("better")


def test_row_of_a_playbook() -> None:
    """A playbook is a document: what rejected runs did stands in its content, never in what is embedded."""
    runs = [made_run("a", response="good", lessons=["Mind the sign."]), made_run("b", "rejected", errors=["boom"]), made_run("c", "review")]

    (row,) = [row for row in rows_of(export(*runs), RAG) if row.kind != "run"]

    assert (row.kind, row.title, row.success_score) == ("playbook", "Add two numbers.", 1 / 3)
    assert row.content == (
        "# Add two numbers.\n\n1 of 3 runs passed.\n\n## When\nAdd two numbers.\n\n## Steps\n- good (1 of 1 passing runs)\n\n"
        "## Pitfalls\n- boom (error, 1 runs)\n- Mind the sign. (lesson, 1 runs)"
    )
    assert row.embedding_text == "Add two numbers.\n\ngood"
    assert (row.source_run_ids, row.failed_run_ids, row.tags) == (["run-a"], ["run-b"], ["group=task-1", "model=model-a"])


def test_pitfalls_embed_the_task_alone() -> None:
    """A document of kind pitfalls embeds what was asked and nothing a rejected run said."""
    (row,) = rows_of(export(made_run("b", "rejected", response="wrong")), RAG)

    assert (row.kind, row.embedding_text, row.success_score) == ("pitfalls", "Add two numbers.", 0)
    assert row.content == "# Add two numbers.\n\n0 of 1 runs passed.\n\n## When\nAdd two numbers."


REASONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "duplicate": ({"excluded": "duplicate"}, "filtered", "duplicate"),
    "same_run": ({"excluded": "same_run"}, "filtered", "same_run"),
    "superseded": ({"excluded": "superseded_by_review"}, "filtered", "superseded_by_review"),
    "conflict": ({"excluded": "conflicting_verdicts"}, "quarantined", "conflicting_verdicts"),
    "reused": ({"excluded": "run_id_reused", "kind": "review"}, "quarantined", "run_id_reused"),
    "rejected": ({"kind": "rejected", "run_id": None}, "quarantined", "unsafe_category"),
    "review": ({"kind": "review"}, "quarantined", "unsafe_category"),
    "no_run_id": ({"run_id": None, "instruction": None}, "quarantined", "missing_source_run_id"),
    "no_instruction": ({"instruction": None, "response": None}, "quarantined", "empty_instruction"),
    "no_response": ({"response": None}, "quarantined", "empty_response"),
    "no_correction": ({"kind": "with_changes"}, "quarantined", "empty_response"),
    "leak": ({"instruction": LEAK, "reference": [LEAK]}, "quarantined", "answer_leak"),
}


@pytest.mark.parametrize(("fields", "kind", "reason"), REASONS.values(), ids=REASONS)
def test_run_is_kept_out(fields: dict[str, Any], kind: str, reason: str) -> None:
    """A run that may not be retrieved has the first reason that fits; a quarantined one leaves a row."""
    one = made_run("a", **({"kind": "accepted"} | fields))

    (outcome,) = export(one, playbooks=[])

    assert (outcome.kind, outcome.reason) == (kind, reason)
    rows: list[Any] = [row.value for row in outcome.rows]
    assert [(row.stage, row.reason, row.evidence_id) for row in rows] == ([("export-rag", reason, "a")] if kind == "quarantined" else [])


@pytest.mark.parametrize(
    ("runs", "reason"),
    [([made_run("a", run_id=None)], "missing_source_run_id"), ([made_run("a", "rejected", instruction=None)], "empty_instruction"),
     ([made_run("a", "rejected", instruction=LEAK, reference=[LEAK]), made_run("b")], "answer_leak"),
     ([made_run("a", "review", lessons=["Ask first."])], "unsafe_category"),
     ([made_run("a", "with_changes", lessons=["Ask first."])], "empty_response")],
    ids=["no_run_id", "no_instruction", "leak", "unjudged", "no_correction"],
)  # fmt: skip
def test_playbook_is_kept_out(runs: list[Run], reason: str) -> None:
    """A playbook without run ids, text, judged runs or answers, or of a group in which an answer leaked, is quarantined for that."""
    (book,) = playbooks_of(*runs)

    outcomes = export(*runs)

    assert fates(outcomes)[book.id] == reason
    (row,) = [row for row in rows_of(outcomes, f"{QUARANTINE}/rag.jsonl") if row.evidence_id is None]
    assert (row.reason, row.provenance, book.group in row.detail) == (reason, book.provenance, True)


ROWS: list[RagRow] = sorted(
    rows_of(export(*(made_run(f"e{i}", instruction=f"Question number{i} about {word}.", task_id=f"t{i}", messages=None) for i, word in
                     enumerate(["apples", "pears", 'a "quoted" apples']))), RAG),
    key=lambda row: row.id,
)  # fmt: skip


def test_every_row_is_indexed() -> None:
    """Each retrieval row is one accepted unit of the index."""
    assert [(outcome.kind, outcome.unit, outcome.rows[0].target) for outcome in index(ROWS)] == [
        ("accepted", row.id, INDEX) for row in ROWS
    ]


def write_index(path: Path, rows: list[RagRow]) -> None:
    """Write the index of rows that come in the order of their ids."""
    words = path.with_name("words")
    for writer in (IndexWriter(path), WordsWriter(words)):
        writer.add(rows[:1])
        writer.add(rows[1:])
        writer.close()
    take_words(path, words)
    words.unlink()


@pytest.mark.parametrize("change", ["nothing", "a changed row", "a missing row", "a row more", "words of a row more"])
def test_index_is_read_back(tmp_path: Path, change: str) -> None:
    """A range of the index is held against its rows one by one, and the numbers of rows and of texts against what there is."""
    write_index(tmp_path / "base", ROWS)
    base = sqlite3.connect(tmp_path / "base")
    if change == "a changed row":
        base.execute("UPDATE documents SET embedding_text = 'another' WHERE number = 2")
    elif change == "a missing row":
        base.execute("DELETE FROM documents WHERE number = 2")
    elif change == "a row more":
        base.execute(
            "INSERT INTO documents SELECT 99, 'more', kind, title, content, tags, source_run_ids, 1, provenance, '' FROM rows LIMIT 1"
        )
    elif change == "words of a row more":
        base.execute("INSERT INTO search (rowid, title, embedding_text) VALUES (99, 'a', 'wrong answer')")
    base.commit()
    base.close()

    told = [check_range(tmp_path / "base", ROWS, 1), check_range(tmp_path / "base", ROWS[1:], 2)]
    counts = check_counts(tmp_path / "base", len(ROWS))

    found = {"a changed row": [":2: [unknown_row]"] * 2, "a missing row": [":2: [missing_row]"] * 2}.get(change, [])
    assert [text[len(INDEX) :].rpartition(" ")[0][: len(found[0])] for one in told for text in one.found] == found
    assert bool(counts) is (change in {"a missing row", "a row more", "words of a row more"})
    assert bool(found or counts) is (change != "nothing")


def test_rows_of_an_index_that_are_out_of_order_are_told(tmp_path: Path) -> None:
    """Ids that do not come one after the other are found within a range, though the retrieval rows stand in the same order."""
    rows = [ROWS[1], ROWS[0], ROWS[2]]
    write_index(tmp_path / "base", rows)

    found = check_range(tmp_path / "base", rows, 1)

    assert found.found == [f"{INDEX}:2: [order] id {ROWS[0].id!r} does not come after {ROWS[1].id!r}"]
    assert (found.rows, found.first, found.last) == (3, ROWS[1].id, ROWS[2].id)


def test_index_is_the_same_for_the_same_rows(tmp_path: Path) -> None:
    """Equal rows give equal bytes, a changed row another logical hash, and nothing is left beside the file."""
    changed = [msgspec.structs.replace(ROWS[0], title="Other"), *ROWS[1:]]
    for name, rows in {"one": ROWS, "two": ROWS, "three": changed, "none": []}.items():
        write_index(tmp_path / name, rows)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert hash_index(tmp_path / "one") == hash_index(tmp_path / "two") != hash_index(tmp_path / "three")
    assert (check_counts(tmp_path / "one", len(ROWS)), check_counts(tmp_path / "none", 0)) == ([], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none", "one", "three", "two"]


@pytest.mark.parametrize("write", [write_rows, find_words])
def test_what_a_dead_worker_left_of_an_index_is_written_anew(tmp_path: Path, write: Any) -> None:
    """A task that runs again begins its file anew, whatever lies there."""
    (tmp_path / RAG).parent.mkdir(parents=True)
    data = b"".join(map(encode_row, ROWS))
    (tmp_path / RAG).write_bytes(data)
    units = [Unit(0, len(data), 0, hash_bytes(data))]

    counts = [write(None, (str(tmp_path / name), str(tmp_path / RAG), units)) for name in ("one", "two", "one")]
    first = (tmp_path / "one").read_bytes()
    (tmp_path / "one").write_bytes(first[: len(first) // 2])
    write(None, (str(tmp_path / "one"), str(tmp_path / RAG), units))

    assert counts == [len(ROWS)] * 3
    assert (tmp_path / "one").read_bytes() == first == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("refused", [False, True])
def test_an_index_has_the_words_of_its_rows(tmp_path: Path, refused: bool) -> None:
    """SQLite's own check holds the words against the rows; where their tables cannot be copied, the words are found once more."""
    write_index(tmp_path / "base", ROWS)
    if refused:
        write_index(tmp_path / "rows", ROWS)
        base = sqlite3.connect(tmp_path / "rows")
        base.execute("DROP TABLE search")
        base.commit()
        base.close()
        sqlite3.connect(tmp_path / "empty").close()
        take_words(tmp_path / "rows", tmp_path / "empty")
        (tmp_path / "rows").replace(tmp_path / "base")

    base = sqlite3.connect(tmp_path / "base")
    base.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")
    found = base.execute("SELECT rowid FROM search WHERE search MATCH 'apples' ORDER BY rowid").fetchall()
    other = base.execute("SELECT count(*) FROM documents WHERE embedding_text IS NULL").fetchone()[0]
    base.close()

    assert found == [(number,) for number, row in enumerate(ROWS, 1) if "apples" in row.embedding_text]
    assert check_counts(tmp_path / "base", len(ROWS)) == []
    assert 0 < other == sum(row.content == row.embedding_text for row in ROWS) < len(ROWS)


@pytest.mark.parametrize(
    ("words", "hits"), [("apples", 2), ("number1 pears", 1), ("apples pears", 0), ('"quoted"', 1), ("OR", 0), ("a*", 1), ("", 0)]
)
def test_search_finds_documents_that_hold_all_words(tmp_path: Path, words: str, hits: int) -> None:
    """A search takes its words as they are, whatever they mean to SQLite, and finds rows that hold them all."""
    write_index(tmp_path / "base", ROWS)

    found = search_index(tmp_path / "base", words, limit=10)

    assert len({hit.id for hit in found if hit.kind == "run"}) == hits
    assert len(search_index(tmp_path / "base", words, limit=1)) == min(1, len(found))


def test_messages_of_a_run_are_its_question_and_last_answer() -> None:
    """A conversation is embedded by its first user message and its last answer."""
    (row,) = rows_of(export(made_run("a", messages=chat("user: q", "assistant: x", "user: r", "assistant: y")), playbooks=[]), RAG)

    assert row.embedding_text == "q\n\ny"
