"""Two columns of labels compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from llm_magics.tasks.label.evaluation.agreement import agreement


def test_kappa_is_cohens() -> None:
    """As scikit-learn computes it; undefined where chance alone explains everything."""
    chance = np.random.default_rng(1)
    first, second = ([str(n) for n in chance.integers(0, 3, 50)] for _ in range(2))
    found = agreement(first, second)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.same == np.mean([a == b for a, b in zip(first, second, strict=True)])
    assert agreement(first, first).kappa == pytest.approx(1.0)
    assert math.isnan(agreement(["a", "a"], ["a", "a"]).kappa)
    assert "kappa undefined: one label throughout" in str(agreement(["a", "a"], ["a", "a"]))


def test_rows_that_one_of_them_left_out_do_not_count() -> None:
    """And where no row has both there is nothing to say."""
    assert agreement(["a", None, "b"], ["a", "b", None]).rows == 1
    assert agreement(["a", None], [None, "b"]) is None
    assert agreement([(), ("a",)], [None, ("b", "a")]).overlap == 0.5


def test_sets_are_compared_label_by_label() -> None:
    """Each label as a yes or no of its own, the mean over the labels that vary; order doesn't count."""
    first = [("a",), ("a", "b"), (), ("b",)]
    second = [("a",), ("b", "a"), ("b",), ("b",)]
    found = agreement(first, second)
    assert (found.rows, found.same, found.overlap) == (4, 0.75, 0.75)
    assert found.by_label == {"a": 1.0, "b": pytest.approx(cohen_kappa_score([0, 1, 0, 1], [0, 1, 1, 1]))}
    assert found.kappa == pytest.approx((1 + found.by_label["b"]) / 2)
    assert str(found) == "agree on 75.0% of 4 rows, sharing 75.0% of their labels (mean Cohen's kappa 0.75)"
