"""CPU a request of the client alone: bare aiohttp, this package, the openai SDK; same bodies, same server.

    python tests/benchmarks/wire.py [--requests 2000] [--in-flight 64] [--latency 0.02] [--rounds 3]

The server runs in a process of its own. The clients take turns, so that other work on the machine falls
on all of them alike; compare the ratios, not the milliseconds. The last column is wall time over
requests * latency / in-flight, which no client can beat.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec, Message, Request
from llm_magics.settings.keys import Keys

ROW = "The parcel came late, the box was open and one of the two cups was broken. " * 5
Send = Callable[[int], Awaitable[object]]


def request(n: int) -> Request:
    messages = (Message("system", "Answer with exactly one label."), Message("user", f"{ROW} {n}"))
    return Request("custom_url", "test-model", messages, parameters=PARAMETERS)


PARAMETERS = {"temperature": 0, "max_tokens": 20}


async def bare(url: str, run: Callable[[Send], Awaitable[None]]) -> None:
    import json

    import aiohttp

    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def send(n: int) -> object:
            messages = [{"role": m.role, "content": m.content} for m in request(n).messages]
            body = json.dumps(
                {"model": "test-model", "messages": messages, "temperature": 0, "max_tokens": 20}
            )
            async with session.post(f"{url}/chat/completions", data=body.encode()) as reply:
                return json.loads(await reply.read())["choices"][0]["message"]["content"]

        await run(send)


async def ours(url: str, run: Callable[[Send], Awaitable[None]]) -> None:
    spec = BackendSpec("custom_url", "test-model", base_url=url, key="env:KEY")
    backend = create(spec, Keys({"KEY": "key"}))
    await run(lambda n: backend.complete(request(n)))
    await backend.close()


async def sdk(url: str, run: Callable[[Send], Awaitable[None]]) -> None:
    import openai

    async with openai.AsyncOpenAI(
        base_url=url, api_key="key", http_client=openai.DefaultAioHttpClient(), max_retries=0
    ) as client:

        def send(n: int) -> Awaitable[object]:
            messages = [{"role": m.role, "content": m.content} for m in request(n).messages]
            return client.chat.completions.create(
                model="test-model", messages=messages, temperature=0, max_tokens=20
            )

        await run(send)


async def measure(
    client: Callable[..., Awaitable[None]], url: str, said: argparse.Namespace
) -> tuple[float, float]:
    """``(CPU ms a request, wall seconds)``, after a warm-up outside the clock."""
    spent: list[float] = []

    async def run(send: Send) -> None:
        await burst(send, said.in_flight * 2, said.in_flight)
        cpu, wall = time.process_time(), time.perf_counter()
        await burst(send, said.requests, said.in_flight)
        spent.extend((time.process_time() - cpu, time.perf_counter() - wall))

    await client(url, run)
    return spent[0] * 1000 / said.requests, spent[1]


async def burst(send: Send, count: int, in_flight: int) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for n in numbers:
            await send(n)

    await asyncio.gather(*(worker() for _ in range(in_flight)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    serve = [
        sys.executable,
        "-m",
        "llm_magics.testing.server",
        "--latency",
        str(said.latency),
        "--text",
        "fine",
    ]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        taken: dict[str, list[tuple[float, float]]] = {}
        for _ in range(said.rounds):
            for client in (bare, ours, sdk):
                taken.setdefault(client.__name__, []).append(asyncio.run(measure(client, url, said)))
        server.terminate()
    ideal = said.requests * said.latency / said.in_flight
    base = statistics.median(cpu for cpu, _ in taken["bare"])
    print(f"{'client':8} {'CPU ms':>8} {'/ bare':>7} {'wall s':>8} {'/ ideal':>8}")
    for name, runs in taken.items():
        cpu, wall = (statistics.median(column) for column in zip(*runs, strict=True))
        over = f"{wall / ideal:8.2f}" if ideal else "       -"
        print(f"{name:8} {cpu:8.3f} {cpu / base:7.2f} {wall:8.2f} {over}")


if __name__ == "__main__":
    main()
