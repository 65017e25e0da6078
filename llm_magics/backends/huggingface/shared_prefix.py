"""Logits at the nodes of a label trie with nothing evaluated twice.

The beginning that all prompts of a run share is evaluated once and kept with the model; a row's own text is
evaluated once, behind it; the paths of the labels are evaluated behind both, side by side.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any, NamedTuple

from llm_magics.backends.huggingface.loading import Writer
from llm_magics.backends.huggingface.prompts import Prompt
from llm_magics.backends.in_kernel.label_trie import Branches, paths

LEAST = 16
"""Tokens of a common beginning that are worth keeping."""
MOST_CELLS = 32_768
"""Tokens of one forward pass, padding and the copies for label paths included."""


class Tail(NamedTuple):
    """The tokens of one label path behind the prompt, and the outputs there: output number by place."""

    tokens: Sequence[int]
    outputs: dict[int, int]


def can_branch(writer: Writer) -> bool:
    """Whether every layer keeps all keys and values, so that a copy of them can be continued.

    Padding lies between the common beginning and a row's text. A layer with a sliding window would count it
    as text, and a recurrent layer would read it.
    """
    config = writer.model.config
    config = getattr(config, "text_config", config)
    if getattr(writer.model, "_is_stateful", False):
        return False
    if kinds := getattr(config, "layer_types", None):
        return set(kinds) == {"full_attention"}
    return not (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True))


def node_logits(
    writer: Writer, prompts: Sequence[Prompt], branches: Branches
) -> Iterator[tuple[int, int, Any]]:
    """The logits at the nodes behind each prompt: (row, output, logits)."""
    root, tails = _tails(branches)
    start = _common([list(prompt.ids) for prompt in prompts])
    beginning = _beginning(writer, list(prompts[0].ids[:start])) if start >= LEAST else None
    start = start if beginning is not None else 0
    deepest = max((len(tail.tokens) for tail in tails), default=0)
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    while order:
        width = len(prompts[order[0]]) + deepest
        size = max(1, MOST_CELLS // (width * max(1, len(tails))))
        rows, order = order[:size], order[size:]
        batch = _Batch(writer, beginning, start, [list(prompts[row].ids[start:]) for row in rows])
        if root is not None:
            yield from ((row, root, batch.last[i]) for i, row in enumerate(rows))
        if tails:
            for i, tail, place, logits in batch.behind(tails):
                yield rows[i], tails[tail].outputs[place], logits


def _tails(branches: Branches) -> tuple[int | None, list[Tail]]:
    """The output at the prompt's end, and the paths behind it that have outputs of their own."""
    import numpy as np

    root, tails = None, []
    for tokens, outputs in paths(branches.behind(np.zeros(1, np.int32))):
        root = outputs.get(0, root)
        inner = {place - 1: output for place, output in outputs.items() if place}
        if inner:
            tails.append(Tail(tokens[1 : max(inner) + 2].tolist(), inner))
    return root, tails


def _common(sequences: Sequence[list[int]]) -> int:
    """The length of the beginning that all share, each keeping a token of its own."""
    first, last = min(sequences), max(sequences)
    shared = sum(
        1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    )
    return min(shared, min(map(len, sequences)) - 1)


def _beginning(writer: Writer, tokens: list[int]) -> Any:
    """The keys and values of a beginning; the model keeps those of the newest one."""
    from transformers import DynamicCache

    if writer.beginning is None or writer.beginning[0] != tokens:
        torch, cache = writer.torch, DynamicCache()
        ids = torch.tensor([tokens], device=writer.device)
        with torch.inference_mode():
            writer.model(input_ids=ids, use_cache=True, logits_to_keep=1, **{_cache_word(writer): cache})
        writer.beginning = (tokens, cache)
    return writer.beginning[1]


def _cache_word(writer: Writer) -> str:
    """The argument of the keys and values, which transformers renamed in 5.x."""
    return "cache" if "cache" in signature(writer.model.forward).parameters else "past_key_values"


class _Batch:
    """Rows evaluated behind a common beginning of ``start`` tokens, padded on the left of their own text.

    ``last`` has the logits at the end of each prompt.
    """

    def __init__(self, writer: Writer, beginning: Any, start: int, rows: list[list[int]]) -> None:
        from transformers import DynamicCache

        self.writer, torch = writer, writer.torch
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), writer.tokenizer.pad_token_id or 0, dtype=torch.long)
        self.mask = torch.ones((len(rows), start + width), dtype=torch.long)
        for i, tokens in enumerate(rows):
            ids[i, width - len(tokens) :] = torch.tensor(tokens)
            self.mask[i, start : start + width - len(tokens)] = 0
        self.cache = DynamicCache() if beginning is None else copy.deepcopy(beginning)
        if beginning is not None:
            self.cache.batch_repeat_interleave(len(rows))
        self.lengths = self.mask.sum(-1)
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, start:]
        self.last = self._forward(ids, self.mask, positions, keep=1)[:, -1]

    def behind(self, tails: Sequence[Tail]) -> Iterator[tuple[int, int, int, Any]]:
        """The logits at the places of the tails behind each row: (row, tail, place, logits)."""
        torch, rows, count = self.writer.torch, len(self.mask), len(tails)
        depth = max(len(tail.tokens) for tail in tails)
        ids = torch.zeros((count, depth), dtype=torch.long)
        filled = torch.zeros((count, depth), dtype=torch.long)
        for number, tail in enumerate(tails):
            ids[number, : len(tail.tokens)] = torch.tensor(tail.tokens)
            filled[number, : len(tail.tokens)] = 1
        self.cache.batch_repeat_interleave(count)
        mask = torch.cat([self.mask.repeat_interleave(count, 0), filled.repeat(rows, 1)], dim=1)
        positions = self.lengths.repeat_interleave(count)[:, None] + torch.arange(depth)[None]
        logits = self._forward(ids.repeat(rows, 1), mask, positions, keep=depth)
        for i, (number, tail) in itertools.product(range(rows), enumerate(tails)):
            for place in tail.outputs:
                yield i, number, place, logits[i * count + number, place]

    def _forward(self, ids: Any, mask: Any, positions: Any, keep: int) -> Any:
        writer = self.writer
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        with writer.torch.inference_mode():
            made = writer.model(
                **{name: value.to(writer.device) for name, value in given.items()},
                use_cache=True,
                logits_to_keep=keep,
                **{_cache_word(writer): self.cache},
            )
        return made.logits.float().cpu().numpy()
