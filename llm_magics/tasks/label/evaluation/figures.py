"""An evaluation as figures to publish."""

from __future__ import annotations

from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.widgets.figures import agreement
from llm_magics.widgets.figures.rows import Estimate, estimates_figure
from llm_magics.widgets.figures.template import Look

KINDS = ("confusion", "reliability")


def figure(evaluation: Any, kind: str, **look: Any) -> Any:
    """The figure of a kind. Raises NotFound for another one, UsageError where there is no confidence."""
    if kind not in KINDS:
        raise NotFound.among("kind of figure", kind, KINDS)
    made = Look(**look)
    if kind == "reliability":
        if evaluation.reliability is None:
            raise UsageError("these labels carry no confidence.", hint="plot() draws the confusion matrix.")
        rows = int(evaluation.reliability["rows"].sum())
        source = f"n = {rows:,} rows with a confidence and a true label; 95% Wilson intervals"
        table, error = evaluation.reliability, evaluation.calibration_error
        return agreement.reliability_figure(table, error, made, "How far a confidence can be trusted", source)
    low, high = evaluation.interval
    title = f"Accuracy {evaluation.accuracy:.3f} (95% {low:.3f} to {high:.3f})"
    worst, best = evaluation.f1_interval
    source = (
        f"n = {evaluation.rows:,} rows with a true label, {evaluation.answered:.1%} answered; macro-F1 "
        f"{evaluation.macro_f1:.3f} ({worst:.3f} to {best:.3f}); shaded by the share of the true label"
    )
    return agreement.confusion_figure(evaluation.confusion, made, title, source)


def labels_figure(evaluation: Any, kind: str, **look: Any) -> Any:
    """The F1 of each label of several a row, best first. Raises NotFound for another kind."""
    if kind != "labels":
        raise NotFound.among("kind of figure", kind, ("labels",))
    table = evaluation.by_label[evaluation.by_label["support"] > 0].sort_values("f1", ascending=False)
    rows = [
        Estimate(str(one.Index), one.f1, one.f1_low, one.f1_high, f"{one.f1:.2f} ({int(one.support):,})")
        for one in table.itertuples()
    ]
    low, high = evaluation.macro_interval
    title = f"Macro-F1 {evaluation.macro_f1:.3f} (95% {low:.3f} to {high:.3f})"
    source = f"n = {evaluation.rows:,} rows with true labels; 95% bootstrap intervals; in brackets its rows"
    return estimates_figure(rows, Look(**look), title, source, "F1", percent=False)
