"""Requests and responses of Google's Gemini API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.backends.error_mapping import HostMessage, host_message
from llm_magics.backends.openai import parsing
from llm_magics.backends.openai.log_probabilities import label_scores
from llm_magics.backends.response_formats import Places, answer_text, arguments_text
from llm_magics.core.errors import ContentFiltered, MalformedAnswer
from llm_magics.core.prompt_formats import as_messages, prompt_of
from llm_magics.core.types import Message, OneOf, Request, Response, Schema, Usage

WORDS: Mapping[str, str] = {
    "max_new_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stop": "stop_sequences",
    "seed": "seed",
}
"""Our parameters under Gemini's names; there is no repeat penalty."""

OURS = frozenset({"prompt_format", "prompt_formatting_fn"})

MOST_CHOICES = 500
TOP_LOGPROBS = 20
"""The maximum of alternatives a token in the API."""

_BLOCKED = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"}
_BLOCKED |= {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION", "JAILBREAK"}
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop"}

LESSONS: Sequence[tuple[str, tuple[str, ...], str]] = (
    (
        r"logprob",
        ("response_logprobs", "logprobs"),
        "gives no log-probabilities, so labels come without scores",
    ),
    (r"penalty", ("frequency_penalty", "presence_penalty"), "takes no frequency or presence penalty"),
    (
        r"developer instruction|system.?instruction",
        ("system_instruction",),
        "takes no system message of its own",
    ),
    (
        r"json mode|json_schema|response_?schema|response_?mime|enum mode|too many states",
        ("response_mime_type", "response_schema", "response_json_schema"),
        "serves no answer format, so answers are checked here",
    ),
    (r"top_?k", ("top_k",), "takes no top_k"),
    (r"\bseed", ("seed",), "takes no seed"),
    (r"thinking", ("thinking_config",), "takes no thinking settings"),
)

"""Words of refusals, the config fields they mean, and the note about the model."""


def lesson(message: str, config: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The fields of ``config`` that a refusal names, and a note; empty where it names none."""
    for pattern, names, sentence in LESSONS:
        if re.search(pattern, message, re.IGNORECASE) and any(name in config for name in names):
            return names, sentence
    return (), ""


def contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """User and assistant turns; the assistant is called ``model`` here."""
    return [
        {"role": "model" if role == "assistant" else "user", "parts": [{"text": text}]}
        for role, text in messages
        if role != "system"
    ]


def body(
    request: Request, refused: set[str], known: frozenset[str]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Contents and config of a request, without the config fields in ``refused``.

    ``known`` are the config fields that exist; other parameters are left out.
    """
    messages = as_messages(prompt_of(request))
    config = parameters(request.parameters, request.sample, known)
    config |= answer_format(request)
    system = "\n\n".join(text for role, text in messages if role == "system")
    turns = contents(messages)
    if system and ("system_instruction" in refused or not turns):
        first = turns[0]["parts"][0]["text"] if turns else ""
        turns[:1] = contents([Message("user", f"{system}\n\n{first}".strip())])
    elif system:
        config["system_instruction"] = system
    return turns, {name: value for name, value in config.items() if name not in refused}


def parameters(given: Mapping[str, Any], sample: int, known: frozenset[str]) -> dict[str, Any]:
    """The user's parameters as config fields; the n-th sample of a seeded prompt has seed + n."""
    config = {
        WORDS.get(name, name): value
        for name, value in given.items()
        if value is not None and name not in OURS
    }
    config = {name: value for name, value in config.items() if name in known}
    if isinstance(config.get("stop_sequences"), str):
        config["stop_sequences"] = [config["stop_sequences"]]
    if sample and isinstance(config.get("seed"), int):
        config["seed"] += sample
    return config


def unsupported(given: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    """The parameters that the API lacks."""
    return [name for name in given if name not in OURS and WORDS.get(name, name) not in known]


def answer_format(request: Request) -> dict[str, Any]:
    """The config fields that enforce the response format."""
    form = request.response_format
    if isinstance(form, Schema):
        return {"response_mime_type": "application/json", "response_json_schema": dict(form.schema)}
    if not isinstance(form, OneOf) or len(form.choices) > MOST_CHOICES:
        return {}
    names: dict[str, Any] = {"type": "STRING", "enum": list(form.names)}
    if form.many:
        several: dict[str, Any] = {"type": "ARRAY", "items": names}
        if form.max_choices:
            several["max_items"] = form.max_choices
        return {"response_mime_type": "application/json", "response_schema": several}
    config: dict[str, Any] = {"response_mime_type": "text/x.enum", "response_schema": names}
    if form.scores:
        config |= {"response_logprobs": True, "logprobs": min(TOP_LOGPROBS, max(2, len(names["enum"])))}
    return config


def response(request: Request, answer: Any, config: Mapping[str, Any], who: str) -> Response:
    """The API's answer as a Response.

    Raises:
        ContentFiltered: The prompt or the answer was blocked; the reason is named.
        MalformedAnswer: No candidate, or one that ended in an error of the model.
    """
    feedback = answer.prompt_feedback
    if feedback is not None and feedback.block_reason:
        raise _filtered(who, f"prompt ({_word(feedback.block_reason)})", feedback.block_reason_message)
    if not answer.candidates:
        raise MalformedAnswer(f"{who} answered with no candidates.")
    candidate = answer.candidates[0]
    reason = _word(candidate.finish_reason) or "STOP"
    if reason in _BLOCKED:
        raise _filtered(who, f"answer ({reason})", candidate.finish_message)
    finish = _FINISH.get(reason, reason.lower())
    text = answer_text(request.response_format, _places(candidate), finish)
    if reason not in _FINISH and not text:
        raise MalformedAnswer(
            f"{who} ended without an answer: {reason} {candidate.finish_message or ''}".strip()
        )
    parsed, scores = _read(request, text, candidate, config)
    return Response(
        text=text,
        parsed=parsed,
        scores=scores,
        method="logprobs" if scores else "",
        finish_reason=finish,
        usage=_usage(answer.usage_metadata),
        model=answer.model_version or request.model,
        request_id=answer.response_id or "",
    )


def _filtered(who: str, what: str, more: str | None) -> ContentFiltered:
    said = f": {more}" if more else "."
    return ContentFiltered(
        f"{who} blocked the {what}{said}",
        hint="The other rows go on; safety_settings=... changes what is blocked.",
    )


def _places(candidate: Any) -> Places:
    """The parts of an answer: its texts, the model's thoughts, and what functions are called with."""
    parts = (candidate.content.parts if candidate.content else None) or ()
    content = "".join(part.text for part in parts if part.text and not part.thought)
    thinking = "".join(part.text for part in parts if part.text and part.thought)
    calls = tuple(arguments_text(part.function_call.args) for part in parts if part.function_call)
    return Places(content, thinking, calls)


def _read(
    request: Request, text: str, candidate: Any, config: Mapping[str, Any]
) -> tuple[Any, dict[str, float] | None]:
    """The enforced value, and scores where there are log-probabilities."""
    form = request.response_format
    if isinstance(form, OneOf) and not form.many:
        label = text.strip() if "response_schema" in config and text.strip() in form.names else None
        return label, _scores(candidate, form.names) if form.scores else None
    if "response_schema" not in config and "response_json_schema" not in config:
        return None, None
    try:
        value = json.loads(text)
    except ValueError:  # cut by the token limit: the task says so
        return None, None
    if isinstance(form, OneOf):  # the same checks as for the object that others answer with
        return parsing.parsed(form, json.dumps({"labels": value})), None
    return value, None


def _scores(candidate: Any, names: Sequence[str]) -> dict[str, float] | None:
    """Probabilities of the labels from the tokens' alternatives."""
    found = candidate.logprobs_result
    if found is None or not found.chosen_candidates:
        return None
    beside = found.top_candidates or [None] * len(found.chosen_candidates)
    entries = [
        {**_entry(chosen), "top_logprobs": [_entry(other) for other in (top.candidates or ())] if top else []}
        for chosen, top in zip(found.chosen_candidates, beside, strict=False)
    ]
    return label_scores(entries, names)


def _entry(token: Any) -> dict[str, Any]:
    return {"token": token.token or "", "logprob": token.log_probability}


def _usage(meta: Any) -> Usage:
    if meta is None:
        return Usage()
    return Usage(
        input_tokens=meta.prompt_token_count or 0,
        output_tokens=(meta.candidates_token_count or 0) + (meta.thoughts_token_count or 0),
        cached_input_tokens=meta.cached_content_token_count or 0,
    )


def _word(reason: Any) -> str:
    """An enum's word, or the plain text of one that this SDK doesn't know yet."""
    return str(getattr(reason, "value", reason) or "").upper()


def said(details: Any, message: str, status: str) -> HostMessage:
    """The message of an error body, with the wait it asks for."""
    told = host_message(details)
    return HostMessage(message=message, code=f"{status} {told.code}", wait=told.wait)
