"""What the owner thread is asked for: one piece of work a row, with a future for its answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_magics.backends.in_kernel.label_trie import Tree
from llm_magics.backends.listening import Listener

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


Kind: TypeAlias = "tuple[Hashable, type[Work]]"
"""What may go into one decode: the group of a prompt and the sort of work."""


@dataclass(eq=False)
class Work:
    """One row's work. ``group`` is equal for rows that share a prompt: they go into the same decode."""

    group: Hashable
    future: Future[Any] = field(default_factory=Future, init=False)
    arrived: float = field(default=0.0, init=False)

    @property
    def kind(self) -> Kind:
        """Equal for works that may go into one decode."""
        return self.group, type(self)

    @property
    def dropped(self) -> bool:
        """True where nobody waits for the answer any more."""
        return self.future.cancelled()

    def answer(self, value: Any) -> None:
        """Hand over the answer; nothing happens where nobody waits."""
        if not self.future.cancelled():
            with contextlib.suppress(InvalidStateError):
                self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Hand over the reason why there is none."""
        if not self.future.cancelled():
            with contextlib.suppress(InvalidStateError):
                self.future.set_exception(error)


@dataclass(eq=False)
class Scoring(Work):
    """Evaluate a tree. ``read(number, logits)`` keeps what is needed of an output's row of logits.

    The answer is a Scored.
    """

    tree: Tree
    read: Callable[[int, NDArray[Any]], Any]
    pieces: dict[int, Any] = field(default_factory=dict, init=False)

    @property
    def prompt(self) -> NDArray[Any]:
        """The tokens that a shared prefix may be taken from."""
        return self.tree.tokens[: self.tree.chain]


@dataclass(frozen=True)
class Scored:
    """The pieces by output number, and how many prompt tokens were not evaluated again."""

    pieces: Mapping[int, Any]
    reused: int


@dataclass(eq=False)
class Writing(Work):
    """Continue a prompt by up to ``most`` tokens. ``sampling`` holds the parameters, seed among them.

    ``stop`` are byte strings that end the text, ``heard`` is told the text so far. The answer is a Written.
    """

    prompt: NDArray[Any]
    most: int
    sampling: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[bytes, ...] = ()
    grammar: str = ""
    heard: Listener | None = None


@dataclass(frozen=True)
class Written:
    """The text, why it ended (``stop`` or ``length``), its tokens, and the prompt tokens reused."""

    text: str
    finish: str
    tokens: int
    reused: int


@dataclass(eq=False)
class Embedding(Work):
    """Embed the tokens; the answer is a float32 array."""

    tokens: NDArray[Any]
