"""The whole pipeline on `fixtures/acceptance`: every byte, every count, every run's fate (SPEC 4, 5, 6)."""

import hashlib
import json
import re
import tomllib
from collections import Counter
from typing import Any

import pytest
from blake3 import blake3

from tests.acceptance import COMMAND, FIXTURE, RUNS, Acceptance, expected_files, make_runs, mask

COUNTS: dict[str, dict[str, Any]] = tomllib.loads((FIXTURE / "counts.toml").read_text())
NAMES = [run.name for run in RUNS]
IDS = {run.name: run.run_id for run in RUNS}
BOOKS = [(name, stage) for name in NAMES for stage in COUNTS[name] if stage not in {"categories", "rows"}]
MASKED = {
    "RUN/score.json": ["code_hash", "tool_versions"],
    "RUN/index.json": ["code_hash", "tool_versions", "blake3", "sha256", "bytes", "hash"],
    "RUN/summary.json": [*(["code_hash", "receipt_blake3"] * 7), "prior_summary_hash"],
    "RUN/summary.md": [],
    "RUN/drift.json": [],
    "RUN/config.json": [],
    "ledger.jsonl": ["summary_blake3", "summary_blake3", "prev", "summary_blake3", "prev"],
}
COLUMNS = {"playbooks": "extract-playbooks", "rag": "export-rag", "sft": "export-sft", "preference": "export-preference"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Acceptance:
    """Return what the three runs left."""
    return make_runs(tmp_path_factory.mktemp("acceptance") / "project")


def document(made: Acceptance, run: str, name: str) -> dict[str, Any]:
    """Return one document of a run as it lay on the disk."""
    found: dict[str, Any] = json.loads(made.originals[run][f"reports/distillation/{IDS[run]}/{name}.json"])
    return found


def rows(made: Acceptance, run: str, path: str) -> list[dict[str, Any]]:
    """Return the rows a file had after a run."""
    return [json.loads(line) for line in made.originals[run][path].splitlines()]


def table() -> dict[str, dict[str, str]]:
    """Return the README's table of the first run, by `<recorded path>:<line>`."""
    lines = (FIXTURE / "README.md").read_text().split("## The first run")[1].split("## The second run")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    found: dict[str, dict[str, str]] = {}
    for cell in cells[2:]:
        day, _, log = cell[0].partition(" ")
        path = f"{log}/2026/04/{day}/{log}.jsonl" if log else "snippets/model-c.trial-2.jsonl"
        found[f"{path}:{cell[1]}"] = dict(zip(cells[0], cell, strict=True))
    return found


def place(provenance: str) -> str:
    """Return `<recorded path>:<line>` of a provenance."""
    return provenance.partition("@")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_run_passes(made: Acceptance, name: str) -> None:
    """Each of the three runs ends with exit status 0."""
    assert made.results[name].code == 0, made.results[name].text


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_is_as_expected(made: Acceptance, name: str) -> None:
    """Each run leaves exactly the expected files, with the expected bytes."""
    expected, found = expected_files(name), made.files[name]

    different = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))

    assert not different, f"{name}: {different}; if this is meant: {COMMAND}"


@pytest.mark.parametrize(("name", "stage"), BOOKS)
def test_the_receipts_agree_with_the_hand_worked_books(made: Acceptance, name: str, stage: str) -> None:
    """The counts in a receipt are those worked out by hand from SPEC 4, 5 and 6."""
    nothing = {"considered": 0, "accepted": 0, "rejected": 0, "quarantined": 0, "skipped": 0, "filtered": 0, "reasons": {}}
    stats = document(made, name, stage)["stats"]

    assert {key: stats[key] for key in nothing} == nothing | COUNTS[name][stage]


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_categories_are_those_worked_out_by_hand(made: Acceptance, name: str) -> None:
    """The categories that score counts per partition add up to the hand-worked ones."""
    names = {"partially_accepted", "needs_human_review"}
    found: Counter[str] = Counter()
    for counts in document(made, name, "score")["stats"]["by_file"].values():
        found.update({key: counts.get(key, 0) for key in COUNTS[name]["categories"]})

    assert dict(found) == COUNTS[name]["categories"]
    assert sum(found[key] for key in names) == COUNTS[name]["score"]["quarantined"]


