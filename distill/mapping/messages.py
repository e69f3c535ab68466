"""The conversation of a mapped record (SPEC 2): roles of other agents, parallel lists, a simulator's marks, turns that went wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from distill.config import FailedTurns, FieldSpec, Source
from distill.config_specs import ROLES
from distill.formats.native import RawMessage, build_messages
from distill.formats.reading import Position
from distill.jsonl import BadLine
from distill.mapping.fields import Fields, Take, as_text
from distill.mapping.paths import compile_path
from distill.schemas.evidence import Message

__all__ = ["Cut", "Talk", "compile_cut", "compile_messages"]

Cut = Callable[[str | None], str | None]
"""Cuts marks out of a text."""
Raws = Callable[[dict[str, Any], Position], tuple[list[RawMessage] | None, str | None]]


class _Listed(msgspec.Struct):
    """A list of messages; a struct, since what is known of its type is worked out once."""

    messages: list[RawMessage]


UNEQUAL = "unequal_lists"
"""Warning: parallel lists have not the same length; what is over is kept."""


class Talk(NamedTuple):
    """The messages of a record."""

    messages: list[Message] | None
    """In our own shape; None where the log has none."""
    warning: str | None
    """Slug of something worth telling."""


def compile_cut(markers: tuple[str, ...]) -> Cut:
    """Return the function that cuts marks out of a text and trims the ends of what was cut; other texts stay as they are."""

    def cut(text: str | None) -> str | None:
        if text is None or not any(marker in text for marker in markers):
            return text
        for marker in markers:
            text = text.replace(marker, "")
        return text.strip()

    return cut


def compile_messages(source: Source, fields: Fields) -> Callable[[dict[str, Any], Position], Talk] | None:
    """Return the function that gives the messages of a record, or None where the source maps none."""
    spec = next((specs[0] for name, specs in source.fields if name == "messages"), None)
    if spec is None:
        return None
    raws = _zipped(spec, dict(source.roles)) if spec.zip else _listed(spec, source, fields.take(spec))
    cut = compile_cut(source.strip_markers) if source.strip_markers else None
    mark = _failed(source.failed_turns) if source.failed_turns else None

    def talk(record: dict[str, Any], position: Position) -> Talk:
        found, warning = raws(record, position)
        if found is None:
            return Talk(None, warning)
        if cut is not None:
            for message in found:
                message.content = cut(message.content)
        if mark is not None:
            mark(record, found)
        return Talk(build_messages(found), warning)

    return talk


def _role(role: Any, roles: dict[str, str], place: str) -> str:
    """Return our role of a role in the log.

    Raises:
        BadLine: `mistyped_field` for a role that nothing is said of.
    """
    known = roles.get(role) if isinstance(role, str) else None
    if known is not None:
        return known
    if role in ROLES:
        return str(role)
    raise BadLine("mistyped_field", f"{place}: found the role {role!r}, expected one of {', '.join([*ROLES, *roles])}; add it to roles")


def _listed(spec: FieldSpec, source: Source, take: Take) -> Raws:
    """Return the function that reads a list of messages."""
    reshape = _reshape(spec, dict(source.roles)) if source.roles or spec.role or spec.content else None

    def read(record: dict[str, Any], position: Position) -> tuple[list[RawMessage] | None, str | None]:
        raw = take(record, position)
        if raw is None:
            return None, None
        if reshape is not None and isinstance(raw, list):
            raw = [reshape(item, i) for i, item in enumerate(raw)]
        try:
            return msgspec.convert({"messages": raw}, _Listed).messages, None
        except msgspec.ValidationError as err:
            way_out = "; say in roles what it is" if "enum value" in str(err) else ""
            raise BadLine("mistyped_field", f"{err}{way_out}") from err

    return read


def _reshape(spec: FieldSpec, roles: dict[str, str]) -> Callable[[Any, int], Any]:
    """Return the function that gives a message our names; a name of an agent that was its role is kept as its name."""
    find_role, find_content = compile_path(spec.role or "role"), compile_path(spec.content or "content")

    def reshape(item: Any, i: int) -> Any:
        if not isinstance(item, dict):
            return item
        said = find_role(item)
        role = _role(said, roles, f"messages[{i}].{spec.role or 'role'}")
        shaped = {**item, "role": role}
        if role != said and not isinstance(item.get("name"), str):
            shaped["name"] = said
        if spec.content is not None:
            shaped["content"] = as_text(f"messages[{i}].{spec.content}", find_content(item))
        return shaped

    return reshape


def _zipped(spec: FieldSpec, roles: dict[str, str]) -> Raws:
    """Return the function that takes turns in parallel lists; what one list has more is kept."""
    lists = [(_role(part.role, roles, "messages.zip"), part.path, compile_path(part.path)) for part in spec.zip]

    def read(record: dict[str, Any], position: Position) -> tuple[list[RawMessage] | None, str | None]:
        columns = [(role, path, find(record)) for role, path, find in lists]
        if all(column is None for _, _, column in columns):
            return None, None
        found: list[tuple[int, RawMessage]] = []
        lengths: set[int] = set()
        for role, path, column in columns:
            texts = _texts(path, column)
            if not isinstance(column, str) and (column is not None or role != "system"):  # a single text stands before all turns
                lengths.add(len(texts))
            found += [(i, RawMessage(role=role, content=text)) for i, text in enumerate(texts) if text is not None]  # type: ignore[arg-type]
        found.sort(key=lambda pair: pair[0])  # stable: within a turn, in the order of the config
        return [message for _, message in found], UNEQUAL if len(lengths) > 1 else None

    return read


def _texts(path: str, column: Any) -> list[str | None]:
    if column is None:
        return []
    if isinstance(column, str):
        return [column]
    if isinstance(column, list):
        return [as_text(f"{path}[{i}]", item) for i, item in enumerate(column)]
    raise BadLine("mistyped_field", f"{path}: found {type(column).__name__}, expected a list of texts")


def _failed(spec: FailedTurns) -> Callable[[dict[str, Any], list[RawMessage]], None]:
    """Return the function that marks the assistant turns a log calls wrong."""
    find = compile_path(spec.path)

    def mark(record: dict[str, Any], messages: list[RawMessage]) -> None:
        flags = find(record)
        if flags is None:
            return
        turns = [message for message in messages if message.role == "assistant"]
        if not isinstance(flags, list) or len(flags) != len(turns):
            found = f"{len(flags)} values" if isinstance(flags, list) else type(flags).__name__
            raise BadLine("mistyped_field", f"{spec.path}: found {found}, expected one for each of the {len(turns)} assistant turns")
        for turn, flag in zip(turns, flags, strict=True):
            if any(type(flag) is type(value) and flag == value for value in spec.fail):
                turn.failed = True

    return mark
