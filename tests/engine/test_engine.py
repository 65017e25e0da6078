"""The engine: every row answered once, on disk before anyone sees it, alone in its failure."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.backends.base import Backend
from llm_magics.backends.pricing import split_usage
from llm_magics.core.errors import (
    AnswerError,
    AuthError,
    BadRequest,
    BudgetExceeded,
    ConnectionLost,
    ContextOverflow,
    MalformedAnswer,
    Overloaded,
    RateLimited,
    StoreError,
    Timeout,
)
from llm_magics.core.types import (
    TEXT,
    BackendSpec,
    Capabilities,
    Embedding,
    Limits,
    Message,
    Price,
    Request,
    Response,
    Result,
    Usage,
    Vector,
)
from llm_magics.engine.engine import Engine
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import Parsed, Target
from llm_magics.engine.worker_pool import ALIKE, EarlyFailures, Options
from llm_magics.store.responses import ResponseStore
from llm_magics.testing import clock

USAGE = Usage(10, 2, cost=0.01)
UNLIMITED, PLAIN, DEFAULTS = Limits(), Capabilities(embed=True), Options()


class Upper:
    """The row's text in capitals; ``?`` in an answer makes it unusable."""

    name, role, output, columns = "upper", "generate", "upper", ("upper",)

    def __init__(self, *, default: str | None = None, response_format=TEXT, reasks: bool = True) -> None:
        self.fallback, self.format, self.reasks = default, response_format, reasks

    def request(self, row, target, sample=0):
        if not row["text"]:
            return None
        message = Message("user", row["text"])
        return Request(
            target.backend,
            target.model,
            (message,),
            self.format,
            subject=row["text"],
            sample=sample,
            parameters=target.parameters,
        )

    def parse(self, request, response):
        if response.vector is not None:
            return Parsed({"upper": response.vector})
        if "?" in response.text:
            raise AnswerError("a question is no answer", answer=response.text)
        return Parsed({"upper": response.text})

    def reask(self, request, response, error):
        if not self.reasks:
            return None
        again = (*request.messages, Message("assistant", response.text), Message("user", str(error)))
        return Request(request.backend, request.model, again, subject=request.subject)

    def default(self, request):
        return None if self.fallback is None else Parsed({"upper": self.fallback}, "defaulted")


Answer = Callable[[Request, int], Response]


class Scripted(Backend):
    """Answers by a function of the request and of how often this prompt was asked before."""

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        latency: float = 0.01,
        limits: Limits = UNLIMITED,
        price: Price | None = None,
        capabilities: Capabilities = PLAIN,
    ) -> None:
        super().__init__(BackendSpec("scripted", "m", limits=limits, price=price))
        self.answer = answer or (lambda request, _: Response(request.subject.upper(), usage=USAGE))
        self.latency = latency
        self.capabilities = capabilities
        self.asked: Counter[tuple[Message, ...]] = Counter()
        self.times: list[float] = []
        self.in_flight = self.most = 0

    @property
    def calls(self) -> int:
        return self.asked.total()

    def one(self, request: Request) -> Response:
        before = self.asked[request.messages]
        self.asked[request.messages] += 1
        return self.answer(request, before)

    async def complete(self, request: Request) -> Response:
        self.times.append(asyncio.get_running_loop().time())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            return self.one(request)
        finally:
            self.in_flight -= 1


class Batched(Scripted):
    """Takes several at once, and remembers how many."""

    def __init__(self, answer: Answer | None = None, *, size: int = 8, stored: bool = True, **more) -> None:
        super().__init__(
            answer, capabilities=Capabilities(embed=True, batch_size=size, stored=stored), **more
        )
        self.batches: list[int] = []

    async def complete_many(self, requests):
        self.batches.append(len(requests))
        await asyncio.sleep(self.latency)
        answers = []
        for request in requests:
            try:
                answers.append(self.one(request))
            except RateLimited:
                raise
            except Exception as error:
                answers.append(error)
        return answers

    async def embed(self, texts):
        self.batches.append(len(texts))
        self.asked.update((Message("user", text),) for text in texts)
        if any("poison" in text for text in texts):
            raise BadRequest("one of these is poison", status=400)
        vectors = np.array([[len(text), 1.0] for text in texts], dtype="float32")
        return Embedding(vectors, Usage(sum(map(len, texts)), cost=0.001 * len(texts)), "vectors")