@pytest.mark.parametrize(("name", "path"), [(name, path) for name in NAMES for path in COUNTS[name]["rows"]])
def test_the_files_have_the_hand_worked_lengths(made: Acceptance, name: str, path: str) -> None:
    """A data file has as many rows as worked out by hand."""
    assert len(rows(made, name, path)) == COUNTS[name]["rows"][path]


@pytest.mark.parametrize("column", COLUMNS)
def test_the_table_adds_up_to_the_books(column: str) -> None:
    """A column of the README's table adds up to the hand-worked books of the first run; RAG's playbooks stand below the table."""
    books = COUNTS["first"][COLUMNS[column]]
    found = Counter(row[column].rstrip("*") for row in table().values() if row[column])
    if column == "rag":
        found += Counter(accepted=12, answer_leak=1)

    assert found.pop("accepted") == books["accepted"]
    assert dict(found) == books["reasons"]


def test_every_run_has_the_category_of_the_table(made: Acceptance) -> None:
    """Every run has the category and the deciding reason that the README's table states (SPEC 4)."""
    decided = {row["provenance"]: row for row in rows(made, "first", "data/scored-runs/resolution.jsonl") if row["category"] is not None}
    found = {place(row["provenance"]): f"skipped {row['reason']}" for row in rows(made, "first", "exports/quarantine/collect.jsonl")}
    for path in made.originals["first"]:
        if path.startswith("data/evidence/"):
            scored = rows(made, "first", path.replace("evidence", "scored-runs"))
            for evidence, score in zip(rows(made, "first", path), scored, strict=True):
                where = evidence["provenance"]
                text = f"{where['source_file']}:{where['line']}@{where['offset']} blake3:{where['sig_hash']}"
                last = decided.get(text, score)
                found[place(text)] = f"{last['category']} {last['reasons'][0]}"

    assert found == {where: row["score"] for where, row in table().items()}


def test_the_resolution_is_that_of_the_table(made: Acceptance) -> None:
    """The resolution holds the exceptions of the README's table and nothing else (SPEC 4)."""
    found = {place(row["provenance"]): row["kind"] for row in rows(made, "first", "data/scored-runs/resolution.jsonl")}

    assert found == {where: row["resolution"] for where, row in table().items() if row["resolution"]}


@pytest.mark.parametrize(
    ("column", "export"), [("rag", "rag/playbooks"), ("sft", "sft/instruction_response"), ("preference", "preference/chosen_rejected")]
)
def test_every_run_has_the_export_of_the_table(made: Acceptance, column: str, export: str) -> None:
    """The runs in an export, and those set aside with their reasons, are those of the README's table (SPEC 5)."""
    runs = [row for row in rows(made, "first", f"exports/{export}.jsonl") if row.get("kind", "run") == "run"]
    exported = {place(part) for row in runs for part in row["provenance"].split("; ")}
    aside = {
        place(row["provenance"]): row["reason"] for row in rows(made, "first", f"exports/quarantine/{column}.jsonl") if row["evidence_id"]
    }
    stated = {where: row[column] for where, row in table().items()}
    starred = {where for where, fate in stated.items() if fate.endswith("*")}

    assert exported - starred == {where for where, fate in stated.items() if fate == "accepted"}
    assert len(exported & starred) == len(starred) / 2
    assert aside == {where: fate for where, fate in stated.items() if fate in aside.values()}


