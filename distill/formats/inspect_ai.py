"""Logs of inspect-ai: a whole log in one JSON document, or the samples of an `.eval` archive (docs/formats/inspect_ai.md).

A run is one sample in one epoch. A sample of an archive does not say which task it belongs to: that stands in the archive's name; its
model is that of its own calls. Events are read for the model's name alone.
"""

import re
from typing import Any, NamedTuple

from distill.config import Config, Source
from distill.formats.chat import Dialect, build_dialect, choose_warning, read_message, read_messages
from distill.formats.inspect_scores import read_scores
from distill.formats.loose import count_at, id_at, list_at, number_at, object_at, require_object, text_at
from distill.formats.native import compile_patterns, find_infrastructure, read_conversation
from distill.formats.reading import Position, Reader, Reading, convert_time
from distill.jsonl import BadLine
from distill.schemas.evidence import Message, Signal, Tokens

__all__ = ["build_reader"]

_FILE = re.compile(r"[0-9T:\-]+(?:Z|[+-][0-9-]+)?_(?P<task>[^_]+)_[^_]+\.(?:eval|json)(?:\.gz|\.zst)?")
_ATTACHMENT = "attachment://"


class _Log(NamedTuple):
    """What a sample is told by the log around it."""

    task: str | None
    """Name of the task."""
    model: str | None
    """Model under test."""
    created: str | None
    """When the log began."""
    run: str
    """What sample ids are unique in."""


def build_reader(source: Source, config: Config, sides: object = None) -> Reader:
    """Return the reader of one source."""
    patterns = compile_patterns(config)

    def read(record: dict[str, Any], position: Position) -> Reading | list[Reading]:
        if "eval" not in record and "samples" not in record:
            log = _Log(_task_of_file(position), None, None, position.recorded_path)
            return _read_sample(record, "", log, source, patterns)
        held = object_at(record, "eval")
        run = id_at(held, "eval_id", "eval.") or id_at(held, "run_id", "eval.") or position.recorded_path
        model = text_at(held, "model", "eval.")
        log = _Log(_name_task(text_at(held, "task", "eval.")) or _task_of_file(position), model, text_at(held, "created", "eval."), run)
        samples = list_at(record, "samples")
        return [
            _read_sample(require_object(item, f"samples[{i}]"), f"samples[{i}].", log, source, patterns) for i, item in enumerate(samples)
        ]

    return read


def _name_task(task: str | None) -> str | None:
    """Return a task's name as file names have it, so that a log and an archive of one task agree.

    >>> _name_task("some_evals/tiny_sums")
    'tiny-sums'
    """
    return task.rsplit("/", 1)[-1].replace("_", "-") if task else None


def _task_of_file(position: Position) -> str | None:
    """Return the task that the file pattern's group `task` or inspect's own way to name files tells."""
    if position.groups.get("task"):
        return position.groups["task"]
    match = _FILE.fullmatch(position.recorded_path.rsplit("/", 1)[-1])
    return match["task"] if match else None


def _read_sample(sample: dict[str, Any], place: str, log: _Log, source: Source, patterns: list[re.Pattern[str]]) -> Reading:
    identity, epoch = id_at(sample, "id", place), count_at(sample, "epoch", place)
    if identity is None or "input" not in sample:
        name = "id" if identity is None else "input"
        raise BadLine(
            "missing_field", f"{place}{name}: found none, expected a sample with its id and input; set members = 'samples/*.json'"
        )
    dialect = build_dialect(source)
    instruction, messages = _conversation(sample, place, dialect)
    conversation, warning = read_conversation(messages, instruction, None if messages else _completion(sample, place))
    infrastructure, errors, tags = _failures(sample, place, patterns)
    scores, unknown = read_scores(sample, place)
    blank = not ((conversation["instruction"] or "").strip() and (conversation["response"] or "").strip())
    kept = [signal for signal in scores if signal.kind != "judge" or not blank]
    dialect.notes.update({"judge_of_nothing"} if len(kept) < len(scores) else set())
    model = log.model or _own_model(sample, place)
    seconds = number_at(sample, "total_time", place)
    started = text_at(sample, "started_at", place) or log.created
    tags |= {"epoch": str(epoch)} if epoch is not None else {}
    values = conversation | {
        "run_id": id_at(sample, "uuid", place) or f"{log.run}:{identity}:{epoch or 1}",
        "task_id": f"{log.task}/{identity}" if log.task else identity, "created_at": convert_time(started, source) if started else None,
        "model": model, "provider": model.split("/", 1)[0] if model and "/" in model else None, "errors": errors,
        "reference": _target(sample, place), "tags": tags | ({"task": log.task} if log.task else {}), "signals": [*kept, *infrastructure],
        "latency_ms": None if seconds is None else round(seconds * 1000, 3), "tokens": _tokens(sample, place, model),
    }  # fmt: skip
    return Reading(values, choose_warning(dialect.notes, warning or ("unknown_scorer" if unknown else None)))


