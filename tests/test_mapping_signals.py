"""What a mapping can say of signals (SPEC 2, SPEC 3, SPEC 9): raw values, thresholds, counts of checks, lists of scores."""

from typing import Any

import pytest

from distill.mapping import reader as mapping
from distill.schemas.evidence import Checks
from tests.mapped import FIELDS, PLACE, config, refused, values


def signals(text: str, record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return kind, aspect and verdict of the signals of a record."""
    found = values(FIELDS + "[[sources.signals]]\n" + text, {"q": "Q", "a": "A"} | record)["signals"]
    return [(signal.kind, signal.aspect, signal.verdict) for signal in found]


VETO = 'kind = "judge"\naspect = "toxicity"\npath = "v"\nreject_when = { min = 0.5 }\n'
GRADE = 'kind = "judge"\naspect = "outcome"\npath = "v"\naccept_when = { max = 1 }\nreject_when = { min = 3 }\n'
WORDS = 'kind = "human"\npath = "v"\npass = ["ok"]\nfail = ["no"]\nwith_changes = ["almost"]\nescalate = ["?"]\ninfrastructure = ["down"]\n'
MEANINGS: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "veto": (VETO, 0.5, ("judge", "toxicity", "fail")),
    "no_veto": (VETO, 0.49, ("judge", "toxicity", "none")),
    "falling_accept": (GRADE, 1, ("judge", "outcome", "pass")),
    "falling_between": (GRADE, 2.5, ("judge", "outcome", "partial")),
    "falling_reject": (GRADE, 4, ("judge", "outcome", "fail")),
    "word": (WORDS, "ok", ("human", None, "pass")),
    "with_changes": (WORDS, "almost", ("human", None, "with_changes")),
    "escalate": (WORDS, "?", ("human", None, "escalate")),
    "infrastructure": (WORDS, "down", ("infrastructure", None, "none")),
}


@pytest.mark.parametrize(("text", "value", "expected"), MEANINGS.values(), ids=MEANINGS)
def test_meaning_of_a_raw_value(text: str, value: Any, expected: tuple[Any, ...]) -> None:
    """SPEC 2: `accept_when` and `reject_when` may point either way; of one bound alone the other side says nothing."""
    assert signals(text, {"v": value}) == [expected]
    assert signals(text, {}) == []


def test_number_among_words_needs_thresholds() -> None:
    """SPEC 2: a number that no list names is told with the value found and the way out."""
    told = refused(FIELDS + '[[sources.signals]]\nkind = "test"\npath = "v"\npass = [1.0]\nfail = [0.0]\n', {"v": 0.5})

    assert told == "mistyped_field: v: found 0.5, expected one of [1.0, 0.0]; a number needs thresholds such as pass = 0.9 and fail = 0.3"


def test_zero_keeps_its_sign() -> None:
    """A raw value is kept as it was logged, whatever record came before it."""
    built = config(FIELDS + '[[sources.signals]]\nkind = "test"\npath = "v"\npass = 1\nfail = 0\n')
    reader = mapping.build_reader(built.sources[0], built)

    kept = [str(reader({"v": value}, PLACE).values["signals"][0].value) for value in (0.0, -0.0, 0, 1, 1.0, 1)]  # type: ignore[union-attr]

    assert kept == ["0.0", "-0.0", "0", "1", "1.0", "1"]


COUNTED = 'kind = "test"\nchecks = { passed = "t.p", failed = "t.f" }\n'
OF_ALL = 'kind = "test"\npath = "ok"\npass = [true]\nfail = [false]\nchecks = { passed = "t.p", total = "t.n" }\n'
COUNTS: dict[str, tuple[str, dict[str, Any], str | None, Checks | None]] = {
    "passed": (COUNTED, {"t": {"p": 2, "f": 0}}, "pass", Checks(passed=2, failed=0)),
    "failed": (COUNTED, {"t": {"p": 2, "f": 1}}, "fail", Checks(passed=2, failed=1)),
    "none_ran": (COUNTED, {"t": {"p": 0, "f": 0}}, "none", Checks(passed=0, failed=0)),
    "no_counts": (COUNTED, {"t": {"p": 2}}, None, None),
    "of_all": (OF_ALL, {"ok": False, "t": {"p": 2, "n": 5}}, "fail", Checks(passed=2, failed=3)),
    "value_alone": (OF_ALL, {"ok": True}, "pass", None),
}


@pytest.mark.parametrize(("text", "record", "verdict", "checks"), COUNTS.values(), ids=COUNTS)
def test_counts_of_checks(text: str, record: dict[str, Any], verdict: str | None, checks: Checks | None) -> None:
    """SPEC 3: a test with counts fails where any failed, passes where some ran, and says nothing where none did."""
    found = values(FIELDS + "[[sources.signals]]\n" + text, record)["signals"]

    assert [(signal.verdict, signal.checks) for signal in found] == ([] if verdict is None else [(verdict, checks)])


def test_more_checks_than_all_are_refused() -> None:
    """SPEC 9: counts that cannot be are not guessed at."""
    told = refused(FIELDS + "[[sources.signals]]\n" + OF_ALL, {"t": {"p": 6, "n": 5}})

    assert told == "mistyped_field: ok: found 6 checks passed of 5, expected no more than all"


EACH = """kind = "judge"
each = "scores"
where = "source=='EVAL'"
path = "value"
aspect = { path = "name" }
by = "author"
accept_when = { min = 0.8 }
reject_when = { max = 0.2 }
"""


def test_every_score_of_a_list_is_a_signal() -> None:
    """SPEC 2: items of a list give signals, their aspect from a path, those that `where` leaves out none."""
    scores = [
        {"source": "EVAL", "name": "outcome", "value": 1, "author": "judge-1"},
        {"source": "ANNOTATION", "name": "outcome", "value": 0},
        {"source": "EVAL", "name": "style", "value": 0},
        {"source": "EVAL", "name": "tone"},
    ]
    found = values(FIELDS + "[[sources.signals]]\n" + EACH, {"q": "Q", "a": "A", "scores": scores})["signals"]

    assert [(one.aspect, one.verdict, one.by, one.where) for one in found] == [
        ("outcome", "pass", "judge-1", "scores[0].value"), ("style", "fail", None, "scores[2].value"),
    ]  # fmt: skip
    assert signals(EACH, {}) == []
    assert (
        refused(FIELDS + "[[sources.signals]]\n" + EACH, {"scores": {}}) == "mistyped_field: scores: found dict, expected a list of signals"
    )


def test_signal_only_where_it_applies() -> None:
    """SPEC 2: `where` leaves a signal out."""
    text = 'kind = "self"\npath = "v"\nwhere = "done"\npass = [1]\n'

    assert signals(text, {"v": 1, "done": True}) == [("self", None, "pass")]
    assert signals(text, {"v": 1, "done": False}) == []


def test_judge_over_nothing_is_no_signal_in_a_list() -> None:
    """SPEC 2: a judge over an empty answer is no signal, in a list of scores either."""
    assert signals(EACH, {"a": " ", "scores": [{"source": "EVAL", "name": "outcome", "value": 1}]}) == []


def test_values_that_signals_meet() -> None:
    """SPEC 2: the raw values of each signal are counted, the most frequent first, for whoever writes thresholds."""
    built = config(
        FIELDS
        + '[[sources.signals]]\nkind = "test"\npath = "v"\npass = [1]\n[[sources.signals]]\n'
        + EACH
        + "[[sources.signals]]\n"
        + COUNTED
    )

    met = mapping.found_values(
        built.sources[0], [{"v": 0.5}, {"v": 1}, {"v": 0.5, "scores": [{"source": "EVAL", "value": 0}]}, {"v": None}]
    )

    assert met == {"signals[0]: v": {"0.5": 2, "1": 1, "null": 1}, "signals[1]: scores[].value": {"0": 1}}
