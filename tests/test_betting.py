"""The promise of a cascade holds, whatever the proxy and whenever one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.api.betting import Search, hoeffding, log_wealth, naive

RUNS = 200


def draw(search: Search, agrees: np.ndarray, chance: np.random.Generator, batch: int = 50) -> tuple[int, int]:
    """Run a search to its end; the rows the proxy takes, and how many of those are wrong."""
    order = chance.permutation(len(agrees))
    while search.drawn < len(agrees) and (search.drawn == 0 or search.outlook().gain > 0):
        places = order[search.drawn : search.drawn + batch]
        search.add(places, agrees[places])
    taken = np.setdiff1d(np.arange(search.size), order[: search.drawn])
    return len(taken), int((~agrees[taken]).sum())


@pytest.mark.checklist("X3")
@pytest.mark.parametrize(
    ("rows", "accuracy", "target", "honest"),
    [
        (1_000, 0.92, 0.95, True),
        (2_000, 0.93, 0.95, False),
        (10_000, 0.90, 0.95, True),
    ],
)
def test_agreement_holds_in_the_stated_share_of_200_runs(
    rows: int, accuracy: float, target: float, honest: bool
) -> None:
    """At confidence 0.9, with a proxy that knows its errors, and with one whose confidence says nothing."""
    missed, saved = 0, 0
    for run in range(RUNS):
        chance = np.random.default_rng(run)
        confidence = np.sort(chance.beta(3 * accuracy, 3 * (1 - accuracy), rows))[::-1]
        agrees = chance.random(rows) < (confidence if honest else accuracy)
        taken, wrong = draw(Search(rows, confidence, target), agrees, chance, rows // 20)
        missed += wrong > (1 - target) * rows
        saved += taken
    assert missed <= 0.1 * RUNS
    if honest:
        assert saved / (RUNS * rows) > 0.2, "and it is worth something"


def test_the_bettor_is_not_fooled_at_the_boundary() -> None:
    """The hardest null: exactly one error too many; looked at again and again, won in at most 10% of runs."""
    size, errors, won = 400, 41, 0
    for run in range(RUNS):
        chance = np.random.default_rng(run)
        agrees = np.ones(size)
        agrees[chance.choice(size, errors, replace=False)] = 0
        agrees = chance.permutation(agrees)
        won += any(log_wealth(agrees[:n], size, errors, 0.99) >= math.log(10) for n in range(20, 400, 20))
    assert won <= 0.1 * RUNS


@given(st.integers(5, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_wealth_is_infinite_only_where_the_claim_is_refuted(size: int, data: st.DataObject) -> None:
    """Never an error, never NaN; certain only after too many agreements for the claim."""
    errors = data.draw(st.integers(1, size))
    agrees = data.draw(st.lists(st.integers(0, 1), max_size=size))
    wealth = log_wealth(agrees, size, errors)
    assert not math.isnan(wealth)
    assert (wealth == math.inf) == (sum(agrees) > size - errors)


def test_rules_of_thumb_are_what_they_are() -> None:
    """The naive rule takes the last threshold that looks good; Hoeffding's bound is far below the share."""
    assert naive([1, 1, 0, 1], [0.9, 0.8, 0.7, 0.6], 0.75) == 0.6
    assert naive([0, 0], [0.9, 0.8], 0.9) == math.inf
    assert hoeffding(95, 100, 0.1) == pytest.approx(0.95 - math.sqrt(math.log(10) / 200))


def test_a_hopeless_search_ends_at_once() -> None:
    """Where the labeller's own confidence can't reach the target, not one row is drawn for it."""
    search = Search(1_000, np.full(800, 0.5), 0.95)
    assert search.outlook().gain <= 1_000 * 0.05 + 1
