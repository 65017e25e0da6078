"""Scores against a column of true labels."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import f1_score

from llm_magics.core.errors import UsageError
from llm_magics.core.intervals import wilson
from llm_magics.tasks.label.evaluation.evaluation import evaluate
from tests.contrast import contrast


@pytest.mark.checklist("T12")
def test_accuracy_f1_and_confusion_with_unanswered_rows() -> None:
    """A row without an answer is wrong, never left out; a row without a truth is left out."""
    truth = ["a", "b", "b", "a", None]
    given = ["a", "b", "a", None, "b"]
    result = evaluate(truth, given, ["a", "b"])
    assert result.rows == 4
    assert result.accuracy == 0.5
    assert result.answered == 0.75
    expected = f1_score(truth[:4], ["a", "b", "a", "(none)"], labels=["a", "b"], average="macro")
    assert result.macro_f1 == pytest.approx(expected)
    assert result.confusion.loc["a"].to_dict() == {"a": 1, "b": 0, "(none)": 1}
    assert result.plot().data[0].type == "heatmap"


@pytest.mark.checklist("T12", "T9")
def test_f1_has_a_bootstrap_interval_and_confidence_a_reliability() -> None:
    """The interval holds the value and narrows with rows; unconfident rows stay out of the reliability."""
    truth = ["a", "b", "b", "a", "a"] * 40
    given = ["a", "b", "a", "a", None] * 40
    small = evaluate(truth[:20], given[:20], ["a", "b"])
    large = evaluate(truth, given, ["a", "b"], [0.9, 0.8, 0.8, None, None] * 40)
    for result in (small, large):
        assert result.f1_interval[0] <= result.macro_f1 <= result.f1_interval[1]
    assert large.f1_interval[1] - large.f1_interval[0] < small.f1_interval[1] - small.f1_interval[0]
    assert small.reliability is None and small.plot_reliability() is None
    assert large.reliability["accuracy"].tolist() == [0.5, 1.0]
    assert large.calibration_error == pytest.approx((0.3 * 80 + 0.1 * 40) / 120)
    assert "calibration error" in str(large)
    assert len(large.plot_reliability().data) == 2


@pytest.mark.checklist("T12")
def test_a_calibration_error_says_which_rows_it_is_of() -> None:
    """A cascade has a confidence for some rows only."""
    made = evaluate(["a", "b", "a"], ["a", "b", "b"], ["a", "b"], [0.9, None, 0.8])
    assert "calibration error 0.450 over the 2 rows with a confidence" in str(made)
    whole = evaluate(["a", "b"], ["a", "b"], ["a", "b"], [0.9, 0.9])
    assert str(whole).endswith("calibration error 0.100")


@pytest.mark.checklist("T12")
def test_intervals_are_those_of_resampled_rows() -> None:
    """Beside a bootstrap of rows by scikit-learn's F1: each label's, the mean's, and of several labels a row."""
    draw = np.random.default_rng(3)
    names = ["a", "b", "c"]
    truth = draw.choice(names, 300, p=[0.6, 0.3, 0.1])
    given = np.where(draw.random(300) < 0.8, truth, draw.choice(names, 300))
    resampled = [draw.integers(0, 300, 300) for _ in range(600)]
    each = np.array([f1_score(truth[i], given[i], labels=names, average=None) for i in resampled])
    made = evaluate(list(truth), list(given), names)
    low, high = np.percentile(each, [2.5, 97.5], axis=0)
    assert made.by_label["f1_low"].to_numpy() == pytest.approx(low, abs=0.04)
    assert made.by_label["f1_high"].to_numpy() == pytest.approx(high, abs=0.04)
    assert made.f1_interval == pytest.approx(tuple(np.percentile(each.mean(axis=1), [2.5, 97.5])), abs=0.03)

    true = draw.random((300, 3)) < 0.4
    said = true ^ (draw.random((300, 3)) < 0.15)
    several = evaluate(
        *([[n for n, is_on in zip(names, row, strict=True) if is_on] for row in s] for s in (true, said)),
        names,
    )
    for average, interval in (("micro", several.micro_interval), ("macro", several.macro_interval)):
        spread = [f1_score(true[i], said[i], average=average) for i in resampled]
        assert interval == pytest.approx(tuple(np.percentile(spread, [2.5, 97.5])), abs=0.02)
    assert "micro-F1 0." in str(several) and f"({several.micro_interval[0]:.3f}-" in str(several)


@pytest.mark.checklist("T12")
def test_a_thousand_labels_are_scored_in_little_memory() -> None:
    """A table of a thousand by a thousand labels, a thousand times, would be 8 GB."""
    names = [f"label {i}" for i in range(1000)]
    truth = names * 3
    tracemalloc.start()
    made = evaluate(truth, truth, names)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    assert made.f1_interval == (1.0, 1.0)


