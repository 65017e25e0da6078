"""The OpenAI-format host of the loopback server: routes, key, quotas, refusals, and faults as responses."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llm_magics.testing import answers
from llm_magics.testing.cases import answer_rows
from llm_magics.testing.faults import Fault, http_error_of
from llm_magics.testing.http_server import Received, Reply

CHAT_FIELDS = frozenset(
    {"model", "messages", "response_format", "max_tokens", "max_completion_tokens", "temperature", "top_p"}
    | {"frequency_penalty", "presence_penalty", "stop", "seed", "logprobs", "top_logprobs", "n", "stream"}
    | {"user", "logit_bias", "metadata", "store", "reasoning_effort", "tools", "tool_choice", "verbosity"}
    | {"input", "prompt", "dimensions", "encoding_format"}
    | {"parallel_tool_calls", "service_tier", "prompt_cache_key", "stream_options"}
)
"""The fields of OpenAI's own chat endpoint; ``strict`` refuses any other."""

HTML_PAGE = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"


class Quota:
    """A bucket of ``per_minute``, full at the start and refilled evenly."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.level = per_minute
        self.at = time.monotonic()

    def take(self, amount: float) -> float:
        """Pay; 0, or the seconds to wait until it could be paid (nothing is taken then)."""
        now = time.monotonic()
        self.level = min(self.per_minute, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.level >= amount:
            self.level -= amount
            return 0.0
        return (amount - self.level) * 60 / self.per_minute

    @property
    def reset(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.per_minute - self.level) * 60 / self.per_minute


@dataclass
class Host:
    """The behaviour of one server; ``Server`` documents the fields."""

    answer: Callable[[Mapping[str, Any]], str | Mapping[str, Any]] | None
    chances: Callable[[Mapping[str, Any]], Mapping[str, float]] | None
    models: tuple[str, ...]
    any_model: bool
    key: str
    lacks: frozenset[str]
    strict: bool
    rpm: float | None
    tpm: float | None
    usage: bool
    dimensions: int
    pace: float = 0.0
    quotas: dict[str, Quota] = field(init=False, default_factory=dict)
    number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.rpm is not None:
            self.quotas["requests"] = Quota(self.rpm)
        if self.tpm is not None:
            self.quotas["tokens"] = Quota(self.tpm)

    def reply(self, received: Received, fault: Fault | None, latency: float) -> Reply:
        """The response to one request."""
        self.number += 1
        headers = {"x-request-id": f"req-{self.number}"}
        try:
            made = self.refusal(received, headers) or self.fated(received, fault, headers)
        except Exception as error:  # noqa: BLE001 - a server answers 500, it doesn't die
            made = error_reply(
                500, "server_error", "server_error", f"{type(error).__name__}: {error}", headers
            )
        return replace(made, delay=made.delay + latency, pace=self.pace)

    # -- saying no

    def refusal(self, received: Received, headers: dict[str, str]) -> Reply | None:
        """The refusal for a wrong key or an exhausted quota."""
        if self.key and self.key not in (
            received.headers.get("authorization", "").removeprefix("Bearer "),
            received.headers.get("api-key", ""),
        ):
            return error_reply(401, "invalid_api_key", "invalid_request_error", "Incorrect API key.", headers)
        if received.method == "POST":
            return self.over_quota(received, headers)
        return None

    def over_quota(self, received: Received, headers: dict[str, str]) -> Reply | None:
        """A 429 with the real wait where a quota is exhausted; sets the x-ratelimit headers always."""
        wait = 0.0
        for name, quota in self.quotas.items():
            amount = 1.0 if name == "requests" else answers.count_prompt_tokens(received.json)
            wait = max(wait, quota.take(amount))
            headers[f"x-ratelimit-limit-{name}"] = f"{quota.per_minute:g}"
            headers[f"x-ratelimit-remaining-{name}"] = str(math.floor(quota.level))
            headers[f"x-ratelimit-reset-{name}"] = f"{quota.reset * 1000:.0f}ms"
        if not wait:
            return None
        headers["retry-after"] = f"{wait:.3f}"
        said = f"Rate limit reached. Please try again in {wait:.3f}s."
        return error_reply(429, "rate_limit_exceeded", "requests", said, headers)

    def lacking(self, body: Mapping[str, Any]) -> tuple[str, str] | None:
        """``(field, message)`` of the first field that this server does not take."""
        form = (body.get("response_format") or {}).get("type", "")
        if form in self.lacks:
            return "response_format", f"'response_format' of type '{form}' is not supported with this model."
        for name in body:
            if name in self.lacks:
                other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
                more = f" Use '{other}' instead." if name.startswith("max_") else ""
                return name, f"Unsupported parameter: '{name}' is not supported with this model.{more}"
            if self.strict and name not in CHAT_FIELDS:
                return name, f"Unrecognized request argument supplied: {name}"
        return None

    # -- answering

    def fated(self, received: Received, fault: Fault | None, headers: dict[str, str]) -> Reply:
        """The response, or the fault in its place."""
        if fault is None:
            return self.routed(received, None, headers)
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        headers.update(fault.headers)
        said = http_error_of(fault)
        if said is not None:
            status, code, kind, message = said
            if fault.body is not None:
                return Reply(status, fault.body, headers)
            return error_reply(status, code, kind, message, headers)
        return self.broken(received, fault, headers)

    def broken(self, received: Received, fault: Fault, headers: dict[str, str]) -> Reply:
        """Faults of the transport; those inside the JSON are made in ``routed``."""
        if fault.kind == "hang":
            return Reply(hangs=True)
        if fault.kind == "reset":
            return Reply(breaks=0)
        if fault.kind == "html":
            return Reply(200, HTML_PAGE, headers, "text/html")
        if fault.kind == "redirect":
            return Reply(307, b"", {**headers, "location": fault.location})
        made = self.routed(received, fault.kind, headers)
        if fault.kind == "cut":
            return replace(made, breaks=len(made.encode()) - 20)
        if fault.kind == "truncated":
            half, some = made.body[: len(made.body) // 2], made.pieces[: len(made.pieces) // 2]
            return replace(made, body=half, pieces=some)
        return made

    def routed(self, received: Received, fault: str | None, headers: dict[str, str]) -> Reply:
        """The response by path: chat, completions, embeddings, models."""
        route = received.route
        if received.method == "GET" and route.endswith("/models"):
            listed = [{"id": name, "object": "model", "owned_by": "loopback"} for name in self.models]
            return json_reply({"object": "list", "data": listed}, headers)
        if received.method != "POST":
            return error_reply(404, "unknown_url", "invalid_request_error", f"Unknown URL {route}", headers)
        body = received.json
        if not self.any_model and body.get("model", self.models[0]) not in self.models:
            said = f"The model '{body.get('model')}' does not exist."
            return error_reply(404, "model_not_found", "invalid_request_error", said, headers)
        if not route.endswith(("/embeddings", "/completions")):
            return error_reply(404, "unknown_url", "invalid_request_error", f"Unknown URL {route}", headers)
        lacking = self.lacking(body)
        if lacking:
            return error_reply(
                400, "unsupported_parameter", "invalid_request_error", lacking[1], headers, lacking[0]
            )
        if route.endswith("/embeddings"):
            return json_reply(self.embedded(body), headers)
        whole = self.completed(body, fault, chat=route.endswith("/chat/completions"))
        return stream_reply(whole, body, headers) if body.get("stream") else json_reply(whole, headers)

    def completed(self, body: Mapping[str, Any], fault: str | None, *, chat: bool) -> dict[str, Any]:
        """A chat completion (or, without ``chat``, a plain one)."""
        said = answer_rows(self.answer or answers.default_answer, body, fault)
        message: dict[str, Any] = {"content": said} if isinstance(said, str) else dict(said)
        usage = message.pop("usage", None)
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": message.pop("finish_reason", "stop"),
            "logprobs": message.pop("logprobs", None),
        }
        apply_answer_fault(message, choice, fault)
        if body.get("logprobs") and choice["logprobs"] is None:
            choice["logprobs"] = {"content": self.logprobs(body, message.get("content") or "")}
        content = message.get("content") or ""
        content = content if isinstance(content, str) else ""
        choice |= {"message": {"role": "assistant", **message}} if chat else {"text": content}
        whole = {
            "id": f"chatcmpl-{self.number}",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": body.get("model", self.models[0]),
            "choices": [choice],
        }
        if self.usage:
            whole["usage"] = usage or usage_record(
                answers.count_prompt_tokens(body), len(answers.split_tokens(content))
            )
        return whole

    def logprobs(self, body: Mapping[str, Any], content: str) -> list[dict[str, Any]]:
        """Logprobs of the answer: exact ones where ``chances`` are known."""
        top = int(body.get("top_logprobs") or 0)
        if self.chances is None:
            return answers.flat_logprobs(content, top)
        label = json.loads(content)["label"]
        return answers.label_logprobs(content, label, self.chances(body), top)

    def embedded(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Vectors of the inputs in reverse order: the format gives the order in ``index``."""
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        size = body.get("dimensions") or self.dimensions
        coded = body.get("encoding_format") == "base64"
        vectors = [answers.text_vector(text, size) for text in inputs]
        data = [
            {"object": "embedding", "index": n, "embedding": answers.encode_base64(v) if coded else v}
            for n, v in enumerate(vectors)
        ]
        used = answers.count_prompt_tokens(body)
        usage = {"prompt_tokens": used, "total_tokens": used}
        return {"object": "list", "model": body.get("model"), "data": data[::-1], "usage": usage}


