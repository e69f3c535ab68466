"""The code a stage is made of belongs to its key (SPEC 4, DESIGN 2)."""

import ast
import shutil
from pathlib import Path

import distill
from distill.build import identity
from distill.stages import STAGES
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


def test_every_file_of_a_stage_is_watched() -> None:
    """The code of a stage is hashed again when any of its files changes: each lies in a folder whose fingerprints are compared."""
    package = Path(distill.__file__).parent
    watched = identity._signature()
    modules = {path for stage in STAGES for path in identity._imports_of([stage.module, *([stage.units] if stage.units else [])]).values()}

    assert len(modules) > 60
    assert {package / "mapping/reader.py", package / "formats/langfuse.py", package / "readers/archive.py"} <= modules
    assert [path for path in sorted(modules) if f"{path.parent.name}/{path.name}:" not in watched] == []
    assert "compiled/parts.pyx:" in watched
    assert {path.parent for path in modules} >= {package / name for name in ("formats", "mapping", "readers", "stages", "units")}


def parsed_imports(path: Path) -> set[str]:
    """Return every module of the package that a file imports, by its syntax tree."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if identity._module_path(name) is not None}


def test_imports_found_in_the_text_are_those_of_the_syntax() -> None:
    """Searching the text of a module for imports finds every module that its syntax tree imports, and no other."""
    package = Path(distill.__file__).parent
    tables = {"distill.formats", "distill.readers"}  # of these every module belongs to it
    for path in sorted(package.rglob("*.py")):
        name = ".".join(["distill", *path.relative_to(package).with_suffix("").parts]).removesuffix(".__init__")
        found = {one for one in identity._imported_by(name, path) if identity._module_path(one) is not None}

        assert found == parsed_imports(path) or name in tables, name
        assert found >= parsed_imports(path), name
