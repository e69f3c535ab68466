"""The loops over bytes that were compiled, where they could be: an addition, never a condition.

Law: with or without them every file has the same bytes (`tests/test_compiled.py`, `tests/test_units.py`). A module that was built from
another source than the one that lies here is not used, since the code hash of a stage speaks of this one.
"""

import os
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["COMPILED_FROM", "find_compiled"]

COMPILED_FROM = (".pyx", ".pxd", ".h")
"""Endings of the files that are compiled."""
_OFF = "DISTILL_COMPILED"
_FOLDER = Path(__file__).parent


@cache
def find_compiled(name: str) -> Any:
    """Return a compiled module, or None: they hand lines to each other, so that all are used or none.

    None is used where one was not built, is out of date, or `DISTILL_COMPILED=0` switches them off.
    """
    return _load().get(name)


@cache
def _load() -> dict[str, Any]:
    """Return every compiled module by its name; nothing where not every one can be used."""
    found: dict[str, Any] = {}
    for path in sorted(_FOLDER.glob("*.pyx")) if os.environ.get(_OFF) != "0" else ():
        try:
            module = import_module(f"distill.compiled.{path.stem}")
        except ImportError:
            return {}
        if module.SOURCE.decode() != _source():
            warnings.warn(f"distill.compiled.{path.stem} was built from another source; install distill again to build it", stacklevel=3)
            return {}
        found[path.stem] = module
    return found


@cache
def _source() -> str:
    """Return the sha256 of all sources, as the build takes it."""
    from distill.hashing import FileHasher  # noqa: PLC0415 -- not on a no-op

    hasher = FileHasher()
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in COMPILED_FROM:
            hasher.update(path.read_bytes())
    return hasher.sha256
