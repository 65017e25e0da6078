"""The promise of a cascade holds, whatever the proxy and whenever one looks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.tasks.label.cascade.guarantee import Search, log_wealth

RUNS = 200
FIXED = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)


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


@pytest.mark.checklist("X3")
@pytest.mark.parametrize(("size", "errors"), [(6, 1), (7, 2), (8, 3), (9, 5)])
def test_against_a_true_claim_the_bet_is_fair_to_the_last_digit(size: int, errors: int) -> None:
    """Over all orders of a prefix with just as many errors as claimed, wealth stays 1 on the average."""
    wrongs = list(itertools.combinations(range(size), errors))
    orders = [[int(place not in wrong) for place in range(size)] for wrong in wrongs]
    for n in range(size - errors + 1):
        for belief in (0.5, 0.9):
            wealth = [math.exp(log_wealth(order[:n], size, errors, belief)) for order in orders]
            assert sum(wealth) / len(wealth) == pytest.approx(1)


@given(st.integers(2, 12), st.data())
@settings(max_examples=60, deadline=None)
def test_wealth_is_what_its_definition_says(size: int, data: st.DataObject) -> None:
    """Half the stake by Kelly's fraction of the running estimate, half over six fixed fractions."""
    errors = data.draw(st.integers(1, size - 1))
    agrees = data.draw(st.lists(st.integers(0, 1), max_size=size - errors))
    belief, seen, kelly, fixed = 0.8, 0, 1.0, [1.0] * 6
    for n, x in enumerate(agrees):
        claimed = min(max((size - errors - seen) / (size - n), 1e-9), 1 - 1e-9)
        estimate = (100 * belief + seen) / (100 + n)
        followed = min(max((estimate - claimed) / (1 - claimed), 0.02), 0.98)
        kelly *= 1 + followed * (x / claimed - 1)
        fixed = [w * (1 + f * (x / claimed - 1)) for w, f in zip(fixed, FIXED, strict=True)]
        seen += x
    assert math.exp(log_wealth(agrees, size, errors, belief)) == pytest.approx(kelly / 2 + sum(fixed) / 12)


def test_a_search_over_a_perfect_labeller_takes_all_but_what_it_drew() -> None:
    """It tells beforehand what it will take, wins one prefix after another, and counts what it saves."""
    search = Search(1_000, np.full(800, 0.999), 0.95)
    before = search.outlook()
    assert (before.size, search.size, search.saved, search.drawn) == (800, 0, 0, 0)
    assert 40 < before.draws < 80
    assert before.gain == pytest.approx(800 - before.draws)
    places = np.random.default_rng(0).permutation(800)
    search.add(places[:40], np.ones(40))
    assert 0 < search.size < 800
    assert search.saved == search.size - int((places[:40] < search.size).sum())
    then = search.outlook()
    assert then.gain == pytest.approx(800 - 40 - search.saved - then.draws)
    search.add(places[40:90], np.ones(50))
    assert (search.size, search.drawn, search.saved) == (800, 90, 710)
    assert search.outlook().gain == 0


def test_a_prefix_too_small_to_hold_more_errors_than_allowed_is_taken_unseen() -> None:
    """50 rows can't hold the 51 errors that would break the promise over 1,000."""
    search = Search(1_000, np.full(800, 0.5), 0.95)
    search.add([], [])
    assert search.size == 50
    assert Search(20, np.full(20, 0.5), 0.95).sizes == list(range(1, 21))


def test_the_surest_confidence_needs_the_most_draws() -> None:
    """--sure 0.99 waits for a hundredfold wealth, --sure 0.5 for a twofold one."""
    draws = []
    for confidence in (0.5, 0.9, 0.99):
        search, n = Search(1_000, np.full(800, 0.9), 0.95, confidence), 0
        while search.size < 800:
            search.add([n], [1])
            n += 1
        draws.append(n)
        assert log_wealth(np.ones(n), 800, 51, 0.9) >= math.log(1 / (1 - confidence))
        assert log_wealth(np.ones(n - 1), 800, 51, 0.9) < math.log(1 / (1 - confidence))
    assert draws == sorted(set(draws))


def test_a_hopeless_search_ends_at_once() -> None:
    """Where the labeller's own confidence can't reach the target, not one row is drawn for it."""
    search = Search(1_000, np.full(800, 0.5), 0.95)
    assert search.outlook().gain <= 1_000 * 0.05 + 2