def rows(texts) -> Iterator[WorkItem]:
    return (WorkItem(i, {"text": text}) for i, text in enumerate(texts))


@pytest.fixture
def store() -> Iterator[ResponseStore]:
    made = ResponseStore.temporary()
    yield made
    made.close()


def play(
    backend: Backend,
    texts,
    *,
    store: ResponseStore | None = None,
    task=None,
    options: Options = DEFAULTS,
    results: list[Result] | None = None,
) -> list[Result]:
    """A run in virtual time; the results in row order."""
    results = [] if results is None else results
    target = Target(backend.namespace, backend.model)
    items = texts if isinstance(texts, Iterator) else rows(texts)
    clock.run(Engine(store).run(items, task or Upper(), backend, target, options, results.append))
    results.sort(key=lambda result: result.index)
    return results


def words(n: int) -> list[str]:
    return [f"row {i}" for i in range(n)]


def failing(
    fault: BaseException, times: int = 10**9, *, where: Callable[[str], bool] = lambda _: True
) -> Answer:
    """Raises ``fault`` the first ``times`` times that a prompt is asked."""

    def answer(request: Request, before: int) -> Response:
        if before < times and where(request.subject):
            raise fault
        return Response(request.subject.upper(), usage=USAGE)

    return answer


@pytest.mark.checklist("R1")
def test_one_bad_row_fails_alone_with_its_error(store):
    """1 of 20 failed, 19 ok; the exception itself is kept."""
    fault = BadRequest("too rude", status=400)
    backend = Scripted(failing(fault, where=lambda text: text == "row 7"))
    results = play(backend, words(20), store=store)
    assert Counter(result.status for result in results) == {"ok": 19, "failed": 1}
    assert results[7].error is fault
    assert results[7].values == {}
    assert backend.calls == 20


@pytest.mark.checklist("R1", "R6")
def test_a_bug_in_a_backend_is_its_rows_failure_with_the_bug_kept(store):
    """A TypeError of a user's function is not retried, and not lost."""
    backend = Scripted(failing(TypeError("no len()"), where=lambda text: text == "row 3"))
    results = play(backend, words(10), store=store)
    assert isinstance(results[3].error, TypeError)
    assert sum(result.status == "ok" for result in results) == 9
    assert backend.calls == 10


def test_a_bug_in_a_task_ends_the_run(store):
    """What is wrong with our own parsing is not a failed row."""

    class Broken(Upper):
        def parse(self, request, response):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(Scripted(), words(3), store=store, task=Broken())


def test_rows_with_nothing_to_ask_are_skipped(store):
    """None of a task is a skipped row, without a call."""
    backend = Scripted()
    results = play(backend, ["a", "", "b", ""], store=store)
    assert [result.status for result in results] == ["ok", "skipped", "ok", "skipped"]
    assert backend.calls == 2


@pytest.mark.checklist("R8")
def test_equal_rows_are_one_call(store):
    """40 equal rows: one call, 40 results, one of them billed."""
    backend = Scripted()
    results = play(backend, ["same"] * 40, store=store)
    assert backend.calls == 1
    assert [result.values["upper"] for result in results] == ["SAME"] * 40
    assert sum(result.usage.cost or 0 for result in results) == pytest.approx(0.01)
    assert sum(result.response.cached for result in results) == 39


@pytest.mark.checklist("R8")
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.sampled_from("abcdefgh"), max_size=700), size=st.sampled_from([1, 1, 5]))
def test_however_rows_repeat_each_text_is_paid_once(texts, size):
    """Any order and distance of duplicates; every row still gets its own result."""
    store = ResponseStore.temporary()
    backend = Scripted() if size == 1 else Batched(size=size)
    results = play(backend, texts, store=store)
    store.close()
    assert [result.index for result in results] == list(range(len(texts)))
    assert [result.values["upper"] for result in results] == [text.upper() for text in texts]
    assert backend.calls == len(set(texts))
    assert sum(result.usage.cost or 0 for result in results) == pytest.approx(0.01 * len(set(texts)))


