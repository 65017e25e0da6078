"""Exact label scores: the paths of the label trie behind every prompt, in padded batches.

Where the model's memory can branch, the beginning that all prompts share is evaluated once and kept for the
next batch, and each row's text once for all its labels. Else every path is evaluated in full.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magics.backends.huggingface import shared_prefix
from llm_magics.backends.huggingface.loading import Writer
from llm_magics.backends.huggingface.prompts import Prompt, Prompter
from llm_magics.backends.in_kernel.label_trie import (
    NO,
    YES,
    Branches,
    Trie,
    label_branches,
    log_sum_exp,
    paths,
)


@dataclass(frozen=True)
class Labels:
    """The labels of a task as a trie; ``joint`` scores them over the whole vocabulary."""

    trie: Trie
    branches: Branches
    joint: bool

    @classmethod
    def of(cls, tokens: Sequence[Sequence[int]], end: Sequence[int | None], joint: bool) -> Labels:
        """The trie of the labels' tokens; ``end`` follows each, so that no label begins another."""
        trie = Trie([[*each, *(-1 if token is None else token for token in end)] for each in tokens])
        return cls(trie, label_branches(trie, joint), joint)

    @property
    def longest(self) -> int:
        """Tokens of the longest path that is evaluated."""
        return int(self.branches.depth.max()) + 1 if len(self.branches.depth) else 0


def scores(writer: Writer, prompts: Sequence[Prompt], labels: Labels) -> list[list[float]]:
    """Each prompt's label probabilities, in the labels' order."""
    read = shared_prefix.node_logits if shared_prefix.can_branch(writer) else _in_full
    found: list[dict[int, Any]] = [{} for _ in prompts]
    for row, output, logits in read(writer, prompts, labels.branches):
        node = labels.branches.order[output]
        found[row][node] = labels.trie.read(node, logits, labels.joint)
    return [[math.exp(total) for total in labels.trie.totals(each)] for each in found]


def _in_full(writer: Writer, prompts: Sequence[Prompt], branches: Branches) -> Iterator[tuple[int, int, Any]]:
    """The logits at each prompt's nodes, every path behind its whole prompt: (row, output, logits)."""
    import numpy as np

    sequences: list[tuple[Any, dict[int, int]]] = []
    owner: list[int] = []
    for row, prompt in enumerate(prompts):
        for found in paths(branches.behind(np.asarray(prompt.ids, np.int32))):
            if found[1] or not sequences:
                sequences.append(found)
                owner.append(row)
    for number, logits in _evaluate(writer, sequences):
        for place, row_logits in logits.items():
            yield owner[number], sequences[number][1][place], row_logits


def odds(writer: Writer, prompts: Sequence[Prompt], yes: list[int], no: list[int]) -> list[float]:
    """The probability of a yes against a no as each prompt's next token."""
    import numpy as np

    sequences = [(np.asarray(prompt.ids, np.int32), {len(prompt) - 1: 0}) for prompt in prompts]
    found = [0.5] * len(prompts)
    for number, logits in _evaluate(writer, sequences):
        row = logits[len(prompts[number]) - 1]
        found[number] = 1 / (1 + math.exp(log_sum_exp(row[no]) - log_sum_exp(row[yes])))
    return found


def yes_and_no(prompter: Prompter, tail: str) -> tuple[list[int], list[int]]:
    """The tokens that begin a yes and a no behind ``tail``, in all spellings."""
    yes, no = ({prompter.label(tail, text)[0] for text in spellings} for spellings in (YES, NO))
    return sorted(yes - no), sorted(no - yes)


def _evaluate(writer: Writer, sequences: Sequence[tuple[Any, dict[int, int]]]) -> Any:
    """``(number, {place: its row of logits})`` of every sequence, longest first, in padded batches."""
    order = sorted(range(len(sequences)), key=lambda number: -len(sequences[number][0]))
    while order:
        width = len(sequences[order[0]][0])
        size = max(1, shared_prefix.MOST_CELLS // max(width, 1))
        yield from _forward(writer, sequences, order[:size], width)
        order = order[size:]


def _forward(writer: Writer, sequences: Sequence[Any], chosen: Sequence[int], width: int) -> Any:
    torch = writer.torch
    pad = writer.tokenizer.pad_token_id or 0
    ids = torch.full((len(chosen), width), pad, dtype=torch.long)
    mask = torch.zeros((len(chosen), width), dtype=torch.long)
    for row, number in enumerate(chosen):
        tokens = sequences[number][0]
        ids[row, width - len(tokens) :] = torch.as_tensor(tokens.astype("int64"))
        mask[row, width - len(tokens) :] = 1
    keep = max(len(sequences[n][0]) - place for n in chosen for place in sequences[n][1])
    given = {
        "input_ids": ids.to(writer.device),
        "attention_mask": mask.to(writer.device),
        "position_ids": (mask.cumsum(-1) - 1).clamp(min=0).to(writer.device),
    }
    with torch.inference_mode():
        logits = writer.model(**given, logits_to_keep=keep, use_cache=False).logits.float().cpu().numpy()
    for row, number in enumerate(chosen):
        length, places = len(sequences[number][0]), sequences[number][1]
        yield number, {place: logits[row, keep - (length - place)] for place in places}
