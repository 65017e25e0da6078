"""Answers in odd places, empty answers and cut ones, in cells of a real kernel against a real host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.concepts import scripted
from tests.kernels import Kernel, value
from tests.runs.hosts import use
from tests.servers.anthropic import Anthropic
from tests.servers.google import Google
from tests.servers.ollama import Ollama
from tests.servers.provider import Provider, serve

ROWS = "import pandas as pd\nrows = pd.DataFrame({'t': ['charged twice', 'app is down', 'how to export']})"
EXTRACT = "%%llm extract rows.t --head 1 -o done -q{more}\nname\nage int"
JUDGE = "%%llm judge rows.t --scale 1-5 --head 1 -o done -q{more}\nis it polite"
GENERATE = "%%llm generate rows --head 1 -o done -q{more}\nSay {{t}}"
LABEL = "%llm label rows.t --labels billing,outage,how-to -o done -q"
WORDS = {"charged": "billing", "down": "outage", "export": "how-to"}


def labelled(text: str) -> str:
    return next(label for word, label in WORDS.items() if word in text)


def asked(request: Any) -> str:
    return str(request["messages"][-1]["content"])


def as_thinking(name: str) -> Any:
    return lambda text: {"content": None, name: text}


def as_call(text: str) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "answer", "arguments": text}}
    return {"content": None, "tool_calls": [call], "finish_reason": "tool_calls"}


PLACES = {
    "reasoning_content": as_thinking("reasoning_content"),
    "reasoning": as_thinking("reasoning"),
    "empty": lambda text: {"content": "", "reasoning_content": text},
    "fenced": lambda text: {"content": "", "reasoning_content": f"```json\n{text}\n```"},
    "at the end": lambda text: {"content": "", "reasoning": f"The text speaks of money.\n\n{text}"},
    "beside": lambda text: {"content": "Here is my answer.", "reasoning": "Hm.", **_calls(text)},
    "tool call": as_call,
    "parsed arguments": lambda text: as_call(json.loads(text)),
    "another name": lambda text: as_call(json.dumps({"category": json.loads(text)["label"]})),
    "function_call": lambda text: {"content": None, "function_call": {"name": "f", "arguments": text}},
}


def _calls(text: str) -> dict[str, Any]:
    return {"tool_calls": as_call(text)["tool_calls"]}


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("place", PLACES)
def test_a_label_is_read_where_the_host_put_it(k: Kernel, place: str) -> None:
    """Thinking and arguments of a tool call are read where a format was asked for: one request a row."""
    put = PLACES[place]
    with Server(lambda request: put(json.dumps({"label": labelled(asked(request))}))) as server:
        use(k, server)
        k.run(LABEL)
        assert value(k, "done.label.tolist()") == ["billing", "outage", "how-to"]
        assert value(k, "done.label_status.tolist()") == ["ok"] * 3
        assert server.count == 3


@pytest.mark.checklist("R14")
@pytest.mark.parametrize(
    ("how", "place", "bare"),
    [
        ("--model vllm::test-model --url {url}", "reasoning_content", True),
        ("--model vllm::test-model --url {url} --option choice=false", "reasoning_content", False),
        ("--model hf_endpoint::test-model --url {url} --key env:ODD_KEY", "tool call", False),
        ("--model ollama::test-model --url {url}", "reasoning", False),
        ("--azure {root} --id test-model --key env:ODD_KEY", "tool call", False),
    ],
)
def test_presets_of_the_format_read_alike(k: Kernel, how: str, place: str, bare: bool) -> None:
    """vLLM (a bare label under its choice, too), Hugging Face, Ollama's /v1 and Azure."""
    put = PLACES[place]

    def answer(request: Any) -> Any:
        label = labelled(asked(request))
        return put(label if bare else json.dumps({"label": label}))

    with Server(answer) as server:
        use(k, server, how)
        k.run(LABEL)
        assert value(k, "done.label_error.tolist()") == [None] * 3
        assert value(k, "done.label.tolist()") == ["billing", "outage", "how-to"]
        assert server.count == 3


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("place", ["reasoning_content", "reasoning", "tool call"])
def test_the_other_tasks_read_it_there_too(k: Kernel, place: str) -> None:
    """Extract, judge, several labels, a label with a reason."""
    put = PLACES[place]
    answers = {
        "name": {"name": "Ann", "age": 7},
        "rating": {"reason": "Short.", "rating": 4},
        "labels": {"labels": ["billing", "outage"]},
        "explanation": {"explanation": "It is about money.", "label": "billing"},
    }

    def answer(request: Any) -> Any:
        names = request["response_format"]["json_schema"]["schema"]["properties"]
        return put(json.dumps(next(answers[name] for name in answers if name in names)))

    with Server(answer) as server:
        use(k, server)
        k.run(EXTRACT.format(more=""))
        assert value(k, "[done.name.tolist()[0], int(done.age.tolist()[0])]") == ["Ann", 7]
        k.run(JUDGE.format(more=""))
        assert value(k, "int(done.rating.tolist()[0])") == 4
        k.run("%llm label rows.t --labels billing,outage,how-to --multi --head 1 -o done -q")
        assert value(k, "list(done.label.tolist()[0])") == ["billing", "outage"]
        k.run("%llm label rows.t --labels billing,outage --explain --head 1 -o done -q")
        assert value(k, "done.label_explanation.tolist()[0]") == "It is about money."
        assert server.count == 4


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("place", ["reasoning_content", "tool call"])
def test_concepts_are_induced_from_answers_in_those_places(k: Kernel, place: str) -> None:
    """Each step of concept induction reads its answer there, with one request an answer."""
    put = PLACES[place]
    with Server(lambda request: put(scripted.answer(request))) as server:
        use(k, server)
        k.run("from tests.concepts.scripted import texts\nreviews = pd.DataFrame({'text': texts(30)})")
        k.run("%llm concepts reviews.text -o themes -q")
        assert set(value(k, "[c.name.lower() for c in themes.selected]")) >= {"delivery", "price", "taste"}
        assert value(k, "bool(themes.scores.notna().all().all())")
        sent = [json.dumps(body, sort_keys=True) for body in server.bodies]
        assert len(set(sent)) == len(sent)
        assert not any("can't be used" in body for body in sent)


