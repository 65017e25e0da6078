"""Requests and responses of Ollama's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.backends.openai import dialects, parsing
from llm_magics.backends.openai.log_probabilities import FEW, label_scores
from llm_magics.backends.response_formats import Places, answer_text, arguments_text
from llm_magics.core.errors import MalformedAnswer
from llm_magics.core.prompt_formats import message_dicts, prompt_of
from llm_magics.core.types import OneOf, Request, Response, ResponseFormat, Schema, Usage

WORDS: Mapping[str, str] = {"max_new_tokens": "num_predict", "max_tokens": "num_predict"}
"""Our parameters under Ollama's names."""

OPTIONS = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop", "num_ctx", "num_predict"),
        *("repeat_penalty", "repeat_last_n", "frequency_penalty", "presence_penalty", "penalize_newline"),
        *(
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "tfs_z",
            "num_keep",
            "num_batch",
            "num_gpu",
            "main_gpu",
        ),
        *("num_thread", "use_mmap", "use_mlock", "numa", "low_vram", "vocab_only", "draft_num_predict"),
    }
)
"""The options of Ollama's Modelfile reference."""

BESIDE = frozenset({"keep_alive", "think"})
"""Fields beside ``options`` in a request."""

OURS = frozenset({"prompt_format", "prompt_formatting_fn"})

TOP_LOGPROBS = 20
USUAL_CONTEXT = 4096
"""The context size in tokens where neither ``num_ctx`` nor the server's setting gives one."""

_FINISH = {"stop": "stop", "length": "length", "": "stop"}


FORMAT = "format"
TOOL_CALL = "a tool call"
PLAIN = dialects.PLAIN


def body(
    request: Request, model: str, who: str, dialect: str = FORMAT
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """``(route, body, notes)`` of a request: a chat, or raw text that bypasses the model's template.

    ``dialect`` asks for the response format.
    """
    whole: dict[str, Any] = {"model": request.model or model, "stream": False, "truncate": False}
    options, beside = parameters(request.parameters, request.sample)
    whole |= beside
    if options:
        whole["options"] = options
    prompt = prompt_of(request)
    whole |= answer_format(request.response_format, FORMAT if isinstance(prompt, str) else dialect)
    notes = unknown(request.parameters, who)
    if isinstance(prompt, str):
        return "/api/generate", {**whole, "prompt": prompt, "raw": True}, notes + long(prompt, options)
    text = "\n".join(content for _, content in prompt)
    return "/api/chat", {**whole, "messages": message_dicts(prompt)}, notes + long(text, options)


def parameters(given: Mapping[str, Any], sample: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(options, fields beside them)``; the n-th sample of a seeded prompt has seed + n."""
    options = {
        WORDS.get(name, name): value
        for name, value in given.items()
        if value is not None and name not in OURS | BESIDE
    }
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    if sample and isinstance(options.get("seed"), int):
        options["seed"] += sample
    return options, {name: given[name] for name in BESIDE if given.get(name) is not None}


def unknown(given: Mapping[str, Any], who: str) -> tuple[str, ...]:
    """A note for each parameter that is no option of Ollama."""
    names = [name for name in given if WORDS.get(name, name) not in OPTIONS | BESIDE | OURS]
    return tuple(f"{who}: Ollama lists no option {name}; it was sent all the same." for name in names)


def long(text: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """A warning where a prompt probably needs a larger context than the server's default."""
    if "num_ctx" in options or len(text) < 3 * USUAL_CONTEXT:  # three characters a token, to be safe
        return ()
    return (
        f"prompts may be longer than Ollama's usual {USUAL_CONTEXT:,} tokens; if rows fail: -p num_ctx=16384",
    )


def answer_format(form: ResponseFormat, dialect: str = FORMAT) -> dict[str, Any]:
    """``format``, or a tool with the schema, and log-probabilities."""
    if not isinstance(form, OneOf | Schema):
        return {}
    schema = dialects.label_schema(form) if isinstance(form, OneOf) else dict(form.schema)
    whole: dict[str, Any] = {}
    if dialect == FORMAT:
        whole[FORMAT] = schema
    elif dialect == TOOL_CALL:
        function = {"name": dialects.TOOL, "description": "Give the answer.", "parameters": schema}
        whole["tools"] = [{"type": "function", "function": function}]
    if isinstance(form, OneOf) and not form.many:
        whole |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS if form.scores else FEW}
    return whole


def embed_body(model: str, texts: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The body of ``/api/embed``; ``truncate: false`` refuses what does not fit."""
    whole: dict[str, Any] = {"model": model, "input": list(texts), "truncate": False}
    options, beside = parameters({name: value for name, value in given.items() if name != "dimensions"}, 0)
    whole |= {name: value for name, value in beside.items() if name == "keep_alive"}
    if given.get("dimensions"):
        whole["dimensions"] = given["dimensions"]
    return {**whole, "options": options} if options else whole


def response(
    request: Request, whole: Mapping[str, Any], host: str, latency: float, notes: tuple[str, ...]
) -> Response:
    """The server's answer as a Response; raises MalformedAnswer where it has no message."""
    message = whole.get("message")
    if not isinstance(message, Mapping) and "response" not in whole:
        raise MalformedAnswer(f"{host} answered with no text.", hint="Is it an Ollama server?")
    reason = str(whole.get("done_reason") or "")
    finish = _FINISH.get(reason, reason)
    text = answer_text(request.response_format, _places(whole, message), finish)
    parsed = parsing.parsed(request.response_format, text)
    scores = _scores(request.response_format, whole.get("logprobs"))
    return Response(
        text=text,
        parsed=parsed,
        scores=scores,
        method="logprobs" if scores else "",
        finish_reason=finish,
        usage=Usage(int(whole.get("prompt_eval_count") or 0), int(whole.get("eval_count") or 0)),
        model=str(whole.get("model") or request.model),
        latency=latency,
        notes=notes,
    )


def _places(whole: Mapping[str, Any], message: Any) -> Places:
    """The parts of a chat's message, or of a raw prompt's response."""
    if not isinstance(message, Mapping):
        return Places(_string(whole.get("response")), _string(whole.get("thinking")))
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls if isinstance(call, Mapping)] if calls else []
    arguments = [arguments_text(each.get("arguments")) for each in functions if isinstance(each, Mapping)]
    return Places(_string(message.get("content")), _string(message.get("thinking")), tuple(arguments))


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _scores(form: ResponseFormat, entries: Any) -> dict[str, float] | None:
    if not isinstance(form, OneOf) or form.many or not isinstance(entries, list):
        return None
    return label_scores([entry for entry in entries if isinstance(entry, Mapping)], form.names)
