"""Corrected chances, votes, reliability, agreement."""

from __future__ import annotations

import numpy as np
import pytest

from llm_magics.tasks.label import calibration as cal
from llm_magics.tasks.label.votes import vote


@pytest.mark.checklist("T9")
def test_the_models_bias_is_divided_out() -> None:
    """What it says to texts that say nothing (contextual calibration)."""
    bias = cal.prior([{"a": 0.9, "b": 0.1}, {"a": 0.7, "b": 0.3}], ["a", "b"])
    assert bias == pytest.approx({"a": 0.8, "b": 0.2})
    fair = cal.without_bias({"a": 0.8, "b": 0.2}, bias)
    assert fair == pytest.approx({"a": 0.5, "b": 0.5})
    assert cal.without_bias({"a": 0.7, "b": 0.3}, bias)["b"] > 0.5


@pytest.mark.checklist("T9")
def test_the_temperature_undoes_overconfidence() -> None:
    """Chances sharpened by a known temperature come back to what they were."""
    chance = np.random.default_rng(0)
    honest = chance.uniform(0.5, 1.0, 3_000)
    truth = np.where(chance.random(3_000) < honest, "a", "b").tolist()
    sharp = [cal.tempered({"a": p, "b": 1 - p}, 0.4) for p in honest]
    fitted = cal.fit_temperature(sharp, truth)
    assert fitted == pytest.approx(2.5, rel=0.15)
    assert cal.fit_temperature([], []) == 1.0
    before = cal.reliability([s["a"] for s in sharp], [t == "a" for t in truth])
    after = cal.reliability([cal.tempered(s, fitted)["a"] for s in sharp], [t == "a" for t in truth])
    assert cal.calibration_error(after) < 0.03 < cal.calibration_error(before)


def test_votes_break_ties_by_the_order_of_labels() -> None:
    """A sample without an answer counts against the share."""
    assert vote(["b", "a", "b", None], ["a", "b"]) == ("b", 0.5)
    assert vote(["b", "a"], ["a", "b"]) == ("a", 0.5)
    assert vote([None], ["a"]) == (None, None)


def test_reliability_has_only_bins_with_rows() -> None:
    """Confidence 1.0 stands in the last bin."""
    table = cal.reliability([1.0, 0.95, 0.05], [True, False, False])
    assert table["rows"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [0.0, 0.5]
