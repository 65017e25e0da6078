"""gemma-3-270m, a real base model with sliding-window attention: what tiny random models can't show.

The weights are quantised, so that llama.cpp itself gives other probabilities when the same tokens are
evaluated in batches of another shape or with another kind of attention: up to ``NOISE`` was measured
between plain evaluations of one prompt.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import llm_magics
from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.in_kernel.label_trie import log_sum_exp
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Response, Schema
from llm_magics.runs import session as sessions
from tests.kernels import kernel

NOISE = 0.08
"""By how much llama.cpp's own probabilities of one prompt differ with the way it is evaluated."""
TOPICS = ("sports", "business", "science and technology", "world news")
TEXTS = (
    "The striker scored twice in the last ten minutes and the home team won the cup.",
    "The bank's profit fell by a fifth after interest rates were cut.",
    "Researchers taught a robot to fold shirts by watching people.",
    "The two presidents signed the peace treaty after weeks of talks.",
    "The coach was fired after the sixth defeat of the season.",
    "Shares of the carmaker rose on news of the merger.",
)
COMPLETION = {"prompt_format": "completion"}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "n": {"type": "integer"}},
    "required": ["name", "n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def gemma(gemma_gguf: Path) -> Iterator[GGUFBackend]:
    """The backend; the model stays in the cache between tests."""
    yield GGUFBackend(BackendSpec("gguf", str(gemma_gguf), options={"context": 1024}))
    cache().clear(force=True)


@pytest.fixture(scope="module")
def plain(gemma_gguf: Path) -> Iterator[Any]:
    """The same file through llama-cpp-python's own class, one prompt at a time."""
    from llama_cpp import Llama

    llama = Llama(str(gemma_gguf), n_ctx=1024, verbose=False, flash_attn=True)
    yield llama
    llama.close()


def categories(text: str, guidance: str = "") -> tuple[Message, ...]:
    head = f"{guidance}Categories: {', '.join(TOPICS)}."
    return Message("system", head), Message("user", f"Text: {text}"), Message("assistant", "Category:")


def topic(text: str, guidance: str = "") -> Request:
    form = OneOf(tuple(map(Choice, TOPICS)))
    return Request("gguf", "m", categories(text, guidance), form, COMPLETION, subject=text)


def written(text: str, **parameters: Any) -> Request:
    given = {"temperature": 0, "max_new_tokens": 16, "prompt_format": "raw", **parameters}
    return Request("gguf", "m", (Message("user", text),), parameters=given)


async def ask(backend: GGUFBackend, requests: Sequence[Request]) -> list[Response]:
    return list(await asyncio.gather(*map(backend.complete, requests)))


def evaluated(llama: Any, asked: Request) -> np.ndarray:
    """The labels' probabilities, each branch of their tokens evaluated in full behind its prompt."""
    text = "\n".join(message.content for message in asked.messages)
    prompt = llama.tokenize(text.encode())
    paths = [tuple(llama.tokenize(f"{text} {name}\n".encode())[len(prompt) :]) for name in TOPICS]
    steps: dict[tuple[int, ...], dict[int, float]] = {}
    for start in {path[:place] for path in paths for place in range(len(path))}:
        allowed = sorted({path[len(start)] for path in paths if path[: len(start)] == start})
        if len(allowed) > 1:
            row = next_logits(llama, [*prompt, *start])
            steps[start] = dict(zip(allowed, row[allowed] - log_sum_exp(row[allowed]), strict=True))
    return np.exp([sum(steps[p[:i]][p[i]] for i in range(len(p)) if p[:i] in steps) for p in paths])


def next_logits(llama: Any, tokens: list[int]) -> np.ndarray:
    llama.reset()
    llama.eval(tokens)
    return np.ctypeslib.as_array(llama._ctx.get_logits(), (llama.n_vocab(),)).astype(np.float64)


def agrees(response: Response, expected: np.ndarray) -> None:
    """Within the noise, and the same winner where the two likeliest are further apart than it."""
    assert response.scores is not None
    found = np.array([response.scores[name] for name in TOPICS])
    assert found == pytest.approx(expected, abs=NOISE)
    first, second = np.sort(expected)[::-1][:2]
    if first - second > NOISE:
        assert response.parsed == TOPICS[int(expected.argmax())]


@pytest.mark.checklist("X2", "Q1")
async def test_batched_scores_are_those_of_plain_evaluation(gemma: GGUFBackend, plain: Any) -> None:
    """Rows evaluated together on a shared prompt, labels spelt as they stand in the text."""
    requests = [topic(text) for text in TEXTS]
    for request, response in zip(requests[:3], (await ask(gemma, requests))[:3], strict=True):
        agrees(response, evaluated(plain, request))


@pytest.mark.checklist("X2")
async def test_prompts_longer_than_the_attention_window(gemma: GGUFBackend, plain: Any) -> None:
    """A shared beginning of more than 512 tokens: the window has slid past it, and scores stay right."""
    guidance = "".join(f"Rule {i}: read text {i} to its end.\n" for i in range(54))
    requests = [topic(text, guidance) for text in TEXTS[:3]]
    found = await ask(gemma, requests)
    assert found[0].usage.input_tokens > 540
    assert max(response.usage.cached_input_tokens for response in found) > 512
    agrees(found[1], evaluated(plain, requests[1]))
    again = await ask(gemma, requests[::-1])
    for first, second in zip(found, again[::-1], strict=True):
        assert [*(first.scores or {}).values()] == pytest.approx([*(second.scores or {}).values()], abs=NOISE)


@pytest.mark.checklist("Q1")
async def test_greedy_text_is_what_llama_cpp_python_writes(gemma: GGUFBackend, plain: Any) -> None:
    """From the same prompt, nothing added behind it."""
    prompt = "Headline: Rain ends the longest drought\nStory:"
    (response,) = await ask(gemma, [written(prompt)])
    expected = plain.create_completion(prompt, max_tokens=16, temperature=0)["choices"][0]["text"]
    assert response.text == expected
    beside = await ask(gemma, [written(prompt), written("One, two, three,"), written("The sea is")])
    assert beside[0].text == expected


async def test_stop_texts_and_seeds(gemma: GGUFBackend) -> None:
    prompt = "1, 2, 3, 4,"
    (stopped,) = await ask(gemma, [written(prompt, stop=[" 8"])])
    assert " 7" in stopped.text
    assert " 8" not in stopped.text
    assert stopped.finish_reason == "stop"
    sampled = [written("My favourite colour is", temperature=1.5, seed=seed) for seed in (1, 1, 2, 3, 4)]
    texts = [response.text for response in await ask(gemma, sampled)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


@pytest.mark.checklist("G5")
async def test_json_is_always_valid(gemma: GGUFBackend) -> None:
    """A base model that never saw the format writes what the schema allows, whatever the row."""
    given = {"max_new_tokens": 120, "temperature": 0}
    requests = [
        Request("gguf", "m", (Message("user", f"{text}\nAs JSON:"),), Schema(SCHEMA), given, subject=text)
        for text in TEXTS[:4]
    ]
    for response in await ask(gemma, requests):
        assert response.finish_reason == "stop"
        assert set(json.loads(response.text)) == {"name", "n"}
        assert isinstance(response.parsed["n"], int)


async def test_a_text_longer_than_the_context_is_cut_and_said(gemma_gguf: Path) -> None:
    small = GGUFBackend(BackendSpec("gguf", str(gemma_gguf), options={"context": 256}))
    (response,) = await ask(small, [topic(" ".join(TEXTS * 6))])
    assert response.parsed in TOPICS
    assert response.finish_reason == "prompt_cut"
    assert response.usage.input_tokens <= 256
    assert "too long for 256 tokens" in " ".join(response.notes)


@pytest.mark.checklist("M1", "M5")
async def test_two_models_at_once(gemma: GGUFBackend, minilm_folder: Path) -> None:
    """A GGUF file and a sentence encoder answer side by side, each as it does alone."""
    from llm_magics.backends.huggingface.client import TransformersBackend

    encoder = TransformersBackend(BackendSpec("transformers", str(minilm_folder)))
    alone = await ask(gemma, [topic(TEXTS[0])])
    labels, vectors = await asyncio.gather(
        ask(gemma, [topic(text) for text in TEXTS]), encoder.embed(list(TEXTS))
    )
    assert labels[0].parsed == alone[0].parsed
    near = vectors.vectors @ vectors.vectors.T
    assert near[0, 4] > near[0, 1]  # two texts about sport, one about a bank
    assert near[1, 5] > near[1, 2]
    await encoder.close()


async def test_vectors_of_a_model_that_was_not_made_to_embed(gemma: GGUFBackend) -> None:
    found = await gemma.embed(list(TEXTS[:2]))
    assert found.vectors.shape == (2, 640)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1, 1], abs=1e-4)
    assert "not made to embed" in found.notes[0]


