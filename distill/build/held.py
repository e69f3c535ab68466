"""Files that are kept aside instead of being lost: forged, leaked and stale ones (SPEC 1, `data/held/`)."""

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
    (project / path).replace(target)
    return place
