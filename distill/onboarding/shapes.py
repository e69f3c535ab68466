"""How the records of a file lie in it, and which built-in format they have, told from the file's own bytes (issue 5.3).

A suffix only decides where the bytes leave it open. Nothing is read beyond a bounded head and the first few records.
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from distill.files import read_records
from distill.formats import format_names
from distill.jsonl import BadLine, RawLine, decode_line
from distill.onboarding.names import MESSAGES, NAMES
from distill.readers import Limits

__all__ = ["PACKED", "Shape", "bare_suffix", "decode_some", "is_candidate", "tell_shape"]

PACKED = (".gz", ".zst")
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".eval", ".zip", ".log", ".txt", "")
_OF_A_RUN = frozenset(name for entry in NAMES if entry.field in {"instruction", "response"} for name in entry.names) | frozenset(MESSAGES)
"""Keys of one run; a file that has them holds no list of runs."""
_INSIDE = frozenset({"steps", "spans", "observations", "events", "tools", "actions", "tool_calls", "scores", "attachments"})
"""Lists of what one run is made of."""
_HEAD = 1 << 18
_FEW = 20


class Shape(NamedTuple):
    """What one file is."""

    reader: str
    """How its records lie."""
    format: str | None
    """Built-in format of its records, or None: a mapping."""
    keys: frozenset[str]
    """Keys of its first records."""
    members: str | None = None
    """Of an archive: pattern of the members that are records."""
    explode: str | None = None
    """Key of the list that holds the runs, where one record holds several."""


def bare_suffix(name: str) -> str:
    """Return the suffix of a file name, lower case, without that of the packing."""
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in PACKED else path.suffix


def is_candidate(name: str) -> bool:
    """Tell whether a file name may be a log's."""
    return bare_suffix(name) in _SUFFIXES


def tell_shape(path: Path, *, limits: Limits) -> Shape | str:
    """Return what a file is, or why it is no log that can be read."""
    suffix = bare_suffix(path.name)
    try:
        if suffix in {".zip", ".eval"}:
            return _tell_archive(path, suffix)
        head = _read_head(path)
        reader = _tell_reader(head, suffix, path, limits)
        if reader not in {"jsonl", "json_array", "json_object", "json_file"}:
            return reader
        return _tell_format(reader, suffix, path, limits)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError, zipfile.BadZipFile, NotImplementedError) as err:
        return f"cannot be read: {err}"


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked."""
    opened: Any = path.open("rb")
    if path.suffix == ".gz":
        opened.close()
        opened = gzip.open(path, "rb")  # noqa: SIM115 -- closed below, as the others
    elif path.suffix == ".zst":
        opened = zstandard.ZstdDecompressor().stream_reader(opened, closefd=True)
    with closing(opened) as file:
        head: bytes = file.read(_HEAD)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _tell_reader(head: bytes, suffix: str, path: Path, limits: Limits) -> str:
    """Return the reader of a file that is no archive, or why there is none."""
    if not head:
        return "holds nothing"
    if head[:1] == b"[":
        return "json_array"
    if head[:1] != b"{":
        return f"starts with {head[:20]!r}, expected a JSON object or array"
    first, end, rest = head.partition(b"\n")
    if _is_object(first) and (rest.strip() or suffix != ".json"):
        return "jsonl"
    if suffix in {".jsonl", ".ndjson"} or (end and any(_is_object(line) for line in rest.split(b"\n")[:3])):
        return "jsonl"
    return "json_object" if _is_keyed(path, limits) else "json_file"


def _is_object(line: bytes) -> bool:
    try:
        decode_line(line)
    except BadLine:
        return False
    return True


def _is_keyed(path: Path, limits: Limits) -> bool:
    """Tell whether the values of one object are records: two or more objects, nothing else, with keys in common."""
    records: list[dict[str, Any]] = []
    for line in islice(read_records(path, "json_object", limits), _FEW):
        if isinstance(line, BadLine) or not _is_object(line.raw):
            return False
        records.append(decode_line(line.raw))
    return len(records) > 1 and all(_overlap(frozenset(records[0]), frozenset(record)) >= 0.5 for record in records)


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))


def _tell_archive(path: Path, suffix: str) -> Shape | str:
    """Return what a zip is: an inspect-ai log, or one whose members are records."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if suffix == ".eval" or ("header.json" in names and any(name.startswith("samples/") for name in names)):
        return Shape("zip", "inspect_ai" if "inspect_ai" in format_names() else None, frozenset({"samples"}), members="samples/*.json")
    if not any(name.endswith(".json") for name in names):
        found = ", ".join(sorted({Path(name).suffix or name for name in names})[:5])
        return f"holds no .json member ({found or 'nothing'}); unpack it"
    keys = frozenset(key for record in decode_some(path, "zip", Limits(), limit=_FEW) for key in record)
    return Shape("zip", _known(keys, []), keys, members="*.json")


