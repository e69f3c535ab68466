"""The table of log formats; one module each, imported when a source needs it.

A format is a function from one raw record to its readings, or, where runs lie over several records, a way to split and merge them
(`distill.formats.reading`). How records lie in a file is in `distill.readers`; what a mapping in the config can say is in
`distill.mapping.reader`. A third party adds a format as an entry point in the group `distill.formats`: a name, and a module that
has `FORMAT` (a line of this table) and the builder.
"""

from functools import cache
from importlib import import_module
from typing import NamedTuple

from distill.config import Source
from distill.errors import ConfigError
from distill.readers import READERS, Limits, ReaderEntry, find_reader

__all__ = ["FORMATS", "GROUP", "TYPED", "Format", "find_format", "format_module", "format_names", "limits_of", "reader_of"]

GROUP = "distill.formats"
"""Group of the entry points of formats that others wrote."""


class Format(NamedTuple):
    """One line of the table."""

    name: str
    """What a source says in `format`."""
    module: str
    """Where its `build_reader` is, or its `build_grouper`."""
    doc: str
    """What such a log is."""
    typed: bool = False
    """Whether every value comes from a field whose type was checked, so that evidence need not be read back before it is written."""
    reader: str = "jsonl"
    """How its records lie in a file, where the source names no reader."""
    grouped: bool = False
    """Whether a run may lie over several records."""
    members: str = "*.json"
    """Of an archive, which members are records, where the source does not say."""


FORMATS: tuple[Format, ...] = (
    Format("outcomes", "distill.formats.outcomes", "runs with their errors, tests and the agent's own claim", typed=True),
    Format("scrum_reviews", "distill.formats.scrum_reviews", "runs with a reviewer's verdict", typed=True),
    Format("openai_chat", "distill.formats.openai_chat", "conversations and logged requests in OpenAI's shape"),
    Format("otel", "distill.formats.otel", "OpenTelemetry spans of model calls; a run is a trace", grouped=True),
    Format("langfuse", "distill.formats.langfuse", "Langfuse traces with their observations and scores", reader="json_file"),
    Format(
        "inspect_ai", "distill.formats.inspect_ai", "inspect-ai logs, one document or an archive of samples", reader="json_file",
        members="samples/*.json",
    ),
)  # fmt: skip


TYPED = frozenset(entry.name for entry in FORMATS if entry.typed)
"""Formats whose evidence need not be read back."""

_MAPPED = Format("", "distill.mapping.reader", "a source described by the config alone")


@cache
def _plugged() -> dict[str, str]:
    """Return the module of every format that an installed package brings, by name; looked up only for a name we do not know."""
    from importlib.metadata import entry_points  # noqa: PLC0415 -- reads files

    return {entry.name: entry.module for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))}


def find_format(name: str | None) -> Format | None:
    """Return the format of that name, ours or an installed package's; without name, that of mapped sources; None for an unknown one.

    Raises:
        ConfigError: an installed package names a module that cannot be imported or whose `FORMAT` is none of ours.
    """
    if name is None:
        return _MAPPED
    own = next((entry for entry in FORMATS if entry.name == name), None)
    if own is not None or name not in _plugged():
        return own
    return _import_format(name, _plugged()[name])


@cache
def _import_format(name: str, module: str) -> Format:
    """Return the line that a package adds to the table."""
    place = f"format {name!r} of the installed module {module!r}"
    try:
        theirs = import_module(module).FORMAT
    except (ImportError, AttributeError) as err:
        raise ConfigError([f"{place}: {err}; install it again, or take the format out of the sources"]) from err
    if not isinstance(theirs, Format) or theirs.reader not in {entry.name for entry in READERS}:
        raise ConfigError([f"{place}: found FORMAT = {theirs!r}, expected a distill.formats.Format with a reader of distill.readers"])
    return theirs._replace(name=name, module=module, typed=False)


def format_names() -> tuple[str, ...]:
    """Return the names a source may say in `format`, ours first."""
    own = tuple(entry.name for entry in FORMATS)
    return (*own, *sorted(set(_plugged()) - set(own)))


def reader_of(source: Source) -> ReaderEntry:
    """Return how the records of a source lie in its files: as it says, else as its format has them."""
    form = find_format(source.format)
    return find_reader(source.reader or (form.reader if form is not None else "jsonl"))


def limits_of(source: Source, *, max_line_bytes: int) -> Limits:
    """Return what bounds the reader of a source, and which members of an archive it takes."""
    form = find_format(source.format)
    default = Source._field_defaults["members"]
    members = source.members if form is None or source.members != default else form.members
    return Limits(max_line_bytes, members)


def format_module(name: str | None) -> str:
    """Return the module that reads a source of this format; a mapped source has none."""
    found = find_format(name)
    return _MAPPED.module if found is None else found.module
