"""A source described by the config alone (SPEC 2): fields, messages, signals, runs in one record, second files.

Everything is compiled once per source; a path that is a plain name costs a dictionary look-up. What finds a value is in
`distill.mapping.fields`, `messages` and `signals`; which expressions found nothing in `matching`.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from distill.canonical import dump_sorted
from distill.config import Config, Source
from distill.errors import ConfigError
from distill.formats.native import compile_patterns, find_infrastructure, read_conversation
from distill.formats.reading import Position, Reading, convert_time
from distill.jsonl import BadLine
from distill.mapping.explode import compile_explode
from distill.mapping.fields import Fields, Take, as_count, as_text, compile_field, plain_text, read_texts
from distill.mapping.joining import compile_joins, is_blank
from distill.mapping.matching import Seen
from distill.mapping.messages import compile_cut, compile_messages
from distill.mapping.paths import check_path, compile_path, template_paths
from distill.mapping.signals import compile_signal
from distill.schemas.evidence import Signal, Tokens
from distill.sides import Sides

__all__ = ["MappedReader", "build_reader", "check_expressions", "found_values"]

One = Callable[[dict[str, Any], Position], Reading]
_TALK = ("instruction", "response")
_SHOWN = 20


def check_expressions(source: Source) -> list[str]:
    """Return what is wrong with the path expressions of a source."""
    problems = [(path, check_path(path)) for path in _all_paths(source)]
    return [f"source {source.name!r}: {path!r} is no path expression: {told}" for path, told in problems if told is not None]


def _all_paths(source: Source) -> list[str]:
    """Return every path of a source, those into rows of second files too."""
    specs = [spec for _, several in source.fields for spec in several] + [spec for _, spec in (*source.tags, *source.tokens)]
    specs += [spec for one in source.lookups for spec in (one.by, one.line) if spec is not None] + [one.by for one in source.verdicts]
    paths: list[str | None] = []
    for spec in specs:
        paths += [spec.path, spec.count, spec.inside, spec.role, spec.content, *template_paths(spec.template or "")]
        paths += [part.path for part in spec.zip]
    for signal in source.signals:
        paths += [signal.path, signal.by, signal.confidence, signal.aspect_path, signal.each, signal.where, *(signal.checks or ())]
    if source.explode is not None:
        paths += [source.explode.list, source.explode.keys, *source.explode.parallel]
    paths.append(source.failed_turns.path if source.failed_turns else None)
    paths += [one.key for one in source.lookups]
    for side in source.verdicts:
        paths += [
            side.key,
            side.value,
            side.reviewer,
            side.confidence,
            *(path for path, _ in side.lists),
            *(path for _, path in side.totals),
        ]
    return [path for path in paths if path is not None]


class MappedReader:
    """The reader of a mapped source; `seen` tells what its expressions found."""

    def __init__(self, source: Source, read: One, asked: set[str]) -> None:
        """Keep what reads one run; `asked` fills with the lookups it asks."""
        self.seen, self._read = Seen(source, asked), read
        self._explode = compile_explode(source.explode) if source.explode is not None else None

    def __call__(self, record: dict[str, Any], position: Position, /) -> Reading | list[Reading]:
        """Understand one record."""
        if self._explode is None:
            self.seen.note(record, position)
            return self._read(record, position)
        views, warning = self._explode(record)
        for view in views or [record]:
            self.seen.note(view, position)
        found = [self._read(view, position) for view in views]
        if warning is not None and found:  # told once a record
            found[0] = found[0]._replace(warning=warning)
        return found


def build_reader(source: Source, config: Config, sides: Sides | None = None) -> MappedReader:
    """Compile the mapping of one source.

    Raises:
        ConfigError: a path expression is wrong.
    """
    problems = check_expressions(source)
    if problems:
        raise ConfigError(problems)
    places = Fields(source, sides)
    return MappedReader(source, _compile_run(source, config, sides=sides, places=places), places.asked)


def _compile_run(source: Source, config: Config, *, sides: Sides | None, places: Fields) -> One:
    """Return the function that understands one run."""
    plain = [found for name, specs in source.fields if (found := plain_text(name, specs)) is not None]
    quick = {name for name, _, _ in plain} | {"messages"}
    fields = [(name, compile_field(name, specs, places)) for name, specs in source.fields if name not in quick]
    tags = [(name, places.take(spec)) for name, spec in source.tags]
    talk, declared = compile_messages(source, places), {name for name, _ in source.fields}
    cut = compile_cut(source.strip_markers) if source.strip_markers else None
    signals, tokens, name_run = _compile_signals(source, config, sides), _compile_tokens(source, places), source.run_id == "position"
    timed, no_task = "created_at" in declared, source.task_id_required

    def read(record: dict[str, Any], position: Position) -> Reading:
        values = read_texts(record, plain)
        for name, take in fields:
            values[name] = take(record, position)
        messages, warning = talk(record, position) if talk is not None else (None, None)
        instruction, response = values.get("instruction"), values.get("response")
        if cut is not None:
            instruction, response = cut(instruction), cut(response)
        if messages is None:
            values["instruction"], values["messages"], values["response"] = instruction, None, response
        else:
            conversation, told = read_conversation(messages, instruction, response)
            values |= conversation
            warning = warning or told
        if tags:
            values["tags"] = {name: text for name, take in tags if (text := as_text(name, take(record, position), ids=True)) is not None}
        if tokens is not None:
            values["tokens"] = tokens(record, position)
        if timed and values["created_at"] is not None:
            values["created_at"] = convert_time(values["created_at"], source)
        if name_run:
            values["run_id"] = _position_id(record, position, exploded=source.explode is not None)
        values["signals"] = signals(record, position, values)
        if no_task and values.get("task_id") is None:
            raise BadLine("missing_field", "task_id is null, and the source says task_id_required")
        return Reading(values, warning)

    return read


def _position_id(record: dict[str, Any], position: Position, *, exploded: bool) -> str:
    """Return a run id made of the place: source, path and line, member, place or key, and the place within the record."""
    if position.member is not None:
        place = f"!{position.member}"
    elif position.key is not None:
        place = f"{{{position.key}}}"
    elif position.index is not None:
        place = f"[{position.index}]"
    else:
        place = f":{position.line}"
    return f"position:{position.recorded_path}{place}" + (f"#{record['index']}" if exploded else "")


def _compile_tokens(source: Source, places: Fields) -> Callable[[dict[str, Any], Position], Tokens | None] | None:
    if not source.tokens:
        return None
    takes = {name: places.take(spec) for name, spec in source.tokens}
    read_input: Take = takes.get("input", _nothing)
    read_output: Take = takes.get("output", _nothing)

    def read(record: dict[str, Any], position: Position) -> Tokens | None:
        given, made = as_count("tokens.input", read_input(record, position)), as_count("tokens.output", read_output(record, position))
        return None if given is None and made is None else Tokens(input=given, output=made)

    return read


def _nothing(record: dict[str, Any], position: Position) -> None:
    return None


def _compile_signals(
    source: Source, config: Config, sides: Sides | None
) -> Callable[[dict[str, Any], Position, dict[str, Any]], list[Signal]]:
    """Return the function that finds every signal of a run; a judge that had nothing to look at gives none.

    Errors of its values that are infrastructure become signals, as they do in every format.
    """
    specs = [compile_signal(spec) for spec in source.signals]
    join = compile_joins(source, sides)
    declared = {name for name, _ in source.fields}
    seen = [name for name in _TALK if declared & {name, "messages"}]  # a log that holds neither, only verdicts, says nothing of that
    patterns = compile_patterns(config) if "errors" in declared else []
    judged = seen and "judge" in {*(spec.kind for spec in source.signals), *(spec.kind for spec in source.verdicts)}

    def read(record: dict[str, Any], position: Position, values: dict[str, Any]) -> list[Signal]:
        found: list[Signal] = []
        for read_signal in specs:
            found += read_signal(record)
        if join is not None:
            found += join(record, position, values)
        if patterns and values["errors"]:
            broken, values["errors"] = find_infrastructure(values["errors"], patterns)
            found += broken
        if judged and is_blank(values, seen):
            return [signal for signal in found if signal.kind != "judge"]
        return found

    return read


def found_values(source: Source, records: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the raw values each signal meets, as sorted JSON, with their counts: the most frequent 20, by count and text."""
    explode = compile_explode(source.explode) if source.explode else None
    met: dict[str, Counter[str]] = {}
    for record in records:
        for view in [record] if explode is None else explode(record).records:
            for i, spec in enumerate(source.signals):
                if spec.path is None:
                    continue
                items = compile_path(spec.each)(view) if spec.each else [view]
                name = f"signals[{i}]: {spec.each}[].{spec.path}" if spec.each else f"signals[{i}]: {spec.path}"
                for item in items if isinstance(items, list) else []:
                    if spec.where is None or compile_path(spec.where)(item):
                        met.setdefault(name, Counter())[dump_sorted(compile_path(spec.path)(item))] += 1
    return {name: dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN]) for name, counts in sorted(met.items())}
