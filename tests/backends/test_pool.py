"""Several backends that share rows or generations."""

import pytest

from llm_magics.backends.custom import CustomBackend
from llm_magics.backends.pool import PoolBackend
from llm_magics.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    MissingPackage,
    RateLimited,
    Unsupported,
    UsageError,
)
from llm_magics.types import BackendSpec, Limits, Message, Price, Request, Usage


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
@pytest.mark.parametrize("fault", [AuthError("bad key"), ConnectionLost("gone"), RateLimited("slow down")])
async def test_a_failing_member_s_share_goes_to_the_others_with_a_note(fault):
    """Every row is answered, and who stood in for whom is said."""
    crew = pool(member("good"), member("bad", raising(fault)))
    answers = await crew.complete_many([ask(f"row {i}") for i in range(20)])
    assert all(answer.text.startswith("good") for answer in answers)
    notes = {note for answer in answers for note in answer.notes}
    assert notes == {"bad failed; good took its share."}


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


def test_a_patient_member_makes_the_pool_patient():
    """A local model's rows may wait for hours; what the user says comes first."""
    slow = member("slow", limits=Limits(timeout=9000.0))
    assert pool(member("fast"), slow).limits.timeout == 9000.0
    own = BackendSpec("pool", "crew", options={"members": (slow, slow)}, limits=Limits(timeout=5.0))
    assert PoolBackend(own).limits.timeout == 5.0
