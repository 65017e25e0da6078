"""LLooM's words: its model classes and instance, and the examples of its own page as they are written."""

import re
import socket
import sys
import textwrap
import threading
from pathlib import Path

import pandas as pd
import pytest

from llm_magics import embed, generate, label
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Limits, Price
from llm_magics.lloom import EmbedModel, Model, OpenAIModel, lloom
from llm_magics.testing import Server
from tests.conftest import SHARED

PAGE = SHARED.parent / "reference" / "lloom-custom-models.md"

DF = pd.DataFrame(
    {
        "doc_id": [f"d{i}" for i in range(6)],
        "text": [f"The delivery number {i} was late again." for i in range(6)],
    }
)


@pytest.mark.checklist("B7")
def test_a_model_s_numbers_are_honoured():
    """cost, context_window, rate_limit, batch_size: what LLooM takes and forgets."""
    made = Model(
        name="m", fn=lambda model, prompt: prompt, cost=(1 / 1e6, 2 / 1e6), rate_limit=(300, 10),
        context_window=1000, api_key="sk-secret-0123456789", system_prompt="be kind",
    )  # fmt: skip
    backend = made.to_backend()
    assert backend.price == Price(1.0, 2.0, source="given with the model")
    assert backend.limits == Limits(window=(300, 10.0))
    assert backend.capabilities.context_window == 1000
    assert made.args == {"system_prompt": "be kind"} and made.to_backend() is backend
    assert "secret" not in repr(made) + repr(backend) + repr(backend.spec)
    assert (
        EmbedModel(name="e", fn=lambda m, t: t, cost=(0), batch_size=7).to_backend().capabilities.embed_batch
        == 7
    )


@pytest.mark.checklist("B7", "L26")
def test_model_objects_go_wherever_a_backend_goes():
    """label, generate and embed take one for ``model``."""
    model = Model(name="m", fn=lambda model, prompt: ("late", (3, 1)))
    assert list(label(DF, ["late", "early"], on="text", model=model)["label"]) == ["late"] * 6
    assert list(generate(DF, "Say: {text}", model=model)["generation"]) == ["late"] * 6
    vectors = EmbedModel(
        name="e", fn=lambda model, texts: ([[1.0, 2.0] for _ in texts], [0, 0]), batch_size=3
    )
    assert len(embed(DF, on="text", model=vectors)["embedding"].iloc[0]) == 2


def test_an_openai_model_is_its_name_and_key():
    """The key reaches its own host, whatever else is configured."""
    with Server(key="sk-its-own-key-0123") as server:
        model = OpenAIModel(name="test-model", api_key="sk-its-own-key-0123", base_url=server.url)
        assert list(generate(DF.head(1), "{doc_id}", model=model)["generation"]) == ["echo: d0"]


# -- the page


def blocks(heading: str, until: str) -> list[str]:
    """The page's Python blocks between two headings, with our import line."""
    if not PAGE.is_file():
        pytest.skip("LLooM's page (../shared/reference) is not on this machine")
    text = PAGE.read_text(encoding="utf-8")
    part = text[text.index(heading) : text.index(until) if until else len(text)]
    found = [textwrap.dedent(code) for code in re.findall(r"```py[^\n]*\n(.*?)```", part, re.DOTALL)]
    return [
        code.replace("text_lloom.workbench", "llm_magics.lloom").replace("text_lloom.llm", "llm_magics.lloom")
        for code in found
    ]


def run(codes: list[str], space: dict) -> dict:
    for code in codes:
        exec(compile(code, "page", "exec"), space)
    return space


GENAI = """
import threading
KEYS, INSIDE, MOST, LOCK = [], [0], [0], threading.Lock()
GATE = threading.Barrier(4, timeout=20)
def configure(api_key): KEYS.append(api_key)
class Counts: prompt_token_count, total_token_count = 7, 9
class Answer:
    def __init__(self, text): self.text, self.usage_metadata = text, Counts
class GenerativeModel:
    def __init__(self, name): self.name = name
    def generate_content(self, prompt):
        with LOCK:
            first, INSIDE[0] = not MOST[0], INSIDE[0] + 1
            MOST[0] = max(MOST[0], INSIDE[0])
        if not first and "meet" in prompt: GATE.wait()
        with LOCK: INSIDE[0] -= 1
        return Answer(f"{self.name}: {prompt[-30:]}")
def embed_content(model, content, task_type):
    return {"embedding": [[float(len(t)), 1.0] for t in content]}
"""


