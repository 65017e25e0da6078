"""The child process of a ``process`` backend: it runs one backend and answers over pipes.

Messages are JSON preceded by their length, both ways; whatever the model's library prints goes to stderr.
The process ends when its parent's end of the pipe closes, whatever it is doing.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.backends.process import serialization
from llm_magics.core.errors import LLMError, ModelLoadError

HEAD = struct.Struct("!I")
"""Every message is preceded by its length in bytes."""


class SpecSource:
    """The keys that the parent resolved, by reference."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)

    def resolve(self, reference: str) -> str | None:
        """The key behind ``reference``."""
        return self._keys.get(reference)


class Child:
    """Answers the parent's messages with one backend."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write
        self.backend: Backend | None = None
        self.running: dict[int, asyncio.Task[None]] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Start on one message, on the loop."""
        if message["do"] == "cancel":
            task = self.running.get(message["id"])
            if task is not None:
                task.cancel()
            return
        work: Mapping[str, Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]] = {
            "load": self.load,
            "form": self.form,
            "complete": self.complete,
            "embed": self.embed,
        }
        number = message["id"]
        task = asyncio.get_running_loop().create_task(self.answer(number, work[message["do"]], message))
        self.running[number] = task
        task.add_done_callback(lambda _: self.running.pop(number, None))

    async def answer(self, number: int, work: Callable[[Any], Any], message: Mapping[str, Any]) -> None:
        """Do the work and send the result, or the exception."""
        try:
            made = await work(message)
        except asyncio.CancelledError:
            return
        except BaseException as error:  # noqa: BLE001 - the parent must hear of everything
            made = serialization.pack_outcome(error)
        self.write(json.dumps({"id": number, **made}).encode("utf-8", "surrogatepass"))

    async def load(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Make the backend, from its description or by the user's own loader."""
        try:
            self.backend = made = _loaded(message)
        except LLMError:
            raise
        except BaseException as error:
            said = f"the loader raised {type(error).__name__}: {error}"
            raise ModelLoadError(said, hint=_hint(str(message.get("loader") or ""))) from error
        can = {**asdict(made.capabilities), "parameters": None}
        return {"can": can, "model": made.model}

    async def form(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the model has no chat template, and continues an answer; loads it where only that tells."""
        backend = self._backend()
        if backend.completes is None:
            await backend.load()
        return {"completes": backend.completes, "begins": backend.begins}

    async def complete(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer several requests, together where the backend takes batches."""
        backend = self._backend()
        requests = [serialization.unpack_request(data, backend) for data in message["requests"]]
        if backend.capabilities.batch_size > 1:
            outcomes: list[Any] = list(await backend.complete_many(requests))
        else:
            outcomes = await asyncio.gather(*map(backend.complete, requests), return_exceptions=True)
        packed = [serialization.pack_outcome(outcome) for outcome in outcomes]
        return {"outcomes": packed, "facts": dict(backend.observe())}

    async def embed(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Vectors of the texts."""
        return serialization.pack_outcome(await self._backend().embed(message["texts"]))

    def _backend(self) -> Backend:
        if self.backend is None:
            raise ModelLoadError("nothing was loaded in this process.")
        return self.backend


def _loaded(message: Mapping[str, Any]) -> Backend:
    from llm_magics.backends.namespaces import nested_backend

    given = SpecSource(message["keys"])
    if message.get("loader"):
        return nested_backend(serialization.imported(message["loader"])(), given)
    return nested_backend(serialization.unpack_spec(message["spec"]), given)


def _hint(loader: str) -> str:
    """How to see a loader's whole error."""
    module, _, name = loader.partition(":")
    return f"All of it, in this notebook: import {module}; {module}.{name}()" if name else ""


def listen(source: Any, take: Callable[[Mapping[str, Any]], None], ended: Callable[[], None]) -> None:
    """Read messages until the pipe closes."""
    while len(head := source.read(HEAD.size)) == HEAD.size:
        take(json.loads(source.read(HEAD.unpack(head)[0])))
    ended()


async def serve(write: Callable[[bytes], None]) -> None:
    """Answer until the parent is gone."""
    loop = asyncio.get_running_loop()
    child = Child(write)
    reader = threading.Thread(
        target=listen,
        args=(
            sys.stdin.buffer,
            lambda message: loop.call_soon_threadsafe(child.take, message),
            lambda: os._exit(0),
        ),
        daemon=True,
    )
    reader.start()
    await asyncio.Event().wait()


def main() -> None:
    """The entry point: keep the pipe for messages, send everything printed to stderr."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    sending = threading.Lock()

    def write(message: bytes) -> None:
        with sending:
            rest = memoryview(HEAD.pack(len(message)) + message)
            while rest:
                rest = rest[os.write(pipe, rest) :]

    asyncio.run(serve(write))


if __name__ == "__main__":
    main()
