"""Whether a stage will fit on the disk, asked before it starts."""

import shutil
from typing import Any

from distill.errors import InputError
from distill.stages import Stage

__all__ = ["GROWTH", "check_space"]

GROWTH = {
    "collect": 4.0,
    "score": 1.5,
    "extract-playbooks": 0.5,
    "export-rag": 1.5,
    "export-sft": 5.0,
    "export-preference": 6.0,
    "index": 3.0,
}
"""Bytes a stage may write at its height for each byte it reads: targets, parts and temporary files; measured, with a reserve."""
_RESERVE = 32 << 20


def check_space(stage: Stage, work: Any) -> None:
    """Check that the disk has room for a stage.

    Raises:
        InputError: it has not; the message has both figures.
    """
    size = 0
    for ref in stage.inputs(work.plan):
        path = work.project / ref.path
        size += path.stat().st_size if path.exists() else 0
    wanted = int(size * GROWTH[stage.name]) + _RESERVE
    free = shutil.disk_usage(work.project).free
    if size > _RESERVE and free < wanted:
        raise InputError(
            f"{stage.name}: needs about {wanted / 1e6:,.0f} MB of disk to work, {free / 1e6:,.0f} MB are free; "
            "make room, then run doit again"
        )
