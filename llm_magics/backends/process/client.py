"""The backend that runs another one in a child process (distilabel's ProcessLLM): its crash is an error."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from llm_magics.backends.base import Backend, BatchBackend, Secrets
from llm_magics.backends.namespaces import nested_backend
from llm_magics.backends.process import serialization
from llm_magics.backends.process.child import HEAD
from llm_magics.core.errors import ConnectionLost, LLMError, MalformedAnswer, ModelLoadError, UsageError
from llm_magics.core.limits import override_limits
from llm_magics.core.types import EMPTY, BackendSpec, Capabilities, Embedding, Request, Response

MAX_CRASHES = 3
"""Crashes of the process in a row, without an answer between them, that stop a run."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the process gets to end by itself."""


class ProcessBackend(BatchBackend):
    """Runs another backend in a child process, loaded there by the first call.

    ``spec.options``: ``members`` with the one backend to run (a spec or ``namespace::model``), or
    ``loader``: a function of a module (or ``"module:function"``) that returns one. A loader that
    raises is a ModelLoadError with its message; a process that dies is ConnectionLost for the rows
    that were with it, and the next row starts it anew, three times at most without an answer. The
    child has the parent's environment; other keys reach it through the pipe. It ends with its parent.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.loader = _loader(spec.options.get("loader"))
        self._message: dict[str, Any] = {"loader": self.loader}
        self.inner = None if self.loader else _inner(spec, secrets)
        if self.inner is not None:
            self.capabilities = self.inner.capabilities
            self.limits = override_limits(self.inner.limits, spec.limits)
            self.model = self.inner.model
            self.base_url = f"process:{self.inner.namespace}@{self.inner.base_url}"
            self.price = spec.price or self.inner.price
            self.parameters = {**self.inner.parameters, **spec.parameters}
            self._message = {"spec": serialization.pack_spec(self.inner.spec)}
            _check(self._message, self.name)
        else:
            self.base_url = f"process:{self.loader}"
        self.facts: Mapping[str, float] = EMPTY
        self.crashes = 0
        self._completes: bool | None = None
        self._begins = False
        self._counted: Connection | None = None
        self._child: Connection | None = None
        self._starting: asyncio.Task[Connection] | None = None

    @property
    def begins(self) -> bool:
        """Whether the inner model continues an answer; False until its process has told."""
        return self._begins if self._completes is not None or self.inner is None else self.inner.begins

    @property
    def completes(self) -> bool | None:
        """Whether the inner model has no chat template; None where only its process can tell."""
        if self._completes is None and self.inner is not None:
            return self.inner.completes
        return self._completes

    async def load(self) -> None:
        """Let the process load the model and say whether it has a chat template."""
        told = await self._ask(await self._running(), "form")
        self._completes, self._begins = bool(told["completes"]), bool(told["begins"])

    async def open(self) -> None:
        """Start the process and load the model. Raises ModelLoadError, or what the loader raised."""
        await self._running()

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Several requests in one message."""
        child = await self._running()
        told = await self._ask(child, "complete", requests=[serialization.pack_request(r) for r in requests])
        self.facts = told["facts"]
        outcomes = [serialization.unpack_outcome(data) for data in told["outcomes"]]
        return [o if isinstance(o, Response | LLMError) else MalformedAnswer("no answer") for o in outcomes]

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors from the other process."""
        child = await self._running()
        made = serialization.unpack_outcome(await self._ask(child, "embed", texts=list(texts)))
        assert isinstance(made, Embedding)
        return made

    def observe(self) -> Mapping[str, float]:
        """The rate limits that the inner backend last saw."""
        return self.facts

    async def _ask(self, child: Connection, what: str, **more: Any) -> Mapping[str, Any]:
        """Send and wait; a crash of the process is counted, an answer resets the count."""
        try:
            told = await child.ask(what, **more)
        except ConnectionLost as error:
            self.crashes += child is not self._counted  # many rows may have been with it: one crash
            self._counted = child
            if self.crashes >= MAX_CRASHES:
                said = f"{error.message} That is {self.crashes} times in a row."
                hint = error.hint or "What it runs ends its process: run it here to see why."
                raise ModelLoadError(said, hint=hint) from error
            raise
        self.crashes = 0
        return told

    async def _running(self) -> Connection:
        """The child, started and loaded once for all who wait; a start outlives the row that began it."""
        if self._child is not None and self._child.alive:
            return self._child
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._child = await asyncio.shield(self._starting)
        return self._child

    async def _start(self) -> Connection:
        child = await Connection.open(self.name)
        try:
            told = await child.ask("load", keys=self._keys(), **self._message)
        except ConnectionLost as error:
            raise ModelLoadError(f"{error.message} It died while loading.", hint=error.hint) from error
        except BaseException:
            await child.close()
            raise
        if self.inner is None:
            self.capabilities = Capabilities(**told["can"])
        return child

    def _keys(self) -> dict[str, str]:
        """The secrets behind the inner backend's references, resolved for this start."""
        if self.inner is None or self.secrets is None:
            return {}
        spec = self.inner.spec
        wanted = {spec.key, *spec.headers.values()} - {""}
        found = {each: self.secrets.resolve(each) for each in wanted if ":" in each}
        return {name: value for name, value in found.items() if value}

    async def close(self) -> None:
        """End the process; the next call starts another."""
        child, self._child, self._starting = self._child, None, None
        self.crashes = 0
        if child is not None:
            await child.close()


