"""Several backends that share rows or generations."""

import asyncio
import threading

import pandas as pd
import pytest

from llm_magics import generate
from llm_magics.backends.functions.client import CustomBackend
from llm_magics.backends.pool.client import PoolBackend
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    MissingPackage,
    NotFound,
    RateLimited,
    Timeout,
    Unsupported,
    UsageError,
)
from llm_magics.core.limits import INITIAL_CONCURRENCY
from llm_magics.core.types import BackendSpec, Limits, Message, Price, Request, Usage
from llm_magics.notebook.config.magic import config_command
from llm_magics.runs.session import current
from llm_magics.testing import Server
from llm_magics.testing.openai_host import Quota


def member(name, fn=None, **options):
    price = options.pop("price", None)
    limits = options.pop("limits", Limits())
    given = {"fn": fn or (lambda prompt: f"{name}: {prompt}"), **options}
    return CustomBackend(BackendSpec("custom", name, name=name, options=given, price=price, limits=limits))


def pool(*members, **options):
    return PoolBackend(BackendSpec("pool", "crew", name="crew", options={"members": members, **options}))


def ask(text="hello", sample=0, **parameters):
    return Request("pool", "crew", (Message("user", text),), sample=sample, parameters=parameters)


def raising(error):
    def fn(prompt):
        raise error

    return fn


@pytest.mark.checklist("B10")
def test_generations_are_split_evenly_and_rows_by_hash():
    """Seven generations over three members are 3, 2, 2; many rows spread; a seed moves the extra one."""
    crew = pool(member("a"), member("b"), member("c"))
    one_prompt = crew.shares([ask(sample=i) for i in range(7)])
    assert sorted(one_prompt.values()) == [2, 2, 3]
    assert one_prompt == crew.shares([ask(sample=i) for i in range(7)])
    rows = crew.shares([ask(f"row {i}") for i in range(300)])
    assert all(60 < count < 140 for count in rows.values())
    extra = {max((s := crew.shares([ask(sample=0, seed=n)])), key=s.get) for n in range(20)}
    assert extra == {"a", "b", "c"}


@pytest.mark.checklist("B10")
async def test_answers_come_from_the_members_in_the_shares_promised():
    """What shares() says is what happens, in order and with each member's name."""
    crew = pool(member("a"), member("b"))
    asks = [ask(f"row {i}") for i in range(40)]
    answers = await crew.complete_many(asks)
    said = [answer.text.partition(":")[0] for answer in answers]
    assert {name: said.count(name) for name in "ab"} == crew.shares(asks)
    assert [answer.text.partition(" ")[2] for answer in answers] == [f"row {i}" for i in range(40)]
    assert {answer.model for answer in answers} == {"a", "b"}
    assert not any(answer.notes for answer in answers)


@pytest.mark.checklist("B10")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (AuthError("bad key"), "bad failed (AuthError)"),
        (ConnectionLost("gone"), "bad failed (ConnectionLost)"),
        (RateLimited("slow down"), "bad was slowed down by its host"),
        (KeyError("a slip in a function"), "bad failed (BadRequest)"),
    ],
)
async def test_a_failing_member_s_share_goes_to_the_others_with_a_note(fault, said):
    """Every row is answered, and who stood in for whom, and why, is said."""
    crew = pool(member("good"), member("bad", raising(fault)))
    answers = await crew.complete_many([ask(f"row {i}") for i in range(20)])
    assert all(answer.text.startswith("good") for answer in answers)
    notes = {note for answer in answers for note in answer.notes}
    assert notes == {f"{said}; good took its share."}


async def test_a_hopeless_member_is_asked_once():
    """After a refused key nothing more goes there, until the pool is closed."""
    calls = []

    def refused(prompt):
        calls.append(prompt)
        raise AuthError("bad key")

    crew = pool(member("good"), member("bad", refused))
    for i in range(20):
        await crew.complete(ask(f"row {i}"))
    assert len(calls) == 1
    await crew.close()
    for i in range(20):
        await crew.complete(ask(f"row {i}"))
    assert len(calls) == 2


async def test_when_all_fail_the_fault_worth_retrying_is_raised():
    """One refused key and one lost connection: the row may pass yet."""
    with pytest.raises(ConnectionLost):
        await pool(member("a", raising(AuthError("x"))), member("b", raising(ConnectionLost("y")))).complete(
            ask()
        )
    with pytest.raises(AuthError):
        await pool(member("a", raising(AuthError("x"))), member("b", raising(AuthError("y")))).complete(ask())


async def test_a_row_that_one_refuses_the_other_may_take():
    """A request that is bad for one model is tried on the next, and its error kept where none takes it."""
    crew = pool(member("small", raising(BadRequest("too long"))), member("large"))
    assert (await crew.complete(ask())).text == "large: hello"


