"""Which files there are (SPEC 1, "Partitions"; SPEC 2)."""

import os
from pathlib import Path
from typing import Any

import pytest

from distill.config import Config, FieldSpec, LookupSpec, Source, VerdictSpec
from distill.errors import ConfigError
from distill.plan import Plan, build_plan
from distill.stages import STAGES, stage_named


def made(folder: Path, *names: str) -> Path:
    """Make empty files below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def plan_of(folder: Path, *sources: Source) -> Plan:
    """Build the plan of a project."""
    return build_plan(folder, Config(sources=sources))


def problems_of(folder: Path, *sources: Source) -> list[str]:
    """Return what is wrong with the files of a project."""
    with pytest.raises(ConfigError) as caught:
        plan_of(folder, *sources)
    return list(caught.value.problems)


def src(glob: str = "**/*.jsonl", name: str = "src", **fields: Any) -> Source:
    """Return a source of native logs."""
    return Source(name, glob, format="outcomes", **fields)


def test_partition_is_source_and_path(tmp_path: Path) -> None:
    """A partition is the source and the path below its root, `.jsonl` appended unless it ends so, sorted by its bytes."""
    made(tmp_path, "logs/2026/b.jsonl", "logs/a.json", "logs/Z.jsonl", "logs/é.gz", "logs/sub.jsonl.d/x", "other.jsonl")

    plan = plan_of(tmp_path, src("**/*", root="logs"))

    assert plan.partitions == ("src/2026/b.jsonl", "src/Z.jsonl", "src/a.json.jsonl", "src/sub.jsonl.d/x.jsonl", "src/é.gz.jsonl")
    assert plan.evidence[0] == "data/evidence/src/2026/b.jsonl"
    assert plan.scored[0] == "data/scored-runs/src/2026/b.jsonl"
    assert (plan.logs[2].file.path, plan.logs[2].file.recorded) == ("logs/a.json", "src/a.json")


@pytest.mark.parametrize(("prefix", "expected"), [(None, "src/x.jsonl"), ("", "x.jsonl"), ("by/day", "by/day/x.jsonl")])
def test_prefix_replaces_the_source_name(tmp_path: Path, prefix: str | None, expected: str) -> None:
    """`partition_prefix` stands in front of the partitions, and may be empty."""
    made(tmp_path, "logs/x.jsonl")

    plan = plan_of(tmp_path, src(root="logs", partition_prefix=prefix))

    assert plan.partitions == (expected,)
    assert plan.logs[0].file.recorded == "src/x.jsonl"


def test_root_outside_the_project_is_recorded_by_source(tmp_path: Path) -> None:
    """A root may lie anywhere; what is recorded holds the source and the path below the root only."""
    made(tmp_path, "project/x", "elsewhere/log.jsonl")

    beside = plan_of(tmp_path / "project", src(root="../elsewhere")).logs[0].file
    absolute = plan_of(tmp_path / "project", src(root=str(tmp_path / "elsewhere"))).logs[0].file

    assert (beside.path, absolute.path) == ("../elsewhere/log.jsonl", str(tmp_path / "elsewhere/log.jsonl"))
    assert beside.recorded == absolute.recorded == "src/log.jsonl"


def test_named_groups_come_in_pattern_order(tmp_path: Path) -> None:
    """The groups of the file pattern are kept in its order, an optional one that is absent as null."""
    made(tmp_path, "logs/gpt-4_run2.jsonl")
    pattern = r"(?P<model>gpt-\d)(?P<size>-mini)?_run(?P<attempt>\d)"

    (log,) = plan_of(tmp_path, src(root="logs", file_pattern=pattern)).logs

    assert log.groups == (("model", "gpt-4"), ("size", None), ("attempt", "2"))


def test_file_matched_twice_by_one_glob_counts_once(tmp_path: Path) -> None:
    """A glob that reaches one file by two ways gives one partition."""
    made(tmp_path, "logs/a/b/x.jsonl")

    assert plan_of(tmp_path, src("**/**/*.jsonl", root="logs")).partitions == ("src/a/b/x.jsonl",)


def test_reviews_are_noticed(tmp_path: Path) -> None:
    """The plan says whether reviews/decisions.jsonl is there, and score reads it then."""
    made(tmp_path, "logs/x.jsonl")
    before = plan_of(tmp_path, src(root="logs"))
    made(tmp_path, "reviews/decisions.jsonl")
    after = plan_of(tmp_path, src(root="logs"))

    assert (before.decisions, after.decisions) == (False, True)
    score = stage_named("score")
    assert [ref.path for ref in score.inputs(before)] == ["data/evidence/src/x.jsonl"]
    assert [ref.path for ref in score.inputs(after)] == ["data/evidence/src/x.jsonl", "reviews/decisions.jsonl"]


def test_every_input_of_a_stage_is_an_output_of_one_it_needs(tmp_path: Path) -> None:
    """Below collect, what a stage reads is what the stages it names write, and no two stages write one file."""
    made(tmp_path, "logs/x.jsonl", "logs/y.jsonl")
    plan = plan_of(tmp_path, src(root="logs"))
    outputs = [path for stage in STAGES for path in stage.outputs(plan)]

    assert len(outputs) == len(set(outputs))
    assert [ref.path for ref in STAGES[0].inputs(plan)] == ["logs/x.jsonl", "logs/y.jsonl"]
    for stage in STAGES[1:]:
        above = {path for name in stage.needs for path in stage_named(name).outputs(plan)}
        assert {ref.path for ref in stage.inputs(plan)} <= above
        assert {stage.quarantine, stage.dataset} - {None} <= set(stage.outputs(plan))


def test_empty_match_is_told_for_every_source_unless_optional(tmp_path: Path) -> None:
    """Each source without a file is named, also where another source has a problem; an optional one is not."""
    made(tmp_path, "logs/x.jsonl")
    unmatched = "file_pattern 'y' does not match; narrow the glob or widen the pattern"

    assert problems_of(
        tmp_path,
        src(root="logs", file_pattern="y"),
        src("*.none", "one"),
        src("*.none", "two", root="gone"),
        src("*.none", "three", optional=True),
    ) == [
        f"src/x.jsonl: {unmatched}",
        "source 'one': no file matches '*.none' below '.'; correct it, or set optional = true",
        "source 'two': no file matches '*.none' below 'gone'; correct it, or set optional = true",
    ]
    assert plan_of(tmp_path, src("*.none", optional=True)).partitions == ()


def test_file_of_two_sources_is_refused(tmp_path: Path) -> None:
    """A raw file belongs to one source, however the sources name or link it."""
    made(tmp_path, "logs/x.jsonl")
    (tmp_path / "logs/link.jsonl").symlink_to("x.jsonl")

    (by_name,) = problems_of(tmp_path, src("x.jsonl", root="logs"), src("logs/x.jsonl", "two"))
    (by_link,) = problems_of(tmp_path, src("*.jsonl", root="logs"))

    assert by_name == "two/logs/x.jsonl: the same file is also src/x.jsonl; one source may match it"
    assert by_link == "src/x.jsonl: the same file is also src/link.jsonl; one source may match it"


def test_partitions_must_not_collide(tmp_path: Path) -> None:
    """Two raw files with one partition are refused, and so is a partition that is another's folder."""
    made(tmp_path, "a/x.jsonl", "b/x.jsonl", "c/log", "c/log.jsonl", "d/t.jsonl", "d/t.jsonl.d/y")
    one, two = src(root="a", partition_prefix=""), src(name="two", root="b", partition_prefix="")
    folder = src("*", "three", root="a", partition_prefix="t/x.jsonl")

    assert problems_of(tmp_path, one, two) == ["partition 'x.jsonl': both src/x.jsonl and two/x.jsonl; set another partition_prefix"]
    assert problems_of(tmp_path, src("*", root="c")) == [
        "partition 'src/log.jsonl': both src/log and src/log.jsonl; set another partition_prefix"
    ]
    assert problems_of(tmp_path, src(root="b", partition_prefix="t"), folder) == [
        "partition 't/x.jsonl/x.jsonl': 't/x.jsonl' is a partition too and cannot also be a folder"
    ]


