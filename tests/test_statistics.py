"""The tests of drift against scipy, a second implementation of each (SPEC 6)."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from distill.statistics import GTest, chi2_tail, g_test, normal_tail, proportion_z

COUNTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=1, max_size=12)
TAILS = (1.0, 0.999, 0.9, 0.5, 0.1, 0.01, 1e-4, 1e-8, 1e-20, 1e-50, 1e-100, 1e-150, 1e-200)


def lumped(first: list[int], second: list[int]) -> list[list[int]]:
    """Return both samples with the rare categories as one, by expected counts as scipy finds them."""
    kept = [index for index in range(len(first)) if first[index] + second[index]]
    present = np.array([[first[index] for index in kept], [second[index] for index in kept]])
    common = scipy.stats.contingency.expected_freq(present).min(axis=0) >= 5
    rare = present[:, ~common].sum(axis=1)
    columns = present[:, common]
    return (np.column_stack([columns, rare]) if rare.sum() else columns).tolist()  # type: ignore[no-any-return]


def judge(first: list[int], second: list[int]) -> tuple[float, int, float]:
    """Return the statistic of scipy, divided by Williams' correction as his paper writes it, with dof and p."""
    table = lumped(first, second)
    columns = len(table[0])
    if columns < 2:
        return 0.0, 0, 1.0
    found = scipy.stats.chi2_contingency(table, lambda_="log-likelihood", correction=False)
    total = float(np.sum(table))
    by_row = total * sum(1 / sum(row) for row in table) - 1
    by_column = total * sum(1 / (one + two) for one, two in zip(*table, strict=True)) - 1
    statistic = found.statistic / (1 + by_row * by_column / (6 * total * (columns - 1)))
    return statistic, found.dof, float(scipy.stats.chi2.sf(statistic, found.dof))


def same(found: GTest, expected: tuple[float, int, float]) -> bool:
    """Tell whether both say the same; statistics near 0 are the difference of large sums."""
    close = math.isclose(found.statistic, expected[0], rel_tol=1e-8, abs_tol=1e-8)
    return close and found.dof == expected[1] and (math.isclose(found.p, expected[2], rel_tol=1e-5, abs_tol=1e-250))


@pytest.mark.parametrize("dof", range(1, 61))
def test_chi2_tail_agrees_from_one_to_1e_200(dof: int) -> None:
    """The chi-square tail is scipy's to a relative 1e-9 for every p of the table and every dof up to 60."""
    for p in TAILS:
        x = float(scipy.stats.chi2.isf(p, dof))

        assert chi2_tail(x, dof) == pytest.approx(float(scipy.stats.chi2.sf(x, dof)), rel=1e-9, abs=0), (p, dof)


@given(st.floats(-200, 0), st.integers(1, 60))
def test_chi2_tail_agrees_anywhere_between(exponent: float, dof: int) -> None:
    """Between the points of the table the tail is scipy's too, and it never leaves 0 to 1."""
    x = float(scipy.stats.chi2.isf(10.0**exponent, dof))

    found = chi2_tail(x, dof)

    assert found == pytest.approx(float(scipy.stats.chi2.sf(x, dof)), rel=1e-9, abs=0)
    assert 0 <= found <= 1


def test_chi2_tail_of_nothing_is_certain() -> None:
    """Without a statistic or without degrees of freedom nothing is unlikely."""
    assert [chi2_tail(0.0, 3), chi2_tail(-1.0, 3), chi2_tail(50.0, 0)] == [1.0, 1.0, 1.0]


@given(st.floats(-30, 30))
def test_normal_tail_agrees(z: float) -> None:
    """The two-sided normal tail is scipy's, the same on both sides."""
    assert normal_tail(z) == pytest.approx(2 * float(scipy.stats.norm.sf(abs(z))), rel=1e-9, abs=0)
    assert normal_tail(z) == normal_tail(-z)