@pytest.mark.checklist("R8", "R1")
def test_equal_rows_share_a_failure_too(store):
    """A refused prompt is not sent again for its duplicates in flight."""
    backend = Scripted(failing(ContextOverflow("too long"), where=lambda text: text == "bad"))
    results = play(backend, ["bad"] * 10 + ["good"], store=store)
    assert [result.status for result in results] == ["failed"] * 10 + ["ok"]
    assert backend.calls == 2


@pytest.mark.checklist("R2", "R3")
def test_a_second_run_sends_only_what_has_no_answer(store):
    """Stored rows cost nothing and say so; failures were never stored."""
    wavering = failing(BadRequest("no", status=400), 1, where=lambda text: text in ("row 3", "row 4"))
    backend = Scripted(wavering)
    first = play(backend, words(300), store=store)
    assert sum(result.status == "failed" for result in first) == 2
    assert backend.calls == 300
    again = play(backend, words(300), store=store)
    assert backend.calls == 302
    assert all(result.status == "ok" for result in again)
    assert [result.index for result in again if not result.response.cached] == [3, 4]
    assert sum(result.usage.cost or 0 for result in again) == pytest.approx(0.02)


@pytest.mark.checklist("R2")
def test_an_answer_is_on_disk_before_anyone_sees_it(tmp_path):
    """At the moment of delivery another reader of the file finds it."""
    path = tmp_path / "r.sqlite3"
    reader, missing = ResponseStore(path), []
    backend = Scripted()
    engine = Engine(ResponseStore(path))

    def deliver(result: Result) -> None:
        if reader.get(result.key) is None:
            missing.append(result.index)

    clock.run(engine.run(rows(words(50)), Upper(), backend, Target("scripted", "m"), Options(), deliver))
    assert not missing
    assert reader.stats().rows == 50
    reader.close()


@pytest.mark.checklist("R2", "R7")
def test_a_cancelled_run_leaves_nothing_in_flight_and_keeps_its_answers(store):
    """Interrupted half way: no call goes on, and the next run sends the rest."""
    backend = Scripted(latency=1.0, limits=Limits(concurrency=10))
    results: list[Result] = []

    async def go() -> int:
        engine = Engine(store)
        run = asyncio.create_task(
            engine.run(rows(words(100)), Upper(), backend, Target("scripted", "m"), Options(), results.append)
        )
        await asyncio.sleep(3.5)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert backend.in_flight == 0
        assert engine.limiter(backend).in_flight == 0
        return len(asyncio.all_tasks())

    assert clock.run(go()) == 1
    assert len(results) == 30
    assert store.stats().rows == 30
    play(backend, words(100), store=store)
    assert backend.calls == 100


@pytest.mark.checklist("R2")
def test_refresh_asks_again_once(store):
    """--refresh ignores what stood there before, not what this run has just answered."""
    backend = Scripted()
    play(backend, words(5), store=store)
    time.sleep(0.01)
    play(backend, [*words(5), *words(5)], store=store, options=Options(refresh=True))
    assert backend.calls == 10


def test_without_keeping_nothing_is_read_or_written(store):
    """--no-store: equal rows in flight are still one call."""
    backend = Scripted()
    for _ in range(2):
        play(backend, ["same"] * 5, store=store, options=Options(use_store=False))
    assert backend.calls == 2
    assert store.stats().rows == 0


def test_backends_cheaper_than_the_store_are_not_stored(store):
    """capabilities.stored False."""
    backend = Batched(size=64, stored=False)
    play(backend, words(100), store=store)
    assert store.stats().rows == 0


