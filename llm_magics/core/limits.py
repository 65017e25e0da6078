"""Rate limits of one backend: requests and tokens per minute, windows, adaptive concurrency.

All cells and runs share one ``RateLimiter`` per backend. Time is read from the event loop, so that a loop
with virtual time (``llm_magics.testing.clock``) makes every wait instant. A request that waits holds no
permit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from llm_magics.core.errors import Overloaded, RateLimited, Timeout
from llm_magics.core.types import Limits

INITIAL_CONCURRENCY = 8
"""Requests in flight at the start, while a host's capacity is unknown and the user set no number."""

LONGEST_PAUSE = 900.0
"""The longest Retry-After, in seconds, that is waited for."""

BUSY_STATUSES = frozenset({None, 503, 504, 529})
"""HTTP statuses that mean too many requests in flight rather than a fault; None where no status is known."""

UNBOUNDED = float("inf")
DEFAULT_LIMITS = Limits()


def override_limits(limits: Limits, flags: Limits | None) -> Limits:
    """Return ``limits`` with each field replaced that ``flags`` sets to a value other than its default."""
    if flags is None:
        return limits
    names = (field.name for field in dataclasses.fields(Limits))
    overrides = {
        name: getattr(flags, name) for name in names if getattr(flags, name) != getattr(DEFAULT_LIMITS, name)
    }
    return dataclasses.replace(limits, **overrides)


def strictest_limits(several: Iterable[Limits]) -> Limits:
    """Return the smallest value of each limit, and the slowest of the windows."""
    several = list(several)
    windows = [limits.window for limits in several if limits.window]
    return Limits(
        rpm=min((limits.rpm for limits in several if limits.rpm), default=None),
        tpm=min((limits.tpm for limits in several if limits.tpm), default=None),
        window=min(windows, key=lambda window: window[0] / window[1], default=None),
        concurrency=min((limits.concurrency for limits in several if limits.concurrency), default=None),
    )


