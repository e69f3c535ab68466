"""The console script `distill` (SPEC 8): its answers and exit statuses."""

import json
from pathlib import Path

import pytest

from tests.harness import STAGE_NAMES, Project, outcome, sample_project


def test_run_all_is_doit(tmp_path: Path) -> None:
    """`distill run-all` builds as `doit` does, also where no doit.cfg names our command, and is a no-op the second time."""
    project = sample_project(tmp_path / "project")
    (project.folder / "doit.cfg").unlink()

    results = [project.distill("run-all") for _ in range(2)]

    assert [result.code for result in results] == [0, 0]
    assert [len(result.executed) for result in results] == [8, 0]
    assert project.runs[0] in results[1].text


@pytest.mark.parametrize(
    ("given", "written"), [("2026-05-01T12:00:00Z", "2026-05-01T12:00:00Z"), ("2026-05-01T14:00:00+02:00", "2026-05-01T12:00:00Z")]
)
def test_recorded_at_reaches_every_record(tmp_path: Path, given: str, written: str) -> None:
    """SPEC 3: `--recorded-at` is the recorded_at of every record, in UTC, and part of collect's key."""
    project = sample_project(tmp_path / "project")
    project.distill("run-all", "--recorded-at", given)

    rows = project.rows("data/evidence/2026/04/27/outcomes.jsonl")

    assert {row["provenance"]["recorded_at"] for row in rows} == {written}
    assert project.doit(env={"DISTILL_RECORDED_AT": given}).executed == []
    assert "collect" in project.doit().executed
    assert {row["provenance"]["recorded_at"] for row in project.rows("data/evidence/2026/04/27/outcomes.jsonl")} == {"2026-04-27T09:00:00Z"}


def test_run_all_passes_the_verdict_on(built: Project, tmp_path: Path) -> None:
    """`distill run-all` exits 1 where the run did not pass and 2 where it could not run."""
    project = built.copy(tmp_path / "project")
    (project.folder / "logs/2026/04/28/outcomes.jsonl").write_bytes(b"broken\n")
    assert project.distill("run-all").code == 1
    project.write("distill.toml", "nonsense = 1\n")

    result = project.distill("run-all")

    assert (result.code, "Traceback" in result.text) == (2, False)
    assert "nonsense" in result.err


@pytest.mark.parametrize(
    "words",
    [("run-all", "--recorded-at", "yesterday"), ("read", "--run-id", "no-such-run"), ("read", "--run-id", ".."), ("read", "--run-id", "")],
)
def test_what_cannot_be_answered_exits_2(built: Project, words: tuple[str, ...]) -> None:
    """An unknown id or a time nobody can read is one message and exit status 2."""
    result = built.distill(*words)

    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert result.err.strip()


@pytest.mark.parametrize("words", [("run-all",), ("read",), ("search", "x")])
def test_outside_a_project_it_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    """In a folder without project or runs a command exits 2 and leaves nothing behind."""
    project = Project.__new__(Project)
    project.folder = tmp_path

    result = project.distill(*words)

    assert (result.code, list(tmp_path.iterdir())) == (2, [])
    assert "Traceback" not in result.err


def test_read_shows_the_latest_summary(built: Project) -> None:
    """`distill read` prints the summary of the latest full run, by its id too."""
    run = built.runs[0]

    latest, named = built.distill("read"), built.distill("read", "--run-id", run)

    assert (latest.code, latest.out) == (0, named.out)
    assert latest.out == (built.folder / f"reports/distillation/{run}/summary.md").read_text()


def test_read_json_holds_every_document(built: Project) -> None:
    """`distill read --json` is one object with summary, drift and every receipt."""
    found = json.loads(built.distill("read", "--json").out)

    assert found["summary"] == built.document("summary.json")
    assert found["drift"] == built.document("drift.json")
    assert found["receipts"] == built.receipts()
    assert set(found["receipts"]) == set(STAGE_NAMES)
    assert found["problems"] == []


def test_read_with_a_logs_run_id_says_what_became_of_it(built: Project) -> None:
    """An id of the other kind is answered all the same: a run of a log, with where it came from and every place it went to."""
    text, rejected = built.distill("read", "--run-id", "run-1"), built.distill("read", "--run-id", "run-2")

    assert (text.code, rejected.code) == (0, 0)
    assert "is a run in a log, not one of the pipeline" in text.out
    assert "outcomes/2026/04/27/outcomes.jsonl:1 at byte 0" in text.out
    assert "exports/sft/instruction_response.jsonl:" in text.out
    assert "rejected (tests_failed)" in rejected.out
    assert "unsafe_sft_category at exports/quarantine/sft.jsonl:" in rejected.out
    assert "exports/sft/instruction_response.jsonl" not in rejected.out


