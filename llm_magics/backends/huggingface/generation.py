"""Batched generation: left padding, one set of sampling parameters a batch, stops, early end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, NamedTuple

from llm_magics.backends.base import Listener
from llm_magics.backends.huggingface.loading import Writer
from llm_magics.backends.huggingface.prompts import Prompt

WORDS: Mapping[str, str] = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repeat_penalty": "repetition_penalty",
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "num_beams": "num_beams",
    "do_sample": "do_sample",
    "length_penalty": "length_penalty",
}
"""Our parameters under transformers' names; those that need more than a name are in ``PENALTIES`` and
below.
"""

PENALTIES = ("frequency_penalty", "presence_penalty")

PARAMETERS = frozenset(
    {*WORDS, *PENALTIES, "max_new_tokens", "max_tokens", "stop", "seed", "thinking", "label_scoring"}
)


class Written(NamedTuple):
    """One answer and how it ended; ``tokens`` it took."""

    text: str
    finish: str
    tokens: int


def write(
    writer: Writer,
    prompts: Sequence[Prompt],
    given: Mapping[str, Any],
    most: int,
    stopped: Event,
    heard: Listener | None = None,
) -> list[Written]:
    """One answer a prompt, in order, all with the same parameters. Ends early once ``stopped`` is set.

    ``heard`` is called with the first prompt's text so far.
    """
    from transformers import LogitsProcessorList, StoppingCriteriaList

    torch = writer.torch
    if given.get("seed") is not None:
        torch.manual_seed(int(given["seed"]))
    width = max(map(len, prompts))
    batch = writer.tokenizer.pad({"input_ids": [prompt.ids for prompt in prompts]}, return_tensors="pt").to(
        writer.device
    )
    stops = _stops(given)
    more: dict[str, Any] = {"stop_strings": stops, "tokenizer": writer.tokenizer} if stops else {}
    with torch.inference_mode():
        out = writer.model.generate(
            **batch,
            **settings(given),
            **more,
            max_new_tokens=most,
            pad_token_id=writer.tokenizer.pad_token_id,
            logits_processor=LogitsProcessorList(_penalties(writer, given, width)),
            stopping_criteria=StoppingCriteriaList([_stopper(torch, stopped, _teller(writer, width, heard))]),
        )
    ends = _ends(writer)
    return [_read(writer, row[width:].tolist(), ends, stops, most) for row in out]


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling arguments of transformers.

    Temperature 0 is greedy, any sampling parameter turns sampling on.
    """
    made = {WORDS[name]: value for name, value in given.items() if name in WORDS and value is not None}
    if made.get("temperature") == 0:
        made.pop("temperature")
        return {name: value for name, value in made.items() if name not in _SAMPLING} | {"do_sample": False}
    if _SAMPLING & made.keys():
        made.setdefault("do_sample", True)
    return made


_SAMPLING = {"temperature", "top_k", "top_p", "min_p", "typical_p"}


def _stops(given: Mapping[str, Any]) -> list[str]:
    stop = given.get("stop")
    return [stop] if isinstance(stop, str) else [str(each) for each in stop or () if str(each)]


def _teller(writer: Writer, width: int, heard: Listener | None) -> Callable[[Any], object]:
    """Calls ``heard`` with the first row's text behind the prompt."""

    def tell(ids: Any) -> None:
        if heard is not None:
            text = writer.tokenizer.decode(ids[0][width:].tolist(), skip_special_tokens=True)
            heard(text.rstrip("\ufffd"))  # a letter cut in two

    return tell


def _stopper(torch: Any, stopped: Event, tell: Callable[[Any], object]) -> Any:
    """A stopping criterion that ends every row once nobody waits for them, and reports each step."""

    def criterion(ids: Any, scores: Any, **_: Any) -> Any:
        del scores
        tell(ids)
        return torch.full((ids.shape[0],), stopped.is_set(), dtype=torch.bool, device=ids.device)

    return criterion


def _penalties(writer: Writer, given: Mapping[str, Any], width: int) -> list[Any]:
    """OpenAI's two penalties: on how often, and on whether, a token is in the answer so far."""
    often, once = (float(given.get(name) or 0) for name in PENALTIES)
    if not often and not once:
        return []

    def process(ids: Any, scores: Any) -> Any:
        answer = ids[:, width:]
        counts = scores.new_zeros(scores.shape)
        counts.scatter_add_(1, answer, scores.new_ones(answer.shape))
        return scores - often * counts - once * (counts > 0).to(scores.dtype)

    del writer
    return [process]


def _ends(writer: Writer) -> set[int]:
    """The tokens that end an answer."""
    ends = writer.model.generation_config.eos_token_id
    several = ends if isinstance(ends, list) else [ends]
    return {end for end in (*several, writer.tokenizer.eos_token_id) if end is not None}


def _read(writer: Writer, tokens: list[int], ends: set[int], stops: Sequence[str], most: int) -> Written:
    """The answer's text up to its end token or stop."""
    place = next((at for at, token in enumerate(tokens) if token in ends), None)
    own = tokens if place is None else tokens[:place]
    text = writer.tokenizer.decode(own, skip_special_tokens=True)
    cuts = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    if cuts:
        return Written(text[: min(cuts)], "stop", len(own))
    finished = place is not None or len(tokens) < most
    return Written(text, "stop" if finished else "length", len(own) + (place is not None))
