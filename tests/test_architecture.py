"""The layout is the architecture (STYLE 2, 3 and 7): the ladder of imports, purity, sizes and docstrings."""

import ast
from pathlib import Path

import pytest

import distill
from distill.compiled import COMPILED_FROM

PACKAGE = Path(distill.__file__).parent
PROJECT = PACKAGE.parent
LEVELS: dict[str, int] = {
    "distill": 0, "distill.errors": 0, "distill.outcome": 0, "distill.scores": 0, "distill.schemas": 0,
    "distill.hashing": 1, "distill.canonical": 1, "distill.times": 1, "distill.jsonl": 1, "distill.config": 1, "distill.config_file": 1,
    "distill.config_check": 1, "distill.config_specs": 1, "distill.config_mapping": 1, "distill.config_signals": 1, "distill.config_sides": 1,
    "distill.config_sources": 1, "distill.sides": 1,
    "distill.plan": 1, "distill.readers": 1, "distill.reasons": 1, "distill.compiled": 1, "distill.statistics": 1, "distill.books": 1,
    "distill.formats": 2, "distill.mapping": 2, "distill.rules": 2, "distill.runs": 2, "distill.conversation": 2, "distill.firewall": 2, "distill.shares": 2, "distill.baseline": 2,
    "distill.stages": 3, "distill.summary": 3, "distill.drift": 3, "distill.validation": 3,
    "distill.files": 4, "distill.targets": 4, "distill.engine": 4, "distill.units": 4, "distill.runner": 4, "distill.build": 4, "distill.onboarding": 4,
    "distill.report.markdown": 4, "distill.report.text": 4, "distill.report": 5, "distill.__main__": 5,
}  # fmt: skip
"""Level of each module, or of each folder of modules; two pages render what a run says and are called where it ends."""
TABLES = {"distill.formats", "distill.stages"}
"""Tables of names that import none of their modules; they stand below what reads them."""
OPENS_FILES = {"distill.stages.index"}
"""Pure levels with a file all the same: the index is SQLite, which writes its own."""
WORLD = {
    "os", "time", "random", "secrets", "uuid", "socket", "subprocess", "tempfile", "shutil", "io", "threading", "multiprocessing", "datetime", "pathlib",
    "sqlite3", "getpass", "platform", "urllib", "http", "glob",
}  # fmt: skip
CALLS = {"open", "input", "print", "read_text", "read_bytes", "write_text", "write_bytes", "now", "today", "utcnow", "getenv", "urandom"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in MODULES}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def imports_of(name: str) -> set[str]:
    """Return every module that a module imports, lazily or not, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names} & set(SOURCES)
            found.update(inner or {module})
    return found


def level_of(name: str) -> int:
    """Return the level of a module: its own, or its folder's; a table of names is the lowest of its folder's users."""
    if name in TABLES:
        return 1 if name == "distill.formats" else 2
    return LEVELS[name] if name in LEVELS else LEVELS[name.rsplit(".", 1)[0]]


PURE = sorted(name for name in SOURCES if level_of(name) in {2, 3} and name not in OPENS_FILES)


def test_every_module_has_a_level() -> None:
    """No module stands outside the ladder, and the ladder names none that is gone."""
    assert [name for name in SOURCES if name not in LEVELS and name.rsplit(".", 1)[0] not in LEVELS] == []
    assert set(LEVELS) <= set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_only_go_down(name: str) -> None:
    """A module imports modules of its own level or below, lazy imports included."""
    above = sorted(other for other in imports_of(name) if other.startswith("distill") and level_of(other) > level_of(name))

    assert above == []


def test_there_is_no_import_cycle() -> None:
    """Modules can be ordered so that each imports only those before it, lazy imports of `build` and `report` aside."""
    left = {name: {other for other in imports_of(name) if other in SOURCES and other != name} for name in SOURCES if level_of(name) < 4}
    while left:
        free = [name for name, needs in left.items() if not needs & set(left)]
        assert free, f"a cycle among {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("name", PURE)
def test_pure_levels_touch_no_world(name: str) -> None:
    """Levels 2 and 3 open no file and read no clock, environment or randomness."""
    outside = {module.split(".")[0] for module in imports_of(name)} & WORLD
    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }

    assert outside == set()
    assert calls & CALLS == set()


def test_exceptions_of_purity_are_still_needed() -> None:
    """The module that may open a file does."""
    assert all(imports_of(name) & WORLD for name in OPENS_FILES)


@pytest.mark.parametrize("name", SOURCES)
def test_only_the_build_imports_doit(name: str) -> None:
    """doit is known to `distill.build` and dodo.py alone."""
    uses = any(module.split(".")[0] == "doit" for module in imports_of(name))

    assert not uses or name.startswith("distill.build.")


def test_one_module_knows_each_library() -> None:
    """Hashes are taken in one module, JSON of the standard library is known to one, SQLite to one of the pure ones."""
    users = {lib: sorted(name for name in SOURCES if lib in imports_of(name)) for lib in ("hashlib", "blake3", "json")}

    assert users["hashlib"] == users["blake3"] == ["distill.hashing"]
    assert users["json"] == ["distill.canonical"]


@pytest.mark.parametrize("path", [*MODULES, *sorted(Path(__file__).parent.glob("*.py")), PROJECT / "dodo.py"], ids=lambda path: path.name)
def test_sizes(path: Path) -> None:
    """No file is longer than 400 lines and no function than 50."""
    text = path.read_text()
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 50
    ]

    assert len(text.splitlines()) <= 400
    assert long == []


@pytest.mark.parametrize(
    "path", sorted(path for path in (PACKAGE / "compiled").iterdir() if path.suffix in COMPILED_FROM), ids=lambda path: path.name
)
def test_sizes_of_what_is_compiled(path: Path) -> None:
    """No source of the compiled loops is longer than 400 lines."""
    assert len(path.read_text().splitlines()) <= 400


def undocumented(name: str) -> list[str]:
    """Return what in a module should have a docstring and has none."""
    tree = TREES[name]
    found = [] if ast.get_docstring(tree) else ["the module"]
    nodes = [(node, "") for node in tree.body] + [
        (inner, f"{node.name}.")
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for inner in node.body
    ]
    for node, owner in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            found.append(owner + node.name)
    for node in tree.body if not name.startswith("distill.build.command") else []:  # its class is doit's, with doit's attributes
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
                if isinstance(field, ast.AnnAssign) and not documented:
                    found.append(f"{node.name}.{ast.unparse(field.target)}")
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_everything_public_has_a_docstring(name: str) -> None:
    """Every module, public function, public class and struct field says what it is."""
    assert undocumented(name) == []


@pytest.mark.parametrize("name", SOURCES)
def test_public_names_are_listed(name: str) -> None:
    """What `__all__` names exists."""
    from importlib import import_module

    if name == "distill.__main__":
        return
    module = import_module(name)
    assert [public for public in getattr(module, "__all__", []) if not hasattr(module, public)] == []
