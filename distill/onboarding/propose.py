"""A mapping out of what a sample of records holds: what is sure stands as a setting, what is not as a comment (issue 5.3).

Pure. Laws:
1. Nobody is said to have decided: every boolean that sounds like a verdict is the agent's own claim until a person says otherwise.
2. A number never becomes a verdict by itself; its values are shown, the thresholds are a person's.
3. What is proposed names only paths that were met.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from distill.onboarding.names import (
    EXPECTED,
    FAIL_WORDS,
    GUESSED,
    NAMES,
    NUMBERS,
    PASS_WORDS,
    TAGS,
    TEXTS,
    Names,
    is_named,
    is_negative,
    sounds_like_verdict,
    words_of,
)
from distill.onboarding.paths import Catalog, Found, cut, render_value
from distill.onboarding.talk import Talk, find_talk
from distill.times import BadTime, parse_time

__all__ = ["Mapping", "Setting", "Verdict", "propose_mapping"]

_SHARE = 0.5
"""Share of records from which a field counts as one of the log."""
_SOMETIMES = frozenset({"model", "provider", "attempts", "cost_usd", "latency_ms", "context"})
"""Fields that a log may leave out where there is nothing to say."""
_OTHERS = 3
"""Places shown besides the one that was taken."""
_ALIKE = 0.9
"""Share of different values from which an id tells runs apart."""
_WHO = '# who decided? a test: write "test"; a person: "human"; the agent itself said so: leave "self"'
_UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))


class Setting(NamedTuple):
    """One line of a table."""

    key: str
    """Its name."""
    value: str
    """Its value as TOML."""
    note: str = ""
    """What was found, or why."""
    sure: bool = True
    """False where it stands as a comment that a person may take."""


class Verdict(NamedTuple):
    """One signal."""

    path: str
    """Path of the raw value."""
    settings: tuple[tuple[str, str], ...]
    """Keys and values as TOML, after kind and path."""
    notes: tuple[str, ...]
    """Comment lines above it."""
    sure: bool
    """False where all of it stands as a comment."""
    is_named: bool = True
    """False where nothing but its kind of value speaks for it."""


class Mapping(NamedTuple):
    """What a source of records may say."""

    source: tuple[Setting, ...]
    """Settings of the source itself."""
    fields: tuple[Setting, ...]
    """Evidence fields."""
    tags: tuple[Setting, ...]
    """Tags."""
    verdicts: tuple[Verdict, ...]
    """Signals."""


class _Draft:
    """The lines so far, and the paths they took."""

    def __init__(self, catalog: Catalog, base: tuple[str, ...]) -> None:
        self.catalog = catalog
        self.base = len(base) + 1
        self.plain = [found for found in catalog.plain() if found.parts[: len(base)] == base and len(found.parts) > len(base)]
        self.source: list[Setting] = []
        self.fields: list[Setting] = []
        self.taken: set[str] = set()

    def is_common(self, found: Found) -> bool:
        return self.catalog.share(found) >= _SHARE

    def set(self, field: str, found: Found, *, note: str = "", sure: bool = True, extra: str = "") -> None:
        """Write a field down; an unsure one with what was found there."""
        if not sure:
            note = f"{note}; found {_examples(found)}" if note else f"found {_examples(found)}"
        self.fields.append(Setting(field, f"{{ path = {render_value(found.path)}{extra} }}", note, sure))
        if sure:
            self.taken.add(found.path)


def _examples(found: Found) -> str:
    """Return up to three values met, the most frequent first."""
    values = [text for text, _ in found.values(3)] or [render_value(found.example)]
    return ", ".join(cut(text, 40) for text in values)


def propose_mapping(catalog: Catalog, *, base: tuple[str, ...] = ()) -> Mapping:
    """Return the mapping of the records in a catalog; `base` is where a run lies in an exploded record."""
    draft = _Draft(catalog, base)
    talk = find_talk(catalog, base)
    for entry in NAMES:
        matching = _matching(draft, entry)
        if entry.field == "run_id":
            _add_run_id(draft, matching)
        elif entry.field == "created_at":
            _add_time(draft, matching)
        elif entry.several:
            _add_list(draft, entry, matching)
        else:
            _add_field(draft, entry, matching, talk if talk is not None and talk.sure else None)
    if talk is not None:
        _add_talk(draft, talk)
    _add_expected(draft, talk)
    _add_tokens(draft)
    tags = [
        Setting(render_key(found.leaf), f"{{ path = {render_value(found.path)} }}")
        for found in draft.plain
        if found.leaf in TAGS and found.depth <= draft.base + 1 and draft.is_common(found) and found.has_only("text", "integer")
    ]
    _add_task(draft)
    verdicts = [verdict for found in draft.plain if found.path not in draft.taken and (verdict := _verdict(catalog, found)) is not None]
    once = {setting.key: setting for setting in reversed(tags)}
    return Mapping(tuple(draft.source), tuple(draft.fields), tuple(reversed(once.values())), tuple(verdicts))


def render_key(name: str) -> str:
    """Return a key as TOML writes it: bare, or quoted."""
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else render_value(name)


def _matching(draft: _Draft, entry: Names) -> list[Found]:
    """Return the paths that are called as the field usually is, the surest name first, then outer ones."""
    return list(dict.fromkeys(found for name in entry.names for found in draft.plain if is_named(found, name, base=draft.base)))


def _add_run_id(draft: _Draft, matching: list[Found]) -> None:
    chosen = None
    for found in matching:
        telling = found.has_only("text", "integer") and draft.is_common(found)
        different = len(found.counts) >= _ALIKE * found.records and found.records > 1
        if chosen is None and telling and different and found.depth <= draft.base + 1:
            chosen = found
            draft.set("run_id", found)
        elif telling:
            why = "also looks like a run id" if different else f"{len(found.counts)} different values in {found.records} records"
            draft.set("run_id", found, note=why, sure=False)
    if chosen is None:
        draft.source.append(Setting("run_id", '"position"', "no key tells every run from the others"))


def _add_time(draft: _Draft, matching: list[Found]) -> None:
    """Write down where the time stands; a time without zone, and a number, need a word of a person."""
    chosen = None
    for found in matching:
        numeric = found.has_only("integer", "number")
        if not draft.is_common(found) or not (numeric or found.has_only("text")):
            continue
        unit = _unit(found) if numeric else None
        if chosen is None and unit is not None:
            chosen = found
            draft.set("created_at", found, note=f"{unit} since 1970", extra=f', unit = "{unit}"')
        elif chosen is None and found.has_only("text") and _is_time(found, "UTC"):
            chosen = found
            if not _is_time(found, None):
                draft.source.append(Setting("timezone", '"UTC"', f"unsure: {found.path} names no zone; say which"))
            draft.set("created_at", found)
        elif numeric is (unit is not None):
            draft.set("created_at", found, sure=False)
    if chosen is None:
        draft.source.append(Setting("created_at", '"absent"', "no time was recognised"))


def _unit(found: Found) -> str | None:
    """Return the unit of numbers that are times of 1990 to 2100, or None."""
    numbers = [float(text) for text in found.counts]
    for scale, unit in _UNITS:
        if numbers and all(6.3 * scale <= number <= 41 * scale for number in numbers):
            return unit
    return None


def _is_time(found: Found, zone: str | None) -> bool:
    from distill.canonical import load_plain  # noqa: PLC0415 -- the texts were kept as JSON

    with suppress(BadTime):
        return bool([parse_time(load_plain(text), zone) for text in found.counts])
    return False


def _add_task(draft: _Draft) -> None:
    """Offer the instruction as the task's identity, where no id stands in every record."""
    fields = {setting.key: setting for setting in draft.fields if setting.sure}
    if "instruction" in fields and "task_id" not in fields:
        draft.fields.append(Setting("task_id", fields["instruction"].value, "where the same instruction is the same task", sure=False))