@pytest.mark.timeout(300)
@pytest.mark.checklist("M3")
async def test_loading_and_clearing_gives_the_memory_back(gemma_gguf: Path) -> None:
    """Six times: the process does not grow from the third to the sixth."""
    sizes = []
    for _ in range(6):
        backend = GGUFBackend(BackendSpec("gguf", str(gemma_gguf), options={"context": 256}))
        await ask(backend, [topic(TEXTS[0])])
        cache().clear(force=True)
        sizes.append(psutil.Process().memory_info().rss / 1e6)
    assert sizes[-1] - sizes[2] < 60


@pytest.mark.checklist("Q2")
def test_bias_removal_finds_the_topics(gemma_gguf: Path) -> None:
    """The raw scores favour a label of the list; without their bias most rows get their own."""
    frame = pd.DataFrame({"t": TEXTS, "true": [TOPICS[i] for i in (0, 1, 2, 3, 0, 1)]})
    model = f"gguf::{gemma_gguf}"
    llm_magics.label(frame, list(TOPICS), on="t", model=model, truth="true", prior="none", progress=False)
    run = sessions.current().last
    assert run.manifest()["prompt_form"] == "completion"
    assert run.manifest()["bias"]["label_names"] == 4
    debiased = run.evaluation.accuracy
    llm_magics.label(
        frame, list(TOPICS), on="t", model=model, truth="true", prior="none", progress=False, raw=True
    )
    assert debiased >= max(sessions.current().last.evaluation.accuracy, 4 / 6)


