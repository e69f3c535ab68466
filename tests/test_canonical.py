"""Canonical JSON of plain values."""

import json
import subprocess
import sys

import pytest
from hypothesis import given

from distill.canonical import dump_canonical, dump_sorted, load_plain
from tests.strategies import json_values


@given(json_values)
def test_value_survives_and_key_order_does_not_matter(value: object) -> None:
    """Both renderings read back as the value, and depend on no order of keys."""
    assert load_plain(dump_canonical(value)) == value
    assert load_plain(dump_sorted(value)) == value
    backwards = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert dump_canonical(backwards) == dump_canonical(value)
    assert dump_sorted(backwards) == dump_sorted(value)


def test_renderings_are_fixed() -> None:
    """The compact and the spaced form are these texts, non-ASCII as it is."""
    value = {"b": [1, 2.5, None], "a": {"é": True}}

    assert dump_canonical(value) == '{"a":{"é":true},"b":[1,2.5,null]}'
    assert dump_sorted(value) == '{"a": {"é": true}, "b": [1, 2.5, null]}'


def test_text_that_is_no_json_is_a_value_error() -> None:
    """Text that is no JSON is refused."""
    with pytest.raises(ValueError, match="Expecting"):
        load_plain("{")


def test_module_needs_the_standard_library_alone() -> None:
    """Importing it loads neither msgspec nor blake3, since a no-op build loads it."""
    code = "import sys, distill.canonical; sys.exit(bool({'msgspec', 'blake3'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
