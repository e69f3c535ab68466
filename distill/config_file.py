"""Turns the table a person wrote into `Config`, or says everything that is wrong with it at once (SPEC 9).

Every problem names its place (`sources[1].signals[0].kind`), what was found, what was expected, and the nearest
right name where a name is unknown. The sources are in `distill.config_sources`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill.config import Config, Drift, MinRows, Playbooks, Preference, Sft
from distill.config_check import Check, nearest
from distill.config_sources import build_sources
from distill.config_specs import EVIDENCE_FIELDS
from distill.errors import ConfigError

__all__ = ["EVIDENCE_FIELDS", "build_config", "load_config", "parse_toml"]

Parse = Callable[[str], dict[str, Any]]
_CHOICES = {"pair_scope": ("any", "same_model"), "fail_on": ("alert", "warn", "never"), "engine": ("inline", "processes")}
_INCLUDE = ("accepted", "retried", "with_changes", "partial_reward")
_CHANCES = ("share_p", "alert_p")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a text of TOML.

    Raises:
        ValueError: it is none.
    """
    import tomllib  # noqa: PLC0415 -- a project that was read before does without

    return tomllib.loads(text)


def load_config(project: Path, environ: dict[str, str] | None = None, *, parse: Parse = parse_toml) -> Config:
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
        except ValueError as err:  # no TOML, or no UTF-8
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
    check = Check(path)
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
        if name in table and check.number(name, table[name], whole=name == "max_line_bytes"):
            values[name] = table[name]
    if values.get("judge_confidence", 0) > 1:
        check.say("judge_confidence", f"found {table['judge_confidence']!r}, expected a fraction of 1")
    for name in ("human_reviewers", "infrastructure_patterns"):
        if name in table:
            values[name] = check.strings(name, table[name])
    for pattern in values.get("infrastructure_patterns", ()):
        check.regex("infrastructure_patterns", pattern)
    values |= _engine(check, table, environ)
    values["sources"] = build_sources(check, table.get("sources", []))
    values["recorded_at"] = _recorded_at(check, environ.get("DISTILL_RECORDED_AT"))
    if check.problems:
        raise ConfigError(check.problems)
    return Config(path=path, **values)


def _engine(check: Check, table: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
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
    if workers is not None and check.number(place, workers, whole=True):
        values["workers"] = workers
    return values


def _recorded_at(check: Check, text: str | None) -> str | None:
    if not text:
        return None
    from distill.times import BadTime, parse_time  # noqa: PLC0415 -- only where it is given

    try:
        return parse_time(text, None)
    except BadTime as err:
        check.say("DISTILL_RECORDED_AT", str(err))
        return None


def _section(check: Check, name: str, table: Any, group: Any) -> Any:
    if not check.typed(name, table, dict, "a table"):
        return group()
    known = group._fields
    check.keys(name, table, known)
    defaults = group()
    values = {key: _setting(check, f"{name}.{key}", value, getattr(defaults, key)) for key, value in table.items() if key in known}
    if name == "playbooks" and (by := values.get("group_by", "task_id")) not in EVIDENCE_FIELDS and not by.startswith("tags."):
        check.say("playbooks.group_by", f"unknown field {by!r}{nearest(by, tuple(EVIDENCE_FIELDS))}")
    return group(**values)


def _setting(check: Check, place: str, value: Any, default: Any) -> Any:
    """Return a value of the type of its default, or the default where it is wrong."""
    right = False
    if isinstance(default, tuple):
        value = check.strings(place, value)
        for item in value:
            check.choice(place, item, _INCLUDE)
        return value
    if isinstance(default, bool):
        right = check.typed(place, value, bool, "true or false")
    elif isinstance(default, int | float):
        right = check.number(place, value, whole=isinstance(default, int))
    elif check.typed(place, value, str, "a string"):
        check.choice(place, value, _CHOICES.get(place.rsplit(".", maxsplit=1)[-1], (value,)))
        right = True
    return value if right else default


def _from_environment(check: Check, drift: Drift, environ: dict[str, str]) -> Drift:
    values = drift._asdict()
    known = tuple(f"DISTILL_DRIFT_{key.upper()}" for key in values)
    for name in sorted(name for name in environ if name.startswith("DISTILL_DRIFT_") and name not in known):
        check.say(name, f"unknown key of the environment{nearest(name, known)}")
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
        elif check.number(name, found):
            values[key] = found
    for key in _CHANCES:
        if values[key] > 1:
            name = f"DISTILL_DRIFT_{key.upper()}"
            check.say(name if name in environ else f"drift.{key}", f"found {values[key]!r}, expected a chance of 1 at most")
    return Drift(**values)
