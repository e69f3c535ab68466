"""Canonical JSON of plain values, with the standard library alone.

Used where a no-op build must not pay for importing msgspec: stage keys, settings, the store. Rows and documents
are encoded in `distill.jsonl`.
"""

import json
from typing import Any

__all__ = ["dump_canonical", "dump_sorted", "load_plain"]


def dump_canonical(value: Any) -> str:
    """Render a plain value as compact JSON with sorted keys, the same text in every process."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load_plain(text: str | bytes) -> Any:
    """Parse JSON that this package wrote itself.

    Raises:
        ValueError: the text is no JSON.
    """
    return json.loads(text)


def dump_sorted(value: Any) -> str:
    """Render a value as one line of JSON with sorted keys and a space after each comma and colon."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
