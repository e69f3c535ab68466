"""Quotes: a text that a part only quotes comes back as it stands in the evidence, or the stage is made anew."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.compiled import find_compiled
from distill.errors import DamagedPartError
from distill.hashing import short_hash
from distill.units import merging, quotes
from distill.units.merging import KEY_VALUE, merge_rows
from distill.units.parts import PartWriter, whole_range
from distill.units.quotes import QuotedUnit, Quotes, may_quote, save_units
from tests.harness import CONFIG, DODO, Project, many_outcomes
from tests.test_incremental import INLINE, LOG, SMALL, append, part_files, small_project

LOOPS = find_compiled("parts")
WAYS = [pytest.param(LOOPS, id="loops", marks=pytest.mark.skipif(LOOPS is None, reason="not built")), pytest.param(None, id="Python")]
TEMPLATE = (b'{"id":"', KEY_VALUE, b'","a":', 0, b',"b":', 1, b',"c":', 0, b"}")
KINDS = ((b"", TEMPLATE),)
TEXTS = st.lists(st.integers(0, 5000).map(lambda size: b'"%b"' % (b"x%d " % size * size)[:size]), min_size=2, max_size=8)


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def quote(unit: str, offset: int, text: bytes) -> bytes:
    """Return what stands for a text."""
    return b"\x04%b%b%08x%08x" % (short_hash(text).hex().encode(), unit.encode(), offset, len(text))


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_a_quoted_text_comes_back(tmp_path_factory: pytest.TempPathFactory, way: Any, texts: list[bytes], data: st.DataObject) -> None:
    """Texts of any length, in any order, from two files, at their ends too, are spelt as if the part held them."""
    folder = tmp_path_factory.mktemp("quotes")
    units = {}
    for number in range(2):
        (folder / str(number)).write_bytes(b"before" * number + b"".join(texts))
        units[number] = QuotedUnit(str(number) * 16, str(folder / str(number)), 6 * number)
    save_units(str(folder / "units"), [*units.values()])
    places = [sum(map(len, texts[:number])) for number in range(len(texts))]
    writer, expected = PartWriter(), []
    for number in range(data.draw(st.integers(1, 6))):
        values, spelt = [], []
        for _ in range(2):
            which = data.draw(st.integers(0, len(texts) - 1))
            quoted = quote(units[data.draw(st.integers(0, 1))].name, places[which], texts[which])
            values.append(quoted if data.draw(st.booleans()) else texts[which])
            spelt.append(texts[which])
        key = b"%032x" % number
        writer.keyed["rows"].append(key + b"\x02" + b"\x1f".join(values))
        expected.append(b'{"id":"%b","a":%b,"b":%b,"c":%b}\n' % (key, spelt[0], spelt[1], spelt[0]))
    part = writer.save(str(folder / "part"), {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "_COMPILED", way)
        found = merge_rows([whole_range(part, "rows")], KINDS, Quotes(str(folder / "units")))

    assert found == [(b"".join(expected), len(expected))]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "offset", "text"),
    [
        ("0" * 16, 0, b"evidence\n."), ("0" * 16, 9, b"."), ("0" * 16, 0, b"." * 3000), ("1" * 16, 0, b"e"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_damaged_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Any, name: str, offset: int, text: bytes
) -> None:
    """A quote of a unit nobody cut, or of more than the evidence holds, is no text: the stage is made anew."""
    (tmp_path / "evidence").write_bytes(b"evidence\n")
    save_units(str(tmp_path / "units"), [QuotedUnit("0" * 16, str(tmp_path / "evidence"), 0)])
    writer = PartWriter()
    writer.keyed["rows"].append(b"0" * 32 + b"\x02" + quote(name, offset, text) + b"\x1f1")
    part = writer.save(str(tmp_path / "part"), {})
    monkeypatch.setattr(merging, "_COMPILED", way)

    with pytest.raises(DamagedPartError, match="quotes"):
        merge_rows([whole_range(part, "rows")], KINDS, Quotes(str(tmp_path / "units")))


def test_files_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are quoted from, a few are open at a time, and none in the end."""
    monkeypatch.setattr(quotes, "_OPEN", 3)
    for number in range(10):
        (tmp_path / str(number)).write_bytes(b"%d" % number)
    save_units(str(tmp_path / "units"), [QuotedUnit(f"{number:016}", str(tmp_path / str(number)), 0) for number in range(10)])
    before = open_files()
    found = Quotes(str(tmp_path / "units"))

    assert found.spell(b" ".join(quote(f"{number:016}", 0, b"%d" % number) for number in [*range(10), 0])) == b"0 1 2 3 4 5 6 7 8 9 0"
    assert open_files() - before <= 3
    del found
    assert open_files() == before


def test_evidence_beyond_a_share_of_the_memory_is_not_quoted() -> None:
    """What would be read from the disk in the order of chance is copied."""
    assert may_quote(0)
    assert not may_quote(1 << 60)


def quoting_parts(project: Project) -> int:
    """Return how many parts quote something."""
    return sum(
        quotes._QUOTE.search(path.read_bytes()) is not None
        for stage in ("export-sft", "export-preference")
        for path in part_files(project, stage)
    )


def built(folder: Path, **words: Any) -> Project:
    """Return a small project that was built."""
    project = small_project(folder, **words)
    assert project.doit(env=INLINE).code == 0
    return project


