"""The promise of a cascade holds, whatever the proxy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.tasks.label.cascade.design import Design, best_design, exact_limits, rough_design
from llm_magics.tasks.label.cascade.guarantee import Guarantee, MissChance, Strata

RUNS = 200


def divide(guarantee: Guarantee, design: Design, agrees: np.ndarray, run: int) -> tuple[int, int]:
    """Draw the samples and divide the pool by them; the rows the proxy takes, and how many of those are wrong."""
    drawn = design.strata.drawn(np.arange(len(agrees)), np.random.default_rng(run).random(len(agrees)))
    places = np.flatnonzero(drawn)
    size = guarantee.certified(design.strata, design.limits, places, agrees[places])
    taken = ~drawn[:size]
    return int(taken.sum()), int((~agrees[:size][taken]).sum())


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
    confidence = np.sort(np.random.default_rng(9).beta(3 * accuracy, 3 * (1 - accuracy), rows))[::-1]
    design = best_design(guarantee, confidence)
    for run in range(RUNS):
        agrees = np.random.default_rng(run).random(rows) < (confidence if honest else accuracy)
        taken, wrong = divide(guarantee, design, agrees, 10**6 + run)
        missed += wrong > guarantee.allowed
        saved += taken
    assert missed <= 0.1 * RUNS
    if honest:
        assert saved / (RUNS * rows) > 0.4, "and it is worth something"


def hostile(rows: int, allowed: int) -> dict[str, np.ndarray]:
    """Which rows disagree, in proxies whose confidence misleads."""
    places, chance = np.arange(rows), np.random.default_rng(5)
    return {
        "surest rows wrong": places < 1.3 * allowed,
        "one clump": (places >= rows // 3) & (places < rows // 3 + 1.5 * allowed),
        "upside down": chance.random(rows) < np.linspace(0.4, 0.0, rows),
        "just too many, anywhere": chance.permutation(rows) <= allowed,
        "every second row": places % 2 == 0,
        "all wrong": np.ones(rows, dtype=bool),
        "all right": np.zeros(rows, dtype=bool),
        "half in each stratum": (places < allowed) | (places >= rows - allowed),
    }


@pytest.mark.checklist("X3")
@pytest.mark.parametrize("rows", [1_000, 3_000])
@pytest.mark.parametrize("world", hostile(10, 1))
def test_a_proxy_whose_confidence_misleads_costs_calls_and_breaks_no_promise(world: str, rows: int) -> None:
    """500 runs; the design is made for a proxy that knows its errors."""
    guarantee = Guarantee(rows, 0.95)
    confidence = np.sort(np.random.default_rng(9).beta(2.7, 0.3, rows))[::-1]
    design = best_design(guarantee, confidence)
    agrees = ~hostile(rows, guarantee.allowed)[world]
    found = [divide(guarantee, design, agrees, run) for run in range(500)]
    assert np.mean([wrong > guarantee.allowed for _, wrong in found]) <= 0.1
    if world == "all right":
        assert min(taken for taken, _ in found) == rows - design.draws


def misses(strata: Strata, limits: tuple[int, ...], guarantee: Guarantee, disagrees: int) -> float:
    """The chance of a miss of a pool whose disagreements are the bits of a number: all samples, counted."""
    pool = strata.pool
    wrong = np.array([bool(disagrees >> place & 1) for place in range(pool)])
    first = itertools.combinations(range(strata.sizes[0]), strata.draws[0])
    second = list(itertools.combinations(range(strata.sizes[0], pool), strata.draws[1]))
    missed = []
    for one, other in itertools.product(first, second):
        sample = np.array([*one, *other])
        size = guarantee.certified(strata, limits, sample, ~wrong[sample])
        missed.append(wrong[np.setdiff1d(np.arange(size), sample)].sum() > guarantee.allowed)
    return float(np.mean(missed))


@pytest.mark.checklist("X3")
@pytest.mark.parametrize(
    ("sizes", "draws", "limits"),
    [((4, 4), (2, 2), (1, 0)), ((5, 3), (1, 2), (1,)), ((3, 5), (1, 3), (2, 1)), ((0, 7), (0, 4), (1,))],
)
def test_of_all_samples_of_any_pool_as_many_miss_the_target_as_is_computed(
    sizes: tuple[int, int], draws: tuple[int, int], limits: tuple[int, ...]
) -> None:
    """Every pool and all samples of it: the worst chance of a miss is the one that the limits are made by."""
    strata, guarantee = Strata(sizes, draws), Guarantee(10, 0.9)
    assert guarantee.allowed == 1
    computed = MissChance(strata, 1, (len(limits), max(limits))).worst(limits)
    worst = max(misses(strata, limits, guarantee, pool) for pool in range(2**strata.pool))
    assert worst == pytest.approx(computed)
    assert worst > 0


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_limits_keep_the_promise_and_none_of_them_can_be_raised(data: st.DataObject) -> None:
    """By their own count of chances; they never rise, as the proof needs it."""
    sizes = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    draws = data.draw(st.integers(1, sizes[0])), data.draw(st.integers(1, sizes[1]))
    guarantee = Guarantee(sum(sizes), data.draw(st.floats(0.5, 0.99)), data.draw(st.floats(0.5, 0.99)))
    strata = Strata(sizes, draws)
    limits = exact_limits(guarantee, strata, [])
    assert (np.diff(limits) <= 0).all()
    if not len(limits):
        return
    chance = MissChance(strata, guarantee.allowed, (len(limits), int(limits[0]) + 1))
    assert chance.worst(limits) <= guarantee.delta
    for seen in range(len(limits)):
        more = limits + (np.arange(len(limits)) == seen)
        if (np.diff(more) <= 0).all() and more[0] <= draws[1]:
            assert seen == 0 or chance.worst(more) > guarantee.delta


def test_many_rows_are_counted_in_steps_that_can_only_enlarge_the_chance() -> None:
    """A thousandth at a time, and within a percent of the exact chance."""
    strata, limits = Strata((40_000, 30_000), (900, 1_500)), tuple(range(170, 20, -3))
    chance = MissChance(strata, 3_500, (len(limits), 170))
    exact = MissChance(strata, 3_500, (len(limits), 170), steps=10**6)
    assert (chance.step, exact.step) == (3, 1)
    assert exact.worst(limits) <= chance.worst(limits) <= 1.05 * exact.worst(limits)


def test_the_walk_stops_where_a_limit_is_passed() -> None:
    """Its place is the first that the proxy model doesn't label; drawn rows have their own label."""
    guarantee, strata = Guarantee(1_000, 0.95), Strata((500, 300), (100, 150))
    places = np.concatenate([np.arange(0, 500, 5), np.arange(500, 800, 2)])

    def size(*wrong: int) -> int:
        return guarantee.certified(strata, (3, 1), places, ~np.isin(places, wrong))

    assert size() == size(100) == size(500, 502, 504) == size(100, 500) == 800
    assert size(500, 502, 504, 700) == 700
    assert size(100, 600, 620) == 620
    assert size(100, 205, 600) == 205, "more than one in the first stratum"


