"""Shares that hold: against known truth, against ppi-python, and from what the gold rows can't tell."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from llm_magics import measure
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.tasks.measure.estimators import Totals, prediction_powered_mean
from llm_magics.tasks.measure.moments import Equations, solve, standard_errors
from tests.kernels import kernel
from tests.measure.simulation import World


def some(seed: int = 0, **more: object) -> pd.DataFrame:
    world = World(**{"shares": (0.5, 0.3, 0.2), "accuracy": 0.9, "rows": 2000, "gold": 200, **more})
    return world.draw(np.random.default_rng(seed))


@pytest.mark.checklist("X11")
@pytest.mark.parametrize("lean", [False, True], ids=["equal", "lean"])
@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.7, 0.28, 0.02)], ids=["common", "rare"])
def test_intervals_hold_and_are_narrower_than_gold_alone(
    shares: tuple[float, float, float], lean: bool
) -> None:
    """60 small simulations; 500 of each kind are in tests/benchmarks/measure.py."""
    world, chance = World(shares, 0.9, 2000, 200, lean), np.random.default_rng(5)
    hits, widths, alone, plain = [], [], [], []
    for turn in range(60):
        frame = world.draw(chance)
        found = measure(frame, "topic").set_index("topic").loc[["a", "b", "c"]]
        hits.append((found["low"] <= np.array(shares)) & (found["high"] >= np.array(shares)))
        reach = 1.96 * np.sqrt(found["uncorrected"] * (1 - found["uncorrected"]) / 2000)
        plain.append((found["uncorrected"] - np.array(shares)).abs() <= reach)
        widths.append(found["high"] - found["low"])
        if turn < 10:
            only = measure(frame.assign(topic="a"), "topic").set_index("topic").reindex(["a", "b", "c"])
            alone.append(only["high"] - only["low"])
    covered = np.mean(hits, axis=0)
    assert (covered >= 0.88).all(), covered
    assert np.mean(plain, axis=0).min() < 0.8
    ratio = np.mean(widths, axis=0) / np.nanmean(alone, axis=0)
    assert (ratio[:2] < 0.8).all(), ratio
    assert ratio[2] < 0.9


@pytest.mark.checklist("X11")
def test_it_is_equal_to_ppi_python() -> None:
    """Means and logistic regressions with equal chances, to six digits."""
    from ppi_py import ppi_logistic_ci, ppi_mean_ci

    chance = np.random.default_rng(1)
    n, rows = 300, 3000
    truth = (chance.random(rows) < 0.3).astype(float)
    for predicted in (
        np.where(chance.random(rows) < 0.85, truth, 1 - truth),
        np.clip(truth * 0.8 + 0.1 + 0.05 * chance.normal(size=rows), 0, 1),
        chance.random(rows),
    ):
        gold, theirs = np.arange(n), (truth[:n], predicted[:n], predicted[n:])
        weights = np.full(n, rows / n)
        totals = Totals(rows, predicted.sum(), (predicted**2).sum())
        made = prediction_powered_mean(truth[:n], predicted[:n], weights, totals)
        reach = 1.959963984540054 * np.sqrt(made.variance)
        expected = np.ravel(ppi_mean_ci(*theirs, alpha=0.05))
        assert [made.value - reach, made.value + reach] == pytest.approx(expected, abs=1e-6)
        x = np.column_stack([np.ones(rows), chance.normal(size=rows)])
        found = solve(Equations(x, predicted, x[:n], truth[:n], gold, weights, logistic=True))
        low, high = ppi_logistic_ci(x[:n], *theirs[:2], x[n:], theirs[2], alpha=0.05, lam=found.tuning)
        reach = 1.959963984540054 * standard_errors(found)
        assert found.values - reach == pytest.approx(low, abs=1e-6)
        assert found.values + reach == pytest.approx(high, abs=1e-6)


@pytest.mark.checklist("X11")
def test_large_counts_have_ppi_pythons_interval() -> None:
    """Through the frame too: where every cell has enough gold rows."""
    from ppi_py import ppi_mean_ci

    frame = some(accuracy=0.75, gold=1000)
    found = measure(frame, "topic").set_index("topic").loc["a"]
    gold = frame["topic_gold"].notna()
    said, true = (frame["topic"] == "a").astype(float), (frame["topic_gold"] == "a").astype(float)
    low, high = ppi_mean_ci(true[gold].to_numpy(), said[gold].to_numpy(), said[~gold].to_numpy(), alpha=0.05)
    assert (found["low"], found["high"]) == pytest.approx((low.item(), high.item()), abs=1e-6)
    assert list(measure(frame, "topic").columns) == [
        "topic", "share", "low", "high", "uncorrected", "rows", "gold"
    ]  # fmt: skip


def test_a_useless_model_leaves_the_gold_rows() -> None:
    """Labels that tell nothing don't move the share, and hardly widen its interval."""
    frame = some()
    frame["topic"] = np.random.default_rng(3).permutation(frame["topic"])
    found = measure(frame, "topic").set_index("topic")
    shares = frame["topic_gold"].value_counts(normalize=True)
    for name in "abc":
        assert found.loc[name, "share"] == pytest.approx(shares[name], abs=0.02)
        alone = 2 * 1.96 * np.sqrt(shares[name] * (1 - shares[name]) / 200)
        assert found.loc[name, "high"] - found.loc[name, "low"] < 1.1 * alone


