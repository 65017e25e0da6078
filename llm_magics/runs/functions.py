"""Public functions made of declared options: ``label(data, ...)`` plans a run and executes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import cleandoc
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from llm_magics.options.option import build, described, signature
from llm_magics.options.run_options import RunOptions
from llm_magics.runs.execution import execute
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current

P = ParamSpec("P")
O = TypeVar("O")  # noqa: E741 - the type of the options
R = TypeVar("R", bound=RunOptions)


class OptionFunction(Protocol[P]):
    """A public function whose arguments are the fields of ``options``."""

    __name__: str
    options: type[Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Build the record of options and do what it asks for."""


class RunFunction(OptionFunction[P], Protocol[P]):
    """A public function that makes a plan of its options and executes it."""

    plan: Callable[[Session, Any], Plan]


def option_function(options: Callable[P, O]) -> Callable[[Callable[[O], Any]], OptionFunction[P]]:
    """Make a function of a record of options into the public function that takes the options one by one.

    The arguments, their defaults and their documentation come from the declarations. The function raises
    NotFound for an option that there isn't.
    """
    kind = cast("type[O]", options)

    def decorate(call: Callable[[O], Any]) -> OptionFunction[P]:
        def function(*arguments: Any, **named: Any) -> Any:
            return call(build(kind, arguments, named))

        made: Any = function
        made.__module__, made.__name__, made.__qualname__ = call.__module__, call.__name__, call.__qualname__
        made.__doc__ = f"{cleandoc(call.__doc__ or '')}\n\n{described(kind)}"
        made.__signature__, made.options = signature(kind), kind
        return cast("OptionFunction[P]", made)

    return decorate


def run_function(options: Callable[P, R]) -> Callable[[Callable[[Session, R], Plan]], RunFunction[P]]:
    """Make a function from options to a plan into the public function that executes the plan."""

    def decorate(plan: Callable[[Session, R], Plan]) -> RunFunction[P]:
        def call(asked: R) -> Any:
            session = current()
            return execute(session, plan(session, asked), asked)

        call.__module__, call.__name__, call.__qualname__ = plan.__module__, plan.__name__, plan.__qualname__
        call.__doc__ = plan.__doc__
        made: Any = option_function(options)(call)
        made.plan = plan
        return cast("RunFunction[P]", made)

    return decorate


def in_background(function: OptionFunction[P]) -> Callable[P, Awaitable[Any]]:
    """The same function for a running event loop: awaiting it leaves other cells and widgets live."""

    async def awaited(*arguments: Any, **named: Any) -> Any:
        return await cast("Callable[..., Any]", function)(*arguments, **{**named, "background": True})

    made: Any = awaited
    made.__module__ = function.__module__
    made.__name__ = made.__qualname__ = f"{function.__name__}_async"
    made.__doc__ = f"``{function.__name__}`` for a running event loop: other cells stay live meanwhile."
    made.__signature__ = signature(function.options)
    return cast("Callable[P, Awaitable[Any]]", made)
