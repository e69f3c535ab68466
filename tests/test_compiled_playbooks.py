"""The compiled playbooks against Python: the same rows and the same fates of every group that is taken, and none that is not plain."""

import os
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.compiled import find_compiled
from distill.config import Config
from distill.hashing import row_id
from distill.schemas.evidence import Provenance, Signal
from distill.units import extract_playbooks
from distill.units.jobs import Context
from distill.units.parts import KEY, PartWriter

PLAYBOOKS: Any = find_compiled("playbooks")
pytestmark = pytest.mark.skipif(PLAYBOOKS is None, reason="the compiled loops were not built: no compiler, or DISTILL_COMPILED=0")

MANY = settings(max_examples=20_000 if os.environ.get("DISTILL_SLOW") == "1" else 300, deadline=None)
ENCODE = msgspec.json.Encoder().encode
ODD = st.sampled_from(
    ["", " ", "a", "b", "ab", "a  b", "a b", "a b ", "ä", "\u2003a", 'a"', "a\\b", "\x1b[0m", "line\nnext", "é🙂", "x" * 40, "\u0085"]
)
NAMES = st.sampled_from([None, "", "m1", "m2", "m10", "ä", 'm"1', "m\u00e9"])
VERDICTS = st.sampled_from(
    [("accepted", "tests_passed"), ("partially_accepted", "retried"), ("partially_accepted", "with_changes"), ("rejected", "tests_failed"),
     ("needs_human_review", "no_signal")]
)  # fmt: skip
PLACES = st.builds(
    Provenance, source_file=st.sampled_from(["s/a.jsonl", 's/"b".jsonl', "s/ä"]), line=st.integers(1, 999), offset=st.integers(0, 10**12),
    sig_hash=st.just("f" * 64),
)  # fmt: skip
ELSEWHERE = st.builds(Provenance, source_file=st.just("s/a.zip"), member=st.just("m"), offset=st.just(0), sig_hash=st.just("0" * 64))


@st.composite
def members(draw: st.DrawFn, asked: str | None, context: str | None) -> bytes:
    """Return a member of a group as the compiled loop writes one that is plain; a few are not."""
    odd = draw(st.integers(0, 30))
    category, reason = draw(VERDICTS)
    identity = f"{draw(st.integers(0, 1 << 30)):032x}"
    told: dict[str, Any] = {"id": identity, "source": "s", "run_id": draw(NAMES), "model": draw(NAMES)}
    told["instruction"] = draw(ODD) if odd == 1 else asked
    if context is not None or odd == 2:
        told["context"] = context
    if category in {"accepted", "partially_accepted"}:
        told["response"] = draw(st.one_of(st.none(), ODD))
    if odd == 3:
        told["signals"] = [Signal(kind="human", verdict="fail", by="human:a", where="verdict")]
    for name in ("errors", "lessons"):
        if draw(st.booleans()):
            told[name] = draw(st.lists(ODD, max_size=3))
    told["provenance"] = draw(ELSEWHERE if odd == 4 else PLACES)
    verdict = [
        draw(st.sampled_from(["", "s"])) if odd == 5 else "s",
        "t",
        category,
        [reason],
        0.5,
        draw(st.sampled_from([None, 1, 2])),
        None,
        odd == 6,
    ]
    line = (row_id("group", "s", "t") + identity).encode() + ENCODE(verdict) + b"\t" + ENCODE(told)
    return line + (b"\t" + ENCODE(told) if odd == 7 else b"")


@st.composite
def groups(draw: st.DrawFn) -> list[bytes]:
    """Return the members of one group, sorted, each id once."""
    asked, context = draw(st.one_of(st.just("What is asked?"), ODD, st.none())), draw(st.one_of(st.none(), ODD))
    found = draw(st.lists(members(asked, context), min_size=1, max_size=7))
    return sorted({line[KEY : 2 * KEY]: line for line in found}.values())


def gathered(lines: list[bytes], context: Context) -> tuple[bytes, Counter[tuple[str, str | None]]]:
    """Return the rows of a bucket, and how many runs met each fate."""
    part, fates = PartWriter(), Counter[tuple[str, str | None]]()
    block = b"".join(line + b"\n" for line in lines)
    for outcome, times in extract_playbooks._gather([block], context, part):
        fates[outcome.kind, outcome.reason] += times
    return part.keyed["playbooks"].finish()[0], fates


CONTEXT = Context("", None, Config(), "extract-playbooks", "distill.units.extract_playbooks", {})  # type: ignore[arg-type]


@given(lines=groups())
@MANY
def test_compiled_playbooks_are_those_of_python(lines: list[bytes]) -> None:
    """Groups of odd texts, names and verdicts give the same row and the same fates, whether the loop takes or leaves them."""
    fast = gathered(lines, CONTEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract_playbooks, "_GATHER", None)
        slow = gathered(lines, CONTEXT)

    assert fast == slow


def plain(number: int, category: str = "accepted", reason: str = "tests_passed", **told: Any) -> bytes:
    """Return a plain member."""
    identity = f"{number:032x}"
    place = Provenance(source_file="s/a.jsonl", line=number + 1, offset=10 * number, sig_hash="f" * 64)
    told = {name: told[name] for name in ("context", "response", "messages", "errors", "lessons") if name in told}
    record = {"id": identity, "source": "s", "run_id": f"r{number}", "model": "m", "instruction": "q", **told, "provenance": place}
    verdict = ENCODE(["s", "t", category, [reason], 1.0, 1, None, False])
    return (row_id("group", "s", "t") + identity).encode() + verdict + b"\t" + ENCODE(record)


def left_of(lines: list[bytes]) -> tuple[int, int, int]:
    """Return how many runs have a playbook, how many none, and how many are left to Python."""
    loop = PLAYBOOKS.Gather(extract_playbooks._name_of, extract_playbooks.spell_title)
    told, silent, left = loop.take([b"".join(line + b"\n" for line in lines)], find_compiled("parts").Lines())
    return told, silent, sum(map(len, left))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([plain(1, response="a"), plain(2, "rejected", "tests_failed", errors=["e", " e "])], (2, 0, 0)),
        ([plain(1, "needs_human_review", "no_signal")], (0, 1, 0)),
        ([plain(1, response="a", context="c"), plain(2, response="b", context="c")], (2, 0, 0)),
        ([plain(1, response="a", context="c"), plain(2, response="b")], (0, 0, 2)),
        ([plain(1, response="a"), plain(2, response="a", messages=[])], (0, 0, 2)),
        ([plain(1, response="a\nb"), plain(2, response="a\tb")], (0, 0, 2)),
        ([plain(1, "partially_accepted", "with_changes", response="a")], (0, 0, 1)),
        ([plain(1, response="a", lessons=["l"] * 513)], (0, 0, 1)),
        ([plain(1, response="a", lessons=["l"] * 512)], (1, 0, 0)),
        ([plain(n, response="a") for n in range(512)], (512, 0, 0)),
        ([plain(n, response="a") for n in range(513)], (0, 0, 513)),
        ([plain(1, response="a")[:-1], plain(2, response="a")[: KEY + 3]], (0, 0, 2)),
    ],
)
def test_groups_that_are_not_plain_are_left(lines: list[bytes], expected: tuple[int, int, int]) -> None:
    """What the loop takes is what it can tell as Python does; too many members, other questions, ties it cannot break are left."""
    assert left_of(lines) == expected
