"""The documentation says what is true today."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from distill.formats import FORMATS
from distill.report.reference import render_reference
from distill.stages import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("reports/*.md")])


def test_the_reference_is_written_from_the_tables() -> None:
    """docs/reference.md is what `python -m distill.report.reference` prints."""
    assert (ROOT / "docs/reference.md").read_text(encoding="utf-8") == render_reference()


def test_the_readme_names_every_format_and_target() -> None:
    """Each log format and each file of an export stands in the README."""
    assert [entry.name for entry in FORMATS if f"`{entry.name}`" not in README] == []
    assert [stage.dataset for stage in STAGES if stage.dataset and stage.dataset not in README] == []


def test_the_readme_names_every_command() -> None:
    """Each command of the console script stands in the README."""
    help_text = subprocess.run([sys.executable, "-m", "distill", "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^\W*(run-all|read|runs|search|init|preview)\s", help_text, re.MULTILINE)

    assert sorted(commands) == ["init", "preview", "read", "run-all", "runs", "search"]
    assert [name for name in commands if f"`distill {name}" not in README] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """A relative link in a page leads to a file or folder of the project."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_gate_runs_what_the_readme_says() -> None:
    """The gate takes its two command lines out of the README, where each stands alone in a block."""
    for name in ("run", "test"):
        block = re.search(rf"<!-- {name} -->\n```sh\n(.+)\n```\n", README)
        assert block is not None
        assert "\n" not in block[1]