@pytest.mark.checklist("R6")
def test_a_fatal_error_stops_the_run_at_once(store):
    """A bad key costs the calls in flight, no retry, and is raised as it is."""
    fault = AuthError("bad key", status=401)
    backend = Scripted(failing(fault), limits=Limits(concurrency=4))
    results: list[Result] = []
    with pytest.raises(AuthError) as caught:
        play(backend, words(1000), store=store, results=results)
    assert caught.value is fault
    assert backend.calls <= 8
    assert store.stats().rows == 0


@pytest.mark.checklist("R6")
def test_first_rows_that_all_fail_alike_stop_the_run(store):
    """A parameter that the server refuses is not tried a thousand times."""
    backend = Scripted(
        failing(BadRequest("unknown field 'top_kk'", status=400)), limits=Limits(concurrency=4)
    )
    with pytest.raises(BadRequest, match="top_kk"):
        play(backend, words(1000), store=store)
    assert backend.calls <= 12


def test_a_server_that_is_down_stops_the_run_too(store):
    """Rows that all lost their connection to the last retry are the end of it."""
    backend = Scripted(failing(ConnectionLost("refused")), limits=Limits(retries=2))
    with pytest.raises(ConnectionLost):
        play(backend, words(1000), store=store)
    assert backend.calls <= 200


@pytest.mark.checklist("R6")
def test_failures_that_differ_or_come_after_an_answer_stop_nothing():
    """One row answered, or two rows that failed in different ways: the rest may do better."""
    alike, other = BadRequest("unknown field 'top_kk'"), BadRequest("a strange character")
    same = EarlyFailures()
    assert [same.should_stop(alike) for _ in range(ALIKE)] == [False] * (ALIKE - 1) + [True]
    mixed = EarlyFailures()
    assert not any(mixed.should_stop(error) for error in [alike, *[other] * 1000, *[alike] * 1000])
    answered = EarlyFailures()
    answered.answered = True
    assert not any(answered.should_stop(alike) for _ in range(1000))
    rows_own = EarlyFailures()
    assert not any(rows_own.should_stop(ContextOverflow("too long")) for _ in range(1000))


def test_rows_that_fail_each_in_its_own_way_go_on(store):
    """Over-long rows at the top of a frame say nothing about the others."""

    def answer(request: Request, before: int) -> Response:
        if int(request.subject.split()[1]) < 50:
            raise ContextOverflow("too long")
        return Response("fine")

    results = play(Scripted(answer), words(100), store=store)
    assert Counter(result.status for result in results) == {"ok": 50, "failed": 50}


@pytest.mark.checklist("R6", "K6")
@pytest.mark.parametrize(
    "fault",
    [
        Overloaded("500", status=500),
        Overloaded("503", status=503),
        Timeout("late"),
        ConnectionLost("reset"),
        MalformedAnswer("cut"),
    ],
)
def test_faults_that_may_pass_are_retried(store, fault):
    """Three faults, then an answer; the attempts are counted, the answer paid once."""
    backend = Scripted(failing(fault, 3))
    results = play(backend, words(3), store=store)
    assert [result.status for result in results] == ["ok"] * 3
    assert [result.attempts for result in results] == [4] * 3
    assert sum(result.usage.cost for result in results) == pytest.approx(0.03)


@pytest.mark.checklist("R6")
@pytest.mark.parametrize("fault", [BadRequest("no", status=422), ContextOverflow("long"), ValueError("bug")])
def test_faults_that_stay_are_not_retried(store, fault):
    """The same request would fail the same way."""
    backend = Scripted(failing(fault, where=lambda text: text == "row 0"))
    play(backend, words(2), store=store)
    assert backend.calls == 2


@pytest.mark.checklist("R6")
def test_retries_end(store):
    """--retries 2: three tries, then the row has failed, with the fault."""
    fault = Overloaded("always", status=500)
    backend = Scripted(failing(fault, where=lambda text: text == "row 1"))
    results = play(backend, words(3), store=store, options=Options(retries=2))
    assert results[1].error is fault
    assert results[1].attempts == 3


