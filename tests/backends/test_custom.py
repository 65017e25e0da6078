"""Python functions as backends."""

import asyncio
import threading
import time

import numpy as np
import pytest

from llm_magics.backends.functions.client import CustomBackend
from llm_magics.core.errors import (
    AuthError,
    BadRequest,
    ConnectionLost,
    LLMError,
    MalformedAnswer,
    MissingPackage,
    ModelLoadError,
    RateLimited,
    Timeout,
    Unsupported,
    UsageError,
)
from llm_magics.core.types import BackendSpec, Choice, Message, OneOf, Request, Response, Schema, Usage


def backend(fn=None, *, key="", secrets=None, **options):
    return CustomBackend(BackendSpec("custom", "mine", key=key, options={"fn": fn, **options}), secrets)


def ask(text="hello", *, system="", response_format=None, **parameters):
    turns = ((Message("system", system),) if system else ()) + (Message("user", text),)
    extra = {"response_format": response_format} if response_format else {}
    return Request("custom", "mine", turns, parameters=parameters, **extra)


async def texts(made, n, **parameters):
    return await asyncio.gather(*(made.complete(ask(f"row {i}", **parameters)) for i in range(n)))


@pytest.mark.checklist("B7")
async def test_every_shape_of_function_is_called_its_own_way():
    """One prompt, messages, the request, LLooM's two arguments: the signature tells."""
    asked = ask("hi", system="be kind")
    assert (await backend(lambda prompt: prompt.upper()).complete(asked)).text == "BE KIND\nHI"
    assert (await backend(lambda messages: messages[1]["content"]).complete(asked)).text == "hi"
    assert (await backend(lambda request: request.messages[0].role).complete(asked)).text == "system"
    assert (
        await backend(lambda model, prompt: f"{model.name} {prompt}").complete(ask())
    ).text == "mine hello"
    assert (await backend(str.upper).complete(ask())).text == "HELLO"


@pytest.mark.checklist("B7")
async def test_token_counts_are_kept_where_there_are_any():
    """(text, (in, out)) fills the usage; (text, [0, 0]) and a bare text are counted here, and marked so."""
    assert (await backend(lambda p: (p, (3, 4))).complete(ask())).usage == Usage(3, 4)
    for fn in (lambda p: (p, [0, 0]), lambda p: p):
        usage = (await backend(fn).complete(ask())).usage
        assert usage.estimated and usage.input_tokens > 0 and usage.output_tokens > 0


async def test_structured_answers_are_taken_as_they_are():
    """Scores over labels, a JSON value, a whole Response need no parsing."""
    choices = OneOf((Choice("yes"), Choice("no")))
    answer = await backend(lambda p: {"yes": 0.8, "no": 0.2}).complete(ask(response_format=choices))
    assert (answer.parsed, answer.scores) == ("yes", {"yes": 0.8, "no": 0.2})
    answer = await backend(lambda p: {"n": 1}).complete(ask(response_format=Schema({"type": "object"})))
    assert (answer.parsed, answer.text) == ({"n": 1}, '{"n": 1}')
    whole = Response("x", finish_reason="length")
    answer = await backend(lambda p: whole).complete(ask())
    assert (answer.text, answer.finish_reason) == ("x", "length")


@pytest.mark.checklist("C2")
async def test_parameters_reach_those_who_take_them_and_the_others_are_named():
    """A keyword, **kwargs, model.args; what no one takes is said."""

    def careful(prompt, temperature=1.0):
        return str(temperature)

    answer = await backend(careful).complete(ask(temperature=0.5, top_k=3))
    assert answer.text == "0.5"
    assert any("top_k" in note for note in answer.notes)
    assert (await backend(lambda prompt, **more: str(more)).complete(ask(top_k=3))).text == "{'top_k': 3}"
    assert (await backend(lambda model, prompt: str(model.args["top_k"])).complete(ask(top_k=3))).text == "3"


