"""Times of logs: RFC 3339 in, RFC 3339 in UTC out (SPEC 3); the clock is not here."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache

__all__ = ["BadTime", "is_zone", "parse_epoch", "parse_time"]

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?\s*([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = {"s": Decimal(10**6), "ms": Decimal(10**3), "us": Decimal(1), "ns": Decimal("0.001")}


class BadTime(ValueError):  # noqa: N818 -- carries an outcome, not an error
    """A text that names no time."""


@lru_cache(maxsize=4096)
def parse_time(text: str, zone: str | None) -> str:
    """Return a time in UTC with `Z` and at most six decimals, further ones cut.

    `zone` is the source's zone for times that name none.

    Raises:
        BadTime: the text is no RFC 3339 time, names an impossible one, or has no zone while `zone` is None.
    """
    if len(text) == 20 and text[19] == "Z" and text[10] == "T" and text[4] == text[7] == "-" and text[13] == text[16] == ":":
        with suppress(ValueError):
            datetime.fromisoformat(text)  # fast, and says whether there is such a moment; what else it accepts has another shape
            if text.isascii():
                return text
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadTime(f"found {text!r}, expected a time such as '2026-04-27T09:14:03Z'")
    *numbers, fraction, offset = match.groups()
    if offset == "Z" and fraction is None and _is_whole(numbers):
        return f"{text[:10]}T{text[11:19]}Z"
    if offset is None and zone is None:
        raise BadTime(f"found {text!r} without zone, expected 'Z' or an offset; or set timezone for the source")
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        moment = datetime(year, month, day, hour, minute, second, micro, tzinfo=_zone(offset or zone or "Z")).astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise BadTime(f"found {text!r}, an impossible time: {err}") from err
    return _render(moment)


def parse_epoch(count: float, unit: str) -> str:
    """Return the time that many `s`, `ms`, `us` or `ns` after 1970 in UTC with `Z` and at most six decimals, further ones cut.

    Raises:
        BadTime: the number names no time of our calendar.
    """
    try:
        micro = int(Decimal(repr(count)) * _MICROS[unit])
        moment = _EPOCH + timedelta(microseconds=micro)
    except (ValueError, OverflowError, ArithmeticError) as err:
        raise BadTime(f"found {count!r}, which is no time in {unit} since 1970") from err
    return _render(moment)


def _render(moment: datetime) -> str:
    tail = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{tail}Z"


def _is_whole(numbers: list[str]) -> bool:
    """Tell whether the numbers name a time that exists; most logs write theirs in UTC and whole seconds."""
    year, month, day, hour, minute, second = map(int, numbers)
    return 0 < month < 13 and 0 < day < 29 and hour < 24 and minute < 60 and second < 60 and year > 0


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if name in {"Z", "z", "UTC"}:
        return UTC
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if offset is not None:
        hours, minutes = int(offset[2]), int(offset[3])
        if hours > 23 or minutes > 59:
            raise ValueError(f"no such offset {name!r}")
        span = timedelta(hours=hours, minutes=minutes)
        return timezone(span if offset[1] == "+" else -span)
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 -- only for named zones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as err:
        raise ValueError(f"no such zone {name!r}") from err


def is_zone(name: str) -> bool:
    """Tell whether `name` is a zone that times can be read in."""
    try:
        _zone(name)
    except ValueError:
        return False
    return True
