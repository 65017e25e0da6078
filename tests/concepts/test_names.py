"""Names that a person could have written: short phrases from the texts, no two with a word in common."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from llm_magics.backends.embedded.word_vectors import StaticVectors
from llm_magics.core.types import BackendSpec
from llm_magics.runs import session as sessions
from llm_magics.tasks.concepts.embedded.clustering import cluster
from llm_magics.tasks.concepts.embedded.headings import listed
from llm_magics.tasks.concepts.embedded.naming import described
from llm_magics.tasks.concepts.embedded.phrases import pieces, read_phrases
from llm_magics.tasks.concepts.embedded.words import is_function_word, stem
from llm_magics.tasks.concepts.pipeline import concepts
from llm_magics.testing import Server
from tests.concepts.scripted import answer, kind, texts

MARKUP = re.compile(
    r"quot|#\d|[<>/&;]|\b(?:lt|gt|amp|nbsp|www|http|href|com|reuters|fullquote)\b", re.IGNORECASE
)
SETS = {"news_topics": 12, "bill_summaries": None, "banking_intents": None}


@pytest.mark.checklist("N12")
@pytest.mark.parametrize("name", SETS)
def test_names_of_the_dev_sets(shared_data: Path, name: str) -> None:
    """No token of markup, no duplicates, at most eight words, a capital first, phrases of the texts
    or general subjects."""
    texts = pd.read_csv(shared_data / f"{name}.csv").text.tolist()
    vectors = StaticVectors.load()
    groups = cluster(vectors.embed(texts), SETS[name]).groups
    found = [one.name for one in described(texts, groups, embed=vectors.embed)]
    assert len(set(found)) == len(groups)
    everything = " ".join(texts).casefold()
    for one in found:
        assert not MARKUP.search(one), one
        assert one[0].isupper() or not one[0].islower()
        assert 1 <= len(one.split()) <= 9
        general = {part for heading, _ in listed() for part in heading.casefold().split()}
        assert all(word.casefold()[:4] in everything or word.casefold() in general for word in one.split()), (
            one
        )
    shared = Counter(
        word for one in found for word in {stem(w) for w in one.split() if not is_function_word(w)}
    )
    # In one bank's requests nouns recur: "Activate card" and "New card" differ in the word that tells.
    assert {word for word, n in shared.items() if n > 1} <= {"card", "pay", "top-up"}


def test_names_share_no_word_and_respect_those_that_are_taken() -> None:
    """A word that another concept goes by is not used again while a group has others."""
    texts = (
        ["The oil price rose. Oil prices hurt the economy."] * 4
        + ["The court heard the trial. The trial of the bank began in court."] * 4
        + ["A storm hit the coast. The storm left the coast in ruins."] * 4
    )
    groups = [range(4), range(4, 8), range(8, 12)]
    found = [one.name for one in described(texts, groups)]
    assert found[0].startswith("Oil price") and "torm" in found[2]
    for one, other in combinations(found, 2):
        assert not {stem(w) for w in one.split()} & {stem(w) for w in other.split()} - {"and", "the"}
    again = [one.name for one in described(texts, groups, taken=["Storm"])]
    assert "torm" not in again[2] and again[2] != found[2]


def test_requests_are_named_by_what_they_ask() -> None:
    """Verb and object where people ask; what happened to a thing, as it stands before the noun."""
    texts = [
        *["How do I change my PIN?", "I want to change my PIN please", "Can I change the PIN?"] * 2,
        *["My phone was stolen", "Someone has stolen my phone", "my phone got stolen today"] * 2,
    ]
    found = [one.name for one in described(texts, [range(6), range(6, 12)])]
    assert found == ["Change PIN", "Stolen phone"]


def test_proper_names_keep_their_capitals() -> None:
    """Spelled as inside a sentence: NASA, New York, oil; and whole: no "York", no "Exchange Commission"."""
    texts = [
        "Today the shuttle of NASA flew over New York again.",
        "They saw NASA in New York, said the Securities and Exchange Commission.",
        "Now NASA and the Securities and Exchange Commission move to New York.",
    ]
    read = read_phrases(texts)
    keys = set(read.phrases)
    assert ("new", "york") in keys and ("york",) not in keys
    assert ("securit", "exchang", "commission") in keys and ("exchang", "commission") not in keys
    assert read.words.spelling("nasa") == "NASA" and read.words.spelling("Oil") == "oil"


def test_words_of_a_text_in_runs() -> None:
    """Possessives, brackets and full stops end a run; ampersands and commas do not."""
    assert pieces("Microsoft's MSN (beta) sells AT&T phones. Johnson & Johnson, too") == [
        ["Microsoft"],
        ["MSN"],
        ["beta"],
        ["sells", "AT&T", "phones"],
        ["Johnson", "&", "Johnson", ",", "too"],
    ]


@pytest.mark.parametrize("texts", [["the of and"] * 3, ["..."] * 2, ["寿司が好き"] * 3, ["a"]])
def test_texts_without_phrases_still_have_a_name(texts: list[str]) -> None:
    """Never empty, never an error."""
    (found,) = described(texts, [range(len(texts))])
    assert found.name and found.criterion.endswith("?")


@pytest.mark.checklist("N12")
def test_points_quotes_and_names_come_from_clean_texts() -> None:
    """The whole pipeline without a model: markup in the texts reaches no name, keyword, point or quote."""
    texts = [
        f"LONDON (Reuters) - &lt;b&gt;The {a} of {b} quot;rose quot;&lt;/b&gt; {n} times, it #39;s said."
        for n in range(12)
        for a, b in (("price", "crude oil"), ("court", "human rights"), ("score", "the football team"))
    ]
    points = concepts(texts, stage="distill", progress=False)
    assert not points.point.str.contains("quot|#39|lt;|Reuters").any()
    made = concepts(texts, progress=False)
    for concept in made:
        assert not MARKUP.search(" ".join([concept.name, *concept.keywords, concept.criterion]))
        assert all(not MARKUP.search(quote) for quote in made.quotes(concept.name))
        marks = [s.highlight for s in made.column(concept.id).scores if s is not None and s.highlight]
        assert all(any(mark in text for text in texts) for mark in marks)


@pytest.mark.checklist("N12")
def test_a_model_names_a_concept_in_one_call() -> None:
    """Quotes and the other names go out, a heading comes back; locked concepts keep theirs; undo works."""
    sessions.end()
    try:
        with Server(answer=answer) as server:
            spec = BackendSpec("custom_url", "m", "scripted", server.url)
            sessions.current().registry.add(spec)
            sessions.current().config.set("model", "scripted")
            given = {"a": "Is it about delivery?", "b": "Is it about price?", "c": "Is it about taste?"}
            made = concepts(texts(30), concepts=given, progress=False)
            made.lock("c")
            server.forget()
            made.name().result()
            asked = [request.json for request in server.requests]
        assert [kind(body) for body in asked] == ["name_concept"] * 2
        assert all("c" in body["messages"][1]["content"] for body in asked)
        assert made.names == ["About delivery", "About price", "c"]
        made.undo()
        assert made.names == ["About delivery", "b", "c"]
    finally:
        sessions.end()


def test_without_a_model_names_come_from_the_documents() -> None:
    """The same job gives phrases of the matching documents, and asks nobody."""
    sessions.end()
    try:
        made = concepts(texts(60), concepts={"x": "parcel courier late delivery"}, progress=False)
        made.name().result()
        assert made.names != ["x"] and made.names[0][0].isupper()
    finally:
        sessions.end()
