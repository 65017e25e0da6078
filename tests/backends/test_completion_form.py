"""Models without a chat template get a text to continue: labels, templates, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from llm_magics import generate, label
from llm_magics.backends.gguf import header
from llm_magics.backends.gguf.client import GGUFBackend
from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.loaded_model import Prompter
from llm_magics.backends.huggingface.client import TransformersBackend
from llm_magics.backends.process.client import ProcessBackend
from llm_magics.core.types import BackendSpec, Message, Request
from llm_magics.runs import session as sessions
from llm_magics.tasks.label.committee import has_default_prior
from llm_magics.testing.gguf import build
from tests.backends import torch_models

TEXTS = ["The box was broken.", "I was charged twice.", "Nothing works since noon."]
LABELS = {"billing": "money", "outage": "the service is down", "how-to": ""}
PROMPT = (
    "billing: money\noutage: the service is down\nCategories: billing, outage, how-to.\n"
    "Text: The box was broken.\nCategory:"
)
REVERSED = (
    "outage: the service is down\nbilling: money\nCategories: how-to, outage, billing.\n"
    "Text: The box was broken.\nCategory:"
)


@pytest.fixture
def base_gguf(gguf_folder: Path) -> Path:
    path = gguf_folder / "base_form.gguf"
    return path if path.exists() else build(path, precision="float32", template=None)


def test_the_header_says_whether_a_file_has_a_chat_template(
    base_gguf: Path, tiny_gguf: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    """Read without loading: a base model, a chat model, an embedder, a file that is no GGUF."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\x03" * 30)
    assert header.completes(base_gguf)
    assert not header.completes(tiny_gguf)
    assert not header.completes(tiny_bert)
    assert not header.completes(broken)
    assert not header.completes(tmp_path / "none.gguf")


@pytest.mark.checklist("Q1")
def test_a_base_model_gets_a_completion_and_a_chat_model_a_conversation(
    base_gguf: Path, tiny_gguf: Path
) -> None:
    """The manifest and the dry run say which; what was sent is what is shown, or its labels in reverse."""
    frame = pd.DataFrame({"text": TEXTS})
    done = label(frame, LABELS, on="text", model=f"gguf::{base_gguf}")
    manifest = done.attrs["llm_magics"]
    assert manifest["prompt_form"] == manifest["parameters"]["prompt_format"] == "completion"
    sent = next(sessions.current().last.prompts())
    assert sent == (REVERSED if manifest["bias"].get("labels") == "reversed" else PROMPT)
    planned = label(frame, LABELS, on="text", model=f"gguf::{base_gguf}", dry_run=True)
    assert planned.first_prompt == PROMPT
    assert "completion: the model has no chat template" in repr(
        label(frame, LABELS, on="text", model=f"gguf::{base_gguf}", dry_run=True, store=False)
    )
    chat = label(frame, LABELS, on="text", model=f"gguf::{tiny_gguf}")
    assert chat.attrs["llm_magics"]["prompt_form"] == "begun_answer"
    assert "conversation whose answer is begun" in repr(
        label(frame, LABELS, on="text", model=f"gguf::{tiny_gguf}", dry_run=True, store=False)
    )


@pytest.mark.checklist("Q1")
def test_a_label_is_spelt_as_it_would_stand_in_the_text(base_gguf: Path) -> None:
    """With a space before it: the prompt and the label are the tokens of the whole text."""
    model = Model(base_gguf)
    prompter = Prompter(model)
    request = Request("gguf", "m", (Message("user", PROMPT),), parameters={"prompt_format": "completion"})
    prompt = prompter.prompt(request, 500)
    assert prompt.text == PROMPT
    label_tokens = prompter.label_tokens(prompt.text, " outage")
    assert model.text(np.array([*prompt.tokens, *label_tokens])) == f"{PROMPT} outage"
    model.close()


