"""The guard around doit: each fact of DESIGN 2's table as a test that fails where doit alone decides.

Forged targets are in `test_laws_tamper.py`, kills in `test_laws_kill.py`, two processes in `test_laws.py`.
"""

import os
from pathlib import Path

import pytest

from tests.harness import CONFIG, STAGE_NAMES, Project, outcome, sample_project

LOG = "logs/2026/04/28/outcomes.jsonl"
SFT = "exports/sft/instruction_response.jsonl"
PAIRS = "exports/preference/chosen_rejected.jsonl"
RAISING = "def planted(*given):\n    raise RuntimeError('the roof is open')\n"
CHANGING = """
def planted(logs, config):
    def each():
        for log, lines in logs:
            yield log, edited(log, lines)

    def edited(log, lines):
        yield from lines
        if '04/28' in log.partition:
            change(log.file.path)

    yield from honest(each(), config)


def change(path):
    data = open(path, 'rb').read()
    CHANGE
"""


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project, known to the store as it lies there."""
    copy = built.copy(tmp_path / "project")
    assert copy.doit().executed == []
    return copy


def executed(project: Project) -> list[str]:
    """Return the stages the newest run executed."""
    return [name for name, receipt in project.receipts().items() if receipt["decision"] == "executed"]


def test_every_finished_stage_is_committed_at_once(tmp_path: Path) -> None:
    """Stages that finished are in the store before the run ends, where doit itself writes at the end of the whole run."""
    project = sample_project(tmp_path / "project")
    project.plant("units.export_rag:run_units", "def planted(*given):\n    os._exit(9)\n")

    assert project.doit().code == 9

    assert {name for (name,) in project.query("SELECT stage FROM traces")} >= {"collect", "score", "extract-playbooks"}
    (project.folder / "planted").unlink()
    assert {"collect", "score", "extract_playbooks"}.isdisjoint(project.doit().executed)


def test_asking_for_the_status_changes_nothing(project: Project) -> None:
    """`doit list -s`, `info` and `list` compare and change no file, also where a target was forged and a log changed."""
    (project.folder / SFT).write_bytes(b"forged\n")
    project.replace_text(LOG, "Parse a date.", "Parse a time.")
    tables = ("SELECT * FROM traces", "SELECT * FROM status", "SELECT * FROM claims", "SELECT * FROM events", "SELECT * FROM runs")
    before, rows = project.tree(), [project.query(table) for table in tables]

    results = [project.doit(*words) for words in (("list", "-s"), ("info", "export_sft"), ("list", "--all"))]

    assert [result.code for result in results] == [0, 1, 0]
    assert "R collect" in results[0].out
    assert project.tree() == before
    assert [project.query(table) for table in tables] == rows


def test_list_names_every_stage_and_info_says_why(project: Project) -> None:
    """`doit list` has a line per stage and the summary; `doit info` names dependencies, targets and the reason."""
    (project.folder / SFT).unlink()

    listing, info = project.doit("list"), project.doit("info", "export_sft")

    assert {line.split()[0] for line in listing.out.splitlines() if line} == {name.replace("-", "_") for name in STAGE_NAMES} | {"summary"}
    assert SFT in info.out
    assert "data/scored-runs/resolution.jsonl" in info.out
    assert f"missing: {SFT}" in info.out


@pytest.mark.parametrize(
    "words",
    [("-n", "2"), ("-n", "2", "-P", "thread"), ("-r", "zero"), ("--continue",), (SFT,), ("--always",), ("-s", "export_sft"), ("-v0",)],
)
def test_a_failing_stage_always_leaves_a_summary(project: Project, words: tuple[str, ...]) -> None:
    """A stage that raised ends in a run directory and exit status 1 whatever options or selection doit is given."""
    project.plant("units.exports:export_unit", RAISING)
    project.replace_text(LOG, "Parse a date.", "Parse a time.")
    if "-s" in words:
        (project.folder / SFT).unlink()

    result = project.doit(*words)

    assert result.code == 1
    assert "Traceback" not in result.text
    assert len(project.runs) == 2
    assert project.document("summary.json")["overall_passed"] is False
    assert project.receipts()["export-sft"]["decision"] == "failed"


def test_the_run_command_must_be_ours(project: Project) -> None:
    """Where doit's own `run` would be used nothing is built: exit 2 with the lines to add."""
    (project.folder / "doit.cfg").unlink()

    result = project.doit()

    assert result.code == 2
    assert "Traceback" not in result.text
    assert '[tool.doit.plugins.command]\n    run = "distill.build.command:Run"' in result.text
    assert "[COMMAND]\n    run = distill.build.command:Run" in result.text
    project.write("pyproject.toml", '[tool.doit.plugins.command]\nrun = "distill.build.command:Run"\n')
    assert project.doit().code == 0