@pytest.mark.parametrize("name", ["resolution.jsonl", "resolution", "resolution.jsonl/x.jsonl"])
def test_resolution_is_reserved(tmp_path: Path, name: str) -> None:
    """A partition called resolution.jsonl, or below such a folder, is refused; below a prefix it is not."""
    made(tmp_path, f"logs/{name}")

    (problem,) = problems_of(tmp_path, src("**/*", root="logs", partition_prefix=""))

    assert problem == f"src/{name}: its partition would be resolution.jsonl, which is reserved; set a partition_prefix"
    assert plan_of(tmp_path, src("**/*", root="logs")).partitions[0].startswith("src/resolution.jsonl")


def test_file_outside_its_root_is_refused(tmp_path: Path) -> None:
    """A match that resolves outside the root is refused, by link, by linked folder, by `..` or by an absolute glob."""
    made(tmp_path, "logs/x.jsonl", "secret/y.jsonl", "logs2/z.jsonl")
    (tmp_path / "logs/link.jsonl").symlink_to(tmp_path / "secret/y.jsonl")
    (tmp_path / "logs/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "logs/broken.jsonl").symlink_to(tmp_path / "nowhere")
    tail = "resolves outside the root 'logs' of its source; copy it below the root, or move the root"

    found = problems_of(tmp_path, src(root="logs"))

    assert found == [f"src/folder/y.jsonl: {tail}", f"src/link.jsonl: {tail}"]
    assert problems_of(tmp_path, src("../logs2/*", root="logs")) == [f"src/../logs2/z.jsonl: {tail}"]
    assert tail in problems_of(tmp_path, src(f"{tmp_path}/secret/*", root="logs"))[0]


def test_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """A file whose name is no UTF-8 cannot be recorded."""
    made(tmp_path, "logs/x.jsonl")
    Path(os.fsdecode(os.fsencode(tmp_path / "logs") + b"/\xff.jsonl")).touch()

    (problem,) = problems_of(tmp_path, src(root="logs"))

    assert problem.endswith(": the name is no UTF-8; rename the file")
    problem.encode()


def test_one_file_per_run_makes_the_folder_the_partition(tmp_path: Path) -> None:
    """SPEC 1: with one file per run the partition is the folder; its files stand in the order of their names, the root's own by the source."""
    made(tmp_path, "logs/b/2.json", "logs/b/10.json", "logs/b/c/1.json", "logs/top.json", "logs/a.d/1.json")

    plan = plan_of(tmp_path, Source("src", "**/*.json", root="logs", reader="json_file"))

    assert plan.partitions == ("src.jsonl", "src/a.d.jsonl", "src/b.jsonl", "src/b/c.jsonl")
    assert plan.evidence == tuple(f"data/evidence/{partition}" for partition in plan.partitions)
    assert [log.file.recorded for log in plan.logs if log.partition == "src/b.jsonl"] == ["src/b/10.json", "src/b/2.json"]
    assert [ref.recorded for ref in stage_named("collect").inputs(plan)] == [log.file.recorded for log in plan.logs]


@pytest.mark.parametrize(("prefix", "expected"), [("", ("src.jsonl", "b.jsonl")), ("day", ("day.jsonl", "day/b.jsonl"))])
def test_prefix_also_stands_before_folders(tmp_path: Path, prefix: str, expected: tuple[str, ...]) -> None:
    """A prefix replaces the source's name before folders too."""
    made(tmp_path, "b/2.json", "top.json")

    plan = plan_of(tmp_path, Source("src", "**/*.json", reader="json_file", partition_prefix=prefix))

    assert sorted(plan.partitions) == sorted(expected)


def test_folder_of_two_sources_is_told(tmp_path: Path) -> None:
    """SPEC 1: two sources whose files lie in one folder may not share its partition."""
    made(tmp_path, "b/1.json", "b/2.txt")
    sources = [Source(name, f"b/*.{name}", reader="json_file", partition_prefix="") for name in ("json", "txt")]

    (problem,) = problems_of(tmp_path, *sources)

    assert problem == "partition 'b.jsonl': both json/b/1.json and txt/b/2.txt; set another partition_prefix"


def beside(*paths: str) -> Source:
    """Return a source with lookups and verdicts in these files."""
    lookup = LookupSpec("look", paths[0], key="id", by=FieldSpec(path="id"))
    return src(
        "*.jsonl",
        root="logs",
        lookups=(lookup,),
        verdicts=tuple(VerdictSpec(path, path, "test", FieldSpec(path="id")) for path in paths[1:]),
    )


def test_second_files_are_inputs_of_collect(tmp_path: Path) -> None:
    """SPEC 1, 2: lookup and verdict files are recorded below their source, once each, and are inputs of collect alone."""
    made(tmp_path, "logs/x.jsonl", "logs/side/b.json", "logs/side/a.csv")

    plan = plan_of(tmp_path, beside("side/b.json", "side/a.csv", "./side/b.json"))

    assert [(ref.path, ref.recorded) for ref in plan.sides] == [
        ("logs/side/a.csv", "src/side/a.csv"),
        ("logs/side/b.json", "src/side/b.json"),
    ]
    assert [stage.name for stage in STAGES if set(plan.sides) & set(stage.inputs(plan))] == ["collect"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("../out.json", "leaves the root 'logs' of its source"),
        ("link.json", "leaves the root 'logs' of its source"),
        ("none.json", "there is no file 'none.json' below 'logs'"),
        ("x.jsonl", "src/x.jsonl: is a log and a lookup or verdict file of one source"),
    ],
)
def test_second_file_must_lie_below_the_root(tmp_path: Path, path: str, found: str) -> None:
    """SPEC 2: a lookup or verdict file that leaves the root, is not there or is a log too is a config error that says so."""
    made(tmp_path, "logs/x.jsonl", "out.json")
    (tmp_path / "logs/link.json").symlink_to(tmp_path / "out.json")

    (problem,) = problems_of(tmp_path, beside(path))

    assert found in problem.replace("leaves the root 'logs';", "leaves the root 'logs' of its source;")


