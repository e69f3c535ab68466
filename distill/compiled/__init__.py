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
    """Return a compiled module, or None where it was not built, is out of date, or `DISTILL_COMPILED=0` switches it off."""
    if os.environ.get(_OFF) == "0":
        return None
    try:
        module = import_module(f"distill.compiled.{name}")
    except ImportError:
        return None
    if module.SOURCE.decode() != _source():
        warnings.warn(f"distill.compiled.{name} was built from another source; install distill again to build it", stacklevel=2)
        return None
    return module


@cache
def _source() -> str:
    """Return the sha256 of all sources, as the build takes it."""
    from distill.hashing import FileHasher  # noqa: PLC0415 -- not on a no-op

    hasher = FileHasher()
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in COMPILED_FROM:
            hasher.update(path.read_bytes())
    return hasher.sha256