@pytest.mark.checklist("R14")
def test_a_draft_in_the_thinking_is_no_answer(k: Kernel) -> None:
    """A label that the model only considered is not its label; the content comes first."""
    drafts = 'It could be {"label": "outage"}, or not. I am not sure'
    with Server(lambda _: {"content": "", "reasoning": drafts}) as server:
        use(k, server)
        k.run(f"{LABEL} --head 1")
        assert value(k, "done.label_status.tolist()[0]") == "failed"
        assert "only thought" in value(k, "done.label_error.tolist()[0]")
        assert server.count == 2
    with Server(lambda _: {"content": "billing", "reasoning": '{"label": "outage"}'}) as server:
        use(k, server)
        k.run(f"{LABEL} --head 1 --refresh")
        assert value(k, "done.label.tolist()[0]") == "billing"


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("said", ["", None, "   \n"])
def test_an_empty_answer_is_asked_for_once_more_at_most(k: Kernel, said: str | None) -> None:
    """Empty or null and finished: two requests for a label, one for a text; the row is null and says why."""
    with Server(lambda _: {"content": said}) as server:
        use(k, server)
        k.run(f"{LABEL} --head 1")
        assert value(k, "[done.label.isna().tolist()[0], done.label_status.tolist()[0]]") == [True, "failed"]
        assert value(k, "done.label_error.tolist()[0]") == "the answer was empty"
        assert server.count == 2
        for cell in (EXTRACT, JUDGE):
            server.forget()
            k.run(cell.format(more=""))
            assert server.count == 2
        server.forget()
        k.run(GENERATE.format(more=""))
        assert value(k, "done.generation_error.tolist()[0]") == "the answer was empty"
        assert server.count == 1


@pytest.mark.checklist("R14")
def test_a_model_that_only_thought_about_a_text(k: Kernel) -> None:
    """Free text comes from the content alone: failed once, and told; nothing of the thinking is a text."""
    with Server(lambda _: {"content": "", "reasoning_content": "The user wants a text."}) as server:
        use(k, server)
        k.run(GENERATE.format(more=""))
        assert value(k, "done.generation_status.tolist()[0]") == "failed"
        assert "only thought" in value(k, "done.generation_error.tolist()[0]")
        assert server.count == 1


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("thinking", [{}, {"reasoning_content": "Let me see, the text"}])
def test_thinking_that_the_token_limit_cut(k: Kernel, thinking: dict[str, str]) -> None:
    """One request; told that it was cut while thinking, and which parameter raises the limit."""
    with Server(lambda _: {"content": None, "finish_reason": "length", **thinking}) as server:
        use(k, server)
        limit = " -p max_new_tokens=20"
        for cell, column in (
            (f"{LABEL} --head 1{limit}", "label"),
            (EXTRACT.format(more=" -p max_tokens=20"), "extract"),
            (JUDGE.format(more=limit), "rating"),
            (GENERATE.format(more=limit), "generation"),
        ):
            server.forget()
            k.run(cell)
            told = value(k, f"done.{column}_error.tolist()[0]")
            assert "thinking" in told and "limit of 20 tokens" in told and "-p max_new_tokens=80" in told
            assert server.count == 1
        k.run(f"{LABEL} --head 1")
        assert "-p max_new_tokens=N" in value(k, "done.label_error.tolist()[0]")


