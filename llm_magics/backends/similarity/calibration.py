"""The calibration of any embedding model's cosines, from a few sentences that every model can read.

Models differ in how near unrelated texts are: around 0 in one, around 0.8 in another. What a cosine means
is measured on the model itself: the cosines of everyday sentences with the labels and with each other are
those of texts that have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from llm_magics.backends.similarity.prototypes import Prototypes, Views, points, texts_of, unit
from llm_magics.backends.similarity.word_views import word_views
from llm_magics.core.types import Choice

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[float32]

UNRELATED_TEXTS = (
    "The train leaves at seven in the morning.",
    "My neighbour grows tomatoes behind the house.",
    "The meeting was moved to Thursday afternoon.",
    "A small dog slept under the kitchen table.",
    "The museum is closed on public holidays.",
    "He repaired the old radio with a screwdriver.",
    "Heavy rain flooded several streets last night.",
    "She is learning to play the violin.",
    "The recipe needs two eggs and some butter.",
    "Our flight was delayed by almost three hours.",
    "The team scored twice before half-time.",
    "The software update fixed a printing problem.",
    "Prices of coffee rose again this year.",
    "The doctor recommended a short walk every day.",
    "They painted the bedroom in light blue.",
    "The court will hear the case next month.",
    "Children were playing football in the park.",
    "The bridge was built more than a century ago.",
    "I forgot my password and cannot log in.",
    "The novel tells the story of two sisters.",
    "Scientists found a new species of frog.",
    "Please send the invoice to our office.",
    "The mountains were covered with snow.",
    "The mayor opened the new library on Sunday.",
)
"""Everyday sentences, each about something else."""

FACTOR, BARE_FACTOR = 0.62, 0.8
"""Temperature over the standard deviation of unrelated cosines: with descriptions, and for bare names.

They make the true labels of four sets likeliest with MiniLM; left out in turn, each set gives the others
0.60 to 0.65 and 0.75 to 0.80 (``tests/benchmarks/committee.py``).
"""

_LEAST = 1e-4
"""The smallest temperature: a model that gives all texts one vector would divide by nothing."""


@dataclass(frozen=True)
class KnownVectors:
    """The space of an embedding model whose vectors of the needed texts were computed beforehand."""

    vectors: Mapping[str, Vectors]
    temperature: float = 1.0
    level: float = 0.0
    spread: float = 0.0

    @property
    def views(self) -> Callable[[Choice], Views]:
        """The texts that stand for a choice."""
        return word_views

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (n, d)."""
        import numpy as np

        return np.stack([self.vectors[text] for text in texts])

    def evidence(self, texts: Sequence[str]) -> Vectors:
        """The same vectors: a language model reads every text."""
        return self.embed(texts)

    def neighbours(self, points: Vectors, n: int) -> Vectors:
        """Zeros: there is no list of words to search."""
        import numpy as np

        return np.zeros_like(points)


def needed(choices: Sequence[Choice]) -> list[str]:
    """The texts to embed before ``calibrated``, each once."""
    return list(dict.fromkeys((*texts_of(choices, word_views), *UNRELATED_TEXTS)))


def calibrated(choices: Sequence[Choice], vectors: Vectors) -> Prototypes:
    """The labeller of these choices from the vectors of the ``needed`` texts, in their order."""
    import numpy as np

    made = unit(np.asarray(vectors, np.float32))
    known = dict(zip(needed(choices), made, strict=True))
    space = KnownVectors(known)
    labels, sentences = points(choices, space), space.embed(UNRELATED_TEXTS)
    between = (sentences @ sentences.T)[np.triu_indices(len(sentences), 1)]
    cosines = np.concatenate([(sentences @ labels.T).ravel(), between])
    spread = float(cosines.std())
    factor = FACTOR if any(choice.description for choice in choices) else BARE_FACTOR
    space = KnownVectors(known, max(_LEAST, factor * spread), float(cosines.mean()), spread)
    return Prototypes.of(choices, space)
