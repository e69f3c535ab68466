"""Turns what a person wrote of fields, runs in one record, roles and failed turns into specs (SPEC 2)."""

import re
from typing import Any, NamedTuple

from distill.config_check import Check, nearest
from distill.config_specs import EVIDENCE_FIELDS, ROLES, ExplodeSpec, FailedTurns, FieldSpec, ZipSpec

__all__ = [
    "Takes", "build_explode", "build_failed_turns", "build_field", "build_fields", "build_roles", "build_tables", "check_cumulative",
    "check_lookups",
]  # fmt: skip

Fields = tuple[tuple[str, tuple[FieldSpec, ...]], ...]
_WAYS = ("path", "group", "const", "template", "count", "zip")
_NEEDS = {
    "pattern": ("group",), "plus": ("count",), "lookup": ("path",), "json": ("path",), "inside": ("json",), "unit": ("path",),
    "role": ("path",), "content": ("path",),
}  # fmt: skip
"""What a key of a field belongs to."""
_ONLY = {"zip": "messages", "role": "messages", "content": "messages", "unit": "created_at"}
"""Keys that one evidence field alone takes."""
_UNITS = ("s", "ms", "us", "ns")


class Takes(NamedTuple):
    """What a place for a field can hold."""

    groups: tuple[str, ...]
    """Named groups of the file pattern."""
    name: str = ""
    """Evidence field, where it is one."""
    ways: tuple[str, ...] = _WAYS
    """Ways to a value."""
    more: tuple[str, ...] = ()
    """Ways of this place alone."""


def build_fields(check: Check, place: str, table: Any, groups: tuple[str, ...]) -> Fields:
    """Build where each evidence field comes from, sorted by its name."""
    if not check.typed(place, table, dict, "a table"):
        return ()
    check.keys(place, table, tuple(EVIDENCE_FIELDS))
    found: list[tuple[str, tuple[FieldSpec, ...]]] = []
    for name, value in sorted(table.items()):  # the order in which a person wrote them means nothing
        specs = value if isinstance(value, list) else [value]
        if isinstance(value, list) and EVIDENCE_FIELDS.get(name) != "list":
            check.say(f"{place}.{name}", "several places are given, but only a list field can take them")
        found.append((name, tuple(build_field(check, f"{place}.{name}", spec, Takes(groups, name)) for spec in specs)))
    return tuple(found)


def build_tables(
    check: Check, place: str, table: Any, groups: tuple[str, ...], *, known: tuple[str, ...] | None = None
) -> tuple[tuple[str, FieldSpec], ...]:
    """Build tags or tokens, sorted by their name; tokens have `known` names."""
    if not check.typed(place, table, dict, "a table"):
        return ()
    if known is not None:
        check.keys(place, table, known)
    return tuple((name, build_field(check, f"{place}.{name}", spec, Takes(groups))) for name, spec in sorted(table.items()))


def build_field(check: Check, place: str, table: Any, takes: Takes) -> FieldSpec:
    """Build one field."""
    if not check.typed(place, table, dict, 'a table such as { path = "prompt" }'):
        return FieldSpec()
    name, ways = takes.name, (*takes.ways, *takes.more)
    check.keys(place, table, (*FieldSpec._fields, *takes.more))
    used = [key for key in (*_WAYS, *takes.more) if key in table]
    if len(used) != 1 or used[0] not in ways:
        told = [way for way in ways if way != "zip" or name == "messages"]
        check.say(place, f"found {used or 'none'}, expected exactly one of {', '.join(told)}")
        return FieldSpec()
    values = {key: value for key, value in table.items() if key in FieldSpec._fields}
    if not _typed(check, place, values):
        return FieldSpec()
    for key, needed in _NEEDS.items():
        if key in values and not any(way in values for way in needed):
            check.say(f"{place}.{key}", f"belongs to {needed[0]}, but {used[0]} is set")
        if key in values and name and _ONLY.get(key, name) != name:
            check.say(f"{place}.{key}", f"belongs to {_ONLY[key]}")
    if "zip" in values:
        if name != "messages":
            check.say(f"{place}.zip", "belongs to messages")
        values["zip"] = _zip(check, f"{place}.zip", values["zip"])
    check.choice(f"{place}.unit", values.get("unit"), _UNITS)
    _check_groups(check, place, values, takes.groups)
    return FieldSpec(**values)


def _typed(check: Check, place: str, values: dict[str, Any]) -> bool:
    right = True
    for key, value in values.items():
        kind: tuple[type, str] = (str, "a string")
        if key == "plus":
            kind = (int, "a whole number")
        elif key in {"json", "optional"}:
            kind = (bool, "true or false")
        elif key == "zip":
            kind = (list, "a list of tables")
        right = check.typed(f"{place}.{key}", value, *kind) and right
    return right


