"""Google's Gemini API and Vertex AI, as their REST references describe them."""

from __future__ import annotations

import re
from typing import Any

from llm_magics.testing.answers import split_tokens, text_vector
from llm_magics.testing.faults import Fault
from llm_magics.testing.http_server import Received
from tests.servers.provider import Provider, Refused, events, only, tokens

GENERATE = "contents systemInstruction generationConfig safetySettings tools toolConfig cachedContent labels"
CONFIG = (
    "temperature topP topK maxOutputTokens stopSequences candidateCount responseMimeType responseSchema "
    "responseJsonSchema presencePenalty frequencyPenalty seed responseLogprobs logprobs thinkingConfig"
)
ROUTE = r"/v1(?:beta1?)?/(?:projects/[\w-]+/locations/[\w-]+/publishers/google/)?models/([\w.-]+):(\w+)"
CONTENT, PART = "role parts", "text"
WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Google(Provider):
    """Both doors: ``/v1/models/M:verb`` with a key, ``/v1/projects/...`` with a token."""

    chances = None

    def key_of(self, received: Received) -> str:
        bearer = received.headers.get("authorization", "").removeprefix("Bearer ")
        return received.headers.get("x-goog-api-key", "") or bearer

    def refusal(self, fault: Fault) -> Refused:
        said = {
            "auth": (400, "API key not valid. Please pass a valid API key."),
            "no_model": (404, "models/x is not found for API version v1beta, or is not supported."),
            "context": (
                400,
                "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
            ),
            "quota": (429, "You exceeded your current quota, please check your plan and billing details."),
        }
        status, message = said.get(fault.kind, (None, ""))
        if status is None:
            refused = super().refusal(fault)
            return Refused(refused.status, WORDS.get(refused.status, "UNKNOWN"), refused.message)
        return Refused(status, WORDS[status], fault.message or message)

    def error(self, refused: Refused):
        details: list[Any] = []
        if refused.status == 429:
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"})
        inner = {
            "code": refused.status,
            "message": refused.message,
            "status": refused.code,
            "details": details,
        }
        return {"error": inner}

    def route(self, received: Received, fault: str):
        found = re.fullmatch(ROUTE, received.route)
        if found is None:
            raise Refused(404, "NOT_FOUND", f"no route {received.route}")
        self.model(found[1])
        verbs = {
            "generateContent": self.generate,
            "streamGenerateContent": self.generate,
            "countTokens": self.count,
            "batchEmbedContents": self.embed,
            "predict": self.predict,
        }
        if found[2] not in verbs:
            raise Refused(404, "NOT_FOUND", f"no verb {found[2]}")
        return verbs[found[2]](received.json, fault)

    def contents(self, body) -> str:
        """Check the turns; the last one's text."""
        for content in body["contents"]:
            only(content, CONTENT, "contents")
            for part in content["parts"]:
                only(part, PART, "parts")
        if any(content.get("role") not in ("user", "model") for content in body["contents"]):
            raise Refused(400, "INVALID_ARGUMENT", "Please use a valid role: user, model.")
        return body["contents"][-1]["parts"][0]["text"]

    def generate(self, body, fault: str):
        only(body, GENERATE, "request")
        config = body.get("generationConfig", {})
        only(config, CONFIG, "generation_config")
        for name, said in self.lacks.items():
            if name in config or name in body:
                raise Refused(400, "INVALID_ARGUMENT", said)
        asked = self.contents(body)
        if fault == "filtered_finish":
            return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}}
        if fault == "null":
            return {"candidates": [], "usageMetadata": {"promptTokenCount": 3}}
        schema = self.schema(config)
        text = self.text(asked, schema, fault)
        text = text[: len(text) // 2] if fault == "length" else text
        reason = {"length": "MAX_TOKENS", "refusal": "PROHIBITED_CONTENT"}.get(fault, "STOP")
        candidate = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": reason,
            "index": 0,
        }
        if fault in ("refusal", "empty"):
            candidate.pop("content")
        if config.get("responseLogprobs") and self.chances:
            candidate["logprobsResult"] = self.logprobs(text)
        spent = {
            "promptTokenCount": tokens(asked),
            "candidatesTokenCount": tokens(text),
            "thoughtsTokenCount": 2,
        }
        return {
            "candidates": [candidate],
            "usageMetadata": {**spent, "totalTokenCount": 2 + tokens(asked) + tokens(text)},
            "modelVersion": "test-model-001",
            "responseId": f"resp-{self.number}",
        }

    def in_pieces(self, received: Received, answer):
        if not received.route.endswith(":streamGenerateContent"):
            return None
        first = answer["candidates"][0] if answer.get("candidates") else {}
        if "content" not in first:
            return events([answer])
        spent = {"usageMetadata": {**answer["usageMetadata"], "candidatesTokenCount": 1}}
        chunks = [
            {"candidates": [{"content": {"role": "model", "parts": [{"text": part}]}, "index": 0}], **spent}
            for part in split_tokens(first["content"]["parts"][0]["text"])
        ]
        end = {**first, "content": {"role": "model", "parts": [{"text": ""}]}}
        return events([*chunks, {**answer, "candidates": [end]}])

    def schema(self, config):
        """The schema in force, in JSON Schema's lower-case words."""
        given = config.get("responseSchema") or config.get("responseJsonSchema")
        kind = config.get("responseMimeType", "text/plain")
        if given is None:
            return None
        if kind == "text/x.enum" and given.get("type") != "STRING":
            raise Refused(400, "INVALID_ARGUMENT", "text/x.enum needs a STRING schema with enum.")
        if kind not in ("text/x.enum", "application/json"):
            raise Refused(400, "INVALID_ARGUMENT", f"response mime type {kind} does not take a schema.")
        lowered = dict(given)
        lowered["type"] = str(given.get("type", "object")).lower()
        if "items" in lowered:
            lowered["items"] = {**lowered["items"], "type": str(lowered["items"]["type"]).lower()}
        return lowered

    def logprobs(self, text: str):
        """One token a label: the whole distribution stands at the first place."""
        import math

        top = [{"token": name, "logProbability": math.log(p), "tokenId": n}
               for n, (name, p) in enumerate(self.chances.items())]  # fmt: skip
        chosen = next(each for each in top if each["token"] == text)
        return {"chosenCandidates": [chosen], "topCandidates": [{"candidates": top}]}

    def count(self, body, fault: str):
        only(body, "contents generateContentRequest systemInstruction tools", "request")
        self.contents(body)
        return {"totalTokens": sum(tokens(p["text"]) for c in body["contents"] for p in c["parts"])}

    def embed(self, body, fault: str):
        only(body, "requests", "request")
        for each in body["requests"]:
            only(each, "model content taskType title outputDimensionality", "requests")
        size = body["requests"][0].get("outputDimensionality", 8)
        texts = [each["content"]["parts"][0]["text"] for each in body["requests"]]
        return {"embeddings": [{"values": text_vector(text, size)} for text in texts]}

    def predict(self, body, fault: str):
        only(body, "instances parameters", "request")
        for each in body["instances"]:
            only(each, "content task_type title mimeType", "instances")
        only(body.get("parameters", {}), "outputDimensionality autoTruncate", "parameters")
        texts = [each["content"] for each in body["instances"]]
        found = [
            {"values": text_vector(text, 8), "statistics": {"token_count": tokens(text)}} for text in texts
        ]
        return {"predictions": [{"embeddings": each} for each in found]}
