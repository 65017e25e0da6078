"""Hugging Face models in the kernel, with tiny models of random weights built on the spot."""

import asyncio
import math

import numpy as np
import pytest

from llm_magics.backends.huggingface.client import TransformersBackend
from llm_magics.backends.in_kernel.model_cache import cache
from llm_magics.core import errors
from llm_magics.core.types import TEXT, BackendSpec, Choice, Message, OneOf, Request, Schema

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

LABELS = OneOf((Choice("calm"), Choice("angry"), Choice("angry and loud"), Choice("how-to")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.backends.torch_models import build_writer

    return build_writer(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from tests.backends.torch_models import build_embedder

    return build_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture
def writer(folder, model_cache):
    return TransformersBackend(BackendSpec("transformers", str(folder)))


def ask(text, form=TEXT, *, system="Label the text.", **parameters):
    turns = (Message("system", system), Message("user", text))
    return Request("transformers", "tiny", turns, form, parameters=parameters, subject=text)


def plain(folder):
    """The model without our code: one sequence at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


TEXTS = ["late", "I was charged twice in May, please refund the invoice.", "", "nothing works " * 8]


async def test_a_batch_says_what_each_row_alone_would(writer, folder):
    """Left padding changes nothing: equal to the library's own greedy answer, row by row."""
    model, words = plain(folder)
    out = await writer.complete_many([ask(text, temperature=0, max_new_tokens=12) for text in TEXTS])
    for text, answer in zip(TEXTS, out, strict=True):
        turns = [{"role": "system", "content": "Label the text."}, {"role": "user", "content": text}]
        prompt = words.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        ids = words(prompt, return_tensors="pt", add_special_tokens=False).input_ids
        alone = model.generate(ids, do_sample=False, max_new_tokens=12)[0, ids.shape[1] :].tolist()
        ended = words.eos_token_id in alone
        alone = alone[: alone.index(words.eos_token_id)] if ended else alone
        assert answer.text == words.decode(alone, skip_special_tokens=True)
        assert answer.finish_reason == ("stop" if ended else "length")
        assert answer.usage.input_tokens == ids.shape[1]


@pytest.mark.checklist("X2")
@pytest.mark.parametrize("scoring", ["constrained", "joint"])
async def test_labels_are_scored_exactly(writer, folder, scoring):
    """Every probability equals the naive evaluation of each (row, label) alone and in full."""
    model, words = plain(folder)
    out = await writer.complete_many([ask(text, LABELS, label_scoring=scoring) for text in TEXTS])
    for text, answer in zip(TEXTS, out, strict=True):
        naive = _naive(model, words, text, joint=scoring == "joint")
        assert answer.scores == pytest.approx(naive, rel=1e-3, abs=1e-6)
        assert answer.parsed == max(naive, key=naive.get)
        assert answer.method == "trie"
    if scoring == "constrained":
        assert sum(out[0].scores.values()) == pytest.approx(1.0)


async def test_shared_instructions_are_evaluated_once_and_change_no_score(writer, folder):
    """Long instructions, two batches; the second finds the keys and values of the first."""
    model, words = plain(folder)
    rules = "Label the text. The service is down, the box was broken, refund the invoice. " * 3
    rows = [ask(text, LABELS, system=rules) for text in (*TEXTS, "refund")]
    first, second = await writer.complete_many(rows[:4]), await writer.complete_many(rows[4:])
    with cache().use(writer._key(), writer._load) as loaded:
        tokens, kept = loaded.beginning
        assert kept.get_seq_length() == len(tokens) > 40
    for text, answer in zip((*TEXTS, "refund"), (*first, *second), strict=True):
        assert answer.scores == pytest.approx(
            _naive(model, words, text, joint=False, system=rules), rel=1e-3, abs=1e-6
        )


async def test_a_model_with_a_sliding_window_is_scored_in_full(tmp_path, model_cache):
    """Padding would count as text there, so that nothing is shared; every score is exact."""
    from tests.backends.torch_models import build_windowed

    folder = build_windowed(tmp_path / "windowed")
    backend = TransformersBackend(BackendSpec("transformers", str(folder)))
    model, words = plain(folder)
    for text, answer in zip(
        TEXTS, await backend.complete_many([ask(text, LABELS) for text in TEXTS]), strict=True
    ):
        assert answer.scores == pytest.approx(_naive(model, words, text, joint=False), rel=1e-3, abs=1e-6)
    with cache().use(backend._key(), backend._load) as loaded:
        assert loaded.beginning is None


def _naive(model, words, text, *, joint, system="Label the text."):
    """One forward pass a label, over its whole text."""
    turns = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    prompt = words.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    start = words(prompt, add_special_tokens=False).input_ids
    paths = {n: [*words(prompt + n, add_special_tokens=False).input_ids[len(start) :], words.eos_token_id]
             for n in LABELS.names}  # fmt: skip
    found = {}
    for name, path in paths.items():
        with torch.inference_mode():
            logits = model(torch.tensor([start + path])).logits[0].double()
        total = 0.0
        for at, token in enumerate(path):
            row = logits[len(start) + at - 1]
            others = {p[at] for p in paths.values() if p[:at] == path[:at] and len(p) > at}
            rest = row if joint else row[sorted(others)]
            total += float(row[token] - torch.logsumexp(rest, 0))
        found[name] = math.exp(total)
    return found


async def test_several_labels_are_a_question_each(writer):
    """Probabilities a label, those over a half are the answer."""
    form = OneOf(LABELS.choices, many=True)
    answer = await writer.complete(ask("late", form))
    assert set(answer.scores) == set(LABELS.names)
    assert answer.parsed == [name for name, score in answer.scores.items() if score >= 0.5]
    assert answer.method == "yes/no"


@pytest.mark.checklist("C2", "C5")
async def test_every_parameter_reaches_the_model_or_is_named(writer):
    """Limits, stops, penalties and seeds act; what transformers lacks is said."""
    free = await writer.complete(ask("late", temperature=0, max_new_tokens=20))
    short = await writer.complete(ask("late", temperature=0, max_new_tokens=3))
    assert free.text.startswith(short.text) and short.finish_reason == "length"
    stop = free.text[2:4]
    stopped = await writer.complete(ask("late", temperature=0, max_new_tokens=20, stop=stop))
    assert stopped.text == free.text[: free.text.index(stop)] and stopped.finish_reason == "stop"
    punished = await writer.complete(ask("late", temperature=0, max_new_tokens=20, frequency_penalty=-50.0))
    assert punished.text != free.text
    one, same, other = [
        (await writer.complete(ask("late", temperature=2.0, max_new_tokens=20, seed=seed))).text
        for seed in (1, 1, 2)
    ]
    assert one == same != other
    answer = await writer.complete(ask("late", temperature=0, max_new_tokens=3, mirostat=2))
    assert any("mirostat" in note for note in answer.notes)


@pytest.mark.checklist("C7")
async def test_the_formatting_function_decides_what_the_model_reads(writer):
    """A text goes raw, past the chat template."""
    raw = await writer.complete(
        ask("late", temperature=0, max_new_tokens=2, prompt_formatting_fn=lambda p: "late")
    )
    assert raw.usage.input_tokens < 5
    chatml = await writer.complete(ask("late", temperature=0, max_new_tokens=9, prompt_format="chatml"))
    default = await writer.complete(ask("late", temperature=0, max_new_tokens=9))
    assert chatml.text == default.text


async def test_a_row_can_not_end_its_own_turn(writer):
    """Text that looks like a special token is read as text."""
    marks = await writer.complete(ask("a<|im_end|>b", temperature=0, max_new_tokens=2))
    plain_ = await writer.complete(ask("ab", temperature=0, max_new_tokens=2))
    assert marks.usage.input_tokens > plain_.usage.input_tokens + 2


@pytest.mark.checklist("R9")
@pytest.mark.parametrize(
    "form", [TEXT, LABELS, OneOf(LABELS.choices, many=True)], ids=["text", "one", "many"]
)
async def test_a_row_that_is_too_long_is_cut_and_says_so(writer, form):
    """Its own text, at the end, never the instructions; the others of its batch are as they would be alone."""
    long = "works " * 600
    parameters = {"temperature": 0, "max_new_tokens": 8} if form is TEXT else {}
    out = await writer.complete_many([ask(text, form, **parameters) for text in ("late", long, "box")])
    assert [each.finish_reason for each in out][1:2] == ["length" if form is TEXT else "prompt_cut"]
    assert [bool(each.notes) for each in out] == [False, True, False]
    assert "never the instructions" in out[1].notes[0]
    alone = await writer.complete(ask("late", form, **parameters))
    assert (out[0].text, out[0].usage) == (alone.text, alone.usage)
    fits = await writer.complete(ask("works " * 300, form, **parameters))
    assert not fits.notes and fits.usage.input_tokens < out[1].usage.input_tokens


def test_only_the_row_s_text_is_cut(folder):
    """The system text and what stands around the row stay; the cut is in the row, and no longer than needed."""
    from transformers import AutoTokenizer

    from llm_magics.backends.huggingface.prompts import Prompter

    words = AutoTokenizer.from_pretrained(folder)
    turns = (
        Message("system", "Label the text."),
        Message("user", "Text: <<é refund " + "late box " * 99 + ">> end."),
    )
    request = Request("transformers", "tiny", turns, subject="é refund " + "late box " * 99)
    made = Prompter(words).prompt(request, 100, more=" Yes or no?")
    read = words.decode(made.ids)
    assert 90 <= len(made) <= 100 and made.cut > 100
    assert "Label the text." in read and "Text: <<é refund late" in read and ">> end. Yes or no?" in read
    assert request.subject.startswith(made.subject)
    with pytest.raises(errors.ContextOverflow, match="beside the row's own text"):
        Prompter(words).prompt(request, 10)


async def test_broken_text_does_not_break_its_batch(writer):
    """Half of a surrogate pair, which no tokenizer takes, is read as a question mark."""
    bad, mark = await writer.complete_many([ask("bad \ud800 half", LABELS), ask("bad ? half", LABELS)])
    assert bad.scores == pytest.approx(mark.scores, abs=1e-5)
    odd = await writer.complete(ask("\ue0007\ue001 our own marks", temperature=0, max_new_tokens=2))
    assert odd.usage.input_tokens > mark.usage.input_tokens


async def test_a_schema_s_answer_is_left_to_the_task(writer):
    """No grammar here: text, made without chance."""
    form = Schema({"type": "object"})
    one, two = [(await writer.complete(ask("late", form, max_new_tokens=5))).text for _ in range(2)]
    assert one == two


@pytest.mark.checklist("M1", "M3")
async def test_the_model_lives_in_the_kernel_s_cache(folder, model_cache):
    """Two backends share one load; clear closes it, and the next call loads again."""
    before = cache().loads
    for _ in range(2):
        made = TransformersBackend(BackendSpec("transformers", str(folder), name="tiny"))
        await made.complete(ask("late", LABELS))
    assert cache().loads == before + 1
    assert [entry.name for entry in cache().entries()] == ["tiny"]
    assert "tiny" in str(cache().clear())
    await made.complete(ask("late", LABELS))
    assert cache().loads == before + 2


@pytest.mark.checklist("R4")
async def test_a_cancelled_batch_ends_early(writer):
    """The wait ends at once and generation stops after the token under way."""
    await writer.open()
    assert writer.capabilities.context_window == 512
    rows = [ask(f"late {i}", temperature=2.0, max_new_tokens=400, seed=3) for i in range(16)]  # one is long
    work = asyncio.create_task(writer.complete_many(rows))
    await asyncio.sleep(0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await asyncio.wait_for(writer.complete(ask("late", LABELS)), 20)).parsed in LABELS.names


@pytest.mark.checklist("B9")
async def test_embeddings_are_of_the_whole_text(embedder, model_cache):
    """Unit vectors, equal to sentence-transformers' own; long texts in windows, and said."""
    from sentence_transformers import SentenceTransformer

    made = TransformersBackend(BackendSpec("transformers", str(embedder)))
    assert made.capabilities.embed and not made.capabilities.text
    texts = [
        "the box",
        "the delivery was late",
        "",
        "the box " * 100,
        "the box " * 100 + "refund invoice down",
        "half \ud800",
    ]
    out = await made.embed(texts)
    theirs = SentenceTransformer(str(embedder), device="cpu").encode(texts[:2], normalize_embeddings=True)
    assert np.allclose(out.vectors[:2], theirs, atol=1e-5)
    assert np.allclose(np.linalg.norm(out.vectors, axis=1), 1, atol=1e-5)
    assert not np.allclose(out.vectors[3], out.vectors[4], atol=1e-4)
    assert "windows" in out.notes[0]
    with pytest.raises(errors.Unsupported):
        await made.complete(ask("x"))


def test_an_embedding_model_of_the_hub_is_known_by_its_name():
    """Before anything is downloaded."""
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "intfloat/e5-base"):
        assert TransformersBackend(BackendSpec("transformers", name)).capabilities.embed
    assert TransformersBackend(BackendSpec("transformers", "Qwen/Qwen3-0.6B")).capabilities.text


async def test_what_is_no_model_is_told(tmp_path, model_cache):
    """A folder without files, a name that isn't here: the run stops with a hint."""
    (tmp_path / "empty").mkdir()
    for name, hint in ((str(tmp_path / "empty"), "config.json"), ("nobody/nothing", "owner/model")):
        with pytest.raises(errors.ModelLoadError) as caught:
            await TransformersBackend(BackendSpec("transformers", name, options={"offline": True})).open()
        assert caught.value.fatal and hint in caught.value.hint
