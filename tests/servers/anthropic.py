"""Anthropic's Messages API, as its reference describes it."""

from __future__ import annotations

import re

from llm_magics.testing.answers import split_tokens
from llm_magics.testing.faults import Fault
from llm_magics.testing.http_server import Received
from tests.servers.provider import Provider, Refused, events, only, tokens

MESSAGE = (
    "model messages max_tokens system stop_sequences stream metadata output_config temperature top_p top_k "
    "thinking service_tier"
)
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Anthropic(Provider):
    """``/v1/messages`` and ``/v1/messages/count_tokens``."""

    def key_of(self, received: Received) -> str:
        bearer = received.headers.get("authorization", "").removeprefix("Bearer ")  # the SDK from 2.0 on
        return received.headers.get("x-api-key", "") or bearer

    def refusal(self, fault: Fault) -> Refused:
        said = {
            "auth": (401, "invalid x-api-key"),
            "no_model": (404, "model: claude-nothing"),
            "context": (400, "prompt is too long: 210000 tokens > 200000 maximum"),
            "quota": (400, "Your credit balance is too low to access the API. Please go to Plans & Billing."),
        }
        refused = super().refusal(fault)
        status, message = said.get(fault.kind, (refused.status, refused.message))
        return Refused(status, KINDS.get(status, "api_error"), fault.message or message)

    def error(self, refused: Refused):
        kind = KINDS.get(refused.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_1"}

    def route(self, received: Received, fault: str):
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", received.headers.get("anthropic-version", "")):
            raise Refused(400, "", "anthropic-version: header is required")
        body = received.json
        self.model(body["model"])
        if received.route == "/v1/messages/count_tokens":
            only(body, "model messages system", "request")
            return {"input_tokens": sum(tokens(turn["content"]) for turn in body["messages"])}
        if received.route != "/v1/messages":
            raise Refused(404, "", f"no route {received.route}")
        return self.message(body, fault)

    def message(self, body, fault: str):
        only(body, MESSAGE, "request")
        if "max_tokens" not in body:
            raise Refused(400, "", "max_tokens: Field required")
        for name, said in self.lacks.items():
            if name in body:
                raise Refused(400, "", said)
        for turn in body["messages"]:
            only(turn, "role content", "messages")
            if turn["role"] not in ("user", "assistant"):
                raise Refused(400, "", 'messages: Unexpected role "system".')
        asked = body["messages"][-1]["content"]
        text = self.text(asked, self.schema(body), fault)
        text = text[: len(text) // 2] if fault == "length" else text
        reason = {"length": "max_tokens", "refusal": "refusal", "filtered_finish": "refusal"}.get(
            fault, "end_turn"
        )
        blocks = [{"type": "text", "text": text}] if text and reason != "refusal" else []
        if "thinking" in body:
            blocks.insert(0, {"type": "thinking", "thinking": "Let me see.", "signature": "s"})
        if fault == "null":
            return {"nothing": "of the kind"}
        return {
            "id": f"msg_{self.number}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": tokens(asked),
                "output_tokens": tokens(text),
                "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 0,
            },
        }

    def in_pieces(self, received: Received, answer):
        if not received.json.get("stream"):
            return None
        start = {
            **answer,
            "content": [],
            "stop_reason": None,
            "usage": {**answer["usage"], "output_tokens": 1},
        }
        chunks = [{"type": "message_start", "message": start}]
        for n, block in enumerate(answer["content"]):
            chunks.append(
                {"type": "content_block_start", "index": n, "content_block": {"type": "text", "text": ""}}
            )
            for part in split_tokens(block["text"]):
                delta = {"type": "text_delta", "text": part}
                chunks.append({"type": "content_block_delta", "index": n, "delta": delta})
            chunks.append({"type": "content_block_stop", "index": n})
        reason = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
        spent = {"output_tokens": answer["usage"]["output_tokens"]}
        chunks += [{"type": "message_delta", "delta": reason, "usage": spent}, {"type": "message_stop"}]
        return events(chunks, named=True)

    def schema(self, body):
        """The schema in force, checked for what the API does not take."""
        config = body.get("output_config")
        if config is None:
            return None
        only(config, "format effort", "output_config")
        only(config["format"], "type schema", "output_config.format")
        check(config["format"]["schema"])
        return config["format"]["schema"]


def check(schema) -> None:
    """Objects must be closed, and arrays have no maxItems."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused(400, "", "output_config.format.schema: additionalProperties must be false")
    if "maxItems" in schema:
        raise Refused(400, "", "output_config.format.schema: maxItems is not supported")
    for part in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
        check(part)
