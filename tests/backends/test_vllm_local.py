"""vLLM's engine in the kernel, against a stand-in for its package that refuses what is not documented."""

import importlib
import json
import sys

import pandas as pd
import pytest

from llm_magics import label
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.backends.vllm_engine.client import LocalVLLMBackend
from llm_magics.core import errors
from llm_magics.core.types import TEXT, BackendSpec, Choice, Message, OneOf, Request, Schema
from llm_magics.notebook.config.magic import config_command
from llm_magics.runs.session import current
from tests.backends.worlds import IN_KERNEL

pytest.importorskip("transformers", reason="transformers is not installed")

LABELS = OneOf((Choice("calm"), Choice("angry"), Choice("how-to")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.backends.torch_models import tokenizer

    made = tmp_path_factory.mktemp("words")
    tokenizer().save_pretrained(made)
    return made


@pytest.fixture
def vllm(monkeypatch, model_cache):
    monkeypatch.syspath_prepend(str(IN_KERNEL))
    yield importlib.import_module("vllm")
    cache().clear(force=True)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        del sys.modules[name]


@pytest.fixture
def backend(folder, vllm):
    return LocalVLLMBackend(BackendSpec("vllm_local", str(folder)))


def ask(text, form=TEXT, *, sample=0, **parameters):
    turns = (Message("system", "Label the text."), Message("user", text))
    return Request("vllm_local", "tiny", turns, form, parameters=parameters, subject=text, sample=sample)


@pytest.mark.checklist("B8")
async def test_a_batch_is_one_call_and_each_row_has_its_own_settings(backend, vllm):
    """Rows of several formats go together, as the chat template's tokens; answers come in order."""
    person = Schema({"type": "object", "properties": {"name": {"type": "string"}}})
    out = await backend.complete_many(
        [
            ask("hello"),
            ask("I am angry", LABELS),
            ask("Ann", person),
            ask("calm, angry", OneOf(LABELS.choices, many=True)),
        ]
    )
    assert [each.parsed for each in out] == [None, "angry", {"name": "Ann"}, ["calm", "angry"]]
    assert out[0].text == "echo: hello" and out[0].finish_reason == "stop"
    ((prompts, settings),) = vllm.State.engines[-1].calls
    words = vllm.State.engines[-1].tokenizer
    turns = [{"role": "system", "content": "Label the text."}, {"role": "user", "content": "hello"}]
    whole = words.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert prompts[0]["prompt_token_ids"] == words.encode(whole, add_special_tokens=False)
    held = [each.structured_outputs for each in settings]
    assert held[0] is None and held[1].choice == ["calm", "angry", "how-to"]
    assert held[2].json == person.schema and "labels" in held[3].json["properties"]
    assert all(each.usage.input_tokens > 0 and each.usage.cost == 0 for each in out)


@pytest.mark.checklist("T9")
async def test_probabilities_come_from_the_tokens_alternatives(backend, vllm):
    """Asked for where scores are wanted, and only there."""
    scored = await backend.complete(ask("angry", OneOf(LABELS.choices, scores=True)))
    assert scored.parsed == "angry" and scored.scores["angry"] > 0.9 and scored.method == "logprobs"
    plain = await backend.complete(ask("angry", LABELS))
    assert plain.scores is None
    assert [settings[0].logprobs for _, settings in vllm.State.engines[-1].calls] == [20, None]


@pytest.mark.checklist("C2", "C5")
async def test_parameters_in_vllm_s_words(backend, vllm):
    """Ours renamed, its own passed on, the model's defaults below; what it lacks is said; a sample moves the seed."""
    vllm.State.generation_defaults = {"temperature": 0.6, "top_k": 20}
    given = {"max_new_tokens": 3, "repeat_penalty": 1.1, "min_p": 0.05, "top_k": 5, "stop": ["."], "seed": 7}
    out = await backend.complete(ask("one two three four", sample=2, mirostat=2, **given))
    assert out.finish_reason == "length"
    assert out.notes == (f"{backend.name} takes no mirostat; it was not used.",)
    ((_, (used,)),) = vllm.State.engines[-1].calls
    assert (used.max_tokens, used.repetition_penalty, used.min_p, used.top_k) == (3, 1.1, 0.05, 5)
    assert (used.stop, used.seed, used.temperature, used.top_p) == (["."], 9, 0.6, 1.0)
    await backend.complete(ask("free"))
    assert vllm.State.engines[-1].calls[-1][1][0].max_tokens > 16  # vLLM's own default would cut everything
    with pytest.raises(errors.BadRequest, match="temperature must be non-negative"):
        await backend.complete(ask("x", temperature=-1))


@pytest.mark.checklist("R9")
async def test_a_row_that_is_too_long_is_cut_and_says_so(backend):
    """The others of its batch are as they were; instructions that are too long are their row's error."""
    out = await backend.complete_many([ask("late", LABELS), ask("works " * 600, LABELS)])
    assert [each.finish_reason for each in out] == ["stop", "prompt_cut"]
    whole = Request(
        "vllm_local", "tiny", (Message("system", "works " * 600), Message("user", "x")), subject="x"
    )
    found = await backend.complete_many([whole, ask("late")])
    assert [type(each).__name__ for each in found] == ["ContextOverflow", "Response"]


@pytest.mark.checklist("M1", "M2", "M3")
async def test_the_engine_lives_in_the_kernel_s_cache(folder, vllm):
    """Loaded once for all who ask with the same options; clear ends its process."""
    before = cache().loads
    for _ in range(2):
        made = LocalVLLMBackend(
            BackendSpec("vllm_local", str(folder), name="fast", options={"max_model_len": 256})
        )
        await made.open()
        assert made.capabilities.context_window == 256
    assert cache().loads == before + 1
    assert vllm.State.engines[-1].arguments == {"max_model_len": 256}
    assert [entry.name for entry in cache().entries()] == ["fast"]
    core = vllm.State.engines[-1].core
    cache().clear("fast")
    assert core.ended


async def test_what_can_not_be_loaded_is_told(folder, vllm):
    """An option nobody knows, a GPU without room: one error with what to type."""
    with pytest.raises(errors.ModelLoadError, match="max_len") as caught:
        await LocalVLLMBackend(BackendSpec("vllm_local", str(folder), options={"max_len": 5})).open()
    assert caught.value.fatal and "max_model_len" in caught.value.hint
    vllm.State.fault = "memory"
    with pytest.raises(errors.ModelLoadError, match="No available memory"):
        await LocalVLLMBackend(BackendSpec("vllm_local", str(folder))).open()


@pytest.mark.checklist("B11")
@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
async def test_without_the_package_one_message_says_what_to_do(folder, model_cache):
    """Before any row."""
    with pytest.raises(errors.MissingPackage, match="vllm") as caught:
        await LocalVLLMBackend(BackendSpec("vllm_local", str(folder))).open()
    assert "%pip install" in caught.value.hint and "vllm::MODEL" in caught.value.hint


@pytest.mark.checklist("B8")
def test_it_is_registered_and_labels_a_frame(folder, vllm):
    """As typed: add with options of the engine, then a cell's worth of rows in one call."""
    session = current()
    config_command(
        session, f"add fast --model vllm_local::{folder} --option max_model_len=300 --batch-size 64"
    )
    frame = pd.DataFrame({"text": ["I am calm", "I am angry", "a how-to please"] * 5})
    out = label(frame, ["calm", "angry", "how-to"], on="text", model="fast")
    assert out["label"].tolist() == ["calm", "angry", "how-to"] * 5
    assert len(vllm.State.engines[-1].calls) == 1
    assert "fast" in session.last.report() and "label_finish" not in out
    long = pd.DataFrame({"text": ["angry " * 600, "I am calm"]})
    out = label(long, ["calm", "angry"], on="text", model="fast")
    assert out["label_finish"].tolist() == ["prompt_cut", "stop"]
    assert "never the instructions" in session.last.report()
    assert json.loads(json.dumps(vllm.State.engines[-1].arguments)) == {"max_model_len": 300}
