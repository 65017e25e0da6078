"""Requests as work items for the workers, and their results as responses."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_magics.backends.base import listener
from llm_magics.backends.gguf.embeddings import label as label_by_nearness
from llm_magics.backends.gguf.llama.prefix import common
from llm_magics.backends.gguf.llama.queue import (
    GenerationItem,
    GenerationResult,
    ScoringItem,
    ScoringResult,
    WorkItem,
)
from llm_magics.backends.gguf.loaded_model import LocalModel, Prompt
from llm_magics.backends.in_kernel import json_loops
from llm_magics.backends.in_kernel.label_trie import (
    LINE_END,
    NO,
    YES,
    Branches,
    Trie,
    as_continued,
    label_branches,
    log_sum_exp,
    over_half,
    path_branches,
    question,
)
from llm_magics.backends.in_kernel.truncation import with_truncation
from llm_magics.core.errors import NotFound, Unsupported, UsageError
from llm_magics.core.prompt_formats import is_before_label, is_completion
from llm_magics.core.types import OneOf, Request, Response, Schema, Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_TOKENS = 512
"""Output tokens of an answer where the user set no ``max_new_tokens``."""
SCORINGS = ("constrained", "joint")
MANY = ("yes_no", "choice")


async def answer(model: LocalModel, request: Request) -> Response:
    """Answer a text, label or JSON request."""
    wanted = request.response_format
    if not model.writes:
        if isinstance(wanted, OneOf):
            return await label_by_nearness(model, request)
        raise Unsupported(
            f"{model.path.name} only embeds.", hint="It can embed, label and find concepts; not write."
        )
    if not isinstance(wanted, OneOf):
        return await _text(model, request)
    if not wanted.many:
        return await _label(model, request, wanted)
    if _chosen(request, "multi_label", MANY) == "choice":
        return await _list(model, request, wanted)
    return await _labels(model, request, wanted)


async def _done(model: LocalModel, work: WorkItem) -> Any:
    """Queue the item and wait for its answer; cancelling the wait drops the item."""
    model.scheduler.submit(work)
    return await asyncio.wrap_future(work.future)


def _chosen(request: Request, name: str, known: tuple[str, ...]) -> str:
    value = str(request.parameters.get(name, known[0]))
    if value not in known:
        raise NotFound.among(name, value, known)
    return value


# -- one label


@dataclass(frozen=True)
class Labels:
    """The labels of a task as a trie behind any row of one prompt."""

    trie: Trie
    branches: Branches
    longest: int
    joint: bool

    def read(self, number: int, logits: NDArray[Any]) -> NDArray[Any]:
        """The log-probabilities of the children of the node behind output ``number``."""
        return self.trie.read(self.branches.order[number], logits, self.joint)

    def probabilities(self, scored: ScoringResult) -> list[float]:
        """Each label's probability, in the labels' order."""
        pieces = {self.branches.order[number]: piece for number, piece in scored.pieces.items()}
        return [math.exp(total) for total in self.trie.totals(pieces)]


async def _label(model: LocalModel, request: Request, wanted: OneOf) -> Response:
    joint = _chosen(request, "label_scoring", SCORINGS) == "joint"
    prompt = model.prompter.prompt(request, model.context - RESERVE)
    labels = _label_trie(model, prompt, request, wanted, joint)
    if len(prompt.tokens) + labels.longest > model.context:
        prompt = model.prompter.prompt(request, model.context - labels.longest)
    scored = await _done(model, ScoringItem(prompt.group, labels.branches.behind(prompt.tokens), labels.read))
    scores = dict(zip(wanted.names, labels.probabilities(scored), strict=True))
    best = max(scores, key=scores.__getitem__)
    return _response(model, best, prompt, scored.reused, parsed=best, scores=scores, method="trie")


RESERVE = 32
"""Tokens reserved for a label before the labels' own length is known."""


def _label_trie(model: LocalModel, prompt: Prompt, request: Request, wanted: OneOf, joint: bool) -> Labels:
    """The trie of a task's labels, made once: it depends on how the prompt ends, not on the row."""
    continued = is_completion(request.parameters)
    behind_word = is_before_label(request.parameters)
    key = (wanted.names, joint, continued, behind_word, prompt.text[-RESERVE:])
    if key not in model.tries:
        end = _label_end(model, continued)
        spelt = [as_continued(name) if behind_word else name for name in wanted.names]
        paths = [[*model.prompter.label_tokens(prompt.text, name), *end] for name in spelt]
        trie = Trie(paths)
        model.tries[key] = Labels(trie, label_branches(trie, joint), max(map(len, paths)), joint)
    found: Labels = model.tries[key]
    return found


def _label_end(model: LocalModel, continued: bool) -> list[int]:
    """What follows a label: the end of the line in a text, the end of the turn in a conversation."""
    if continued:
        return [int(token) for token in model.model.tokens(LINE_END, start=False, special=False)]
    return [model.model.end] if model.model.end >= 0 else []


# -- several labels