def test_the_samples_are_of_fixed_size_and_each_row_of_a_stratum_is_drawn_as_often() -> None:
    """Whatever its place; by its key alone."""
    strata, counts = Strata((30, 10), (6, 5)), np.zeros(40)
    rank = np.random.default_rng(0).permutation(40)
    for run in range(2_000):
        drawn = strata.drawn(rank, np.random.default_rng(run).random(40))
        assert drawn[rank < 30].sum() == 6 and drawn[rank >= 30].sum() == 5
        counts += drawn
    expected = np.where(rank < 30, 400, 1_000)
    assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_part_too_small_to_hold_more_errors_than_allowed_is_taken_unseen() -> None:
    """50 rows that nobody drew can't hold the 51 errors that would break the promise over 1,000."""
    guarantee, strata = Guarantee(1_000, 0.95), Strata((400, 400), (2, 1))
    assert guarantee.certified(Strata((400, 400), (0, 0)), (), [], []) == 50
    assert guarantee.certified(strata, (), [3, 10, 700], [False, False, False]) == 52
    assert guarantee.certified(Strata((0, 40), (0, 0)), (), [], []) == 40


def test_more_confidence_needs_lower_limits() -> None:
    """--sure 0.99 passes over fewer disagreements than --sure 0.9 and 0.5."""
    strata = Strata((500, 300), (100, 120))
    found = [exact_limits(Guarantee(1_000, 0.95, sure), strata, []).sum() for sure in (0.99, 0.9, 0.5)]
    assert found == sorted(set(found))


def test_the_size_of_the_samples_is_worth_its_price() -> None:
    """Fewer draws for a proxy that is nearly always right, denser ones where it errs, none where they can't pay."""
    guarantee = Guarantee(10_000, 0.95)
    sure = np.sort(np.random.default_rng(0).beta(3 * 0.9, 3 * 0.1, 9_500))[::-1]
    design = best_design(guarantee, sure)
    assert 200 < design.draws < 1_000
    assert design.strata.shares[1] > 1.4 * design.strata.shares[0]
    assert best_design(guarantee, np.full(9_500, 0.99)).draws < design.draws
    assert rough_design(guarantee, sure).saved == pytest.approx(design.saved, rel=0.02)
    few = Guarantee(1_000, 0.95)
    assert best_design(few, np.full(800, 0.5)).saved < 100


@given(st.integers(1, 300), st.floats(0.5, 0.99), st.floats(0.01, 1))
@settings(max_examples=40, deadline=None)
def test_what_a_design_may_save_is_never_more_than_what_is_left(
    pool: int, target: float, last: float
) -> None:
    """Nor less than nothing."""
    guarantee = Guarantee(pool, target)
    design = best_design(guarantee, np.linspace(1, last, pool))
    assert design.strata.pool == pool
    assert 0 <= design.saved <= pool - design.draws + 1e-9
    assert math.isfinite(rough_design(guarantee, np.linspace(1, last, pool)).saved)