def test_probabilities_count_where_the_frame_has_them() -> None:
    """They make intervals shorter; a row without one has its label."""
    chance = np.random.default_rng(4)
    scores = chance.dirichlet([0.5, 0.4, 0.3], 4000)
    truth = (scores.cumsum(axis=1) > chance.random((4000, 1))).argmax(axis=1)
    names = np.array(["a", "b", "c"], dtype=object)
    gold = np.full(4000, None, dtype=object)
    drawn = chance.choice(4000, 400, replace=False)
    gold[drawn] = names[truth[drawn]]
    frame = pd.DataFrame({"topic": names[scores.argmax(axis=1)], "topic_gold": gold})
    with_scores = frame.assign(**{f"topic_score_{name}": scores[:, i] for i, name in enumerate(names)})
    with_scores.loc[:10, "topic_score_a"] = None
    plain, sharper = (measure(one, "topic") for one in (frame, with_scores))
    assert ((sharper["high"] - sharper["low"]) < (plain["high"] - plain["low"])).all()
    assert sharper["share"].tolist() == pytest.approx(np.bincount(truth) / 4000, abs=0.06)


@pytest.mark.checklist("X11")
def test_groups_have_shares_and_differences() -> None:
    """The order of a category stays; each difference has its interval; a reference compares with one."""
    frame = some(rows=6000, gold=600)
    kinds = pd.CategoricalDtype(["young", "middle", "old"], ordered=True)
    frame["age"] = pd.Series(np.resize(["old", "young", "middle"], 6000)).astype(kinds)
    found = measure(frame, "topic", by="age")
    assert found["age"].tolist()[:3] == ["young", "middle", "old"]
    apart = found.differences()
    assert list(apart.columns) == ["topic", "age", "minus", "difference", "low", "high", "uncorrected"]
    assert len(apart) == 9
    one = apart[(apart["topic"] == "a") & (apart["age"] == "old") & (apart["minus"] == "young")].iloc[0]
    shares = found[found["topic"] == "a"].set_index("age")["share"]
    assert one["difference"] == pytest.approx(shares["old"] - shares["young"])
    assert one["low"] < one["difference"] < one["high"]
    assert set(found.differences("young")["minus"]) == {"young"}
    with pytest.raises(NotFound):
        found.differences("ancient")
    with pytest.raises(UsageError, match="between groups"):
        measure(frame, "topic").differences()
    two = measure(frame.assign(sex=np.resize(["f", "m"], 6000)), "topic", by=["age", "sex"])
    assert len(two) == 18 and len(two.differences()) == 45


