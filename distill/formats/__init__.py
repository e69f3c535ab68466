"""The table of log formats; one module each, imported when a source needs it.

A format is a function from one raw record to one `Reading` (`distill.formats.reading`). What a mapping in the
config can say is in `distill.formats.mapping`.
"""

from typing import NamedTuple

__all__ = ["FORMATS", "TYPED", "Format", "format_module"]


class Format(NamedTuple):
    """One line of the table."""

    name: str
    """What a source says in `format`."""
    module: str
    """Where its `build_reader` is."""
    doc: str
    """What such a log is."""
    typed: bool = False
    """Whether every value comes from a field whose type was checked, so that evidence need not be read back before it is written."""


FORMATS: tuple[Format, ...] = (
    Format("outcomes", "distill.formats.outcomes", "runs with their errors, tests and the agent's own claim", typed=True),
    Format("scrum_reviews", "distill.formats.scrum_reviews", "runs with a reviewer's verdict", typed=True),
)


TYPED = frozenset(entry.name for entry in FORMATS if entry.typed)
"""Formats whose evidence need not be read back."""


def format_module(name: str | None) -> str:
    """Return the module that reads a source of this format; a mapped source has none."""
    return next((entry.module for entry in FORMATS if entry.name == name), "distill.formats.mapping")
