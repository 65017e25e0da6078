"""Real chat models: what is sent, where a turn ends, and that nothing but the model's own text comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import llm_magics
from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.in_kernel.label_trie import log_sum_exp
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Response
from llm_magics.runs import session as sessions
from llm_magics.tasks.label.completion import begun_answer
from tests.real.test_gemma import NOISE

NEWS = (
    "The striker scored twice in the last ten minutes and the home team won the cup.",
    "The bank's profit fell by a fifth after interest rates were cut.",
    "Researchers taught a robot to fold shirts by watching people.",
)
TOPICS = ("sports", "business", "science and technology")
QUESTIONS = ("What is the capital of France?", "How many days has a week?")


@pytest.fixture
def chat_model(smollm_gguf: Path) -> GGUFBackend:
    return GGUFBackend(BackendSpec("gguf", str(smollm_gguf), options={"context": 1024, "threads": 1}))


@pytest.fixture(scope="module")
def plain(smollm_gguf: Path) -> Iterator[Any]:
    """The same file through llama-cpp-python's own class, one prompt at a time."""
    from llama_cpp import Llama

    llama = Llama(str(smollm_gguf), n_ctx=512, n_threads=1, verbose=False, flash_attn=True, logits_all=True)
    yield llama
    llama.close()
    cache().clear(force=True)


@pytest.fixture(autouse=True)
def session() -> Iterator[None]:
    yield
    sessions.end()


async def ask(backend: GGUFBackend, requests: Sequence[Request]) -> list[Response]:
    return list(await asyncio.gather(*map(backend.complete, requests)))


def conversation(*turns: tuple[str, str], **parameters: Any) -> Request:
    messages = tuple(Message(role, text) for role, text in turns)
    given = {"temperature": 0, "max_new_tokens": 16, **parameters}
    return Request("gguf", "m", messages, parameters=given, subject=turns[-1][1])


def evaluated(llama: Any, tokens: Sequence[int]) -> np.ndarray:
    """The row of logits behind each token."""
    llama.reset()
    llama.eval(tokens)
    return np.asarray(llama.scores[: len(tokens)], dtype=np.float64)


