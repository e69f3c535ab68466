"""The ledger: one hash-linked line a run and a line a tamper event (SPEC 6).

Rewritten whole by one rename, so that no line is ever torn. Known weakness: whoever can write everything can also
recompute the chain; a head kept outside the project is what an auditor compares.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from distill.errors import SchemaError
from distill.hashing import hash_bytes
from distill.jsonl import decode_document, encode_row
from distill.plan import LEDGER
from distill.schemas.ledger import LedgerLine
from distill.schemas.run_summary import RunSummary
from distill.targets import write_whole

__all__ = ["Ledger", "append_lines", "read_ledger", "run_line", "save_ledger", "tamper_line"]


class Ledger(msgspec.Struct, frozen=True):
    """The ledger as it lies on the disk."""

    data: bytes
    """Its bytes."""
    lines: list[LedgerLine]
    """Its readable lines."""
    problem: str | None
    """Where the chain breaks, or None."""

    @property
    def head(self) -> str | None:
        """blake3 of the last line, without its newline; None where there is none."""
        last = self.data.rstrip(b"\n").rsplit(b"\n", 1)[-1]
        return hash_bytes(last) if last else None


def read_ledger(project: Path) -> Ledger:
    """Read and check the ledger; a broken chain is said, never repaired."""
    path = project / LEDGER
    data = path.read_bytes() if path.exists() else b""
    lines: list[LedgerLine] = []
    problem = None
    before: str | None = None
    for number, raw in enumerate(data.splitlines(), 1):
        try:
            line = decode_document(raw, LedgerLine, place=f"{LEDGER}:{number}")
        except SchemaError as err:
            problem = problem or str(err)
        else:
            if line.prev != before:
                problem = problem or f"{LEDGER}:{number}: prev is {line.prev!r}, expected {before!r}; a line before it was changed"
            lines.append(line)
        before = hash_bytes(raw)
    return Ledger(data, lines, problem)


def run_line(summary: RunSummary, summary_blake3: str) -> LedgerLine:
    """Return the line of a run, still without its link."""
    return LedgerLine(
        kind="run", run_id=summary.run_id, timestamp=summary.ended_at, scope=summary.scope, passed=summary.overall_passed,
        run_hash=summary.run_hash, summary_blake3=summary_blake3, prev=None,
    )  # fmt: skip


def tamper_line(summary: RunSummary, path: str, detail: str) -> LedgerLine:
    """Return the line of a tamper event, still without its link."""
    return LedgerLine(kind="tamper", run_id=summary.run_id, timestamp=summary.ended_at, path=path, detail=detail, prev=None)


def append_lines(ledger: Ledger, lines: Sequence[LedgerLine]) -> Ledger:
    """Return the ledger with linked lines at its end; nothing is written."""
    data = ledger.data if not ledger.data or ledger.data.endswith(b"\n") else ledger.data + b"\n"
    linked = list(ledger.lines)
    head = ledger.head
    for line in lines:
        line = msgspec.structs.replace(line, prev=head)  # noqa: PLW2901 -- the link belongs to it
        raw = encode_row(line)
        head = hash_bytes(raw.rstrip(b"\n"))
        data += raw
        linked.append(line)
    return Ledger(data, linked, ledger.problem)


def save_ledger(project: Path, ledger: Ledger) -> None:
    """Write the ledger by one rename."""
    write_whole(project / LEDGER, ledger.data)