class TokenBucket:
    """A token bucket that refills evenly; infinite until a limit is known.

    ``user_limit`` and ``host_limit`` (from response headers), both per minute, hold side by side: the
    smaller one counts. ``level`` is what may be taken now, ``rate`` the refill per second.
    """

    def __init__(self) -> None:
        self.user_limit: float | None = None
        self.host_limit: float | None = None
        self.capacity = UNBOUNDED
        self.rate = UNBOUNDED
        self.level = UNBOUNDED
        self.updated = 0.0

    def limit(self, per_minute: float | None) -> None:
        """Set what the user allows per minute; None is no limit."""
        self.user_limit = per_minute
        self._resize()

    def _resize(self, rate: float | None = None) -> None:
        known = [limit for limit in (self.user_limit, self.host_limit) if limit is not None]
        self.capacity = min(known, default=UNBOUNDED)
        self.rate = self.capacity / 60 if rate is None else min(rate, self.capacity / 60)
        self.level = min(self.level, self.capacity)

    def observe(
        self, now: float, limit: float, remaining: float, reset: float | None, in_flight: float
    ) -> None:
        """Adopt the host's count, from its response headers, where it is stricter than the local one.

        ``reset`` is the time in seconds until the quota is full again; a time far beyond a minute belongs
        to a slower quota (requests per day).
        """
        self.refill(now)
        first = self.host_limit is None
        self.host_limit = limit
        slower = reset is not None and reset > 90 and remaining < limit
        self._resize((limit - remaining) / reset if slower and reset else None)
        self.level = min(self.level, remaining - (in_flight if first else 0))

    def refill(self, now: float) -> None:
        """Add what was refilled up to the time ``now``."""
        if self.capacity is not UNBOUNDED:
            self.level = min(self.capacity, self.level + (now - self.updated) * self.rate)
        self.updated = now

    def wait(self, now: float, amount: float) -> float:
        """Return the seconds until ``amount`` may be taken, at most until the bucket is full."""
        if self.capacity is UNBOUNDED:
            return 0.0
        self.refill(now)
        missing = min(amount, self.capacity) - self.level
        return missing / self.rate if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Take ``amount`` (negative gives back); nothing is counted while there is no limit."""
        if self.capacity is UNBOUNDED:
            return
        self.level = min(self.capacity, self.level - amount)


class SlidingWindow:
    """At most ``n`` starts in any span of ``seconds`` (LLooM's rate_limit tuple).

    The span is lengthened a little, because requests that leave evenly may arrive at the host unevenly.
    """

    def __init__(self, n: int, seconds: float) -> None:
        self.n = n
        self.span = seconds + min(0.05, 0.02 * seconds)
        self.starts: deque[float] = deque(maxlen=n)

    def wait(self, now: float) -> float:
        """Return the seconds until one more request may start."""
        if len(self.starts) < self.n:
            return 0.0
        return max(0.0, self.starts[0] + self.span - now)

    def take(self, now: float) -> None:
        """Count one start."""
        self.starts.append(now)


class AdaptiveConcurrency:
    """The allowed number of requests in flight, adapted to the host like TCP's congestion window.

    The number doubles each round trip until the first refusal (slow start), then grows by one per round
    trip (Jacobson 1988). A refusal multiplies it by 0.7, at most once per round trip, and a 429 restarts
    it at one. ``threshold`` is where the growth changes; it is infinite until the first refusal.
    """

    def __init__(self, cap: int, *, start: int = INITIAL_CONCURRENCY) -> None:
        self.cap = cap
        self.allowed = float(min(cap, start))
        self.threshold = UNBOUNDED
        self.changed = 0.0

    def resize(self, cap: int, *, start: int | None = None) -> None:
        """Set a new maximum; a number that the user set (``start``) takes effect at once."""
        self.cap = cap
        wanted = self.allowed if start is None or self.threshold is not UNBOUNDED else start
        self.allowed = float(max(1, min(cap, wanted)))

    def record_success(self) -> None:
        """Count a success, which allows a little more concurrency."""
        step = 1.0 if self.allowed < self.threshold else 1.0 / self.allowed
        self.allowed = min(float(self.cap), self.allowed + step)

    def record_refusal(self, started: float, now: float, *, restart: bool) -> bool:
        """Lower the concurrency; returns False for a request that was sent before the last decrease."""
        if started < self.changed:
            return False
        self.changed = now
        self.threshold = max(1.0, self.allowed * 0.7)
        self.allowed = 1.0 if restart else self.threshold
        return True


@dataclass(slots=True)
class Permit:
    """One request in flight: when it started, and its estimated tokens."""

    started: float
    tokens: float


class RateLimiter:
    """The rate limiter of one backend: ``acquire`` before a request, ``release`` after it."""

    def __init__(self, cap: int = 64, *, start: int = INITIAL_CONCURRENCY) -> None:
        self.cap = cap
        self.requests = TokenBucket()
        self.tokens = TokenBucket()
        self.window: SlidingWindow | None = None
        self.concurrency = AdaptiveConcurrency(cap, start=start)
        self.in_flight = 0
        self.paused_until = 0.0
        self.refusals = 0
        self._active: list[Limits] = []
        self._waiting: deque[tuple[asyncio.Future[Permit], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def applied(self, limits: Limits) -> Iterator[None]:
        """Apply ``limits`` for the duration of a run; with several runs at once the strictest limits hold."""
        self._active.append(limits)
        self._apply_active_limits()
        try:
            yield
        finally:
            self._active.remove(limits)
            if self._active:
                self._apply_active_limits()

    def _apply_active_limits(self) -> None:
        limits = strictest_limits(self._active)
        self.requests.limit(limits.rpm)
        self.tokens.limit(limits.tpm)
        chosen = limits.concurrency
        self.concurrency.resize(chosen or self.cap, start=chosen)
        if limits.window is None:
            self.window = None
            return
        window = SlidingWindow(*limits.window)
        if self.window is None:
            self.window = window
        elif (self.window.n, self.window.span) != (window.n, window.span):
            window.starts.extend(self.window.starts)
            self.window = window

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens are limited, so that ``acquire`` needs an estimate of them."""
        return self.tokens.capacity is not UNBOUNDED

    @property
    def is_saturated(self) -> bool:
        """Whether the host refused before and the queue is as long as its capacity."""
        refused = self.concurrency.threshold is not UNBOUNDED
        return refused and len(self._waiting) >= self.concurrency.allowed

    async def acquire(self, tokens: float = 0.0) -> Permit:
        """Wait for a permit, first come, first served; ``tokens`` is the request's estimate."""
        now = asyncio.get_running_loop().time()
        if not self._waiting and self._delay(now, tokens) == 0.0:
            return self._grant(now, tokens)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, tokens))
        self._grant_waiting()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release(future.result())
            self._grant_waiting()
            raise

    def release(self, permit: Permit, tokens: float | None = None) -> None:
        """End a request; the ``tokens`` that it really used replace the estimate."""
        self.in_flight -= 1
        if tokens is not None and self.counts_tokens:
            self.tokens.take(tokens - permit.tokens)
        if self._waiting:
            self._grant_waiting()

    def record_success(self) -> None:
        """Count an answer that came in time."""
        self.refusals = 0
        self.concurrency.record_success()

    def record_outcome(self, permit: Permit, fault: object) -> None:
        """Adapt to the outcome of a request: a retryable error, or None for a success."""
        retry_after = float(getattr(fault, "retry_after", None) or 0.0)
        if fault is None:
            self.record_success()
        elif isinstance(fault, RateLimited):
            jittered = retry_after * (1 + 0.1 * random.random())  # noqa: S311 - jitter, not a secret
            pause = jittered if 0 < jittered < LONGEST_PAUSE else backoff_seconds(self.refusals)
            self.record_refusal(permit, pause, restart=True)
        elif isinstance(fault, Timeout) or (isinstance(fault, Overloaded) and fault.status in BUSY_STATUSES):
            self.record_refusal(permit, min(retry_after, LONGEST_PAUSE), restart=False)

    def record_refusal(self, permit: Permit, pause: float | None, *, restart: bool) -> None:
        """Adapt to a 429 (``restart``), a 503 or a timeout; no request starts for ``pause`` seconds."""
        now = asyncio.get_running_loop().time()
        if self.concurrency.record_refusal(permit.started, now, restart=restart) and restart:
            self.refusals += 1
        if pause:
            self.paused_until = max(self.paused_until, now + pause)

    def observe(self, facts: Mapping[str, float]) -> None:
        """Adopt the values of the host's rate-limit headers (see ``Backend.observe``)."""
        now = asyncio.get_running_loop().time()
        for kind, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            limit, remaining = facts.get(f"limit_{kind}"), facts.get(f"remaining_{kind}")
            if limit and remaining is not None:
                in_flight = self.in_flight if kind == "requests" else 0.0
                bucket.observe(now, limit, remaining, facts.get(f"reset_{kind}"), in_flight)

    def _delay(self, now: float, tokens: float) -> float:
        """Return the seconds until the next request may start; infinite until another one ends."""
        if self.in_flight >= int(self.concurrency.allowed):
            return UNBOUNDED
        if self.paused_until > now:
            return self.paused_until - now
        return max(
            self.requests.wait(now, 1.0),
            self.tokens.wait(now, tokens),
            self.window.wait(now) if self.window is not None else 0.0,
        )

    def _grant(self, now: float, tokens: float) -> Permit:
        self.in_flight += 1
        self.requests.take(1.0)
        if self.counts_tokens:
            self.tokens.take(tokens)
        if self.window is not None:
            self.window.take(now)
        return Permit(now, tokens)

    def _grant_waiting(self) -> None:
        """Grant all permits that are possible now, and set a timer for the next one."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, tokens = self._waiting[0]
            if not future.done():
                now = loop.time()
                delay = self._delay(now, tokens)
                if delay > 0.0:
                    if delay is not UNBOUNDED:
                        self._timer = loop.call_later(delay, self._grant_waiting)
                    return
                future.set_result(self._grant(now, tokens))
            self._waiting.popleft()


def backoff_seconds(
    attempt: int, *, base: float = 0.5, cap: float = 30.0, chance: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait before attempt number ``attempt`` + 1: full jitter (Brooker, AWS 2015)."""
    return chance() * min(cap, base * 2.0**attempt)