def test_read_with_an_evidence_id_gives_the_same_facts(built: Project) -> None:
    """An evidence id leads to the same run, and `--json` gives the rows themselves."""
    row = built.rows("data/evidence/2026/04/27/outcomes.jsonl")[0]

    found = json.loads(built.distill("read", "--run-id", row["id"], "--json").out)

    assert found["evidence"] == [["data/evidence/2026/04/27/outcomes.jsonl:1", row]]
    assert [verdict["category"] for _, verdict in found["verdicts"]] == ["accepted"]


def test_runs_lists_every_run_and_the_head(built: Project, tmp_path: Path) -> None:
    """`distill runs` has a line per run, newest last, and the ledger's head."""
    project = built.copy(tmp_path / "project")
    project.replace_text("logs/2026/04/28/outcomes.jsonl", "Parse a date.", "Parse a time.")
    project.doit("score")

    lines = project.distill("runs").out.splitlines()

    assert [line.split()[0] for line in lines[:-1]] == project.runs
    assert ["full" in lines[0], "partial" in lines[1]] == [True, True]
    assert lines[-1].startswith("ledger head ")


@pytest.mark.parametrize(
    ("words", "found"),
    [(("colour",), "Name a colour."), (("Sort", "list"), "Sort a list."), (('"', "colour"), None), (("nothing-like-it",), None)],
)
def test_search_finds_documents_that_hold_all_words(built: Project, words: tuple[str, ...], found: str | None) -> None:
    """`distill search` shows the documents that hold all the words, and says so where none does; quotes are plain text."""
    result = built.distill("search", *words)

    assert (result.code, "Traceback" in result.text) == (0, False)
    if found is None:
        assert result.out.startswith(("nothing holds all of", "Name a colour."))
    else:
        assert found in result.out
        assert "a wrong answer" not in result.out


def test_search_in_a_damaged_index_says_the_way_out(built: Project, tmp_path: Path) -> None:
    """An index that is none is told with its path and the command that mends it, and `distill search` exits 2."""
    project = built.copy(tmp_path / "project")
    project.write("exports/index/playbooks.sqlite", "no index")

    result = project.distill("search", "colour")

    assert (result.code, "Traceback" in result.text) == (2, False)
    assert result.err.startswith("exports/index/playbooks.sqlite: ")
    assert "run doit index" in result.err


def test_no_arguments_show_the_commands(built: Project) -> None:
    """Without arguments the commands are named; a usage error exits 2."""
    assert all(word in built.distill().text for word in ("run-all", "read", "runs", "search"))
    assert built.distill("no-such-command").code == 2


def test_a_summary_that_is_not_the_ledgers_is_told(project: Project) -> None:
    """A verdict edited in a summary is told by `read`, `runs` and the drift of the next run; so is a receipt."""
    (run,) = project.runs
    project.replace_text(f"reports/distillation/{run}/summary.json", '"overall_passed": true', '"overall_passed": false')
    project.replace_text(f"reports/distillation/{run}/score.json", '"unit": "run"', '"unit": "runs"')

    said = [project.distill("read").out, project.distill("read", "--json").out, project.distill("runs").out]
    project.log("2026/05/01/outcomes.jsonl", [outcome("run-9", task_id="task-9")])
    project.doit()

    assert [name for name in ("summary", "score") for text in said if f"{name}.json of run {run} was changed" not in text] == []
    assert [flag.split(":")[0] for flag in project.document("drift.json")["flags"][:2]] == [
        f"{name}.json of run {run} was changed" for name in ("summary", "score")
    ]


@pytest.mark.parametrize("text", ["nonsense\n", "", None])
def test_latest_is_told_and_written_again(project: Project, text: str | None) -> None:
    """`read` says that `latest` names no run; the next doit, which adds nothing, writes it again."""
    latest = project.folder / "reports/distillation/latest"
    latest.unlink() if text is None else latest.write_text(text)

    read = project.distill("read")

    assert (read.code, read.out) == (2, "")
    assert "reports/distillation/latest" in read.err
    assert "run doit" in read.err
    assert (project.doit().code, latest.read_text()) == (0, f"{project.runs[0]}\n")
    assert (len(project.runs), project.doit().executed) == (1, [])


def test_read_says_where_a_record_of_an_array_stood(tmp_path: Path) -> None:
    """What became of a run in an array is told with its place in the array."""
    config = '[[sources]]\nname = "a"\nglob = "logs/a.json"\nreader = "json_array"\n'
    project = Project(tmp_path / "project", config=config + 'fields = { run_id = { path = "id" }, response = { path = "said" } }\n')
    project.write("logs/a.json", '[{"id": "r-0", "said": "no"}, {"id": "r-1", "said": "yes"}]')
    project.doit()

    assert "from a/logs/a.json[1] at byte 30\n" in project.distill("read", "--run-id", "r-1").out
