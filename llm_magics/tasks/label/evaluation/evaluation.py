"""Evaluation of labels against a column of true ones.

Accuracy, F1, confusion, reliability, with intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llm_magics.core.errors import UsageError
from llm_magics.core.intervals import wilson
from llm_magics.data.templates import is_null
from llm_magics.tasks.label.calibration import calibration_error, reliability
from llm_magics.tasks.label.examples import items_in
from llm_magics.text.label_names import label_name

RESAMPLES = 1000
"""Resamples of a bootstrap interval; the seed is fixed, so that a result always has the same interval."""
_FEW = 10

Interval: TypeAlias = tuple[float, float]
Pair: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""One row's true labels and its predicted ones."""


@dataclass(frozen=True)
class F1Intervals:
    """95% intervals, percentiles over resampled rows (Efron 1979); nan-nan for a label without rows.

    ``macro`` is the mean over the labels that a resample holds among its true ones, ``micro`` counts every
    label of every row alike, ``by_label`` is in the order of the labels.
    """

    macro: Interval
    micro: Interval
    by_label: tuple[Interval, ...]


def f1_intervals(pairs: Sequence[Pair], labels: Sequence[str]) -> F1Intervals:
    """The intervals of the F1 scores of these rows. A name that is not in ``labels`` is no answer."""
    import numpy as np

    rows = Counter(pairs)
    found = list(rows)
    place = {name: i for i, name in enumerate(labels)}
    true, given = (_held([pair[side] for pair in found], place) for side in (0, 1))
    both = _held([tuple(name for name in t if name in g) for t, g in found], place)
    macro, micro, each = np.empty(RESAMPLES), np.empty(RESAMPLES), np.full((RESAMPLES, len(labels)), np.nan)
    for i, weights in enumerate(_drawn(rows, len(pairs))):
        support, chosen, hits = (
            np.bincount(names, weights[which], minlength=len(labels)) for which, names in (true, given, both)
        )
        f1 = 2 * hits / np.maximum(support + chosen, 1)
        there = support > 0
        each[i, there] = f1[there]
        macro[i] = f1[there].mean() if there.any() else 0.0
        micro[i] = 2 * hits.sum() / max(1.0, support.sum() + chosen.sum())
    seen = [column[~np.isnan(column)] for column in each.T]
    return F1Intervals(_middle(macro), _middle(micro), tuple(map(_middle, seen)))


