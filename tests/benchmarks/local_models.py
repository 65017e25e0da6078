"""Zero-shot labels on a local model: rows a second of every way, side by side, one process a way.

    python tests/benchmarks/local_models.py FOLDER [--server llama-server] [--scikit-llm FOLDER] [--rounds 5]

FOLDER holds (or gets) the two models: random weights in SmolLM2-135M's and Llama-3.2-1B's shapes with
real vocabularies, made from ``--vocabularies`` (llama-cpp-python's source package, folder
``vendor/llama.cpp/models``). The ways take turns; medians over the rounds are compared. ``limit`` is
the speed of reading a plain prompt of 1,024 tokens, in the tokens that the rows have of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

LABELS = ["billing", "outage", "how-to", "refund", "account", "security", "delivery", "praise"]
SHARING = [f"{thing} {state}" for thing in ("card payment", "cash withdrawal", "bank transfer")
           for state in ("failed", "pending", "not recognised", "charged twice")]  # fmt: skip
WORDS = [
    "the",
    "order",
    "was",
    "late",
    "and",
    "my",
    "card",
    "payment",
    "failed",
    "again",
    "please",
    "help",
    "me",
    "find",
    "where",
    "money",
    "went",
    "to",
    "because",
    "nobody",
    "answered",
    "account",
    "bank",
    "service",
    "new",
    "good",
    "bad",
    "never",
    "always",
    "refund",
    "delivery",
    "time",
    "app",
    "phone",
]


@dataclass(frozen=True)
class Case:
    """A model, how long the rows are (in words), how many, and what is asked."""

    name: str
    model: str
    words: int
    rows: int
    labels: tuple[str, ...] = tuple(LABELS)
    generate: int = 0


CASES = (
    Case("135M, rows of ~32 tokens", "135m-q8.gguf", 19, 64),
    Case("135M, rows of ~80 tokens", "135m-q8.gguf", 67, 48),
    Case("1B, rows of ~25 tokens", "1b-q4.gguf", 14, 24),
    Case("135M, 12 labels that share words", "135m-q8.gguf", 19, 48, tuple(SHARING)),
    Case("135M, texts of 32 tokens", "135m-q8.gguf", 19, 24, generate=32),
)


def system(case: Case) -> str:
    """The instructions, about 165 tokens."""
    if case.generate:
        return "Write a friendly answer to the customer. " + "Be brief, be kind, promise nothing. " * 16
    told = "\n".join(f"- {label}: the customer writes about {label}" for label in case.labels)
    return (
        f"Choose the label that fits the text best.\n\nLabels:\n{told}\n\n"
        "Answer with one label name, exactly as written in the list, and nothing else. "
        + "Read the whole text before you decide. "
        * (4 if len(case.labels) == len(LABELS) else 0)
    )


_rounds = 0


def texts(case: Case) -> list[str]:
    """The rows' texts: the same for every way, others in every round (servers keep whole prompts)."""
    import random

    global _rounds
    _rounds += 1
    chance = random.Random(_rounds)
    return [" ".join(chance.choices(WORDS, k=case.words)) for _ in range(case.rows)]


def messages(case: Case, text: str) -> list[dict[str, str]]:
    """What every way but scikit-llm's sends."""
    return [{"role": "system", "content": system(case)}, {"role": "user", "content": f"Text:\n{text}"}]


def clock(given: Any, *others: int) -> Callable[[], float]:
    """Seconds: of the wall, or (``--cpu``) of processor time of this process and the others.

    Where other programs share the machine, one thread and processor time are the fair measure.
    """
    if not given.cpu:
        return time.perf_counter
    import psutil

    processes = [psutil.Process(pid) for pid in others]
    return lambda: time.process_time() + sum(sum(process.cpu_times()[:2]) for process in processes)


# -- the ways: each takes (case, folder, arguments) and yields a function that does all rows once


@contextmanager
def ours(case: Case, folder: Path, given: Any) -> Iterator[Callable[[], dict[str, float]]]:
    """This project, through ``Backend.complete`` as the engine calls it."""
    from llm_magics.backends.gguf.client import GGUFBackend
    from llm_magics.backends.gguf.llama.context import Context
    from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, ResponseFormat, Text

    spec = BackendSpec("gguf", str(folder / case.model), options={"threads": given.threads})
    backend = GGUFBackend(spec)
    wanted: ResponseFormat = Text() if case.generate else OneOf(tuple(map(Choice, case.labels)), scores=True)
    parameters = {"max_new_tokens": case.generate, "temperature": 0.8, "seed": 1} if case.generate else {}

    def request(text: str) -> Request:
        turns = tuple(Message(**turn) for turn in messages(case, text))
        return Request("gguf", "m", turns, wanted, parameters, subject=text)

    now = clock(given)
    inside, decodes, since, lock = 0.0, 0, 0.0, threading.Lock()
    plain = Context.decode

    def count(change: int) -> None:
        """Seconds in which at least one worker is inside llama.cpp."""
        nonlocal inside, decodes, since
        with lock:
            if decodes:
                inside += now() - since
            decodes, since = decodes + change, now()

    def timed(self: Context) -> None:
        count(1)
        plain(self)
        count(-1)

    Context.decode = timed  # type: ignore[method-assign]
    loop = asyncio.new_event_loop()

    async def everything() -> list[Any]:
        gate = asyncio.Semaphore(128)

        async def one(request: Request) -> Any:
            async with gate:
                return await backend.complete(request)

        return await asyncio.gather(*map(one, map(request, texts(case))))

    def run() -> dict[str, float]:
        nonlocal inside
        inside = 0.0
        began = now()
        found = loop.run_until_complete(everything())
        seconds = now() - began
        own = [response.usage.input_tokens - response.usage.cached_input_tokens for response in found]
        return {"seconds": seconds, "python": 1 - inside / seconds, "own tokens": statistics.mean(own)}

    yield run