def test_quoting_reaches_no_byte(tmp_path: Path) -> None:
    """With quotes and without them the data files are the same, and what was built one way goes on the other."""
    ways = {name: built(tmp_path / name) for name in ("quoted", "copied", "fresh")}
    source = (ways["copied"].folder / "dodo.py").read_text()
    for name in ("copied", "fresh"):
        ways[name].write("dodo.py", f"from distill.units import exports\nexports.may_quote = lambda size: False\n{source}")
    assert ways["copied"].doit("--always", env=INLINE).code == 0
    same = [project.data_files() for project in ways.values()]
    counts = quoting_parts(ways["quoted"]), quoting_parts(ways["copied"])
    ways["copied"].write("dodo.py", source)
    shutil.rmtree(ways["fresh"].folder / ".distill")
    for project in ways.values():
        append(project)

    codes = [project.doit(env=INLINE).code for project in ways.values()]

    assert same[0] == same[1] == same[2]
    assert counts[0] > 8
    assert counts[1] == 0
    assert codes == [0, 0, 0]
    assert [project.data_files() for project in ways.values()] == [ways["fresh"].data_files()] * 3


def drop_row(data: bytes) -> bytes:
    """Make a row of the log unreadable without moving what stands behind it."""
    lines = data.split(b"\n")
    lines[3] = b"x" * len(lines[3])
    return b"\n".join(lines)


CHANGES: dict[str, tuple[Callable[[bytes], bytes], dict[str, str]]] = {
    "evidence that moved": (drop_row, {}),
    "a build without loops": (lambda data: data, {"DISTILL_COMPILED": "0"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_parts_of_before_quote_what_stands_elsewhere_now(tmp_path: Path, change: str) -> None:
    """Parts that are taken over quote their unit wherever it lies now, and Python reads what loops have written."""
    edit, env = CHANGES[change]
    projects = [small_project(tmp_path / name) for name in ("project", "fresh")]
    for project in projects:
        project.write("distill.toml", f"max_skipped = 0.5\n{CONFIG}")
        project.log("2026/outcomes.jsonl", many_outcomes(200))
    assert projects[0].doit(env=INLINE).code == 0
    for project in projects:
        (project.folder / LOG).write_bytes(edit((project.folder / LOG).read_bytes()))
        append(project)

    assert [projects[0].doit(env=INLINE | env).code, projects[1].doit(env=INLINE).code] == [0, 0]

    assert quoting_parts(projects[0]) > 8
    assert projects[0].data_files() == projects[1].data_files()


def test_a_row_more_leaves_most_of_what_was_quoted_before(tmp_path: Path) -> None:
    """A unit that grows at its end quotes its other rows as before, so that most buckets of rows are taken over."""
    project = small_project(tmp_path / "project")
    source = (project.folder / "dodo.py").read_text()
    project.write(
        "dodo.py", f"{source}\nfrom distill.units import parts\nparts._BUCKET = 2000\ncutting.cut_file.__kwdefaults__['size'] = 40_000\n"
    )
    assert project.doit(env=INLINE).code == 0
    before = {path.name for path in part_files(project, "export-sft")}
    append(project)

    assert project.doit(env=INLINE).code == 0

    after = {path.name for path in part_files(project, "export-sft")}
    assert len(after) > 30
    assert len(after & before) > 0.9 * len(after)


def test_two_units_of_one_name_are_refused(tmp_path: Path) -> None:
    """Where a unit has moved to where another lay, no quote tells them apart: everything is quoted anew."""
    units = [QuotedUnit("0" * 16, str(tmp_path / name), 0) for name in ("a", "b")]

    with pytest.raises(DamagedPartError, match="one name"):
        save_units(str(tmp_path / "units"), units)


MAPPED = """
[[sources]]
name = "mapped"
root = "logs"
glob = "*.jsonl"
reader = "jsonl"
[sources.fields]
run_id = {{ path = "run" }}
task_id = {{ path = "task" }}
instruction = {{ template = "{word}: answer the question of this task as well as you can: {{.asked}}" }}
response = {{ path = "answer" }}
[[sources.signals]]
kind = "test"
path = "good"
pass = [true]
fail = [false]
"""


def test_other_texts_of_the_same_records_at_the_same_places_are_not_taken_for_them(tmp_path: Path) -> None:
    """A mapping that makes other texts of the same length from the same records gives the rows of a fresh build."""
    rows = [
        {
            "run": f"r{n}",
            "task": f"t{n // 4}",
            "asked": f"question {n // 4}",
            "answer": f"answer {n} " + "with some words " * 8,
            "good": n % 2 > 0,
        }
        for n in range(200)
    ]
    projects = [Project(tmp_path / name, config=MAPPED.format(word="Quickly")) for name in ("project", "fresh")]
    for project in projects:
        project.write("dodo.py", SMALL + DODO)
        project.log("rows.jsonl", rows)
    first = projects[0].doit(env=INLINE)
    for project in projects:
        project.write("distill.toml", MAPPED.format(word="Quietly"))

    codes = [project.doit(env=INLINE).code for project in projects]

    assert (first.code, codes) == (0, [0, 0]), first.text
    assert quoting_parts(projects[0]) > 8
    assert projects[0].data_files() == projects[1].data_files()