def _until_stored(home: Path, count: int) -> None:
    """Wait until so many rows are stored beside the label names in both orders and the first cell."""
    wanted = 2 * len(TOPICS) + 3 + count
    for _ in range(600):
        with sqlite3.connect(home / "responses.sqlite3") as file:
            if file.execute("SELECT count(*) FROM responses").fetchone()[0] >= wanted:
                return
        time.sleep(0.05)
    raise AssertionError("nothing was answered for 30 seconds")


@pytest.mark.checklist("R4", "Q2")
def test_an_interrupt_returns_at_once_and_changes_no_label(gemma_gguf: Path, tmp_path: Path) -> None:
    """Run again after it, and once more: what was stored stays, and the bias with it."""
    setup = f"""
import pandas as pd
%load_ext llm_magics
frame = pd.DataFrame({{"t": [f"{{text}} It was day {{i}}." for i in range(30) for text in {TEXTS!r}]}})
%llm_config add tiny --gguf {gemma_gguf} --ctx 512
%llm label frame.t -m tiny --labels a,b --head 1
"""
    cell = f"%llm label frame.t -m tiny --prior none --labels '{','.join(TOPICS)}' -o out"
    shown = "print(out.label.tolist(), out.attrs['llm_magics']['bias'])"
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run(setup)
        cut = k.start(cell)
        _until_stored(tmp_path, 12)  # beyond the label names, before the last row
        k.interrupt()
        began = time.monotonic()
        stopped = k.finish(cut)
        assert time.monotonic() - began < 5  # a machine that others use too
        assert stopped.error is not None
        assert "Interrupted" in stopped.error["evalue"]
        assert "cached" in k.run(cell).text
        labels = k.run(shown).stdout
        assert "180 cached" in k.run(cell).text
        assert k.run(shown).stdout == labels