@contextmanager
def limit(case: Case, folder: Path, given: Any) -> Iterator[Callable[[], dict[str, float]]]:
    """Reading 1,024 tokens of plain prompt; reports tokens a second."""
    import numpy as np

    from llm_magics.backends.gguf.llama.context import Context
    from llm_magics.backends.gguf.llama.model import Model

    model = Model(folder / case.model)
    context = Context(model, cells=2048, lanes=1, batch=512, threads=given.threads)
    now = clock(given)
    tokens = np.random.default_rng(0).integers(300, 20_000, 1024).astype(np.int32)

    def run() -> dict[str, float]:
        context.clear()
        began = now()
        for start in (0, 512):
            context.batch.clear()
            context.batch.add(tokens[start : start + 512], start, 0, 1)
            context.batch.output[511] = start == 512
            context.decode()
        context.logits(1)
        return {"speed": 1024 / (now() - began)}

    yield run


def _llama(case: Case, folder: Path, given: Any) -> Any:
    from llama_cpp import Llama

    path = str(folder / case.model)
    return Llama(
        path,
        n_ctx=4096,
        n_threads=given.threads,
        n_threads_batch=given.threads,
        flash_attn=True,
        verbose=False,
    )


def _answer_tokens(llama: Any, case: Case) -> int:
    """Tokens of a label and the end of the turn, on average."""
    lengths = [len(llama.tokenize(label.encode(), add_bos=False)) + 1 for label in case.labels]
    return case.generate or round(statistics.mean(lengths))


@contextmanager
def one_row(case: Case, folder: Path, given: Any) -> Iterator[Callable[[], dict[str, float]]]:
    """llama-cpp-python's chat completion, a row at a time, with its own reuse of the prompt before."""
    llama = _llama(case, folder, given)
    most = _answer_tokens(llama, case)
    now = clock(given)

    def run() -> dict[str, float]:
        began = now()
        for text in texts(case):
            llama.create_chat_completion(
                messages(case, text), max_tokens=most, temperature=0.8 if case.generate else 0.0, seed=1
            )
        return {"seconds": now() - began}

    yield run


@contextmanager
def scikit_llm(case: Case, folder: Path, given: Any) -> Iterator[Callable[[], dict[str, float]]]:
    """scikit-llm's own prompt (from its package) and JSON answer, a row at a time."""
    if given.scikit_llm:
        sys.path.insert(0, given.scikit_llm)
    from skllm.prompts.builders import build_zero_shot_prompt_slc  # type: ignore[import-not-found]

    llama = _llama(case, folder, given)
    now = clock(given)
    label = sorted(case.labels, key=len)[len(case.labels) // 2]
    most = len(llama.tokenize(json.dumps({"label": label}).encode(), add_bos=False)) + 1

    def run() -> dict[str, float]:
        began = now()
        for text in texts(case):
            prompt = build_zero_shot_prompt_slc(text, repr(list(case.labels)))
            turns = [
                {"role": "system", "content": "You are a text classifier."},
                {"role": "user", "content": prompt},
            ]
            llama.create_chat_completion(turns, max_tokens=most, temperature=0.0)
        return {"seconds": now() - began}

    yield run


@contextmanager
def server(case: Case, folder: Path, given: Any) -> Iterator[Callable[[], dict[str, float]]]:
    """llama.cpp's own server: ``--slots`` rows at once, prompt cache, one token with probabilities."""
    import aiohttp

    slots, port = given.slots, 18_080 + given.slots
    command = [given.server, "-m", str(folder / case.model), "--port", str(port), "-np", str(slots), "-kvu"]
    command += ["-c", "8192", "-t", str(given.threads), "-tb", str(given.threads), "-fa", "on", "-ub", "512"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    now = clock(given, process.pid)
    url = f"http://127.0.0.1:{port}"
    loop = asyncio.new_event_loop()
    body = {
        "max_tokens": case.generate or 1,
        "temperature": 0.8 if case.generate else 0.0,
        "cache_prompt": True,
    }
    if not case.generate:
        body |= {"logprobs": True, "top_logprobs": 20}

    async def everything() -> None:
        gate = asyncio.Semaphore(slots)
        async with aiohttp.ClientSession() as session:

            async def one(text: str) -> None:
                async with (
                    gate,
                    session.post(
                        url + "/v1/chat/completions", json={**body, "messages": messages(case, text)}
                    ) as response,
                ):
                    await response.read()
                    response.raise_for_status()

            await asyncio.gather(*map(one, texts(case)))

    async def up() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                try:
                    async with session.get(url + "/health") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)
        raise TimeoutError("the server did not come up")

    def run() -> dict[str, float]:
        began = now()
        loop.run_until_complete(everything())
        return {"seconds": now() - began}

    try:
        loop.run_until_complete(up())
        yield run
    finally:
        process.terminate()
        process.wait(20)


WAYS: dict[str, Any] = {
    "limit": limit,
    "llm_magics": ours,
    "llama-cpp-python, one row": one_row,
    "scikit-llm's way": scikit_llm,
    "llama.cpp server, 4 slots": server,
    "llama.cpp server, 16 slots": server,
}


def child(given: Any) -> None:
    """One way in this process: a line in, all rows done, a line of JSON out."""
    case = next(case for case in cases(given) if case.name == given.case)
    given.slots = int(given.way.split()[-2]) if "slots" in given.way else 0
    with WAYS[given.way](case, Path(given.folder), given) as run:
        run()  # warm: the model is loaded, the prefix evaluated
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps(run()), flush=True)


