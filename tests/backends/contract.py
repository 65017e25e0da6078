"""What every backend has to do, whatever stands behind it.

To put another backend under this contract, write a ``World``: the backend together with a host that can
be told to misbehave. Then add its class to ``WORLDS`` in ``test_contract.py``. That is all.

    class MyWorld(World):
        name = "mine"
        can = frozenset({"text", "embed"})           # what to test; the rest is skipped

        def open(self): ...                          # start the host
        def close(self): ...                         # end it, and everything it started
        def backend(self, **changes): ...            # a backend that reaches it; changes go into its spec
        def says(self, text): ...                    # the host's answer from now on
        def misbehave(self, what, message=""): ...   # one of testing.FAULTS; skip what can't be had

The words of ``can``: ``text echo one_of many schema embed usage finish faults timeout cancel gone reopen key
stream``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from llm_magics.backends.base import LISTENER, Backend
from llm_magics.core.errors import (
    AuthError,
    BackendError,
    ConnectionLost,
    ContentFiltered,
    ContextOverflow,
    LLMError,
    MalformedAnswer,
    MissingKey,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Timeout,
)
from llm_magics.core.types import TEXT, Choice, Limits, Message, OneOf, Request, ResponseFormat, Schema, Text

LABELS = OneOf((Choice("billing"), Choice("outage"), Choice("how-to", "asks how")))
MANY = OneOf(LABELS.choices, many=True, max_choices=2)
PERSON = Schema(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    name="person",
)
UNICODE = 'naïve café 日本語 العربية 🏳️‍🌈 \u200b \t“quotes” \\ " </s> {x}\r\nend'


class World:
    """A backend and the host behind it. See the module's text."""

    name = ""
    can: frozenset[str] = frozenset()

    def open(self) -> None:
        """Start the host."""

    def close(self) -> None:
        """End it."""

    def backend(self, **changes: Any) -> Backend:
        """A backend that reaches the host; ``changes`` go into its spec."""
        raise NotImplementedError

    def says(self, text: str) -> None:
        """The host's answer from now on."""
        raise NotImplementedError

    def misbehave(self, what: str, message: str = "") -> None:
        """The host's fault from now on, in its own words or these."""
        pytest.skip(f"{self.name} can't be made to: {what}")

    def gone(self) -> None:
        """End the host while the backend lives."""
        pytest.skip(f"the host of {self.name} can't go away")

    def in_flight(self) -> int:
        """Requests the host is working on."""
        return 0

    def ask(self, text: str, form: ResponseFormat = TEXT, **parameters: Any) -> Request:
        """A request with ``text`` as its only message."""
        return Request(
            self.name, "test-model", (Message("user", text),), form, parameters=parameters, subject=text
        )

    def needs(self, what: str) -> None:
        """Skip where the backend can't."""
        if what not in self.can:
            pytest.skip(f"{self.name}: not {what}")


@pytest.fixture
async def backend(world: World) -> Any:
    """A backend in its world, closed afterwards."""
    made = world.backend()
    yield made
    await made.close()


