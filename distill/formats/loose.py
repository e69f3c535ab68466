"""How values of a foreign log are taken: each typed where it is used, absent or null is null, anything else is refused (SPEC 9).

Also JSON that stands in strings, and times that are counted from 1970. What a conversation is, is in `distill.formats.chat`.
"""

from contextlib import suppress
from typing import Any

from distill.jsonl import BadLine, decode_line

__all__ = [
    "count_at",
    "id_at",
    "list_at",
    "number_at",
    "object_at",
    "parse_epoch",
    "render_epoch",
    "require_object",
    "text_at",
    "unwrap_json",
]

_MOST = 1 << 63
_NESTED = 8
"""JSON in a string in a string: how often it is unpacked at most."""
_NAMES = {
    type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object",
}  # fmt: skip


def _refuse(place: str, value: Any, expected: str) -> BadLine:
    return BadLine("mistyped_field", f"{place}: found {_NAMES[type(value)]}, expected {expected}")


def text_at(record: dict[str, Any], key: str, place: str = "") -> str | None:
    """Return the text under `key`, or None where it is absent or null.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise _refuse(place + key, value, "text")


def id_at(record: dict[str, Any], key: str, place: str = "") -> str | None:
    """Return the id under `key` as text, also where the log has a whole number; an empty one is None.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or None
    raise _refuse(place + key, value, "text or a whole number")


def number_at(record: dict[str, Any], key: str, place: str = "") -> float | None:
    """Return the number of zero or more under `key`, or None; none is beyond 2^63.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise BadLine("mistyped_field", f"{place}{key}: found {value!r:.80}, expected a number from 0 to 2^63")
    return value


def count_at(record: dict[str, Any], key: str, place: str = "") -> int | None:
    """Return the whole number of zero or more under `key`, or None; 3.0 counts as 3.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = number_at(record, key, place)
    if value is None or value == int(value):
        return None if value is None else int(value)
    raise BadLine("mistyped_field", f"{place}{key}: found {value!r}, expected a whole number")


def object_at(record: dict[str, Any], key: str, place: str = "") -> dict[str, Any]:
    """Return the object under `key`, empty where it is absent or null.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = record.get(key)
    return {} if value is None else require_object(value, place + key)


def require_object(value: Any, place: str) -> dict[str, Any]:
    """Return `value`, which must be an object.

    Raises:
        BadLine: `mistyped_field`.
    """
    if isinstance(value, dict):
        return value
    raise _refuse(place, value, "an object")


def list_at(record: dict[str, Any], key: str, place: str = "") -> list[Any]:
    """Return the list under `key`, empty where it is absent or null.

    Raises:
        BadLine: `mistyped_field`.
    """
    value = record.get(key)
    if value is None or isinstance(value, list):
        return value or []
    raise _refuse(place + key, value, "a list")


def unwrap_json(value: Any) -> Any:
    r"""Return the value that stands as JSON in a string, also in a string in a string; a text that is no JSON stays a text.

    >>> unwrap_json('"{\\"a\\": [1]}"')
    {'a': [1]}
    >>> unwrap_json("12 apples"), unwrap_json("12")
    ('12 apples', '12')
    """
    for _ in range(_NESTED):
        if not isinstance(value, str) or value.strip()[:1] not in {"{", "[", '"'}:
            return value
        with suppress(BadLine, UnicodeEncodeError):
            held = decode_line(b'{"held":' + value.encode() + b"}")
            if list(held) == ["held"]:
                value = held["held"]
                continue
        return value
    return value


def render_epoch(nanoseconds: int) -> str:
    """Return a moment counted from 1970 in UTC as RFC 3339, at most six decimals, further ones cut.

    Raises:
        BadLine: `bad_time`, a year outside 1 to 9999.

    >>> render_epoch(1_777_281_243_500_000_999)
    '2026-04-27T09:14:03.5Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    days, second = divmod(seconds, 86_400)
    era, day = divmod(days + 719_468, 146_097)  # counted from 0000-03-01, in spans of 400 years
    of_era = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    of_year = day - (365 * of_era + of_era // 4 - of_era // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = of_era + era * 400 + (month <= 2)
    if not 1 <= year <= 9999:
        raise BadLine("bad_time", f"found a moment in the year {year}, expected one from 1 to 9999")
    tail = f".{rest // 1_000:06d}".rstrip("0") if rest >= 1_000 else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{tail}Z"


def parse_epoch(text: str) -> int:
    """Return the nanoseconds from 1970 of a time in UTC as `distill.times.parse_time` gives it.

    >>> parse_epoch("2026-04-27T09:14:03.5Z") == 1_777_281_243_500_000_000
    True
    """
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    year -= month <= 2
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468
    seconds = days * 86_400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    return seconds * 1_000_000_000 + int(text[20:-1].ljust(9, "0") or 0)
