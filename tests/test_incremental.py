"""Which units run after a change: those whose bytes or whose code and settings changed, and no others; and what is kept is right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from distill.units.parts import ORDERED, Part
from tests.harness import CONFIG, DODO, STAGE_NAMES, Project, many_outcomes, outcome, sample_project

LOG = "logs/2026/outcomes.jsonl"
SMALL = """from distill.units import cutting, jobs
cutting.cut_file.__kwdefaults__['size'] = 8000
jobs._SMALL = 1
"""
INLINE = {"DISTILL_ENGINE": "inline"}
MORE = [outcome("run-more", task_id="task-more", prompt="Do one more.", response="one more answer")]
MATE = outcome("run-mate", task_id="task-3", prompt="Solve problem 3.", response="an answer of its own")
PREFERENCE = "exports/preference/chosen_rejected.jsonl"
Made = dict[str, set[str]]


def small_project(folder: Path, *, more: list[dict[str, Any]] | None = None) -> Project:
    """Return a project whose log is cut into many units, not built yet."""
    project = Project(folder)
    project.write("dodo.py", SMALL + DODO)
    project.log("2026/outcomes.jsonl", [*many_outcomes(200), *(more or [])])
    project.log("2025/outcomes.jsonl", [])
    project.log("2027/outcomes.jsonl", [outcome("run-late", task_id="task-late", prompt="Be late.")])
    return project


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, bytes]]:
    """The data files of a build in one go, without and with one row more."""
    found = {}
    for more in (False, True):
        project = small_project(tmp_path_factory.mktemp("undisturbed") / "project", more=MORE if more else None)
        assert project.doit(env=INLINE).code == 0
        found[more] = project.data_files()
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A small project that was built once where it lies."""
    made = small_project(tmp_path / "project")
    assert made.doit(env=INLINE).code == 0
    return made


def part_files(project: Project, stage: str) -> list[Path]:
    """Return the parts of a stage."""
    return sorted(path for path in (project.folder / ".distill/parts" / stage).iterdir() if ORDERED not in path.name)


def is_unit(path: Path) -> bool:
    """Tell whether a part is that of a unit of an input, not of a bucket of keys."""
    data = path.read_bytes()
    part = msgspec.msgpack.decode(data[-72 - int.from_bytes(data[-72:-64], "little") : -72], type=Part)
    return bool({"records", "met"} & set(part.facts))


def watch_parts(project: Project) -> Callable[[], Made]:
    """Return a function that tells, by stage, the units made since now."""

    def state() -> dict[tuple[str, str], tuple[int, int]]:
        return {
            (name, path.name): (path.stat().st_ino, path.stat().st_mtime_ns)
            for name in STAGE_NAMES[:-1] for path in part_files(project, name)
        }  # fmt: skip

    before = state()

    def made() -> Made:
        changed = [key for key, found in state().items() if before.get(key) != found]
        units = [(name, part) for name, part in changed if is_unit(project.folder / ".distill/parts" / name / part)]
        return {name: {part for stage, part in units if stage == name} for name in {stage for stage, _ in units}}

    return made


def count(made: Made) -> dict[str, int]:
    """Return how many units each stage made."""
    return {name: len(parts) for name, parts in made.items()}


def append(project: Project, row: dict[str, Any] = MORE[0]) -> None:
    """Put one row more at the end of the log of many units."""
    with (project.folder / LOG).open("ab") as file:
        file.write(json.dumps(row).encode() + b"\n")


def test_a_project_of_many_units_is_meant(project: Project) -> None:
    """The log of these tests is many units, so that one is few."""
    assert all(sum(map(is_unit, part_files(project, name))) > 8 for name in ("collect", "score", "export-sft", "export-preference"))


def test_one_row_more_runs_one_unit_of_each_stage(project: Project, undisturbed: dict[bool, dict[str, bytes]]) -> None:
    """One row appended to a log of many units runs one unit of every stage, and gives the bytes of a build in one go."""
    made = watch_parts(project)
    append(project)

    assert project.doit(env=INLINE).code == 0

    assert project.data_files() == undisturbed[True]
    found = count(made())
    assert (found["collect"], found["score"], found["export-sft"], found["export-preference"]) == (1, 1, 1, 1)