@pytest.mark.parametrize("words", [("-f",), ("run", "-f")])
def test_from_another_folder_it_refuses(project: Project, tmp_path: Path, words: tuple[str, ...]) -> None:
    """`doit -f` from another folder, where doit does not see our command, exits 2 and builds nothing."""
    other = Project.__new__(Project)
    other.folder = tmp_path / "elsewhere"
    other.folder.mkdir()

    result = other.doit(*words, str(project.folder / "dodo.py"))

    assert (result.code, list(other.folder.iterdir())) == (2, [])
    assert "distill.build.command:Run" in result.text


@pytest.mark.parametrize("name", ["dbm", "json", "sqlite3"])
def test_another_backend_is_refused(project: Project, name: str) -> None:
    """Another --backend of doit exits 2, since its rows would decide."""
    result = project.doit("--backend", name)

    assert result.code == 2
    assert "backend is not distill's" in result.text


@pytest.mark.parametrize(("old", "new", "said"), [
    ("root", "rot", "root"), ('"outcomes"\npartition', '"outcome"\npartition', "outcomes"), ("[[sources]]", "[[sources", "distill.toml"),
    ("**/outcomes*.jsonl", "nothing/*.jsonl", "no file matches"),
])  # fmt: skip
@pytest.mark.parametrize("words", [(), ("list",), ("clean",)])
def test_a_config_error_is_told_at_load(project: Project, old: str, new: str, said: str, words: tuple[str, ...]) -> None:
    """A wrong config is one message and exit 2 for every command, never a traceback, and nothing is touched."""
    project.write("distill.toml", CONFIG.replace(old, new, 1))
    before = project.tree()

    result = project.doit(*words)

    assert result.code == 2
    assert "Traceback" not in result.text
    assert said in result.text
    assert project.tree() == before


@pytest.mark.parametrize(("place", "words"), [(".distill", ()), (".distill", ("list",)), (".distill/lock", ())])
def test_a_store_that_cannot_be_opened_is_told_at_load(tmp_path: Path, place: str, words: tuple[str, ...]) -> None:
    """What stands where the build's own folder or lock must be is one line and exit status 2, not a traceback and 3."""
    project = sample_project(tmp_path / "project")
    (project.folder / place).mkdir(parents=True) if place != ".distill" else project.write(place, "")

    result = project.doit(*words)

    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)
    assert place in result.err


def test_an_edit_of_a_log_with_its_time_put_back_is_noticed(project: Project) -> None:
    """A log changed without change of size and with its mtime restored is read again."""
    path = project.folder / LOG
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"Parse a date.", b"Parse a time."))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert project.doit().code == 0

    assert project.receipts()["collect"]["decision_reason"] == "changed: outcomes/2026/04/28/outcomes.jsonl"
    assert b"Parse a time." in project.data_files()[SFT]


def test_a_touched_log_reruns_nothing_and_is_hashed_once(project: Project) -> None:
    """A touched log is hashed once, reruns nothing, and later no-ops trust its new fingerprint."""
    os.utime(project.folder / LOG, (1, 1))
    assert project.doit().executed == []
    seen = project.query("SELECT seen, mtime FROM files WHERE path = ?", LOG)
    assert seen[0][1] == 10**9
    project.doit()
    seen = project.query("SELECT seen, mtime FROM files WHERE path = ?", LOG)

    results = [project.doit() for _ in range(2)]

    assert [result.executed for result in results] == [[], []]
    assert project.query("SELECT seen, mtime FROM files WHERE path = ?", LOG) == seen


