"""OpenAI's files and batches, as their reference describes them, over the loopback chat host."""

from __future__ import annotations

import json
import re

from llm_magics.testing import Server
from llm_magics.testing.http_server import Received, Reply


class BatchServer(Server):
    """``/v1/files`` and ``/v1/batches``; ``finish()`` answers what was submitted."""

    def __init__(self, **more) -> None:
        super().__init__(**more)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict] = {}
        self.refuse: set[str] = set()  # texts whose line comes back as an error

    def handle(self, received: Received) -> Reply:
        route = received.route.removeprefix("/v1")
        if not route.startswith(("/files", "/batches")):
            return super().handle(received)
        self.requests.append(received)
        self.in_flight += 1
        if self.host.key and received.headers.get("authorization") != f"Bearer {self.host.key}":
            return _json({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401)
        if route == "/files":
            return _json(self.upload(received))
        if found := re.fullmatch(r"/files/([\w-]+)/content", route):
            return Reply(200, self.files[found[1]], content_type="application/octet-stream")
        if route == "/batches":
            return _json(self.create(received.json))
        found = re.fullmatch(r"/batches/([\w-]+)", route)
        return _json(self.batches[found[1]])

    def upload(self, received: Received):
        """The file part of a multipart body; the purpose must be there."""
        mark = re.search(r"boundary=([^;]+)", received.headers["content-type"])[1].strip('"').encode()
        parts = received.body.split(b"--" + mark)
        assert any(b'name="purpose"' in part and part.strip().endswith(b"batch") for part in parts)
        part = next(part for part in parts if b'name="file"' in part)
        name = f"file-{len(self.files)}"
        self.files[name] = part.partition(b"\r\n\r\n")[2].rstrip(b"\r\n")
        return {"id": name, "object": "file", "purpose": "batch", "bytes": 1, "created_at": 1, "filename": "x",
                "status": "processed"}  # fmt: skip

    def create(self, body):
        assert set(body) == {"input_file_id", "endpoint", "completion_window"}
        assert body["completion_window"] == "24h"
        name = f"batch_{len(self.batches)}"
        self.batches[name] = {
            "id": name, "object": "batch", "status": "in_progress", "created_at": 1, **body,
            "request_counts": {"total": 1, "completed": 0, "failed": 0},
        }  # fmt: skip
        return self.batches[name]

    def finish(self) -> None:
        """Answer every batch, last line first: order is in custom_id."""
        for batch in self.batches.values():
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            good = [line for line in lines if not any(text in json.dumps(line) for text in self.refuse)]
            bad = [line for line in lines if line not in good]
            self.files[f"{batch['id']}-out"] = self.answers(good)
            batch |= {"status": "completed", "output_file_id": f"{batch['id']}-out"}
            if bad:
                self.files[f"{batch['id']}-bad"] = b"\n".join(
                    json.dumps({"custom_id": line["custom_id"], "response": {"status_code": 400, "body": {
                        "error": {"message": "Invalid value"}}}, "error": None}).encode() for line in bad
                )  # fmt: skip
                batch["error_file_id"] = f"{batch['id']}-bad"

    def answers(self, lines) -> bytes:
        made = []
        for line in reversed(lines):
            body = self.host.completed(line["body"], None, chat=True)
            told = {"status_code": 200, "request_id": "r", "body": body}
            made.append(
                json.dumps({"id": "b", "custom_id": line["custom_id"], "response": told, "error": None})
            )
        return "\n".join(made).encode()


def _json(body, status=200) -> Reply:
    return Reply(status, json.dumps(body).encode())
