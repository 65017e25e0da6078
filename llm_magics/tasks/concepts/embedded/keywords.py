"""The words that set groups of texts apart, without a model: class-based TF-IDF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.tasks.concepts.embedded.words import stem

WORDS = 5
COMMON = 0.1
"""Share of a group's documents from which the group counts as one that uses a term."""


def keywords(texts: Sequence[str], groups: Sequence[Sequence[int]], n: int = WORDS) -> list[tuple[str, ...]]:
    """The ``n`` words or word pairs that set each group apart, best first.

    Class-based TF-IDF (Grootendorst 2022, BERTopic): a term's share in the group, times
    log(1 + mean words a group / the term's count everywhere). Here a document counts once a term, so
    one long text doesn't decide, and a term that many groups use counts less in each. ``texts`` are clean
    ones (``llm_magics.text.cleaning``).
    """
    if not groups:
        return []
    counts, terms = _counts(texts, groups)
    if counts is None:
        return [()] * len(groups)
    weights = _weights(counts, [len(group) for group in groups])
    return [_distinct(terms, row, n) for row in weights]


def _counts(texts: Sequence[str], groups: Sequence[Sequence[int]]) -> tuple[Any, list[str]]:
    """Documents of each group that hold each term: shape (groups, terms)."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    members = [row for group in groups for row in group]
    vectorizer = CountVectorizer(
        stop_words=_stop_words(),
        ngram_range=(1, 2),
        binary=True,
        max_features=50_000,
        token_pattern=r"(?u)\b[^\W\d_][\w'-]*\w\b",  # noqa: S106 - a pattern of words
        dtype=np.float32,
    )
    try:
        found = vectorizer.fit_transform([texts[row] for row in members])
    except ValueError:  # nothing but stop words
        return None, []
    ends = np.cumsum([len(group) for group in groups])
    rows = [np.asarray(found[e - len(g) : e].sum(axis=0)).ravel() for e, g in zip(ends, groups, strict=True)]
    return np.stack(rows), list(vectorizer.get_feature_names_out())


def _stop_words() -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    short = (
        "don't",
        "doesn't",
        "didn't",
        "can't",
        "won't",
        "isn't",
        "it's",
        "i'm",
        "i've",
        "you're",
        "that's",
    )
    return sorted({*ENGLISH_STOP_WORDS, *short, "does", "did", "just", "like", "say", "said", "says"})


def _weights(counts: Any, sizes: Sequence[int]) -> Any:
    import numpy as np

    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mean = counts.sum() / len(counts)
    weights = share * np.log1p(mean / np.maximum(counts.sum(axis=0), 1))
    common = (counts / np.array(sizes)[:, None] >= COMMON).sum(axis=0)
    weights *= np.log1p(len(counts) / (1 + common))
    weights[counts < 2] *= 0.25  # a term of one document says little about its group
    return weights


def _distinct(terms: Sequence[str], weights: Any, n: int) -> tuple[str, ...]:
    """The best terms, none of which repeats another's words.

    A pair takes the place of its own word where it carries a third of that word's weight
    (``apple pay`` for ``apple``).
    """
    chosen: dict[frozenset[str], int] = {}
    for i in weights.argsort(kind="stable")[::-1][: 8 * n]:
        own = frozenset(stem(word) for word in terms[i].split())
        overlap = [other for other in chosen if own & other]
        if weights[i] <= 0:
            break
        if not overlap and len(chosen) < n:
            chosen[own] = i
        elif len(overlap) == 1 and overlap[0] < own and weights[i] > weights[chosen[overlap[0]]] / 3:
            chosen = {
                own if key == overlap[0] else key: i if key == overlap[0] else j for key, j in chosen.items()
            }
    return tuple(terms[i] for i in chosen.values())


def keyword_criterion(words: Sequence[str]) -> str:
    """A yes/no question of the keywords."""
    return f"Is the text about {', '.join(words)}?" if words else "Does the text resemble this group?"
