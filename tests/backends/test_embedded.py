"""The embedded default: labels and vectors with no key, no download and no network."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.backends.embedded import word_vectors
from llm_magics.backends.embedded.client import EmbeddedBackend
from llm_magics.backends.similarity import prototypes
from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError, NotFound, Unsupported
from llm_magics.core.types import (
    TEXT,
    BackendSpec,
    Choice,
    Format,
    Message,
    OneOf,
    Request,
    Response,
    Schema,
    Vector,
)

needs_weights = pytest.mark.skipif(
    word_vectors.package_folder() is None, reason="no wordllama wheel for this platform"
)
MODELS = [pytest.param("wordllama", marks=needs_weights), "tfidf"]
TOPICS = OneOf(
    (
        Choice("sports", "games, teams, players, matches, championships"),
        Choice("cooking", "recipes, food, ingredients, kitchen, baking"),
        Choice("finance", "money, banks, stocks, markets, interest rates"),
    )
)
TEXTS = (
    "The team won the championship match in the last minute",
    "Bake the dough with the ingredients of this recipe",
    "The bank raised its interest rates and stocks fell",
)


@pytest.fixture(scope="module")
def wordllama() -> EmbeddedBackend:
    return made("wordllama")


def made(model: str) -> EmbeddedBackend:
    return EmbeddedBackend(BackendSpec("embedded", model))


def ask(text: str, response_format: Format, model: str = "wordllama") -> Request:
    return Request("embedded", model, (Message("user", text),), response_format, subject=text)  # type: ignore[arg-type]


def label(backend: EmbeddedBackend, texts: Sequence[str], response_format: Format) -> list[Response]:
    asks = [ask(text, response_format, backend.model) for text in texts]
    answers = asyncio.run(backend.complete_many(asks))
    assert not [answer for answer in answers if isinstance(answer, LLMError)]
    return answers  # type: ignore[return-value]


@pytest.mark.checklist("X1", "B9")
@pytest.mark.parametrize("model", MODELS)
def test_labels_by_similarity(model: str) -> None:
    """Texts get the nearest label, a probability for each, and the method by name."""
    answers = label(made(model), TEXTS, TOPICS)
    assert [answer.parsed for answer in answers] == ["sports", "cooking", "finance"]
    for answer in answers:
        assert answer.text == answer.parsed
        assert answer.method == "similarity"
        assert answer.model == model
        assert list(answer.scores) == ["sports", "cooking", "finance"]
        assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-5)
        assert answer.parsed == max(answer.scores, key=answer.scores.__getitem__)


@pytest.mark.parametrize("model", MODELS)
async def test_complete_is_one_of_many(model: str) -> None:
    """One request alone gets what it gets among others."""
    backend = made(model)
    alone = await backend.complete(ask(TEXTS[1], TOPICS))
    (_, among, _) = await backend.complete_many([ask(text, TOPICS) for text in TEXTS])
    assert alone.parsed == among.parsed
    assert alone.scores == pytest.approx(among.scores, abs=1e-6)


@pytest.mark.checklist("X1")
@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=2, max_size=8), st.randoms())
def test_a_label_never_depends_on_its_neighbours(model: str, texts: list[str], random) -> None:
    """Shuffled or cut, rows keep their labels and scores."""
    backend = made(model) if model == "tfidf" else KEPT.setdefault(model, made(model))
    whole = dict(zip(texts, label(backend, texts, TOPICS), strict=True))
    part = random.sample(texts, k=len(texts) // 2 + 1)
    for text, answer in zip(part, label(backend, part, TOPICS), strict=True):
        assert answer.scores == pytest.approx(whole[text].scores, abs=1e-5)
        near = sorted(answer.scores.values())[-2:]
        if near[1] - near[0] > 1e-5:
            assert answer.parsed == whole[text].parsed


KEPT: dict[str, EmbeddedBackend] = {}


@pytest.mark.checklist("B9")
@needs_weights
def test_the_whole_text_counts(wordllama: EmbeddedBackend) -> None:
    """What stands at the end of 100 KB decides as what stands at its start."""
    filler = "the and of " * 9_000
    (answer,) = label(wordllama, [filler + TEXTS[2] * 200], TOPICS)
    assert answer.parsed == "finance"


@needs_weights
@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_a_label_and_a_vector(text: str) -> None:
    """No text crashes it or gives NaN, lone surrogates included."""
    backend = KEPT.setdefault("wordllama", made("wordllama"))
    (answer,) = label(backend, [text + "\ud800"], TOPICS)
    assert answer.parsed in TOPICS.names
    assert all(np.isfinite(score) for score in answer.scores.values())
    vectors = asyncio.run(backend.embed([text])).vectors
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("model", MODELS)
def test_what_it_can_not_read_gets_no_confidence(model: str) -> None:
    """Blank texts, symbols and foreign scripts come back near to evenly spread."""
    texts = ["", "   ", "\N{GRINNING FACE}\N{GRINNING FACE}", "今日は映画を見ました", "!!!", "\x00\x01"]
    for answer in label(made(model), texts, TOPICS):
        assert max(answer.scores.values()) < 0.6


@needs_weights
def test_a_huge_word_is_not_remembered() -> None:
    """A text without spaces is read in full and leaves nothing behind."""
    vectors = word_vectors.StaticVectors.load()
    assert np.linalg.norm(vectors.embed(["å漢x" * 30_000])) == pytest.approx(1, abs=1e-4)
    assert not vectors._known


@needs_weights
def test_forgetting_words_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the remembered words grow too many they are dropped, and the vectors stay the same."""
    vectors = word_vectors.StaticVectors.load()
    first = vectors.embed(TEXTS)
    monkeypatch.setattr(word_vectors, "_KNOWN_WORDS", 5)
    assert np.array_equal(vectors.embed(TEXTS), first)
    vectors.embed(["entirely new words"])
    assert len(vectors._known) == 3