def test_a_group_without_gold_rows_says_so() -> None:
    """No share, and an interval that excludes nothing."""
    frame = some()
    frame["side"] = np.where(frame["topic_gold"].isna() & (frame.index < 500), "left", "right")
    found = measure(frame, "topic", by="side", random=True)
    left = found[found["side"] == "left"]
    assert left["share"].isna().all() and (left["low"] == 0).all() and (left["high"] == 1).all()
    assert (left["gold"] == 0).all()


@pytest.mark.checklist("X11")
def test_intervals_stay_between_0_and_1() -> None:
    """A label that no gold row has, one that all have, and a perfect model."""
    frame = some()
    frame.loc[:3, "topic"] = "d"
    found = measure(frame, "topic", random=True).set_index("topic")
    assert (found["low"] >= 0).all() and (found["high"] <= 1).all()
    assert 0 <= found.loc["d", "low"] <= found.loc["d", "share"] < found.loc["d", "high"] < 0.1
    perfect = some(accuracy=1.0)
    sure = measure(perfect, "topic")
    assert (sure["low"] < sure["share"]).all() and (sure["share"] < sure["high"]).all()


@pytest.mark.checklist("X11")
def test_gold_rows_that_were_not_drawn_are_refused() -> None:
    """The least certain first; otherwise labelled; drawn and not yet looked at; none drawn."""
    frame = some()
    frame["topic_confidence"] = np.random.default_rng(2).random(len(frame))
    least = frame.assign(topic_gold=frame["topic"].where(frame["topic_confidence"].rank() <= 200))
    with pytest.raises(UsageError, match=r"not drawn at random.*mean confidence is 0\.05"):
        measure(least, "topic")
    assert len(measure(least, "topic", random=True)) == 3
    only = frame.assign(topic_gold=frame["topic"].where(frame["topic"] == "a").head(300))
    with pytest.raises(UsageError, match="labels are spread otherwise"):
        measure(only, "topic")
    drawn = frame.assign(topic_design=np.where(frame["topic_gold"].notna(), 0.1, None))
    unfinished = drawn.assign(topic_gold=frame["topic_gold"].where(frame.index % 2 == 0))
    with pytest.raises(UsageError, match="drawn rows have no gold label yet"):
        measure(unfinished, "topic")
    assert "taken as missing by chance" in repr(measure(unfinished, "topic", random=True))
    with pytest.raises(UsageError, match="no gold row of data was drawn"):
        measure(frame.assign(topic_design=None), "topic")
    with pytest.raises(UsageError, match="neither probabilities"):
        measure(drawn.assign(topic_design=drawn["topic_design"] * np.arange(2000) / 100), "topic")
    with pytest.raises(UsageError, match=r"no gold labels of 'topic'.*\n.*%llm sample data.topic"):
        measure(frame.drop(columns="topic_gold"), "topic")
    with pytest.raises(UsageError, match="no row of data has a gold label"):
        measure(frame.assign(topic_gold=None), "topic")


@pytest.mark.checklist("X11")
def test_gold_rows_beside_the_sample_are_left_out() -> None:
    """Only those with a chance count; the result says how many did not."""
    frame = some(lean=True)
    more = frame.copy()
    extra = more.index[more["topic_gold"].isna()][:100]
    more.loc[extra, "topic_gold"] = "c"
    found = measure(more, "topic")
    pd.testing.assert_frame_equal(
        pd.DataFrame(found), pd.DataFrame(measure(frame, "topic")), check_flags=False
    )
    assert "100 gold rows that were not drawn at random are left out" in repr(found)
    known = frame.assign(chance=frame["topic_design"].fillna(0.07)).drop(columns="topic_design")
    with_all = measure(known, "topic", weights="chance")["share"].tolist()
    assert with_all == pytest.approx(found["share"].tolist()), "a chance of every row, drawn or not"
    weights = frame.assign(topic_design=1 / frame["topic_design"])
    assert measure(weights, "topic")["share"].tolist() == pytest.approx(found["share"].tolist())


