"""Coefficients of agreement: equal to irrCAC and krippendorff on their examples, with intervals that hold."""

from __future__ import annotations

import time
from typing import Any

import krippendorff
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from llm_magics import agreement
from llm_magics.core.errors import NotFound, UsageError
from tests.kernels import kernel

NO = None
FOUR_RATERS = {
    "Rater1": [1, 2, 3, 3, 2, 1, 4, 1, 2, NO, NO, NO],
    "Rater2": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NO, NO],
    "Rater3": [NO, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 3],
    "Rater4": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NO],
}
FIVE_OBSERVERS = {
    "Observer1": [1, 1, 2, NO, 0, 0, 1, 1, 2, 2, NO, 0, 1, 3, 1],
    "Observer2": [1, 1, 3, 0, 0, 0, 0, NO, 2, 1, 1, 0, 2, 3, 1],
    "Observer3": [2, 0, 3, 0, 0, 0, 2, 2, 2, 1, 0, 0, 2, 2, 1],
    "Observer4": [NO, 1, 3, NO, NO, NO, NO, 0, NO, 1, 0, 0, 2, 2, NO],
    "Observer5": [2, NO, NO, 0, 0, 0, 1, NO, 2, NO, NO, NO, NO, 3, 1],
}
BEN_AND_GERRY = {"Ben": [*"aabbdcccedda"], "Gerry": [*"babbbccce", NO, *"dd"]}
IRRCAC = [
    # irrCAC 0.4.4 on its own examples; it pins scipy 1.12.0, so that it can't be installed beside the rest.
    (FOUR_RATERS, False, {"percent": 0.81818182, "AC": 0.77544407, "Fleiss": 0.76116928}),
    (FOUR_RATERS, True, {"percent": 0.96818182, "AC": 0.89893977, "Fleiss": 0.85020619}),
    (FIVE_OBSERVERS, False, {"percent": 0.61555556, "AC": 0.49662205, "Fleiss": 0.45762169}),
    (FIVE_OBSERVERS, True, {"percent": 0.92481481, "AC": 0.78534179, "Fleiss": 0.70122112}),
    (BEN_AND_GERRY, False, {"percent": 0.72727273, "AC": 0.66144201, "Fleiss": 0.64935065}),
    (BEN_AND_GERRY, list("abcde"), {"percent": 0.90909091, "AC": 0.69696970, "Fleiss": 0.57771261}),
]


def value(frame: pd.DataFrame, name: str, among: str = "all") -> Any:
    found = frame[(frame["among"] == among) & frame["coefficient"].str.contains(name)]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.checklist("X14")
@pytest.mark.parametrize(("table", "ordinal", "expected"), IRRCAC)
def test_it_is_equal_to_irrcac(table: dict[str, Any], ordinal: Any, expected: dict[str, float]) -> None:
    """Percent agreement, AC1 and AC2, Fleiss' kappa, with nulls."""
    found = agreement(pd.DataFrame(table), list(table), ordinal=ordinal)
    for name, number in expected.items():
        assert value(found, name)["value"] == pytest.approx(number, abs=1e-8)


@pytest.mark.checklist("X14")
def test_alpha_is_equal_to_krippendorff() -> None:
    """On irrCAC's examples, on krippendorff's own (its README and sample.py), and by chance."""
    nan = np.nan
    own = np.array(
        [
            [nan, nan, nan, nan, nan, 3, 4, 1, 2, 1, 1, 3, 3, nan, 3],
            [1, nan, 2, 1, 3, 3, 4, 3, nan, nan, nan, nan, nan, nan, nan],
            [nan, nan, 2, 1, 3, 4, 4, nan, 2, 1, 1, 3, 3, nan, 4],
        ]
    )
    chance = np.random.default_rng(0)
    random = chance.integers(1, 6, (4, 60)).astype(float)
    random[chance.random((4, 60)) < 0.3] = nan
    tables = [own, random, *(pd.DataFrame(t).to_numpy(float).T for t in (FOUR_RATERS, FIVE_OBSERVERS))]
    for table in tables:
        frame = pd.DataFrame(table.T, columns=[f"p{i}" for i in range(len(table))])
        for ordinal in (False, True):
            expected = krippendorff.alpha(table, level_of_measurement="ordinal" if ordinal else "nominal")
            found = agreement(frame, list(frame.columns), ordinal=ordinal, resamples=10)
            assert value(found, "alpha")["value"] == pytest.approx(expected, abs=1e-10)
    assert krippendorff.alpha(own, level_of_measurement="nominal") == pytest.approx(0.691, abs=1e-3)


def test_cohens_kappa_is_scikit_learns_and_of_several_the_mean_over_pairs() -> None:
    """Two columns, three columns; undefined where chance explains everything."""
    chance = np.random.default_rng(1)
    frame = pd.DataFrame({name: chance.choice(list("xyz"), 80) for name in "abc"})
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    kappas = [cohen_kappa_score(frame[one], frame[other]) for one, other in pairs]
    two, three = agreement(frame, ["a", "b"]), agreement(frame, ["a", "b", "c"])
    assert value(two, "Cohen")["value"] == pytest.approx(kappas[0])
    assert value(three, "Cohen")["value"] == pytest.approx(np.mean(kappas))
    same = agreement(pd.DataFrame({"a": ["x"] * 5, "b": ["x"] * 5}), ["a", "b"])
    assert np.isnan(value(same, "Cohen")["value"]) and value(same, "percent")["value"] == 1


