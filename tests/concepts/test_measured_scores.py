"""Concept scores of embedding models whose cosines mean something else than word vectors' do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from llm_magics.backends.embedded.word_vectors import StaticVectors
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.embedded.similarity_scores import similarity_scores
from llm_magics.tasks.concepts.model.documents import Documents

TEXTS = (
    "The team won the football match",
    "The bank raised its interest rates",
    "A cake with eggs and butter",
)


@pytest.mark.checklist("Q4")
def test_a_model_whose_texts_are_all_near_each_other_matches_no_more() -> None:
    """All cosines lie between .7 and 1, as some models' do: only the text about the concept scores high."""
    words = StaticVectors.load()

    def lifted(texts: Sequence[str]) -> Any:
        made = words.embed(texts)
        return np.hstack([np.sqrt(0.3) * made, np.full((len(made), 1), np.sqrt(0.7), np.float32)])

    concept = Concept("c", "Football", "Is the text about a football match?")
    documents = Documents.read(list(TEXTS))
    scores = {}
    for name, embed in {"plain": words.embed, "lifted": lifted}.items():
        (found,) = similarity_scores(documents, [concept], embed, embed(TEXTS))
        scores[name] = [found[row].value for row in range(3)]
    assert scores["lifted"][0] > 0.5 > max(scores["lifted"][1:])
    assert scores["lifted"] == pytest.approx(scores["plain"], abs=0.3)