async def test_each_member_keeps_its_own_parameters_limits_and_price():
    """A member's defaults stand under the request's; cost is by who answered."""

    def told(prompt, temperature=None, top_p=None):
        return f"{temperature} {top_p}", (1_000_000, 0)

    def spec(name, dollars):
        return BackendSpec(
            "custom",
            name,
            name=name,
            options={"fn": told},
            parameters={"temperature": 0.1},
            price=Price(dollars),
        )

    crew = pool(spec("a", 1.0), spec("b", 2.0))
    answers = await crew.complete_many([ask(f"row {i}", top_p=0.5) for i in range(12)])
    assert {answer.text for answer in answers} == {"0.1 0.5"}
    assert {answer.model: answer.usage for answer in answers} == {
        "a": Usage(1_000_000, 0, cost=1.0),
        "b": Usage(1_000_000, 0, cost=2.0),
    }
    assert crew.price is not None and crew.price.input == 2.0


async def test_embeddings_only_of_one_model():
    """Vectors of two models are refused, replicas of one share the work."""
    one = {"fn": None, "embed_fn": lambda texts: [[1.0, 2.0]] * len(texts)}
    with pytest.raises(Unsupported):
        await pool(member("a", **one), member("b", **one)).embed(["x"])
    replica = BackendSpec("custom", "same", options={"embed_fn": one["embed_fn"]})
    assert (await pool(replica, replica).embed(["x", "y"])).vectors.shape == (2, 2)


@pytest.mark.parametrize("members", [(), ("openai::gpt-x",), "openai::gpt-x"])
def test_a_pool_of_one_is_none(members):
    """Two members at least."""
    with pytest.raises(UsageError, match="two members"):
        PoolBackend(BackendSpec("pool", "crew", options={"members": members}))


async def test_opening_leaves_out_who_can_not_work():
    """A member without its package or key is told before the first row; all of them stop the run."""

    def setup(key):
        import no_such_package_at_all  # noqa: F401

    lame = member("lame", setup_fn=setup)
    crew = pool(member("good"), lame)
    await crew.open()
    answers = await crew.complete_many([ask(f"row {i}") for i in range(20)])
    assert {answer.text.partition(":")[0] for answer in answers} == {"good"}
    assert any("lame failed" in note for answer in answers for note in answer.notes)
    with pytest.raises(MissingPackage):
        await pool(lame, lame).open()


async def test_a_member_s_time_is_its_own():
    """Waiting for a turn is no timeout; each call is bounded by its member, or by what the pool was told."""
    crew = pool(member("fast"), member("slow", limits=Limits(timeout=9000.0)))
    assert crew.limits.timeout > 9000.0

    async def never(prompt):
        await asyncio.Event().wait()

    stuck = member("stuck", never)
    own = BackendSpec("pool", "crew", options={"members": (stuck, stuck)}, limits=Limits(timeout=0.1))
    with pytest.raises(Timeout, match="stuck"):
        await PoolBackend(own).complete(ask())
    hasty = pool(member("hasty", never, limits=Limits(timeout=0.1)), member("good"))
    answers = await hasty.complete_many([ask(f"row {i}") for i in range(8)])
    assert all(answer.text.startswith("good") for answer in answers)


@pytest.mark.checklist("B10", "K6")
async def test_who_waits_for_a_member_goes_to_the_others_when_it_begins_to_rest():
    """Also what stood in line before it said no; a cancelled row takes its place in the line with it."""
    said_no, asked = threading.Event(), threading.Event()

    def slow(prompt):
        asked.set()
        said_no.wait(30)
        raise RateLimited("slow down", retry_after=3600)

    crew = pool(member("slow", slow, limits=Limits(concurrency=1)), member("good"))
    mine = [each for each in (ask(f"row {i}") for i in range(30)) if crew.order(each)[0] is crew.members[0]]
    work = [asyncio.create_task(crew.complete(each)) for each in mine]
    while not asked.is_set() or len(crew.members[0].gate._waiting) < len(mine) - 1:
        await asyncio.sleep(0.01)
    gate = crew.members[0].gate
    work[-1].cancel()
    said_no.set()
    answers = await asyncio.wait_for(asyncio.gather(*work[:-1]), 20)
    assert all(answer.text.startswith("good") for answer in answers)
    assert {note for a in answers for note in a.notes} == {
        "slow was slowed down by its host; good took its share."
    }
    with pytest.raises(asyncio.CancelledError):
        await work[-1]
    assert gate.in_flight == 0


# -- with real hosts, under the engine