def is_greedy(llama: Any, prompt: str, text: str, *, ended: bool) -> bool:
    """Whether plain evaluation, too, finds each token of the text the likeliest, within the noise.

    ``ended``: the turn's end follows. A text equal to llama-cpp-python's own could not be asked for: where two
    tokens are as good as equal, a batch of another shape takes the other one.
    """
    before = llama.tokenize(prompt.encode(), add_bos=False, special=True)
    after = llama.tokenize(text.encode(), add_bos=False, special=False)
    after += [llama.token_eos()] if ended else []
    rows = evaluated(llama, [*before, *after])[len(before) - 1 : -1]
    chances = np.exp(rows - rows.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    chosen = chances[np.arange(len(after)), after]
    return bool((chosen >= chances.max(1) - NOISE).all())


SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What SmolLM2's chat template says where no system message is given."""


def as_chatml(messages: Sequence[dict[str, str]]) -> str:
    """SmolLM2's conversation as text, up to the answer, or with its beginning."""
    turns = [] if messages[0]["role"] == "system" else [{"role": "system", "content": SYSTEM}]
    turns += messages
    begun = turns.pop()["content"] if turns[-1]["role"] == "assistant" else ""
    said = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    return f"{said}<|im_start|>assistant\n{begun}"


async def test_greedy_text_is_the_models_own(chat_model: GGUFBackend, plain: Any) -> None:
    """From the same messages as llama-cpp-python's create_chat_completion, rows beside each other."""
    asked = [conversation(("system", "Be brief."), ("user", text)) for text in QUESTIONS]
    asked.append(conversation(("user", "Hello")))  # the template adds its own system message
    found = await ask(chat_model, asked)
    for request, response in zip(asked, found, strict=True):
        messages = [{"role": role, "content": content} for role, content in request.messages]
        ended = response.finish_reason == "stop"
        assert is_greedy(plain, as_chatml(messages), response.text, ended=ended)
        assert not any(mark in response.text for mark in ("<|im_end|>", "<|im_start|>"))
    assert found[0].finish_reason == "stop"
    messages = [{"role": role, "content": content} for role, content in asked[0].messages]
    own = plain.create_chat_completion(messages, max_tokens=10, temperature=0)
    assert own["usage"]["prompt_tokens"] == found[0].usage.input_tokens
    assert own["choices"][0]["message"] == {"role": "assistant", "content": found[0].text}


def test_a_conversation_goes_on(smollm_gguf: Path, plain: Any) -> None:
    """The second question is sent with the first turn, and the answer is the model's own to all of it."""
    given = {"temperature": 0, "max_new_tokens": 24}
    turns: list[dict[str, str]] = []
    for question in ("My name is Ada and I live in Lisbon.", "What is my name?"):
        turns.append({"role": "user", "content": question})
        answer = llm_magics.chat(question, model=f"gguf::{smollm_gguf}", thread="t", parameters=given)
        run = sessions.current().last
        assert next(run.prompts()) == turns
        assert is_greedy(plain, as_chatml(turns), answer, ended=False)
        turns.append({"role": "assistant", "content": answer})
    assert "1 answer ends at the token limit" in run.report()


@pytest.mark.parametrize("task", ["summarize", "translate"])
def test_a_preset_continues_what_the_dry_run_shows(task: str, smollm_gguf: Path, plain: Any) -> None:
    """The text is what the model writes greedily behind the prompt that ``-n`` shows."""
    frame = pd.DataFrame({"text": NEWS[:1]})
    more = {"to": "French"} if task == "translate" else {"max_words": 40}
    given = {"max_new_tokens": 12}
    ask_for = getattr(llm_magics, task)
    options = {"on": "text", "model": f"gguf::{smollm_gguf}", "parameters": given, **more}
    shown = ask_for(frame, dry_run=True, **options)
    out = ask_for(frame, progress=False, **options)
    run = sessions.current().last
    (prompt,) = run.prompts()
    assert [(turn["role"], turn["content"]) for turn in prompt] == list(map(tuple, shown.prompt))
    assert prompt[-1]["role"] == "assistant"
    assert run.manifest()["prompt_form"] == "begun_answer"
    (written,) = run.outputs["raw_output"]
    assert is_greedy(plain, as_chatml(prompt), written, ended=False)
    assert out.iloc[0, 1] in written


async def test_every_label_is_scored_as_plain_evaluation_does(chat_model: GGUFBackend, plain: Any) -> None:
    """Each branch of the labels' tokens evaluated in full, a row at a time; the turn's end closes a label."""
    names = (*TOPICS, "science")
    choices = tuple(map(Choice, names))
    parameters = {"prompt_format": "begun_answer", "temperature": 0}
    asked = [
        Request("gguf", "m", begun_answer(choices, "", (), text), OneOf(choices), parameters, subject=text)
        for text in NEWS[:2]
    ]
    for request, response in zip(asked, await ask(chat_model, asked), strict=True):
        text = as_chatml([{"role": role, "content": content} for role, content in request.messages])
        prompt = plain.tokenize(text.encode(), add_bos=False, special=True)
        end = plain.token_eos()
        paths = [[*plain.tokenize(f" {name}".encode(), add_bos=False), end] for name in names]
        totals = []
        for path in paths:
            total = 0.0
            for place in range(len(path)):
                allowed = sorted({p[place] for p in paths if p[:place] == path[:place] and len(p) > place})
                if len(allowed) > 1:
                    row = evaluated(plain, [*prompt, *path[:place]])[-1]
                    total += row[path[place]] - log_sum_exp(row[allowed])
            totals.append(total)
        assert response.scores is not None
        assert list(response.scores.values()) == pytest.approx(np.exp(totals), abs=NOISE)


async def test_seeds_repeat_and_stop_texts_end(chat_model: GGUFBackend) -> None:
    told = ("user", "Tell me a story about a cat.")
    seeded = [conversation(told, temperature=1.2, seed=seed) for seed in (1, 1, 2, 3)]
    texts = [response.text for response in await ask(chat_model, seeded)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    whole, stopped = await ask(chat_model, [conversation(told), conversation(told, stop=[" a"])])
    assert stopped.text == whole.text.partition(" a")[0]
    assert stopped.finish_reason == "stop"


def test_extract_and_judge_are_valid(smollm_gguf: Path) -> None:
    """Every value has its type; lists in which this model names one sport without end are ended."""
    frame = pd.DataFrame({"text": NEWS[:2]})
    fields = "topic one of sports|business|other\npeople list[str]: who is in it\nnumber int: null if none"
    model = f"gguf::{smollm_gguf}"
    out = llm_magics.extract(frame, fields, on="text", model=model, progress=False)
    assert set(out["extract_status"]) == {"ok"}
    assert set(out["topic"].dropna()) <= {"sports", "business", "other"}
    assert all(isinstance(people, list) for people in out["people"])
    rated = llm_magics.judge(frame, "How good is the news?", columns=["text"], model=model, progress=False)
    assert rated["rating"].between(1, 5).all()
    assert rated["rating_reason"].str.len().gt(0).all()


def test_a_reason_that_repeats_itself_is_closed(qwen_gguf: Path) -> None:
    """Qwen gives reasons without end for such texts; the rating behind them is written all the same."""
    frame = pd.DataFrame({"text": ["The Buffet at Bellagio was far from what I anticipated."]})
    out = llm_magics.judge(
        frame,
        "How much does the writer like it? 1 not at all, 5 very much.",
        columns=["text"],
        model=f"gguf::{qwen_gguf}",
        progress=False,
    )
    assert out["rating_status"].tolist() == ["ok"]
    assert out["rating"][0] in range(1, 6)
    sentences = out["rating_reason"][0].rstrip(".").split(". ")
    assert len(set(sentences)) == len(sentences) < 8
    run = sessions.current().last
    assert run is not None and "repeated itself without end" in " ".join(run.notes)
