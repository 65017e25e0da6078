"""Functions of the user: how they want to be called, and calling them side by side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm_magics.backends.threads import LoopThread, Watched, in_thread


@dataclass(frozen=True)
class Shape:
    """How a function wants to be called. ``names`` are the parameters it takes, None for any."""

    wants_model: bool = False
    argument: str = "prompt"
    names: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> Shape:
        """Read it off the signature."""
        try:
            parameters = list(inspect.signature(fn).parameters.values())
        except (TypeError, ValueError):  # some built-ins have none
            return cls()
        ahead = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [p for p in ahead if p.default is p.empty]
        wants_model = len(needed) >= 2
        told = needed[1] if wants_model else next(iter(needed or ahead), None)
        names = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty}
        free = wants_model or any(p.kind is p.VAR_KEYWORD for p in parameters)
        argument = told.name if told and told.name in ("messages", "request", "prompts") else "prompt"
        return cls(wants_model, argument, None if free else frozenset(names - {getattr(told, "name", "")}))

    def takes(self, name: str) -> bool:
        """True for a parameter passed by name; LLooM's functions read theirs from ``model.args``."""
        if self.names is None:
            return not self.wants_model and not name.startswith("prompt_format")
        return name in self.names


class Caller:
    """Calls a user's function so that sync ones are as concurrent as async ones.

    Async functions share one loop in a thread of their own, where what they block holds up nobody
    else. The first call shows whether the function ever waits; one that doesn't gets a thread a call.
    """

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self.fn = fn
        self.name = name
        is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)
        self.blocks: bool | None = None if is_async else True
        self._loop: LoopThread | None = None
        self._first = asyncio.Lock()

    async def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        """The function's result."""
        call = partial(self.fn, *arguments, **parameters)
        if self.blocks is None:
            async with self._first:
                if self.blocks is None:
                    return await self._observed(call)
        if self.blocks:
            return await in_thread(partial(_finished, call), self.name)
        return await self._own_loop().run(call())

    async def _observed(self, call: Callable[[], Any]) -> Any:
        """The first call of an async function, watched."""
        watched = Watched(call())

        async def run() -> Any:
            return await watched

        result = await self._own_loop().run(run())
        self.blocks = not watched.waited
        return result

    def _own_loop(self) -> LoopThread:
        if self._loop is None:
            self._loop = LoopThread(self.name)
        return self._loop

    def close(self) -> None:
        """End the function's loop."""
        if self._loop is not None:
            self._loop.stop()
            self._loop = None


def _finished(call: Callable[[], Any]) -> Any:
    """A call's result; a coroutine runs to its end in this thread."""
    result = call()
    if inspect.isawaitable(result):

        async def wait() -> Any:
            return await result

        return asyncio.run(wait())
    return result