@pytest.mark.parametrize(("setting", "stages"), [
    ("judge_confidence = 0.5", ["score"]),
    ('sft = { include = ["accepted", "retried", "with_changes"] }', ["export-sft", "export-preference"]),
    ('playbooks = { group_by = "model" }', ["extract-playbooks", "export-rag", "index"]),
    ("preference = { max_pairs_per_task = 1 }", ["export-preference"]),
    ('human_reviewers = ["human:*", "lead:*"]', ["collect"]),
    ("max_skipped = 3", ["collect"]),
    ("min_rows = { rag = 1 }", ["export-rag"]),
    ("drift = { warn_pct = 30 }", []),
])  # fmt: skip
def test_a_setting_reruns_the_stages_that_read_it(project: Project, setting: str, stages: list[str]) -> None:
    """A changed setting executes the stages that read it, and those below only where their inputs changed; none where none reads it."""
    project.write("distill.toml", f"{setting}\n{CONFIG}")

    result = project.doit()

    assert result.code == 0
    assert [name.replace("_", "-") for name in result.executed if name != "summary"] == stages
    if stages:
        assert executed(project) == stages
        assert project.receipts()[stages[0]]["decision_reason"] == "changed: settings"
    assert project.doit().executed == []


def test_an_absent_log_is_no_crash(project: Project) -> None:
    """A log that vanished drops its partition: the list of inputs changed, its targets go, and the receipt names it."""
    (project.folder / LOG).unlink()

    result = project.doit()

    receipt = project.receipts()["collect"]
    assert result.code == 0
    assert receipt["decision_reason"] == "changed: outcomes/2026/04/28/outcomes.jsonl"
    assert receipt["validation"]["warnings"] == ["partition vanished since the prior run: 2026/04/28/outcomes.jsonl"]
    assert not (project.folder / "data/evidence/2026/04/28").exists()
    assert any("partition vanished" in flag for flag in project.document("drift.json")["flags"])
    assert [line["kind"] for line in project.ledger] == ["run", "run"]


def test_an_absent_intermediate_is_rebuilt_before_it_is_needed(project: Project) -> None:
    """An absent file that a selected stage reads is no doit error: the stage that writes it is executed first."""
    (project.folder / "data/scored-runs/resolution.jsonl").unlink()

    assert project.doit("index").code == 0

    assert project.receipts()["score"]["decision_reason"] == "missing: data/scored-runs/resolution.jsonl"


def test_a_new_log_changes_the_list_of_inputs(project: Project) -> None:
    """A log added executes collect and what its rows reach."""
    project.log("2026/05/01/outcomes.jsonl", [outcome("run-7", task_id="task-7")])

    assert project.doit().code == 0

    assert executed(project) == list(STAGE_NAMES)
    assert project.receipts()["collect"]["decision_reason"] == "changed: outcomes/2026/05/01/outcomes.jsonl"


@pytest.mark.parametrize("change", ["data = data.replace(b'Parse', b'Pause')", "data = data[:-5]", "os.unlink(path)"])
def test_a_log_edited_while_it_is_read_fails_collect(project: Project, change: str) -> None:
    """A log that changes, shrinks or is replaced while it is read fails collect with its name, and the next doit heals it."""
    kept = (project.folder / LOG).read_bytes()
    project.plant(
        "collect",
        CHANGING.replace(
            "CHANGE",
            f"stat = os.stat(path)\n    {change}\n    open(path, 'wb').write(data)\n    os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))",
        ),
    )

    result = project.doit("--always")

    assert result.code == 1
    receipt = project.receipts()["collect"]
    assert receipt["decision"] == "failed"
    assert receipt["validation"]["errors"][0].startswith("outcomes/2026/04/28/outcomes.jsonl: changed while it was read")
    (project.folder / "planted").unlink()
    (project.folder / LOG).write_bytes(kept)
    assert project.doit().code == 0


def test_a_log_that_only_grows_while_it_is_read_is_accepted(project: Project) -> None:
    """A log that grows is read to its length at the start; the next doit reads the rest."""
    size = (project.folder / LOG).stat().st_size
    more = '{"run_id": "run-9", "task_id": "task-9", "created_at": "2026-04-28T09:00:00Z", "response": "nine", "prompt": "Count."}\\n'
    project.plant("collect", CHANGING.replace("CHANGE", f"if b'run-9' not in data:\n        open(path, 'ab').write(b'{more}')"))

    assert project.doit("--always").code == 0

    file = next(file for file in project.receipts()["collect"]["inputs"]["files"] if "04/28" in file["path"])
    assert (file["bytes"], file["record_count"]) == (size, 1)
    (project.folder / "planted").unlink()
    assert project.doit().code == 0
    assert len(project.rows("data/evidence/2026/04/28/outcomes.jsonl")) == 2