def apply_answer_fault(message: dict[str, Any], choice: dict[str, Any], fault: str | None) -> None:
    """Faults inside the answer itself."""
    if fault == "null":
        message["content"] = None
    elif fault == "empty":
        message["content"] = ""
    elif fault == "refusal":
        message.update(content=None, refusal="I can't help with that.")
    elif fault == "length":
        message["content"] = (message.get("content") or "")[: len(message.get("content") or "") // 2]
        choice["finish_reason"] = "length"
    elif fault == "off_label":
        message["content"] = "Honestly, it could be any of them."
    elif fault == "filtered_finish":
        message["content"] = ""
        choice["finish_reason"] = "content_filter"


def stream_reply(whole: Mapping[str, Any], body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """A completion as server-sent events: a chunk a piece of the text, the usage where it was asked for."""
    choice = whole["choices"][0]
    said = choice["message"] if "message" in choice else {"content": choice["text"]}
    text = said.get("content") or ""
    parts = answers.split_tokens(text) or [text]

    def chunk(piece: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        where = {"delta": piece} if "message" in choice else {"text": piece.get("content", "")}
        shared = {name: whole[name] for name in ("id", "created", "model")}
        one = {"index": 0, **where, "finish_reason": reason}
        return {**shared, "object": f"{whole['object']}.chunk", "choices": [one]}

    chunks = [chunk({"role": "assistant", "content": ""})]
    for name in ("reasoning_content", "reasoning"):
        chunks += [chunk({name: part}) for part in answers.split_tokens(said.get(name) or "")]
    chunks += [chunk({"content": part}) for part in parts]
    if said.get("refusal"):
        chunks.append(chunk({"refusal": said["refusal"]}))
    chunks.append(chunk({}, choice["finish_reason"]))
    if (body.get("stream_options") or {}).get("include_usage") and "usage" in whole:
        chunks.append({**chunk({}), "choices": [], "usage": whole["usage"]})
    lines = [json.dumps(each, ensure_ascii=False) for each in chunks]
    events = tuple(f"data: {line}\n\n".encode("utf-8", "replace") for line in (*lines, "[DONE]"))
    return Reply(200, headers=headers, content_type="text/event-stream", pieces=events)


def usage_record(prompt: int, answer: int) -> dict[str, Any]:
    """A usage record."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def json_reply(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """A 200 with JSON."""
    return Reply(200, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), headers)


def error_reply(
    status: int, code: str, kind: str, message: str, headers: Mapping[str, str], param: str | None = None
) -> Reply:
    """An error in OpenAI's shape."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Reply(status, json.dumps(body).encode(), headers)