@pytest.mark.checklist("R14")
def test_a_chat_says_why_there_is_no_reply(k: Kernel) -> None:
    """Streamed: the thinking that came in pieces is told, and is no reply."""
    with Server(lambda _: {"content": "", "reasoning_content": "Let me think about it."}) as server:
        use(k, server)
        out = k.run("%%llm chat\nHello?", check=False)
        assert "only thought" in out.text
        assert "Let me think" not in out.text
        assert server.bodies[0]["stream"] is True
        assert server.count == 1
    thought = {"content": "", "reasoning": "Let me think about", "finish_reason": "length"}
    with Server(lambda _: thought) as server:
        use(k, server)
        out = k.run("%%llm chat -p max_new_tokens=20\nHello again?", check=False)
        assert "while the model was thinking" in out.text and "-p max_new_tokens=80" in out.text
        assert server.count == 1


class Thinker:
    """Stand-ins that put the answer elsewhere than into the text."""

    def __init__(self, place: str) -> None:
        self.place = place

    def host(self, kind: type[Provider]) -> Provider:
        made = kind(key="odd-key")
        made.said = lambda text, schema: self.text(text, schema)
        return made

    def text(self, text: str, schema: Any) -> str:
        word = labelled(text)
        return word if schema and schema.get("type") == "string" else json.dumps({"label": word})


class ThinkingOllama(Ollama):
    place = "thinking"

    def chat(self, body: Any, fault: str) -> Any:
        made = super().chat(body, fault)
        text = made["message"]["content"]
        if self.place == "call":
            made["message"] = {
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": json.loads(text)}}],
            }
        else:
            made["message"] = {"content": "", "thinking": text if self.place == "thinking" else "Let me"}
            made["done_reason"] = "length" if self.place == "cut" else "stop"
        return made


class ThinkingAnthropic(Anthropic):
    place = "thinking"

    def message(self, body: Any, fault: str) -> Any:
        made = super().message(body, fault)
        text = made["content"][0]["text"]
        if self.place == "call":
            made["content"] = [{"type": "tool_use", "id": "t", "name": "f", "input": json.loads(text)}]
            made["stop_reason"] = "tool_use"
        else:
            thought = text if self.place == "thinking" else "Let me"
            made["content"] = [{"type": "thinking", "thinking": thought, "signature": "s"}]
            made["stop_reason"] = "max_tokens" if self.place == "cut" else "end_turn"
        return made


class ThinkingGoogle(Google):
    place = "thinking"

    def generate(self, body: Any, fault: str) -> Any:
        made = super().generate(body, fault)
        content = made["candidates"][0]["content"]
        text = content["parts"][0]["text"]
        call = {"functionCall": {"name": "f", "args": {"label": text}}}
        content["parts"] = [call if self.place == "call" else {"text": text, "thought": True}]
        if self.place == "cut":
            del made["candidates"][0]["content"]
            made["candidates"][0]["finishReason"] = "MAX_TOKENS"
        return made


FAMILIES = {
    ThinkingOllama: "--model ollama::test-model --url {root} --key env:ODD_KEY",
    ThinkingAnthropic: "--model anthropic::test-model --url {root} --key env:ODD_KEY",
    ThinkingGoogle: "--model gemini::test-model --url {root} --key env:ODD_KEY",
}


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("place", ["thinking", "call"])
def test_the_other_families_are_read_alike(k: Kernel, kind: type[Provider], place: str) -> None:
    """Thoughts and tool calls of Ollama, Claude and Gemini; a text that is only thought is told."""
    host = Thinker(place).host(kind)
    host.place = place  # type: ignore[attr-defined]
    with serve(host) as server:
        use(k, server, FAMILIES[kind])
        k.run(LABEL)
        assert value(k, "done.label_error.tolist()") == [None] * 3
        assert value(k, "done.label.tolist()") == ["billing", "outage", "how-to"]
        assert server.count == 3
        if place == "thinking":
            server.forget()
            k.run(GENERATE.format(more=""))
            assert "only thought" in value(k, "done.generation_error.tolist()[0]")
            assert server.count == 1


@pytest.mark.checklist("R14")
@pytest.mark.parametrize("kind", FAMILIES)
def test_cut_thinking_of_the_other_families(k: Kernel, kind: type[Provider]) -> None:
    """One request, and what raises the limit; Gemini doesn't show the thoughts that spent it."""
    host = Thinker("cut").host(kind)
    host.place = "cut"  # type: ignore[attr-defined]
    with serve(host) as server:
        use(k, server, FAMILIES[kind])
        for cell, column in (
            (f"{LABEL} --head 1 -p max_new_tokens=20", "label"),
            (GENERATE.format(more=" -p max_new_tokens=20"), "generation"),
        ):
            server.forget()
            k.run(cell)
            told = value(k, f"done.{column}_error.tolist()[0]")
            assert "thinking" in told and "-p max_new_tokens=80" in told
            assert server.count == 1