def test_equal_bytes_stop_the_rebuild(project: Project) -> None:
    """Early cutoff: a stage whose output is rebuilt with the same bytes executes nothing below it."""
    path = project.folder / LOG
    path.write_bytes(path.read_bytes() + b"\n\n")

    assert project.doit().code == 0

    assert executed(project) == ["collect"]
    assert project.receipts()["score"]["decision"] == "up_to_date"
    assert project.receipts()["score"]["carried_from"] == project.runs[0]


@pytest.mark.parametrize(("words", "stages"), [(("forget",), list(STAGE_NAMES)), (("forget", "export_sft"), ["export-sft"])])
def test_forget_costs_work_and_no_truth(built: Project, project: Project, words: tuple[str, ...], stages: list[str]) -> None:
    """`doit forget` makes stages execute again and changes no byte; a forged target is kept all the same."""
    assert project.doit(*words).code == 0
    (project.folder / SFT).write_bytes(b"forged\n")

    assert project.doit().code == 0

    assert executed(project) == stages
    assert project.data_files() == built.data_files()
    assert project.held("tampered") == [SFT]


def test_clean_removes_what_was_built_and_nothing_else(project: Project) -> None:
    """`doit clean` removes data but what is held, and every target; logs, reviews, runs and ledger stay; the next doit rebuilds."""
    before = project.data_files()
    (project.folder / SFT).write_bytes(b"forged\n")
    project.doit()
    project.write("reviews/notes.txt", "mine")
    project.write("data/other.txt", "left over")
    kept = {path: state for path, state in project.tree().items() if not path.startswith(("data/", "exports/")) or "held" in path}

    dry = project.doit("clean", "-n")
    assert project.data_files() != {}
    result = project.doit("clean")

    assert (dry.code, result.code) == (0, 0)
    assert project.tree() == kept
    assert project.doit().code == 0
    assert project.data_files() == before
    assert [line["kind"] for line in project.ledger].count("tamper") == 1


def test_cleaning_one_stage_leaves_the_others(project: Project) -> None:
    """`doit clean export_sft` removes the targets of that stage alone."""
    before = project.data_files()

    assert project.doit("clean", "export_sft").code == 0

    gone = {path for path in before if path not in project.data_files()}
    assert gone == {SFT, "exports/sft/prompt_completion.jsonl", "exports/quarantine/sft.jsonl"}
    project.doit()
    assert project.data_files() == before


def test_a_selection_reaches_what_it_needs(tmp_path: Path) -> None:
    """A selected stage builds what it needs, writes a partial run with those receipts, and a target's path selects its stage."""
    project = sample_project(tmp_path / "project")

    result = project.doit(PAIRS)

    assert (result.code, result.executed) == (0, ["collect", "score", "export_preference", "summary"])
    assert list(project.receipts()) == ["collect", "score", "export-preference"]
    assert project.document("summary.json")["scope"] == "partial"
    assert not (project.folder / SFT).exists()


def test_other_projects_of_the_environment_keep_doits_own_behaviour(tmp_path: Path) -> None:
    """A dodo.py without our tasks runs as doit runs it, with our package installed."""
    other = Project.__new__(Project)
    other.folder = tmp_path
    other.write("dodo.py", "def task_hello():\n    return {'actions': ['echo hello > out'], 'targets': ['out']}\n")

    assert (other.doit().code, other.doit("list").code) == (0, 0)

    assert (tmp_path / "out").read_text() == "hello\n"
    assert not (tmp_path / ".distill").exists()


def test_the_order_of_keys_in_the_config_means_nothing(tmp_path: Path) -> None:
    """Settings that are only written in another order run nothing again."""
    mapped = '[[sources]]\nname = "m"\nroot = "logs"\nglob = "m*.jsonl"\nreader = "jsonl"\n[sources.fields]\n'
    fields = ['task_id = { path = "t" }', 'response = { path = "r" }', 'instruction = { path = "q" }']
    project = Project(tmp_path / "project", config=CONFIG + mapped + "\n".join(fields) + "\n")
    project.log("outcomes.jsonl", [outcome("run-1")])
    project.log("m.jsonl", [{"t": "1", "q": "Name a colour.", "r": "green"}])
    assert project.doit().code == 0

    project.write("distill.toml", CONFIG + mapped + "\n".join(reversed(fields)) + "\n")

    assert project.doit().executed == []
