"""Every exception distill raises on purpose; the class says whose fault it is.

A bad record is data and never raised: it becomes an `Outcome` with a reason (`distill.outcome`). A bad world is
an exception. Fields hold what a caller or a test needs, so that nobody parses a message.
"""

from collections.abc import Sequence

__all__ = [
    "ConfigError", "ContaminationError", "DamagedPartError", "DistillError", "InputError", "IntegrityError", "LockedError", "SchemaError",
    "WorkerError",
]  # fmt: skip


class DistillError(Exception):
    """Root of all errors of this package."""


class ConfigError(DistillError):
    """The user must fix a setting; `problems` holds every one found, each a sentence with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep all `problems`, so that one run of the command shows them together."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel between processes with every problem."""
        return type(self), (self.problems,)


class LockedError(DistillError):
    """Another process builds this project; nothing was touched (SPEC 7, law 12)."""


class InputError(DistillError):
    """The user must fix a file: it is missing, unreadable, or changed while it was read."""


class IntegrityError(DistillError):
    """Bytes differ from what a receipt or the ledger says."""


class ContaminationError(DistillError):
    """The firewall found rows that must never be exported (SPEC 7, law 6); `violations` lists them."""

    def __init__(self, violations: Sequence[str]) -> None:
        """Keep all `violations`; the message shows the first ten."""
        self.violations = tuple(violations)
        more = len(self.violations) - 10
        tail = f"\nand {more} more" if more > 0 else ""
        super().__init__("\n".join(self.violations[:10]) + tail)

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        """Travel between processes with every violation."""
        return type(self), (self.violations,)


class DamagedPartError(DistillError):
    """A part of an older build is not what was written; the stage is run again without any."""


class WorkerError(DistillError):
    """A worker died again and again on one unit; the message names unit, file and byte range."""


class SchemaError(DistillError):
    """A document is not what its schema says: our bug when written, a damaged file when read."""