class Connection:
    """One child process and the messages to it."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.process = process
        self.name = name
        self.waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self.printed: deque[str] = deque(maxlen=20)
        self.number = 0
        self.alive = True
        self._tasks = [asyncio.create_task(self._read_answers()), asyncio.create_task(self._read_stderr())]

    @classmethod
    async def open(cls, name: str) -> Connection:
        """Start a child in a session of its own, so that the kernel's interrupt does not reach it."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "llm_magics.backends.process.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=os.name == "posix",
        )
        return cls(process, name)

    async def ask(self, what: str, **more: Any) -> Mapping[str, Any]:
        """Send a message and wait for its answer.

        Raises its error, or ConnectionLost where the process dies.
        """
        self.number += 1
        number = self.number
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        try:
            await self._send({"id": number, "do": what, **more})
            told = await answer
        except asyncio.CancelledError:
            self._tell_cancelled(number)
            raise
        finally:
            self.waiting.pop(number, None)
        if "error" in told:
            failed = serialization.unpack_outcome(told)
            assert isinstance(failed, LLMError)
            raise failed
        return told

    async def _send(self, message: Mapping[str, Any]) -> None:
        if not self.alive:
            raise self._crash()
        body = json.dumps(message).encode("utf-8", "surrogatepass")
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError):  # _read_answers raises it for those that wait
            self.process.stdin.write(HEAD.pack(len(body)) + body)
            await self.process.stdin.drain()

    def _tell_cancelled(self, number: int) -> None:
        """Tell the child that nobody waits for this answer any more."""
        if self.alive and self.process.stdin is not None:
            body = json.dumps({"id": number, "do": "cancel"}).encode()
            with contextlib.suppress(ConnectionError, RuntimeError):
                self.process.stdin.write(HEAD.pack(len(body)) + body)

    async def _read_answers(self) -> None:
        """Pass each answer to who waits for it; once the process has ended, fail all that wait."""
        source = self.process.stdout
        assert source is not None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = HEAD.unpack(await source.readexactly(HEAD.size))
                told = json.loads(await source.readexactly(size))
                answer = self.waiting.get(told["id"])
                if answer is not None and not answer.done():
                    answer.set_result(told)
        await self.process.wait()
        await asyncio.wait(self._tasks[1:], timeout=1)  # its last words
        self.alive = False
        if self.process.stdin is not None:
            self.process.stdin.close()
        for answer in self.waiting.values():
            if not answer.done():
                answer.set_exception(self._crash())

    async def _read_stderr(self) -> None:
        """Keep the last lines that the process printed, for an error message."""
        source = self.process.stderr
        assert source is not None
        while chunk := await source.read(4096):
            self.printed.extend(chunk.decode("utf-8", "replace").splitlines())

    def _crash(self) -> ConnectionLost:
        """The error that says how the process ended, with the last line that it printed."""
        code = self.process.returncode
        last = next((line for line in reversed(self.printed) if line.strip()), "")
        how = (
            f"was ended by {signal.Signals(-code).name}"
            if code is not None and code < 0
            else f"ended with {code}"
        )
        hint = "Did the machine run out of memory? Take a smaller model." if code in (-9, 137) else ""
        return ConnectionLost(
            f"the process of {self.name} {how}.{' It said: ' + last[:300] if last else ''}", hint=hint
        )

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self) -> None:
        """Close the pipe, which ends it; kill it if that takes too long."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            await self.process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _loader(given: Any) -> str:
    """The loader as ``module:function``; empty without one."""
    if not given:
        return ""
    return given if isinstance(given, str) else serialization.reference(given)


def _check(message: Mapping[str, Any], name: str) -> None:
    """Raises for what can't be sent through a pipe."""
    try:
        json.dumps(message)
    except TypeError as error:
        raise UsageError(f"{name}: another process can't have this: {error}") from error


def _inner(spec: BackendSpec, secrets: Secrets | None) -> Backend:
    """The inner backend; it is only described here, and opens nothing."""
    given = spec.options.get("members") or [spec.options.get("target")]
    if isinstance(given, str) or len(given) != 1 or given[0] is None:
        raise UsageError(
            f"{spec.name or 'process'} runs one backend.", hint="%llm_config add NAME --process OTHER"
        )
    return nested_backend(given[0], secrets)
