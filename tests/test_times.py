"""Times of logs to UTC (SPEC 3, SPEC 9)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.times import BadTime, is_zone, parse_time

GOOD: dict[str, tuple[str, str | None, str]] = {
    "utc": ("2026-04-27T09:14:03Z", None, "2026-04-27T09:14:03Z"),
    "lower_case": ("2026-04-27t09:14:03z", None, "2026-04-27T09:14:03Z"),
    "space": ("2026-04-27 09:14:03 +00:00", None, "2026-04-27T09:14:03Z"),
    "offset": ("2026-04-27T01:14:03+02:00", None, "2026-04-26T23:14:03Z"),
    "offset_without_colon": ("2026-04-27T01:14:03-0530", None, "2026-04-27T06:44:03Z"),
    "minus_zero": ("2026-04-27T01:14:03-00:00", None, "2026-04-27T01:14:03Z"),
    "fraction": ("2026-04-27T09:14:03.5Z", None, "2026-04-27T09:14:03.5Z"),
    "fraction_of_six": ("2026-04-27T09:14:03.123456Z", None, "2026-04-27T09:14:03.123456Z"),
    "fraction_cut_not_rounded": ("2026-04-27T09:14:03.1234569Z", None, "2026-04-27T09:14:03.123456Z"),
    "fraction_of_zeros": ("2026-04-27T09:14:03.000Z", None, "2026-04-27T09:14:03Z"),
    "fraction_cut_to_nothing": ("2026-04-27T09:14:03.0000009Z", None, "2026-04-27T09:14:03Z"),
    "leading_zeros": ("2026-04-27T09:14:03.000010Z", None, "2026-04-27T09:14:03.00001Z"),
    "leap_day": ("2024-02-29T00:00:00Z", None, "2024-02-29T00:00:00Z"),
    "first_moment": ("0001-01-01T00:00:00Z", None, "0001-01-01T00:00:00Z"),
    "last_moment": ("9999-12-31T23:59:59.999999Z", None, "9999-12-31T23:59:59.999999Z"),
    "named_zone_in_summer": ("2026-07-01T12:00:00", "Europe/Berlin", "2026-07-01T10:00:00Z"),
    "named_zone_in_winter": ("2026-01-01T12:00:00", "Europe/Berlin", "2026-01-01T11:00:00Z"),
    "offset_zone": ("2026-01-01T12:00:00", "+02:00", "2026-01-01T10:00:00Z"),
    "own_zone_first": ("2026-01-01T12:00:00+01:00", "America/New_York", "2026-01-01T11:00:00Z"),
    "widest_offset": ("2026-01-01T12:00:00+23:59", None, "2025-12-31T12:01:00Z"),
}
BAD: dict[str, tuple[str, str]] = {
    "no_zone": ("2026-04-27T09:14:03", "without zone, expected 'Z' or an offset; or set timezone for the source"),
    "leap_second": ("2016-12-31T23:59:60Z", "an impossible time"),
    "no_leap_day": ("2026-02-29T00:00:00Z", "an impossible time"),
    "month_13": ("2026-13-01T00:00:00Z", "an impossible time"),
    "hour_24": ("2026-04-27T24:00:00Z", "an impossible time"),
    "year_0": ("0000-01-01T00:00:00Z", "an impossible time"),
    "before_year_1": ("0001-01-01T00:00:00+01:00", "an impossible time"),
    "after_year_9999": ("9999-12-31T23:59:59-01:00", "an impossible time"),
    "offset_24": ("2026-04-27T09:14:03+24:00", "no such offset"),
    "offset_minute_60": ("2026-04-27T09:14:03+01:60", "no such offset"),
    "date_only": ("2026-04-27", "expected a time such as"),
    "number": ("1777280000", "expected a time such as"),
    "empty": ("", "expected a time such as"),
    "other_digits": ("٢026-04-27T09:14:03Z", "expected a time such as"),
    "dot_without_fraction": ("2026-04-27T09:14:03.Z", "expected a time such as"),
    "text_behind": ("2026-04-27T09:14:03Z\nx", "expected a time such as"),
}


@pytest.mark.parametrize(("text", "zone", "expected"), GOOD.values(), ids=GOOD)
def test_time_is_told_in_utc(text: str, zone: str | None, expected: str) -> None:
    """A time is told in UTC with Z and at most six decimals."""
    assert parse_time(text, zone) == expected
    assert parse_time(expected, None) == expected


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_bad_time_is_refused(text: str, expected: str) -> None:
    """A time that is impossible, or has no zone, is refused with what was found."""
    with pytest.raises(BadTime) as caught:
        parse_time(text, None)

    assert expected in str(caught.value)
    assert repr(text) in str(caught.value)


@given(
    st.datetimes(
        datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
    )
)
def test_any_time_agrees_with_the_standard_library(moment: datetime) -> None:
    """Any moment in any offset reads as the standard library reads it."""
    found = parse_time(moment.isoformat(), None)

    assert datetime.fromisoformat(found) == moment
    assert datetime.fromisoformat(found).utcoffset() == timedelta(0)
    assert found.endswith("Z")
    assert moment.astimezone(UTC).isoformat().replace("+00:00", "").startswith(found.rstrip("Z"))


@pytest.mark.parametrize(
    ("name", "known"),
    [("UTC", True), ("Z", True), ("z", True), ("+02:00", True), ("-0930", True), ("Europe/Berlin", True), ("Europe", False),
     ("Mars/Base", False), ("+25:00", False), ("", False), ("../zone", False)],
)  # fmt: skip
def test_zone_is_known_or_not(name: str, known: bool) -> None:
    """A zone is UTC, an offset or a name of the time zone database."""
    assert is_zone(name) is known
