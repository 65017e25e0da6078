"""Hosts that ignore a response format without a word, in cells of a real kernel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.concepts import scripted
from tests.kernels import Kernel, Output, value
from tests.runs.hosts import use
from tests.servers.anthropic import Anthropic
from tests.servers.ollama import Ollama
from tests.servers.provider import Refused, serve

ROWS = (
    "import pandas as pd\n"
    "rows = pd.DataFrame({'t': ['charged twice', 'app is down', 'how to export', 'charged', 'down']})"
)
LABEL = "%llm label rows.t --labels billing,outage,how-to -o done"
EXTRACT = "%%llm extract rows.t -o done -q\nname\nage int"
RIGHT = ["billing", "outage", "how-to", "billing", "outage"]
WORDS = {"charged": "billing", "down": "outage", "export": "how-to"}
PROSE = "The text is about something that a customer wrote on a Monday."
VALUES = {"name": "Ann", "age": 7}

APPLIED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "json_object with a schema": lambda body: (body.get("response_format") or {}).get("schema"),
    "structured_outputs": lambda body: body.get("structured_outputs"),
    "grammar": lambda body: body.get("grammar"),
    "a forced tool call": lambda body: body.get("tools"),
    "": lambda body: None,
}
"""A dialect -> what of a request a host that knows only that one applies."""
ORDER = ["json_schema", *(name for name in APPLIED if name), "plain"]


def host(dialect: str) -> Callable[[Mapping[str, Any]], Any]:
    """A host that writes prose unless it is asked in its own dialect."""

    def answer(body: Mapping[str, Any]) -> Any:
        asked = APPLIED[dialect](body)
        if not asked:
            return PROSE
        text = body["messages"][-1]["content"]
        word = next(label for key, label in WORDS.items() if key in text)
        if dialect == "structured_outputs" and "choice" in asked:
            return word
        is_label = "billing" in json.dumps(asked)
        said = json.dumps({"label": word} if is_label else VALUES)
        if dialect != "a forced tool call":
            return said
        function = {"name": body["tool_choice"]["function"]["name"], "arguments": said}
        return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}

    return answer


def notes(output: Output) -> str:
    return "\n".join(line for line in output.text.splitlines() if "ignores" in line)


@pytest.mark.checklist("Q6", "R14")
@pytest.mark.parametrize("dialect", [name for name in APPLIED if name])
def test_a_host_that_ignores_json_schema_is_asked_in_its_own_dialect(k: Kernel, dialect: str) -> None:
    """Noticed on the first answers, found by one row, kept for the host, said once; every row is right."""
    with Server(host(dialect)) as server:
        use(k, server)
        out = k.run(LABEL)
        assert value(k, "done.label.tolist()") == RIGHT
        assert value(k, "done.label_status.tolist()") == ["ok"] * 5
        assert notes(out).count("ignores") == 1
        assert f"the host ignores json_schema; answers are asked for by {dialect}" in notes(out)
        assert server.count <= 5 + 5 + ORDER.index(dialect)
        server.forget()
        again = k.run(f"{LABEL} --refresh")
        assert server.count == 5 and all(APPLIED[dialect](body) for body in server.bodies)
        assert "ignores" not in again.text
        server.forget()
        k.run(EXTRACT)
        assert value(k, "[done.name.tolist(), done.age.astype(int).tolist()]") == [["Ann"] * 5, [7] * 5]
        assert server.count == 5


@pytest.mark.checklist("Q6")
@pytest.mark.parametrize("dialect", ["json_object with a schema", "a forced tool call"])
def test_an_extraction_finds_the_dialect_too(k: Kernel, dialect: str) -> None:
    """Nothing is null and repaired: the answers are those of the dialect that the host applies."""
    with Server(host(dialect)) as server:
        use(k, server)
        k.run(EXTRACT)
        assert value(k, "[done.name.tolist(), done.age.astype(int).tolist()]") == [["Ann"] * 5, [7] * 5]
        assert value(k, "done.extract_status.tolist()") == ["ok"] * 5


@pytest.mark.checklist("Q6")
def test_a_host_that_takes_json_object_and_a_model_that_needs_its_schema(k: Kernel) -> None:
    """json_schema refused in words that name json_object: answers that don't fit are asked for in a dialect.

    Good answers need no more: the second host is never asked for a schema.
    """
    said = "Input should be 'text' or 'json_object'"

    def refusal(body: Mapping[str, Any]) -> tuple[str, str] | None:
        kind = (body.get("response_format") or {}).get("type")
        return ("response_format", said) if kind == "json_schema" else None

    with Server(host("json_object with a schema")) as server:
        server.host.lacking = refusal  # type: ignore[method-assign]
        use(k, server)
        out = k.run(f"{LABEL} --concurrency 1")
        assert value(k, "done.label.tolist()") == RIGHT
        assert value(k, "done.label_status.tolist()") == ["ok"] * 5
        assert "its first answers don't fit; answers are asked for by json_object with a schema" in out.text
    with Server("billing") as server:
        server.host.lacking = refusal  # type: ignore[method-assign]
        use(k, server)
        k.run("%llm label rows.t --labels billing,outage --head 2 -q -o done --concurrency 1")
        assert value(k, "done.label.tolist()[0]") == "billing"
        assert [("response_format" in body) for body in server.bodies] == [True, False, False]


@pytest.mark.checklist("Q6")
def test_one_row_alone_tries_the_dialects_in_their_order_and_pays_for_all(k: Kernel) -> None:
    """Each dialect once, in the order of the design; the tokens of the dropped answers are counted."""
    with Server(host("a forced tool call")) as server:
        use(k, server)
        k.run(f"{LABEL} --head 1 -q")
        asked = [
            next((name for name in APPLIED if name and APPLIED[name](body)), "json_schema")
            for body in server.bodies
        ]
        assert asked == ORDER[:-1]
        one = value(k, "int(llm.last.outputs.output_tokens.iloc[0])")
        k.run(f"{LABEL} --head 1 -q --refresh")
        assert one > 3 * value(k, "int(llm.last.outputs.output_tokens.iloc[0])")


@pytest.mark.checklist("Q6")
def test_a_host_that_applies_no_format_is_asked_as_before(k: Kernel) -> None:
    """All dialects once; where none does better nothing is changed, and answers are read as they come."""
    with Server(host("")) as server:
        use(k, server)
        out = k.run(f"{LABEL} --head 1")
        assert value(k, "[done.label_status.tolist()[0], done.label.isna().tolist()[0]]") == ["failed", True]
        assert "it applies no other format either" in notes(out)
        assert server.count == len(APPLIED) + 1  # and once more with what was wrong
        server.forget()
        server.host.answer = lambda body: "billing"
        k.run("%llm label rows.t --labels billing,outage --head 1 -o done -q")
        assert value(k, "done.label.tolist()[0]") == "billing"
        assert server.count == 1
        assert server.bodies[0]["response_format"]["type"] == "json_schema"


@pytest.mark.checklist("Q6")
def test_one_odd_answer_among_good_ones_changes_nothing(k: Kernel) -> None:
    """A refusal in prose from a host that applies schemas, other rows on their way: the schema stays."""

    def answer(body: Mapping[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        if "app is down" in text or "can't be used" in text:
            return "I am sorry, but I can't help with that."
        return json.dumps({"label": next(label for key, label in WORDS.items() if key in text)})

    with Server(answer, latency=0.05) as server:
        use(k, server)
        k.run(f"{LABEL} -q")
        assert value(k, "done.label_status.tolist()") == ["ok", "failed", "ok", "ok", "ok"]
        server.forget()
        k.run(f"{LABEL} -q --refresh")
        assert server.count == 6
        assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)


@pytest.mark.checklist("Q6")
def test_a_dialect_that_is_refused_is_passed_over(k: Kernel) -> None:
    """A strict host refuses unknown fields with a 400: the next one is tried, and one note said."""
    with Server(host("a forced tool call"), strict=True, lacks={"json_object"}) as server:
        use(k, server)
        out = k.run(f"{LABEL} --head 1")
        assert value(k, "[done.label.tolist()[0], done.label_status.tolist()[0]]") == ["billing", "ok"]
        assert notes(out).count("ignores") == 1 and "takes no" not in out.text


@pytest.mark.checklist("Q6")
@pytest.mark.parametrize(
    "said",
    [
        "billing",
        "The label is **billing**.",
        '{"category": "billing"}',
        '{"label": "weather"}',
        "",
    ],
)
def test_a_host_that_answers_well_is_left_alone(k: Kernel, said: str) -> None:
    """A usable answer, or one of the asked shape, is no sign: what is sent stays as it was."""
    with Server(said) as server:
        use(k, server)
        k.run(f"{LABEL} --head 1 -q")
        assert server.count <= 2
        assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)


@pytest.mark.checklist("Q6")
def test_vllm_s_own_constraint_comes_first(k: Kernel) -> None:
    """A server that ignores the choice is asked by schema; the field isn't sent again."""

    def answer(body: Mapping[str, Any]) -> str:
        word = next(label for key, label in WORDS.items() if key in body["messages"][-1]["content"])
        return json.dumps({"label": word}) if "response_format" in body else PROSE

    with Server(answer) as server:
        use(k, server, "--model vllm::test-model --url {url}")
        out = k.run(f"{LABEL} --concurrency 1")
        assert value(k, "done.label.tolist()") == RIGHT
        assert "ignores vLLM's choice; answers are asked for by json_schema" in notes(out)
        assert server.count == 6
        assert "guided_choice" not in server.bodies[-1]


