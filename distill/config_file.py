"""Turns the table a person wrote into `Config`, or says everything that is wrong with it at once (SPEC 9).

Every problem names its place (`sources[1].signals[0].kind`), what was found, what was expected, and the nearest
right name where a name is unknown.
"""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from distill.config import Config, Drift, FieldSpec, MinRows, Playbooks, Preference, Sft, SignalSpec, Source, named_groups
from distill.errors import ConfigError
from distill.formats import FORMATS

__all__ = ["EVIDENCE_FIELDS", "build_config", "load_config"]

EVIDENCE_FIELDS = MappingProxyType({
    "run_id": "text", "task_id": "text", "created_at": "text", "model": "text", "provider": "text", "role": "text",
    "instruction": "text", "context": "text", "messages": "messages", "response": "text", "corrected_response": "text",
    "attempts": "count", "errors": "list", "lessons": "list", "reference": "list", "cost_usd": "number",
    "latency_ms": "number", "group": "text", "subject": "text",
})  # fmt: skip
"""Evidence fields a mapping may fill, and what kind of value each takes."""

Parse = Callable[[str], dict[str, Any]]
_READERS = ("jsonl",)
_KINDS = ("human", "test", "judge", "self")
_CHOICES = {
    "created_at": ("absent",), "run_id": ("position",), "run_id_scope": ("source", "project"), "pair_scope": ("any", "same_model"),
    "fail_on": ("alert", "warn", "never"), "reader": _READERS, "engine": ("inline", "processes"),
}  # fmt: skip
_INCLUDE = ("accepted", "retried", "with_changes", "partial_reward")
_USES = ("rag", "sft", "preference", "publish")


