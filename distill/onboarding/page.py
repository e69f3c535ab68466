"""A preview as a page of text."""

import re

from distill.onboarding.documents import Preview
from distill.onboarding.paths import cut, render_value
from distill.schemas.evidence import EvidenceRecord

__all__ = ["render_preview"]

_FIELDS = 60
_LONG = 100


def render_preview(preview: Preview) -> str:
    """Return what a person reads before anything is built."""
    about = "" if preview.complete else "about "
    lines = [
        f"{preview.source}: {about}{preview.records:,} records in {preview.files:,} files, {_size(preview.bytes)}",
        f"read here: {preview.records_read:,} records, which give {preview.evidence_count:,} evidence records",
    ]
    if preview.proposal:
        lines += ["", "proposed settings (no config names these files; `distill init FOLDER` writes them):", *_indented(preview.proposal)]
    lines += ["", *_fields(preview)]
    lines += ["", *_unmatched(preview)] if preview.unmatched else []
    for i, record in enumerate(preview.evidence):
        lines += ["", f"evidence {i + 1}: {record.provenance}", *_record(record)]
    lines += ["", *_outlook(preview)]
    lines += ["", *_skipped(preview)]
    estimate = preview.estimate
    if preview.evidence_count:
        cost = f"a full run: about {_time(estimate.seconds)} of CPU time and {_size(estimate.disk_bytes)} of disk"
        lines += ["", f"{cost} (reading and scoring went through {_size(estimate.bytes_per_second)} a second here)"]
    return "".join(f"{_clean(line)}\n" for line in lines)


def _clean(line: str) -> str:
    """Return a line that moves no cursor of a terminal."""
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", line)


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]


def _fields(preview: Preview) -> list[str]:
    shown = preview.fields[:_FIELDS]
    width = min(44, max((len(field.path) for field in shown), default=0))
    lines = [f"  {field.path:<{width}}  {field.share:>5.0%}  {'/'.join(field.kinds[:2]):<12}  {field.example}" for field in shown]
    more = [f"  and {len(preview.fields) - _FIELDS} more (--json shows all)"] if len(preview.fields) > _FIELDS else []
    return ["fields found (path, share of records, kind, a value):", *lines, *more]


def _unmatched(preview: Preview) -> list[str]:
    return ["expressions that matched nothing here:", *(f"  {problem}" for problem in preview.unmatched)]


def _record(record: EvidenceRecord) -> list[str]:
    """Return the fields of one evidence record that hold something, each cut."""
    left_out = {"schema_version", "id", "source", "provenance", "signals", "messages"}
    lines = [f"  id {record.id}"]
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name not in left_out and value not in (None, [], {}):
            lines.append(f"  {name} {cut(render_value(_plain(value)), _LONG)}")
    for message in (record.messages or [])[:4]:
        calls = f" {len(message.tool_calls)} tool calls" if message.tool_calls else ""
        lines.append(f"  message {message.role}: {cut(render_value(message.content), _LONG)}{calls}")
    if len(record.messages or []) > 4:
        lines.append(f"  and {len(record.messages or []) - 4} more messages")
    lines += [f"  signal {signal.kind}: {signal.verdict}, {signal.where} is {cut(render_value(signal.value))}" for signal in record.signals]
    return lines


def _plain(value: object) -> object:
    """Return a struct as a dict, any other value as it is."""
    names = getattr(value, "__struct_fields__", None)
    return value if names is None else {name: getattr(value, name) for name in names}


def _outlook(preview: Preview) -> list[str]:
    """Return what the runs score to, and the values the verdict comes from."""
    lines = ["they would score to (each by itself; reviews and duplicates show only in a build):"]
    lines += [f"  {category} {count:,}" for category, count in preview.categories.items()] or ["  nothing"]
    lines += ["because:", *(f"  {reason} {count:,}" for reason, count in preview.reasons.items())] if preview.reasons else []
    for signal in preview.values:
        lines.append(f"signal {signal.where} ({signal.kind}) met:")
        lines += [f"  {value.value} → {value.verdict}, {value.count:,} times" for value in signal.values]
    if not preview.values and preview.evidence:
        lines.append("no signal gave a verdict: nothing can be accepted")
    lines += [f"warning: {text} ({count:,} times)" for text, count in preview.warnings.items()]
    return lines


def _skipped(preview: Preview) -> list[str]:
    lines = [f"would be skipped: {sum(entry.count for entry in preview.skipped):,} records"]
    for entry in preview.skipped:
        lines += [f"  {entry.reason} {entry.count:,} ({entry.action}): {cut(entry.detail, 200)}", f"    first at {entry.place}"]
    lines += [f"gives no evidence of its own: {reason} {count:,}" for reason, count in preview.filtered.items()]
    return lines


def _size(count: float) -> str:
    """Return bytes as a person reads them."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{max(1, round(seconds))} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 7200 else f"{seconds / 3600:,.1f} hours"