@pytest.mark.checklist("R6")
def test_a_row_with_bad_luck_gets_some_more_tries_where_others_are_answered(store):
    """Eight faults in a row pass by; the same from a backend that answers nobody end after five."""
    fault = Overloaded("bad luck", status=500)
    alone = play(Scripted(failing(fault, 8, where=lambda text: text == "row 1")), words(3), store=store)
    assert [result.attempts for result in alone] == [1, 9, 1]
    nobody = play(Scripted(failing(fault)), words(3))
    assert [result.attempts for result in nobody] == [6, 6, 6]


@pytest.mark.checklist("K6")
def test_retry_after_is_waited_out(store):
    """Neither the refused row nor any other goes sooner; a 429 costs no attempt."""
    backend = Scripted(
        failing(RateLimited("slow down", retry_after=7.0), 3), limits=Limits(concurrency=1, retries=0)
    )
    results = play(backend, words(1), store=store)
    assert results[0].status == "ok"
    gaps = np.diff(backend.times)
    assert (gaps >= 7.0).all()
    assert (gaps <= 7.0 * 1.1 + 0.1).all()


@pytest.mark.checklist("K6")
def test_retries_without_a_retry_after_come_later_and_later(store):
    """Jitter never makes a later wait shorter."""
    backend = Scripted(failing(Overloaded("busy", status=500), 5))
    play(backend, words(1), store=store)
    gaps = np.diff(backend.times)
    assert len(gaps) == 5
    assert (gaps[1:] > 1.1 * gaps[:-1]).all()


@pytest.mark.checklist("R7")
def test_an_answer_that_never_comes_times_out(store):
    """A hanging backend ends as a failed row."""
    backend = Scripted(latency=1e6, limits=Limits(timeout=30.0, retries=1))
    results = play(backend, words(2), store=store)
    assert [type(result.error) for result in results] == [Timeout, Timeout]
    assert "30 s" in str(results[0].error)


@pytest.mark.checklist("K6", "R1")
@pytest.mark.parametrize("seed", range(3))
def test_a_third_of_faults_and_still_every_row_is_answered(store, seed):
    """30% of 429, 5xx, timeouts, resets, cut bodies: all rows, each paid once, none out of order."""
    chance = random.Random(seed)
    faults = [
        RateLimited("429", retry_after=0.5),
        Overloaded("500", status=500),
        Overloaded("503", status=503),
    ]
    faults += [Timeout("late"), ConnectionLost("reset"), MalformedAnswer("cut")]

    def answer(request: Request, before: int) -> Response:
        if chance.random() < 0.3:
            raise chance.choice(faults)
        return Response(request.subject.upper(), usage=USAGE)

    backend = Scripted(answer)
    results = play(backend, words(1000), store=store)
    assert [result.values.get("upper") for result in results] == [word.upper() for word in words(1000)]
    assert sum(result.usage.cost for result in results) == pytest.approx(10.0)


@pytest.mark.checklist("T8")
def test_an_unusable_answer_is_asked_for_once_more(store):
    """Mended by the second answer: repaired; both are paid, both are stored."""
    backend = Scripted(lambda r, _: Response("what?" if len(r.messages) == 1 else "fine", usage=USAGE))
    (result,) = play(backend, ["x"], store=store)
    assert (result.status, result.values, result.attempts) == ("repaired", {"upper": "fine"}, 2)
    assert result.usage.cost == pytest.approx(0.02)
    (again,) = play(backend, ["x"], store=store)
    assert (again.status, again.values, again.attempts, again.usage.cost or 0) == (
        "repaired",
        {"upper": "fine"},
        0,
        0,
    )
    assert backend.calls == 2


@pytest.mark.checklist("T7", "T8")
@pytest.mark.parametrize(("default", "status"), [(None, "failed"), ("neutral", "defaulted")])
def test_an_answer_that_stays_unusable_is_null_or_the_default(store, default, status):
    """Never a third question; the reason stands beside it, and a re-run pays nothing."""
    backend = Scripted(lambda r, _: Response("what?", usage=USAGE))
    for _ in range(2):
        (result,) = play(backend, ["x"], store=store, task=Upper(default=default))
        assert result.status == status
        assert result.values == ({"upper": default} if default else {})
        assert isinstance(result.error, AnswerError)
        assert backend.calls == 2