def test_a_typed_template_goes_to_a_base_model_untouched(base_gguf: Path, tiny_gguf: Path) -> None:
    """Nothing behind it, by default for a base model, with ``prompt_format=raw`` for any."""
    frame = pd.DataFrame({"title": ["Rain"]})
    options = {"parameters": {"max_new_tokens": 2, "temperature": 0}}
    generate(frame, "Headline: {title}\nStory:", model=f"gguf::{base_gguf}", **options)
    run = sessions.current().last
    assert list(run.prompts()) == ["Headline: Rain\nStory:"]
    assert run.manifest()["prompt_form"] == "raw"
    raw = {"parameters": {**options["parameters"], "prompt_format": "raw"}}
    generate(frame, "Headline: {title}\nStory:", model=f"gguf::{tiny_gguf}", **raw)
    assert list(sessions.current().last.prompts()) == ["Headline: Rain\nStory:"]


def test_a_chosen_format_is_kept(base_gguf: Path) -> None:
    """What the user typed decides, in the cell or with the backend."""
    frame = pd.DataFrame({"text": TEXTS})
    label(frame, LABELS, on="text", model=f"gguf::{base_gguf}", parameters={"prompt_format": "chatml"})
    assert sessions.current().last.manifest()["prompt_form"] == "chatml"
    label(frame, LABELS, on="text", model=f"gguf::{base_gguf}", multi=True)
    assert sessions.current().last.manifest()["prompt_form"] == "conversation"


def test_examples_are_earlier_lines_of_the_text(base_gguf: Path) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    gold = [("Refund me.", "billing"), (TEXTS[0], "how-to")]
    label(frame, list(LABELS), on="text", model=f"gguf::{base_gguf}", examples=gold)
    first, second, _ = sessions.current().last.prompts()
    assert first == (
        "Categories: billing, outage, how-to.\nText: Refund me.\nCategory: billing\n"
        "Text: The box was broken.\nCategory:"
    )
    assert "Text: The box was broken.\nCategory: how-to\nText: I was charged twice.\nCategory:" in str(second)


async def test_transformers_continue_texts_too(tmp_path: Path) -> None:
    """A tokenizer without a template: known from the folder, and the same prompt."""
    folder = torch_models.build_writer(tmp_path / "writer")
    assert TransformersBackend(BackendSpec("transformers", str(folder))).completes is False
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    assert TransformersBackend(BackendSpec("transformers", str(folder))).completes is True
    assert TransformersBackend(BackendSpec("transformers", "owner/model")).completes is None


@pytest.mark.checklist("Q1", "Q2")
@pytest.mark.parametrize("known", [True, False])
def test_a_process_passes_on_what_its_model_is(
    base_gguf: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The same prompt, labels and probabilities as here; a model known by a loader alone says it loaded."""
    frame = pd.DataFrame({"text": TEXTS})
    here = label(frame, LABELS, on="text", model=f"gguf::{base_gguf}", prior="none", scores=True)
    sent = next(sessions.current().last.prompts())
    monkeypatch.setenv("TEST_BASE_GGUF", str(base_gguf))
    inner = {"members": (f"gguf::{base_gguf}",)} if known else {"loader": "tests.backends.loaders:base_model"}
    process = ProcessBackend(BackendSpec("process", "apart", name="apart", options=inner))
    assert process.completes is (True if known else None)
    there = label(frame, LABELS, on="text", model=process, prior="none", scores=True)
    run = sessions.current().last
    assert next(run.prompts()) == (sent if known else PROMPT)  # without its bias, the labels stand as typed
    assert run.manifest()["prompt_form"] == "completion"
    assert there["label"].notna().all()
    if known:
        assert run.manifest()["bias"]["label_names"] == len(LABELS)
        columns = [name for name in here if name.startswith("label_score_")]
        np.testing.assert_allclose(there[columns].astype(float), here[columns].astype(float), atol=0.02)
        assert has_default_prior(process)


def test_a_model_that_is_not_on_this_disk_says_so() -> None:
    assert GGUFBackend(BackendSpec("gguf", "owner/repo:*.gguf")).completes is None