def test_the_pitfalls_are_those_worked_out_by_hand(made: Acceptance) -> None:
    """Pitfalls hold what persons and judges noted, errors, and calls that only failing runs made (SPEC 5.1)."""
    playbooks = rows(made, "first", "data/playbooks/playbooks.jsonl")

    found = {book["group"]: [[item["kind"], item["text"]] for item in book["pitfalls"]] for book in playbooks if book["pitfalls"]}

    assert found == COUNTS["first-pitfalls"]
    assert {book["group"] for book in playbooks if book["kind"] == "pitfalls"} == {"median"}


def test_the_third_run_executes_one_stage(made: Acceptance) -> None:
    """A changed setting executes the one stage that reads it; the other receipts are carried over from the second run."""
    stages = document(made, "third", "summary")["stages"]
    carried = [stage["stage"] for stage in stages if stage["carried_from"] == IDS["second"] and stage["decision"] == "up_to_date"]

    assert made.results["third"].executed == ["export_preference", "summary"]
    assert carried == ["collect", "score", "extract-playbooks", "export-rag", "export-sft", "index"]


@pytest.mark.parametrize("name", NAMES)
def test_the_receipts_hash_what_lies_there(made: Acceptance, name: str) -> None:
    """Every output's blake3, sha256 and size in a receipt are those of the file on the disk, the index included."""
    stages = [stage["stage"] for stage in document(made, name, "summary")["stages"]]
    stated = {file["path"]: file for stage in stages for file in document(made, name, stage)["outputs"]["files"]}

    for path, data in made.originals[name].items():
        if not path.startswith("reports/"):
            file = stated.pop(path)
            assert (file["blake3"], file["sha256"]) == (blake3(data).hexdigest(), hashlib.sha256(data).hexdigest()), path
            assert file["bytes"] == len(data), path
    assert not stated


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_hashes_the_receipts(made: Acceptance, name: str) -> None:
    """A summary names the blake3 of every receipt beside it and of the summary before it."""
    files, number = made.originals[name], NAMES.index(name)
    summary = document(made, name, "summary")

    found = {stage["stage"]: stage["receipt_blake3"] for stage in summary["stages"]}

    folder = f"reports/distillation/{IDS[name]}"
    before = f"reports/distillation/{RUNS[number - 1].run_id}/summary.json"
    assert found == {stage: blake3(files[f"{folder}/{stage}.json"]).hexdigest() for stage in found}
    assert summary["prior_summary_hash"] == (blake3(files[before]).hexdigest() if number else None)


def test_the_ledger_is_a_chain(made: Acceptance) -> None:
    """Each ledger line names the hash of the line before and of its summary; the page of the last run names the head."""
    files = made.originals["third"]
    lines = files["reports/distillation/ledger.jsonl"].splitlines()
    hashes = [None, *(blake3(line).hexdigest() for line in lines)]

    assert [json.loads(line)["prev"] for line in lines] == hashes[:-1]
    for line, run in zip(lines, RUNS, strict=True):
        summary = files[f"reports/distillation/{run.run_id}/summary.json"]
        assert json.loads(line)["summary_blake3"] == blake3(summary).hexdigest()
    assert f"ledger head `{hashes[-1]}`" in files[f"reports/distillation/{IDS['third']}/summary.md"].decode()


@pytest.mark.parametrize(("document_name", "keys"), MASKED.items())
def test_only_the_stated_values_are_replaced(made: Acceptance, document_name: str, keys: list[str]) -> None:
    """The comparison leaves out the values that the README names, once each, and no other."""
    path = f"reports/distillation/{document_name.replace('RUN', IDS['third'])}"
    before = made.originals["third"][path].decode()

    after = mask(path, before.encode()).decode()

    assert re.findall(r'"(\w+)": ?"\(not compared\)"', after) == keys
    kept = [re.escape(part) for part in re.split(r'"\(not compared\)"|(?<=ledger head )`\(not compared\)`', after)]
    assert re.fullmatch(r'(?:"(?:blake3:)?[0-9a-f]{64}"|`[0-9a-f]{64}`|\{[^{}]*\}|\d+)'.join(kept), before)