class Ignoring(Anthropic):
    """A host of Anthropic's format that ignores its structured output; ``forces`` a tool where asked."""

    forces = True

    def message(self, body: Any, fault: str) -> Any:
        tools, chosen = body.pop("tools", None), body.pop("tool_choice", None)
        if tools and not self.forces:
            raise Refused(400, "", "Thinking may not be enabled when tool_choice forces tool use.")
        text = body["messages"][-1]["content"]
        made = super().message({n: v for n, v in body.items() if n != "output_config"}, fault)
        if not tools:
            return made | {"content": [{"type": "text", "text": PROSE}]}
        label = next(label for key, label in WORDS.items() if key in text)
        used = {"type": "tool_use", "id": "t", "name": chosen["name"], "input": {"label": label}}
        return made | {"content": [used], "stop_reason": "tool_use"}


@pytest.mark.checklist("Q6", "R14")
def test_a_host_of_anthropics_format_is_asked_by_a_tool(k: Kernel) -> None:
    """Structured output is ignored: a forced tool call from then on, said once."""
    with serve(Ignoring(key="odd-key")) as server:
        use(k, server, "--model anthropic::test-model --url {root} --key env:ODD_KEY")
        out = k.run(f"{LABEL} --concurrency 1")
        assert value(k, "done.label.tolist()") == RIGHT
        assert value(k, "done.label_status.tolist()") == ["ok"] * 5
        assert notes(out).count("the host ignores output_config; answers are asked for by a forced tool") == 1
        assert server.count == 6


