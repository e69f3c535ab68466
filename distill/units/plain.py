"""What most runs are, taken from the bytes of their rows: told in one row, of one question and one answer, nothing else to weigh.

The texts of such a run go from its evidence into exports as they are spelt there, neither decoded nor encoded again: both are written by
the one encoder. What a verdict alone decides is worked out once for all scored rows that end in the same bytes. Every other run goes the
way of `distill.units.exports`, which is the reference for these (`tests/test_units.py` holds both against the plain generators).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from distill.outcome import Kind
from distill.reasons import action_of, meaning_of
from distill.runs import Run
from distill.schemas.evidence import Provenance
from distill.schemas.quarantine_row import QuarantineRow
from distill.units.guard import use_of
from distill.units.parts import KEY

__all__ = ["Fate", "Fates", "PlainRun", "decode_plain", "id_of", "place_of_plain"]

_ENCODE = msgspec.json.Encoder().encode
_EVIDENCE, _SCORED = b'{"schema_version":1,"id":"', b'{"schema_version":1,"evidence_id":"'
_EVIDENCE_ID = slice(len(_EVIDENCE), len(_EVIDENCE) + KEY)
_SCORED_ID = slice(len(_SCORED), len(_SCORED) + KEY)
_VERDICT = b',"category":'
_PROVENANCE = b',"provenance":{"source_file":'  # the last field; no text can hold it, since its quotes would be escaped
_FATES = 1 << 12
_NULL = b"null"
_RAW_NULL = msgspec.Raw(_NULL)
_EMPTY = frozenset({_NULL, b'""'})


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
    """Fates by the bytes scored rows end in, and how many runs each kept out."""

    def __init__(self, stage: str, keep_out: Callable[[Run, Any], tuple[Kind, str] | None], config: Any) -> None:
        """Know none yet."""
        self._stage, self._keep_out, self._config = stage, keep_out, config
        self._known: dict[bytes, Fate] = {}
        self.kept_out: Counter[tuple[Kind, str]] = Counter()
        """Runs that were kept out, by outcome and reason."""

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


class _Place(msgspec.Struct, frozen=True, gc=False):
    """Where a record stands; its path as it is spelt."""

    source_file: msgspec.Raw
    line: int | None
    member: msgspec.Raw
    index: msgspec.Raw
    key: msgspec.Raw
    offset: int
    sig_hash: str


class PlainRun(msgspec.Struct, frozen=True, gc=False):
    """The fields of an evidence record that exports are made of, texts as they are spelt."""

    source: str
    """Name of the source."""
    run_id: msgspec.Raw
    """The run's id in its log."""
    task_id: str | None
    """Identity of the task."""
    model: msgspec.Raw
    """Model that acted."""
    instruction: msgspec.Raw
    """What the agent was asked."""
    context: msgspec.Raw
    """What it was given besides."""
    messages: msgspec.Raw
    """Null in a plain run."""
    response: msgspec.Raw
    """The answer."""
    signals: msgspec.Raw
    """What the log says about how it went."""
    reference: msgspec.Raw
    """Empty in a plain run."""
    tags: msgspec.Raw
    """What the log says beside."""
    provenance: _Place
    """Where it stood."""


class _PlainPlace(msgspec.Struct, frozen=True, gc=False):
    """The place of an evidence record alone."""

    provenance: Provenance


_RUN = msgspec.json.Decoder(PlainRun).decode
_PLACE = msgspec.json.Decoder(_PlainPlace).decode


def id_of(line: bytes, verdict: bytes) -> bytes | None:
    """Return the id that a line of evidence and its scored row share; None where they are not written as this build writes them."""
    identity = verdict[_SCORED_ID]
    fits = line.startswith(_EVIDENCE) and verdict.startswith(_SCORED) and line[_EVIDENCE_ID] == identity
    return identity if fits else None


def place_of_plain(line: bytes) -> bytes:
    """Return the provenance of a line of evidence as a JSON string."""
    return _ENCODE(str(_PLACE(b"{" + line[line.rindex(_PROVENANCE) + 1 :]).provenance))


def decode_plain(line: bytes) -> tuple[PlainRun, bytes, bytes] | None:
    """Return a run, its user text and its provenance as JSON strings, or None where it is not plain."""
    run = _RUN(line)
    if bytes(run.messages) != _NULL or bytes(run.reference) != b"[]":
        return None
    where = run.provenance
    if bytes(run.run_id) in _EMPTY or where.line is None or where.member != _RAW_NULL or where.key != _RAW_NULL or where.index != _RAW_NULL:
        return None
    asked, context = bytes(run.instruction), bytes(run.context)
    if context not in _EMPTY and asked not in _EMPTY:
        asked = b"%b\\n\\n%b" % (asked[:-1], context[1:])
    place = b'%b:%d@%d blake3:%b"' % (bytes(where.source_file)[:-1], where.line, where.offset, where.sig_hash.encode())
    return run, asked, place