class Way:
    """A child process that does the rows when told."""

    def __init__(self, name: str, case: Case, given: Any) -> None:
        command = [sys.executable, __file__, given.folder, "--way", name, "--case", case.name]
        command += ["--server", given.server, "--scikit-llm", given.scikit_llm, "--rows", str(given.rows)]
        command += ["--threads", str(given.threads), *(["--cpu"] if given.cpu else [])]
        self.name = name
        self.results: list[dict[str, float]] = []
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.alive = self.process.stdout.readline().strip() == "ready"

    def run(self) -> None:
        """One round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.results.append(json.loads(self.process.stdout.readline()))

    def median(self, what: str) -> float:
        """The median over the rounds."""
        return statistics.median(result[what] for result in self.results)

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(60)


def compare(case: Case, given: Any) -> None:
    """Every way in turn, ``--rounds`` times; a table of medians and ratios."""
    names = [name for name in WAYS if given.server or "server" not in name]
    names = [name for name in names if not (case.generate and "scikit" in name)]
    ways = [Way(name, case, given) for name in names]
    ways, dead = [way for way in ways if way.alive], [way.name for way in ways if not way.alive]
    for _ in range(given.rounds):
        for way in ways:
            way.run()
    found = {way.name: way for way in ways}
    mine = found["llm_magics"].median("seconds")
    own = found["llm_magics"].median("own tokens")
    most = found["limit"].median("speed")
    print(f"\n{case.name}: {case.rows} rows, {own:.0f} tokens of their own; limit {most:.0f} tokens/s")
    print(f"  {'way':<30}{'rows/s':>8}{'of the limit':>14}{'llm_magics is':>15}")
    for way in ways:
        if way.name != "limit":
            seconds = way.median("seconds")
            share = "-" if case.generate else f"{case.rows * own / seconds / most:.0%}"
            print(f"  {way.name:<30}{case.rows / seconds:>8.2f}{share:>14}{seconds / mine:>14.2f}x")
    print(f"  Python's own time: {found['llm_magics'].median('python'):.1%} of the wall time")
    if dead:
        print("  not measured:", ", ".join(dead))
    for way in ways:
        way.close()


def cases(given: Any) -> list[Case]:
    """The cases, with ``--rows`` heeded."""
    return [replace(case, rows=given.rows or case.rows) for case in CASES]


def make_models(folder: Path, vocabularies: Path) -> None:
    """The two models, where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    from llm_magics.testing.gguf import LLAMA_1B, SMOL_135M, build, quantize

    for name, shape, vocabulary, kind in (
        ("135m-q8.gguf", SMOL_135M, "ggml-vocab-starcoder.gguf", "Q8_0"),
        ("1b-q4.gguf", LLAMA_1B, "ggml-vocab-llama-bpe.gguf", "Q4_K_M"),
    ):
        if not (folder / name).exists():
            raw = build(folder / "raw.gguf", shape, vocabulary=vocabularies / vocabulary)
            quantize(raw, folder / name, kind)
            raw.unlink()


def main() -> None:
    """Parse the line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--vocabularies", type=Path)
    parser.add_argument("--server", default="")
    parser.add_argument("--scikit-llm", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0, help="rows a case, in place of its own number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time, in place of the wall's")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--way", default="")
    parser.add_argument("--case", default="")
    given = parser.parse_args()
    if given.way:
        child(given)
        return
    if given.vocabularies:
        make_models(Path(given.folder), given.vocabularies)
    measure = "processor time" if given.cpu else "wall time"
    print(
        f"{measure}, {given.threads} threads, load {os.getloadavg()[0]:.1f} at the start, medians of {given.rounds}"
    )
    for case in cases(given):
        if given.only in case.name:
            compare(case, given)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
