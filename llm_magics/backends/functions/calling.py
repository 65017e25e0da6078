"""Calling the user's functions: which arguments they take, and calls side by side."""

from __future__ import annotations

import asyncio
import dis
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llm_magics.backends.threads import LoopThread, Watched, in_thread


@dataclass(frozen=True)
class Shape:
    """The arguments of a function. ``names`` are the parameters it takes, None for any."""

    wants_model: bool = False
    argument: str = "prompt"
    names: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> Shape:
        """Read the arguments from the signature."""
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
    """Calls a user's function so that sync functions are as concurrent as async ones.

    Async functions share one loop in a thread of their own, where a function that blocks delays nobody
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
        """The first call of an async function, watched for whether it waits."""
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


def copy_import(error: NameError, setup_fn: Callable[..., Any] | None, fn: Callable[..., Any]) -> str:
    """Give ``fn`` the module whose absence is ``error``, where ``setup_fn`` imports it under that name.

    Returns a note for the user, empty where nothing was copied.
    """
    space = getattr(fn, "__globals__", None)
    if setup_fn is None or space is None or not error.name or error.name in space:
        return ""
    imported = _imports(setup_fn).get(error.name)
    if imported is None:
        return ""
    space[error.name] = imported
    return (
        f"{fn.__name__} uses {error.name!r}, which only {setup_fn.__name__} imports; it was made visible. "
        "Import it at the top of the notebook."
    )


def _imports(setup_fn: Callable[..., Any]) -> dict[str, Any]:
    """The local names that ``setup_fn``'s import statements bind, with what they are bound to."""
    code = getattr(setup_fn, "__code__", None)
    if code is None:
        return {}
    module, source, found = "", "", {}
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            module = source = step.argval
        elif step.opname == "IMPORT_FROM":
            source = f"{module}:{step.argval}"
        elif step.opname.startswith(("STORE_FAST", "STORE_DEREF")) and source:
            name = step.argval[0] if isinstance(step.argval, tuple) else step.argval  # 3.13 joins steps
            found[name] = _bound(source, name)
            source = ""
    return {name: value for name, value in found.items() if value is not None}


def _bound(source: str, name: str) -> Any:
    """What ``import a.b as c``, ``import a.b`` or ``from a import b`` bound to ``name``.

    ``import a.b as c`` compiles to ``a.b:b``, ``from a import b`` to ``a:b``.
    """
    module, _, member = source.partition(":")
    if not member:
        top = module.partition(".")[0]
        return sys.modules.get(top if name == top else module)
    held = sys.modules.get(module)
    return getattr(held, member, None) or sys.modules.get(f"{module}.{member}") or held
