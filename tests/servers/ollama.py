"""Ollama's own API, as its reference describes it."""

from __future__ import annotations

import json

from llm_magics.testing.answers import label_logprobs, split_tokens, text_vector
from llm_magics.testing.faults import Fault
from llm_magics.testing.http_server import Received, Reply
from tests.servers.provider import Provider, Refused, only, tokens

CHAT = "model messages tools format options stream keep_alive think logprobs top_logprobs truncate shift"
GENERATE = CHAT.replace("messages tools", "prompt suffix images system template raw")
OPTIONS = (
    "num_keep seed num_predict top_k top_p min_p typical_p repeat_last_n temperature repeat_penalty "
    "presence_penalty frequency_penalty mirostat mirostat_tau mirostat_eta penalize_newline stop numa "
    "num_ctx num_batch num_gpu main_gpu use_mmap num_thread"
)


class Ollama(Provider):
    """``/api/chat``, ``/api/generate``, ``/api/embed``, ``/api/tags``, ``/api/pull``."""

    chances = None
    offered: tuple[str, ...] = ()
    context = 100_000

    def key_of(self, received: Received) -> str:
        return received.headers.get("authorization", "").removeprefix("Bearer ")

    def refusal(self, fault: Fault) -> Refused:
        said = {
            "no_model": (404, "model 'nothing' not found"),
            "context": (400, "the input length exceeds the context length"),
            "unavailable": (503, "server busy, please try again. maximum pending requests exceeded"),
        }
        refused = super().refusal(fault)
        status, message = said.get(fault.kind, (refused.status, refused.message))
        return Refused(status, "", message)

    def error(self, refused: Refused):
        return {"error": refused.message}

    def met(self, received: Received, fault, headers):
        if received.route == "/api/pull":
            return self.pull(received)
        return super().met(received, fault, headers)

    def pull(self, received: Received) -> Reply:
        name = received.json["model"]
        if name not in self.offered:
            lines = [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
        else:
            self.models = (*self.models, name)
            lines = [
                {"status": "pulling manifest"},
                {"status": "pulling 6a0746a1ec1a", "total": 2_000_000_000, "completed": 500_000_000},
                {"status": "success"},
            ]
        return Reply(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def route(self, received: Received, fault: str):
        if received.route == "/api/tags":
            return {"models": [{"name": name, "model": name} for name in self.models]}
        routes = {"/api/chat": self.chat, "/api/generate": self.generate, "/api/embed": self.embed}
        if received.route not in routes:
            raise Refused(404, "", "404 page not found")
        if received.json["model"] not in self.models:
            raise Refused(404, "", f"model '{received.json['model']}' not found")
        return routes[received.route](received.json, fault)

    def chat(self, body, fault: str):
        only(body, CHAT, "request")
        for turn in body["messages"]:
            only(turn, "role content", "messages")
        asked = body["messages"][-1]["content"]
        made = self.made(body, asked, fault)
        text = made.pop("response")
        return {**made, "message": {"role": "assistant", "content": text}} if fault != "null" else made

    def generate(self, body, fault: str):
        only(body, GENERATE, "request")
        if not body.get("raw"):
            raise Refused(400, "", "this stand-in only takes raw prompts")
        return self.made(body, body["prompt"], fault)

    def made(self, body, asked: str, fault: str):
        only(body.get("options", {}), OPTIONS, "options")
        if not isinstance(body.get("stream"), bool):
            raise Refused(400, "", "this stand-in wants to know whether to stream")
        if tokens(asked) > body.get("options", {}).get("num_ctx", self.context):
            raise self.refusal(Fault("context"))
        text = self.text(asked, body.get("format"), fault)
        text = text[: len(text) // 2] if fault == "length" else text
        made = {
            "model": body["model"],
            "created_at": "2026-01-01T00:00:00Z",
            "response": text,
            "done": True,
            "done_reason": "length" if fault == "length" else "stop",
            "prompt_eval_count": tokens(asked),
            "eval_count": tokens(text),
        }
        if body.get("logprobs") and self.chances:
            label = json.loads(text)["label"]
            made["logprobs"] = label_logprobs(text, label, self.chances, body["top_logprobs"])
        return made

    def in_pieces(self, received: Received, answer):
        if not received.json.get("stream") or received.route == "/api/embed":
            return None
        chat, last = "message" in answer, {**answer}
        text = last.pop("message")["content"] if chat else last.pop("response")
        said = [
            {"message": {"role": "assistant", "content": p}} if chat else {"response": p}
            for p in split_tokens(text)
        ]
        end = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
        lines = [*({"model": answer["model"], **one, "done": False} for one in said), {**last, **end}]
        parts = tuple(
            json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for line in lines
        )
        return Reply(200, content_type="application/x-ndjson", pieces=parts)

    def embed(self, body, fault: str):
        only(body, "model input truncate options keep_alive dimensions", "request")
        if body.get("truncate") is not False:
            raise Refused(400, "", "this stand-in wants truncate: false")
        found = [text_vector(text, body.get("dimensions", 8)) for text in body["input"]]
        return {
            "model": body["model"],
            "embeddings": found,
            "prompt_eval_count": sum(map(tokens, body["input"])),
        }