def decode_some(path: Path, reader: str, limits: Limits, *, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the first records that can be decoded, out of at most `limit`."""
    for line in islice(read_records(path, reader, limits), limit):
        if isinstance(line, RawLine) and line.hash is None and _is_object(line.raw):
            yield decode_line(line.raw)


def _tell_format(reader: str, suffix: str, path: Path, limits: Limits) -> Shape | str:
    records = list(decode_some(path, reader, limits, limit=1 if reader == "json_file" else _FEW))
    if not records:
        return f"no record of the first {_FEW} can be read as {reader}"
    keys = frozenset(key for record in records for key in record)
    known = _known(keys, records)
    return Shape(reader, known, keys, explode=None if known or reader != "json_file" else _runs_of(records[0]))


def _runs_of(record: dict[str, Any]) -> str | None:
    """Return the key of the longest list of objects in a file that is one record, where the file is no run itself."""
    if {key.lower() for key in record} & _OF_A_RUN:
        return None
    runs = {
        key: value
        for key, value in record.items()
        if isinstance(value, list) and value and key.lower() not in _INSIDE and all(isinstance(item, dict) for item in value)
    }
    return max(runs, key=lambda key: (len(runs[key]), key), default=None)


def _known(keys: frozenset[str], records: list[dict[str, Any]]) -> str | None:
    """Return the built-in format whose telltale keys are all there."""
    names = format_names()
    for name, groups in _TELLTALES:
        if name in names and any(group <= keys for group in groups):
            return name
    messages = any(isinstance(record.get("request"), dict) and "messages" in record["request"] for record in records)
    chats = (messages and "response" in keys) or any(_has_parts(record.get("messages")) for record in records)
    return "openai_chat" if chats and "openai_chat" in names else None


def _has_parts(messages: Any) -> bool:
    """Tell whether the content of a message is a list of parts, which no mapping reads."""
    found = messages if isinstance(messages, list) else []
    contents = [message.get("content") for message in found if isinstance(message, dict) and "role" in message]
    return any(isinstance(part, dict) and "type" in part for content in contents if isinstance(content, list) for part in content)


_TELLTALES: tuple[tuple[str, tuple[frozenset[str], ...]], ...] = (
    ("langfuse", (frozenset({"trace", "observations"}),)),
    ("otel", (
        frozenset({"resourceSpans"}), frozenset({"resource_spans"}), frozenset({"traceId", "spanId", "attributes"}),
        frozenset({"trace_id", "span_id", "attributes"}), frozenset({"context", "parent_id", "attributes"}),
    )),
    ("inspect_ai", (frozenset({"eval", "samples"}),)),
    ("openai_chat", (frozenset({"messages", "choices"}), frozenset({"messages", "usage", "model"}))),
    ("scrum_reviews", (frozenset({"task_id", "created_at", "reviewer", "verdict"}),)),
    ("outcomes", (frozenset({"run_id", "task_id", "created_at", "ok"}), frozenset({"run_id", "task_id", "created_at", "tests"}))),
)  # fmt: skip
"""Format and the sets of keys of which each tells it; the first that fits is taken."""