def test_a_task_that_gives_up_is_not_asked_again(store):
    """reask None."""
    backend = Scripted(lambda r, _: Response("what?"))
    (result,) = play(backend, ["x"], store=store, task=Upper(reasks=False))
    assert (result.status, backend.calls) == ("failed", 1)


def test_on_error_raise_raises_the_first_failure(store):
    """The rows before it are delivered and kept."""
    fault = BadRequest("row 5 is bad", status=400)
    backend = Scripted(failing(fault, where=lambda text: text == "row 5"), limits=Limits(concurrency=1))
    results: list[Result] = []
    with pytest.raises(BadRequest) as caught:
        play(backend, words(100), store=store, options=Options(on_error="raise"), results=results)
    assert caught.value is fault
    assert sum(result.status == "ok" for result in results) == 5
    with pytest.raises(AnswerError):
        play(Scripted(lambda *_: Response("?")), words(1), options=Options(on_error="raise"))


@pytest.mark.checklist("K4")
@settings(max_examples=30, deadline=None)
@given(
    limit=st.floats(0.0, 0.6), n=st.integers(1, 60), concurrency=st.integers(1, 32), output=st.integers(1, 30)
)
def test_a_budget_is_never_passed_and_well_used(limit, n, concurrency, output):
    """Whatever is in flight: spent <= --max-cost, the rest failed with BudgetExceeded, answers kept."""
    price = Price(input=1000.0, output=500.0)
    usage = Usage(3, output)
    one = (3 * 1000 + output * 500) / 1e6
    backend = Scripted(
        lambda *_: Response("y", usage=usage), price=price, limits=Limits(concurrency=concurrency)
    )
    store = ResponseStore.temporary()

    class Bounded(Upper):
        def request(self, row, target, sample=0):
            message = Message("user", row["text"])
            return Request(
                target.backend,
                target.model,
                (message,),
                parameters={"max_new_tokens": 30},
                subject=row["text"],
            )

    results = play(backend, words(n), store=store, task=Bounded(), options=Options(max_cost=limit))
    spent = sum(result.usage.cost or 0 for result in results)
    answered = [result for result in results if result.status == "ok"]
    assert len(results) == n
    assert spent == pytest.approx(one * len(answered))
    assert spent <= limit + 1e-9
    assert all(isinstance(result.error, BudgetExceeded) for result in results if result.status == "failed")
    if len(answered) < n and answered:
        assert spent + 0.025 >= limit
    store.close()


@pytest.mark.checklist("K4")
def test_stored_answers_are_given_past_the_budget(store):
    """What costs nothing is never refused for money."""
    backend = Scripted(price=Price(1.0, 1.0))
    play(backend, words(10), store=store)
    results = play(backend, words(20), store=store, options=Options(max_cost=0.0))
    assert [result.status for result in results] == ["ok"] * 10 + ["failed"] * 10
    assert backend.calls == 10


@pytest.mark.checklist("K1", "K4")
def test_an_unknown_price_never_crashes_a_budget(store):
    """It is said once, and the run goes on."""
    backend = Scripted(lambda *_: Response("y", usage=Usage(5, 5)))
    results = play(backend, words(30), store=store, options=Options(max_cost=0.001))
    assert all(result.status == "ok" for result in results)
    assert sum("price" in note for result in results for note in result.response.notes) == 1


@pytest.mark.checklist("K2")
def test_costs_are_filled_in_from_the_backends_price(store):
    """A backend that only counts tokens still has every row priced, cached input cheaper."""
    backend = Scripted(lambda *_: Response("y", usage=Usage(100, 10, 50)), price=Price(10.0, 100.0, 1.0))
    (result,) = play(backend, ["x"], store=store)
    assert result.usage.cost == pytest.approx((50 * 10 + 50 * 1 + 10 * 100) / 1e6)