@pytest.mark.checklist("C7", "D1")
async def test_the_formatting_function_decides_what_the_function_reads():
    """prompt_formatting_fn and prompt_format change the prompt itself."""
    echo = backend(lambda prompt: prompt)
    assert (
        await echo.complete(ask(prompt_formatting_fn=lambda p: "Q " + p[-1]["content"]))
    ).text == "Q hello"
    assert "[INST]" in (await echo.complete(ask(prompt_format="llama2"))).text


class Crowd:
    """Counts how many calls are inside at once, and lets them go when ``wanted`` are."""

    def __init__(self, wanted):
        self.wanted, self.inside, self.most = wanted, 0, 0
        self.full, self.lock = threading.Event(), threading.Lock()

    def enter(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside >= self.wanted:
                self.full.set()

    def wait(self):
        self.enter()
        self.full.wait(10)
        with self.lock:
            self.inside -= 1
        return "ok"


@pytest.mark.checklist("R5")
async def test_sync_functions_run_side_by_side():
    """Eight blocking calls are inside at once."""
    crowd = Crowd(8)
    await texts(backend(lambda prompt: crowd.wait()), 8)
    assert crowd.most == 8


@pytest.mark.checklist("R5")
async def test_blocking_calls_in_async_clothes_run_side_by_side_too():
    """LLooM's example blocks inside ``async def``; after the first call that is known."""
    crowd = Crowd(8)

    async def fn(model, prompt):
        return crowd.wait() if prompt != "row 0" else "ok", [0, 0]

    made = backend(fn)
    await made.complete(ask("row 0"))
    await texts(made, 9)
    assert crowd.most == 8
    await made.close()


@pytest.mark.checklist("R5")
async def test_true_async_functions_share_one_loop_that_is_not_ours():
    """They wait together, on a loop whose blocking would not stop the engine."""
    loops, gate = set(), {}

    async def fn(prompt):
        loops.add(asyncio.get_running_loop())
        event = gate.setdefault("event", asyncio.Event())
        gate["n"] = gate.get("n", 0) + 1
        if gate["n"] >= 9 or prompt == "first":
            await asyncio.sleep(0)
            if prompt != "first":
                event.set()
        await (asyncio.sleep(0) if prompt == "first" else event.wait())
        return prompt

    made = backend(fn)
    await made.complete(ask("first"))
    answers = await asyncio.wait_for(texts(made, 8), 10)
    assert [answer.text for answer in answers] == [f"row {i}" for i in range(8)]
    assert len(loops) == 1 and asyncio.get_running_loop() not in loops
    await made.close()


async def test_a_blocking_function_leaves_the_loop_free():
    """While a call blocks, the loop goes on; a cancelled call comes back at once."""
    release = threading.Event()
    call = asyncio.create_task(backend(lambda p: release.wait(20) and "x").complete(ask()))
    await asyncio.sleep(0.05)
    call.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.monotonic() - began < 5
    release.set()


@pytest.mark.checklist("B9")
async def test_embeddings_go_in_batches_and_in_full():
    """One call a batch; each text as it was typed."""
    calls = []

    def embed(texts):
        calls.append(texts)
        return [[float(len(t)), 1.0] for t in texts], (len(texts), 0)

    made = backend(embed_fn=embed, batch_size=4)
    out = await made.embed([str(10**i) for i in range(10)])
    assert [len(c) for c in calls] == [4, 4, 2]
    assert out.vectors.dtype == np.float32 and out.vectors.shape == (10, 2)
    assert out.vectors[:, 0].tolist() == list(range(1, 11))
    assert out.usage.input_tokens == 10


async def test_a_function_of_one_text_is_found_out():
    """LLooM's embed functions may take a single text; a flat vector shows it."""

    def embed(model, text):
        one = text if isinstance(text, str) else text[0]
        return [float(len(one)), 0.0], [0, 0]

    out = await backend(embed_fn=embed, batch_size=8).embed(["a", "bb", "ccc"])
    assert out.vectors[:, 0].tolist() == [1.0, 2.0, 3.0]


async def test_wrong_counts_of_vectors_or_answers_are_no_answers():
    """Two vectors for three texts, two answers for three prompts: malformed."""
    with pytest.raises(MalformedAnswer, match="3 texts"):
        await backend(embed_fn=lambda texts: [[1.0], [2.0]]).embed(["a", "b", "c"])
    out = await backend(lambda prompts: ["x", "y"]).complete_many([ask("a"), ask("b"), ask("c")])
    assert all(isinstance(error, MalformedAnswer) for error in out)


@pytest.mark.checklist("B8")
async def test_a_function_of_prompts_gets_many_at_once():
    """In-process batch engines are one call a batch; one bad answer is one bad row."""
    seen = []

    def fn(model, prompts):
        seen.append(len(prompts))
        return [p.upper() if p != "b" else None for p in prompts]

    made = backend(fn, batch_size=16)
    assert made.capabilities.batch_size == 16
    out = await made.complete_many([ask("a"), ask("b"), ask("c")])
    assert seen == [3]
    assert [getattr(o, "text", type(o).__name__) for o in out] == ["A", "MalformedAnswer", "C"]


class Said(Exception):
    def __init__(self, status_code):
        super().__init__(f"status {status_code}")
        self.status_code = status_code


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (Said(401), AuthError),
        (Said(429), RateLimited),
        (TimeoutError("late"), Timeout),
        (ConnectionRefusedError("no"), ConnectionLost),
        (ValueError("odd row"), BadRequest),
        (StopIteration("x"), BadRequest),
    ],
)
async def test_what_a_function_raises_is_one_of_our_errors(raised, kind):
    """The class tells whether it may pass; the original is the cause."""

    def fn(prompt):
        raise raised

    with pytest.raises(kind) as caught:
        await backend(fn).complete(ask())
    assert caught.value.hint
    if not isinstance(raised, StopIteration):
        assert caught.value.__cause__ is raised


