"""The compiled documents of playbooks against Python: the same rows of every playbook that is taken, the others left."""

import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.compiled import find_compiled
from distill.jsonl import encode_row
from distill.schemas.export_rows import Pitfall, Playbook, Statement
from distill.schemas.scored_run import CATEGORIES
from distill.stages import RAG
from distill.stages.export_rag import playbook_outcome
from distill.units import export_rag

GROUPS: Any = find_compiled("groups")
pytestmark = pytest.mark.skipif(GROUPS is None, reason="the compiled loops were not built: no compiler, or DISTILL_COMPILED=0")

MANY = settings(max_examples=20_000 if os.environ.get("DISTILL_SLOW") == "1" else 300, deadline=None)
TEXT = st.sampled_from(["", " ", "a", 'b "c"', "line\nnext\t", "ä\\", "\x1b[0m", "🙂", "x" * 200, "\u2003"])
IDS = st.lists(st.integers(0, 99).map(lambda number: f"{number:032x}"), max_size=3)
NAMES = st.lists(st.sampled_from(["m1", "m10", 'm"', "ä"]), max_size=3).map(lambda names: sorted(set(names)))
PLAYBOOK = st.builds(
    Playbook, id=st.just("0" * 32), group=TEXT, kind=st.sampled_from(["playbook", "pitfalls"]), title=TEXT, when=TEXT,
    steps=st.lists(st.builds(Statement, text=TEXT, support=st.integers(1, 12), of=st.integers(1, 12), evidence_ids=IDS), max_size=3),
    pitfalls=st.lists(st.builds(Pitfall, text=TEXT, kind=st.sampled_from(["lesson", "human_reason", "error", "call"]), evidence_ids=IDS), max_size=3),
    counts=st.lists(st.integers(0, 7), min_size=4, max_size=4).map(lambda counts: dict(zip(CATEGORIES, counts, strict=True))).filter(
        lambda counts: sum(counts.values()) > 0
    ),
    models=NAMES, single_support=st.booleans(), source_run_ids=NAMES, failed_run_ids=NAMES, evidence_ids=IDS, provenance=TEXT,
)  # fmt: skip


def documents(lines: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of the documents that the loop spells, by their keys, and the rows it leaves."""
    rows = find_compiled("parts").Lines()
    count, left = GROUPS.SpellPlaybooks(export_rag._share).take(b"".join(lines), rows)
    found: list[bytes] = rows.finish()[0].split(b"\n")[:-1]
    assert count == len(found)
    return found, left


@given(playbook=PLAYBOOK)
@MANY
def test_compiled_documents_are_those_of_python(playbook: Playbook) -> None:
    """A playbook is spelt as Python spells its document, or it is left: those that are no documents always are."""
    line = encode_row(playbook)
    rows = [row for row in playbook_outcome(playbook, set()).rows if row.target == RAG]

    found, left = documents([line])

    assert found == [row.key.encode() + encode_row(row.value)[:-1] for row in rows]
    assert left == ([] if rows else [line[:-1]])


@given(playbook=PLAYBOOK, place=st.integers(0, 2000), put=st.binary(max_size=2), cut=st.integers(0, 2))
@MANY
def test_a_damaged_playbook_is_left(playbook: Playbook, place: int, put: bytes, cut: int) -> None:
    """Bytes that are no playbook are left to Python, which says so; what is still one is spelt as Python does."""
    line = encode_row(playbook)
    place %= len(line)
    data = (line[:place] + put + line[place + cut :]).replace(b"\n", b"") + b"\n"
    try:
        honest = msgspec.json.decode(data, type=Playbook)
        expected = [row.key.encode() + encode_row(row.value)[:-1] for row in playbook_outcome(honest, set()).rows if row.target == RAG]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ZeroDivisionError):
        expected = []

    found, left = documents([data])

    assert found + left in ([data[:-1]], expected)