def test_what_could_not_be_read_is_taken_over_too(tmp_path: Path) -> None:
    """Rows of the quarantine of several units stand there still when another unit is made anew."""
    projects = [small_project(tmp_path / name) for name in ("project", "fresh")]
    rows: list[Any] = many_outcomes(200)
    rows[20::60] = [f"not a record {number}" for number in range(3)]
    for project in projects:
        project.write("distill.toml", f"max_skipped = 0.5\n{CONFIG}")
        project.log("2026/outcomes.jsonl", rows)
    assert projects[0].doit(env=INLINE).code == 0
    for project in projects:
        append(project)

    assert [project.doit(env=INLINE).code for project in projects] == [0, 0]

    assert projects[0].data_files() == projects[1].data_files()
    assert len(projects[0].rows("exports/quarantine/collect.jsonl")) == 3


def test_nothing_changed_runs_no_unit(project: Project) -> None:
    """A log that was touched, and nothing at all, run no unit."""
    made = watch_parts(project)
    (project.folder / LOG).touch()

    results = [project.doit(env=INLINE) for _ in range(2)]

    assert [result.code for result in results] == [0, 0]
    assert made() == {}


def test_always_runs_every_unit(project: Project, undisturbed: dict[bool, dict[str, bytes]]) -> None:
    """`--always` takes over no part, and gives the same bytes."""
    made = watch_parts(project)
    names = {name: {path.name for path in part_files(project, name) if is_unit(path)} for name in STAGE_NAMES[:-1]}

    assert project.doit("--always", env=INLINE).code == 0

    found = made()
    assert {name: found.get(name, set()) for name in ("collect", "score", "export-sft", "export-preference")} == {
        name: names[name] for name in ("collect", "score", "export-sft", "export-preference")
    }
    assert project.data_files() == undisturbed[False]


@pytest.mark.parametrize(("setting", "stages"), [
    ("preference = { max_pairs_per_task = 1 }", {"export-preference"}),
    ('sft = { include = ["accepted"] }', {"export-sft", "export-preference"}),
    ("judge_confidence = 0.7", {"score"}),
])  # fmt: skip
def test_a_changed_setting_runs_the_units_of_its_stages(project: Project, setting: str, stages: set[str]) -> None:
    """A setting runs every unit of the stages that read it, and no unit of another one."""
    made = watch_parts(project)
    everything = {name: sum(map(is_unit, part_files(project, name))) for name in stages}
    project.write("distill.toml", f"{setting}\n{CONFIG}")

    assert project.doit(env=INLINE).code == 0

    assert count(made()) == everything