def test_means_by_label() -> None:
    """The mean of a number among the rows of each label, corrected."""
    chance, hits, plain = np.random.default_rng(7), [], []
    world = World((0.5, 0.3, 0.2), 0.8, 2000, 300)
    for _ in range(60):
        frame = world.draw(chance)
        truth = frame["topic_gold"].fillna(frame["topic"])
        frame["stars"] = truth.map({"a": 1.0, "b": 3.0, "c": 5.0}) + chance.normal(size=2000)
        frame.loc[frame["topic_gold"].isna(), "topic"] = np.where(
            chance.random(int(frame["topic_gold"].isna().sum())) < 0.8,
            truth[frame["topic_gold"].isna()],
            "a",
        )
        known = frame["topic_gold"].notna()
        frame.loc[known, "topic"] = np.where(chance.random(int(known.sum())) < 0.8, truth[known], "a")
        found = measure(frame, "topic", mean="stars").set_index("topic")
        hits.append((found["low"] <= [1, 3, 5]) & (found["high"] >= [1, 3, 5]))
        plain.append(found["uncorrected"])
    assert np.mean(hits, axis=0).min() >= 0.88
    assert np.mean(plain, axis=0)[0] > 1.2
    assert next(iter(found.columns)) == "mean"


def test_regressions_on_labels_are_corrected() -> None:
    """The label as outcome and as covariate: intervals hold where the model's own coefficient does not."""
    chance, hits, plain = np.random.default_rng(8), [], []
    for _ in range(60):
        x = chance.normal(size=3000)
        truth = np.where(chance.random(3000) < 1 / (1 + np.exp(-x)), "yes", "no").astype(object)
        given = np.where(chance.random(3000) < 0.8, truth, np.where(x > 0, "yes", "no"))
        gold = np.full(3000, None, dtype=object)
        drawn = chance.choice(3000, 400, replace=False)
        gold[drawn] = truth[drawn]
        wage = 2.0 * (truth == "yes") + chance.normal(size=3000)
        frame = pd.DataFrame({"label": given, "gold": gold, "x": x, "wage": wage})
        out = measure.regression(frame, "label", truth="gold", covariates="x", label="yes").iloc[1]
        inside = measure.regression(frame, "label", truth="gold", outcome="wage").iloc[1]
        hits.append([out["low"] <= 1 <= out["high"], inside["low"] <= 2 <= inside["high"]])
        plain.append([out["uncorrected"], inside["uncorrected"]])
    assert np.mean(hits, axis=0).min() >= 0.88
    assert np.mean(plain, axis=0)[0] > 1.3 and np.mean(plain, axis=0)[1] < 1.8
    assert inside["term"] == "label: yes"
    with pytest.raises(NotFound):
        measure.regression(frame, "label", truth="gold", label="perhaps")
    with pytest.raises(UsageError, match="no solution"):
        measure.regression(frame.assign(y=frame["x"]), "label", truth="gold", covariates=["x", "y"])


def test_frames_of_any_library_and_labels_of_any_type() -> None:
    """polars like pandas; numbers, booleans and several labels a row."""
    frame = some()
    expected = measure(frame, "topic")
    assert measure(pl.from_pandas(frame), "topic")["share"].tolist() == pytest.approx(
        expected["share"].tolist()
    )
    coded = frame.assign(**{c: frame[c].map({"a": 1, "b": 2, "c": 3}) for c in ("topic", "topic_gold")})
    assert measure(coded, "topic")["topic"].tolist() == ["1", "2", "3"]
    assert measure(coded, "topic")["share"].tolist() == pytest.approx(expected["share"].tolist())
    lists = frame.assign(
        topic=[[name] for name in frame["topic"]],
        topic_gold=[None if name is None else name for name in frame["topic_gold"]],
    )
    assert measure(lists, "topic")["share"].tolist() == pytest.approx(expected["share"].tolist())
    failed = frame.assign(topic=frame["topic"].where(frame.index % 10 > 0))
    assert measure(failed, "topic")["uncorrected"].sum() == pytest.approx(1)