@pytest.mark.checklist("X14")
def test_a_model_stands_beside_the_people() -> None:
    """The column with a status is the model's; a worse model agrees less with people than they do."""
    chance = np.random.default_rng(2)
    truth = chance.choice(list("xyz"), 500)

    def coded(right: float) -> np.ndarray:
        return np.where(chance.random(500) < right, truth, chance.choice(list("xyz"), 500))

    frame = pd.DataFrame({"anna": coded(0.9), "ben": coded(0.9), "topic": coded(0.6), "topic_status": "ok"})
    found = agreement(frame, ["topic", "anna", "ben"])
    assert set(found["among"]) == {"all", "people", "topic with people"}
    people, model = (value(found, "alpha", among) for among in ("people", "topic with people"))
    assert people["low"] > model["high"]
    two = agreement(frame, ["anna", "ben"])
    assert value(two, "alpha")["value"] == pytest.approx(people["value"])
    assert set(agreement(frame, ["anna", "ben", "topic"], model="anna")["among"]) >= {"anna with people"}
    with pytest.raises(UsageError, match="none of the columns"):
        agreement(frame, ["anna", "ben"], model="topic")


def test_the_intervals_hold() -> None:
    """A bootstrap interval of 200 rows holds the coefficient of the population nine times in ten and more."""
    chance, hits = np.random.default_rng(3), 0
    truth = chance.choice(3, 200_000, p=[0.6, 0.3, 0.1])
    coded = [np.where(chance.random(200_000) < 0.85, truth, chance.integers(0, 3, 200_000)) for _ in range(3)]
    whole = pd.DataFrame({f"p{i}": column.astype(str) for i, column in enumerate(coded)})
    true = value(agreement(whole, list(whole.columns), resamples=1), "alpha")["value"]
    for turn in range(60):
        some = whole.iloc[turn * 200 : (turn + 1) * 200]
        line = value(agreement(some, list(some.columns), resamples=300), "alpha")
        hits += line["low"] <= true <= line["high"]
    assert hits >= 53


@pytest.mark.checklist("X14")
def test_several_labels_a_row() -> None:
    """Each label is a yes or no; the mean stands first; an empty list is a label set too."""
    frame = pd.DataFrame(
        {
            "anna": [["a"], ["a", "b"], [], None, ["b"], ["b"]],
            "ben": [["a"], ["b"], [], ["a"], ["b"], ["a", "b"]],
        }
    )
    found = agreement(frame, ["anna", "ben"], resamples=50)
    percent = found[found["coefficient"] == "percent"].set_index("label")["value"]
    assert percent.to_dict() == pytest.approx({"(mean)": 0.8, "a": 0.6, "b": 1.0})
    assert found["rows"].unique().tolist() == [5]
    with pytest.raises(UsageError, match="no order"):
        agreement(frame, ["anna", "ben"], ordinal=True)


def test_orders_come_from_numbers_categories_or_the_user() -> None:
    """Texts alone have none."""
    texts = pd.DataFrame({"a": ["low", "high", "mid", "low"], "b": ["low", "mid", "mid", "high"]})
    with pytest.raises(UsageError, match="order of the labels is not known"):
        agreement(texts, ["a", "b"], ordinal=True)
    given = agreement(texts, ["a", "b"], ordinal=["low", "mid", "high"])
    kind = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    for same in (texts.astype(kind), texts.replace({"low": 1, "mid": 2, "high": 10})):
        pd.testing.assert_frame_equal(agreement(same, ["a", "b"], ordinal=True), given)
    with pytest.raises(UsageError, match="lacks 'mid'"):
        agreement(texts, ["a", "b"], ordinal=["low", "high"])


def test_what_cannot_be_compared_is_an_error() -> None:
    """One column, a column that there isn't, no row with two labels. polars is read like pandas."""
    frame = pd.DataFrame({"a": ["x", None], "b": [None, "x"]})
    with pytest.raises(UsageError, match="two or more columns"):
        agreement(frame, "a")
    with pytest.raises(NotFound):
        agreement(frame, ["a", "c"])
    with pytest.raises(UsageError, match="no row has labels in two"):
        agreement(frame, ["a", "b"])
    table = pd.DataFrame(BEN_AND_GERRY)
    pd.testing.assert_frame_equal(
        agreement(pl.from_pandas(table), list(table)), agreement(table, list(table))
    )


def test_ten_thousand_rows_of_five_people_are_quick() -> None:
    """1,000 resamples in less than five seconds."""
    chance = np.random.default_rng(4)
    truth = chance.integers(0, 8, 10_000)
    frame = pd.DataFrame(
        {
            f"p{i}": np.where(chance.random(10_000) < 0.7, truth, chance.integers(0, 8, 10_000))
            for i in range(5)
        }
    )
    begun = time.process_time()
    agreement(frame, list(frame.columns), model="p0")
    assert time.process_time() - begun < 5


@pytest.mark.checklist("X14")
@pytest.mark.timeout(120)
def test_the_cell() -> None:
    """``%llm agreement DATA COL,COL,COL``, as typed."""
    with kernel() as shell:
        shell.run("%load_ext llm_magics")
        shell.run(
            "import pandas as pd\n"
            "posts = pd.DataFrame({'topic': list('aabbbaab') * 9, 'anna': list('aabbbabb') * 9,"
            " 'ben': list('abbbbaab') * 9})"
        )
        found = shell.run("%llm agreement posts topic,anna,ben --model topic -o found")
        assert "Krippendorff's alpha" in found.text and "topic with people" in found.text
        assert shell.run("len(found)").text == "15"
        assert "of which columns" in shell.run("%llm agreement posts", check=False).text
