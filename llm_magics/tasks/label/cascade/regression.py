"""The cheap labeller of a cascade: a regularised logistic regression on embeddings, taught by the model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

_STRENGTHS = (1.0, 10.0, 100.0)
_FOLDS = 5


class Proxy:
    """Labels by vectors, learnt from rows that the model has labelled.

    ``expected`` turns a confidence into the share of agreement that held-out folds showed at it.
    """

    def __init__(self, vectors: Any, labels: Sequence[str], seed: int = 0) -> None:
        import numpy as np
        from threadpoolctl import threadpool_limits

        # Many small products: threads would spend ten times the work on waiting for each other.
        with threadpool_limits(limits=1):
            self._teach(vectors, labels, np.random.default_rng(seed))

    def _teach(self, vectors: Any, labels: Sequence[str], chance: Any) -> None:
        import numpy as np

        self.classes = sorted(set(labels))
        wanted = np.array([self.classes.index(label) for label in labels])
        folds = chance.permutation(len(wanted)) % min(_FOLDS, len(wanted))
        tries = [self._held_out(vectors, wanted, folds, strength) for strength in _STRENGTHS]
        best = int(np.argmax([(given == wanted).mean() for given, _ in tries]))
        given, confidence = tries[best]
        self.agreement = float((given == wanted).mean())
        self._calibration = isotonic(confidence, given == wanted)
        self._model = _fitted(vectors, wanted, _STRENGTHS[best])

    def _held_out(self, vectors: Any, wanted: Any, folds: Any, strength: float) -> tuple[Any, Any]:
        """Label numbers and confidences of each row by a model that didn't see it."""
        import numpy as np

        given, confidence = np.zeros(len(wanted), dtype=int), np.zeros(len(wanted))
        for fold in range(int(folds.max()) + 1):
            held = folds == fold
            model = _fitted(vectors[~held], wanted[~held], strength)
            given[held], confidence[held] = _guess(model, vectors[held])
        return given, confidence

    def label(self, vectors: Any) -> tuple[list[str], Any]:
        """The labels of rows, and a confidence each (the probability of the label)."""
        numbers, confidence = _guess(self._model, vectors)
        return [self.classes[number] for number in numbers], confidence

    def expected(self, confidence: Any) -> Any:
        """The share of rows of this confidence that can be expected to agree with the model."""
        return self._calibration.predict(confidence)


def _fitted(vectors: Any, wanted: Any, strength: float) -> Any:
    """The regression, or the only class's number where there is but one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(set(wanted.tolist())) < 2:
        return int(wanted[0]) if len(wanted) else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=200).fit(vectors, wanted)


def _guess(model: Any, vectors: Any) -> tuple[Any, Any]:
    import numpy as np

    if isinstance(model, int):
        return np.full(len(vectors), model), np.ones(len(vectors))
    chances = model.predict_proba(vectors)
    return model.classes_[chances.argmax(axis=1)], chances.max(axis=1)


def isotonic(confidence: Any, agrees: Any) -> Any:
    """Agreement as a rising function of confidence (Zadrozny & Elkan 2002)."""
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
        confidence, agrees.astype(float)
    )