class _Check:
    """Collects the problems of one config file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []

    def say(self, place: str, text: str) -> None:
        self.problems.append(f"{self.path}: {place}: {text}")

    def keys(self, place: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.say(f"{place}.{key}" if place else key, f"unknown key{_nearest(key, known)}")

    def choice(self, place: str, value: Any, known: tuple[str, ...]) -> None:
        if value is not None and value not in known:
            self.say(place, f"found {value!r}, expected one of {', '.join(known)}{_nearest(str(value), known)}")

    def typed(self, place: str, value: Any, kind: type | tuple[type, ...], name: str) -> bool:
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong:
            self.say(place, f"found {value!r}, expected {name}")
        return not wrong

    def regex(self, place: str, value: str | None) -> bool:
        try:
            re.compile(value or "")
        except re.error as err:
            self.say(place, f"{value!r} is no regular expression: {err}")
            return False
        return True


def _nearest(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 -- only where something is wrong

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}" if close else f"; known: {', '.join(known)}"


def load_config(project: Path, environ: dict[str, str] | None = None, *, parse: Parse = tomllib.loads) -> Config:
    """Read `distill.toml`, or `[tool.distill]` of `pyproject.toml`, below `project`; `parse` may remember a text it has seen.

    Raises:
        ConfigError: neither exists, or something in it is wrong; all problems at once.
    """
    env = dict(os.environ) if environ is None else environ
    own, shared = project / "distill.toml", project / "pyproject.toml"
    table: dict[str, Any] | None = None
    path = own if own.exists() else shared
    if path.exists():
        try:
            data = parse(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise ConfigError([f"{path.name}: {err}"]) from err
        table = data if path is own else data.get("tool", {}).get("distill")
    if table is None:
        raise ConfigError(["no settings found: write [tool.distill] in pyproject.toml, or a distill.toml"])
    return build_config(table, path=path.name, environ=env)


def build_config(table: dict[str, Any], *, path: str, environ: dict[str, str]) -> Config:
    """Build the config from a table and the environment.

    Raises:
        ConfigError: with every problem found.
    """
    check = _Check(path)
    if not check.typed("distill", table, dict, "a table"):
        raise ConfigError(check.problems)
    check.keys("", table, tuple(name for name in Config._fields if name not in {"path", "recorded_at"}))
    values: dict[str, Any] = {}
    for name, group in {
        "sft": Sft,
        "preference": Preference,
        "playbooks": Playbooks,
        "min_rows": MinRows,
        "drift": Drift,
    }.items():
        values[name] = _section(check, name, table.get(name, {}), group)
    values["drift"] = _from_environment(check, values["drift"], environ)
    for name in ("max_skipped", "judge_confidence", "max_line_bytes"):
        if name in table and _number(check, name, table[name], whole=name == "max_line_bytes"):
            values[name] = table[name]
    if values.get("judge_confidence", 0) > 1:
        check.say("judge_confidence", f"found {table['judge_confidence']!r}, expected a fraction of 1")
    for name in ("human_reviewers", "infrastructure_patterns"):
        if name in table:
            values[name] = _strings(check, name, table[name])
    for pattern in values.get("infrastructure_patterns", ()):
        check.regex("infrastructure_patterns", pattern)
    values |= _engine(check, table, environ)
    values["sources"] = _sources(check, table.get("sources", []))
    values["recorded_at"] = _recorded_at(check, environ.get("DISTILL_RECORDED_AT"))
    if check.problems:
        raise ConfigError(check.problems)
    return Config(path=path, **values)


def _engine(check: _Check, table: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """Return where units are worked on; the environment speaks before the file."""
    values: dict[str, Any] = {}
    place, name = ("DISTILL_ENGINE", environ["DISTILL_ENGINE"]) if environ.get("DISTILL_ENGINE") else ("engine", table.get("engine"))
    if name is not None:
        check.choice(place, name, _CHOICES["engine"])
        values["engine"] = name
    place, workers = "workers", table.get("workers")
    if environ.get("DISTILL_WORKERS"):
        place, text = "DISTILL_WORKERS", environ["DISTILL_WORKERS"]
        workers = int(text) if text.isascii() and text.isdigit() else text
    if workers is not None and _number(check, place, workers, whole=True):
        values["workers"] = workers
    return values


def _recorded_at(check: _Check, text: str | None) -> str | None:
    if not text:
        return None
    from distill.times import BadTime, parse_time  # noqa: PLC0415 -- only where it is given

    try:
        return parse_time(text, None)
    except BadTime as err:
        check.say("DISTILL_RECORDED_AT", str(err))
        return None


def _number(check: _Check, place: str, value: Any, *, whole: bool = False) -> bool:
    if not check.typed(place, value, int if whole else (int, float), "a whole number" if whole else "a number"):
        return False
    if not value >= 0:  # nan too
        check.say(place, f"found {value!r}, expected zero or more")
        return False
    return True


def _strings(check: _Check, place: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    check.say(place, f"found {value!r}, expected a list of strings")
    return ()


def _section(check: _Check, name: str, table: Any, group: Any) -> Any:
    if not check.typed(name, table, dict, "a table"):
        return group()
    known = group._fields
    check.keys(name, table, known)
    defaults = group()
    values = {key: _setting(check, f"{name}.{key}", value, getattr(defaults, key)) for key, value in table.items() if key in known}
    if name == "playbooks" and (by := values.get("group_by", "task_id")) not in EVIDENCE_FIELDS and not by.startswith("tags."):
        check.say("playbooks.group_by", f"unknown field {by!r}{_nearest(by, tuple(EVIDENCE_FIELDS))}")
    return group(**values)


def _setting(check: _Check, place: str, value: Any, default: Any) -> Any:
    """Return a value of the type of its default, or the default where it is wrong."""
    right = False
    if isinstance(default, tuple):
        value = _strings(check, place, value)
        for item in value:
            check.choice(place, item, _INCLUDE)
        return value
    if isinstance(default, bool):
        right = check.typed(place, value, bool, "true or false")
    elif isinstance(default, int | float):
        right = _number(check, place, value, whole=isinstance(default, int))
    elif check.typed(place, value, str, "a string"):
        check.choice(place, value, _CHOICES.get(place.rsplit(".", maxsplit=1)[-1], (value,)))
        right = True
    return value if right else default


def _from_environment(check: _Check, drift: Drift, environ: dict[str, str]) -> Drift:
    values = drift._asdict()
    known = tuple(f"DISTILL_DRIFT_{key.upper()}" for key in values)
    for name in sorted(name for name in environ if name.startswith("DISTILL_DRIFT_") and name not in known):
        check.say(name, f"unknown key of the environment{_nearest(name, known)}")
    for key, present in values.items():
        name = f"DISTILL_DRIFT_{key.upper()}"
        text = environ.get(name)
        if text is None:
            continue
        try:
            found = type(present)(text)
        except ValueError:
            check.say(name, f"found {text!r}, expected a {type(present).__name__}")
            continue
        if isinstance(found, str):
            check.choice(name, found, _CHOICES[key])
            values[key] = found
        elif _number(check, name, found):
            values[key] = found
    return Drift(**values)


def _sources(check: _Check, tables: Any) -> tuple[Source, ...]:
    if not isinstance(tables, list) or not tables:
        check.say("sources", "no source is named; add a [[sources]] table with name, glob and format")
        return ()
    built = [
        _source(check, f"sources[{i}]", table) for i, table in enumerate(tables) if check.typed(f"sources[{i}]", table, dict, "a table")
    ]
    names = [source.name for source in built]
    for name in sorted({name for name in names if names.count(name) > 1}):
        check.say("sources", f"the name {name!r} stands twice")
    return tuple(built)


def _scalars(check: _Check, place: str, table: dict[str, Any]) -> dict[str, Any]:
    """Return what a source says in plain values."""
    values: dict[str, Any] = {"name": "", "glob": ""}
    for key, value in table.items():
        at = f"{place}.{key}"
        if key in {"optional", "task_id_required"}:
            if check.typed(at, value, bool, "true or false"):
                values[key] = value
        elif key == "uses":
            values[key] = _strings(check, at, value)
            for use in values[key]:
                check.choice(at, use, _USES)
        elif key not in {"fields", "tags", "signals"} and check.typed(at, value, str, "a string"):
            values[key] = value
            check.choice(at, value, _CHOICES.get(key, (value,)))
    return values


def _source(check: _Check, place: str, table: dict[str, Any]) -> Source:
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
        values["fields"] = _fields(check, f"{place}.fields", table.get("fields", {}), groups)
        values["tags"] = _tags(check, f"{place}.tags", table.get("tags", {}), groups)
    values["signals"] = _signals(check, f"{place}.signals", table.get("signals", []))
    _check_shape(check, place, values)
    return Source(**values)


def _check_shape(check: _Check, place: str, values: dict[str, Any]) -> None:
    formats = tuple(entry.name for entry in FORMATS)
    mapped = [key for key in ("reader", "file_pattern", "fields", "tags", "signals", "created_at", "run_id") if values.get(key)]
    if values.get("format") is not None:
        check.choice(f"{place}.format", values["format"], formats)
        for key in mapped:
            check.say(f"{place}.{key}", f"belongs to a mapped source, but the format {values['format']!r} is set")
    elif values.get("reader") is None:
        check.say(place, f"neither a format ({', '.join(formats)}) nor a reader ({', '.join(_READERS)}) is set")
    elif not values.get("fields"):
        check.say(f"{place}.fields", "a reader needs a mapping; say at least where instruction and response stand")
    for key in ("created_at", "run_id"):
        if values.get(key) and key in dict(values.get("fields", ())):
            check.say(f"{place}.{key}", f"found {values[key]!r}, but fields.{key} says where it stands; leave one of them out")
    if values.get("timezone"):
        from distill.times import is_zone  # noqa: PLC0415 -- only where it is given

        if not is_zone(values["timezone"]):
            check.say(f"{place}.timezone", f"found {values['timezone']!r}, expected a zone such as 'Europe/Berlin' or '+02:00'")


def _fields(check: _Check, place: str, table: Any, groups: tuple[str, ...]) -> tuple[tuple[str, tuple[FieldSpec, ...]], ...]:
    if not check.typed(place, table, dict, "a table"):
        return ()
    check.keys(place, table, tuple(EVIDENCE_FIELDS))
    found: list[tuple[str, tuple[FieldSpec, ...]]] = []
    for name, value in sorted(table.items()):  # the order in which a person wrote them means nothing
        specs = value if isinstance(value, list) else [value]
        if isinstance(value, list) and EVIDENCE_FIELDS.get(name) != "list":
            check.say(f"{place}.{name}", "several places are given, but only a list field can take them")
        found.append((name, tuple(_field(check, f"{place}.{name}", spec, groups) for spec in specs)))
    return tuple(found)


def _tags(check: _Check, place: str, table: Any, groups: tuple[str, ...]) -> tuple[tuple[str, FieldSpec], ...]:
    if not check.typed(place, table, dict, "a table"):
        return ()
    return tuple((name, _field(check, f"{place}.{name}", spec, groups)) for name, spec in sorted(table.items()))


def _field(check: _Check, place: str, table: Any, groups: tuple[str, ...]) -> FieldSpec:
    if not check.typed(place, table, dict, 'a table such as { path = "prompt" }'):
        return FieldSpec()
    check.keys(place, table, FieldSpec._fields)
    ways = [key for key in ("path", "group", "const", "template", "count") if key in table]
    if len(ways) != 1:
        check.say(place, f"found {ways or 'none'}, expected exactly one of path, group, const, template, count")
        return FieldSpec()
    values = {key: value for key, value in table.items() if key in ways or key in {"pattern", "plus"}}
    for key, value in values.items():
        kind, name = (int, "a whole number") if key == "plus" else (str, "a string")
        if not check.typed(f"{place}.{key}", value, kind, name):
            return FieldSpec()
    for key, way in (("pattern", "group"), ("plus", "count")):
        if key in values and way not in values:
            check.say(f"{place}.{key}", f"belongs to {way}, but {ways[0]} is set")
    if "group" in values and values["group"] not in groups:
        check.say(f"{place}.group", f"file_pattern has no group {values['group']!r}{_nearest(values['group'], groups)}")
    for used in re.findall(r"\{(\w*)\}", values.get("template", "")):
        if used not in groups:
            check.say(f"{place}.template", f"file_pattern has no group {used!r}{_nearest(used, groups)}")
    check.regex(f"{place}.pattern", values.get("pattern"))
    return FieldSpec(**values)


def _signals(check: _Check, place: str, tables: Any) -> tuple[SignalSpec, ...]:
    if not check.typed(place, tables, list, "a list of tables"):
        return ()
    return tuple(
        _signal(check, f"{place}[{i}]", table) for i, table in enumerate(tables) if check.typed(f"{place}[{i}]", table, dict, "a table")
    )


def _signal(check: _Check, place: str, table: dict[str, Any]) -> SignalSpec:
    known = ("kind", "path", "aspect", "pass", "fail", "partial", "infrastructure", "by", "confidence")
    check.keys(place, table, known)
    for key in ("kind", "path"):
        if not isinstance(table.get(key), str):
            check.say(f"{place}.{key}", "is missing" + ("; there is no default, say who decided" if key == "kind" else ""))
    check.choice(f"{place}.kind", table.get("kind"), _KINDS)
    aspect = table.get("aspect")
    for key in ("aspect", "by", "confidence"):
        if key in table:
            check.typed(f"{place}.{key}", table[key], str, "a string")
    for key in ("partial", "infrastructure"):
        if key in table:
            check.typed(f"{place}.{key}", table[key], list, "a list of raw values")
    if table.get("kind") == "judge" and not aspect:
        check.say(f"{place}.aspect", "is missing; only a judge of the aspect 'outcome' can accept")
    bounds = [table.get(key) for key in ("pass", "fail")]
    threshold = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds)
    if not threshold and any(bound is not None and not isinstance(bound, list) for bound in bounds):
        check.say(place, "pass and fail are two lists of raw values, or two numbers as thresholds")
        return SignalSpec(kind="test", path="")
    _check_bounds(check, place, table, threshold=threshold)
    values = {key: tuple(table[key]) for key in ("partial", "infrastructure") if isinstance(table.get(key), list)}
    return SignalSpec(
        kind=str(table.get("kind")), path=str(table.get("path")), aspect=aspect, threshold=threshold, by=table.get("by"),
        confidence=table.get("confidence"), pass_=(bounds[0],) if threshold else tuple(bounds[0] or ()),
        fail=(bounds[1],) if threshold else tuple(bounds[1] or ()), **values,
    )  # fmt: skip


def _check_bounds(check: _Check, place: str, table: dict[str, Any], *, threshold: bool) -> None:
    passing: Any = table.get("pass")
    failing: Any = table.get("fail")
    if passing is None and failing is None:
        check.say(place, "says nothing: give the raw values that mean pass and fail")
    if threshold and not passing >= failing:  # nan too
        check.say(place, f"found pass = {passing!r} below fail = {failing!r}, expected the higher number as pass")
    if threshold and "partial" in table:
        check.say(f"{place}.partial", "belongs to lists of raw values; between two thresholds everything is partial")
