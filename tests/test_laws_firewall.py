"""SPEC 7, law 6, on whole builds: a leak planted in a stage or in a finished export never stays in an export."""

import pytest

from tests.harness import SFT_LEAK, STAGE_NAMES, Project, outcome, sample_project

SFT = "exports/sft/instruction_response.jsonl"
COMPLETIONS = "exports/sft/prompt_completion.jsonl"
RAG = "exports/rag/playbooks.jsonl"
PAIRS = "exports/preference/chosen_rejected.jsonl"
INDEX = "exports/index/playbooks.sqlite"

UNREVIEWED = SFT_LEAK.replace("one.category == 'rejected'", "one.reasons[0] == 'no_signal'")
RAG_LEAK = """
def planted(*given):
    one = honest(*given)
    rows = []
    for row in one.rows:
        if row.target == stage.RAG and row.value.failed_run_ids:
            text = row.value.embedding_text + ' a wrong answer to the first task a wrong answer to the second task'
            row = row._replace(value=msgspec.structs.replace(row.value, embedding_text=text))
        rows.append(row)
    return msgspec.structs.replace(one, rows=tuple(rows))
"""
RAG_RUN = """
def planted(one):
    return None
"""
SELF_PAIR = """
def planted(pair):
    return honest(pair._replace(rejected=msgspec.structs.replace(pair.rejected, run_id=pair.chosen.run_id)))
"""
EQUAL_TEXT = SELF_PAIR.replace("run_id=pair.chosen.run_id", "turns=pair.chosen.turns")
INDEX_LEAK = """
class planted(honest):
    def add(self, rows):
        one, *others = rows
        super().add([msgspec.structs.replace(one, embedding_text=msgspec.Raw(b'"a wrong answer to the first task"')), *others])
"""
OTHER_ID = """
def planted(pair):
    line = honest(pair)
    return line.replace(line[:32], line[:28] + b'fade')
"""
SWAPPED = """
def planted(pair):
    return honest(pair._replace(chosen=pair.rejected, rejected=pair.chosen))
"""
LEAKS = {
    "a rejected run": ("export-sft", "units.export_sft:EXPORT", SFT_LEAK, SFT, "forbidden_category"),
    "an unreviewed run": ("export-sft", "units.export_sft:EXPORT", UNREVIEWED, COMPLETIONS, "forbidden_category"),
    "a rejected text": ("export-rag", "units.export_rag:playbook_outcome", RAG_LEAK, RAG, "rejected_text"),
    "a document of a rejected run": ("export-rag", "units.export_rag:keep_out", RAG_RUN, RAG, "unsafe_document"),
    "a self-pair": ("export-preference", "units.export_preference:render_pair", SELF_PAIR, PAIRS, "self_pair"),
    "equal texts": ("export-preference", "units.export_preference:render_pair", EQUAL_TEXT, PAIRS, "self_pair"),
    "a swapped pair": ("export-preference", "units.export_preference:render_pair", SWAPPED, PAIRS, "forbidden_pair"),
    "a pair under another id": ("export-preference", "units.export_preference:render_pair", OTHER_ID, PAIRS, "forbidden_pair"),
    "an altered row": ("index", "stages.index:IndexWriter", INDEX_LEAK, INDEX, "unknown_row"),
}
"""Stage, place of the plant, plant, export that leaks, check that finds it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was built once, with a run nobody judged; tests work on copies."""
    project = sample_project(tmp_path_factory.mktemp("built") / "project")
    project.log("2026/04/29/outcomes.jsonl", [outcome("run-9", task_id="task-9", prompt="Count to nine.", tests=None)])
    assert project.doit().code == 0
    return project


def add_a_run(project: Project) -> None:
    """Change the inputs of every stage."""
    project.log("2026/05/01/outcomes.jsonl", [outcome("run-10", task_id="task-10", prompt="Count to ten.")])


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_fails_its_stage_with_path_and_line(project: Project, name: str) -> None:
    """SPEC 7, law 6: a leak planted where a stage makes its rows fails it with path and line, and no export of it stays in place."""
    stage, place, body, path, check = LEAKS[name]
    project.plant(place, body)
    add_a_run(project)

    result = project.doit()

    receipts = project.receipts()
    errors = [error for error in receipts[stage]["validation"]["errors"] if error.startswith(f"firewall: {path}:")]
    assert result.code == 1
    assert f"{path}:" in result.text
    assert errors
    assert all(error.split(":")[2].isdigit() and f"[{check}]" in error for error in errors)
    assert receipts[stage]["decision"] == "failed"
    assert not (project.folder / path).exists()
    assert path in project.held("leaked")
    assert path in project.held("stale")
    assert (project.document("drift.json")["severity"], project.document("summary.json")["overall_passed"]) == ("alert", False)
    assert project.temporaries() == []


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_not_tried_again_and_blocks_those_below(project: Project, name: str) -> None:
    """SPEC 7, law 6: the next doit exits 1 without executing the stage again; what is below it is blocked, the rest is built."""
    stage, place, body, path, _ = LEAKS[name]
    project.plant(place, body)
    add_a_run(project)
    first = project.doit()
    runs = project.runs

    again = project.doit()

    assert (first.code, again.code, again.executed, project.runs) == (1, 1, ["summary"], runs)
    assert path in again.text
    decisions = {name: receipt["decision"] for name, receipt in project.receipts().items()}
    below = {"index"} if stage == "export-rag" else set()
    assert decisions == {one: "failed" if one == stage else "blocked" if one in below else "executed" for one in STAGE_NAMES}
    assert all(not (project.folder / INDEX).exists() for _ in below)


