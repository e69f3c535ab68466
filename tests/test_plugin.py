"""Formats that other people's packages bring as entry points (issue 5; `distill.formats`)."""

import os
from pathlib import Path

import pytest

from tests.harness import Project

CONFIG = '[[sources]]\nname = "theirs"\nroot = "logs"\nglob = "*.json"\nformat = "their_runs"\n'
MODULE = """
from distill.formats import Format
from distill.formats.reading import Reading
from distill.schemas.evidence import Signal

FORMAT = Format("their_runs", __name__, "an array of questions and answers", reader="json_array")


def build_reader(source, config, sides=None):
    def read(record, position):
        signal = Signal(kind="test", verdict="pass" if record["right"] else "fail", value=record["right"], where="right")
        return Reading({"run_id": f"r{position.index}", "instruction": record["q"], "response": record["a"], "signals": [signal]})

    return read
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose logs are in a format of an installed package."""
    made = Project(tmp_path / "project", config=CONFIG)
    made.write("logs/a.json", '[{"q": "1 + 1", "a": "2", "right": true}, {"q": "1 + 2", "a": "4", "right": false}]')
    install(tmp_path, MODULE)
    return made


def install(tmp_path: Path, module: str, *, name: str = "their_format") -> None:
    """Put a package into a folder as an installer would."""
    info = tmp_path / "installed/their_format-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-format\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[distill.formats]\ntheir_runs = {name}\n")
    (tmp_path / "installed/their_format.py").write_text(module)


def installed(project: Project) -> dict[str, str]:
    """Return the environment in which the package is found."""
    paths = [str(project.folder.parent / "installed"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def test_format_of_another_package_is_read(project: Project) -> None:
    """A source may name a format that an installed package brings; a run over it is a run as any other."""
    done = project.doit(env=installed(project))

    assert done.code == 0, done.text
    rows = project.rows("exports/sft/instruction_response.jsonl")
    assert [(row["instruction"], row["response"]) for row in rows] == [("1 + 1", "2")]
    assert "theirs/a.json[0]@1 " in rows[0]["provenance"]


def test_edit_of_the_package_runs_collect_again(project: Project, tmp_path: Path) -> None:
    """SPEC 7.4, 7.10: what the package's code says is part of collect's identity; without an edit nothing is executed."""
    project.doit(env=installed(project))

    again = project.doit(env=installed(project))
    install(tmp_path, MODULE.replace('record["a"]', 'record["a"] + "!"'))
    edited = project.doit(env=installed(project))

    assert again.executed == []
    assert "collect" in edited.executed
    assert [row["response"] for row in project.rows("exports/sft/instruction_response.jsonl")] == ["2!"]


@pytest.mark.parametrize(
    ("module", "name", "told"),
    [
        (MODULE, "not_there", "No module named 'not_there'"),
        ("", "their_format", "has no attribute 'FORMAT'"),
        (MODULE.replace("json_array", "xml"), "their_format", "expected a distill.formats.Format with a reader of distill.readers"),
    ],
)
def test_package_that_cannot_be_used_is_named(project: Project, tmp_path: Path, module: str, name: str, told: str) -> None:
    """SPEC 9: a package whose module is missing or says something else exits 2 with one message that names both."""
    install(tmp_path, module, name=name)

    done = project.doit(env=installed(project))

    assert done.code == 2
    assert f"format 'their_runs' of the installed module {name!r}" in done.err
    assert told in done.err


def test_unknown_format_lists_those_of_packages_too(project: Project) -> None:
    """SPEC 9: an unknown format names the nearest right one, also of an installed package."""
    project.write("distill.toml", CONFIG.replace("their_runs", "their_run"))

    done = project.doit(env=installed(project))

    assert done.code == 2
    assert "did you mean 'their_runs'" in done.err