def test_batches_are_as_large_as_the_backend_likes(store):
    """batch_size 8: 20 rows in three calls."""
    backend = Batched(size=8)
    results = play(backend, words(20), store=store)
    assert sorted(backend.batches, reverse=True) == [8, 8, 4]
    assert [result.values["upper"] for result in results] == [word.upper() for word in words(20)]


@pytest.mark.checklist("B9")
def test_embeddings_are_one_call_a_batch_and_its_usage_is_shared_out(store):
    """Rows' tokens and cost add up to the calls'; the vectors come back from the store as they were."""
    backend = Batched(size=10)
    task = Upper(response_format=Vector())
    results = play(backend, words(30), store=store, task=task)
    assert backend.batches == [10, 10, 10]
    assert [result.values["upper"][0] for result in results] == [len(word) for word in words(30)]
    assert sum(result.usage.input_tokens for result in results) == sum(map(len, words(30)))
    assert sum(result.usage.cost for result in results) == pytest.approx(0.03)
    again = play(backend, words(30), store=store, task=task)
    assert len(backend.batches) == 3
    assert all((a.values["upper"] == b.values["upper"]).all() for a, b in zip(results, again, strict=True))


@pytest.mark.checklist("R1", "B9")
def test_a_refused_batch_is_halved_until_the_bad_row_stands_alone(store):
    """One poisonous text costs some more calls, not its neighbours."""
    backend = Batched(size=16)
    texts = words(32)
    texts[5] = "poison"
    results = play(backend, texts, store=store, task=Upper(response_format=Vector()))
    assert [result.index for result in results if result.status == "failed"] == [5]
    assert isinstance(results[5].error, BadRequest)


@pytest.mark.checklist("R1", "K6")
def test_only_the_faulty_rows_of_a_batch_are_asked_again(store):
    """The answered ones are on disk before the pause."""
    on_disk: list[int] = []

    def answer(request: Request, before: int) -> Response:
        if request.subject == "row 3":
            on_disk.append(store.stats().rows)
            if not before:
                raise Overloaded("busy", status=500)
        return Response("y")

    backend = Batched(answer, size=10)
    results = play(backend, words(10), store=store)
    assert all(result.status == "ok" for result in results)
    assert backend.calls == 11
    assert on_disk == [0, 9]