@pytest.mark.parametrize("what", [".distill", ".distill/parts", ".distill/parts/cuts", ".distill/parts/collect", ".distill/parts/score"])
def test_what_the_build_keeps_for_itself_costs_work_and_no_truth(
    project: Project, undisturbed: dict[bool, dict[str, bytes]], what: str
) -> None:
    """Where the build's own folder or any part of it is deleted the next build gives the same bytes, with a row more too."""
    shutil.rmtree(project.folder / what)
    results = [project.doit(env=INLINE)]
    same = project.data_files()
    shutil.rmtree(project.folder / what, ignore_errors=True)  # where nothing ran nothing is there
    append(project)

    results.append(project.doit(env=INLINE))

    assert [result.code for result in results] == [0, 0]
    assert same == undisturbed[False]
    assert project.data_files() == undisturbed[True]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"", "cut": lambda data: data[: len(data) // 2], "rubbish": lambda data: b"rubbish" * 100,
    "a flipped byte": lambda data: data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :],
    "a flipped byte near the end": lambda data: data[:-30] + bytes([data[-30] ^ 1]) + data[-29:],
    "another number": lambda data: data.replace(b"\xa8accepted", b"\xa8accepteD"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", [*STAGE_NAMES[:-1], "cuts"])
def test_a_damaged_part_is_made_anew(project: Project, undisturbed: dict[bool, dict[str, bytes]], stage: str, damage: str) -> None:
    """Where every part of a stage is damaged the next build makes them anew, and its bytes and books are right."""
    for path in (project.folder / ".distill/parts" / stage).iterdir():
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    books = {name: receipt["stats"]["considered"] for name, receipt in project.receipts().items()}
    append(project)

    result = project.doit(env=INLINE)

    assert (result.code, "Traceback" in result.text) == (0, False), result.text
    assert project.data_files() == undisturbed[True]
    assert all(receipt["stats"]["considered"] > books[name] for name, receipt in project.receipts().items() if name != "index")


def test_parts_under_each_others_names_are_made_anew(project: Project, undisturbed: dict[bool, dict[str, bytes]]) -> None:
    """Parts that were swapped are not taken for each other."""
    for stage in STAGE_NAMES[:-1]:
        paths = part_files(project, stage)
        contents = [path.read_bytes() for path in paths]
        for path, data in zip(paths, [*contents[1:], *contents[:1]], strict=True):
            path.write_bytes(data)
    append(project)

    assert project.doit(env=INLINE).code == 0

    assert project.data_files() == undisturbed[True]


SWAPPING = """
def planted(context, payload):
    if any(units[0].end > 0 for number, units in payload[1]):
        with open('logs/2026/outcomes.jsonl', 'r+b') as file:
            data = file.read().replace(b'Solve', b'SOLVE')
            file.seek(0)
            file.write(data)
    return honest(context, payload)
"""


@pytest.mark.parametrize("place", ["units.collect:collect_unit", "units.score:score_unit", "units.exports:export_unit"])
def test_bytes_read_in_between_are_not_kept(project: Project, undisturbed: dict[bool, dict[str, bytes]], place: str) -> None:
    """What a unit read from a file that changed under it fails the stage and is not taken over when the file is as it was."""
    target = LOG if "collect" in place else "data/evidence/2026/outcomes.jsonl"
    kept = (project.folder / target).read_bytes()
    project.plant(place, SWAPPING.replace("logs/2026/outcomes.jsonl", target))
    project.write("dodo.py", SMALL + (project.folder / "dodo.py").read_text())
    failed = project.doit("--always", env=INLINE)
    (project.folder / "planted").unlink()
    (project.folder / target).write_bytes(kept)

    result = project.doit(env=INLINE)

    assert (failed.code, result.code) == (1, 0)
    assert project.data_files() == undisturbed[False]


COPYING = """
def planted(context, payload):
    told = honest(context, payload)
    for ranges, seat in payload:
        if seat.path == 'TARGET' and any(one.length for one in ranges):
            with open(seat.temporary, 'r+b') as file:
                file.seek(seat.find_start())
                first = file.read(1)
                file.seek(-1, 1)
                file.write(b'[' if first == b'{' else b'!')
            open('copied', 'w').close()
    return told
"""


@pytest.mark.parametrize("target", ["data/evidence/2026/outcomes.jsonl", "data/scored-runs/2026/outcomes.jsonl", PREFERENCE])
@pytest.mark.parametrize("worth", ["1", "1 << 20"], ids=["in threads", "at once"])
def test_rows_that_are_copied_wrongly_are_made_anew(tmp_path: Path, target: str, worth: str) -> None:
    """A row taken over from before that is another one in the new target is found as that is read back, and nothing is taken over."""
    small = f"from distill import targets\nfrom distill.units import parts\ntargets._WORTH = {worth}\nparts._BUCKET = 2000\n{SMALL}"
    project, fresh = (small_project(tmp_path / name) for name in ("project", "fresh"))
    project.write("dodo.py", small + DODO)
    assert project.doit(env=INLINE).code == 0
    append(project, MATE)
    append(fresh, MATE)
    project.plant("units.outputs:copy_rows", COPYING.replace("TARGET", target))
    project.write("dodo.py", small + (project.folder / "dodo.py").read_text())

    results = [one.doit(env=INLINE) for one in (project, fresh)]

    assert [result.code for result in results] == [0, 0]
    assert (project.folder / "copied").exists()
    assert project.data_files() == fresh.data_files()


@pytest.mark.parametrize("name", ["2025", "2026", "2027"])
def test_an_empty_log_takes_nothing_from_its_neighbours(tmp_path: Path, undisturbed: dict[bool, dict[str, bytes]], name: str) -> None:
    """Logs that are emptied and filled again, one after the other, leave the bytes of a build in one go."""
    project = small_project(tmp_path / "project")
    log = project.folder / f"logs/{name}/outcomes.jsonl"
    kept = log.read_bytes()

    codes = [project.doit(env=INLINE).code]
    log.write_bytes(b"")
    codes.append(project.doit(env={**INLINE, "DISTILL_DRIFT_FAIL_ON": "never"}).code)
    log.write_bytes(kept)
    codes.append(project.doit(env={**INLINE, "DISTILL_DRIFT_FAIL_ON": "never"}).code)
    append(project)
    codes.append(project.doit(env={**INLINE, "DISTILL_DRIFT_FAIL_ON": "never"}).code)

    assert codes == [0, 0, 0, 0]
    assert project.data_files() == undisturbed[True]


CONFLICT = outcome(
    "run-conflict", task_id="task-c", prompt="Solve problem 0.", response=many_outcomes(1)[0]["response"], tests={"passed": 0, "failed": 1}
)
REPORT = {"run_id": "run-0", "task_id": "task-0", "created_at": "2026-04-27T10:00:00Z", "reviewer": "human:reviewer-1", "verdict": "accept"}


def test_what_the_resolution_says_of_one_unit_runs_that_unit_alone(project: Project, tmp_path: Path) -> None:
    """A row appended that contradicts an older one runs its own unit and the older one's, no other, with the bytes of a build in one go."""
    made = watch_parts(project)
    with (project.folder / LOG).open("ab") as file:
        file.write(json.dumps(CONFLICT).encode() + b"\n")

    assert project.doit(env=INLINE).code == 0

    found = count(made())
    assert (found["score"], found["export-sft"], found["export-preference"], found["extract-playbooks"]) == (1, 2, 2, 2)
    assert [row["kind"] for row in project.rows("data/scored-runs/resolution.jsonl")] == ["conflicting_verdicts"] * 2
    at_once = small_project(tmp_path / "at_once", more=[CONFLICT])
    assert at_once.doit(env=INLINE).code == 0
    assert project.data_files() == at_once.data_files()


@pytest.mark.parametrize("harm", ["damaged", "deleted"])
def test_ids_that_are_not_kept_are_read_again(project: Project, tmp_path: Path, harm: str) -> None:
    """The ids of units are only kept to save time: where they are damaged or gone, the bytes are the same."""
    for path in (project.folder / ".distill/parts/gists").iterdir():
        if harm == "deleted":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-16] + b"x" * 16)
    with (project.folder / LOG).open("ab") as file:
        file.write(json.dumps(CONFLICT).encode() + b"\n")

    assert project.doit(env=INLINE).code == 0

    at_once = small_project(tmp_path / "at_once", more=[CONFLICT])
    assert at_once.doit(env=INLINE).code == 0
    assert project.data_files() == at_once.data_files()


