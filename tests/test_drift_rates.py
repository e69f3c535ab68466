"""How often drift is wrong and how often right: a fast core of `tests.simulation`, and the page that holds its table."""

from pathlib import Path

import pytest
import scipy.stats

from tests.simulation import CHANGES, SCENARIOS, SIZES, rate

TRIALS = 300
PAGE = Path(__file__).parent.parent / "docs" / "drift.md"
ALLOWED = 0.02
"""Share of unchanged runs that may be called changed."""
BOUND = int(scipy.stats.binom.ppf(0.999, TRIALS, ALLOWED))
"""Alarms in 300 trials that a rate of 2 % exceeds with a chance of at most 1 in 1,000 (exact binomial): 15, not 6."""


def test_the_bound_is_the_exact_binomial_one() -> None:
    """A rate of 2 % stays within the bound in 999 of 1,000 seeds, and a rate of 8 % breaks it in 95 of 100."""
    within, seen = scipy.stats.binom.cdf(BOUND, TRIALS, ALLOWED), scipy.stats.binom.sf(BOUND, TRIALS, 0.08)

    assert scipy.stats.binom.cdf(BOUND - 1, TRIALS, ALLOWED) < 0.999 <= within
    assert seen > 0.95


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("n", [200, 1000])
def test_an_unchanged_run_is_seldom_an_alarm(scenario: str, n: int) -> None:
    """Where nothing changed at most 2 % of runs warn, plus what 300 trials allow."""
    assert rate(scenario, "unchanged", n, trials=TRIALS) * TRIALS <= BOUND


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_doubled_rejections_are_found(scenario: str) -> None:
    """Twice the rejections in 1,000 new records are found in at least 95 % of runs."""
    assert rate(scenario, "rejections doubled", 1000, trials=TRIALS) >= 0.95


@pytest.mark.parametrize("n", [200, 1000])
def test_a_bad_day_on_a_growing_log_is_found(n: int) -> None:
    """A day of 50 % rejections after 10,000 old rows, which moves the total by a few points, is found in at least 99 %."""
    assert rate("growing log", "50 % rejected", n, trials=TRIALS) >= 0.99


def read_table() -> dict[tuple[str, str], list[float]]:
    """Return the figures of docs/drift.md in percent, by scenario and change."""
    block = PAGE.read_text(encoding="utf-8").split("<!-- simulation -->\n")[1].split("<!-- end simulation -->")[0]
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    assert head[2:] == [f"N = {n:,}" for n in SIZES]
    return {(line[0], line[1]): [float(cell.removesuffix(" %")) for cell in line[2:]] for line in lines}


def test_the_page_has_every_cell() -> None:
    """The table of docs/drift.md has a line per scenario and change with a figure per size, and states its rule's false alarms."""
    table = read_table()

    assert list(table) == [(scenario, change) for scenario in SCENARIOS for change in CHANGES]
    assert all(len(figures) == len(SIZES) for figures in table.values())
    assert all(figure <= 100 * ALLOWED for (_, change), figures in table.items() if change == "unchanged" for figure in figures)


def test_the_page_says_what_the_simulation_finds() -> None:
    """A cell simulated anew lies within the exact binomial bounds of the printed figure."""
    cell = ("independent corpora", "rejections doubled")
    trials = TRIALS // 2

    alarms = rate(*cell, 200, trials=trials, seed=2) * trials

    low, high = scipy.stats.binom.interval(0.999, trials, read_table()[cell][SIZES.index(200)] / 100)
    assert low <= round(alarms) <= high
