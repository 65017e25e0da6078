"""The whole path of a cell over an API, side by side with its peers: CPU a row, wall time, memory.

    python tests/benchmarks/api_path.py [--rows 2000] [--in-flight 64] [--latency 0.02] [--rounds 3]
                                        [--peer NAME=PYTHON ...] [--memory] [--rerun] [--wide]

Each system answers the same distinct short rows against the same loopback server, a fresh process a
run, taking turns so that other work on the machine falls on all alike; two warm-ups of 128 rows stand
outside the clock (a full garbage collection may fall into the second call). "ours" is all in: template,
limits, one stored answer a row, parsing, the frame.
Compare ratios, not milliseconds. Peers run by the interpreter of a virtual environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WARM = 128
CLIENTS = ("bare aiohttp", "ours", "openai SDK")

PRELUDE = """
import asyncio, json, os, resource, sys, time
url, rows, flying, warm = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TEXT = "The parcel came late, the box was open and one of the two cups was broken. " * 5
def prompts(n, tag): return [f"Is this a complaint? {TEXT} {tag} {i}" for i in range(n)]
def report(cpu, wall, right):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "right": right, "peak": peak}))
def clocked(work):
    for turn in ("warm", "warm again") if warm else ():
        work(prompts(warm, turn))
    cpu, wall = time.process_time(), time.perf_counter()
    right = work(prompts(rows, "row"))
    report((time.process_time() - cpu) * 1000 / rows, time.perf_counter() - wall, right)
def gathered(send):
    async def all_of(texts):
        results, numbers = [None] * len(texts), iter(range(len(texts)))
        async def worker():
            for i in numbers:
                results[i] = await send(texts[i])
        await asyncio.gather(*(worker() for _ in range(flying)))
        return sum(r == "fine" for r in results)
    return all_of
"""

CODE = {
    "bare aiohttp": """
import aiohttp
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def send(text):
            body = json.dumps({"model": "test-model", "messages": [{"role": "user", "content": text}]}).encode()
            async with session.post(url + "/chat/completions", data=body, headers={"content-type": "application/json"}) as r:
                return json.loads(await r.read())["choices"][0]["message"]["content"]
        all_of = gathered(send)
        await all_of(prompts(warm, "warm"))
        cpu, wall = time.process_time(), time.perf_counter()
        right = await all_of(prompts(rows, "row"))
        report((time.process_time() - cpu) * 1000 / rows, time.perf_counter() - wall, right)
asyncio.run(main())
""",
    "openai SDK": """
import openai
async def main():
    async with openai.AsyncOpenAI(base_url=url, api_key="k", http_client=openai.DefaultAioHttpClient()) as client:
        async def send(text):
            r = await client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": text}])
            return r.choices[0].message.content
        all_of = gathered(send)
        await all_of(prompts(warm, "warm"))
        cpu, wall = time.process_time(), time.perf_counter()
        right = await all_of(prompts(rows, "row"))
        report((time.process_time() - cpu) * 1000 / rows, time.perf_counter() - wall, right)
asyncio.run(main())
""",
    "ours": """
import pandas as pd
from llm_magics import generate
from llm_magics.runs.session import current
from llm_magics.core.types import BackendSpec
current().registry.add(BackendSpec("custom_url", "test-model", name="fast", base_url=url))
def work(texts):
    done = generate(pd.DataFrame({"t": texts}), "{t}", model="fast", concurrency=flying, progress=False)
    return int((done.generation == "fine").sum())
clocked(work)
""",
    "scikit-llm": """