def _held(names: Sequence[tuple[str, ...]], place: dict[str, int]) -> tuple[Any, Any]:
    """Which pair holds which label: two arrays of equal length."""
    import numpy as np

    held = [(i, place[name]) for i, some in enumerate(names) for name in some if name in place]
    table = np.array(held, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _drawn(rows: Counter[Pair], n: int) -> Any:
    """How often each pair is drawn, once a resample."""
    import numpy as np

    chance = np.random.default_rng(0)
    often = np.fromiter(rows.values(), dtype=np.int64)
    of_row = None if _FEW * len(often) < n else np.repeat(np.arange(len(often)), often)
    for _ in range(RESAMPLES):
        # Few different pairs: their numbers are drawn at once; many: row by row is faster.
        if of_row is None:
            yield chance.multinomial(n, often / n).astype(float)
        else:
            yield np.bincount(of_row[chance.integers(0, n, n)], minlength=len(often)).astype(float)


def _middle(values: Any) -> Interval:
    """Where the middle 95% lie."""
    import numpy as np

    if not len(values):
        return (float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Labels against the truth, over the rows that have a true label.

    ``accuracy`` counts a row without an answer as wrong; ``answered`` is the share of rows with one.
    ``interval`` is the 95% Wilson score interval of the accuracy (Wilson 1927), ``f1_interval`` the 95%
    bootstrap interval of the macro-F1 (percentiles of 1,000 resamples of the rows, Efron 1979), which is
    the mean over the labels that occur among the true ones. ``by_label`` is a frame of precision, recall,
    f1 with its interval (f1_low, f1_high), and support; ``confusion`` a frame, true labels down, given ones
    across. Where labels carry a confidence, ``reliability`` is a frame of rows, confidence and accuracy
    with its Wilson interval (low, high) by bins of confidence, and ``calibration_error`` the mean gap.
    """

    rows: int
    answered: float
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    by_label: Any
    confusion: Any
    f1_interval: tuple[float, float] = (0.0, 1.0)
    reliability: Any = None
    calibration_error: float | None = None

    def __str__(self) -> str:
        low, high = self.interval
        worst, best = self.f1_interval
        gap = "" if self.calibration_error is None else f", calibration error {self.calibration_error:.3f}"
        if gap and (sure := int(self.reliability["rows"].sum())) < self.rows:
            gap += f" over the {sure:,} rows with a confidence"
        return (
            f"accuracy {self.accuracy:.3f} (95% {low:.3f}-{high:.3f}), "
            f"macro-F1 {self.macro_f1:.3f} ({worst:.3f}-{best:.3f}), "
            f"{self.rows:,} rows, {self.answered:.1%} answered{gap}"
        )

    def __repr__(self) -> str:
        scores = self.by_label.to_string(float_format="{:.3f}".format)
        return f"{self}\n\n{scores}\n\n{self.confusion.to_string()}"

    def _repr_html_(self) -> str:
        from llm_magics.tasks.label.evaluation.report import page

        facts = [
            ("accuracy", f"{self.accuracy:.3f}"),
            ("(95%)", _span(self.interval)),
            (f"macro-F1 ({_span(self.f1_interval)})", f"{self.macro_f1:.3f}"),
            ("rows", f"{self.rows:,}"),
            ("answered", f"{self.answered:.1%}"),
        ]
        if self.calibration_error is not None:
            facts.append(("calibration error", f"{self.calibration_error:.3f}"))
        return page(facts, self.by_label, self.confusion, self.reliability)

    def plot(self, kind: str = "confusion", **look: Any) -> Any:
        """A plotly figure to publish: ``confusion`` or ``reliability``.

        ``look``: ``size`` (notebook, column, page, slide), ``theme`` (light, dark), ``title``, ``source``.
        Raises UsageError for reliability where labels carry no confidence.
        """
        from llm_magics.tasks.label.evaluation.figures import figure

        return figure(self, kind, **look)

    def plot_reliability(self, **look: Any) -> Any:
        """Accuracy by confidence as a plotly figure; None where labels carry no confidence."""
        return None if self.reliability is None else self.plot("reliability", **look)


def evaluate(
    truth: Sequence[Any],
    given: Sequence[Any],
    labels: Sequence[str],
    confidence: Sequence[float | None] | None = None,
) -> Evaluation | MultiEvaluation:
    """Compare two columns of labels row by row; rows without a true label are left out.

    Where labels are lists, as ``--multi`` gives them, it is a MultiEvaluation; the true ones may then be
    lists or texts with ``|`` between names. Raises UsageError where no true label is one of ``labels``.
    """
    labels = [str(name) for name in labels]
    if any(isinstance(cell, list | tuple) for cell in given):
        return _evaluate_many(truth, given, list(labels))
    sure = confidence if confidence is not None else [None] * len(given)
    kept = [
        (label_name(t, labels), None if is_null(g) else label_name(g, labels), None if is_null(c) else c)
        for t, g, c in zip(truth, given, sure, strict=True)
        if not is_null(t)
    ]
    _require_known({t for t, _, _ in kept}, labels)
    made = _evaluate([t for t, _, _ in kept], [g for _, g, _ in kept], list(labels))
    known = [(float(c), t == g) for t, g, c in kept if c is not None and g is not None]
    if not known:
        return made
    table = reliability([c for c, _ in known], [right for _, right in known])
    ends = [wilson(round(one.accuracy * one.rows), int(one.rows)) for one in table.itertuples()]
    table = table.assign(low=[low for low, _ in ends], high=[high for _, high in ends])
    return replace(made, reliability=table, calibration_error=calibration_error(table))


def require_known(truth: Iterable[Any], labels: Sequence[str], *, many: bool = False) -> None:
    """Raises UsageError where no true label is one of ``labels``; ``many`` = cells that hold several."""
    cells = [cell for cell in truth if not is_null(cell)]
    found = (name for cell in cells for name in (items_in(cell) if many else [cell]))
    _require_known({label_name(name, labels) for name in found}, labels)


def _require_known(found: set[str], labels: Sequence[str]) -> None:
    if not found.intersection(labels):
        raise UsageError(
            "the column of true labels holds none of the labels.",
            hint=f"Labels: {', '.join(labels[:12])}. Found: {', '.join(sorted(found)[:12])}.",
        )


@dataclass(frozen=True, repr=False)
class MultiEvaluation:
    """Several labels a row against the truth, over the rows that have a true cell.

    A row without an answer counts as one without labels. ``exact`` is the share of rows whose set of labels
    is the true one (with its 95% Wilson interval), ``jaccard`` the mean overlap of the two sets (1 where
    both are empty), ``micro_f1`` and ``macro_f1`` as usual, with 95% bootstrap intervals, ``by_label`` a
    frame of precision, recall, f1 with its interval (f1_low, f1_high), and support.
    """

    rows: int
    answered: float
    exact: float
    interval: tuple[float, float]
    jaccard: float
    micro_f1: float
    macro_f1: float
    by_label: Any
    micro_interval: tuple[float, float] = (0.0, 1.0)
    macro_interval: tuple[float, float] = (0.0, 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"exact match {self.exact:.3f} (95% {low:.3f}-{high:.3f}), Jaccard {self.jaccard:.3f}, "
            f"micro-F1 {self.micro_f1:.3f} ({_ends(self.micro_interval)}), "
            f"macro-F1 {self.macro_f1:.3f} ({_ends(self.macro_interval)}), "
            f"{self.rows:,} rows, {self.answered:.1%} answered"
        )

    def __repr__(self) -> str:
        return f"{self}\n\n{self.by_label.to_string(float_format='{:.3f}'.format)}"

    def _repr_html_(self) -> str:
        from llm_magics.tasks.label.evaluation.report import page

        facts = [
            ("exact match", f"{self.exact:.3f}"),
            ("(95%)", _span(self.interval)),
            ("Jaccard", f"{self.jaccard:.3f}"),
            (f"micro-F1 ({_span(self.micro_interval)})", f"{self.micro_f1:.3f}"),
            (f"macro-F1 ({_span(self.macro_interval)})", f"{self.macro_f1:.3f}"),
            ("rows", f"{self.rows:,}"),
            ("answered", f"{self.answered:.1%}"),
        ]
        return page(facts, self.by_label)

    def plot(self, kind: str = "labels", **look: Any) -> Any:
        """A plotly figure to publish: the F1 of each label with its 95% interval.

        ``look``: ``size`` (notebook, column, page, slide), ``theme`` (light, dark), ``title``, ``source``.
        """
        from llm_magics.tasks.label.evaluation.figures import labels_figure

        return labels_figure(self, kind, **look)


def _names(cell: Any, labels: Sequence[str]) -> set[str]:
    """The labels of a cell that holds several."""
    return {label_name(item, labels) for item in items_in(cell)}


def _evaluate_many(truth: Sequence[Any], given: Sequence[Any], labels: list[str]) -> MultiEvaluation:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    pairs = [(_names(t, labels), g) for t, g in zip(truth, given, strict=True) if not is_null(t)]
    _require_known({name for true, _ in pairs for name in true}, labels)
    seen = [*labels, *sorted({name for true, _ in pairs for name in true} - set(labels))]
    sets = [(true, _names(g, labels)) for true, g in pairs]
    right = [[name in true for name in seen] for true, _ in sets]
    said = [[name in chosen for name in seen] for _, chosen in sets]
    scores = precision_recall_fscore_support(right, said, zero_division=0.0)
    spread = f1_intervals([(tuple(true), tuple(chosen)) for true, chosen in sets], seen)
    table = _by_label(scores, spread, seen)
    hits, n = sum(true == chosen for true, chosen in sets), len(sets)
    overlaps = [len(t & c) / len(t | c) if t | c else 1.0 for t, c in sets]
    return MultiEvaluation(
        rows=n,
        answered=sum(not is_null(g) for _, g in pairs) / n,
        exact=hits / n,
        interval=wilson(hits, n),
        jaccard=sum(overlaps) / n,
        micro_f1=float(f1_score(right, said, average="micro", zero_division=0.0)),
        macro_f1=float(table[table["support"] > 0]["f1"].mean()),
        by_label=table,
        micro_interval=spread.micro,
        macro_interval=spread.macro,
    )


def _by_label(scores: Sequence[Any], spread: F1Intervals, labels: list[str]) -> Any:
    """Scores as scikit-learn gives them, the F1's intervals put in, a row a label."""
    import pandas as pd

    table = pd.DataFrame(
        dict(zip(("precision", "recall", "f1", "support"), scores, strict=True)), index=labels
    )
    for at, (name, end) in enumerate((("f1_low", 0), ("f1_high", 1)), 3):
        table.insert(at, name, [interval[end] for interval in spread.by_label])
    return table


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _ends(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f}-{interval[1]:.3f}"


def _evaluate(truth: list[str], given: list[str | None], labels: list[str]) -> Evaluation:
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    seen = [*labels, *sorted(set(truth) - set(labels))]
    answers = ["(none)" if g is None else g for g in given]
    scores = precision_recall_fscore_support(truth, answers, labels=seen, zero_division=0.0)
    spread = f1_intervals(
        [((t,), () if g is None else (g,)) for t, g in zip(truth, given, strict=True)], seen
    )
    table = _by_label(scores, spread, seen)
    present = table[table["support"] > 0]
    hits = sum(t == g for t, g in zip(truth, given, strict=True))
    confusion = pd.crosstab(pd.Series(truth, name="true"), pd.Series(answers, name="given"))
    across = [*seen, *(["(none)"] if "(none)" in answers else [])]
    return Evaluation(
        rows=len(truth),
        answered=sum(g is not None for g in given) / len(truth),
        accuracy=hits / len(truth),
        interval=wilson(hits, len(truth)),
        macro_f1=float(present["f1"].mean()),
        by_label=table,
        f1_interval=spread.macro,
        confusion=confusion.reindex(index=seen, columns=across, fill_value=0),
    )
