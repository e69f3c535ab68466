"""The native log `outcomes`: one run a line, with its errors, its tests and the agent's own claim (SPEC 2.1)."""

from collections.abc import Callable
from typing import Any

import msgspec

from distill.config import Config, Source
from distill.formats.native import COMMON, Count, NativeRow, Plain, common_values, compile_patterns, find_infrastructure, plain_time
from distill.formats.reading import Position, Reading, convert_row
from distill.jsonl import BadLine
from distill.schemas.evidence import Checks, Signal, Verdict

__all__ = ["OutcomesRow", "build_plain", "build_reader"]


class RawChecks(msgspec.Struct):
    """Executed checks as a log counts them; unknown fields are accepted."""

    passed: Count
    """Checks that passed."""
    failed: Count
    """Checks that failed."""


class OutcomesRow(NativeRow, kw_only=True):
    """One line of the log."""

    ok: bool | None = None
    """What the agent says of itself."""
    errors: list[str] | None = None
    """Errors it met."""
    attempts: Count | None = None
    """On which attempt it ended."""
    tests: RawChecks | None = None
    """Executed checks."""


def build_reader(source: Source, config: Config, sides: Any = None) -> Callable[[dict[str, Any], Position], Reading]:
    """Return the reader of one source."""
    patterns = compile_patterns(config)

    def read(record: dict[str, Any], position: Position) -> Reading:
        row = convert_row(record, OutcomesRow)
        if row.response is None and row.messages is None:
            raise BadLine("missing_field", "neither response nor messages is there, expected one of them")
        values, warning = common_values(row, source)
        infrastructure, errors = find_infrastructure(row.errors or [], patterns)
        values |= {"errors": errors, "attempts": row.attempts, "signals": [*_signals(row), *infrastructure]}
        return Reading(values, warning)

    return read


def build_plain(source: Source, config: Config) -> Plain:
    """Return what is known of plain rows: an answer and no errors."""
    fields = COMMON | {name: name for name in ("ok", "errors", "attempts", "tests")}
    return Plain(OutcomesRow, _signals, plain_time(source), fields, needs_response=True)


def _signals(row: Any) -> list[Signal]:
    signals: list[Signal] = []
    if row.tests is not None:
        checks = Checks(passed=row.tests.passed, failed=row.tests.failed)
        verdict: Verdict = "fail" if checks.failed else "pass" if checks.passed else "none"
        signals.append(Signal(kind="test", verdict=verdict, checks=checks, where="tests"))
    if row.ok is not None:
        signals.append(Signal(kind="self", verdict="pass" if row.ok else "fail", value=row.ok, where="ok"))
    return signals