async def _labels(model: LocalModel, request: Request, wanted: OneOf) -> Response:
    """Several labels: a yes/no question a label behind the same row, all in one tree."""
    questions = [question(choice.name) for choice in wanted.choices]
    longest = max(questions, key=len)
    first = model.prompter.prompt(request, model.context - RESERVE, more=longest)
    request = first.shown(request)
    room = model.context
    prompts = [model.prompter.prompt(request, room, more=question).tokens for question in questions]
    shared = min(min(common(prompts[0], other), len(other) - 1) for other in prompts)
    branches = path_branches([prompt[shared:].tolist() for prompt in prompts])
    yes, no = _yes_and_no(model, first.text)

    def read(_: int, logits: NDArray[Any]) -> float:
        return log_sum_exp(logits[yes]) - log_sum_exp(logits[no])

    scored = await _done(model, ScoringItem(first.group, branches.behind(prompts[0][:shared]), read))
    odds = {branches.order[number]: piece for number, piece in scored.pieces.items()}
    scores = {name: 1 / (1 + math.exp(-odds[place])) for place, name in enumerate(wanted.names)}
    picked = over_half(scores, wanted.max_choices)
    return _response(
        model, json.dumps(picked), first, scored.reused, parsed=picked, scores=scores, method="yes/no"
    )


def _yes_and_no(model: LocalModel, prompt: str) -> tuple[list[int], list[int]]:
    """The tokens that begin a yes and a no, in all spellings."""
    key = ("yes", prompt[-RESERVE:])
    if key not in model.tries:
        yes, no = (
            sorted({model.prompter.label_tokens(prompt, spelled)[0] for spelled in spellings})
            for spellings in (YES, NO)
        )
        both = set(yes) & set(no)  # a lone space, in some vocabularies
        model.tries[key] = ([t for t in yes if t not in both], [t for t in no if t not in both])
    found: tuple[list[int], list[int]] = model.tries[key]
    return found


async def _list(model: LocalModel, request: Request, wanted: OneOf) -> Response:
    """The list of labels generated under a grammar that allows nothing else; without probabilities."""
    names = " | ".join(
        json.dumps(json.dumps(name, ensure_ascii=False), ensure_ascii=False) for name in wanted.names
    )
    most = wanted.max_choices or len(wanted.names)
    more = f'(", " label){{0,{most - 1}}}' if most > 1 else ""
    grammar = f'root ::= "[]" | "[" label {more} "]"\nlabel ::= {names}'
    parameters = {**request.parameters, "temperature": 0.0, "grammar": grammar}
    written = await _text(model, replace(request, parameters=parameters))
    try:
        said = json.loads(written.text)
    except ValueError:
        return written
    return replace(written, parsed=[name for name in wanted.names if name in said], method="grammar")


# -- text and JSON


async def _text(model: LocalModel, request: Request) -> Response:
    given = request.parameters
    most = int(given.get("max_new_tokens") or given.get("max_tokens") or NEW_TOKENS)
    thinking = bool(given.get("thinking", False)) and not isinstance(request.response_format, Schema)
    room = max(model.context - most, model.context // 2)
    prompt = model.prompter.prompt(request, room, thinking=thinking)
    most = max(min(most, model.context - len(prompt.tokens)), 1)
    work = GenerationItem(
        prompt.group,
        prompt.tokens,
        most,
        _sampling(request),
        _stops(given.get("stop")),
        _grammar(model, request),
        listener(request),
        isinstance(request.response_format, Schema),
    )
    written: GenerationResult = await _done(model, work)
    made = _response(
        model, written.text, prompt, written.reused, finish=written.finish, output=written.tokens
    )
    if not isinstance(request.response_format, Schema):
        return made
    notes = (*made.notes, json_loops.NOTE) if written.shortened else made.notes
    return replace(made, parsed=_parsed(written), notes=notes)


def _sampling(request: Request) -> dict[str, Any]:
    """The row's sampling parameters. Without a seed the request's key gives one: same row, same text."""
    seed = int(request.key[:8], 16)
    fixed = {"temperature": 0.0} if isinstance(request.response_format, Schema) else {}
    return {
        "seed": seed,
        **fixed,
        **{name: value for name, value in request.parameters.items() if value is not None},
    }


def _stops(stop: Any) -> tuple[bytes, ...]:
    several = [stop] if isinstance(stop, str) else list(stop or ())
    return tuple(str(one).encode() for one in several if str(one))


def _grammar(model: LocalModel, request: Request) -> str:
    """The GBNF grammar an answer must follow, empty for none."""
    wanted = request.response_format
    if not isinstance(wanted, Schema):
        return str(request.parameters.get("grammar") or "")
    if wanted.canonical not in model.grammars:
        from llama_cpp.llama_grammar import json_schema_to_gbnf

        try:
            model.grammars[wanted.canonical] = json_schema_to_gbnf(json.dumps(_bare(wanted.schema)))
        except Exception as error:  # noqa: BLE001 - its converter raises whatever it stumbles over
            raise UsageError(f"llama.cpp can't make a grammar of this JSON schema: {error}") from None
    return model.grammars[wanted.canonical]


def _bare(schema: Any) -> Any:
    """The schema without the types beside an ``enum``, which llama.cpp's converter would use instead."""
    if isinstance(schema, Mapping):
        known = {name: _bare(value) for name, value in schema.items()}
        listed = isinstance(known.get("enum"), list)
        return {name: value for name, value in known.items() if not (listed and name == "type")}
    return [_bare(value) for value in schema] if isinstance(schema, list | tuple) else schema


def _parsed(written: GenerationResult) -> Any:
    """The JSON value; None where the text was cut off."""
    try:
        return json.loads(written.text)
    except ValueError:
        return None


def _response(
    model: LocalModel,
    text: str,
    prompt: Prompt,
    reused: int,
    *,
    finish: str = "stop",
    output: int = 0,
    **fields: Any,
) -> Response:
    usage = Usage(len(prompt.tokens), output, min(reused, len(prompt.tokens)), cost=0.0)
    made = Response(text=text, finish_reason=finish, usage=usage, **fields)
    return with_truncation(made, prompt.cut, model.context)
