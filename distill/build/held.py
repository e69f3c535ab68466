"""Files that are kept aside instead of being lost: forged, leaked and stale ones (SPEC 1, `data/held/`)."""

import shutil
from pathlib import Path

__all__ = ["HELD", "hold_file"]

HELD = "data/held"


def hold_file(project: Path, path: str, *, kind: str, run_id: str) -> str:
    """Move a file of the project to `data/held/<kind>/<run_id>/`; return where it lies now.

    Raises:
        OSError: it cannot be moved.
    """
    place = f"{HELD}/{kind}/{run_id}/{path}"
    target = project / place
    target.parent.mkdir(parents=True, exist_ok=True)
    source = project / path
    if source.is_symlink() and source.is_file():
        shutil.copyfile(source, target)  # a link alone would not keep the bytes
        source.unlink()
    else:
        source.replace(target)
    return place
