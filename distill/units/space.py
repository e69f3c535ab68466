"""Whether a stage will fit on the disk, asked before it starts."""

import shutil
from typing import Any

from distill.errors import InputError
from distill.stages import Stage
from distill.units.workshop import PACKED

__all__ = ["GROWTH", "check_space"]

GROWTH = {
    "collect": 4.5, "score": 3.0, "extract-playbooks": 3.0, "export-rag": 3.0, "export-sft": 3.5, "export-preference": 4.0, "index": 2.0,
}  # fmt: skip
"""Bytes a stage may write at its height for each byte it reads: targets, parts and temporary files; measured, with a reserve."""
_RESERVE = 32 << 20
_UNPACKED = 10
"""Bytes a packed log unpacks to, for each of its own."""


def check_space(stage: Stage, work: Any) -> None:
    """Check that the disk has room for a stage.

    Raises:
        InputError: it has not; the message has both figures.
    """
    size = 0
    for ref in stage.inputs(work.plan):
        path = work.project / ref.path
        size += (path.stat().st_size if path.exists() else 0) * (_UNPACKED if ref.path.endswith((*PACKED, ".zip", ".eval")) else 1)
    wanted = int(size * GROWTH[stage.name]) + _RESERVE
    free = shutil.disk_usage(work.project).free
    if size > _RESERVE and free < wanted:
        raise InputError(
            f"{stage.name}: needs about {wanted / 1e6:,.0f} MB of disk to work, {free / 1e6:,.0f} MB are free; "
            "make room, then run doit again"
        )
