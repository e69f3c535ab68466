"""The page of figures, reports/benchmarks.md: one section per benchmark, between two comments, written anew by its command."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks.measuring import ROOT

__all__ = ["is_installed", "render_table", "versions_of", "write_section"]

_PAGE = ROOT / "reports/benchmarks.md"


def versions_of(*packages: str) -> str:
    """Return the packages with their versions; one that is not installed is named as such."""
    return ", ".join(f"{name} {_version(name) or 'not installed'}" for name in packages)


def is_installed(package: str) -> bool:
    """Tell whether a package is there."""
    return _version(package) is not None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table; the first `texts` columns and one called `note` stand left, figures right."""
    marks = ["---" if place < texts or name == "note" else "---:" for place, name in enumerate(head)]
    lines = [f"| {' | '.join(cells)} |" for cells in [head, *rows]]
    return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def write_section(name: str, *, command: str, facts: str, body: str) -> None:
    """Write a section between its comments, with the machine and the command line.

    Raises:
        SystemExit: the page has no such section.
    """
    first, last = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    page = _PAGE.read_text(encoding="utf-8")
    if first not in page or last not in page:
        raise SystemExit(f"{_PAGE.relative_to(ROOT)}: has no place for {name!r}; write {first.strip()} and {last} into it")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    head = f"`{command}`: {facts}; {cores} cores, {platform.system()}, Python {platform.python_version()}."
    before, rest = page.split(first, 1)
    after = rest.split(last, 1)[1]
    _PAGE.write_text(f"{before}{first}{head}\n\n{body}\n{last}{after}", encoding="utf-8")
    sys.stdout.write(f"{name}: {head}\n\n{body}\n\n")
