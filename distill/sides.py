"""What second files give to a source, lookups and verdicts (SPEC 2): how a run's key is spelt, what a row of verdicts says.

How such files lie on the disk for quick look-ups is in `distill.units.sides`. Laws: a key is compared as text; a key that stands
twice with different rows gives nothing; a verdict that cannot be told is `ambiguous`, never guessed; what a row says nothing of, or
what may stand in a row that cannot be read, is no key the file lacks.
"""

from typing import Any, NamedTuple, Protocol

__all__ = ["AMBIGUOUS", "ASKED", "SILENT", "Joined", "LookupSide", "Sides", "VerdictSide", "join_key"]

AMBIGUOUS = "ambiguous"
"""Verdict of a key that has two different ones or one that means nothing, or that more than one run claims."""

ASKED = "asked"
"""Verdict of every key while the keys of runs are gathered; its value is the name of the file of verdicts."""

SILENT = "silent"
"""Verdict of a key whose row says nothing yet: no signal, and not what `otherwise` names."""


class Joined(NamedTuple):
    """What a second file says of one key."""

    verdict: str
    """pass, fail, partial, infrastructure, none, ambiguous or silent."""
    value: Any = None
    """The raw value, or the name of the list that holds the key."""
    by: str | None = None
    """The reviewer or scorer."""
    confidence: float | None = None
    """How sure a judge is."""


class LookupSide(Protocol):
    """Rows of a second file."""

    def get(self, key: str, /) -> Any | None:
        """Return the row of a key, or None where there is none or more than one."""

    def line(self, n: int, /) -> Any | None:
        """Return the row of that number, counted from 0, or None."""


class VerdictSide(Protocol):
    """Verdicts of a second file."""

    def get(self, key: str, /) -> Joined | None:
        """Return what the file says of a key; None where it does not hold it."""

    def is_whole(self) -> bool:
        """Tell whether every row could be read, so that a key the file does not hold is one it lacks."""


class Sides(Protocol):
    """The second files of one source."""

    def lookup(self, name: str, /) -> LookupSide:
        """Return the rows of a lookup."""

    def verdict(self, name: str, /) -> VerdictSide:
        """Return the verdicts of a file, by the name of its spec."""


def join_key(value: Any) -> str | None:
    """Return a key as text; only texts that are not empty and whole numbers are keys."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None