@pytest.fixture
def genai(tmp_path, monkeypatch):
    """A module in the place of Google's old SDK, which blocks as it did."""
    package = tmp_path / "google" / "generativeai"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(GENAI)
    (package / "types.py").write_text("class HarmCategory: ...\nclass HarmBlockThreshold: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("google.generativeai")]:
        del sys.modules[name]


@pytest.mark.checklist("B7", "L26", "R5")
def test_the_gemini_example_runs_as_it_is_written(genai):
    """Blocks of the page but for the import line; its blocking calls run side by side."""
    import llm_magics.lloom as wb

    codes = blocks("## Alternative LLM APIs", "## Open Source Models")
    space = run(codes, {"df": DF, "api_key": "AIza-test", "wb": wb})
    made = space["l"]
    model = made.models["concepts.distill"]
    first = generate(DF.head(1), "{text}", model=model)
    assert first["generation"].iloc[0].startswith("gemini-1.5-flash: ")
    out = generate(DF.tail(4), "meet {text}", model=model)
    assert set(out["generation_status"]) == {"ok"}
    stub = sys.modules["google.generativeai"]
    assert stub.MOST[0] == 4
    assert set(stub.KEYS) == {"AIza-test"}
    vectors = embed(DF, on="text", model=made.models["embed"])["embedding"]
    assert len(vectors.iloc[0]) == 2


@pytest.fixture
def port_8000(monkeypatch):
    """A loopback server that answers where the page's vLLM would: localhost:8000."""
    real = socket.socket.connect
    with Server() as server:

        def connect(self, address):
            there = isinstance(address, tuple) and address[1] == 8000
            if there and self.family != socket.AF_INET:
                raise ConnectionRefusedError("only IPv4 here")
            return real(self, ("127.0.0.1", server.port) if there else address)

        monkeypatch.setattr(socket.socket, "connect", connect)
        yield server


@pytest.mark.checklist("B7", "B9", "L26")
def test_the_vllm_example_runs_as_it_is_written(port_8000, tmp_path, monkeypatch):
    """The real OpenAI client against a loopback server, a real sentence-transformers model."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from tests.backends.torch_models import build_embedder

    build_embedder(tmp_path / "made").rename(tmp_path / "all-MiniLM-L6-v2")
    monkeypatch.chdir(tmp_path)
    codes = [code for code in blocks("## Open Source Models", "") if "completions.create(model=" not in code]
    made = run(codes, {"df": DF})["l"]
    out = generate(DF, "{text}", model=made.models["concepts.score"])
    assert list(out["generation"]) == [f"echo: {text}" for text in DF["text"]]
    assert port_8000.bodies[-1]["messages"][0]["content"].startswith("You are a helpful assistant")
    vectors = embed(DF, on="text", model=made.models["embed"])["embedding"]
    assert len(vectors.iloc[0]) == 16
    assert made.models["embed"].to_backend().capabilities.embed_batch == 2048


# -- the instance


async def test_an_instance_has_the_steps_under_their_names(tmp_path):
    """Without a model: the embedded default finds, scores and exports."""
    texts = ["the delivery was late", "late delivery again", "I was charged twice", "charged two times",
             "the delivery came late", "they charged me twice"] * 4  # fmt: skip
    frame = pd.DataFrame({"id": [f"d{i}" for i in range(24)], "text": texts})
    before = threading.active_count()
    made = lloom(df=frame, text_col="text", id_col="id")
    with pytest.raises(Exception, match="no concepts yet"):
        made.export_df()
    found = await made.gen()
    assert len(found) >= 1 and made.show_selected() == [c.name for c in found.selected]
    scores = await made.score()
    assert len(scores) == 24 * len(found.selected)
    assert "doc_id" not in scores and set(scores["id"]) == set(frame["id"])
    await made.add("charged", "Does the text tell of being charged twice?")
    assert "charged" in made.show_selected()
    assert len(made.export_df()) == len(found)
    path = made.save(str(tmp_path), "mine")
    assert Path(path).is_file() and made.export_json()
    assert threading.active_count() - before < 50


async def test_what_is_typed_wrong_is_told_at_once():
    """A column that isn't there, and what gen takes there and has no meaning here."""
    with pytest.raises(NotFound, match="txt"):
        lloom(df=DF, text_col="txt")
    with pytest.raises(NotFound, match="no_id"):
        lloom(df=DF, text_col="text", id_col="no_id")
    made = lloom(df=DF, text_col="text")
    with pytest.raises(UsageError, match="filter_n_quotes, n_synth can't be set here") as caught:
        await made.gen(None, {"filter_n_quotes": 2}, 2)
    assert "max_concepts" in caught.value.hint
    assert len(await made.gen(seed="late", debug=False, max_concepts=1)) >= 1