def _conversation(sample: dict[str, Any], place: str, dialect: Dialect) -> tuple[str | None, list[Message] | None]:
    """Return the instruction where only the input tells it, else the messages, with the model's last answer where they lack it."""
    attachments = object_at(sample, "attachments", place)
    raw = _attach(sample.get("messages"), attachments) or _attach(sample.get("input"), attachments)
    if isinstance(raw, str):
        return raw, None
    messages = read_messages(raw, f"{place}messages", dialect)
    choices = list_at(object_at(sample, "output", place), "choices", f"{place}output.")
    if choices and messages and messages[-1].role != "assistant":
        at = f"{place}output.choices[0]"
        answer = _attach(require_object(choices[0], at).get("message"), attachments)
        messages += [] if answer is None else read_message(answer, f"{at}.message", dialect, default="assistant")
    return None, messages


def _attach(value: Any, attachments: dict[str, Any]) -> Any:
    """Return a value with the texts that stand among the sample's attachments in their places."""
    if isinstance(value, str):
        return attachments.get(value.removeprefix(_ATTACHMENT), value) if value.startswith(_ATTACHMENT) else value
    if isinstance(value, list):
        return [_attach(item, attachments) for item in value]
    return {key: _attach(item, attachments) for key, item in value.items()} if isinstance(value, dict) else value


def _completion(sample: dict[str, Any], place: str) -> str | None:
    """Return the answer of a sample that kept no messages."""
    output = object_at(sample, "output", place)
    attachments = object_at(sample, "attachments", place)
    choices = list_at(output, "choices", f"{place}output.")
    found = text_at(output, "completion", f"{place}output.")
    if found is None and choices:
        message = object_at(require_object(choices[0], f"{place}output.choices[0]"), "message", f"{place}output.choices[0].")
        found = message.get("content") if isinstance(message.get("content"), str) else None
    return _attach(found, attachments)  # type: ignore[no-any-return]  # text, as the attachments are


def _failures(sample: dict[str, Any], place: str, patterns: list[re.Pattern[str]]) -> tuple[list[Signal], list[str], dict[str, str]]:
    """Return infrastructure signals, errors of the run, and the tag of its limit.

    A used-up limit is a failure of the run (SPEC 4); a person who stopped it, or who declared it invalid, left it unjudged.
    """
    error = sample.get("error")
    told = text_at(error, "message", f"{place}error.") if isinstance(error, dict) else text_at(sample, "error", place)
    infrastructure, errors = find_infrastructure([told] if told else [], patterns)
    limit = object_at(sample, "limit", place)
    kind = text_at(limit, "type", f"{place}limit.")
    if kind == "operator":
        infrastructure.append(Signal(kind="infrastructure", verdict="none", value="stopped by the operator", where="limit"))
    elif kind:
        bound = number_at(limit, "limit", f"{place}limit.")
        errors.append(f"{kind} limit" + (f" of {bound:g} reached" if bound is not None else " reached"))
    invalid = sample.get("invalidation")
    if invalid:
        why = text_at(require_object(invalid, f"{place}invalidation"), "reason", f"{place}invalidation.")
        infrastructure.append(Signal(kind="infrastructure", verdict="none", value=why or "invalidated", where="invalidation"))
    return infrastructure, errors, {"limit": kind} if kind else {}


def _own_model(sample: dict[str, Any], place: str) -> str | None:
    """Return the one model of the usage, else that of the first model event, else that of the output."""
    used = list(object_at(sample, "model_usage", place))
    if len(used) == 1:
        return used[0]
    events = (event for event in list_at(sample, "events", place) if isinstance(event, dict) and event.get("event") == "model")
    first = next((event["model"] for event in events if isinstance(event.get("model"), str)), None)
    return first or text_at(object_at(sample, "output", place), "model", f"{place}output.") or None


def _target(sample: dict[str, Any], place: str) -> list[str]:
    target = sample.get("target")
    found = target if isinstance(target, list) else [] if target is None else [target]
    if not all(isinstance(text, str) for text in found):
        raise BadLine("mistyped_field", f"{place}target: found {target!r:.80}, expected text or a list of texts")
    return [text for text in found if text]


def _tokens(sample: dict[str, Any], place: str, model: str | None) -> Tokens | None:
    """Return the tokens of the model under test; graders have their own."""
    usage = object_at(sample, "model_usage", place)
    name = model if model in usage else next(iter(usage)) if len(usage) == 1 else None
    if name is None:
        return None
    used, at = object_at(usage, name, f"{place}model_usage."), f"{place}model_usage.{name}."
    return Tokens(input=count_at(used, "input_tokens", at), output=count_at(used, "output_tokens", at))
