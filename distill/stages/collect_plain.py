"""The plain rows of a native log, from bytes to the bytes of their evidence: one decode, one encode, two hashes.

What is no plain row (errors, messages, an unusual time, a key too many, no JSON at all) is given back and read by `distill.stages.collect`,
which is the reference: law: both give the same evidence for every row (`tests/test_closed.py`, `tests/test_units.py`).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from distill.compiled import find_compiled
from distill.config import Config
from distill.conversation import KeyOfPlain
from distill.formats.closed import Shapes
from distill.formats.reading import convert_row
from distill.hashing import hash_bytes, join_parts, record_ids
from distill.jsonl import BadLine, decode_line
from distill.plan import RawLog
from distill.schemas.evidence import EvidenceRecord

__all__ = ["PlainRows"]

_COMPILED = find_compiled("collect")
_TEXT: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_TIMES = 1 << 12


class _Place(msgspec.Struct, gc=False):
    """`Provenance` of a line, without checks."""

    source_file: str
    line: int
    member: None
    index: None
    key: None
    offset: int
    sig_hash: str
    recorded_at: str | None


class _Tokens(msgspec.Struct, gc=False):
    """`Tokens`, without checks."""

    input: int | None
    output: int | None


class _Line(msgspec.Struct, gc=False):
    """`EvidenceRecord` of a plain row, without checks: every value was typed when it was decoded."""

    schema_version: int
    id: str
    run_id: str | None
    task_id: str
    source: str
    created_at: str
    model: str | None
    provider: str | None
    role: str | None
    instruction: str | None
    context: str | None
    messages: None
    response: str | None
    corrected_response: str | None
    signals: msgspec.Raw
    attempts: int | None
    errors: list[str]
    lessons: list[str]
    reference: list[str]
    tags: dict[str, str]
    cost_usd: float | None
    latency_ms: float | None
    tokens: _Tokens | None
    group: None
    subject: None
    provenance: _Place


if _Line.__struct_fields__ != EvidenceRecord.__struct_fields__:
    raise AssertionError("a plain line has not the fields of an evidence record")

_ENCODE = msgspec.json.Encoder().encode
_NOTHING: list[str] = []
_NO_TAGS: dict[str, str] = {}


class Taken(NamedTuple):
    """The evidence of a plain row."""

    line: bytes
    """With its newline."""
    id: str
    """Evidence id."""
    text: bytes
    """Key of its text, 16 bytes."""


class PlainRows:
    """Reads the plain rows of one log; one lives as long as a unit."""

    def __init__(self, log: RawLog, config: Config, plain: Any) -> None:
        """Know no shape yet; `plain` is what the log's format says of plain rows (`distill.formats.native.Plain`)."""
        self._plain, self.shapes = plain, Shapes(plain.kind)
        self._name, self._path, self._given, self._groups = log.source.name, log.file.recorded, config.recorded_at, log.groups
        self._id_of = record_ids(log.source.name, *[group for _, group in log.groups])
        self._text_of = KeyOfPlain()
        self._times: dict[str, str | None] = {}
        self._signals: dict[Any, tuple[msgspec.Raw, list[Any]]] = {}
        self.said: Counter[Any] = Counter()
        """How often each set of signals was met."""

    def signals(self) -> list[tuple[list[Any], int]]:
        """Return the sets of signals that were met, and how often."""
        return [(self._signals[key][1], times) for key, times in self.said.items()]

    def compiled(self) -> Any:
        """Return what takes the plain rows of whole ranges, or None where it was not built."""
        if _COMPILED is None:
            return None
        self.shapes.curious = 0
        head = join_parts(self._name, *[group for _, group in self._groups])
        told = b"" if self._given is None else _ENCODE(self._given)
        return _COMPILED.PlainRows(
            self._plain.fields,
            head,
            _ENCODE(self._name),
            _ENCODE(self._path),
            told,
            self._signals_in,
            self._time_in,
            needs_response=self._plain.needs_response,
        )

    def _signals_in(self, raw: bytes) -> bytes | None:
        """Return the signals of a row as JSON, None where the reference must read it."""
        try:
            row = convert_row(decode_line(raw), self._plain.kind)
        except BadLine:
            return None
        return None if self._plain.read(row) is None else _ENCODE(self._plain.signals(row))

    def _time_in(self, text: bytes) -> bytes | None:
        """Return a time in UTC, both as JSON, None where it cannot be read."""
        moment = self._plain.time(_TEXT(text))
        return None if moment is None else _ENCODE(moment)

    def take(self, raw: bytes, number: int, offset: int, *, spaced: bool) -> Taken | None:
        """Return the evidence of a plain row, or None where the reference must read it."""
        row = self.shapes.decode(raw, spaced=spaced)
        if row is None:
            return None
        found = self._plain.read(row)
        if found is None:
            return None
        said, instruction, attempts, correction, lessons = found
        moment = self._times.get(row.created_at) or self._time_of(row.created_at)
        if moment is None or not row.task_id:
            return None
        known = self._signals.get(said)
        if known is None:
            signals = self._plain.signals(row)
            known = self._signals[said] = (msgspec.Raw(_ENCODE(signals)), signals)
        identity, response, context, tokens = self._id_of(raw), row.response, row.context, row.tokens
        spent = None if tokens is None else _Tokens(tokens.input, tokens.output)
        where = _Place(self._path, number, None, None, None, offset, hash_bytes(raw), self._given or moment)
        line = _Line(
            1, identity, row.run_id or None, row.task_id, self._name, moment, row.model, row.provider, row.role, instruction, context, None,
            response, correction, known[0], attempts, _NOTHING, lessons or _NOTHING, _NOTHING, _NO_TAGS, row.cost_usd, row.latency_ms,
            spent, None, None, where,
        )  # fmt: skip
        self.said[said] += 1
        asked = instruction or ""
        if context and instruction:
            asked = f"{instruction}\n\n{context}"
        return Taken(_ENCODE(line) + b"\n", identity, self._text_of(asked, response or ""))

    def _time_of(self, text: str) -> str | None:
        """Return a time in UTC, or None where it cannot be read; a log has the same one often."""
        if len(self._times) > _TIMES:
            self._times.clear()
        moment: str | None = self._plain.time(text)
        self._times[text] = moment
        return moment
