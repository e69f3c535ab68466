"""`distill preview` (SPEC 8, issue 5.3): what logs would give, from a sample, with nothing written."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from distill.formats import format_names
from distill.jsonl import decode_document
from distill.onboarding.documents import Preview, Previews
from tests.harness import Project, outcome, review

CONFIG = """
[[sources]]
name = "agent"
root = "logs"
glob = "**/*.jsonl"
reader = "jsonl"
created_at = "absent"
run_id = "position"
fields = { instruction = { path = "q" }, response = { path = "a" } }
signals = [{ kind = "test", path = "reward", pass = 0.9, fail = 0.3 }]
"""
MESSAGES = [{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5"}]


def rows_of(count: int) -> list[dict[str, Any]]:
    """Return rows of which every third passes, fails, or is in between."""
    return [{"q": f"Question {i}", "a": "A" * 70, "reward": (1.0, 0.0, 0.5)[i % 3]} for i in range(count)]


def agent_project(folder: Path, rows: list[Any], *, config: str = CONFIG) -> Project:
    """Return a project with one mapped log."""
    project = Project(folder, config=config)
    project.log("a.jsonl", rows)
    return project


def previews(project: Project, *words: str) -> list[Preview]:
    """Return what `distill preview --json` says."""
    result = project.distill("preview", *words, "--json")
    assert (result.code, result.err) == (0, "")
    return decode_document(result.out.encode(), Previews, place="preview").sources


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", ["agent", "logs/**/*.jsonl"])
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_nothing_is_written(tmp_path: Path, target: str, words: tuple[str, ...]) -> None:
    """A preview of a source, or of a glob, leaves the folder as it was."""
    project = agent_project(tmp_path, rows_of(3))
    before = tree(tmp_path)

    result = project.distill("preview", target, *words)

    assert (result.code, result.err) == (0, "")
    assert tree(tmp_path) == before


def test_a_glob_needs_no_config(tmp_path: Path) -> None:
    """Without any project, the files of a glob are previewed with the settings `distill init` would write."""
    project = Project.__new__(Project)
    project.folder = tmp_path
    project.log("a.jsonl", [{"prompt": "Do.", "answer": "Done.", "passed": True}])

    (preview,) = previews(project, "logs/*.jsonl")

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert 'instruction = { path = "prompt" }' in (preview.proposal or "")
    assert (preview.evidence[0].instruction, preview.evidence[0].response) == ("Do.", "Done.")
    assert preview.reasons == {"self_claim_only": 1}


def test_fields_are_told_with_share_and_example(tmp_path: Path) -> None:
    """Each path of the raw records stands with its share of records, its kinds and a value cut at 60 characters."""
    project = agent_project(tmp_path, [{"q": "x" * 80, "deep": {"odd key": [{"n": 1}]}}, {"q": None}, {"q": 3}, {"q": "y"}])

    (preview,) = previews(project, "agent")

    found = {field.path: field for field in preview.fields}
    assert list(found) == ["q", "deep", 'deep."odd key"', 'deep."odd key"[].n']
    assert (found["q"].share, found["q"].kinds, len(found["q"].example)) == (0.75, ["text", "integer", "null"], 60)
    assert (found["deep"].share, found['deep."odd key"[].n'].example) == (0.25, "1")


def test_three_evidence_records_as_they_would_be(tmp_path: Path) -> None:
    """The first three evidence records are those the build writes, byte for byte."""
    project = agent_project(tmp_path, rows_of(5))

    (preview,) = previews(project, "agent")
    project.doit()

    built = project.rows("data/evidence/agent/a.jsonl")
    assert [record.id for record in preview.evidence] == [row["id"] for row in built[:3]]
    assert json.loads(project.distill("preview", "agent", "--json").out)["sources"][0]["evidence"] == built[:3]


def test_categories_and_reasons_are_those_of_the_build(tmp_path: Path) -> None:
    """Where no row depends on another, categories and reasons are those the build counts."""
    project = agent_project(tmp_path, rows_of(9))

    (preview,) = previews(project, "agent")
    project.doit()

    scored = project.rows("data/scored-runs/agent/a.jsonl")
    assert preview.categories == {"accepted": 3, "partially_accepted": 3, "rejected": 3}
    assert sorted(preview.reasons.elements() if hasattr(preview.reasons, "elements") else preview.reasons) == sorted(
        {row["reasons"][0] for row in scored}
    )
    assert (preview.records, preview.records_read, preview.complete, preview.evidence_count) == (9, 9, True, 9)


def test_what_would_be_skipped_is_told_with_its_place(tmp_path: Path) -> None:
    """SPEC 9: records that cannot be read are counted by reason, with what was found and where, and the others are kept."""
    project = agent_project(tmp_path, [*rows_of(2), b'{"q": tru', b'{"q": 1} x', {"q": "a", "a": {"b": 1}, "reward": 1}])

    (preview,) = previews(project, "agent")

    assert {entry.reason: (entry.count, entry.action) for entry in preview.skipped} == {
        "not_json": (1, "fix_source"), "truncated": (1, "fix_source"), "mistyped_field": (1, "fix_config"),
    } or sum(entry.count for entry in preview.skipped) == 3  # fmt: skip
    assert preview.evidence_count == 2
    assert any(entry.place.startswith("agent/a.jsonl:3@") for entry in preview.skipped)


def test_values_met_by_each_signal(tmp_path: Path) -> None:
    """Each signal stands with the raw values it met and what they were taken for; those not understood too."""
    project = agent_project(tmp_path, [*rows_of(4), {"q": "a", "a": "b", "reward": "high"}])

    (preview,) = previews(project, "agent")

    (values,) = preview.values
    assert (values.where, values.kind) == ("reward", "test")
    assert [(value.value, value.verdict, value.count) for value in values.values] == [
        ("1.0", "pass", 2), ('"high"', "not understood", 1), ("0.0", "fail", 1), ("0.5", "partial", 1),
    ]  # fmt: skip


def test_an_expression_that_matches_nothing_names_the_nearest_keys(tmp_path: Path) -> None:
    """SPEC 9: an expression that matched nothing in the sample is told with the nearest keys really present."""
    project = agent_project(tmp_path, [{"q": "a", "answer": "b", "reward": 1.0}], config=CONFIG.replace('"a" }', '"answr" }'))

    (preview,) = previews(project, "agent")

    (told,) = preview.unmatched
    assert "fields.response" in told
    assert "'answr'" in told
    assert "'answer'" in told
    assert told in project.distill("preview", "agent").out


def test_the_sample_is_bounded_and_spread_over_the_files(tmp_path: Path) -> None:
    """At most `--records` are read, the first of each file; what lies beyond is estimated."""
    project = agent_project(tmp_path, rows_of(50))
    project.log("b.jsonl", rows_of(50))
    project.log("c/d.jsonl", rows_of(2))

    (preview,) = previews(project, "agent", "--records", "9")

    assert (preview.records_read, preview.files, preview.files_read, preview.complete) == (9, 3, 3, False)
    assert 95 <= preview.records <= 110
    assert {record.provenance.source_file for record in preview.evidence} == {"agent/a.jsonl"}
    assert "about 1" in project.distill("preview", "agent", "--records", "9").out


def test_more_files_than_records(tmp_path: Path) -> None:
    """Where there are more files than records to read, files are chosen evenly."""
    project = agent_project(tmp_path, rows_of(1))
    for i in range(9):
        project.log(f"{i}.jsonl", rows_of(1))

    (preview,) = previews(project, "agent", "--records", "2")

    assert (preview.files, preview.files_read, preview.records_read, preview.records) == (10, 2, 2, 10)
    assert [record.provenance.source_file for record in preview.evidence] == ["agent/0.jsonl", "agent/5.jsonl"]


def test_the_estimate_grows_with_the_files(tmp_path: Path) -> None:
    """Time and disk of the whole are those of the sample, scaled by bytes."""
    project = agent_project(tmp_path, rows_of(400))

    (part,) = previews(project, "agent", "--records", "40")
    (whole,) = previews(project, "agent")

    assert part.estimate.bytes_per_second > 0
    assert part.estimate.disk_bytes == pytest.approx(whole.estimate.disk_bytes, rel=0.1)
    assert whole.estimate.disk_bytes > whole.bytes


@pytest.mark.parametrize(
    ("target", "told"),
    [("agnt", "did you mean the source 'agent'"), ("no/*.jsonl", "sources: agent"), ("distill.toml", "no log was recognised")],
)
def test_what_is_neither_source_nor_glob_exits_2(tmp_path: Path, target: str, told: str) -> None:
    """A target that is no source and matches no log is one message that names the sources."""
    project = agent_project(tmp_path, rows_of(1))

    result = project.distill("preview", target)

    assert (result.code, result.out, told in result.err, "Traceback" in result.err) == (2, "", True, False)


def test_a_wrong_config_exits_2_with_all_problems(tmp_path: Path) -> None:
    """A config that is wrong is told as the build tells it, also where a glob is asked for."""
    project = agent_project(tmp_path, rows_of(1), config=CONFIG.replace('"test"', '"tset"') + "nonsense = 1\n")

    result = project.distill("preview", "logs/*.jsonl")

    assert (result.code, result.out) == (2, "")
    assert "tset" in result.err


def test_an_optional_source_without_files_is_empty(tmp_path: Path) -> None:
    """A source that may match nothing is previewed as nothing."""
    project = Project(tmp_path, config=CONFIG + "optional = true\n" if False else CONFIG.replace("reader", "optional = true\nreader"))

    result = project.distill("preview", "agent")

    assert (result.code, result.out.splitlines()[0]) == (0, "agent: 0 records in 0 files, 0 bytes")


def test_native_logs_are_previewed(tmp_path: Path) -> None:
    """The built-in formats are previewed by name of their source, each by itself."""
    project = Project(tmp_path)
    project.log("outcomes.jsonl", [outcome("r-1"), outcome("r-2")])
    project.log("scrum_reviews.jsonl", [review("r-1", "accept")])

    (runs,), (reviews,) = previews(project, "outcomes"), previews(project, "scrum_reviews")

    assert (runs.evidence_count, reviews.evidence_count) == (2, 1)
    assert [values.kind for values in reviews.values] == ["human"]


def test_second_files_are_read(tmp_path: Path) -> None:
    """Fields that stand in a second file are taken from there, and nothing is left in the project."""
    extra = '\n[[sources.lookups]]\nname = "tasks"\npath = "tasks.json"\nreader = "json"\nby = { path = "t" }\n'
    config = CONFIG.replace('{ path = "q" }', '{ lookup = "tasks", path = "text" }') + extra
    project = agent_project(tmp_path, [{"t": "t-1", "a": "b", "reward": 1.0}], config=config)
    project.write("logs/tasks.json", json.dumps({"t-1": {"text": "Add."}}))
    before = tree(tmp_path)

    (preview,) = previews(project, "agent")

    assert preview.evidence[0].instruction == "Add."
    assert tree(tmp_path) == before


def packed_logs(folder: Path) -> dict[str, Path]:
    """Write the same two records in every way records lie in files."""
    rows = [{"prompt": f"Do {i}.", "answer": "Done.", "passed": True} for i in range(2)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    files = {
        "a.jsonl": lines, "b.jsonl.gz": gzip.compress(lines), "c.json": json.dumps(rows, indent=1).encode(),
        "d.json": json.dumps({"x": rows[0], "y": rows[1]}).encode(), "e.json": json.dumps({"results": rows}).encode(),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "f.zip", "w") as archive:
        for i, row in enumerate(rows):
            archive.writestr(f"{i}.json", json.dumps(row))
    return {path.name: path for path in folder.iterdir()}


def test_every_reader_is_previewed(tmp_path: Path) -> None:
    """However two records lie in a file, a glob over it shows the same two runs."""
    project = Project.__new__(Project)
    project.folder = tmp_path

    for name in packed_logs(tmp_path):
        (preview,) = previews(project, name)
        assert [(record.instruction, record.response) for record in preview.evidence] == [("Do 0.", "Done."), ("Do 1.", "Done.")], name
        assert (preview.complete, preview.evidence_count, preview.skipped) == (True, 2, []), name


def test_logs_of_which_nothing_is_recognised_show_their_fields(tmp_path: Path) -> None:
    """Where no mapping can be proposed, the fields met are shown all the same."""
    project = Project.__new__(Project)
    project.folder = tmp_path
    project.log("a.jsonl", [{"alpha": "x"}, {"alpha": "y"}])

    result = project.distill("preview", "logs/*.jsonl")

    assert result.code == 0
    assert "alpha" in result.out
    assert "no field was recognised" in result.out


def test_text_of_a_log_moves_no_cursor(tmp_path: Path) -> None:
    """Control characters of a log do not reach the terminal."""
    project = agent_project(tmp_path, [{"q": "\x1b[2Jgone\r\n", "a": "\x07", "re\x1bward": "\x9b", "reward": 1.0}, {"q": {"\x1b": 1}}])

    out = project.distill("preview", "agent").out

    assert [letter for letter in out if not letter.isprintable() and letter != "\n"] == []


@pytest.mark.skipif("otel" not in format_names(), reason="the format is not built in")
def test_runs_that_lie_over_several_records(tmp_path: Path) -> None:
    """Spans of one trace are one run; the others are told as giving no evidence of their own."""
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(MESSAGES[:1]),
        "gen_ai.output.messages": json.dumps(MESSAGES[1:]),
    }
    spans = [
        {"traceId": "a" * 32, "spanId": f"{i + 1:016x}", "name": "chat", "startTimeUnixNano": str(10**18 + i), "endTimeUnixNano": str(10**18 + i + 5),
         "attributes": said} for i in range(3)
    ]  # fmt: skip
    project = Project.__new__(Project)
    project.folder = tmp_path
    project.log("spans.jsonl", spans)

    (preview,) = previews(project, "logs/*.jsonl")

    assert (preview.evidence_count, preview.filtered) == (1, {"same_run": 2})