def test_the_figure_shows_both_shares() -> None:
    """Labels head the lines of their groups; a point and a bar each, the model's own share hollow; the source."""
    frame = some().assign(side=lambda f: np.resize(["l", "<r>"], len(f)))
    found = measure(frame, "topic", by="side")
    figure = found.plot(title="Topics <by> side", size="slide", theme="dark")
    assert figure.layout.title.text == "<b>Topics &lt;by&gt; side</b>" and figure.layout.width == 1280
    heads = [text.strip() for text in figure.layout.yaxis.ticktext]
    assert heads[:3] == ["<b>a  </b>", "&lt;r&gt;", "l"] and len(heads) == 9
    hollow = next(trace for trace in figure.data if trace.name == "uncorrected")
    assert list(hollow.x) == found["uncorrected"].tolist()
    bars = [trace for trace in figure.data if trace.mode == "lines"]
    assert [tuple(bar.x) for bar in bars] == list(zip(found["low"], found["high"], strict=True))
    assert "200 gold rows" in figure.layout.annotations[-1].text.replace("<br>", " ")


def test_a_result_with_its_figure_is_written_to_a_file(tmp_path: Path) -> None:
    """Parquet keeps how it was measured; its differences are there after reading."""
    found = measure(some(), "topic")
    found.attrs["figure"] = found.plot()
    found.to_parquet(tmp_path / "shares.parquet")
    again = pd.read_parquet(tmp_path / "shares.parquet")
    assert again["share"].tolist() == found["share"].tolist()
    assert again.attrs["llm_magics_measure"]["gold"] == 200


@pytest.mark.checklist("X11")
@pytest.mark.timeout(180)
def test_the_cell_binds_the_shares_and_their_figure() -> None:
    """``%llm measure gold.topic --truth topic_gold --by country -o shares``, as typed."""
    with kernel() as shell:
        shell.run("%load_ext llm_magics")
        shell.run(
            "import pandas as pd\n"
            "gold = pd.DataFrame({'topic': list('aabbbaab') * 20, 'country': ['DE', 'FR'] * 80,\n"
            "                     'topic_gold': (list('abbbbaab') * 20)[:80] + [None] * 80})"
        )
        found = shell.run("%llm measure gold.topic --truth topic_gold --by country -o shares")
        assert found.error is None and "uncorrected" in found.text
        assert "95% intervals, corrected by 80 gold rows of 160" in found.text
        assert "Figure" in shell.run("type(shares.attrs['figure']).__name__").text
        wrong = shell.run("%llm measure gold.topic --truth topic_golf", check=False)
        assert "topic_gold" in wrong.text and wrong.error is not None
        assert "between 0 and 1" in shell.run("%llm measure gold.topic --confidence 95", check=False).text


def test_a_million_rows_take_less_than_two_seconds() -> None:
    """Twenty groups, five labels."""
    chance = np.random.default_rng(0)
    rows = 1_000_000
    truth = chance.choice(list("abcde"), rows).astype(object)
    gold = np.full(rows, None, dtype=object)
    drawn = chance.choice(rows, 2000, replace=False)
    gold[drawn] = truth[drawn]
    group = chance.choice([f"g{i}" for i in range(20)], rows)
    frame = pd.DataFrame({"label": truth, "gold": gold, "group": group})
    measure(frame.head(1000), "label", truth="gold", random=True)
    begun = time.process_time()
    found = measure(frame, "label", truth="gold", by="group")
    assert time.process_time() - begun < 2
    assert len(found) == 100
