"""The budget of a run: no request is sent that could exceed it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llm_magics.backends import pricing
from llm_magics.core import tokens
from llm_magics.core.errors import BudgetExceeded
from llm_magics.core.types import Price, Request, Usage

GUESS = 256
"""Output tokens of a request without a maximum, before any response was seen."""


def input_tokens(request: Request) -> int:
    """Estimated tokens of the prompt, a few added for each message; of an embedding, those of the text."""
    if not request.messages:
        return tokens.estimate_tokens(request.subject)
    return sum(tokens.estimate_tokens(message.content) + 4 for message in request.messages)


class TokenEstimator:
    """Estimates the tokens of the next request from the responses so far."""

    def __init__(self) -> None:
        self.output = 0
        self.ratio = 1.0
        self.seen = 0
        self.mean = 0.0

    def learn(self, usage: Usage) -> None:
        """Take in a response's output tokens: the longest and the mean."""
        self.seen += 1
        self.output = max(self.output, usage.output_tokens)
        self.mean += (usage.output_tokens - self.mean) / self.seen

    def compare(self, request: Request, usage: Usage) -> None:
        """Take in how far the estimate of a prompt was off."""
        if usage.input_tokens and not usage.estimated:
            self.ratio = max(self.ratio, usage.input_tokens / max(1, input_tokens(request)))

    def tokens(self, request: Request) -> tuple[float, float]:
        """Input and output tokens of a request, estimated on the high side."""
        return input_tokens(request) * self.ratio, self.output if self.seen else self._guess(request)

    def likely(self, request: Request) -> float:
        """Input and output tokens together, most likely; cheap, for tokens a minute."""
        output = self.mean if self.seen else min(self._guess(request), GUESS)
        characters = sum(len(content) for _, content in request.messages) or len(request.subject)
        return characters / 4 + 4 * len(request.messages) + output

    @staticmethod
    def _guess(request: Request) -> float:
        named = request.parameters.get("max_new_tokens") or request.parameters.get("max_tokens")
        return float(named) if isinstance(named, int | float) else float(GUESS * request.rows_per_request)


class Budget:
    """Money spent, money reserved for requests in flight, and the limit for both."""

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
        """Reserve the estimated cost of ``requests``; waits where requests in flight may free money.

        Raises BudgetExceeded where the limit would be exceeded.
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
        """Release a reservation."""
        if self.limit is not None:
            self.reserved = max(0.0, self.reserved - reserved)
            self.in_flight -= 1
            self._settled.set()

    def spend(self, request: Request, usage: Usage) -> None:
        """Count a response; one without a known price counts nothing."""
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