@pytest.fixture
def hosts():
    """Two servers, each with a word of its own, registered as ``one`` and ``two`` and pooled as ``both``."""
    with Server(lambda request: "first") as one, Server(lambda request: "second") as two:
        registry = current().registry
        for name, server in (("one", one), ("two", two)):
            registry.add(BackendSpec("custom_url", f"model-{name}", name=name, base_url=server.url))
        registry.add(BackendSpec("pool", "one+two", name="both", options={"members": ["one", "two"]}))
        yield one, two


def rows(n, begin=0):
    return pd.DataFrame({"text": [f"row {i}" for i in range(begin, begin + n)]})


def limiter(name):
    session = current()
    backend = session.registry.backend(name)
    return session.engine.limiter(backend)


@pytest.mark.checklist("B10", "K5", "K6")
def test_a_429_slows_its_member_alone(hosts):
    """Its limiter, which is the one of the cells that ask it directly, backs off; the other's and the pool's don't."""
    one, two = hosts
    assert generate(rows(4), "{text}", model="two")["generation"].tolist() == ["second"] * 4
    two.forget()
    two.misbehave("rate_limited", retry_after=600)
    out = generate(rows(60), "{text}", model="both")
    assert out["generation"].tolist() == ["first"] * 60
    assert one.count == 60
    assert 1 <= two.count <= 8  # those that were under way when it said no; nothing after them
    slowed, other, whole = limiter("two"), limiter("one"), limiter("both")
    assert slowed.refusals == 1 and slowed.concurrency.allowed == 1 and slowed.paused_until > 0
    assert other.refusals == whole.refusals == 0 and not other.paused_until and not whole.paused_until
    assert "two was slowed down by its host; one took its share." in current().last.report()
    assert current().last.meter.failed == 0


@pytest.mark.checklist("B10")
def test_a_dead_member_s_share_goes_to_the_other_and_the_footer_says_so(hosts):
    """A host that is gone, then one whose key is refused: no row is lost."""
    _, two = hosts
    two.misbehave("auth")
    assert generate(rows(30), "{text}", model="both")["generation"].tolist() == ["first"] * 30
    assert "two failed (AuthError); one took its share." in current().last.report()
    assert two.count <= 8
    two.stop()
    out = generate(rows(30, 30), "{text}", model="both")
    assert out["generation"].tolist() == ["first"] * 30


@pytest.mark.checklist("B10", "K5")
def test_members_learn_and_grow_by_themselves(hosts):
    """Each member's concurrency grows with its answers, and its host's headers reach its limiter."""
    one = hosts[0]
    one.host.quotas["requests"] = Quota(6000)
    generate(rows(80), "{text}", model="both")
    assert limiter("one").requests.capacity == 6000
    assert limiter("two").requests.capacity == float("inf")
    assert (
        limiter("one").concurrency.allowed > INITIAL_CONCURRENCY
        and limiter("two").concurrency.allowed > INITIAL_CONCURRENCY
    )


@pytest.mark.checklist("B10", "K5")
def test_a_member_s_own_window_holds_in_the_pool(hosts):
    """No more than it allows within its span; the other takes its own share at its own pace."""
    one, two = hosts
    current().registry.add(
        BackendSpec("custom_url", "m", name="two", base_url=two.url, limits=Limits(window=(3, 0.5)))
    )
    out = generate(rows(16), "{text}", model="both")
    assert set(out["generation"]) == {"first", "second"}
    assert limiter("two").window.n == 3
    assert one.count + two.count == 16


def test_a_changed_member_is_a_changed_pool(hosts):
    """A member registered anew is asked at its new host from then on."""
    one, two = hosts
    generate(rows(8), "{text}", model="both")
    two.forget()
    current().registry.add(BackendSpec("custom_url", "m", name="two", base_url=one.url))
    out = generate(rows(8, 8), "{text}", model="both")
    assert two.count == 0 and set(out["generation"]) == {"first"}
    assert "both can't be asked without it" in str(config_command(current(), "remove two"))
    with pytest.raises(NotFound, match="both can't be asked: no model 'two'"):
        generate(rows(8), "{text}", model="both")


@pytest.mark.checklist("B10", "G3")
def test_each_generation_says_which_model_wrote_it(hosts):
    """Two and one of three, as they were split; distilabel's key holds the member's model."""
    generate(rows(4), "{text}", num_generations=3, model="both")
    outputs = current().last.outputs
    assert {"model-one", "model-two"} == set(outputs["model_name"])
    assert all(part.nunique() == 2 for _, part in outputs.groupby("row")["model_name"])
    wrote = {"first": "model-one", "second": "model-two"}
    assert outputs["raw_output"].map(wrote).tolist() == outputs["model_name"].tolist()