def test_a_leak_is_tried_again_where_an_input_changed_meanwhile(project: Project) -> None:
    """What failed while others wrote to its inputs is no failure of the bytes that lie there now."""
    body = """
def planted(shop, outputs):
    if os.path.exists('touch'):
        for ref in shop.stage.inputs(shop.work.plan):
            os.utime(shop.work.project / ref.path)
    raise stage.ContaminationError(['a row leaked'])
"""
    project.plant(
        "units.export_sft:run_units",
        "from distill.errors import ContaminationError\nstage.ContaminationError = ContaminationError\n" + body,
    )
    project.write("touch", "")

    texts = [project.doit("--always").text, project.doit().text]
    (project.folder / "touch").unlink()
    texts += [project.doit().text, project.doit().text]

    assert ["export-sft: failed" in text for text in texts] == [True, True, True, False]
    assert "a row leaked" in texts[3]


def test_a_leak_with_unchanged_inputs_leaves_the_good_export(built: Project, project: Project) -> None:
    """SPEC 7, law 8: where the inputs are those of the export in place, a leak of a forced run leaves it there."""
    project.plant("units.export_sft:EXPORT", SFT_LEAK)

    assert project.doit("--always").code == 1

    assert project.data_files()[SFT] == built.data_files()[SFT]
    assert project.held("leaked") == [SFT, COMPLETIONS]
    assert project.held("stale") == []


@pytest.mark.parametrize("way", ["--always", "changed inputs", "forget"])
def test_a_repaired_stage_is_executed_again(project: Project, way: str) -> None:
    """SPEC 7, law 6: the same code is not tried again by itself; `--always`, `forget` or other inputs execute it, and it passes."""
    project.plant("units.export_sft:EXPORT", SFT_LEAK)
    add_a_run(project)
    project.doit()
    project.repair()
    assert project.doit().code == 1
    if way == "changed inputs":
        project.replace_text("logs/2026/05/01/outcomes.jsonl", "ten", "eleven")
    if way == "forget":
        project.doit("forget", "export_sft")

    results = [project.doit("--always") if way == "--always" else project.doit(), project.doit("--always"), project.doit()]

    assert project.receipts()["export-sft"]["decision"] == "executed"
    assert project.document("summary.json")["overall_passed"] is True
    assert (results[0].code, results[-1].code) == (0, 0)
    assert {row["quality_score"] for row in project.rows(SFT)} <= {"accepted", "partially_accepted"}


@pytest.mark.parametrize("words", [("-n", "2"), ("-r", "zero"), ("--continue",), (SFT,), ("--always",), ("export_sft",)])
def test_a_leak_is_told_however_doit_is_called(project: Project, words: tuple[str, ...]) -> None:
    """SPEC 7, law 6: a leak ends in exit status 1, a summary and a receipt, whatever options or selection doit is given."""
    project.plant("units.export_sft:EXPORT", SFT_LEAK)
    add_a_run(project)

    result = project.doit(*words)

    assert result.code == 1
    assert len(project.runs) == 2
    summary = project.document("summary.json")
    assert summary["overall_passed"] is False
    assert project.receipts()["export-sft"]["decision"] == "failed"
    assert summary["scope"] == ("partial" if words[0].startswith("export") else "full")


@pytest.mark.parametrize("path", [SFT, COMPLETIONS, RAG, PAIRS])
def test_a_leak_in_a_finished_export_is_kept_and_undone(built: Project, project: Project, path: str) -> None:
    """SPEC 7, law 6: a row put into a finished export is noticed, kept aside, noted in the ledger and gone, and the run passes."""
    export = project.folder / path
    forged = export.read_bytes().replace(b"answer of run-1", b"a wrong answer to the first task")
    assert forged != export.read_bytes()
    export.write_bytes(forged)

    result = project.doit()

    assert result.code == 0
    assert project.data_files() == built.data_files()
    assert project.held("tampered") == [path]
    assert [line["path"] for line in project.ledger if line["kind"] == "tamper"] == [path]


def test_a_verdict_that_changes_takes_the_row_away(project: Project) -> None:
    """SPEC 7, law 6: pooled verdicts count: a person's rejection of a run that passed its tests takes it out of every export."""
    before = project.data_files()[SFT]
    assert b"run-1" in before
    project.log(
        "2026/05/02/scrum_reviews.jsonl",
        [
            {
                "run_id": "run-1",
                "task_id": "task-1",
                "created_at": "2026-05-02T10:00:00Z",
                "reviewer": "human:reviewer-1",
                "verdict": "reject",
            }
        ],
    )

    assert project.doit().code == 0

    assert not any(row["source_run_id"] == "run-1" for path in (SFT, COMPLETIONS) for row in project.rows(path))
    assert not any("run-1" in row["source_run_ids"] for row in project.rows(RAG))
    assert not any(row["chosen_run_id"] == "run-1" for row in project.rows(PAIRS))
