"""What a stage says of one unit: exactly one outcome, with a reason where it was not accepted (SPEC 6, "The books").

Counting is not here: the runner counts (`distill.runner`).
"""

from typing import Any, Literal, NamedTuple

import msgspec

__all__ = ["Kind", "Outcome", "Row"]

Kind = Literal["accepted", "rejected", "quarantined", "skipped", "filtered"]


class Row(NamedTuple):
    """One row to write."""

    target: str
    """Path of the output file, relative to the project."""
    key: Any
    """Sort key within the file (a string, or a tuple), or None to keep the order of arrival."""
    value: msgspec.Struct
    """The record."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The fate of one unit in one stage."""

    kind: Kind
    """The column of the books it is counted in."""
    unit: str | None = None
    """What it is the fate of: an evidence id, or the provenance of a record that has none; None counts nothing."""
    reason: str | None = None
    """Slug of `distill.reasons`, or a scoring slug; None where it was accepted."""
    file: str | None = None
    """Partition for `by_file`, where the stage keeps it."""
    category: str | None = None
    """Category of the run, counted per partition by score."""
    rows: tuple[Row, ...] = ()
    """Rows this unit adds to the outputs."""
    warning: str | None = None
    """Something worth telling that changes no outcome, its slug first."""
    error: str | None = None
    """Something for which the stage does not pass, though no single unit is at fault."""
