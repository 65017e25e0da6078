"""How a review stands: what is reviewed, how often the labels were right, how two people agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_magics.tasks.label.columns import Word, names_of
from llm_magics.tasks.label.evaluation.agreement import Agreement, overlap
from llm_magics.tasks.label.evaluation.evaluation import wilson


@dataclass(frozen=True)
class Progress:
    """How a review stands: rows with a person's word, the share of them where the label was right.

    With several labels a row a label set is right where it is the person's, and ``overlap`` is the mean
    share of labels that the two have in common. ``kappa`` and ``agreement`` are with the second column.
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
    rows: int, words: Sequence[tuple[Word, Word | None]], second: Agreement | None, *, many: bool
) -> Progress:
    """The Progress of ``rows`` rows with these (person's, model's) labels of the reviewed ones."""
    n, right = len(words), sum(said == given for said, given in words)
    shared = [overlap(names_of(said), names_of(given)) for said, given in words] if many else []
    return Progress(
        rows=rows,
        reviewed=n,
        corrected=n - right,
        accuracy=right / n if n else None,
        interval=wilson(right, n) if n else None,
        overlap=sum(shared) / n if shared else None,
        agreement=second,
    )