@pytest.mark.parametrize("place", ["data/raw/x.jsonl", "data/evidence/src/x.jsonl", "exports/sft/x.jsonl", "reports/distillation/x.jsonl"])
def test_logs_where_the_build_writes_are_refused(tmp_path: Path, place: str) -> None:
    """A log among the files of the build would be read as its own input and deleted by `doit clean`; two are told in one line."""
    made(tmp_path, place, place.replace("x.jsonl", "y.jsonl"), "logs/a.jsonl")
    folder = place.rpartition("/")[0] if place.startswith(("exports", "reports")) else "data"

    problems = problems_of(tmp_path, src())

    said = f"src/{place} and 1 more: below {folder}/, where the build writes and deletes; keep logs elsewhere, or narrow the glob"
    assert problems == [said]


def test_a_link_to_where_the_build_writes_is_refused(tmp_path: Path) -> None:
    """A log, lookup or verdict file that a link leads to the build's own files from is refused too; other exports are logs as any."""
    made(tmp_path, "data/raw/x.jsonl", "data/keys.csv", "exports/chats/x.jsonl", "logs/a.jsonl")
    (tmp_path / "logs/link.jsonl").symlink_to(tmp_path / "data/raw/x.jsonl")
    lookup = LookupSpec("names", "data/keys.csv", key="a", by=FieldSpec(path="a"))

    problems = problems_of(tmp_path, src("logs/*.jsonl", lookups=(lookup,)), src("exports/**/*.jsonl", "chats"))

    assert [problem.split(":")[0] for problem in problems] == ["src/logs/link.jsonl and 1 more"]
