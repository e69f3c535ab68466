"""A source described by the config alone: path expressions, file-name groups, constants, templates, counts (SPEC 2).

Expressions are compiled once per source; a path that is one plain name costs a dictionary look-up.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jmespath
import msgspec

from distill.canonical import dump_sorted
from distill.config import Config, FieldSpec, SignalSpec, Source
from distill.config_file import EVIDENCE_FIELDS
from distill.errors import ConfigError
from distill.formats.native import RawMessage, build_messages, read_conversation
from distill.formats.reading import Position, Reader, Reading, convert_time
from distill.jsonl import BadLine
from distill.schemas.evidence import Signal

__all__ = ["build_reader", "check_expressions"]

Getter = Callable[[dict[str, Any], Position], Any]
_IDS = frozenset({"run_id", "task_id", "group", "subject"})


class _Signal(NamedTuple):
    spec: SignalSpec
    value: Callable[[dict[str, Any]], Any]
    by: Callable[[dict[str, Any]], Any] | None
    confidence: Callable[[dict[str, Any]], Any] | None


def check_expressions(source: Source) -> list[str]:
    """Return what is wrong with the path expressions of a source."""
    specs = [spec for _, several in source.fields for spec in several] + [spec for _, spec in source.tags]
    paths = [spec.count if spec.path is None else spec.path for spec in specs]
    for signal in source.signals:
        paths += [signal.path, signal.by, signal.confidence]
    found: list[str] = []
    for path in (path for path in paths if path is not None):
        try:
            _compile(path)
        except jmespath.exceptions.JMESPathError as err:
            found.append(f"source {source.name!r}: {path!r} is no path expression: {str(err).splitlines()[0]}")
    return found


def _compile(path: str) -> Callable[[dict[str, Any]], Any]:
    if re.fullmatch(r"[A-Za-z_]\w*", path):
        return lambda record: record.get(path)
    expression = jmespath.compile(path)

    def search(record: dict[str, Any]) -> Any:
        try:
            return expression.search(record)
        except jmespath.exceptions.JMESPathError as err:
            raise BadLine("mistyped_field", f"{path}: {str(err).splitlines()[0]}") from err

    return search


def _getter(spec: FieldSpec) -> Getter:
    if spec.path is not None:
        find = _compile(spec.path)
        return lambda record, position: find(record)
    if spec.count is not None:
        find = _compile(spec.count)
        return lambda record, position: _length(find(record), spec) + spec.plus
    if spec.group is not None:
        name, pattern = spec.group, re.compile(spec.pattern) if spec.pattern else None
        return lambda record, position: _part(position.groups.get(name), pattern)
    if spec.template is not None:
        template = spec.template
        return lambda record, position: re.sub(r"\{(\w+)\}", lambda match: position.groups.get(match[1]) or "", template)
    return lambda record, position: spec.const


def _length(value: Any, spec: FieldSpec) -> int:
    if value is None:
        return 0
    if not isinstance(value, list):
        raise BadLine("mistyped_field", f"{spec.count}: found {type(value).__name__}, expected a list to count")
    return len(value)


def _part(text: str | None, pattern: re.Pattern[str] | None) -> str | None:
    if text is None or pattern is None:
        return text
    match = pattern.search(text)
    return match.group(0) if match else None


def build_reader(source: Source, config: Config) -> Reader:
    """Compile the mapping of one source.

    Raises:
        ConfigError: a path expression is wrong.
    """
    problems = check_expressions(source)
    if problems:
        raise ConfigError(problems)
    fields = [(name, [_getter(spec) for spec in specs]) for name, specs in source.fields]
    tags = [(name, _getter(spec)) for name, spec in source.tags]
    signals = [
        _Signal(spec, _compile(spec.path), *(_compile(path) if path else None for path in (spec.by, spec.confidence)))
        for spec in source.signals
    ]

    declared = {name for name, _ in fields}

    def read(record: dict[str, Any], position: Position) -> Reading:
        values: dict[str, Any] = {}
        for name, getters in fields:
            found = [getter(record, position) for getter in getters]
            values[name] = _convert(name, found)
        conversation, warning = read_conversation(_messages(values), values.get("instruction"), values.get("response"))
        values |= conversation
        values["tags"] = {name: text for name, getter in tags if (text := _text(name, getter(record, position), ids=True)) is not None}
        found_signals = [signal for spec in signals if (signal := _signal(spec, record)) is not None]
        values["signals"] = [signal for signal in found_signals if signal.kind != "judge" or not _is_blank(values, declared)]
        if values.get("created_at") is not None:
            values["created_at"] = convert_time(values["created_at"], source)
        if source.run_id == "position":
            values["run_id"] = f"position:{position.recorded_path}:{position.line}"
        if source.task_id_required and values.get("task_id") is None:
            raise BadLine("missing_field", "task_id is null, and the source says task_id_required")
        return Reading(values, warning)

    return read


def _is_blank(values: dict[str, Any], declared: set[str]) -> bool:
    """Tell whether a judge had no input or no output to look at; a log that holds neither, only verdicts, says nothing of that."""
    seen = [name for name in ("instruction", "response") if declared & {name, "messages"}]
    return any(not (values[name] or "").strip() for name in seen)


def _messages(values: dict[str, Any]) -> Any:
    raw = values.get("messages")
    if raw is None:
        return None
    try:
        return build_messages(msgspec.convert(raw, list[RawMessage]))
    except msgspec.ValidationError as err:
        raise BadLine("mistyped_field", f"messages: {err}") from err


def _convert(name: str, found: list[Any]) -> Any:
    kind = EVIDENCE_FIELDS[name]
    if kind == "list":
        return [text for value in found for text in _texts(name, value)]
    value = found[0]
    if kind == "text":
        text = _text(name, value, ids=name in _IDS)
        return text or None if name in _IDS else text
    if value is None or kind == "messages":
        return value
    right = isinstance(value, int) if kind == "count" else isinstance(value, int | float)
    if not right or isinstance(value, bool) or value < 0:
        raise BadLine("mistyped_field", f"{name}: found {value!r}, expected a {kind} of zero or more")
    return value


def _text(name: str, value: Any, *, ids: bool = False) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if ids and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadLine("mistyped_field", f"{name}: found {type(value).__name__}, expected text or a list of texts")


def _texts(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        value = [value]
    if name == "reference":
        return [item if isinstance(item, str) else dump_sorted(item) for item in value]
    if not all(isinstance(item, str) for item in value):
        raise BadLine("mistyped_field", f"{name}: found {type(value[0]).__name__}, expected text or a list of texts")
    return list(value)


def _signal(compiled: _Signal, record: dict[str, Any]) -> Signal | None:
    spec, value = compiled.spec, compiled.value(record)
    if value is None:
        return None
    if _is_in(value, spec.infrastructure):
        return Signal(kind="infrastructure", verdict="none", value=value, where=spec.path)
    by = compiled.by(record) if compiled.by else None
    confidence = compiled.confidence(record) if compiled.confidence else None
    if confidence is not None and (isinstance(confidence, bool) or not isinstance(confidence, int | float)):
        raise BadLine("mistyped_field", f"{spec.confidence}: found {confidence!r}, expected a number")
    return Signal(
        kind=spec.kind, aspect=spec.aspect, verdict=_verdict(spec, value), value=value, confidence=confidence,  # type: ignore[arg-type]
        by=None if by is None else str(by), where=spec.path,
    )  # fmt: skip


def _verdict(spec: SignalSpec, value: Any) -> Any:
    if spec.threshold:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadLine("mistyped_field", f"{spec.path}: found {value!r}, expected a number between the thresholds")
        return "pass" if value >= spec.pass_[0] else "fail" if value <= spec.fail[0] else "partial"
    for verdict, known in (("pass", spec.pass_), ("fail", spec.fail), ("partial", spec.partial)):
        if _is_in(value, known):
            return verdict
    expected = [*spec.pass_, *spec.fail, *spec.partial, *spec.infrastructure]
    raise BadLine("mistyped_field", f"{spec.path}: found {value!r}, expected one of {expected}")


def _is_in(value: Any, known: tuple[Any, ...]) -> bool:
    return any(type(value) is type(item) and value == item for item in known)
