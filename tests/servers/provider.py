"""What the stand-ins of the providers share: a key, strict fields, faults in each one's own shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llm_magics.testing import Server
from llm_magics.testing.answers import schema_instance, split_tokens
from llm_magics.testing.faults import Fault, http_error_of
from llm_magics.testing.http_server import Received, Reply


class Refused(Exception):
    """The host says no: HTTP status, its own word for it, what it says."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Provider:
    """A host: subclasses know its routes and shapes. ``answer(text, schema)`` gives the model's text."""

    def __init__(
        self, *, key: str = "", answer=None, models=("test-model",), lacks: Mapping[str, str] | None = None
    ):
        self.key = key
        self.models = models
        self.lacks = dict(lacks or {})  # field -> what the host says about it
        self.said = answer
        self.number = 0

    # -- what subclasses say

    def key_of(self, received: Received) -> str:
        raise NotImplementedError

    def route(self, received: Received, fault: str) -> Mapping[str, Any]:
        """The answer's JSON; raises Refused. ``fault`` is one inside the answer, or empty."""
        raise NotImplementedError

    def error(self, refused: Refused) -> Mapping[str, Any]:
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Refused:
        """A fault as this host would say it."""
        status, code, _, message = http_error_of(fault)
        return Refused(status, code, message)

    # -- what all do

    def reply(self, received: Received, fault: Fault | None, latency: float) -> Reply:
        self.number += 1
        headers = {"request-id": f"req-{self.number}"}
        try:
            made = self.met(received, fault, headers)
        except Refused as refused:
            body = json.dumps(self.error(refused)).encode()
            made = Reply(refused.status, body, headers)
        return replace(made, delay=latency)

    def met(self, received: Received, fault: Fault | None, headers: dict[str, str]) -> Reply:
        kind = fault.kind if fault else ""
        if fault and fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        if kind == "hang":
            return Reply(hangs=True)
        if kind == "reset":
            return Reply(breaks=0)
        if kind == "html":
            return Reply(200, b"<html><body>It works!</body></html>", headers, "text/html")
        if fault and http_error_of(fault):
            raise self.refusal(fault)
        if self.key and self.key_of(received) != self.key:
            raise self.refusal(Fault("auth"))
        answer = self.route(received, kind)
        body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        whole = self.in_pieces(received, answer) or Reply(200, body)
        if kind == "truncated":
            half, some = body[: len(body) // 2], whole.pieces[: len(whole.pieces) // 2]
            whole = replace(whole, body=b"" if some else half, pieces=some)
        whole = replace(whole, headers=headers)
        return replace(whole, breaks=len(whole.encode()) - 20) if kind == "cut" else whole

    def in_pieces(self, received: Received, answer: Mapping[str, Any]) -> Reply | None:
        """The answer in pieces, where that was asked for."""
        return None

    def model(self, name: str) -> str:
        """The model if it is served."""
        if name not in self.models:
            raise self.refusal(Fault("no_model"))
        return name

    def text(self, asked: str, schema: Mapping[str, Any] | None, fault: str) -> str:
        """What the model says: an echo, or an instance of the schema with words of the text."""
        if fault == "empty":
            return ""
        if fault == "off_label":
            return "It depends."
        if self.said is not None:
            return self.said(asked, schema)
        if schema is None:
            return f"echo: {asked}"
        made = schema_instance(schema, asked)
        return made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)


def events(chunks: Sequence[Mapping[str, Any]], *, named: bool = False) -> Reply:
    """Chunks as server-sent events, ``named`` by their type."""
    heads = [f"event: {chunk['type']}\n" if named else "" for chunk in chunks]
    lines = zip(heads, (json.dumps(chunk, ensure_ascii=False) for chunk in chunks), strict=True)
    parts = tuple(f"{head}data: {line}\r\n\r\n".encode("utf-8", "replace") for head, line in lines)
    return Reply(200, content_type="text/event-stream", pieces=parts)


def only(body: Mapping[str, Any], known: str, where: str) -> None:
    """Refuse a field that the documentation does not have."""
    strange = sorted(set(body) - set(known.split()))
    if strange:
        raise Refused(400, "INVALID_ARGUMENT", f"Unknown name {strange[0]!r} at {where}: Cannot find field.")


def tokens(text: str) -> int:
    return len(split_tokens(text))


def serve(host: Provider, latency: float = 0.0) -> Server:
    """The host on a free port; use as a context manager."""
    server = Server(latency=latency)
    server.host = host
    return server
