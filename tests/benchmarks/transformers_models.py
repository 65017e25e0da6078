"""Labels and texts of a transformers model: rows a second beside plain ways of asking the same model.

    python tests/benchmarks/transformers_models.py [--shape 1b|8b|tiny] [--rows 200] [--device cuda]

The model has random weights in the shape of a real one, because time and memory do not depend on what the
weights say. Three ways give the same label probabilities: ours (the common instructions evaluated once, each
row once, the labels' paths behind it), every (row, label) pair alone, and the pairs in plain padded batches
of 16. Texts: ours beside ``model.generate`` row by row and in padded batches. Under five minutes on a GPU;
without one, ``--shape tiny`` runs everything on the CPU. Each way in turn, medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Two threads take turns with the model; a pool of threads that spins while it waits would slow the other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from llm_magics.backends.huggingface.client import TransformersBackend
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request
from tests.backends.torch_models import tokenizer

SHAPES = {
    "tiny": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 8},
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}
"""Llama 3's shapes; ``tiny`` is for machines without a GPU."""

TOPICS = ("the weather", "a late parcel", "a broken invoice", "a new league", "the price of bread")
LABELS = tuple(Choice(name, f"texts about {name}") for name in TOPICS)
RULES = "Choose the label that fits the text best. " * 12


def build(folder: Path, shape: str, dtype: str) -> None:
    """A Llama of this shape with random weights, and a small tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    words = tokenizer()
    config = LlamaConfig(
        **SHAPES[shape],
        num_key_value_heads=8,
        vocab_size=len(words),
        max_position_embeddings=4096,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        bos_token_id=None,
        dtype=dtype,
    )
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
    words.save_pretrained(folder)


def requests(rows: int, model: str, form: Any = None, **parameters: Any) -> list[Request]:
    """One request a row: the same rules, then a text of some sentences."""
    said = "The delivery was late and the box was broken. " * 4
    extra = {} if form is None else {"response_format": form}
    return [
        Request(
            "transformers",
            model,
            (Message("system", RULES), Message("user", f"{said} Number {i}.")),
            parameters=parameters,
            subject=f"{said} Number {i}.",
            **extra,
        )
        for i in range(rows)
    ]


def ours(backend: TransformersBackend, asked: list[Request]) -> list[Any]:
    """Through ``complete_many``, 16 rows a call, as the engine calls it."""

    async def run() -> list[Any]:
        found: list[Any] = []
        for start in range(0, len(asked), 16):
            found += await backend.complete_many(asked[start : start + 16])
        return found

    return asyncio.run(run())


class Plain:
    """The same model without this project: transformers alone."""

    def __init__(self, folder: Path, device: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch = torch
        self.words = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device).eval()
        self.device = device

    def prompts(self, asked: list[Request]) -> list[list[int]]:
        chats = [[{"role": m.role, "content": m.content} for m in r.messages] for r in asked]
        return [
            self.words(
                self.words.apply_chat_template(c, tokenize=False, add_generation_prompt=True)
            ).input_ids
            for c in chats
        ]

    def pairs(self, asked: list[Request]) -> list[tuple[list[int], int]]:
        ends = [[*self.words(name).input_ids, self.words.eos_token_id] for name in TOPICS]
        return [(prompt + end, len(end)) for prompt in self.prompts(asked) for end in ends]

    def label(self, asked: list[Request], size: int) -> list[str]:
        """The likeliest label by the sum of its tokens' log-probabilities, ``size`` pairs at a time."""
        torch, pairs = self.torch, self.pairs(asked)
        totals: list[float] = []
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            width = max(len(ids) for ids, _ in part)
            ids = torch.full((len(part), width), self.words.pad_token_id)
            mask = torch.zeros_like(ids)
            for row, (tokens, _) in enumerate(part):
                ids[row, width - len(tokens) :] = torch.tensor(tokens)
                mask[row, width - len(tokens) :] = 1
            longest = max(length for _, length in part) + 1
            with torch.inference_mode():
                logits = self.model(
                    input_ids=ids.to(self.device),
                    attention_mask=mask.to(self.device),
                    position_ids=(mask.cumsum(-1) - 1).clamp(min=0).to(self.device),
                    logits_to_keep=longest,
                ).logits
            likely = logits[:, :-1].float().log_softmax(-1)
            picked = likely.gather(-1, ids[:, 1 - longest :, None].to(self.device))[..., 0].cpu()
            totals += [float(picked[row, -length:].sum()) for row, (_, length) in enumerate(part)]
        count = len(TOPICS)
        best = [max(range(count), key=lambda k: totals[row * count + k]) for row in range(len(asked))]
        return [TOPICS[k] for k in best]

    def write(self, asked: list[Request], size: int, tokens: int) -> None:
        """Greedy texts, ``size`` rows at a time."""
        prompts = self.prompts(asked)
        for start in range(0, len(prompts), size):
            given = self.words.pad({"input_ids": prompts[start : start + size]}, return_tensors="pt")
            with self.torch.inference_mode():
                self.model.generate(**given.to(self.device), max_new_tokens=tokens, do_sample=False)


def timed(work: Callable[[], Any], device: str) -> tuple[float, float]:
    """Seconds, and on a GPU the peak of memory in GB."""
    import torch

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    work()
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return time.perf_counter() - began, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="")
    given = parser.parse_args()
    import torch

    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    shape = given.shape or ("1b" if device == "cuda" else "tiny")
    rows, tokens = given.rows or (200 if device == "cuda" else 32), 32
    dtype = "bfloat16" if device == "cuda" else "float32"
    with tempfile.TemporaryDirectory() as place:
        build(Path(place), shape, dtype)
        backend = TransformersBackend(BackendSpec("transformers", place, options={"device": device}))
        asyncio.run(backend.open())
        plain = Plain(Path(place), device)
        labels = requests(rows, place, OneOf(LABELS, scores=True), label_scoring="joint")
        texts = requests(rows // 2, place, max_new_tokens=tokens, temperature=0)
        ways: dict[str, tuple[int, Callable[[], Any]]] = {
            "labels: ours": (rows, lambda: ours(backend, labels)),
            "labels: padded batches of 16": (rows, lambda: plain.label(labels, 16)),
            "labels: one pair at a time": (rows // 4, lambda: plain.label(labels[: rows // 4], 1)),
            "texts: ours": (len(texts), lambda: ours(backend, texts)),
            "texts: padded batches of 16": (len(texts), lambda: plain.write(texts, 16, tokens)),
            "texts: one at a time": (
                len(texts) // 4,
                lambda: plain.write(texts[: len(texts) // 4], 1, tokens),
            ),
        }
        same = [answer.parsed for answer in ours(backend, labels[:16])] == plain.label(labels[:16], 16)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, (_, work) in ways.items():
                taken[name].append(timed(work, device))
    print(f"{shape} shape, {dtype}, {device}, {rows} rows of about 300 tokens, {len(TOPICS)} labels")
    print(f"labels as the plain way's: {same}\n")
    print("| way | rows a second | peak GPU memory, GB |\n| --- | --- | --- |")
    for name, (count, _) in ways.items():
        seconds = statistics.median(seconds for seconds, _ in taken[name])
        print(f"| {name} | {count / seconds:.1f} | {max(peak for _, peak in taken[name]):.1f} |")


if __name__ == "__main__":
    main()