def _zip(check: Check, place: str, tables: Any) -> tuple[ZipSpec, ...]:
    found: list[ZipSpec] = []
    for at, table in check.tables(place, tables):
        check.keys(at, table, ZipSpec._fields)
        values: dict[str, Any] = {key: table.get(key) for key in ZipSpec._fields}
        if all(check.typed(f"{at}.{key}", value, str, "a string") for key, value in values.items()):
            found.append(ZipSpec(**values))
    if not tables:
        check.say(place, "names no list")
    return tuple(found)


def _check_groups(check: Check, place: str, values: dict[str, Any], groups: tuple[str, ...]) -> None:
    if "group" in values and values["group"] not in groups:
        check.say(f"{place}.group", f"file_pattern has no group {values['group']!r}{nearest(values['group'], groups)}")
    for used in re.findall(r"\{([^{}]*)\}", values.get("template", "")):
        if not used.startswith(".") and used not in groups:
            way_out = f"; a value of the record is {{.{used}}}" if used else ""
            check.say(f"{place}.template", f"file_pattern has no group {used!r}{nearest(used, groups)}{way_out}")
    check.regex(f"{place}.pattern", values.get("pattern"))


def build_explode(check: Check, place: str, table: Any) -> ExplodeSpec | None:
    """Build how one raw record holds several runs."""
    if table is None or not check.typed(place, table, dict, 'a table such as { list = "samples" }'):
        return None
    check.keys(place, table, ExplodeSpec._fields)
    ways = [key for key in ExplodeSpec._fields if key in table]
    if len(ways) != 1:
        check.say(place, f"found {ways or 'none'}, expected exactly one of {', '.join(ExplodeSpec._fields)}")
        return None
    if ways == ["parallel"]:
        paths = check.strings(f"{place}.parallel", table["parallel"])
        names = [re.split(r"[.\s]", path)[-1] for path in paths]
        if not paths or len(set(names)) < len(names):
            check.say(f"{place}.parallel", f"found {list(paths)}, expected one list or more, each with another last name")
        return ExplodeSpec(parallel=paths)
    check.typed(f"{place}.{ways[0]}", table[ways[0]], str, "a string")
    return ExplodeSpec(**table) if set(table) == set(ways) else None


def build_roles(check: Check, place: str, table: Any) -> tuple[tuple[str, str], ...]:
    """Build which role of the log is which of ours."""
    if not check.typed(place, table, dict, 'a table such as { Planner = "assistant" }'):
        return ()
    for name, role in table.items():
        check.choice(f"{place}.{name}", "" if role is None else role, ROLES)
    return tuple(sorted((name, str(role)) for name, role in table.items()))


def build_failed_turns(check: Check, place: str, table: Any) -> FailedTurns | None:
    """Build which assistant turns are wrong."""
    if table is None or not check.typed(place, table, dict, 'a table such as { path = "turn_ok", fail = [false] }'):
        return None
    check.keys(place, table, FailedTurns._fields)
    path, fail = table.get("path"), table.get("fail")
    right = check.typed(f"{place}.path", path, str, "a string")
    if not (check.typed(f"{place}.fail", fail, list, "a list of raw values") and right):
        return None
    return FailedTurns(str(path), tuple(fail or ()))


def check_lookups(check: Check, place: str, values: dict[str, Any]) -> None:
    """Note every lookup that a field names and no table describes."""
    known = tuple(lookup.name for lookup in values["lookups"])
    for name in sorted({name for name in known if known.count(name) > 1}):
        check.say(f"{place}.lookups", f"the name {name!r} stands twice")
    named = [(f"fields.{name}", spec) for name, specs in values["fields"] for spec in specs]
    named += [(f"{kind}.{name}", spec) for kind in ("tags", "tokens") for name, spec in values[kind]]
    for at, spec in named:
        if spec.lookup is not None and spec.lookup not in known:
            check.say(f"{place}.{at}.lookup", f"no lookup is called {spec.lookup!r}{nearest(spec.lookup, known)}")


def check_cumulative(check: Check, place: str, values: dict[str, Any]) -> None:
    """Note a `cumulative` key that is no evidence field and no tag."""
    key = values.get("cumulative")
    if key is None:
        return
    tags = tuple(f"tags.{name}" for name, _ in values.get("tags", ()))
    if key not in EVIDENCE_FIELDS and key not in tags and not (values.get("format") and key.startswith("tags.")):
        check.say(f"{place}.cumulative", f"unknown field {key!r}{nearest(key, (*EVIDENCE_FIELDS, *tags))}")
