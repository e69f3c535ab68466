"""The plain rows of a native log, from bytes to the bytes of their evidence: what the compiled loop is told, and what it asks.

What is no plain row (errors, messages, an unusual number, a key twice, no JSON at all) is given back and read by `distill.stages.collect`,
which is the reference; where nothing was compiled it reads every row. Law: both give the same evidence (`tests/test_compiled.py`,
`tests/test_units.py`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from distill.compiled import find_compiled
from distill.config import Config
from distill.formats.native import Plain
from distill.formats.reading import convert_row
from distill.hashing import join_parts
from distill.jsonl import BadLine, decode_line
from distill.plan import RawLog

__all__ = ["plain_rows"]

_COMPILED = find_compiled("collect")
_ENCODE = msgspec.json.Encoder().encode
_TEXT: Callable[[bytes], str] = msgspec.json.Decoder(str).decode


def plain_rows(log: RawLog, config: Config, plain: Plain) -> Any:
    """Return what takes the plain rows of a log, `distill.compiled.collect.PlainRows`, or None where it was not built."""
    if _COMPILED is None:
        return None

    def signals_of(raw: bytes) -> bytes | None:
        try:
            return _ENCODE(plain.signals(convert_row(decode_line(raw), plain.kind)))
        except BadLine:
            return None

    def time_of(text: bytes) -> bytes | None:
        moment = plain.time(_TEXT(text))
        return None if moment is None else _ENCODE(moment)

    head = join_parts(log.source.name, *[group for _, group in log.groups])
    given = b"" if config.recorded_at is None else _ENCODE(config.recorded_at)
    return _COMPILED.PlainRows(
        plain.fields, head, _ENCODE(log.source.name), _ENCODE(log.file.recorded), given, signals_of, time_of,
        needs_response=plain.needs_response,
    )  # fmt: skip
