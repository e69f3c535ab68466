"""What the verdict alone decides of a run, worked out once for all scored rows that end in the same bytes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from distill.outcome import Kind
from distill.reasons import action_of, meaning_of
from distill.runs import Run
from distill.schemas.quarantine_row import QuarantineRow
from distill.units.guard import use_of

__all__ = ["Fate", "Fates"]

_ENCODE = msgspec.json.Encoder().encode
_VERDICT = b',"category":'
_FATES = 1 << 12


class _Verdict(msgspec.Struct, frozen=True, gc=False):
    """What a scored row says beside whose it is."""

    category: Any
    score: float
    reasons: list[str]


_SAID = msgspec.json.Decoder(_Verdict).decode


class Fate(NamedTuple):
    """What scored rows of one ending have in common."""

    category: Any
    """The category."""
    reasons: list[str]
    """Its reasons."""
    use: str
    """What the firewall lets such a run be used for, whatever the stage makes of it."""
    out: tuple[Kind, str] | None
    """Why the verdict alone keeps a run out, or None."""
    score: bytes
    """Its score as JSON."""
    head: bytes
    """The quarantine row of a run that is kept out, before its id; empty where it has none."""
    tail: bytes
    """Likewise after its place."""


class Fates:
    """Fates by the bytes scored rows end in."""

    def __init__(self, stage: str, keep_out: Callable[[Run, Any], tuple[Kind, str] | None], config: Any) -> None:
        """Know none yet."""
        self._stage, self._keep_out, self._config = stage, keep_out, config
        self._known: dict[bytes, Fate] = {}

    def of(self, verdict: bytes) -> Fate:
        """Return the fate of a scored row."""
        ending = verdict[verdict.index(_VERDICT) :]
        found = self._known.get(ending)
        if found is None:
            if len(self._known) > _FATES:
                self._known.clear()
            found = self._known[ending] = self._build(_SAID(b"{" + ending[1:]))
        return found

    def _build(self, said: _Verdict) -> Fate:
        run = Run(None, "", said.category, said.reasons, said.score, None, None, None, infrastructure=False)  # type: ignore[arg-type]  # no texts
        out, use = self._keep_out(run, self._config), use_of(said.category, said.reasons[0], self._config)
        if out is None or out[0] != "quarantined":
            return Fate(said.category, said.reasons, use, out, _ENCODE(said.score), b"", b"")
        detail = f"{meaning_of(out[1])}; category {said.category} ({', '.join(said.reasons)})"
        row = QuarantineRow(
            stage=self._stage, reason=out[1], action=action_of(out[1]), evidence_id="", provenance="", detail=detail, raw=None
        )
        head, _, rest = _ENCODE(row).partition(b'"evidence_id":"')
        return Fate(
            said.category, said.reasons, use, out, _ENCODE(said.score), head + b'"evidence_id":"', rest.partition(b'"provenance":""')[2]
        )
