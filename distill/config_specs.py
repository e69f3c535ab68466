"""What a source's mapping says, piece by piece (SPEC 2): fields, signals, runs in one record, second files. Standard library only.

How a person writes them is in `distill.config_sources`; what they do is in `distill.mapping.reader` and `distill.sides`.
"""

from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "EVIDENCE_FIELDS", "ROLES", "CheckSpec", "ExplodeSpec", "FailedTurns", "FieldSpec", "LookupSpec", "Meaning", "Range", "SignalSpec",
    "VerdictSpec", "ZipSpec",
]  # fmt: skip

EVIDENCE_FIELDS = MappingProxyType({
    "run_id": "text", "task_id": "text", "created_at": "text", "model": "text", "provider": "text", "role": "text",
    "instruction": "text", "context": "text", "messages": "messages", "response": "text", "corrected_response": "text",
    "attempts": "count", "errors": "list", "lessons": "list", "reference": "list", "cost_usd": "number",
    "latency_ms": "number", "group": "text", "subject": "text",
})  # fmt: skip
"""Evidence fields a mapping may fill, and what kind of value each takes."""

ROLES = ("user", "assistant", "tool", "system")
"""Roles of our own messages."""


class ZipSpec(NamedTuple):
    """One of the parallel lists that messages are zipped from."""

    role: str
    """Role of its messages, in the log's words."""
    path: str
    """JMESPath to a list of texts; a single text is a list of one."""


class FieldSpec(NamedTuple):
    """Where the value of one evidence field comes from; exactly one of path, group, const, template, count, zip is set."""

    path: str | None = None
    """JMESPath into the raw record, or into the row of `lookup`."""
    group: str | None = None
    """Named group of `file_pattern`."""
    pattern: str | None = None
    """Part of the group to take; no match gives null."""
    const: str | None = None
    """The same for every record."""
    template: str | None = None
    """Text with `{group}` places, and `{.path}` places that take a value of the record; where one of these is missing it is null."""
    count: str | None = None  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    """JMESPath to a list whose length counts; a missing list has length 0."""
    plus: int = 0
    """Added to `count`."""
    lookup: str | None = None
    """Name of the lookup in whose row `path` is read."""
    json: bool = False
    """Whether the value is JSON in a text, perhaps in a text again."""
    inside: str | None = None
    """JMESPath into what `json` gave."""
    unit: str | None = None
    """`s`, `ms`, `us` or `ns`: a time is a number of these since 1970."""
    optional: bool = False
    """True where an expression that matches nothing in any record is no error."""
    zip: tuple[ZipSpec, ...] = ()
    """Of `messages`: parallel lists, taken in turns."""
    role: str | None = None
    """Of `messages`: JMESPath to a message's role; `role`."""
    content: str | None = None
    """Of `messages`: JMESPath to a message's text; `content`."""


class Range(NamedTuple):
    """The numbers that mean one verdict, both ends included."""

    min: float | None = None
    """From here on."""
    max: float | None = None
    """Up to here."""


class Meaning(NamedTuple):
    """Which raw values mean what; of pass and fail, each is a list of values or a range of numbers."""

    pass_: tuple[Any, ...] = ()
    """Raw values that mean pass."""
    fail: tuple[Any, ...] = ()
    """Raw values that mean fail."""
    partial: tuple[Any, ...] = ()
    """Raw values that mean partial; with two ranges it is every number in neither."""
    infrastructure: tuple[Any, ...] = ()
    """Raw values that say nothing was judged."""
    with_changes: tuple[Any, ...] = ()
    """Raw values that accept with changes."""
    escalate: tuple[Any, ...] = ()
    """Raw values that ask for a person."""
    pass_range: Range | None = None
    """Numbers that mean pass."""
    fail_range: Range | None = None
    """Numbers that mean fail."""


class CheckSpec(NamedTuple):
    """Where a test's counts stand."""

    passed: str
    """JMESPath to the number of checks that passed."""
    failed: str | None = None
    """JMESPath to the number that failed; this or `total`."""
    total: str | None = None
    """JMESPath to the number of both."""


class SignalSpec(NamedTuple):
    """How a raw value becomes a signal."""

    kind: str
    """human, test, judge or self."""
    path: str | None = None
    """JMESPath to the raw value; only `checks` can do without."""
    aspect: str | None = None
    """What a judge looked at."""
    aspect_path: str | None = None
    """JMESPath to what a judge looked at."""
    meaning: Meaning = Meaning()
    """Which raw values mean what."""
    by: str | None = None
    """JMESPath to the reviewer or scorer."""
    confidence: str | None = None
    """JMESPath to a judge's confidence."""
    checks: CheckSpec | None = None
    """Where a test's counts stand."""
    each: str | None = None
    """JMESPath to a list; every item may give a signal, and all other paths are read in the item."""
    where: str | None = None
    """JMESPath whose value tells whether there is a signal: not null, false or empty."""
    optional: bool = False
    """True where an expression that matches nothing in any record is no error."""


class ExplodeSpec(NamedTuple):
    """How one raw record holds several runs; exactly one is set. Paths see the run under `item`, its place under `index`."""

    list: str | None = None
    """JMESPath to a list; each item is a run."""
    parallel: tuple[str, ...] = ()
    """JMESPaths to parallel lists; a run is an object of one item of each, by the last name of the path."""
    keys: str | None = None
    """JMESPath to an object; each value is a run, its key under `key`."""


class LookupSpec(NamedTuple):
    """A second file that fields are taken from, by key or by line."""

    name: str
    """What a field says in `lookup`."""
    path: str
    """The file, below the root."""
    reader: str = "jsonl"
    """jsonl, json or csv."""
    key: str | None = None
    """JMESPath to the key in a row; without it, the keys of a JSON object."""
    by: FieldSpec | None = None
    """Where a record names the key."""
    line: FieldSpec | None = None
    """Where a record names the row, counted from 0, `plus` added."""


class VerdictSpec(NamedTuple):
    """Verdicts that stand in a second file, joined by key within their source."""

    name: str
    """Its place in messages; `verdicts[0]` and so on."""
    path: str
    """The file, below the root."""
    kind: str
    """human, test or judge."""
    by: FieldSpec
    """Where a record names the key."""
    by_field: str | None = None
    """Evidence field that is the key, in place of `by`."""
    reader: str = "jsonl"
    """jsonl, json or csv."""
    key: str | None = None
    """JMESPath to the key in a row; without it, the keys of a JSON object."""
    value: str | None = None
    """JMESPath to the raw value in a row."""
    meaning: Meaning = Meaning()
    """Which raw values mean what."""
    aspect: str | None = None
    """What a judge looked at."""
    reviewer: str | None = None
    """JMESPath to the reviewer or scorer in a row."""
    confidence: str | None = None
    """JMESPath to a judge's confidence in a row."""
    lists: tuple[tuple[str, str], ...] = ()
    """JMESPath to a list of keys, and the verdict of all of them."""
    otherwise: str | None = None
    """Verdict of runs whose key the file does not hold; where a row of it cannot be read they are ambiguous."""
    totals: tuple[tuple[str, str], ...] = ()
    """A verdict, or `total`, and the JMESPath to the file's own count of it."""


class FailedTurns(NamedTuple):
    """Which assistant turns a log calls wrong."""

    path: str
    """JMESPath to a list parallel to the assistant messages."""
    fail: tuple[Any, ...]
    """Its values that mean wrong."""