async def test_no_text_is_no_answer():
    """None is said to be none, and may pass next time."""
    with pytest.raises(MalformedAnswer) as caught:
        await backend(lambda p: None).complete(ask())
    assert caught.value.retryable


async def test_setup_runs_once_for_all_and_again_after_a_failure():
    """Many first calls, one setup; a setup that raised is tried anew."""
    calls = []

    def setup(key):
        calls.append(key)
        if len(calls) == 1:
            raise RuntimeError("not yet")
        return {"client": True}

    class Held:
        def resolve(self, reference):
            return {"env:MINE": "s3cret"}[reference]

    made = backend(lambda model, prompt: str(model.client), setup_fn=setup, key="env:MINE", secrets=Held())
    with pytest.raises(ModelLoadError, match="not yet"):
        await made.complete(ask())
    answers = await texts(made, 5)
    assert calls == ["s3cret", "s3cret"]
    assert {answer.text for answer in answers} == {"{'client': True}"}
    assert "s3cret" not in repr(made) + repr(made.target) + repr(made.spec)


async def test_a_setup_without_its_package_says_what_to_install():
    """An import that fails is a missing package, and stops the run."""

    def setup(key):
        import no_such_package_at_all  # noqa: F401

    with pytest.raises(MissingPackage, match="no_such_package_at_all") as caught:
        await backend(lambda model, prompt: "", setup_fn=setup).complete(ask())
    assert caught.value.fatal


def test_what_is_no_function_is_refused_at_once():
    """No function, or a text in its place, is told when it is registered."""
    with pytest.raises(UsageError, match="no function"):
        backend()
    with pytest.raises(UsageError, match="not a function"):
        backend("fn")


async def test_each_side_alone_says_what_it_lacks():
    """An embedding function gives no text, a text function no vectors."""
    with pytest.raises(Unsupported):
        await backend(embed_fn=lambda texts: texts).complete(ask())
    with pytest.raises(Unsupported):
        await backend(lambda p: p).embed(["a"])


def test_another_function_is_another_source_of_answers():
    """Stored answers are told apart by the function's code."""
    one, same, other = (backend(fn).base_url for fn in (lambda p: p, lambda p: p, lambda p: p + "!"))
    assert one == same != other
    assert issubclass(UsageError, LLMError)