def _add_list(draft: _Draft, entry: Names, matching: list[Found]) -> None:
    """Write down every place of a list field; of one, as one place."""
    places = [found for found in matching if found.has_only(*entry.kinds)]
    places = [found for found in places if found.leaf not in GUESSED]
    if not places:
        return
    values = [f"{{ path = {render_value(found.path)}, optional = true }}" for found in places]
    note = "kept out of every export" if entry.field == "reference" else ""
    draft.fields.append(Setting(entry.field, values[0] if len(values) == 1 else f"[{', '.join(values)}]", note))
    draft.taken.update(found.path for found in places)


def _add_field(draft: _Draft, entry: Names, matching: list[Found], talk: Talk | None) -> None:
    """Write down the surest place of a field, and of the others a few as comments."""
    chosen, others = None, 0
    for found in matching:
        if not found.has_only(*entry.kinds) or not draft.catalog.share(found) or found.path in draft.taken:
            continue
        common = draft.is_common(found) or (entry.field in _SOMETIMES and found.depth == draft.base)
        hidden = talk is not None and (entry.field == "instruction" or (entry.field == "response" and talk.answered))
        if chosen is None and common and found.depth <= draft.base + 1 and not hidden and found.leaf not in GUESSED:
            chosen = found
            draft.set(entry.field, found)
            continue
        others += 1
        if others <= _OTHERS:
            why = "the conversation says it" if hidden else f"in {draft.catalog.share(found):.0%} of the records"
            draft.set(entry.field, found, note=why, sure=False)