import warnings, contextlib, io; warnings.filterwarnings("ignore")
from skllm.config import SKLLMConfig
SKLLMConfig.set_openai_key("k"); SKLLMConfig.set_gpt_url(url)
from skllm.models.gpt.classification.zero_shot import ZeroShotGPTClassifier
def work(texts):
    model = ZeroShotGPTClassifier(model="custom_url::test-model"); model.fit(None, ["fine", "other"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return sum(r == "fine" for r in model.predict(texts, num_workers=8))
clocked(work)
""",
    "LLooM": """
import contextlib, io, openai
from text_lloom import llm
client = openai.AsyncOpenAI(base_url=url, api_key="k")
async def call(model, prompt):
    r = await client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": prompt}])
    return r.choices[0].message.content, (0, 0)
model = llm.Model(name="m", setup_fn=lambda key: None, fn=call, api_key="k", rate_limit=None)
async def main():
    async def all_of(texts):
        with contextlib.redirect_stdout(io.StringIO()):
            answers, _ = await llm.multi_query_gpt_wrapper("{t}", [{"t": t} for t in texts], model)
        return sum(a == "fine" for a in answers)
    await all_of(prompts(warm, "warm"))
    cpu, wall = time.process_time(), time.perf_counter()
    right = await all_of(prompts(rows, "row"))
    report((time.process_time() - cpu) * 1000 / rows, time.perf_counter() - wall, right)
asyncio.run(main())
""",
    "LOTUS": """
import contextlib, io, logging; logging.disable(logging.CRITICAL)
import pandas as pd, lotus
from lotus.models import LM
lotus.settings.configure(lm=LM("openai/test-model", api_base=url, api_key="k", max_batch_size=flying))
def work(texts):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        done = pd.DataFrame({"t": texts}).sem_map("{t}")
    return int((done["_map"] == "fine").sum())
clocked(work)
""",
}


@contextmanager
def server(latency: float, text: str = "fine") -> Iterator[str]:
    """A loopback server in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "llm_magics.testing.server", "--latency", str(latency), "--text", text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def once(
    client: str, python: str, url: str, rows: int, in_flight: int, warm: int = WARM, home: str = ""
) -> dict:
    """One run of one client in a fresh process."""
    with tempfile.TemporaryDirectory() as fresh:
        env = {**os.environ, "LLM_MAGICS_HOME": home or fresh, "HF_HUB_OFFLINE": "1"}
        command = [python, "-c", PRELUDE + CODE[client], url, str(rows), str(in_flight), str(warm)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=900)
    if done.returncode:
        return {"fault": done.stderr.strip().splitlines()[-1][:200] if done.stderr else "?"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(runs: dict[str, list[dict]], ideal: float) -> None:
    base = statistics.median(run["cpu"] for run in runs["bare aiohttp"])
    print("| client | CPU ms a row | of bare aiohttp | wall s | of ideal | right | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for name, taken in runs.items():
        if any("fault" in run for run in taken):
            print(f"| {name} | - | - | - | - | {taken[0].get('fault', '?')} | - |")
            continue
        cpu, wall, peak = (statistics.median(run[k] for run in taken) for k in ("cpu", "wall", "peak"))
        right = min(run["right"] for run in taken)
        print(
            f"| {name} | {cpu:.3f} | {cpu / base:.2f} | {wall:.2f} | {wall / ideal:.2f} | {right} | {peak:.0f} |"
        )


def side_by_side(said: argparse.Namespace, peers: dict[str, str]) -> None:
    systems = dict.fromkeys(CLIENTS, sys.executable) | peers
    runs: dict[str, list[dict]] = {name: [] for name in systems}
    with server(said.latency) as url:
        for _ in range(said.rounds):
            for name, python in systems.items():
                runs[name].append(once(name, python, url, said.rows, said.in_flight))
    print(
        f"\n{said.rows} rows, {said.in_flight} in flight, {said.latency * 1000:.0f} ms, medians of {said.rounds}\n"
    )
    table(runs, said.rows * said.latency / said.in_flight)


def memory() -> None:
    """Peak resident memory of our own path as the rows grow tenfold."""
    print("\n| rows | peak MB |\n|---|---|")
    with server(0.0) as url:
        for rows in (1_000, 10_000, 100_000):
            run = once("ours", sys.executable, url, rows, 64)
            print(f"| {rows:,} | {run.get('peak', run.get('fault'))} |")


def rerun() -> None:
    """A second run of the same rows: everything stored."""
    print("\n| rows | first s | again s |\n|---|---|---|")
    with server(0.0) as url:
        for rows in (10_000, 100_000):
            with tempfile.TemporaryDirectory() as home:
                first = once("ours", sys.executable, url, rows, 64, warm=0, home=home)
                again = once("ours", sys.executable, url, rows, 64, warm=0, home=home)
            print(f"| {rows:,} | {first['wall']:.2f} | {again['wall']:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rerun", action="store_true")
    said = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in said.peer)
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}"
    )
    side_by_side(said, peers)
    if said.memory:
        memory()
    if said.rerun:
        rerun()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
