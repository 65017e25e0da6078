"""Rows against a real quota: how many come back, in what time, and what llmock says of the client.

    python tests/benchmarks/quota.py [--rows 200] [--rpm 120] [--peers]

The quota is a bucket of ``rpm`` requests, full at the start: the least time is (rows - rpm) * 60 / rpm.
``--peers`` adds the openai SDK, 64 in flight, with its default retries and with ten.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from typing import Any

from llmock.ratelimit import LimitSettings
from llmock.testing import LLMockServer
from llmock.verdict import judge

from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core.types import TEXT, BackendSpec, Message, Request, Response, Result
from llm_magics.engine.engine import Engine
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Parsed, Target
from llm_magics.engine.worker_pool import Options
from llm_magics.settings.keys import Keys


class Reply:
    """Sends the row, keeps the answer's text."""

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


async def ours(url: str, rows: int) -> int:
    backend = OpenAIBackend(
        BackendSpec("custom_url", "gpt-4o", base_url=url, key="env:K"), Keys({"K": "key-1"})
    )
    results: list[Result] = []
    items = (WorkItem(n, {"text": f"row number {n}"}) for n in range(rows))
    target = Target("custom_url", "gpt-4o", backend.base_url)
    await Engine().run(items, Reply(), backend, target, Options(), results.append)
    await backend.close()
    return sum(result.status == "ok" for result in results)


async def sdk(url: str, rows: int, retries: int) -> int:
    import openai

    gate = asyncio.Semaphore(64)
    async with openai.AsyncOpenAI(base_url=url, api_key="key-1", max_retries=retries) as client:

        async def one(n: int) -> None:
            async with gate:
                messages = [{"role": "user", "content": f"row number {n}"}]
                await client.chat.completions.create(model="gpt-4o", messages=messages)

        done = await asyncio.gather(*map(one, range(rows)), return_exceptions=True)
    return sum(not isinstance(each, BaseException) for each in done)


def judged(name: str, client: Any, rpm: int, rows: int) -> None:
    with LLMockServer() as server:
        server.state.limiter.configure(LimitSettings(rpm=rpm))
        began = time.monotonic()
        answered = asyncio.run(client(server.base_url("openai")))
        taken = time.monotonic() - began
        records = server.state.journal.records(wait=2.0)
    verdict = judge(records)
    refused = sum(record.status == 429 for record in records)
    found = dict(Counter(finding.code for finding in verdict.findings))
    print(f"{name:24} {answered:4}/{rows} rows {taken:7.1f} s {refused:5} x 429  {found or 'clean'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rpm", type=int, default=120)
    parser.add_argument("--peers", action="store_true")
    said = parser.parse_args()
    print(f"least time {max(0, said.rows - said.rpm) * 60 / said.rpm:.1f} s")
    judged("llm_magics", lambda url: ours(url, said.rows), said.rpm, said.rows)
    if said.peers:
        judged("AsyncOpenAI", lambda url: sdk(url, said.rows, 2), said.rpm, said.rows)
        judged("AsyncOpenAI, 10 retries", lambda url: sdk(url, said.rows, 10), said.rpm, said.rows)


if __name__ == "__main__":
    main()
