"""A signal whose values mean nothing yet is told with the values its log really has (SPEC 2)."""

import json
from pathlib import Path

import pytest

from distill.errors import ConfigError
from distill.onboarding.values import tell_values
from tests.harness import Project

HEAD = '[[sources]]\nname = "m"\nglob = "logs/*.jsonl"\nreader = "jsonl"\ncreated_at = "absent"\nrun_id = "position"\n'
FIELDS = '[sources.fields]\ninstruction = { path = "q" }\nresponse = { path = "a" }\n'
ROWS = [{"q": "q", "a": "a", "reward": reward, "scores": [{"value": "C"}]} for reward in (0.5, 0.5, 1, None)]


def project_with(folder: Path, signals: str) -> Project:
    """Return a project of one mapped log with these signals."""
    project = Project(folder / "project", config=f"{HEAD}signals = [{signals}]\n{FIELDS}")
    project.write("logs/a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS) + "broken\n")
    return project


@pytest.mark.parametrize("command", [("doit",), ("preview", "m")])
def test_a_signal_without_thresholds_is_told_the_values_found(tmp_path: Path, command: tuple[str, ...]) -> None:
    """SPEC 2: a number needs explicit thresholds; without them doit and preview exit 2 and print the values found, most frequent first."""
    project = project_with(
        tmp_path, '{ kind = "test", path = "reward" }, { kind = "judge", aspect = "outcome", each = "scores", path = "value", pass = 1 }'
    )

    result = project.doit() if command == ("doit",) else project.distill(*command)

    first, second = result.err.splitlines()
    assert result.code == 2
    assert first == (
        "distill.toml: sources[0].signals[0]: says nothing: give the raw values that mean pass and fail; values found: 0.5 (2), 1 (1), null (1)"
    )
    assert second.endswith('found 1 and None; values found: "C" (4)')


def test_other_mistakes_are_told_as_they_are(tmp_path: Path) -> None:
    """An error that is not about a signal, or beside which the logs cannot be read, is given back unchanged."""
    project = project_with(tmp_path, '{ kind = "test", path = "reward" }')
    other, about = ConfigError(["distill.toml: max_skipped: found -1"]), ConfigError(["distill.toml: sources[0].signals[0]: says nothing"])

    assert tell_values(project.folder, other) is other
    project.replace_text("distill.toml", "logs/*.jsonl", "nowhere/*.jsonl")
    assert tell_values(project.folder, about) is about
