"""Second files joined to runs (SPEC 2): what cannot be told is ambiguous, what matches nothing is an error, and nothing is guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.errors import InputError
from distill.hashing import hash_bytes
from distill.mapping import reader as mapping
from distill.mapping.matching import describe_facts, merge_facts
from distill.units.sides import prepare_sides
from tests.mapped import PLACE, config

FIELDS = '[sources.fields]\nrun_id = { path = "id" }\n'
ROWS = 'kind = "test"\nby = { path = "id" }\nkey = "run"\nvalue = "said"\n'
WORDS = 'pass = ["good"]\nfail = ["bad"]\n'
RANGE = "pass = 1\nfail = 0\n"
Told = dict[str, tuple[str | None, str]]


def join(folder: Path, text: str, name: str, data: Any, ids: str = "abcd") -> tuple[Told, tuple[str, ...]]:
    """Return aspect and verdict of every run that has a signal, and the warnings, of a source with one second file."""
    file = folder / name
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    built = config(FIELDS + text.replace("FILE", f'path = "{name}"\n'))
    prepared = prepare_sides(folder, built, {f"m/{name}": hash_bytes(file.read_bytes())}, folder=folder / "sides")
    read = mapping.build_reader(built.sources[0], built, prepared.of("m"))
    found = {one: read({"id": one, "n": i}, PLACE).values["signals"] for i, one in enumerate(ids)}  # type: ignore[union-attr]
    return {one: (signals[0].aspect, signals[0].verdict) for one, signals in found.items() if signals}, prepared.warnings


def verdicts(more: str = WORDS) -> str:
    """Return a table of verdicts in rows."""
    return "[[sources.verdicts]]\nFILE" + ROWS + more


AMBIGUOUS = ("ambiguous", "none")
PASS, FAIL = (None, "pass"), (None, "fail")


def test_word_that_means_nothing_makes_its_key_ambiguous(tmp_path: Path) -> None:
    """A row whose value is not mapped speaks of a run all the same: that run waits for a person, it has not the verdict of the others."""
    rows = [{"run": "a", "said": "good"}, {"run": "b", "said": "perhaps"}, {"run": "d", "said": "bad"}, {"run": "d", "said": "hm"}]

    found, warnings = join(tmp_path, verdicts(WORDS + 'otherwise = "pass"\n'), "v.json", rows)

    assert found == {"a": PASS, "b": AMBIGUOUS, "c": PASS, "d": AMBIGUOUS}
    assert warnings[0] == "unreadable_row: m/v.json[1]: mistyped_field: said: found 'perhaps', expected one of ['good', 'bad']"


def test_row_that_says_nothing_yet_is_no_row_that_is_missing(tmp_path: Path) -> None:
    """`otherwise` is for runs the file does not hold: a key whose value is null has no verdict, until another row of it has one."""
    rows = [{"run": "a", "said": None}, {"run": "b"}, {"run": "b", "said": "good"}, {"run": "c", "said": "good"}]

    found, warnings = join(tmp_path, verdicts(WORDS + 'otherwise = "fail"\n'), "v.json", rows)

    assert found == {"b": PASS, "c": PASS, "d": FAIL}
    assert warnings == ()


BROKEN = {
    "cut": '[{"run": "a", "said": "good"}, {"run": "b", "sa',
    "key_twice": '[{"run": "a", "said": "good"}, {"run": "b", "run": "c", "said": "good"}]',
    "no_json": '[{"run": "a", "said": "good"}, nil]',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_otherwise_says_nothing_where_a_row_is_lost(tmp_path: Path, text: str) -> None:
    """A row that cannot be read may speak of any run the file seems to lack: those are ambiguous, and without `otherwise` unjudged."""
    assert join(tmp_path, verdicts(WORDS + 'otherwise = "pass"\n'), "v.json", text)[0] == {
        "a": PASS, "b": AMBIGUOUS, "c": AMBIGUOUS, "d": AMBIGUOUS,
    }  # fmt: skip
    assert join(tmp_path, verdicts(), "v.json", text)[0] == {"a": PASS}


def test_key_of_an_object_with_two_verdicts_is_ambiguous(tmp_path: Path) -> None:
    """An object by id that names an id twice is as contradictory as two rows; where both say the same nothing is lost."""
    text = '{"a": "good", "b": "bad", "a": "bad", "\\u0062": "bad", "c": "bad", "c": "hm"}'

    found, warnings = join(tmp_path, verdicts().replace('key = "run"\nvalue = "said"\n', ""), "v.json", text)

    assert found == {"a": AMBIGUOUS, "b": FAIL, "c": AMBIGUOUS}
    assert warnings[-1] == "ambiguous_verdict: m: 2 keys have two different verdicts in m/v.json (a, c)"


def test_cell_that_is_no_number_is_no_reward(tmp_path: Path) -> None:
    """What Python takes for a number, a spreadsheet does not mean as one: `nan` is not partial, `inf` is no pass."""
    rows = "run,said\na,1.0\nb, 0\nc,nan\nd,inf\ne,1e999\nf,1_0\ng,.5\nh,\n"

    found, _ = join(tmp_path, verdicts(RANGE), "v.csv", rows, ids="abcdefgh")

    assert found == {"a": PASS, "b": FAIL, "g": (None, "partial")} | dict.fromkeys("cdef", AMBIGUOUS)


LOOKUP = (
    FIELDS
    + 'instruction = { lookup = "asked", path = "TEXT" }\n[[sources.lookups]]\nname = "asked"\nFILEkey = "KEY"\nby = { path = "id" }\n'
)
NOTHING = {
    "key": (verdicts().replace('"run"', '"runn"'), "verdicts[0].key: path 'runn' matched nothing in 2 rows of m/v.json; nearest keys present: 'run'"),
    "value": (verdicts().replace('"said"', '"sad"'), "verdicts[0].value: path 'sad' matched nothing in 2 rows of m/v.json; nearest keys present: 'said'"),
    "reviewer": (verdicts(WORDS + 'reviewer = "who"\n'), "verdicts[0].reviewer: path 'who' matched nothing"),
    "lookup_key": (LOOKUP.replace("TEXT", "said").replace("KEY", "rum"), "lookups.asked.key: path 'rum' matched nothing in 2 rows"),
    "lookup_field": (LOOKUP.replace("TEXT", "sayd").replace("KEY", "run"), "fields.instruction: path 'sayd' matched nothing in 2 rows"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), NOTHING.values(), ids=NOTHING)
def test_expression_that_matches_no_row_is_an_error(tmp_path: Path, text: str, told: str) -> None:
    """SPEC 9: an expression over a second file that finds nothing in any row is an error that names the nearest keys really present."""
    rows = [{"run": "a", "said": "good"}, {"run": "b", "said": None}]

    with pytest.raises(InputError) as caught:
        join(tmp_path, text.removeprefix(FIELDS), "v.json", rows)

    assert told in str(caught.value)


def test_field_of_a_lookup_may_be_optional(tmp_path: Path) -> None:
    """`optional` says that a field of a lookup may be missing in every row."""
    text = LOOKUP.removeprefix(FIELDS).replace('path = "TEXT"', 'path = "none", optional = true').replace("KEY", "run")

    assert join(tmp_path, text, "v.json", [{"run": "a"}]) == ({}, ())


def test_row_of_a_lookup_without_key_is_told(tmp_path: Path) -> None:
    """A row that no record can name is a warning with its place, as one that cannot be read."""
    text = LOOKUP.removeprefix(FIELDS).replace("TEXT", "said").replace("KEY", "run")

    _, warnings = join(tmp_path, text, "v.json", [{"run": "a", "said": "x"}, {"said": "y"}, "z"])

    assert [told.partition(": missing_field: run: found no key")[0] for told in warnings] == [
        "unreadable_row: m/v.json[1]", "unreadable_row: m/v.json[2]",
    ]  # fmt: skip


def lost(folder: Path, more: str, ids: str) -> list[str]:
    """Return what is wrong with a lookup after records with these ids were read."""
    (folder / "q.json").write_text('{"a": {"text": "A"}}')
    text = '[[sources.lookups]]\nname = "asked"\npath = "q.json"\nby = { path = "id" }\n'
    built = config(FIELDS + f'instruction = {{ lookup = "asked", path = "text"{more} }}\n' + text)
    prepared = prepare_sides(folder, built, {"m/q.json": hash_bytes((folder / "q.json").read_bytes())}, folder=folder / "sides")
    read = mapping.build_reader(built.sources[0], built, prepared.of("m"))
    for one in ids:
        read({"id": one}, PLACE)
    return describe_facts(built.sources[0], merge_facts([read.seen.facts()]))


def test_lookup_of_which_no_record_names_a_row_is_an_error(tmp_path: Path) -> None:
    """SPEC 9: keys that never meet are a mistake of the config; where one meets, or the field is optional, they are none."""
    assert lost(tmp_path, "", "bcd") == [
        (
            "source 'm': lookups.asked: no record names a row of 'q.json', of 3 records; "
            "correct by and key, or set optional = true on its fields"
        )
    ]
    assert lost(tmp_path, "", "bca") == lost(tmp_path, ", optional = true", "bcd") == []
