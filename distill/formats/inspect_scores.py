"""The scores of an inspect-ai sample: which scorers execute a check, which ask a model, and what a person changed later.

A scorer that is not in the table may be anything: it can only veto, under its own name, and is told by the warning `unknown_scorer`.
"""

import re
from typing import Any

import msgspec

from distill.formats.judging import LABELS, OUTCOME, name_aspect, read_whole_verdict
from distill.formats.loose import list_at, object_at, require_object, text_at
from distill.jsonl import BadLine
from distill.schemas.evidence import Signal, SignalKind, Verdict

__all__ = ["CHECKS", "GRADES", "read_scores"]

CHECKS = frozenset({"answer", "bleu", "choice", "exact", "f1", "includes", "match", "math", "pattern"})
"""Scorers that compare the answer with the target."""
GRADES: dict[str, Verdict] = {"C": "pass", "I": "fail", "N": "fail", "P": "partial"}
"""Correct, incorrect, no answer, partial."""


def read_scores(sample: dict[str, Any], place: str) -> tuple[list[Signal], bool]:
    """Return the signals of a sample, by the names of its scorers, and whether a scorer is unknown.

    Raises:
        BadLine: `mistyped_field`: a score is no object, or has a value that no scorer gives.
    """
    scores = object_at(sample, "scores", place)
    if not scores and sample.get("score") is not None:  # as logs had it before 2024
        scores = {"score": sample["score"]}
    signals: list[Signal] = []
    unknown = False
    for name, raw in scores.items():
        if raw is None:
            continue
        at = f"{place}scores.{name}"
        kind, aspect = _kind_of(name)
        unknown = unknown or (kind == "judge" and aspect != OUTCOME)
        signals += _read_score(require_object(raw, at), at, kind=kind, aspect=aspect, by=name)
    return signals, unknown


def _kind_of(name: str) -> tuple[SignalKind, str | None]:
    """Return who speaks through a scorer, and on what; a scorer used twice has a number behind its name."""
    plain = name.removeprefix("inspect_ai/")
    for known in (plain, re.sub(r"\d+$", "", plain)):
        if known in CHECKS:
            return "test", None
        if known.startswith("model_graded_"):
            return "judge", OUTCOME
    aspect = name_aspect(plain)
    return "judge", f"{aspect}_scorer" if aspect == OUTCOME else aspect


def _read_score(score: dict[str, Any], at: str, *, kind: SignalKind, aspect: str | None, by: str) -> list[Signal]:
    """Return what a scorer said, and after it what a person made of it; on one aspect alone a person decides nothing of the run."""
    edits = [require_object(edit, f"{at}.history[{i}]") for i, edit in enumerate(list_at(score, "history", f"{at}."))]
    changed = [edit for edit in edits if edit.get("provenance") and edit.get("value", "UNCHANGED") != "UNCHANGED"]
    if not changed:
        return _read_value(score.get("value"), at, kind=kind, aspect=aspect, by=by)
    first = next((edit.get("value") for edit in edits if not edit.get("provenance")), None)
    signals = _read_value(first, f"{at}.history[0]", kind=kind, aspect=aspect, by=by)
    for edit in changed:
        source = require_object(edit["provenance"], f"{at}.history.provenance")
        author = text_at(source, "author", f"{at}.history.provenance.") or "unknown"
        about = _read_value(edit.get("value"), at, kind="human", aspect=aspect, by=author)
        signals += [signal if signal.aspect in {None, OUTCOME} else msgspec.structs.replace(signal, verdict="none") for signal in about]
    return signals


def _read_value(value: Any, at: str, *, kind: SignalKind, aspect: str | None, by: str) -> list[Signal]:
    """Return a signal for a value, one for each of a value of several named parts, none for a null."""
    if value is None:
        return []
    if isinstance(value, dict):
        inner = f"{aspect}_" if aspect else ""
        parts = [(f"{inner}{name_aspect(key)}", key, part) for key, part in value.items() if part is not None]
        return [
            Signal(kind=kind, aspect=name, verdict=_verdict(part, at), value=part, by=by, where=f"{_field(at)}.{key}")
            for name, key, part in parts
        ]
    return [Signal(kind=kind, aspect=aspect, verdict=_verdict(value, at), value=value, by=by, where=_field(at))]


def _field(at: str) -> str:
    """Return the place of a score within its sample, the same in every sample."""
    return at[at.index("scores.") :]


def _verdict(value: Any, at: str) -> Verdict:
    """Return what a value says: a grade, a word, true or false, or a number from 0 to 1; other numbers and lists say nothing."""
    if isinstance(value, str):
        known = GRADES.get(value) or LABELS.get(value.strip().lower())
        return known or {"yes": "pass", "true": "pass", "no": "fail", "false": "fail"}.get(value.strip().lower(), "none")  # type: ignore[return-value]
    if isinstance(value, int | float):
        return read_whole_verdict(value)
    if isinstance(value, list):
        return "none"
    raise BadLine("mistyped_field", f"{at}.value: found {type(value).__name__}, expected a grade, a number or an object of them")
