"""How far a review is, and how often the labels were right so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_magics.core.intervals import wilson
from llm_magics.tasks.label.columns import LabelValue, label_names
from llm_magics.tasks.label.evaluation.agreement import Agreement, overlap


@dataclass(frozen=True)
class Progress:
    """The progress of a review: rows with a gold label, and the share of them where the label was right.

    With several labels a row a set of labels is right where it equals the person's, and ``overlap`` is
    the mean share of labels that the two have in common. ``kappa`` and ``agreement`` are with the second
    column.
    """

    rows: int
    reviewed: int
    corrected: int
    accuracy: float | None
    interval: tuple[float, float] | None
    overlap: float | None = None
    agreement: Agreement | None = None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa with the second column; with several labels a row the mean over the labels."""
        return None if self.agreement is None else self.agreement.kappa

    def __str__(self) -> str:
        said = [f"{self.reviewed:,} of {self.rows:,} rows reviewed, {self.corrected:,} corrected"]
        if self.accuracy is not None and self.interval is not None:
            low, high = self.interval
            right = "labels right" if self.overlap is None else "all labels right"
            said.append(f"{right} in {self.accuracy:.0%} (95% {low:.0%}-{high:.0%}) of them")
        if self.overlap is not None:
            said.append(f"{self.overlap:.0%} of a row's labels right on average")
        if self.agreement is not None:
            said.append(f"with the second column they {self.agreement}")
        return ", ".join(said)


def progress(
    rows: int, words: Sequence[tuple[LabelValue, LabelValue | None]], second: Agreement | None, *, many: bool
) -> Progress:
    """The Progress of ``rows`` rows with these (person's, model's) labels of the reviewed ones.

    Where the model's labels are hidden, none is right or corrected.
    """
    n, right = len(words), sum(said == given for said, given in words)
    seen = any(given is not None for _, given in words)
    shared = [overlap(label_names(said), label_names(given)) for said, given in words] if many else []
    return Progress(
        rows=rows,
        reviewed=n,
        corrected=n - right if seen else 0,
        accuracy=right / n if seen else None,
        interval=wilson(right, n) if seen else None,
        overlap=sum(shared) / n if shared and seen else None,
        agreement=second,
    )
