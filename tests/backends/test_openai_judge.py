"""The whole client before an outside judge: llmock's real quotas, scripted faults, and its strict verdict."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core.types import TEXT, BackendSpec, Message, Request, Response, Result
from llm_magics.engine.engine import Engine
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Parsed, Target
from llm_magics.engine.worker_pool import Options
from llm_magics.settings.keys import Keys


class Reply:
    """A task that sends the row and keeps the answer's text."""

    name, role = "reply", "generate"

    def request(self, row: Any, target: Target, sample: int = 0) -> Request:
        return Request(
            target.backend, target.model, (Message("user", row["text"]),), TEXT, base_url=target.base_url
        )

    def parse(self, request: Request, response: Response) -> Parsed:
        return Parsed({"reply": response.text})

    def reask(self, *_: Any) -> None:
        return None

    def default(self, *_: Any) -> None:
        return None


async def answered(url: str, rows: int) -> list[Result]:
    """``rows`` different rows through engine and backend."""
    backend = OpenAIBackend(
        BackendSpec("custom_url", "gpt-4o", base_url=url, key="env:K"), Keys({"K": "key-1"})
    )
    results: list[Result] = []
    items = (WorkItem(n, {"text": f"row number {n}"}) for n in range(rows))
    target = Target("custom_url", "gpt-4o", backend.base_url)
    await Engine().run(items, Reply(), backend, target, Options(), results.append)
    await backend.close()
    return results


@pytest.mark.checklist("K6")
@pytest.mark.timeout(60)
async def test_quota(llmock: Any) -> None:
    """More rows than a minute's quota: all answered in about the quota's own time, verdict clean."""
    rpm, rows = 240, 250
    llmock.limits(rpm=rpm)
    began = time.monotonic()
    results = await answered(llmock.base_url("openai"), rows)
    taken = time.monotonic() - began
    assert [result.status for result in results] == ["ok"] * rows
    assert taken >= (rows - rpm) * 60 / rpm - 0.5
    llmock.assert_resilient(strict=True)
    refused = [record for record in llmock.requests if record.status == 429]
    assert len(refused) <= 0.03 * rows


@pytest.mark.checklist("K6", "R6")
async def test_faults_that_pass(llmock: Any) -> None:
    """503s and a 429 with Retry-After: waited out, nothing lost, verdict clean."""
    llmock.fail(503, times=2).rate_limit(times=1, retry_after=0.3)
    results = await answered(llmock.base_url("openai"), 5)
    assert [result.status for result in results] == ["ok"] * 5
    llmock.assert_resilient(strict=True)


@pytest.mark.checklist("R1", "R6")
async def test_faults_that_stay(llmock: Any) -> None:
    """A prompt that is too long is asked once; the other rows go on."""
    llmock.context_overflow(times=1)
    results = await answered(llmock.base_url("openai"), 5)
    assert sorted(result.status for result in results) == ["failed", "ok", "ok", "ok", "ok"]
    assert len(llmock.requests) == 5
    llmock.assert_resilient(strict=True)
