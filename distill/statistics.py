"""The few tests that drift needs, with the standard library alone; scipy judges them in the tests (SPEC 6)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["GTest", "chi2_tail", "g_test", "normal_tail", "proportion_z"]

_EXPECTED = 5.0


class GTest(NamedTuple):
    """Result of a G-test of two samples over the same categories."""

    statistic: float
    """Corrected after Williams, so that small samples do not exaggerate."""
    dof: int
    """Degrees of freedom; 0 where there is nothing to compare."""
    p: float
    """Chance of such a statistic or a larger one without a difference."""


def chi2_tail(x: float, dof: int) -> float:
    """Return the chance that a chi-square variable exceeds `x`, in closed form for whole degrees of freedom."""
    if x <= 0 or dof < 1:
        return 1.0
    half = x / 2
    if dof % 2 == 0:
        tail, term, first = 0.0, math.exp(-half), 2
    else:
        tail, term, first = math.erfc(math.sqrt(half)), math.exp(-half) * math.sqrt(half) / math.gamma(1.5), 3
    for step in range(first, dof + 1, 2):
        tail += term
        term *= half / (step / 2)
    return min(1.0, tail)


def normal_tail(z: float) -> float:
    """Return the chance that a normal variable lies further from 0 than `z`, on both sides."""
    return math.erfc(abs(z) / math.sqrt(2))


def proportion_z(first: int, of_first: int, second: int, of_second: int) -> float:
    """Return how many standard errors lie between two shares; 0 where nothing can be said."""
    pooled = (first + second) / (of_first + of_second)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of_first + 1 / of_second))
    return (first / of_first - second / of_second) / error if error else 0.0


def g_test(first: Sequence[int], second: Sequence[int]) -> GTest:
    """Compare two samples over the same categories; rare categories are counted together.

    A category is rare where fewer than five records are expected of it on either side; there the chi-square tail
    would promise too much.
    """
    n_first, n_second = sum(first), sum(second)
    if not n_first or not n_second:
        return GTest(0.0, 0, 1.0)
    smaller = min(n_first, n_second) / (n_first + n_second)
    columns: list[tuple[int, int]] = []
    rare = (0, 0)
    for one, two in zip(first, second, strict=True):
        if (one + two) * smaller < _EXPECTED:
            rare = (rare[0] + one, rare[1] + two)
        else:
            columns.append((one, two))
    if sum(rare):
        columns.append(rare)
    dof = len(columns) - 1
    if dof < 1:
        return GTest(0.0, 0, 1.0)
    total = n_first + n_second
    statistic = 0.0
    spread = 0.0
    for one, two in columns:
        for seen, n in ((one, n_first), (two, n_second)):
            if seen:
                statistic += 2 * seen * math.log(seen * total / ((one + two) * n))
        spread += 1 / (one + two)
    williams = 1 + (total / n_first + total / n_second - 1) * (total * spread - 1) / (6 * total * dof)
    statistic = max(0.0, statistic / williams)
    return GTest(statistic, dof, chi2_tail(statistic, dof))