def test_a_bin_of_confidence_has_the_interval_of_its_share() -> None:
    """Wilson's, in the table and as bars of the figure."""
    made = evaluate(["a"] * 10, ["a"] * 8 + ["b"] * 2, ["a", "b"], [0.85] * 10)
    assert made.reliability[["low", "high"]].iloc[0].tolist() == pytest.approx(wilson(8, 10))
    assert list(made.plot_reliability().data[1].error_y.array) == pytest.approx([wilson(8, 10)[1] - 0.8])


@pytest.mark.checklist("T2", "T12")
def test_several_labels_a_row_have_scores_of_their_own() -> None:
    """A row without an answer is one without labels; truth may be lists or texts with bars."""
    truth = ["a|b", ["b"], [], "a", None]
    given = [["a", "b"], ["a"], [], None, ["a"]]
    result = evaluate(truth, given, ["a", "b"])
    assert (result.rows, result.exact, result.answered) == (4, 0.5, 0.75)
    assert result.jaccard == pytest.approx((1 + 0 + 1 + 0) / 4)
    true, said = [[1, 1], [0, 1], [0, 0], [1, 0]], [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert result.micro_f1 == pytest.approx(f1_score(true, said, average="micro"))
    assert result.macro_f1 == pytest.approx(f1_score(true, said, average="macro"))
    assert "exact match 0.500" in str(result)


def test_the_interval_is_wilsons() -> None:
    """Values from the closed form, and the edges."""
    assert wilson(8, 10) == pytest.approx((0.490, 0.943), abs=5e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_column_that_holds_no_label_is_an_error() -> None:
    """The likeliest cause is the wrong column: say what it holds."""
    with pytest.raises(UsageError, match="none of the labels") as raised:
        evaluate(["x", "y"], ["a", "b"], ["a", "b"])
    assert "x, y" in raised.value.hint


THEMES = (((255, 255, 255), (33, 33, 33)), ((17, 17, 17), (223, 223, 223)))
"""Ground and ink of JupyterLab's light and dark themes."""


def contrasts(page: str) -> list[float]:
    """WCAG 2's ratio of each coloured cell, the lower of two themes."""
    found = []
    for parts, ink in re.findall(r"background:rgba?\(([\d.,]+)\)(;color:#fff)?", page):
        *colour, alpha = [*map(float, parts.split(",")), 1.0][:4]
        ratios = []
        for ground, own in THEMES:
            under = [g + (c - g) * alpha for g, c in zip(ground, colour, strict=True)]
            ratios.append(contrast(under, (255, 255, 255) if ink else own))
        found.append(min(ratios))
    return found


@pytest.mark.checklist("T12")
def test_its_html_needs_no_script() -> None:
    """Coloured inline, readable on every colour, names escaped: a code host that drops the style shows tables."""
    evil = "<script>alert(1)</script>"
    truth = ["a"] * 97 + [evil] * 3 + ["b"] * 50
    given = ["a"] * 90 + ["b"] * 7 + ["a"] * 2 + [None] + ["b"] * 50
    page = evaluate(truth, given, ["a", "b"])._repr_html_()
    assert not re.search(r"<(script|img|link)", page) and "&lt;script&gt;" in page
    found = contrasts(page)
    assert len(found) == 5 and min(found) >= 4.5
    assert (
        ">90</td>" in page
        and ">(none)</span></th>" in page
        and page.count("<table") == page.count("<caption") == 2
    )
    assert "0.928" in repr(evaluate(truth, given, ["a", "b"]))
    many = evaluate(["a|b", "b", None], [["a"], ["b"], ["a"]], ["a", "b"])._repr_html_()
    assert many.count("<table ") == 1 and not contrasts(many)


@pytest.mark.parametrize("share", range(1, 100))
def test_every_shade_can_be_read(share: int) -> None:
    """Right or wrong, few or many, on light and on dark."""
    page = evaluate(["a"] * 100, ["a"] * share + ["b"] * (100 - share), ["a", "b"])._repr_html_()
    found = contrasts(page)
    assert len(found) == 2 and min(found) >= 4.5


def test_of_many_labels_the_largest_confusions_are_listed() -> None:
    """A table of 80 x 80 helps nobody; the whole one is an attribute."""
    names = [f"label {i}" for i in range(80)]
    truth = [name for name in names for _ in range(3)]
    given = [names[0] if name == "label 7" else name for name in truth]
    page = evaluate(truth, given, names)._repr_html_()
    assert "The largest confusions, of 1;" in page and ">100%</td>" in page and len(contrasts(page)) == 1
