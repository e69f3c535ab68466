"""Turns the `[[sources]]` tables a person wrote into `Source` (SPEC 2); what a mapping says is in `distill.config_mapping`."""

import re
from typing import Any

from distill.config import Source, named_groups
from distill.config_check import Check
from distill.config_mapping import (
    build_explode,
    build_failed_turns,
    build_fields,
    build_roles,
    build_tables,
    check_cumulative,
    check_lookups,
)
from distill.config_sides import build_lookups, build_verdicts
from distill.config_signals import build_signals
from distill.formats import FORMATS, format_names
from distill.readers import READERS

__all__ = ["build_sources"]

_READERS = tuple(entry.name for entry in READERS)
_USES = ("rag", "sft", "preference", "publish")
_CHOICES = {"created_at": ("absent",), "run_id": ("position",), "run_id_scope": ("source", "project"), "reader": _READERS}
_MAPPING = (
    "file_pattern", "created_at", "run_id", "fields", "tags", "signals", "explode", "lookups", "roles", "strip_markers", "failed_turns",
    "tokens", "task_id_required",
)  # fmt: skip
"""Keys of a mapped source alone."""
_SHARED = ("file_pattern", "roles")
"""Those that formats understand too, the native ones aside, whose logs say all of it."""
_STRUCTURED = frozenset({"fields", "tags", "signals", "explode", "lookups", "verdicts", "roles", "failed_turns", "tokens"})


def build_sources(check: Check, tables: Any) -> tuple[Source, ...]:
    """Build every source, and note what is wrong with any."""
    if not isinstance(tables, list) or not tables:
        check.say("sources", "no source is named; add a [[sources]] table with name, glob and format")
        return ()
    built = [_source(check, place, table) for place, table in check.tables("sources", tables)]
    names = [source.name for source in built]
    for name in sorted({name for name in names if names.count(name) > 1}):
        check.say("sources", f"the name {name!r} stands twice")
    return tuple(built)


def _scalars(check: Check, place: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return what a source says in plain values."""
    values: dict[str, Any] = {"name": "", "glob": ""}
    for key, value in table.items():
        at = f"{place}.{key}"
        if key in {"optional", "task_id_required"}:
            if check.typed(at, value, bool, "true or false"):
                values[key] = value
        elif key in {"uses", "strip_markers"}:
            values[key] = check.strings(at, value)
            for use in values[key]:
                check.choice(at, use, _USES if key == "uses" else (use,))
        elif key not in _STRUCTURED and check.typed(at, value, str, "a string"):
            values[key] = value
            check.choice(at, value, _CHOICES.get(key, (value,)))
            if "\0" in value:
                check.say(at, f"found {value!r}, expected no NUL, which no path can hold")
    return values


def _source(check: Check, place: str, table: dict[str, Any]) -> Source:
    known = Source._fields
    check.keys(place, table, known)
    values = _scalars(check, place, {key: value for key, value in table.items() if key in known})
    for key in ("name", "glob"):
        if not values[key]:
            check.say(f"{place}.{key}", "is missing")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", values["name"]) or values["name"] in {".", ".."}:
        check.say(f"{place}.name", f"found {values['name']!r}, expected letters, digits, dot, dash and underscore only")
    prefix = values.get("partition_prefix")
    if prefix and {"", ".", ".."} & set(prefix.split("/")):
        check.say(f"{place}.partition_prefix", f"found {prefix!r}, expected a folder below data/evidence such as 'logs/2026', or ''")
    if check.regex(f"{place}.file_pattern", values.get("file_pattern")):
        groups = named_groups(values.get("file_pattern"))
        values["fields"] = build_fields(check, f"{place}.fields", table.get("fields", {}), groups)
        values["tags"] = build_tables(check, f"{place}.tags", table.get("tags", {}), groups)
        values["tokens"] = build_tables(check, f"{place}.tokens", table.get("tokens", {}), groups, known=("input", "output"))
        values["lookups"] = build_lookups(check, f"{place}.lookups", table.get("lookups", []), groups)
        values["verdicts"] = build_verdicts(check, f"{place}.verdicts", table.get("verdicts", []), groups)
        check_lookups(check, place, values)
    values["signals"] = build_signals(check, f"{place}.signals", table.get("signals", []))
    values["explode"] = build_explode(check, f"{place}.explode", table.get("explode"))
    values["roles"] = build_roles(check, f"{place}.roles", table.get("roles", {}))
    values["failed_turns"] = build_failed_turns(check, f"{place}.failed_turns", table.get("failed_turns"))
    _check_shape(check, place, values)
    _check_rest(check, place, values)
    return Source(**values)


def _check_shape(check: Check, place: str, values: dict[str, Any]) -> None:
    if values.get("format") is not None:
        if all(entry.name != values["format"] for entry in FORMATS):  # only then are installed packages looked through
            check.choice(f"{place}.format", values["format"], format_names())
        native = any(entry.name == values["format"] and entry.typed for entry in FORMATS)
        for key in _MAPPING:
            if values.get(key) and (native or key not in _SHARED):
                check.say(f"{place}.{key}", f"belongs to a mapped source, but the format {values['format']!r} is set")
    elif values.get("reader") is None:
        check.say(place, f"neither a format ({', '.join(format_names())}) nor a reader ({', '.join(_READERS)}) is set")
    elif not values.get("fields"):
        check.say(f"{place}.fields", "a reader needs a mapping; say at least where instruction and response stand")


def _check_rest(check: Check, place: str, values: dict[str, Any]) -> None:
    for key in ("created_at", "run_id"):
        if values.get(key) and key in dict(values.get("fields", ())):
            check.say(f"{place}.{key}", f"found {values[key]!r}, but fields.{key} says where it stands; leave one of them out")
    if "members" in values and values.get("reader") not in {None, "zip"}:
        check.say(f"{place}.members", f"belongs to the reader zip, but the reader is {values['reader']!r}")
    if "" in values.get("strip_markers", ()):
        check.say(f"{place}.strip_markers", "found '', expected a mark such as '###STOP###'")
    for key in ("roles", "failed_turns"):
        if values.get(key) and values.get("reader") and "messages" not in dict(values.get("fields", ())):
            check.say(f"{place}.{key}", "belongs to messages, but fields.messages is not set")
    check_cumulative(check, place, values)
    if values.get("timezone"):
        from distill.times import is_zone  # noqa: PLC0415 -- only where it is given

        if not is_zone(values["timezone"]):
            check.say(f"{place}.timezone", f"found {values['timezone']!r}, expected a zone such as 'Europe/Berlin' or '+02:00'")
