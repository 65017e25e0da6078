"""The promise of a cascade holds, whatever the proxy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.tasks.label.cascade.guarantee import Guarantee

RUNS = 200


def divide(
    guarantee: Guarantee, expected: np.ndarray, agrees: np.ndarray, chance: np.random.Generator
) -> tuple[int, int]:
    """Draw a sample and divide the pool by it; the rows the proxy takes, and how many of those are wrong."""
    order = chance.permutation(len(agrees))
    draws = guarantee.best_draws(expected)
    size = guarantee.certified(len(agrees), order[:draws], agrees[order[:draws]])
    taken = order[draws:][order[draws:] < size]
    return len(taken), int((~agrees[taken]).sum())


@pytest.mark.checklist("X3")
@pytest.mark.parametrize(
    ("rows", "accuracy", "target", "honest"),
    [
        (1_000, 0.92, 0.95, True),
        (2_000, 0.93, 0.95, False),
        (10_000, 0.85, 0.95, True),
    ],
)
def test_agreement_holds_in_the_stated_share_of_200_runs(
    rows: int, accuracy: float, target: float, honest: bool
) -> None:
    """At confidence 0.9, with a proxy that knows its errors, and with one whose confidence says nothing."""
    missed, saved, guarantee = 0, 0, Guarantee(rows, target)
    for run in range(RUNS):
        chance = np.random.default_rng(run)
        confidence = np.sort(chance.beta(3 * accuracy, 3 * (1 - accuracy), rows))[::-1]
        agrees = chance.random(rows) < (confidence if honest else accuracy)
        taken, wrong = divide(guarantee, confidence, agrees, chance)
        missed += wrong > (1 - target) * rows
        saved += taken
    assert missed <= 0.1 * RUNS
    if honest:
        assert saved / (RUNS * rows) > 0.4, "and it is worth something"


@pytest.mark.checklist("X3")
@pytest.mark.parametrize("confidence", [0.5, 0.6, 0.9])
def test_of_all_samples_of_any_pool_few_enough_miss_the_target(confidence: float) -> None:
    """Every pool of nine rows and every sample of four: the chance of a miss, counted out."""
    guarantee = Guarantee(9, 1 - 2 / 9, confidence)
    assert guarantee.allowed == 2
    samples = [np.array(sample) for sample in itertools.combinations(range(9), 4)]
    worst = 0.0
    for pool in itertools.product([False, True], repeat=9):
        agrees, missed = np.array(pool), 0
        for sample in samples:
            taken = np.setdiff1d(np.arange(guarantee.certified(9, sample, agrees[sample])), sample)
            missed += int((~agrees[taken]).sum()) > 2
        worst = max(worst, missed / len(samples))
    assert worst <= guarantee.delta
    assert worst > 0 or confidence == 0.9, "what is permitted is used"


@given(st.integers(2, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_the_limit_is_the_largest_that_keeps_the_promise(pool: int, data: st.DataObject) -> None:
    """By counting draws: of the first allowed + 1 + limit disagreements at most limit are in the sample."""
    from scipy.stats import hypergeom

    draws = data.draw(st.integers(1, pool))
    guarantee = Guarantee(pool, data.draw(st.floats(0.5, 0.99)), data.draw(st.floats(0.5, 0.99)))
    limit, most = guarantee.limit(pool, draws), min(draws - 1, pool - guarantee.allowed - 1)
    chances = [hypergeom.cdf(x, pool, guarantee.allowed + 1 + x, draws) for x in range(most + 1)]
    assert limit == max([-1, *(x for x, chance in enumerate(chances) if chance <= guarantee.delta)])


def test_the_search_stops_at_one_disagreement_more_than_the_limit() -> None:
    """Its place is the first that the proxy model doesn't label; drawn rows have their own label."""
    guarantee = Guarantee(1_000, 0.95)
    places = np.random.default_rng(0).permutation(800)[:150]
    limit = guarantee.limit(800, 150)
    assert limit > 2
    agrees = np.ones(150, dtype=bool)
    assert guarantee.certified(800, places, agrees) == 800
    wrong = np.argsort(-places)[: limit + 1]
    agrees[wrong[:-1]] = False
    assert guarantee.certified(800, places, agrees) == 800
    agrees[wrong[-1]] = False
    assert guarantee.certified(800, places, agrees) == places[wrong].max()


def test_a_part_too_small_to_hold_more_errors_than_allowed_is_taken_unseen() -> None:
    """50 rows that nobody drew can't hold the 51 errors that would break the promise over 1,000."""
    guarantee = Guarantee(1_000, 0.95)
    assert guarantee.certified(800, [], []) == 50
    assert guarantee.certified(800, [3, 10, 700], [False, False, False]) == 52
    assert guarantee.certified(40, [], []) == 40


def test_more_confidence_needs_more_draws() -> None:
    """--sure 0.99 passes over fewer disagreements than --sure 0.9 and 0.5."""
    limits = [Guarantee(1_000, 0.95, sure).limit(800, 200) for sure in (0.99, 0.9, 0.5)]
    assert limits == sorted(set(limits))


def test_the_size_of_the_sample_is_worth_its_price() -> None:
    """Few draws for a proxy that is nearly always right, none where no sample could pay."""
    guarantee = Guarantee(10_000, 0.95)
    sure = np.sort(np.random.default_rng(0).beta(3 * 0.9, 3 * 0.1, 9_500))[::-1]
    draws = guarantee.best_draws(sure)
    assert 200 < draws < 1_000
    assert guarantee.saved(sure, draws) > guarantee.saved(sure, draws // 3)
    assert guarantee.saved(sure, draws) > guarantee.saved(sure, draws * 3)
    assert guarantee.best_draws(np.full(9_500, 0.99)) < draws
    hopeless = np.full(800, 0.5)
    few = Guarantee(1_000, 0.95)
    assert few.saved(hopeless, few.best_draws(hopeless)) < 100


@given(st.integers(1, 300), st.integers(0, 400), st.floats(0.5, 0.99))
@settings(max_examples=60, deadline=None)
def test_what_a_sample_may_save_is_never_more_than_what_is_left(pool: int, draws: int, target: float) -> None:
    """Nor less than nothing."""
    saved = Guarantee(pool, target).saved(np.linspace(1, 0.3, pool), draws)
    assert 0 <= saved <= max(0, pool - draws) + 1e-9