@needs_weights
def test_the_vectors_are_wordllamas_own() -> None:
    """The same vectors as tokenising the whole text and averaging the token rows."""
    folder = word_vectors.package_folder()
    tokenizer, weights = word_vectors._read(folder)
    tokens = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    means = np.stack([weights[ids].mean(axis=0) for ids in tokens])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert word_vectors.StaticVectors.load().embed(TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.checklist("X1")
@needs_weights
def test_wordllama_is_read_not_imported() -> None:
    """Labelling imports neither wordllama nor scikit-learn; building the backend not even numpy."""
    code = """
import sys, asyncio
from llm_magics.backends.embedded.client import EmbeddedBackend
from llm_magics.core.types import *
backend = EmbeddedBackend(BackendSpec("embedded", "wordllama"))
light = {"numpy", "scipy", "tokenizers"} & set(sys.modules)
form = OneOf((Choice("good"), Choice("bad")))
asyncio.run(backend.complete(Request("embedded", "wordllama", (), form, subject="nice")))
print(sorted(light), sorted({"wordllama", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
    assert done.stderr == ""


@pytest.mark.checklist("X1")
@pytest.mark.parametrize("response_format", [TEXT, Schema({"type": "object"})], ids=["text", "schema"])
async def test_text_is_refused_with_the_three_ways(response_format: Format) -> None:
    """Generate, extract and chat end in one error that says how to get a model."""
    with pytest.raises(Unsupported) as caught:
        await made("wordllama").complete(ask("write a poem", response_format))
    said = str(caught.value)
    for way in (
        "%llm_config key set openai",
        "%llm_config add NAME --gguf PATH",
        "%llm_config add NAME --openai URL --id MODEL",
    ):
        assert way in said


@pytest.mark.parametrize("model", MODELS)
async def test_mixed_formats_are_answered_in_order(model: str) -> None:
    """Several formats in one batch come back each in its place."""
    other = OneOf((Choice("food recipe ingredients dough"), Choice("money")))
    asks = [ask(TEXTS[1], TOPICS), ask("x", TEXT), ask(TEXTS[1], other), ask(TEXTS[0], Vector())]
    first, refused, second, vector = await made(model).complete_many(asks)
    assert first.parsed == "cooking"
    assert isinstance(refused, Unsupported)
    assert second.parsed == "food recipe ingredients dough"
    assert vector.vector.dtype == np.float32
    assert vector.vector.ndim == 1


@pytest.mark.checklist("B9")
@pytest.mark.parametrize("model", MODELS)
async def test_embeds(model: str) -> None:
    """Unit float32 vectors, a row a text, zeros for a blank one, the near ones nearer."""
    texts = [*TEXTS, "", "Stocks and interest rates of the bank"]
    embedding = await made(model).embed(texts)
    assert embedding.vectors.dtype == np.float32
    assert len(embedding.vectors) == len(texts)
    lengths = np.linalg.norm(embedding.vectors, axis=1)
    assert lengths == pytest.approx([1, 1, 1, 0, 1], abs=1e-5)
    assert (embedding.vectors @ embedding.vectors[4])[:3].argmax() == 2
    assert (await made(model).embed([])).vectors.shape == (0, embedding.vectors.shape[1])


@needs_weights
def test_examples_move_a_choice() -> None:
    """A text near an example takes its label, one near a counterexample is less likely to."""
    text = "My parcel never arrived"
    bare = OneOf((Choice("A1"), Choice("B2")))
    taught = OneOf((Choice("A1", examples=("The package was not delivered",)), Choice("B2")))
    warned = OneOf((Choice("A1", counterexamples=("The package was not delivered",)), Choice("B2")))
    chances = [label(made("wordllama"), [text], form)[0].scores["A1"] for form in (warned, bare, taught)]
    assert chances[0] < chances[1] - 0.05
    assert chances[2] > chances[1] + 0.05


@needs_weights
def test_more_examples_count_more() -> None:
    """One example against the description moves a choice less than five do."""
    odd = ("goal", "striker", "penalty", "stadium", "referee")
    chances = []
    for n in (0, 1, 5):
        form = OneOf((Choice("cooking", "food, kitchen", examples=odd[:n]), Choice("sports", "games, teams")))
        chances.append(label(made("wordllama"), ["the striker scored a goal"], form)[0].scores["cooking"])
    assert chances == sorted(chances)
    assert chances[2] - chances[1] > 0.02


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("card_arrival", "card arrival"),
        ("cardArrival", "card Arrival"),
        ("Sci/Tech", "Sci Tech"),
        ("how-to", "how to"),
        ("ATM", "ATM"),
        ("___", "___"),
    ],
)
def test_names_become_words(name: str, expected: str) -> None:
    """Snake case, camel case, slashes and hyphens are word breaks; a name is never emptied."""
    assert prototypes.words(name) == expected


@needs_weights
def test_none_takes_what_fits_nothing() -> None:
    """A label that means none of the others is chosen for what is near to none, not for its word."""
    form = OneOf((*TOPICS.choices, Choice("other", "none of the other labels fits the text")))
    texts = [*TEXTS, "zyx qwv", "", "My wardrobe door squeaks"]
    said = [answer.parsed for answer in label(made("wordllama"), texts, form)]
    assert said == ["sports", "cooking", "finance", "other", "other", "other"]


@needs_weights
@pytest.mark.parametrize("most", [None, 1])
def test_several_labels(most: int | None) -> None:
    """With ``many`` each choice stands for itself: two, one or none, likeliest first, capped."""
    form = OneOf(TOPICS.choices, many=True, max_choices=most)
    texts = [f"{TEXTS[1]}. {TEXTS[2]}", TEXTS[0], ""]
    both, one, nothing = label(made("wordllama"), texts, form)
    assert set(both.parsed) == {"cooking", "finance"} if most is None else len(both.parsed) == 1
    assert one.parsed == ["sports"]
    assert nothing.parsed == []
    for answer in (both, one, nothing):
        assert json.loads(answer.text) == answer.parsed
        assert answer.parsed == sorted(answer.parsed, key=lambda name: -answer.scores[name])
        assert all(0 <= score <= 1 for score in answer.scores.values())


@pytest.mark.parametrize("model", MODELS)
def test_one_choice_and_odd_names(model: str) -> None:
    """A single choice, emoji and one-letter names label without a warning."""
    (answer,) = label(made(model), ["x"], OneOf((Choice("\N{THUMBS UP SIGN}"),)))
    assert answer.parsed == "\N{THUMBS UP SIGN}"
    letters = OneOf((Choice("A", counterexamples=("x",)), Choice("B", examples=("x",))))
    assert label(made(model), ["x"], letters)[0].parsed == "B"


@needs_weights
def test_bare_names_get_a_hint(wordllama: EmbeddedBackend) -> None:
    """Names alone bring the advice to describe them; descriptions or examples silence it."""
    bare, taught = OneOf((Choice("a"), Choice("b"))), OneOf((Choice("a", examples=("x",)), Choice("b")))
    assert "description" in label(wordllama, ["x"], bare)[0].notes[0]
    assert label(wordllama, ["x"], taught)[0].notes == ()
    assert label(wordllama, ["x"], TOPICS)[0].notes == ()


@pytest.mark.checklist("X1")
@pytest.mark.parametrize("model", ["wordllama", "tfidf"])
def test_it_says_that_it_is_approximate(model: str) -> None:
    """The announcement names the model, the method, and that no language model was asked."""
    said = made(model).announcement
    assert said.startswith(f"embedded::{model}: approximate")
    assert "no language model" in said


def test_an_unknown_model_names_the_known() -> None:
    """A mistyped model is an error with the near one."""
    with pytest.raises(NotFound, match="wordlama") as caught:
        made("wordlama")
    assert "wordllama" in caught.value.hint


async def test_without_weights_it_names_tfidf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no wheel exists the error names what works there."""
    monkeypatch.setattr(word_vectors, "package_folder", lambda: None)
    with pytest.raises(MissingPackage) as caught:
        await made("wordllama").complete(ask("x", TOPICS))
    assert "embedded::tfidf" in caught.value.hint


async def test_broken_weights_are_a_load_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A truncated download ends in one clear error, not in a traceback of the reader."""
    for name in (word_vectors.WEIGHTS, word_vectors.TOKENIZER):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"{")
    monkeypatch.setattr(word_vectors, "package_folder", lambda: tmp_path)
    with pytest.raises(ModelLoadError, match="can't be read"):
        await made("wordllama").complete(ask("x", TOPICS))


@needs_weights
async def test_the_loop_stays_alive_and_a_cancel_gets_through() -> None:
    """Other tasks run while rows are labelled, and a cancelled batch ends early."""
    backend = made("wordllama")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticker = asyncio.ensure_future(tick())
    work = asyncio.ensure_future(backend.complete_many([ask(TEXTS[0], TOPICS)] * 400_000))
    while ticks < 20:
        await asyncio.sleep(0.001)
    assert not work.done()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    ticker.cancel()


@needs_weights
async def test_closing_frees_and_the_next_call_loads_again() -> None:
    """After close the weights are gone; the backend still works."""
    backend = made("wordllama")
    before = await backend.complete(ask(TEXTS[0], TOPICS))
    await backend.close()
    assert backend._vectors is None
    assert (await backend.complete(ask(TEXTS[0], TOPICS))) == before


def reaches(model: str, name: str, by_name: float, described: float) -> object:
    marks = needs_weights if model == "wordllama" else ()
    return pytest.param(model, name, by_name, described, marks=marks, id=f"{model}-{name}")


@pytest.mark.checklist("X1", "T9")
@pytest.mark.parametrize(
    ("model", "name", "by_name", "described"),
    [
        reaches("wordllama", "news_topics", 0.59, 0.815),
        reaches("wordllama", "review_sentiment", 0.72, 0.79),
        reaches("wordllama", "banking_intents", 0.77, 0.90),
        reaches("wordllama", "bill_summaries", 0.42, 0.60),
        reaches("tfidf", "news_topics", 0.25, 0.57),
        reaches("tfidf", "review_sentiment", 0.49, 0.66),
        reaches("tfidf", "banking_intents", 0.65, 0.83),
        reaches("tfidf", "bill_summaries", 0.30, 0.53),
    ],
)
def test_accuracy_and_calibration_on_labelled_sets(
    shared_data: Path, model: str, name: str, by_name: float, described: float
) -> None:
    """At or above the folder's baselines, expected calibration error at most 0.10; for TF-IDF its own."""
    with (shared_data / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((shared_data / "labels.json").read_text(encoding="utf-8"))[name]
    texts = [". ".join(filter(None, [row.get("title"), row["text"]])) for row in rows]
    gold = [row["label"] for row in rows]
    bare = OneOf(tuple(Choice(label) for label in told))
    full = OneOf(
        tuple(Choice(label, f"{t['description']} {' '.join(t['keywords'])}") for label, t in told.items())
    )
    for form, least in ((bare, by_name), (full, described)):
        answers = label(made(model), texts, form)
        right = np.array([answer.parsed == truth for answer, truth in zip(answers, gold, strict=True)])
        confidence = np.array([answer.scores[answer.parsed] for answer in answers])
        assert right.mean() >= least - 0.001
        assert calibration_error(confidence, right) <= 0.10


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidence * 10).astype(int), 9)
    groups = [bins == place for place in range(10)]
    return sum(g.mean() * abs(confidence[g].mean() - right[g].mean()) for g in groups if g.any())
