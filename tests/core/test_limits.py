"""Limits: quotas kept in virtual time, by the hosts' own rules."""

from __future__ import annotations

import asyncio
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.core.errors import ConnectionLost, Overloaded, RateLimited, Timeout
from llm_magics.core.limits import RateLimiter, backoff_seconds, override_limits, strictest_limits
from llm_magics.core.types import Limits
from llm_magics.testing import clock


async def asked(
    limiter: RateLimiter, limits: Limits, n: int, *, latency: float = 0.02, tokens: float = 0.0
) -> list[float]:
    """When each of ``n`` requests started."""
    starts: list[float] = []

    async def one() -> None:
        permit = await limiter.acquire(tokens)
        starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(latency)
        limiter.record_success()
        limiter.release(permit)

    with limiter.applied(limits):
        await asyncio.gather(*(one() for _ in range(n)))
    return sorted(starts)


def most_in_any(starts: list[float], seconds: float) -> int:
    """The most starts in any half-open span of so many seconds."""
    recent: deque[float] = deque()
    most = 0
    for start in starts:
        recent.append(start)
        while recent[0] <= start - seconds:
            recent.popleft()
        most = max(most, len(recent))
    return most


@pytest.mark.checklist("K5")
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20),
    seconds=st.floats(0.05, 30),
    rows=st.integers(1, 90),
    latency=st.floats(0, 3),
    concurrency=st.integers(1, 40),
)
def test_a_window_never_lets_more_than_n_start_in_its_span(n, seconds, rows, latency, concurrency):
    """LLooM's (n, seconds): never more than n in any window, and no row waits for longer than it must."""
    limits = Limits(window=(n, seconds), concurrency=concurrency)
    starts = clock.run(asked(RateLimiter(concurrency), limits, rows, latency=latency))
    assert len(starts) == rows
    assert most_in_any(starts, seconds) <= n
    if latency == 0:
        assert starts[-1] <= ((rows - 1) // n) * (seconds + 0.051)


@pytest.mark.checklist("K5")
def test_a_new_window_counts_what_the_old_one_let_through():
    """A second cell with another window does not begin with a clean slate."""

    async def two() -> list[float]:
        limiter = RateLimiter()
        first = await asked(limiter, Limits(window=(2, 10.0)), 2)
        return first + await asked(limiter, Limits(window=(3, 10.0)), 3)

    assert most_in_any(clock.run(two()), 10.0) == 3


@pytest.mark.checklist("K5")
@settings(max_examples=40, deadline=None)
@given(rpm=st.integers(1, 600), rows=st.integers(1, 300))
def test_requests_a_minute_start_full_and_refill_evenly(rpm, rows):
    """By any time t no more than rpm + rpm*t/60 were sent, and the last goes as soon as that allows."""
    starts = clock.run(asked(RateLimiter(10_000), Limits(rpm=rpm, concurrency=10_000), rows))
    assert all(i + 1 <= rpm + rpm * start / 60 + 1e-6 for i, start in enumerate(starts))
    assert starts[-1] <= max(0, rows - rpm) * 60 / rpm + 1e-6


@pytest.mark.checklist("K5")
def test_tokens_a_minute_are_estimated_and_then_settled():
    """What a request took less than was estimated is given back to the next ones."""

    async def spend(real: float) -> float:
        limiter = RateLimiter(100)
        with limiter.applied(Limits(tpm=600, concurrency=100)):
            for _ in range(20):
                limiter.release(await limiter.acquire(100), real)
        return asyncio.get_running_loop().time()

    assert clock.run(spend(100)) == pytest.approx((20 * 100 - 600) / 10)
    assert clock.run(spend(30)) == pytest.approx((19 * 30 + 100 - 600) / 10)


@pytest.mark.checklist("K5")
def test_one_request_over_the_whole_quota_waits_for_a_full_bucket_and_goes():
    """A prompt longer than a minute's tokens is late, not stuck."""
    assert len(clock.run(asked(RateLimiter(), Limits(tpm=50), 3, tokens=80))) == 3


def test_a_waiting_request_holds_no_permit():
    """While one waits for its quota, nothing is in flight."""

    async def watch() -> int:
        limiter = RateLimiter()
        with limiter.applied(Limits(rpm=1)):
            limiter.release(await limiter.acquire())
            waiting = asyncio.create_task(limiter.acquire())
            await asyncio.sleep(1)
            held = limiter.in_flight
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert limiter.in_flight == 0
            return held

    assert clock.run(watch()) == 0


def test_a_cancelled_turn_is_passed_on():
    """Whoever leaves the queue takes nobody else's place with him."""

    async def leave() -> None:
        limiter = RateLimiter(1)
        with limiter.applied(Limits()):
            held = await limiter.acquire()
            first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            limiter.release(held)
            limiter.release(await asyncio.wait_for(second, 1))
            assert limiter.in_flight == 0

    clock.run(leave())


def test_a_turn_that_came_as_its_owner_left_is_given_back():
    """Cancelled in the very moment of its turn: the permit does not leak."""

    async def leave() -> None:
        limiter = RateLimiter(1)
        with limiter.applied(Limits()):
            held = await limiter.acquire()
            left = asyncio.create_task(limiter.acquire())
            await asyncio.sleep(0)
            limiter.release(held)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            assert limiter.in_flight == 0
            limiter.release(await asyncio.wait_for(limiter.acquire(), 1))

    clock.run(leave())


def test_a_light_request_does_not_overtake_a_heavy_one():
    """First come, first served: else a long prompt might wait for ever."""

    async def order() -> list[str]:
        limiter, came = RateLimiter(), []

        async def one(name: str, tokens: float) -> None:
            limiter.release(await limiter.acquire(tokens))
            came.append(name)

        with limiter.applied(Limits(tpm=60)):
            await one("first", 50)
            heavy = asyncio.create_task(one("heavy", 40))
            await asyncio.sleep(1)
            await asyncio.gather(heavy, one("light", 1))
        return came

    assert clock.run(order()) == ["first", "heavy", "light"]


def test_when_a_stricter_run_ends_the_other_goes_on_by_its_own_limits():
    """What one cell asked for holds no longer than it runs."""

    async def two() -> float:
        limiter = RateLimiter()
        with limiter.applied(Limits(rpm=6000)):
            with limiter.applied(Limits(rpm=1)):
                limiter.release(await limiter.acquire())
            await asyncio.sleep(0.01)
            limiter.release(await limiter.acquire())
        return asyncio.get_running_loop().time()

    assert clock.run(two()) < 1


@pytest.mark.checklist("K5")
def test_runs_side_by_side_share_one_quota():
    """Two runs of one backend together keep to what one alone would."""

    async def both() -> list[float]:
        limiter = RateLimiter()
        limits = Limits(rpm=60, concurrency=50)
        first, second = await asyncio.gather(asked(limiter, limits, 60), asked(limiter, limits, 60))
        return sorted(first + second)

    starts = clock.run(both())
    assert starts[-1] == pytest.approx(60, abs=0.1)


@pytest.mark.checklist("K5")
def test_a_run_without_a_limit_leaves_no_debt_to_the_next():
    """--rpm on the second cell only: what the first one sent is not held against it."""

    async def two() -> float:
        limiter = RateLimiter(1000)
        await asked(limiter, Limits(rpm=1000, concurrency=1000), 10)
        await asked(limiter, Limits(concurrency=1000), 5000)
        await asyncio.sleep(60)
        start = asyncio.get_running_loop().time()
        await asked(limiter, Limits(rpm=60, concurrency=1000), 60, latency=0.01)
        return asyncio.get_running_loop().time() - start

    assert clock.run(two()) == pytest.approx(0.01)


def test_a_quota_by_the_day_is_taken_as_one():
    """Groq's requests: 14,400 a day, told as such, come back one in six seconds."""
    limiter = RateLimiter(4)

    async def learn() -> float:
        with limiter.applied(Limits()):
            limiter.observe({"limit_requests": 14_400, "remaining_requests": 0, "reset_requests": 86_400})
            limiter.release(await limiter.acquire())
            return asyncio.get_running_loop().time()

    assert clock.run(learn()) == pytest.approx(6.0)


class Host:
    """A quota as providers keep it: a full bucket that refills, told in every answer."""

    def __init__(self, rpm: int) -> None:
        self.rpm, self.level, self.updated = rpm, float(rpm), 0.0
        self.answers = self.refusals = 0

    def ask(self, now: float) -> tuple[bool, dict[str, float], float]:
        rate = self.rpm / 60
        self.level = min(self.rpm, self.level + (now - self.updated) * rate)
        self.updated = now
        allowed = self.level >= 1
        self.level -= allowed
        self.answers += 1
        self.refusals += not allowed
        facts = {
            "limit_requests": self.rpm,
            "remaining_requests": int(self.level),
            "reset_requests": (self.rpm - self.level) / rate,
        }
        return allowed, facts, 0.0 if allowed else (1 - self.level) / rate


class FixedWindow(Host):
    """A quota counted by the clock's minutes: nothing comes back before the next one."""

    def ask(self, now: float) -> tuple[bool, dict[str, float], float]:
        if now // 60 != self.updated // 60:
            self.level = self.rpm
        self.updated = now
        allowed = self.level >= 1
        self.level -= allowed
        self.answers += 1
        self.refusals += not allowed
        left = 60 - now % 60
        facts = {"limit_requests": self.rpm, "remaining_requests": self.level, "reset_requests": left}
        return allowed, facts, 0.0 if allowed else left


async def through(host: Host, rows: int, *, latency: float = 0.05, seed: int = 0) -> float:
    """Ask until all are answered; how long it took."""
    limiter, chance = RateLimiter(64), random.Random(seed)
    loop = asyncio.get_running_loop()

    async def one() -> None:
        while True:
            permit = await limiter.acquire()
            await asyncio.sleep(latency * chance.uniform(0.2, 1))
            allowed, facts, after = host.ask(loop.time())
            await asyncio.sleep(latency * chance.uniform(0.2, 1))
            limiter.observe(facts)
            if allowed:
                limiter.record_success()
            else:
                limiter.record_refusal(permit, after, restart=True)
            limiter.release(permit)
            if allowed:
                return

    with limiter.applied(Limits()):
        await asyncio.gather(*(one() for _ in range(rows)))
    return loop.time()


@pytest.mark.checklist("K5", "K6")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("latency", [0.02, 0.2, 1.0])
def test_a_quota_told_in_headers_is_used_up_and_not_passed(seed, latency):
    """200 rows at 120 a minute: within 1.15 times of what the quota forces, at most 3% refused."""
    host = Host(120)
    took = clock.run(through(host, 200, latency=latency, seed=seed))
    assert took <= 1.15 * 40
    assert host.refusals <= 0.03 * host.answers


@pytest.mark.checklist("K5", "K6")
@pytest.mark.parametrize("seed", range(3))
def test_a_quota_by_fixed_windows_is_kept_too(seed):
    """A host that gives nothing back before the minute is out is not asked before it."""
    host = FixedWindow(120)
    took = clock.run(through(host, 300, seed=seed))
    assert took <= 1.15 * 120
    assert host.refusals <= 0.03 * host.answers


@pytest.mark.checklist("K6")
def test_concurrency_grows_to_what_the_host_takes_and_shrinks_at_refusals():
    """Starts gently, doubles a round trip, and a busy host halves it back."""

    async def go() -> tuple[int, int, float, float]:
        limiter = RateLimiter(64)
        with limiter.applied(Limits()):
            first = int(limiter.concurrency.allowed)
        await asked(limiter, Limits(), 300)
        grown = limiter.concurrency.allowed
        permit = await limiter.acquire()
        limiter.record_refusal(permit, None, restart=False)
        limiter.release(permit)
        return first, int(grown), grown, limiter.concurrency.allowed

    first, grown, before, after = clock.run(go())
    assert first == 8
    assert grown == 64
    assert after == pytest.approx(0.7 * before)


@pytest.mark.checklist("K6")
def test_a_burst_of_refusals_counts_once():
    """64 answers 429 of one burst are one piece of news."""

    async def go() -> RateLimiter:
        limiter = RateLimiter(64)
        with limiter.applied(Limits(concurrency=64)):
            permits = [await limiter.acquire() for _ in range(64)]
            await asyncio.sleep(0.1)
            for permit in permits:
                limiter.record_refusal(permit, 1.0, restart=True)
                limiter.release(permit)
        return limiter

    limiter = clock.run(go())
    assert limiter.refusals == 1
    assert limiter.concurrency.allowed == 1
    assert limiter.concurrency.threshold == pytest.approx(0.7 * 64)


@pytest.mark.checklist("K6")
def test_an_answer_ends_the_series_of_refusals():
    """The next back-off begins anew: only refusals in a row make the pauses longer."""

    async def go() -> list[int]:
        limiter, counts = RateLimiter(64), []
        with limiter.applied(Limits()):
            for fault in (RateLimited("a"), RateLimited("b"), None, RateLimited("c")):
                await asyncio.sleep(100)
                permit = await limiter.acquire()
                limiter.record_outcome(permit, fault)
                limiter.release(permit)
                counts.append(limiter.refusals)
        return counts

    assert clock.run(go()) == [1, 2, 0, 1]


@pytest.mark.checklist("K6")
def test_after_a_refusal_all_wait_and_then_go_through_one_two_four():
    """The pause is shared; after it one goes first, and each answer lets two more."""

    async def go() -> list[float]:
        limiter = RateLimiter(64)
        with limiter.applied(Limits(concurrency=64)):
            permit = await limiter.acquire()
            await asyncio.sleep(0.01)
            limiter.record_refusal(permit, 5.0, restart=True)
            limiter.release(permit)
        return await asked(limiter, Limits(concurrency=64), 15, latency=1.0)

    starts = clock.run(go())
    assert [round(start - starts[0]) for start in starts] == [0, 1, 1, *[2] * 4, *[3] * 8]
    assert starts[0] == pytest.approx(5.01)


def test_a_named_concurrency_starts_there():
    """--concurrency 256 is 256 at once, whatever the backend's own cap."""
    starts = clock.run(asked(RateLimiter(64), Limits(concurrency=256), 512, latency=1.0))
    assert starts.count(starts[0]) == 256


def test_a_named_concurrency_is_never_outgrown():
    """--concurrency 4 is 4 at once, however well it goes."""
    starts = clock.run(asked(RateLimiter(64), Limits(concurrency=4), 100, latency=1.0))
    assert max(starts.count(start) for start in starts) == 4
    assert starts[-1] == pytest.approx(24)


@pytest.mark.checklist("K6")
@pytest.mark.parametrize(
    ("fault", "allowed", "pause"),
    [
        (None, 11, (0, 0)),
        (RateLimited("too fast", retry_after=5.0), 1, (5.0, 5.5)),
        (RateLimited("too fast"), 1, (0, 1.0)),
        (RateLimited("tomorrow", retry_after=86_400.0), 1, (0, 1.0)),
        (Timeout("late"), 7, (0, 0)),
        (Overloaded("full", status=503, retry_after=3.0), 7, (3.0, 3.0)),
        (Overloaded("full", status=529), 7, (0, 0)),
        (Overloaded("a bug", status=500), 10, (0, 0)),
        (ConnectionLost("reset"), 10, (0, 0)),
    ],
)
def test_what_each_fault_says_of_the_hosts_room(fault, allowed, pause):
    """429 starts again at one and pauses, a full host takes 0.7 of it, a bug over there changes nothing."""

    async def go() -> tuple[float, float]:
        limiter = RateLimiter(64, start=10)
        with limiter.applied(Limits()):
            permit = await limiter.acquire()
            limiter.record_outcome(permit, fault)
            limiter.release(permit)
        return limiter.concurrency.allowed, limiter.paused_until

    found, until = clock.run(go())
    assert found == pytest.approx(allowed)
    assert pause[0] <= until <= pause[1]


def test_the_tokens_a_host_has_left_are_not_those_in_flight():
    """Requests in flight count as requests; what they weigh is settled when they end."""

    async def go() -> tuple[float, float]:
        limiter = RateLimiter()
        with limiter.applied(Limits()):
            permits = [await limiter.acquire(10) for _ in range(3)]
            limiter.observe(
                {
                    "limit_requests": 60, "remaining_requests": 30,
                    "limit_tokens": 600, "remaining_tokens": 300,
                }
            )  # fmt: skip
            for permit in permits:
                limiter.release(permit)
        return limiter.requests.level, limiter.tokens.level

    assert clock.run(go()) == (27, 300)


def test_flags_stand_over_a_backends_limits_only_where_they_say_something():
    """An rpm flag leaves the backend's timeout alone."""
    mine = Limits(rpm=10, timeout=7.0, retries=2)
    assert override_limits(mine, Limits(rpm=5)) == Limits(rpm=5, timeout=7.0, retries=2)
    assert override_limits(mine, None) == mine


def test_of_several_limits_the_strictest_holds():
    """Of windows the slowest one counts."""
    found = strictest_limits(
        [Limits(rpm=10, window=(5, 1.0)), Limits(rpm=7, concurrency=3, window=(5, 10.0))]
    )
    assert (found.rpm, found.concurrency, found.window) == (7, 3, (5, 10.0))


@given(attempt=st.integers(0, 60), chance=st.floats(0, 1))
def test_backoff_is_full_jitter_under_a_doubling_cap(attempt, chance):
    """Between nothing and 0.5*2^k seconds, at most 30."""
    assert backoff_seconds(attempt, chance=lambda: chance) == pytest.approx(
        chance * min(30.0, 0.5 * 2**attempt)
    )