def test_rows_of_one_run_are_brought_together_again_when_one_comes(project: Project, tmp_path: Path) -> None:
    """A review that comes later pools with the row it is about, in whatever unit that is, and no other unit runs."""
    line = json.dumps(REPORT) + "\n"
    made = watch_parts(project)
    at_once = small_project(tmp_path / "at_once")
    for one in (project, at_once):
        one.write("logs/2028/scrum_reviews.jsonl", line)
        assert one.doit(env=INLINE).code == 0

    assert count(made())["export-sft"] == 2
    assert project.data_files() == at_once.data_files()
    assert "superseded_by_review" in {row["kind"] for row in project.rows("data/scored-runs/resolution.jsonl")}


def test_the_reserved_file_of_decisions_is_an_input_of_score(tmp_path: Path) -> None:
    """A reviews/decisions.jsonl is read, receipted and warned of, though it decides nothing yet; a changed one runs score again."""
    project = sample_project(tmp_path / "project")
    project.write("reviews/decisions.jsonl", '{"a": 1}\n{"b": 2}')

    first = project.doit()
    receipt = project.receipts()["score"]
    project.write("reviews/decisions.jsonl", '{"a": 1}\n')

    assert first.code == 0, first.text
    assert {file["path"]: file["record_count"] for file in receipt["inputs"]["files"]}["reviews/decisions.jsonl"] == 2
    assert receipt["validation"]["warnings"] == ["reviews/decisions.jsonl is reserved for reviews and not read yet"]
    assert project.doit().executed == ["score", "summary"]
