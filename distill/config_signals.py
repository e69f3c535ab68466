"""Turns what a person wrote of signals into specs (SPEC 2): which raw values mean what, and who says so."""

from typing import Any

from distill.config_check import Check
from distill.config_specs import CheckSpec, Meaning, Range, SignalSpec

__all__ = ["KINDS", "MEANINGS", "build_meaning", "build_signals", "check_judge"]

KINDS = ("human", "test", "judge", "self")
"""Kinds of signals a person can name; infrastructure is told by a value."""
_LISTS = ("partial", "infrastructure", "with_changes", "escalate")
MEANINGS = ("pass", "fail", "accept_when", "reject_when", *_LISTS)
"""Keys that say which raw values mean what."""
_PATHS = ("path", "by", "confidence", "each", "where")


def build_signals(check: Check, place: str, tables: Any) -> tuple[SignalSpec, ...]:
    """Build every signal of a source, in the order in which it names them."""
    return tuple(_signal(check, at, table) for at, table in check.tables(place, tables))


def _signal(check: Check, place: str, table: dict[str, Any]) -> SignalSpec:
    check.keys(place, table, ("kind", "aspect", "checks", "optional", *_PATHS, *MEANINGS))
    if "kind" not in table:
        check.say(f"{place}.kind", "is missing; there is no default, say who decided")
    check.choice(f"{place}.kind", table.get("kind"), KINDS)
    checks = _checks(check, f"{place}.checks", table)
    if not isinstance(table.get("path"), str) and checks is None:
        check.say(f"{place}.path", "is missing")
    paths = {key: table[key] for key in _PATHS if key in table and check.typed(f"{place}.{key}", table[key], str, "a string")}
    if "optional" in table:
        check.typed(f"{place}.optional", table["optional"], bool, "true or false")
    aspect, aspect_path = _aspect(check, place, table)
    check_judge(check, place, table, named=bool(aspect or aspect_path))
    meaning = build_meaning(check, place, table, silent=checks is not None and "path" not in table)
    return SignalSpec(
        kind=str(table.get("kind")), aspect=aspect, aspect_path=aspect_path, meaning=meaning, checks=checks,
        optional=table.get("optional") is True, **paths,
    )  # fmt: skip


def check_judge(check: Check, place: str, table: dict[str, Any], *, named: bool) -> None:
    """Note a judge without aspect."""
    if table.get("kind") == "judge" and not named:
        check.say(f"{place}.aspect", "is missing; only a judge of the aspect 'outcome' can accept")


def _aspect(check: Check, place: str, table: dict[str, Any]) -> tuple[str | None, str | None]:
    aspect = table.get("aspect")
    if isinstance(aspect, dict) and set(aspect) == {"path"} and isinstance(aspect["path"], str):
        return None, aspect["path"]
    if aspect is not None and not isinstance(aspect, str):
        check.say(f"{place}.aspect", f'found {aspect!r}, expected a string, or a table such as {{ path = "name" }}')
        return None, None
    return aspect, None


def _checks(check: Check, place: str, table: dict[str, Any]) -> CheckSpec | None:
    checks = table.get("checks")
    if checks is None or not check.typed(place, checks, dict, 'a table such as { passed = "tests.passed", failed = "tests.failed" }'):
        return None
    check.keys(place, checks, CheckSpec._fields)
    right = [check.typed(f"{place}.{key}", value, str, "a string") for key, value in checks.items()]
    if not all(right):
        return None
    if "passed" not in checks or ("failed" in checks) == ("total" in checks):
        check.say(place, f"found {sorted(checks)}, expected passed, and failed or total")
        return None
    if table.get("kind") != "test":
        check.say(place, f"belongs to the kind test, but the kind is {table.get('kind')!r}")
    return CheckSpec(**{key: value for key, value in checks.items() if key in CheckSpec._fields})


def build_meaning(check: Check, place: str, table: dict[str, Any], *, silent: bool = False) -> Meaning:
    """Build which raw values mean what; `silent` says that nothing need mean anything."""
    for key, other in (("pass", "accept_when"), ("fail", "reject_when")):
        if key in table and other in table:
            check.say(f"{place}.{other}", f"means the same as {key}; leave one of them out")
    lists: dict[str, Any] = {key: tuple(table[key]) for key in _LISTS if _is_list(check, place, table, key)}
    bounds = [table.get(key, table.get(other)) for key, other in (("pass", "accept_when"), ("fail", "reject_when"))]
    if bounds == [None, None]:
        if not silent:
            check.say(place, "says nothing: give the raw values that mean pass and fail")
        return Meaning(**lists)
    given = [bound for bound in bounds if bound is not None]
    if all(isinstance(bound, list) for bound in given):
        return Meaning(pass_=tuple(bounds[0] or ()), fail=tuple(bounds[1] or ()), **lists)
    lists.pop("partial", None)
    return _ranges(check, place, bounds, table)._replace(**lists)


def _is_list(check: Check, place: str, table: dict[str, Any], key: str) -> bool:
    return key in table and check.typed(f"{place}.{key}", table[key], list, "a list of raw values")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ranges(check: Check, place: str, bounds: list[Any], table: dict[str, Any]) -> Meaning:
    """Build two thresholds, or one or two ranges."""
    if "partial" in table:
        check.say(f"{place}.partial", "belongs to lists of raw values; between two thresholds everything is partial")
    if all(_is_number(bound) for bound in bounds):
        passing, failing = bounds
        if not passing >= failing:  # nan too
            check.say(place, f"found pass = {passing!r} below fail = {failing!r}, expected the higher number as pass")
        return Meaning(pass_range=Range(min=passing), fail_range=Range(max=failing))
    ranges: list[Range | None] = []
    for bound in bounds:
        right = isinstance(bound, dict) and bound and set(bound) <= {"min", "max"} and all(map(_is_number, bound.values()))
        if bound is not None and not right:
            told = "two lists of raw values, or two numbers as thresholds, or tables such as { min = 0.5 }"
            check.say(place, f"pass and fail are {told}; found {bounds[0]!r} and {bounds[1]!r}")
            return Meaning()
        ranges.append(None if bound is None else Range(**bound))
    if ranges[0] is not None and ranges[1] is not None and _overlap(*ranges):
        check.say(place, f"found ranges that overlap, {bounds[0]} and {bounds[1]}, expected each number to mean one thing")
    return Meaning(pass_range=ranges[0], fail_range=ranges[1])


def _overlap(left: Range | None, right: Range | None) -> bool:
    """Tell whether two ranges share more than one number; nan counts as shared."""
    first, second = left or Range(), right or Range()
    infinite = float("inf")
    low = max(-infinite if one.min is None else one.min for one in (first, second))
    high = min(infinite if one.max is None else one.max for one in (first, second))
    return not low >= high
