"""The code a stage is made of belongs to its key (SPEC 4, DESIGN 2)."""

import shutil
from pathlib import Path

import distill
from tests.harness import sample_project


def test_a_changed_rule_runs_exactly_the_stages_it_touches(tmp_path: Path) -> None:
    """A change in the rules runs score again and, its output being the same, nothing below it."""
    project = sample_project(tmp_path / "project")
    shutil.copytree(Path(distill.__file__).parent, project.folder / "distill", ignore=shutil.ignore_patterns("__pycache__"))
    assert project.doit().code == 0
    assert project.doit().executed == []

    rules = project.folder / "distill/rules.py"
    rules.write_text(rules.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")

    assert project.doit().executed == ["score", "summary"]
    assert project.document("score.json")["decision_reason"] == "changed: the code of the stage"
