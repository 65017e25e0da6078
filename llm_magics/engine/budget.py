"""What a run may spend: nothing is sent that could pass the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llm_magics.backends import pricing
from llm_magics.core import tokens
from llm_magics.core.errors import BudgetExceeded
from llm_magics.core.types import Price, Request, Usage

GUESS = 256
"""Output tokens of a request that names no maximum, before any answer has shown better."""


def input_tokens(request: Request) -> int:
    """Roughly the tokens of the prompt, with a few a message; the subject's where there are none."""
    if not request.messages:
        return tokens.by_length(request.subject)
    return sum(tokens.by_length(message.content) + 4 for message in request.messages)


class TokenEstimator:
    """How many tokens the next request takes, learned from the answers so far."""

    def __init__(self) -> None:
        self.output = 0
        self.ratio = 1.0
        self.seen = 0
        self.mean = 0.0

    def learn(self, usage: Usage) -> None:
        """Remember the longest answer and the mean."""
        self.seen += 1
        self.output = max(self.output, usage.output_tokens)
        self.mean += (usage.output_tokens - self.mean) / self.seen

    def compare(self, request: Request, usage: Usage) -> None:
        """Remember how far the guess of the prompt was off."""
        if usage.input_tokens and not usage.estimated:
            self.ratio = max(self.ratio, usage.input_tokens / max(1, input_tokens(request)))

    def tokens(self, request: Request) -> tuple[float, float]:
        """Input and output tokens, on the high side."""
        return input_tokens(request) * self.ratio, self.output if self.seen else self._guess(request)

    def likely(self, request: Request) -> float:
        """Input and output tokens together, as they most likely are; quick, for tokens a minute."""
        output = self.mean if self.seen else min(self._guess(request), GUESS)
        characters = sum(len(content) for _, content in request.messages) or len(request.subject)
        return characters / 4 + 4 * len(request.messages) + output

    @staticmethod
    def _guess(request: Request) -> float:
        named = request.parameters.get("max_new_tokens") or request.parameters.get("max_tokens")
        return float(named) if isinstance(named, int | float) else float(GUESS * request.rows_per_request)


class Budget:
    """Money spent, money reserved for what is in flight, and the limit for both."""

    def __init__(self, limit: float | None, price: Price | None) -> None:
        self.limit = limit
        self.price = price
        self.spent = 0.0
        self.reserved = 0.0
        self.in_flight = 0
        self.stopped: BudgetExceeded | None = None
        self.expects = TokenEstimator()
        self._settled = asyncio.Event()

    async def reserve(self, requests: Sequence[Request]) -> float:
        """Set aside what ``requests`` will cost; waits where answers under way may free money.

        Raises BudgetExceeded where it would pass the limit.
        """
        if self.limit is None:
            return 0.0
        while True:
            if self.stopped is not None:
                raise self.stopped
            wanted = sum(self._estimate(request) for request in requests)
            if self.spent + self.reserved + wanted <= self.limit:
                self.reserved += wanted
                self.in_flight += 1
                return wanted
            if not self.in_flight:
                raise self._stop(wanted)
            self._settled.clear()
            await self._settled.wait()

    def settle(self, reserved: float) -> None:
        """What was reserved is no longer in flight."""
        if self.limit is not None:
            self.reserved = max(0.0, self.reserved - reserved)
            self.in_flight -= 1
            self._settled.set()

    def spend(self, request: Request, usage: Usage) -> None:
        """Count an answer; one of unknown price costs nothing here."""
        self.expects.learn(usage)
        if self.limit is not None:
            self.expects.compare(request, usage)
            self.spent += usage.cost or 0.0

    def _estimate(self, request: Request) -> float:
        given, made = self.expects.tokens(request)
        return pricing.cost(self.price, round(given), round(made)) or 0.0

    def _stop(self, wanted: float) -> BudgetExceeded:
        self.stopped = BudgetExceeded(
            f"--max-cost {self.limit:.10f}".rstrip("0").rstrip(".") + " would be passed: "
            f"${self.spent:.4f} spent, about ${wanted:.4f} for the next request.",
            hint="What was answered is kept; raise --max-cost and run the cell again for the rest.",
        )
        return self.stopped
