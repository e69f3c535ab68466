"""The native log `scrum_reviews`: a reviewer's verdict on a run, a person's or a model's (SPEC 2.1)."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec

from distill.config import Config, Source
from distill.formats.native import COMMON, Count, NativeRow, Plain, common_values, plain_time
from distill.formats.reading import Position, Reading, convert_row
from distill.jsonl import BadLine
from distill.schemas.evidence import Signal, Verdict

__all__ = ["ReviewRow", "build_plain", "build_reader"]

_VERDICTS: dict[str, Verdict] = {
    "accept": "pass",
    "accept_with_changes": "with_changes",
    "reject": "fail",
    "escalate": "escalate",
}


class ReviewRow(NativeRow, kw_only=True):
    """One line of the log."""

    reviewer: str | None = None
    """Who reviewed; a person where it matches `human_reviewers`."""
    verdict: Literal["accept", "accept_with_changes", "reject", "escalate"] | None = None
    """The decision."""
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """How sure a judge is, a fraction of 1; percent would make every judge a strong one."""
    notes: str | None = None
    """Why."""
    corrected_response: str | None = None
    """The answer the reviewer would have given."""
    accepted_on_attempt: Count | None = None
    """On which attempt it was accepted."""


def build_reader(source: Source, config: Config, sides: Any = None) -> Callable[[dict[str, Any], Position], Reading]:
    """Return the reader of one source."""

    def read(record: dict[str, Any], position: Position) -> Reading:
        row = convert_row(record, ReviewRow)
        if row.response is None and row.messages is None and row.verdict is None:
            raise BadLine("missing_field", "neither response nor messages nor verdict is there, expected one of them")
        values, warning = common_values(row, source)
        values |= {
            "corrected_response": row.corrected_response or None,
            "attempts": row.accepted_on_attempt,
            "lessons": [row.notes] if row.notes else [],
            "signals": [_signal(row, config)] if row.verdict is not None else [],
        }
        return Reading(values, warning)

    return read


def build_plain(source: Source, config: Config) -> Plain:
    """Return what is known of plain rows: an answer or a verdict."""

    def signals(row: Any) -> list[Signal]:
        return [_signal(row, config)] if row.verdict is not None else []

    named = ("reviewer", "verdict", "confidence", "notes", "corrected_response")
    fields = COMMON | {name: name for name in named} | {"accepted_on_attempt": "attempts"}
    return Plain(ReviewRow, signals, plain_time(source), fields, needs_response=False)


def _signal(row: Any, config: Config) -> Signal:
    person = row.reviewer is not None and any(fnmatchcase(row.reviewer, pattern) for pattern in config.human_reviewers)
    return Signal(
        kind="human" if person else "judge", aspect=None if person else "outcome", verdict=_VERDICTS[row.verdict or ""], value=row.verdict,
        confidence=row.confidence, by=row.reviewer, where="verdict",
    )  # fmt: skip