@pytest.mark.checklist("Q6")
def test_a_forced_tool_that_is_refused_is_given_up(k: Kernel) -> None:
    """The answers are checked here then, and the row says what it got."""
    made = Ignoring(key="odd-key")
    made.forces = False
    with serve(made) as server:
        use(k, server, "--model anthropic::test-model --url {root} --key env:ODD_KEY")
        k.run(f"{LABEL} --head 1 -q")
        assert "none of the labels" in value(k, "done.label_error.tolist()[0]")
        assert server.count == 4
        assert "tools" not in server.bodies[-1]


@pytest.mark.checklist("R14")
def test_a_judge_is_asked_in_the_hosts_dialect_too(k: Kernel) -> None:
    """Whatever the task: a rating comes by the dialect that the host applies."""

    def answer(body: Mapping[str, Any]) -> str:
        schema = (body.get("response_format") or {}).get("schema")
        return json.dumps({"reason": "Short.", "rating": 4}) if schema else PROSE

    with Server(answer) as server:
        use(k, server)
        k.run("%%llm judge rows.t --scale 1-5 -o done -q\nis it polite")
        assert value(k, "done.rating.astype(int).tolist()") == [4] * 5
        assert value(k, "done.rating_status.tolist()") == ["ok"] * 5


@pytest.mark.checklist("Q6")
def test_concepts_are_scored_in_the_hosts_dialect(k: Kernel) -> None:
    """The dialect that the first text finds serves all of them."""

    def answer(body: Mapping[str, Any]) -> str:
        if "schema" not in (body.get("response_format") or {}):
            return PROSE
        return scripted.answer({**body, "response_format": {"json_schema": {"name": "score"}}})

    with Server(answer) as server:
        use(k, server)
        k.run("from tests.concepts.scripted import texts\nreviews = pd.DataFrame({'text': texts(12)})")
        k.run("mine = {'delivery': 'Is it about delivery?', 'price': 'Is it about price?'}")
        k.run("%llm concepts reviews.text --concepts mine -o themes -q")
        assert value(k, "[bool(themes.scores.notna().all().all()), len(themes.rows('delivery'))]") == [
            True,
            4,
        ]
        assert [body["response_format"]["type"] for body in server.bodies[-5:]] == ["json_object"] * 5


class IgnoringOllama(Ollama):
    """A model of Ollama that ignores ``format``, and calls a tool where it ``has_tools``."""

    has_tools = True

    def chat(self, body: Any, fault: str) -> Any:
        if body.get("tools") and not self.has_tools:
            raise Refused(400, "", "registry.ollama.ai/library/test-model does not support tools")
        made = super().chat({name: value for name, value in body.items() if name != "format"}, fault)
        if not body.get("tools"):
            return made | {"message": {"role": "assistant", "content": PROSE}}
        label = next(label for key, label in WORDS.items() if key in body["messages"][-1]["content"])
        function = {"name": "answer", "arguments": {"label": label}}
        return made | {
            "message": {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
        }


@pytest.mark.checklist("Q6", "R14")
def test_a_model_of_ollama_that_ignores_its_format_is_given_a_tool(k: Kernel) -> None:
    """A tool call from then on, said once; a model without tools is asked as before."""
    with serve(IgnoringOllama()) as server:
        use(k, server, "--model ollama::test-model --url {root}")
        out = k.run(f"{LABEL} --concurrency 1")
        assert value(k, "done.label.tolist()") == RIGHT
        assert notes(out).count("the host ignores format; answers are asked for by a tool call") == 1
        assert server.count == 6
    made = IgnoringOllama()
    made.has_tools = False
    with serve(made) as server:
        use(k, server, "--model ollama::test-model --url {root}")
        k.run("%llm_config responses clear")
        k.run(f"{LABEL} --head 1 -q")
        assert "none of the labels" in value(k, "done.label_error.tolist()[0]")
        assert server.count == 4
        assert "format" in server.bodies[-1] and "tools" not in server.bodies[-1]
