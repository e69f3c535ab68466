"""What a signal would meet, told where the config does not say what its raw values mean (SPEC 2, "Signals").

The config is read before any log; only when it is wrong in this way are the first records of the source looked at.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

from distill.config import Config
from distill.config_file import build_config
from distill.errors import ConfigError, DistillError
from distill.files import read_records
from distill.formats import limits_of, reader_of
from distill.jsonl import BadLine, decode_line
from distill.mapping.reader import found_values
from distill.plan import build_plan

__all__ = ["tell_values"]

_RECORDS, _SHOWN = 1000, 8
_PLACE = re.compile(r"sources\[(\d+)\]\.signals\[(\d+)\]: ")
_MEANINGS = ("pass", "fail", "accept_when", "reject_when")


def tell_values(project: Path, error: ConfigError) -> ConfigError:
    """Return the error with the raw values that signals without meaning find in the first records of their source."""
    places = {_numbers(problem) for problem in error.problems} - {None}
    if not places:
        return error
    try:
        found = _find(project, sorted(place for place in places if place is not None))
    except (DistillError, BadLine, OSError, ValueError, LookupError, TypeError):  # what is wrong is told already
        return error
    told = ((problem, found.get(_numbers(problem) or (-1, -1))) for problem in error.problems)
    return ConfigError([f"{problem}; values found: {values}" if values else problem for problem, values in told])


def _numbers(problem: str) -> tuple[int, int] | None:
    """Return the number of the source and of the signal a problem is about."""
    place = _PLACE.search(problem)
    return None if place is None else (int(place[1]), int(place[2]))


def _find(project: Path, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Return the values of signals, by the number of their source and their own."""
    own = project / "distill.toml"
    data = tomllib.loads((own if own.exists() else project / "pyproject.toml").read_text(encoding="utf-8"))
    table: dict[str, Any] = deepcopy(data if own.exists() else data["tool"]["distill"])
    for i, j in places:
        signal = table["sources"][i]["signals"][j]
        for key in _MEANINGS:
            signal.pop(key, None)
        signal["pass"] = ["\0"]  # a value that no log has
    config = build_config(table, path=own.name, environ={})
    found: dict[tuple[int, int], str] = {}
    for i in sorted({i for i, _ in places}):
        counts = found_values(config.sources[i], _records(project, config._replace(sources=(config.sources[i],))))
        for j in [j for source, j in places if source == i]:
            values = next((counts[name] for name in counts if name.startswith(f"signals[{j}]: ")), {})
            found[i, j] = ", ".join(f"{value} ({times})" for value, times in islice(values.items(), _SHOWN))
    return found


def _records(project: Path, config: Config) -> Iterator[dict[str, Any]]:
    """Yield the first records of a source that can be read."""
    source = config.sources[0]
    limits = limits_of(source, max_line_bytes=config.max_line_bytes)
    paths = [project / log.file.path for log in build_plan(project, config).logs]
    lines = (line for path in paths for line in read_records(path, reader_of(source).name, limits))
    for line in islice(lines, _RECORDS):
        if not isinstance(line, BadLine) and line.hash is None:
            try:
                yield decode_line(line.raw)
            except BadLine:
                continue
