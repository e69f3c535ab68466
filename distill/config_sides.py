"""Turns what a person wrote of second files, lookups and verdicts, into specs (SPEC 2)."""

from typing import Any

from distill.config_check import Check
from distill.config_mapping import Takes, build_field
from distill.config_signals import KINDS, MEANINGS, build_meaning, check_judge
from distill.config_specs import EVIDENCE_FIELDS, FieldSpec, LookupSpec, VerdictSpec

__all__ = ["SIDE_READERS", "build_lookups", "build_verdicts"]

SIDE_READERS = ("jsonl", "json", "csv")
"""How the rows of a second file lie in it."""
_JOINS = ("path", "group", "template")
_VERDICTS = ("pass", "fail", "partial", "infrastructure")
_TEXTS = ("path", "reader", "key", "value", "aspect", "reviewer", "confidence", "otherwise")


def _reader(check: Check, place: str, table: dict[str, Any]) -> str:
    """Return how a second file is read: as said, else by its ending."""
    if "reader" in table:
        check.choice(f"{place}.reader", table["reader"], SIDE_READERS)
        return str(table["reader"])
    name = str(table.get("path", "")).lower().removesuffix(".gz").removesuffix(".zst")
    return next((reader for reader in ("csv", "json") if name.endswith(f".{reader}")), "jsonl")


def _texts(check: Check, place: str, table: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
    return {key: table[key] for key in keys if key in table and check.typed(f"{place}.{key}", table[key], str, "a string")}


def build_lookups(check: Check, place: str, tables: Any, groups: tuple[str, ...]) -> tuple[LookupSpec, ...]:
    """Build every lookup of a source."""
    return tuple(_lookup(check, at, table, groups) for at, table in check.tables(place, tables))


def _lookup(check: Check, place: str, table: dict[str, Any], groups: tuple[str, ...]) -> LookupSpec:
    check.keys(place, table, LookupSpec._fields)
    values: dict[str, Any] = {"name": "", "path": ""} | _texts(check, place, table, ("name", "path", "key"))
    values["reader"] = _reader(check, place, table)
    for key in ("name", "path"):
        if not values[key]:
            check.say(f"{place}.{key}", "is missing")
    if ("by" in table) == ("line" in table):
        check.say(place, "give by, where a record names the key, or line, where it names the row")
        return LookupSpec(**values)
    if "by" in table:
        values["by"] = build_field(check, f"{place}.by", table["by"], Takes(groups, ways=_JOINS))
        if "key" not in values and values["reader"] != "json":
            check.say(f"{place}.key", "is missing; say which field of the file is the key")
    else:
        line = dict(table["line"]) if isinstance(table["line"], dict) else table["line"]
        plus = line.pop("plus", 0) if isinstance(line, dict) else 0
        spec = build_field(check, f"{place}.line", line, Takes(groups, ways=_JOINS))
        check.typed(f"{place}.line.plus", plus, int, "a whole number")
        values["line"] = spec._replace(plus=plus)
        if "key" in values:
            check.say(f"{place}.key", "belongs to by, but line is set")
    return LookupSpec(**values)


def build_verdicts(check: Check, place: str, tables: Any, groups: tuple[str, ...]) -> tuple[VerdictSpec, ...]:
    """Build every file of verdicts of a source."""
    return tuple(_verdict(check, at, table, groups, f"verdicts[{i}]") for i, (at, table) in enumerate(check.tables(place, tables)))


def _verdict(check: Check, place: str, table: dict[str, Any], groups: tuple[str, ...], name: str) -> VerdictSpec:
    check.keys(place, table, ("kind", "by", "lists", "totals", *_TEXTS, *MEANINGS))
    values: dict[str, Any] = _texts(check, place, table, _TEXTS) | {"name": name, "reader": _reader(check, place, table)}
    for key in ("kind", "path", "by"):
        if key not in table:
            check.say(f"{place}.{key}", "is missing" + ("; there is no default, say who decided" if key == "kind" else ""))
    check.choice(f"{place}.kind", table.get("kind"), KINDS)
    check.choice(f"{place}.otherwise", values.get("otherwise"), _VERDICTS)
    check_judge(check, place, table, named="aspect" in values)
    spec, field = _join(check, f"{place}.by", table.get("by", {"path": ""}), groups)
    lists = _pairs(check, f"{place}.lists", table.get("lists", {}))
    totals = _pairs(check, f"{place}.totals", table.get("totals", {}))
    for key, verdict in lists:
        check.choice(f"{place}.lists.{key}", verdict, _VERDICTS)
    for key, _ in totals:
        check.choice(f"{place}.totals", key, ("total", *_VERDICTS))
    values |= {"kind": str(table.get("kind")), "path": values.get("path", ""), "by": spec, "by_field": field, "lists": lists}
    meaning = build_meaning(check, place, table, silent=bool(lists))
    _check_lists(check, place, table, values)
    return VerdictSpec(meaning=meaning, totals=totals, **values)


def _check_lists(check: Check, place: str, table: dict[str, Any], values: dict[str, Any]) -> None:
    if values["lists"]:
        for key in (*MEANINGS, "key", "value", "reviewer", "confidence"):
            if key in table:
                check.say(f"{place}.{key}", "belongs to a file of rows, but lists is set")
        if values["reader"] != "json":
            check.say(f"{place}.lists", f"belongs to the reader json, but the reader is {values['reader']!r}")
        return
    if "totals" in table:
        check.say(f"{place}.totals", "belongs to lists, which is not set")
    for key in ("key", "value"):
        if key not in values and values["reader"] != "json":
            check.say(f"{place}.{key}", f"is missing; say which field of the file is the {key}")


def _join(check: Check, place: str, table: Any, groups: tuple[str, ...]) -> tuple[FieldSpec, str | None]:
    """Return where a record names its key: a place in it, or an evidence field."""
    spec = build_field(check, place, table, Takes(groups, ways=_JOINS, more=("field",)))
    field = table.get("field") if isinstance(table, dict) else None
    if field is None:
        return spec, None
    texts = tuple(name for name, kind in EVIDENCE_FIELDS.items() if kind == "text")
    check.choice(f"{place}.field", field, texts)
    return FieldSpec(), str(field)


def _pairs(check: Check, place: str, table: Any) -> tuple[tuple[str, str], ...]:
    if not check.typed(place, table, dict, "a table of strings"):
        return ()
    right = [(key, value) for key, value in sorted(table.items()) if check.typed(f"{place}.{key}", value, str, "a string")]
    return tuple(right)
