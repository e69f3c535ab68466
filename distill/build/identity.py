"""What a stage is made of besides its inputs: code, settings, tools (DESIGN 2).

The code of a stage is its module and every module of distill that it imports, directly or not, what all stages run
through, and for exports the firewall. Hashes are cached by the fingerprints of the package's files, so that a no-op parses nothing.
"""

import os
import re
import sqlite3
import sys
from functools import cache
from pathlib import Path
from typing import Any

from distill.build.store import Store
from distill.canonical import dump_canonical
from distill.compiled import COMPILED_FROM
from distill.config import Config, setting_values
from distill.formats import FORMATS, format_module
from distill.stages import STAGES, Stage

__all__ = ["identity_of"]

_PACKAGE = Path(__file__).resolve().parent.parent
_SHARED = (
    "distill.runner", "distill.books", "distill.files", "distill.targets", "distill.engine", "distill.jsonl", "distill.hashing",
    "distill.validation", "distill.units.outputs", "distill.units.workshop", "distill.units.parts", "distill.units.cutting",
)  # fmt: skip
_TOOLS = ("blake3", "msgspec")
_MORE_TOOLS = {"collect": ("jmespath", "zstandard")}


def identity_of(stage: Stage, config: Config, store: Store) -> dict[str, Any]:
    """Return code_hash, config_hash and tool_versions of a stage."""
    return {
        "code_hash": _code_hashes(store)[stage.name],
        "config_hash": _config_hash(stage.name, dump_canonical(setting_values(config, stage.settings)), store),
        "tool_versions": _tool_versions(stage.name, store) | (_formats_of_others(config) if stage.name == "collect" else {}),
    }


def _formats_of_others(config: Config) -> dict[str, str]:
    """Return the hash of the code of every format that an installed package brings; an edit of it is a change as one of ours is."""
    own = {entry.name for entry in FORMATS}
    names = sorted({source.format for source in config.sources if source.format is not None} - own)
    return {f"format {name}": _hash_module(format_module(name)) for name in names}


def _hash_module(name: str) -> str:
    from importlib.util import find_spec  # noqa: PLC0415 -- only where a package brings a format

    from distill.hashing import aggregate_hash, hash_bytes  # noqa: PLC0415 -- likewise

    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return "unknown"
    folders = spec.submodule_search_locations
    base = Path(spec.origin).parent
    files = [file for folder in folders for file in Path(folder).rglob("*.py")] if folders else [Path(spec.origin)]
    return aggregate_hash((file.relative_to(base).as_posix(), hash_bytes(file.read_bytes())) for file in files)


def _config_hash(stage: str, settings: str, store: Store) -> str:
    """Return the hash of the settings a stage reads; of the same text it is remembered, so that a no-op hashes nothing."""
    known = store.meta(f"settings of {stage}")
    if known is None or known[0] != settings:
        from distill.hashing import hash_parts, tagged  # noqa: PLC0415 -- not on a no-op

        known = [settings, tagged(hash_parts((stage, settings)))]
        store.save_meta(f"settings of {stage}", known)
    return str(known[1])


def _tool_versions(stage: str, store: Store) -> dict[str, str]:
    """Return what a stage is computed with; looked up again where a folder of packages changed."""
    signature = _tool_signature()
    cached = store.meta("tools")
    if cached is None or cached["signature"] != signature:
        cached = {"signature": signature, "tools": {entry.name: _look_up(entry.name) for entry in STAGES}}
        store.save_meta("tools", cached)
    return dict(cached["tools"][stage])


@cache
def _tool_signature() -> str:
    return f"{sys.version} {[(folder, _changed(folder)) for folder in sys.path if folder.endswith('-packages')]}"


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _look_up(stage: str) -> dict[str, str]:
    from importlib.metadata import version  # noqa: PLC0415 -- reads files

    from distill import __version__  # noqa: PLC0415 -- the root holds nothing else

    python = ".".join(map(str, sys.version_info[:3]))
    tools = {"distill": __version__, "python": python, "doit": version("doit")}
    tools |= {name: version(name) for name in (*_TOOLS, *_MORE_TOOLS.get(stage, ()))}
    return tools | ({"sqlite": sqlite3.sqlite_version} if stage == "index" else {})


def _code_hashes(store: Store) -> dict[str, str]:
    signature = _signature()
    cached = store.meta("code")
    if cached is not None and cached["signature"] == signature:
        return dict(cached["hashes"])
    hashes = {stage.name: _code_hash(stage) for stage in STAGES}
    store.save_meta("code", {"signature": signature, "hashes": hashes})
    return hashes


@cache
def _signature() -> str:
    """Return the fingerprints of every file of the package; code does not change under a running process."""
    found: list[str] = []
    for folder in (_PACKAGE, *(_PACKAGE / name for name in ("compiled", "formats", "mapping", "readers", "schemas", "stages", "units"))):
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".py", *COMPILED_FROM)):
                    stat = entry.stat()
                    found.append(f"{folder.name}/{entry.name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}")
    return str(_PACKAGE) + " " + " ".join(sorted(found))


def _code_hash(stage: Stage) -> str:
    from distill.hashing import aggregate_hash  # noqa: PLC0415 -- not on a no-op

    units = [stage.units] if stage.units is not None else []
    start = [stage.module, *units, *(["distill.firewall"] if stage.name.startswith("export-") else [])]
    files = _imports_of(start) | {name: path for name in _SHARED if (path := _module_path(name)) is not None}
    files |= {f"compiled/{path.name}": path for path in (_PACKAGE / "compiled").iterdir() if path.suffix in COMPILED_FROM}
    return aggregate_hash((name, _hash_text(path)) for name, path in files.items())


@cache
def _hash_text(path: Path) -> str:
    from distill.hashing import hash_bytes  # noqa: PLC0415 -- likewise

    return hash_bytes(path.read_bytes())


def _imports_of(modules: list[str]) -> dict[str, Path]:
    """Return every module of the package that `modules` import, directly or not, and themselves."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _module_path(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += _imported_by(name, path)
    return found


_IMPORT = r"(?m)^[ \t]*(?:from (distill[\w.]*) import (\([^)]*\)|[^\n]*)|import (distill[\w.]*))"


@cache
def _imported_by(name: str, path: Path) -> tuple[str, ...]:
    """Return what one module imports of the package, anywhere in it; the tables of formats and readers import every one.

    The text is searched and not parsed, which takes a twentieth of the time; a name too many is no module and does no harm.
    """
    names: list[str] = []
    for module, imported, alone in re.findall(_IMPORT, path.read_text(encoding="utf-8")):
        names += [alone] if alone else [module, *(f"{module}.{alias}" for alias in re.findall(r"\w+", imported))]
    if name in {"distill.formats", "distill.readers"}:
        names += [f"{name}.{file.stem}" for file in sorted((_PACKAGE / name.rpartition(".")[2]).glob("*.py"))]
    if name == "distill.formats":
        names.append(format_module(None))  # that of mapped sources, which it names and does not import
    return tuple(names)


@cache
def _module_path(name: str) -> Path | None:
    parts = name.split(".")
    if parts[0] != "distill":
        return None
    base = _PACKAGE.joinpath(*parts[1:])
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return file if file.is_file() else None