@given(
    weights=st.lists(st.integers(0, 1000), min_size=1, max_size=50),
    tokens=st.integers(0, 10**6),
    cost=st.none() | st.floats(0, 10),
)
def test_shares_of_a_usage_add_up_exactly(weights, tokens, cost):
    """Tokens to the last one."""
    shares = split_usage(Usage(tokens, tokens // 7, tokens // 3, cost), weights)
    assert len(shares) == len(weights)
    assert sum(part.input_tokens for part in shares) == tokens
    assert sum(part.output_tokens for part in shares) == tokens // 7
    assert min(part.input_tokens for part in shares) >= 0
    if cost is not None:
        assert sum(part.cost for part in shares) == pytest.approx(cost)


@pytest.mark.checklist("K5")
def test_concurrency_never_passes_its_limit(store):
    """--concurrency 5."""
    backend = Scripted(limits=Limits(concurrency=5))
    play(backend, words(100), store=store)
    assert backend.most == 5


@pytest.mark.checklist("K5")
def test_two_runs_of_an_engine_share_one_limiter(store):
    """Two cells at once stay within the backend's window together."""
    backend = Scripted(limits=Limits(window=(5, 10.0)))

    async def both() -> None:
        engine = Engine(store)
        target, ignored = Target("scripted", "m"), []
        await asyncio.gather(
            *(
                engine.run(
                    rows([f"{name}{i}" for i in range(20)]),
                    Upper(),
                    backend,
                    target,
                    Options(),
                    ignored.append,
                )
                for name in "ab"
            )
        )

    clock.run(both())
    assert len(backend.times) == 40
    assert all(
        later - earlier >= 10 for earlier, later in zip(backend.times, backend.times[5:], strict=False)
    )


def test_rows_are_drawn_as_they_are_needed(store):
    """A hundred thousand rows stay in the frame until their turn: memory stays flat."""
    drawn = 0

    def asks() -> Iterator[WorkItem]:
        nonlocal drawn
        for i in range(100_000):
            drawn += 1
            yield WorkItem(i, {"text": f"row {i}"})

    backend = Scripted()
    most = 0
    done = 0

    def deliver(result: Result) -> None:
        nonlocal most, done
        done += 1
        most = max(most, drawn - done)
        if done == 3000:
            raise StopAsyncIteration

    with pytest.raises(StopAsyncIteration):
        clock.run(Engine(None).run(asks(), Upper(), backend, Target("scripted", "m"), Options(), deliver))
    assert most <= 1000


def test_memory_does_not_grow_with_the_rows():
    """Ten times the rows, the same peak (kilobytes, not megabytes, apart)."""

    def peak(n: int) -> int:
        gc.collect()
        tracemalloc.start()
        backend = Batched(size=256, stored=False, limits=Limits(concurrency=2))
        backend.one = lambda request: Response("y")  # type: ignore[method-assign]
        items = (WorkItem(i, {"text": "row"}) for i in range(n))
        clock.run(Engine(None).run(items, Upper(), backend, Target("s", "m"), Options(), lambda _: None))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1000)
    assert peak(20_000) < peak(2_000) + 500_000


def test_a_store_that_breaks_is_said_once_and_the_answers_still_come(store):
    """A full disk must not cost a paid answer."""
    play(Scripted(), ["warm"], store=store)
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count=1")
    texts = [f"{i} " + "long " * 2000 for i in range(20)]
    results = play(Scripted(), texts, store=store)
    assert all(result.status == "ok" for result in results)
    assert sum("no room on the disk" in note for result in results for note in result.response.notes) == 1


@pytest.mark.checklist("R2")
def test_a_store_that_is_locked_for_a_while_gets_its_answers_later(tmp_path: Path):
    """Another kernel holds the file: nobody waits for it, and nothing is missing at the end."""
    store = ResponseStore(tmp_path / "r.sqlite3")
    play(Scripted(), ["warm"], store=store)
    assert store._connection is not None
    store._connection.execute("PRAGMA busy_timeout=0")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def answer(request: Request, before: int) -> Response:
        if request.subject == "row 50":
            other.execute("ROLLBACK")
        return Response("y")

    results = play(Scripted(answer, latency=1.0, limits=Limits(concurrency=4)), words(60), store=store)
    other.close()
    assert all(result.status == "ok" for result in results)
    assert sum("locked" in note for result in results for note in result.response.notes) == 1
    assert store.stats().rows == 61
    store.close()


def test_a_damaged_store_stops_a_run_before_anything_is_sent(tmp_path: Path):
    """Nobody pays twice because a file can't be read."""
    path = tmp_path / "r.sqlite3"
    path.write_bytes(b"garbage " * 1000)
    backend = Scripted()
    with pytest.raises(StoreError):
        play(backend, words(3), store=ResponseStore(path))
    assert backend.calls == 0


def test_an_empty_run_ends():
    """No rows, no calls, no waiting."""
    assert play(Scripted(), []) == []


def test_a_stream_gives_results_one_by_one_and_raises_at_the_end(store):
    """async for over a run; leaving early ends it."""

    async def first(n: int) -> list[Result]:
        backend, found = Scripted(latency=1.0, limits=Limits(concurrency=2)), []
        stream = Engine(store).stream(rows(words(50)), Upper(), backend, Target("scripted", "m"), Options())
        async for result in stream:
            found.append(result)
            if len(found) == n:
                break
        await stream.aclose()
        assert backend.in_flight == 0
        return found

    assert len(clock.run(first(4))) == 4

    async def fails() -> None:
        backend = Scripted(failing(AuthError("no key")))
        async for _ in Engine().stream(rows(words(5)), Upper(), backend, Target("scripted", "m"), Options()):
            pass

    with pytest.raises(AuthError):
        clock.run(fails())