class Contract:
    """The rules. ``world`` is a fixture of the module that collects them."""

    async def test_text(self, world: World, backend: Backend) -> None:
        """A text answer comes back as it was given, and nothing is parsed."""
        world.needs("text")
        world.says("It is raining.")
        response = await backend.complete(world.ask("weather?"))
        assert response.text == "It is raining."
        assert response.parsed is None
        assert response.scores is None
        assert not response.cached
        assert response.latency > 0

    async def test_heard(self, world: World, backend: Backend) -> None:
        """Who listens hears the text grow; the answer is the one that nobody listened to."""
        world.needs("stream")
        if "text" in world.can:
            world.says(f"A long answer: {UNICODE} and that is all.")
        heard: list[str] = []
        quiet = await backend.complete(world.ask("weather?", seed=1))
        token = LISTENER.set(heard.append)
        try:
            response = await backend.complete(world.ask("weather?", seed=1))
        finally:
            LISTENER.reset(token)
        assert (response.text, response.finish_reason) == (quiet.text, quiet.finish_reason)
        assert response.usage == quiet.usage
        assert heard and response.text.rstrip("\ufffd") == heard[-1]
        assert all(after.startswith(before) for before, after in itertools.pairwise(heard))

    async def test_a_heard_answer_that_breaks_off(self, world: World, backend: Backend) -> None:
        """Half an answer is a fault that may pass, never an answer."""
        world.needs("stream")
        world.misbehave("cut")
        token = LISTENER.set(lambda _: None)
        try:
            with pytest.raises(ConnectionLost):
                await backend.complete(world.ask("weather?"))
            world.misbehave("truncated")
            with pytest.raises((ConnectionLost, MalformedAnswer)):
                await backend.complete(world.ask("weather?"))
        finally:
            LISTENER.reset(token)

    async def test_label(self, world: World, backend: Backend) -> None:
        """A label is one of the choices."""
        world.needs("one_of")
        world.says(json.dumps({"label": "outage"}))
        response = await backend.complete(world.ask("everything is down", LABELS))
        assert response.parsed == "outage"

    async def test_label_nobody_offered(self, world: World, backend: Backend) -> None:
        """A name that is no choice is never passed on as a label; the text is kept."""
        world.needs("one_of")
        world.says(json.dumps({"label": "weather"}))
        response = await backend.complete(world.ask("sunny", LABELS))
        assert response.parsed is None
        assert "weather" in response.text

    async def test_labels(self, world: World, backend: Backend) -> None:
        """Several labels are a list of names, each once."""
        world.needs("many")
        world.says(json.dumps({"labels": ["outage", "billing", "outage"]}))
        response = await backend.complete(world.ask("down and charged", MANY))
        assert response.parsed == ["outage", "billing"]

    async def test_no_labels(self, world: World, backend: Backend) -> None:
        """No label of several is an empty list, not a missing answer."""
        world.needs("many")
        world.says(json.dumps({"labels": []}))
        response = await backend.complete(world.ask("hello", MANY))
        assert response.parsed == []

    async def test_schema(self, world: World, backend: Backend) -> None:
        """An answer to a schema is its JSON value."""
        world.needs("schema")
        world.says(json.dumps({"name": "Ann", "age": 7}))
        response = await backend.complete(world.ask("Ann is seven", PERSON))
        assert response.parsed == {"name": "Ann", "age": 7}

    async def test_schema_broken(self, world: World, backend: Backend) -> None:
        """An answer that is no JSON is text for the task to mend, not an exception."""
        world.needs("schema")
        world.says('{"name": "Ann", "age":')
        response = await backend.complete(world.ask("Ann is seven", PERSON))
        assert response.parsed is None
        assert response.text == '{"name": "Ann", "age":'

    async def test_embed(self, world: World, backend: Backend) -> None:
        """Vectors come in the order of the texts, one each, float32, and depend on the whole text."""
        world.needs("embed")
        texts = [f"{'same beginning ' * 50}{n}" for n in range(5)]
        embedding = await backend.embed(texts)
        assert embedding.vectors.shape[0] == 5
        assert embedding.vectors.dtype == "float32"
        assert len({tuple(vector) for vector in embedding.vectors.tolist()}) == 5
        alone = await backend.embed([texts[3]])
        assert alone.vectors[0] == pytest.approx(embedding.vectors[3], abs=1e-4)

    async def test_usage(self, world: World, backend: Backend) -> None:
        """Tokens are counted, by the host or marked as estimated; never negative, never missing."""
        world.needs("usage")
        response = await backend.complete(world.ask("how many tokens is this?"))
        assert response.usage.input_tokens > 0
        assert response.usage.output_tokens >= 0

    async def test_truncated_by_length(self, world: World, backend: Backend) -> None:
        """An answer cut by the token limit says so."""
        world.needs("finish")
        world.says("a long story about a fox")
        assert (await backend.complete(world.ask("tell"))).finish_reason == "stop"
        world.misbehave("length")
        response = await backend.complete(world.ask("tell"))
        assert response.finish_reason == "length"
        assert response.text in "a long story about a fox"

    async def test_empty_answer(self, world: World, backend: Backend) -> None:
        """An empty answer is an answer; what it is worth, the task decides."""
        world.needs("faults")
        world.misbehave("empty")
        assert (await backend.complete(world.ask("say nothing"))).text == ""

    @pytest.mark.checklist("R14")
    async def test_null_answer(self, world: World, backend: Backend) -> None:
        """Null in place of a text is an empty answer; no message at all is a fault."""
        world.needs("faults")
        world.misbehave("null")
        try:
            assert (await backend.complete(world.ask("say nothing"))).text == ""
        except MalformedAnswer as error:
            assert error.message.strip()

    async def test_unicode(self, world: World, backend: Backend) -> None:
        """Text goes there and back unchanged."""
        world.needs("text")
        world.says(UNICODE)
        assert (await backend.complete(world.ask(UNICODE))).text == UNICODE

    async def test_lone_surrogate(self, world: World, backend: Backend) -> None:
        """Broken text from a frame does not break the run."""
        world.needs("text")
        world.says("fine")
        assert (await backend.complete(world.ask("bad \ud800 half"))).text == "fine"

    async def test_long_row(self, world: World, backend: Backend) -> None:
        """100 KB of text pass."""
        world.needs("text")
        text = "word " * 20_000
        world.says(text)
        assert (await backend.complete(world.ask(text))).text == text

    async def test_many_at_once(self, world: World, backend: Backend) -> None:
        """Answers don't get mixed up among requests in flight together."""
        world.needs("echo")
        asked = [f"row {n}" for n in range(50)]
        responses = await asyncio.gather(*(backend.complete(world.ask(text)) for text in asked))
        assert [response.text.removeprefix("echo: ") for response in responses] == asked

    async def test_cancelled_in_flight(self, world: World, backend: Backend) -> None:
        """A cancelled call ends at once and lets go of the host."""
        world.needs("cancel")
        world.misbehave("hang")
        task = asyncio.create_task(backend.complete(world.ask("never")))
        await until(lambda: world.in_flight() == 1)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 5
        await until(lambda: world.in_flight() == 0)

    @pytest.mark.parametrize(
        ("what", "kind"),
        [
            ("auth", AuthError),
            ("no_model", ModelNotFound),
            ("rate_limited", RateLimited),
            ("quota", QuotaExhausted),
            ("error", Overloaded),
            ("unavailable", Overloaded),
            ("overloaded", Overloaded),
            ("context", ContextOverflow),
            ("filtered", ContentFiltered),
            ("filtered_finish", ContentFiltered),
            ("refusal", ContentFiltered),
            ("bad_request", BackendError),
            ("reset", ConnectionLost),
            ("cut", ConnectionLost),
            ("truncated", MalformedAnswer),
            ("html", MalformedAnswer),
        ],
    )
    @pytest.mark.checklist("R6")
    async def test_faults(self, world: World, backend: Backend, what: str, kind: type[LLMError]) -> None:
        """Every fault is one of our errors, and says whether it may pass."""
        world.needs("faults")
        world.misbehave(what)
        with pytest.raises(kind) as caught:
            await backend.complete(world.ask("hello"))
        error = caught.value
        assert isinstance(error, LLMError)
        assert error.message.strip()
        assert error.retryable == (kind in (RateLimited, Overloaded, ConnectionLost, MalformedAnswer))
        assert error.fatal == (kind in (AuthError, ModelNotFound, QuotaExhausted))
        world.misbehave("ok")
        assert (await backend.complete(world.ask("hello"))).text

    async def test_timeout(self, world: World) -> None:
        """A host that never answers is a Timeout, in time."""
        world.needs("timeout")
        world.misbehave("hang")
        backend = world.backend(limits=Limits(timeout=0.2))
        started = time.monotonic()
        with pytest.raises(Timeout):
            await backend.complete(world.ask("hello"))
        assert time.monotonic() - started < 5
        await backend.close()

    async def test_host_gone(self, world: World, backend: Backend) -> None:
        """A host that went away is ConnectionLost, at once."""
        world.needs("gone")
        await backend.complete(world.ask("hello"))
        world.gone()
        with pytest.raises(ConnectionLost):
            await backend.complete(world.ask("hello"))

    async def test_close_and_reopen(self, world: World, backend: Backend) -> None:
        """Closing twice is harmless; the next call opens again."""
        world.needs("reopen")
        await backend.close()
        assert (await backend.complete(world.ask("hello"))).text
        await backend.close()
        await backend.close()
        assert (await backend.complete(world.ask("hello"))).text

    async def test_missing_key(self, world: World) -> None:
        """A key that isn't there is MissingKey, before anything is sent, and says what to type."""
        world.needs("key")
        backend = world.backend(key="env:NO_SUCH_KEY")
        with pytest.raises(MissingKey, match="NO_SUCH_KEY") as caught:
            await backend.complete(world.ask("hello"))
        assert "%llm_config key set" in caught.value.hint
        await backend.close()

    async def test_a_header_that_refers_to_nothing(self, world: World) -> None:
        """A header's reference is never sent as it is typed: MissingKey, before anything goes out."""
        world.needs("key")
        backend = world.backend(headers={"x-team": "env:NO_SUCH_KEY"})
        with pytest.raises(MissingKey, match="NO_SUCH_KEY") as caught:
            await backend.complete(world.ask("hello"))
        assert "%llm_config key set" in caught.value.hint
        await backend.close()

    async def test_no_secret_in_sight(
        self, world: World, backend: Backend, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not in a repr, a log at its most talkative, or the error of a host that repeats the key it got."""
        world.needs("key")
        caplog.set_level("DEBUG")
        answer = await backend.complete(world.ask("hello"))
        world.misbehave("auth", "API key not valid: key-of-the-test")
        with pytest.raises(AuthError, match="not valid") as caught:
            await backend.complete(world.ask("hello"))
        shown = caught.value._render_traceback_()
        for text in (repr(backend), repr(answer), repr(caught.value), *shown, caplog.text):
            assert "key-of-the-test" not in text


async def until(true: Any, seconds: float = 5.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.01)


__all__ = ["LABELS", "MANY", "PERSON", "Contract", "Text", "World", "backend", "until"]