def _add_talk(draft: _Draft, talk: Talk) -> None:
    draft.fields.append(Setting("messages", talk.value, talk.note, talk.sure))
    draft.source += [Setting("roles", f"{{ {', '.join(talk.roles)} }}", talk.roles_note)] if talk.roles else []
    draft.taken.add(talk.path)
    if talk.markers:
        marks = _listed(render_value(mark) for mark in talk.markers)
        draft.source.append(Setting("strip_markers", marks, "marks of a simulator in the messages", sure=False))


def _add_expected(draft: _Draft, talk: Talk | None) -> None:
    """Offer as reference what may be the expected answer, or what only a simulated user was told."""
    names = EXPECTED | ({"instruction"} if talk is not None else set())
    places = [found for found in draft.plain if found.leaf in names and found.depth > draft.base and draft.is_common(found)]
    if places:
        values = ", ".join(f"{{ path = {render_value(found.path)} }}" for found in places)
        note = "the expected answer, or what the agent never saw? a reference is kept out of every export"
        draft.fields.append(Setting("reference", f"[{values}]", note, sure=False))


def _add_tokens(draft: _Draft) -> None:
    sides: dict[str, str] = {}
    for side, names in (("input", ("prompt_tokens", "input_tokens")), ("output", ("completion_tokens", "output_tokens"))):
        fits = [found for found in draft.plain if found.leaf in names and found.has_only("integer") and draft.is_common(found)]
        if fits:
            sides[side] = f"{side} = {{ path = {render_value(fits[0].path)} }}"
    if sides:
        draft.source.append(Setting("tokens", f"{{ {', '.join(sides.values())} }}"))


def _verdict(catalog: Catalog, found: Found) -> Verdict | None:
    """Return the signal a path may be, or None."""
    name = found.parts[-1]
    where = f"{found.path}: in {catalog.share(found):.0%} of {catalog.records} records"
    if found.has_only("bool"):
        good, bad = ("false", "true") if is_negative(name) else ("true", "false")
        meaning = (("pass", f"[{good}]"), ("fail", f"[{bad}]"))
        if sounds_like_verdict(name):
            return Verdict(found.path, meaning, (f"# {where}: {_counts(found)}", _WHO), sure=True)
        note = "# unsure: a boolean whose name says nothing of a verdict; take the marks away where it is one, else delete it"
        return Verdict(found.path, meaning, (f"# {where}: {_counts(found)}", note), sure=False, is_named=False)
    words = set(words_of(name))
    if found.has_only("integer", "number") and words & NUMBERS and sounds_like_verdict(name):
        numbers = sorted(float(text) for text in found.counts)
        bounds = (("pass", f"{numbers[-1]!r}"), ("fail", f"{numbers[0]!r}"))
        note = "# unsure: a number; say from where on it is a pass, up to where a fail, and who decided"
        return Verdict(found.path, bounds, (f"# {where}: {_counts(found)}; {numbers[0]:g} to {numbers[-1]:g}", note), sure=False)
    if found.has_only("text") and words & TEXTS and 1 <= len(found.counts) <= 12:
        return _worded(found, where)
    return None


def _worded(found: Found, where: str) -> Verdict:
    """Return the signal a text may be; values of no known meaning are left to a person."""
    values = [text for text, _ in found.values(12)]
    meant = {text: text.strip('"').lower().replace("_", " ") for text in values}
    good = [text for text in values if meant[text] in PASS_WORDS]
    bad = [text for text in values if meant[text] in FAIL_WORDS]
    rest = [text for text in values if text not in good and text not in bad]
    notes = [f"# {where}: {_counts(found)}", "# unsure: words; say which mean pass, fail, partial or infrastructure, and who decided"]
    notes += [f"# not known: {', '.join(rest)}"] if rest else []
    return Verdict(found.path, (("pass", _listed(good)), ("fail", _listed(bad))), tuple(notes), sure=False)


def _listed(values: Iterable[Any]) -> str:
    return f"[{', '.join(values)}]"


def _counts(found: Found) -> str:
    """Return the values most often met, with how often each."""
    shown = ", ".join(f"{cut(text, 40)} ({count})" for text, count in found.values(8))
    return shown + (f" and {len(found.counts) - 8} more" if len(found.counts) > 8 else "")
