"""docs/your-own-format.md: its steps are run, its listings are what the commands write, its snippets load."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from distill.config_file import build_config
from distill.config_specs import EVIDENCE_FIELDS
from tests.harness import Project

ROOT = Path(__file__).parents[1]
OWN = ROOT / "fixtures/formats/own"
PAGE = (ROOT / "docs/your-own-format.md").read_text(encoding="utf-8")
SNIPPETS = sorted(set(re.findall(r"`(\w+ = [^`]+)`", PAGE.partition("## What else")[2])))


def own_project(folder: Path, *names: str) -> Project:
    """Return a folder with the fixture's logs, and these files of it."""
    project = Project.__new__(Project)
    project.folder = folder
    shutil.copytree(OWN / "logs", folder / "logs")
    for name in names:
        shutil.copy(OWN / name, folder / name)
    return project


def listing(name: str) -> str:
    """Return a listing of the page."""
    found = re.search(rf"<!-- {name} -->\n```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_proposal_is_the_one_of_the_page(tmp_path: Path) -> None:
    """What `distill init logs` writes is what the page shows."""
    project = own_project(tmp_path)

    result = project.distill("init", "logs")

    assert result.code == 0
    assert (tmp_path / "distill.toml").read_text() == listing("proposed")


def test_the_finished_settings_are_those_of_the_page() -> None:
    """The file the page ends with is the fixture's."""
    assert (OWN / "distill.toml").read_text() == listing("finished")


def test_the_finished_settings_give_what_the_page_says(tmp_path: Path) -> None:
    """Twelve runs, six of them accepted, two after a retry, four rejected, one line skipped; five SFT rows, two pairs."""
    project = own_project(tmp_path)
    project.distill("init", "logs")
    shutil.copy(OWN / "distill.toml", tmp_path / "distill.toml")

    looked, built = project.distill("preview", "planner"), project.doit()

    assert (looked.code, built.code) == (0, 0)
    assert [line for line in ("  accepted 6", "  partially_accepted 2", "  rejected 4") if line not in looked.out.splitlines()] == []
    stats = project.receipts()["score"]["stats"]
    assert (stats["considered"], stats["accepted"], stats["quarantined"], stats["rejected"]) == (12, 6, 2, 4)
    assert project.receipts()["collect"]["stats"]["reasons"] == {"truncated": 1}
    assert len(project.rows("exports/sft/instruction_response.jsonl")) == 5
    pairs = project.rows("exports/preference/chosen_rejected.jsonl")
    assert [(pair["chosen_model"], pair["rejected_model"]) for pair in pairs] == [("planner-large", "planner-small")] * 2


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_loads(snippet: str) -> None:
    """Each setting the page names is one the config knows, in the place where it belongs."""
    setting: dict[str, Any] = tomllib.loads(re.sub(r"`.*", "", snippet))
    reader = "zip" if "members" in setting else "jsonl"
    source: dict[str, Any] = {"name": "own", "glob": "*", "reader": reader, "fields": {"messages": {"path": "a"}}}
    for key, value in setting.items():
        if key in EVIDENCE_FIELDS and not isinstance(value, str):
            source["fields"][key] = value
            source["file_pattern"] = "(?P<model>.+)"
        else:
            source[key] = value

    config = build_config({"sources": [source]}, path="distill.toml", environ={})

    assert len(config.sources) == 1


def test_the_page_has_snippets() -> None:
    """The table of what else a mapping can say is found."""
    assert len(SNIPPETS) >= 12
