"""The settings: every kind of mistake in one message, each with its place (SPEC 9), and what a whole config becomes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from distill.config import Config, Drift, FieldSpec, Meaning, Range, Source, drift_fails, named_groups, setting_values
from distill.config_file import build_config, load_config
from distill.errors import ConfigError

SOURCE = '[[sources]]\nname = "s"\nglob = "*"\n'
NATIVE = SOURCE + 'format = "outcomes"\n'
MAPPED = SOURCE + 'reader = "jsonl"\n[sources.fields]\nresponse = { path = "r" }\n'
SIGNAL = MAPPED + "[[sources.signals]]\n"
JUDGE = SIGNAL + 'kind = "judge"\npath = "v"\naspect = "outcome"\n'


def build(text: str, **environ: str) -> Config:
    """Build a config from the text of a distill.toml."""
    return build_config(tomllib.loads(text), path="distill.toml", environ=environ)


def problems(text: str, **environ: str) -> list[str]:
    """Return the problems of a config."""
    with pytest.raises(ConfigError) as caught:
        build(text, **environ)
    return [problem.removeprefix("distill.toml: ") for problem in caught.value.problems]


ONE: dict[str, tuple[str, str]] = {
    "unknown_key": ("max_skiped = 1\n" + NATIVE, "max_skiped: unknown key; did you mean 'max_skipped'?"),
    "unlike_any_key": ("zzz = 1\n" + NATIVE, "zzz: unknown key; known: sources, max_skipped, human_reviewers"),
    "own_field_of_the_program": ('recorded_at = "x"\n' + NATIVE, "recorded_at: unknown key"),
    "number": ('max_skipped = "1"\n' + NATIVE, "max_skipped: found '1', expected a number"),
    "flag_for_number": ("judge_confidence = true\n" + NATIVE, "judge_confidence: found True, expected a number"),
    "negative": ("max_skipped = -1\n" + NATIVE, "max_skipped: found -1, expected zero or more"),
    "infinite": ("drift = { z = inf }\n" + NATIVE, "drift.z: found inf, expected a finite number"),
    "no_chance": ("drift = { alert_p = 1.5 }\n" + NATIVE, "drift.alert_p: found 1.5, expected a chance of 1 at most"),
    "no_number": ("judge_confidence = nan\n" + NATIVE, "judge_confidence: found nan, expected zero or more"),
    "percent": ("judge_confidence = 80\n" + NATIVE, "judge_confidence: found 80, expected a fraction of 1"),
    "whole_number": ("max_line_bytes = 1.5\n" + NATIVE, "max_line_bytes: found 1.5, expected a whole number"),
    "strings": ('human_reviewers = "human:*"\n' + NATIVE, "human_reviewers: found 'human:*', expected a list of strings"),
    "strings_inside": ("human_reviewers = [1]\n" + NATIVE, "human_reviewers: found [1], expected a list of strings"),
    "pattern": ('infrastructure_patterns = ["("]\n' + NATIVE, "infrastructure_patterns: '(' is no regular expression"),
    "section": ("sft = 1\n" + NATIVE, "sft: found 1, expected a table"),
    "section_key": ("drift = { warn_pc = 1 }\n" + NATIVE, "drift.warn_pc: unknown key; did you mean 'warn_pct'?"),
    "section_flag": ("sft = { allow_failed_turns = 1 }\n" + NATIVE, "sft.allow_failed_turns: found 1, expected true or false"),
    "section_number": ('min_rows = { sft = "1" }\n' + NATIVE, "min_rows.sft: found '1', expected a whole number"),
    "section_text": ("drift = { fail_on = 1 }\n" + NATIVE, "drift.fail_on: found 1, expected a string"),
    "include": (
        'sft = { include = ["acepted"] }\n' + NATIVE,
        "sft.include: found 'acepted', expected one of accepted, retried, with_changes",
    ),
    "pair_scope": ('preference = { pair_scope = "all" }\n' + NATIVE, "preference.pair_scope: found 'all', expected one of any, same_model"),
    "fail_on": ('drift = { fail_on = "alarm" }\n' + NATIVE, "drift.fail_on: found 'alarm', expected one of alert, warn, never"),
    "group_by": ('playbooks = { group_by = "task" }\n' + NATIVE, "playbooks.group_by: unknown field 'task'; did you mean 'task_id'?"),
    "no_sources": ("", "sources: no source is named"),
    "sources_table": ("[sources]\n", "sources: no source is named"),
    "source_no_table": ("sources = [1]\n", "sources[0]: found 1, expected a table"),
    "source_key": (NATIVE + "globs = 1\n", "sources[0].globs: unknown key; did you mean 'glob'?"),
    "source_text": (NATIVE + "root = 1\n", "sources[0].root: found 1, expected a string"),
    "source_flag": (NATIVE + 'optional = "yes"\n', "sources[0].optional: found 'yes', expected true or false"),
    "endless": ("max_skipped = inf\n" + NATIVE, "max_skipped: found inf, expected a finite number"),
    "endless_threshold": ("drift = { warn_pct = inf }\n" + NATIVE, "drift.warn_pct: found inf, expected a finite number"),
    "nul": (NATIVE + 'partition_prefix = "a\\u0000b"\n', "sources[0].partition_prefix: found 'a\\x00b', expected no NUL"),
    "uses": (NATIVE + 'uses = ["sale"]\n', "sources[0].uses: found 'sale', expected one of rag, sft, preference, publish"),
    "scope": (NATIVE + 'run_id_scope = "global"\n', "sources[0].run_id_scope: found 'global', expected one of source, project"),
    "name_missing": ('[[sources]]\nglob = "*"\nformat = "outcomes"\n', "sources[0].name: is missing"),
    "glob_missing": ('[[sources]]\nname = "s"\nformat = "outcomes"\n', "sources[0].glob: is missing"),
    "name_with_slash": ('[[sources]]\nname = "a/b"\nglob = "*"\nformat = "outcomes"\n', "sources[0].name: found 'a/b', expected letters"),
    "name_of_dots": ('[[sources]]\nname = ".."\nglob = "*"\nformat = "outcomes"\n', "sources[0].name: found '..', expected letters"),
    "name_twice": (NATIVE + NATIVE, "sources: the name 's' stands twice"),
    "prefix": (
        NATIVE + 'partition_prefix = "a/../b"\n',
        "sources[0].partition_prefix: found 'a/../b', expected a folder below data/evidence",
    ),
    "prefix_root": (NATIVE + 'partition_prefix = "/a"\n', "sources[0].partition_prefix: found '/a', expected a folder"),
    "format": (
        SOURCE + 'format = "outcome"\n',
        "sources[0].format: found 'outcome', expected one of outcomes, scrum_reviews",
    ),
    "format_and_mapping": (
        NATIVE + 'run_id = "position"\n',
        "sources[0].run_id: belongs to a mapped source, but the format 'outcomes' is set",
    ),
    "reader": (MAPPED.replace('"jsonl"', '"csv"'), "sources[0].reader: found 'csv', expected one of jsonl"),
    "neither": (SOURCE, "sources[0]: neither a format (outcomes, scrum_reviews"),
    "no_mapping": (SOURCE + 'reader = "jsonl"\n', "sources[0].fields: a reader needs a mapping"),
    "timezone": (NATIVE + 'timezone = "Berlin"\n', "sources[0].timezone: found 'Berlin', expected a zone"),
    "file_pattern": (MAPPED.replace("reader", 'file_pattern = "("\nreader'), "sources[0].file_pattern: '(' is no regular expression"),
    "fields": (SOURCE + 'reader = "jsonl"\nfields = 1\n', "sources[0].fields: found 1, expected a table"),
    "field_name": (MAPPED + 'modell = { path = "m" }\n', "sources[0].fields.modell: unknown key; did you mean 'model'?"),
    "field_plain": (MAPPED + 'model = "m"\n', "sources[0].fields.model: found 'm', expected a table such as"),
    "field_key": (MAPPED + 'model = { path = "m", pat = 1 }\n', "sources[0].fields.model.pat: unknown key; did you mean"),
    "field_ways": (
        MAPPED + 'model = { path = "m", const = "x" }\n',
        "sources[0].fields.model: found ['path', 'const'], expected exactly one",
    ),
    "field_no_way": (MAPPED + "model = {}\n", "sources[0].fields.model: found none, expected exactly one of path, group"),
    "field_type": (MAPPED + "model = { path = 1 }\n", "sources[0].fields.model.path: found 1, expected a string"),
    "field_plus": (
        MAPPED + 'attempts = { count = "a", plus = "1" }\n',
        "sources[0].fields.attempts.plus: found '1', expected a whole number",
    ),
    "field_places": (MAPPED + 'model = [{ path = "m" }]\n', "sources[0].fields.model: several places are given, but only a list field"),
    "field_group": (MAPPED + 'model = { group = "file" }\n', "sources[0].fields.model.group: file_pattern has no group 'file'"),
    "field_template": (MAPPED + 'model = { template = "{file}" }\n', "sources[0].fields.model.template: file_pattern has no group 'file'"),
    "field_pattern": (MAPPED + 'model = { path = "m", pattern = "(" }\n', "sources[0].fields.model.pattern: '(' is no regular expression"),
    "field_pattern_of_path": (
        MAPPED + 'model = { path = "m", pattern = "x" }\n',
        "sources[0].fields.model.pattern: belongs to group, but path",
    ),
    "field_plus_of_path": (MAPPED + 'attempts = { path = "a", plus = 1 }\n', "sources[0].fields.attempts.plus: belongs to count, but path"),
    "time_twice": (
        MAPPED.replace("reader", 'created_at = "absent"\nreader') + 'created_at = { path = "t" }\n',
        "sources[0].created_at: found 'absent', but fields.created_at says where it stands",
    ),
    "run_id_twice": (
        MAPPED.replace("reader", 'run_id = "position"\nreader') + 'run_id = { path = "id" }\n',
        "sources[0].run_id: found 'position', but fields.run_id says where it stands",
    ),
    "tags": (MAPPED.replace("[sources.fields]", "tags = 1\n[sources.fields]"), "sources[0].tags: found 1, expected a table"),
    "tag": (MAPPED + "[sources.tags]\ntrial = 1\n", "sources[0].tags.trial: found 1, expected a table such as"),
    "signals": (
        MAPPED.replace("[sources.fields]", "signals = 1\n[sources.fields]"),
        "sources[0].signals: found 1, expected a list of tables",
    ),
    "signal": (MAPPED.replace("[sources.fields]", "signals = [1]\n[sources.fields]"), "sources[0].signals[0]: found 1, expected a table"),
    "signal_key": (JUDGE + "pass = [1]\nfial = [0]\n", "sources[0].signals[0].fial: unknown key; did you mean 'fail'?"),
    "signal_kind_missing": (
        SIGNAL + 'path = "v"\npass = [1]\n',
        "sources[0].signals[0].kind: is missing; there is no default, say who decided",
    ),
    "signal_kind": (
        SIGNAL + 'kind = "tests"\npath = "v"\npass = [1]\n',
        "sources[0].signals[0].kind: found 'tests', expected one of human, test",
    ),
    "signal_path": (SIGNAL + 'kind = "test"\npass = [1]\n', "sources[0].signals[0].path: is missing"),
    "signal_aspect": (SIGNAL + 'kind = "judge"\npath = "v"\npass = [1]\n', "sources[0].signals[0].aspect: is missing; only a judge"),
    "signal_bounds": (JUDGE + "pass = 0.8\n", "sources[0].signals[0]: pass and fail are two lists of raw values, or two numbers"),
    "signal_reversed": (
        JUDGE + "pass = 0.2\nfail = 0.8\n",
        "sources[0].signals[0]: found pass = 0.2 below fail = 0.8, expected the higher number as pass",
    ),
    "signal_no_bound": (JUDGE + "pass = nan\nfail = 0.2\n", "sources[0].signals[0]: found pass = nan below fail = 0.2"),
    "signal_between": (JUDGE + "pass = 0.8\nfail = 0.2\npartial = [0.5]\n", "sources[0].signals[0].partial: belongs to lists of raw"),
    "signal_silent": (JUDGE, "sources[0].signals[0]: says nothing"),
    "signal_by": (JUDGE + "pass = [1]\nby = 1\n", "sources[0].signals[0].by: found 1, expected a string"),
    "signal_confidence": (JUDGE + "pass = [1]\nconfidence = 0.9\n", "sources[0].signals[0].confidence: found 0.9, expected a string"),
    "signal_partial": (
        JUDGE + 'pass = [1]\npartial = "half"\n',
        "sources[0].signals[0].partial: found 'half', expected a list of raw values",
    ),
}


@pytest.mark.parametrize(("text", "expected"), ONE.values(), ids=ONE)
def test_each_mistake_is_told_with_its_place(text: str, expected: str) -> None:
    """A mistake is told with its place, what was found or expected, and the nearest right name."""
    found = problems(text)

    assert [problem for problem in found if problem.startswith(expected.rstrip("?"))], found


def test_all_mistakes_come_in_one_message() -> None:
    """One error holds every problem, each on a line with the file it is about."""
    text = 'max_skiped = 1\ndrift = { warn_pct = "x" }\n' + NATIVE + "globs = 1\n" + NATIVE.replace('"outcomes"', '"outcome"')

    with pytest.raises(ConfigError) as caught:
        build(text, DISTILL_RECORDED_AT="yesterday", DISTILL_DRIFT_WARN_PCT="much")

    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems) == 7
    assert all(line.startswith("distill.toml: ") for line in lines)


def test_choices_are_listed_once() -> None:
    """A word unlike every choice is answered with the choices, and not with them again as what is known."""
    (problem,) = problems(NATIVE + 'uses = ["war"]\n')

    assert problem.endswith("found 'war', expected one of rag, sft, preference, publish")


def test_mistake_is_told_once() -> None:
    """A wrong value in the file is not told again under the name of an environment variable."""
    assert problems('drift = { fail_on = "alarm" }\n' + NATIVE) == [
        "drift.fail_on: found 'alarm', expected one of alert, warn, never; did you mean 'alert'"
    ]


def test_whole_config_is_read() -> None:
    """A config with everything in it becomes these settings."""
    config = build("""