@given(st.integers(1, 5000), st.integers(1, 5000), st.data())
def test_proportion_z_is_the_root_of_chi_square(of_first: int, of_second: int, data: st.DataObject) -> None:
    """The square of z is scipy's chi-square of the same four counts, and its sign says which share is larger."""
    first, second = data.draw(st.integers(0, of_first)), data.draw(st.integers(0, of_second))

    z = proportion_z(first, of_first, second, of_second)

    if first + second in {0, of_first + of_second}:
        assert z == 0
        return
    table = [[first, of_first - first], [second, of_second - second]]
    assert z * z == pytest.approx(scipy.stats.chi2_contingency(table, correction=False).statistic, rel=1e-9, abs=1e-9)
    assert proportion_z(second, of_second, first, of_first) == pytest.approx(-z)
    assert z > 0 or first * of_second <= second * of_first


@pytest.mark.parametrize(("first", "second"), [
    ([450, 125, 150, 275], [440, 130, 160, 270]), ([45, 12, 15, 28], [450, 125, 150, 275]), ([50, 50], [10, 990]),
    ([500, 500], [0, 1000]), ([10, 10, 10], [10, 10, 10]), ([1, 2, 997], [10, 20, 9970]), ([6, 4, 90], [6, 4, 90]),
    ([2, 2, 2, 94], [2, 2, 2, 94]), ([1, 99], [1, 99]), ([100, 0, 3], [0, 100, 0]),
], ids=str)  # fmt: skip
def test_g_test_agrees_on_named_tables(first: list[int], second: list[int]) -> None:
    """The G-test is scipy's log-likelihood statistic divided by Williams' correction, rare categories together."""
    assert same(g_test(first, second), judge(first, second))


@given(COUNTS)
def test_g_test_agrees_on_any_table(pairs: list[tuple[int, int]]) -> None:
    """Whatever the counts, statistic, dof and p are those of scipy, and swapping the samples changes nothing."""
    first, second = [one for one, _ in pairs], [two for _, two in pairs]

    found = g_test(first, second)

    turned = g_test(second, first)
    assert turned.dof == found.dof
    assert turned.statistic == pytest.approx(found.statistic, rel=1e-8, abs=1e-8)
    if not sum(first) or not sum(second):
        assert found == GTest(0.0, 0, 1.0)
    else:
        assert same(found, judge(first, second))


def test_rare_categories_are_one() -> None:
    """Five categories of which fewer than five are expected count as one; where nothing else is there they are nothing."""
    together = g_test([90, 2, 2, 2, 2, 2], [90, 4, 3, 2, 1, 0])

    assert together == g_test([90, 10], [90, 10])
    assert (together.dof, together.statistic) == (1, 0.0)
    assert g_test([2, 2, 2], [1, 3, 2]) == GTest(0.0, 0, 1.0)


def test_a_category_is_rare_by_the_smaller_sample() -> None:
    """Forty records of 1,000 are rare where the other sample has a hundred, and not where it has a thousand."""
    assert g_test([96, 2, 2], [960, 20, 20]).dof == 1
    assert g_test([960, 20, 20], [960, 20, 20]).dof == 2
    assert [g_test([90, 6, 4], [90, 4, 6]).dof, g_test([91, 5, 4], [91, 4, 5]).dof] == [2, 1]  # 5 are expected, and 4.5


@pytest.mark.parametrize(("first", "second"), [([0, 0], [5, 9]), ([5, 9], [0, 0]), ([], []), ([70], [400]), ([70, 0], [400, 0])], ids=str)
def test_nothing_to_compare_is_no_finding(first: list[int], second: list[int]) -> None:
    """No records on a side, or one category alone, is no finding: statistic 0, no degrees of freedom, p 1."""
    assert g_test(first, second) == GTest(0.0, 0, 1.0)


def test_samples_over_other_categories_are_refused() -> None:
    """Two samples that do not name the same categories cannot be compared by mistake."""
    with pytest.raises(ValueError, match="shorter"):
        g_test([1, 2], [1])