max_skipped = 0.1
human_reviewers = ["person:*"]
infrastructure_patterns = ["quota"]
sft = { include = ["accepted", "with_changes"], allow_failed_turns = true }
preference = { max_pairs_per_task = 2, pair_scope = "same_model", step_pairs = true }
drift = { warn_pct = 10, fail_on = "never" }
playbooks = { group_by = "tags.family" }
min_rows = { rag = 1 }
[[sources]]
name = "m"
glob = "*"
reader = "jsonl"
file_pattern = '(?P<model>.+)-(?P<try>\\d)'
task_id_required = true
timezone = "+01:00"
uses = ["sft"]
[sources.fields]
model = { group = "model" }
group = { template = "{model}/{try}" }
attempts = { count = "r", plus = 1 }
reference = [{ path = "a" }, { path = "b" }]
[sources.tags]
trial = { group = "try" }
[[sources.signals]]
kind = "judge"
aspect = "outcome"
path = "v"
pass = 0.8
fail = 0.2
[[sources.signals]]
kind = "test"
path = "t"
pass = [true]
partial = ["half"]
""", DISTILL_RECORDED_AT="2026-01-01T00:00:00+01:00", DISTILL_DRIFT_WARN_PCT="5", DISTILL_DRIFT_FAIL_ON="warn", DISTILL_DRIFT_MIN_RECORDS="7")  # fmt: skip

    (source,) = config.sources
    assert (config.max_skipped, config.sft.include, config.preference.max_pairs_per_task) == (0.1, ("accepted", "with_changes"), 2)
    assert (config.drift.warn_pct, config.drift.fail_on, config.drift.min_records) == (5.0, "warn", 7)
    assert (config.recorded_at, config.min_rows, config.playbooks.group_by) == ("2025-12-31T23:00:00Z", (1, 1, 0), "tags.family")
    assert dict(source.fields)["reference"] == (FieldSpec(path="a"), FieldSpec(path="b"))
    assert [signal.meaning for signal in source.signals] == [
        Meaning(pass_range=Range(min=0.8), fail_range=Range(max=0.2)), Meaning(pass_=(True,), partial=("half",)),
    ]  # fmt: skip
    assert (source.scope, source.prefix, config.source("m"), named_groups(source.file_pattern)) == ("m", "m", source, ("model", "try"))


def test_defaults_are_those_of_the_specification() -> None:
    """A config that only names a source has the defaults of SPEC 2."""
    config = build(NATIVE)

    assert (config.max_skipped, config.judge_confidence, config.max_line_bytes) == (0, 0.8, 67108864)
    assert (config.human_reviewers, config.sft.include) == (("human:*",), ("accepted", "retried"))
    assert (config.preference.max_pairs_per_task, config.preference.pair_scope, config.playbooks.group_by) == (4, "any", "task_id")
    assert (config.min_rows.sft, config.drift, named_groups(None)) == (1, Drift(), ())
    assert (config.sources[0].scope, config.recorded_at) == ("", None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("DISTILL_DRIFT_WARN_PCT", "much", "found 'much', expected a float"), ("DISTILL_DRIFT_WARN_PCT", "nan", "found nan, expected zero or more"),
     ("DISTILL_DRIFT_WARN_PCT", "inf", "found inf, expected a finite number"), ("DISTILL_DRIFT_WARN_PCT", "", "found '', expected a float"),
     ("DISTILL_DRIFT_SHARE_P", "5", "found 5.0, expected a chance of 1 at most"),
     ("DISTILL_DRIFT_MIN_RECORDS", "-1", "found -1, expected zero or more"), ("DISTILL_DRIFT_MIN_RECORDS", "1.5", "expected a int"),
     ("DISTILL_DRIFT_FAIL_ON", "warning", "expected one of alert, warn, never; did you mean 'warn'"),
     ("DISTILL_RECORDED_AT", "2026-01-01T00:00:00", "without zone")],
)  # fmt: skip
def test_environment_is_checked_like_the_file(name: str, value: str, expected: str) -> None:
    """A wrong value in the environment is told under the variable's name."""
    (problem,) = problems(NATIVE, **{name: value})

    assert problem.startswith(f"{name}: ")
    assert expected in problem


def test_file_is_found(tmp_path: Path) -> None:
    """distill.toml comes first, then [tool.distill] of pyproject.toml; without either the way out is told."""
    with pytest.raises(ConfigError, match="no settings found: write"):
        load_config(tmp_path, {})
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    with pytest.raises(ConfigError, match="no settings found"):
        load_config(tmp_path, {})
    (tmp_path / "pyproject.toml").write_text("[tool.distill]\nmax_skipped = 3\n" + NATIVE.replace("sources", "tool.distill.sources"))
    shared = load_config(tmp_path)
    (tmp_path / "distill.toml").write_text(NATIVE)
    own = load_config(tmp_path, {})

    assert (shared.path, shared.max_skipped, own.path, own.max_skipped) == ("pyproject.toml", 3, "distill.toml", 0)


@pytest.mark.parametrize("data", [b"a = ", b"a = '\xff'"], ids=["toml", "utf8"])
def test_unreadable_file_is_a_config_error(tmp_path: Path, data: bytes) -> None:
    """A file that is no TOML or no UTF-8 is named."""
    (tmp_path / "distill.toml").write_bytes(data)

    with pytest.raises(ConfigError, match=r"^distill\.toml: "):
        load_config(tmp_path, {})


def test_settings_that_are_no_table_are_told(tmp_path: Path) -> None:
    """`tool.distill = 3` is a config error like any other."""
    (tmp_path / "pyproject.toml").write_text("[tool]\ndistill = 3\n")

    with pytest.raises(ConfigError, match=r"^pyproject\.toml: distill: found 3, expected a table$"):
        load_config(tmp_path, {})


def test_stage_settings_are_plain_values() -> None:
    """The settings of a stage are plain, and a source leaves out what changes no evidence."""
    one = Source("s", "*", format="outcomes")
    two = one._replace(license="MIT", optional=True, run_id_scope="source")
    names = ("sources", "drift", "sft.include", "max_skipped")
    values: list[dict[str, Any]] = [setting_values(Config(sources=(source,)), names) for source in (one, two)]

    assert values[0] == values[1]
    assert (values[0]["drift"]["warn_pct"], tuple(values[0]["sft.include"]), values[0]["max_skipped"]) == (20.0, ("accepted", "retried"), 0)
    assert setting_values(Config(sources=(two,)), ("scopes",)) == {"scopes": {"s": "s"}}


@pytest.mark.parametrize(
    ("severity", "fail_on", "fails"),
    [
        ("alert", "alert", True),
        ("warn", "alert", False),
        ("warn", "warn", True),
        ("alert", "warn", True),
        ("ok", "warn", False),
        ("alert", "never", False),
    ],
)
def test_severity_fails_from_where_the_setting_says(severity: str, fail_on: str, fails: bool) -> None:
    """`drift.fail_on` decides from which severity the exit status is 1."""
    assert drift_fails(severity, fail_on) is fails
