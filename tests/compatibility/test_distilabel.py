"""What distilabel's LLM layer promised, kept: each test stands for one of its measured failures."""

import pandas as pd
import pytest

import llm_magics
from llm_magics import generate
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec
from llm_magics.lloom import Model
from llm_magics.runs.session import current
from llm_magics.testing import Server
from tests.backends import loaders
from tests.kernels import kernel


def model(fn, name="m"):
    return Model(name=name, fn=lambda model, prompt: fn(prompt))


def failing(*bad):
    """Answers every prompt but those that hold one of ``bad``."""

    def fn(prompt):
        if any(word in prompt for word in bad):
            raise ValueError(f"odd row: {prompt}")
        return prompt.upper(), (1, 1)

    return fn


def rows(n):
    return pd.DataFrame({"text": [f"row {i}" for i in range(n)]})


@pytest.mark.checklist("D2", "R7", "G7")
@pytest.mark.parametrize("bad", [("row 0",), ("row 4",), ("row 0", "row 4")])
def test_a_future_resolves_whichever_row_fails(bad):
    """The first, the last, or both: the job ends with the others' answers."""
    job = generate(rows(5), "{text}", model=model(failing(*bad)), background=True)
    out = job.result(timeout=30)
    assert job.status == "done"
    assert out["generation_status"].eq("failed").sum() == len(bad)
    assert out["generation"].dropna().tolist() == [f"ROW {i}" for i in range(5) if f"row {i}" not in bad]


@pytest.mark.checklist("D2", "R7")
def test_nothing_to_do_is_over_at_once():
    """Rows without a text are skipped; a frame without rows is told before a job begins."""
    frame = pd.DataFrame({"text": [None, ""]})
    out = generate(frame, "{text}", model=model(failing()), background=True).result(timeout=30)
    assert out["generation_status"].tolist() == ["skipped", "skipped"]
    with pytest.raises(UsageError, match="no rows"):
        generate(frame.head(0), "{text}", model=model(failing()), background=True)


@pytest.mark.checklist("D2", "D4", "R7")
def test_a_future_over_a_process_that_dies_resolves():
    """Rows that kill their process fail by name; the job ends, and those between them are answered."""
    from llm_magics.backends.process.client import ProcessBackend

    inner = BackendSpec("custom", "fatal", options={"fn": loaders.fatal})
    spec = BackendSpec("process", "apart", name="apart", options={"members": (inner,)})
    frame = pd.DataFrame({"text": ["fine", "die", "fine too"]})
    job = generate(frame, "{text}", model=ProcessBackend(spec), background=True, retries=1, concurrency=1)
    out = job.result(timeout=60)
    assert out["generation_status"].tolist() == ["ok", "failed", "ok"]


@pytest.mark.checklist("D3", "R1")
def test_one_exception_is_one_row():
    """Nineteen of twenty answers stay, and the twentieth says why it is missing."""
    out = generate(rows(20), "{text}", model=model(failing("row 13")))
    assert out["generation_status"].eq("ok").sum() == 19
    assert "odd row: row 13" in out["generation_error"].iloc[13]


@pytest.mark.checklist("D5", "R3")
def test_rows_with_answers_are_not_asked_again():
    """Four rows, one missing: the second run calls the model once, and no dry run is paid."""
    calls = []
    broken = {"row 2"}

    def fn(prompt):
        calls.append(prompt)
        if prompt in broken:
            raise ValueError("not now")
        return prompt.upper()

    mine = model(fn)
    generate(rows(4), "{text}", model=mine)
    calls.clear()
    broken.clear()
    out = generate(rows(4), "{text}", model=mine)
    assert calls == ["row 2"]
    assert out["generation"].notna().all()


@pytest.mark.checklist("D6", "C5")
def test_no_limit_is_invented_and_a_cut_answer_says_so():
    """Nothing is sent that the user did not set; ``length`` stands in the outputs."""
    with Server() as server:
        current().registry.add(BackendSpec("custom_url", "small", name="mine", base_url=server.url))
        server.script(None, "length")
        generate(rows(2), "{text}", model="mine", concurrency=1)
        assert set(server.bodies[0]) == {"model", "messages"}
        assert sorted(llm_magics.last.outputs["finish_reason"]) == ["length", "stop"]


@pytest.mark.checklist("D7", "G3")
def test_outputs_have_llmoutput_s_keys_and_what_was_missing():
    """Model, prompt, raw and parsed answer; and the error, tokens, latency, finish reason."""
    generate(rows(3), "{text}", model=model(failing("row 1")), num_generations=2)
    outputs = llm_magics.last.outputs
    assert len(outputs) == 6
    wanted = {"model_name", "prompt_used", "raw_output", "parsed_output", "error", "latency", "finish_reason"}
    assert wanted | {"input_tokens", "output_tokens"} <= set(outputs.columns)
    bad = outputs[outputs["row"] == 1]
    assert bad["parsed_output"].isna().all() and bad["error"].str.contains("odd row").all()
    good = outputs[outputs["row"] == 0]
    assert good["raw_output"].tolist() == ["ROW 0", "ROW 0"] and good["error"].isna().all()


@pytest.mark.checklist("D1", "C7")
def test_the_formatting_function_s_text_is_what_is_answered_and_stored():
    """Another function is another question: its answers are not those of the first."""
    mine = model(lambda prompt: prompt)

    def ask(fn):
        return generate(rows(1), "{text}", model=mine, parameters={"prompt_formatting_fn": fn})[
            "generation"
        ].iloc[0]

    assert ask(lambda prompt: f"# {prompt.formatted_prompt}") == "# row 0"
    assert ask(lambda prompt: f"> {prompt.formatted_prompt}") == "> row 0"


@pytest.mark.checklist("D1", "C7", "G3")
def test_prompt_used_is_what_was_sent():
    """The text that a function or a named format made; messages where neither did."""
    mine = model(lambda prompt: prompt)

    def used(**parameters):
        generate(rows(1), "{text}", model=mine, parameters=parameters)
        return llm_magics.last.outputs["prompt_used"].iloc[0]

    assert used(prompt_formatting_fn=lambda prompt: f"# {prompt.formatted_prompt}") == "# row 0"
    assert used(prompt_format="zephyr") == "<|user|>\nrow 0</s>\n<|assistant|>\n"
    assert used() == [{"role": "user", "content": "row 0"}]


@pytest.mark.checklist("D1", "C7")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prompt_format": "zephir"}, "zephyr"),
        ({"prompt_formatting_fn": lambda prompt: prompt.nothing}, "raised AttributeError"),
        ({"prompt_formatting_fn": lambda prompt: None}, "no prompt"),
        ({"prompt_formatting_fn": "headed"}, "not a function"),
    ],
)
def test_a_format_that_can_not_be_is_told_before_anything_is_sent(wrong, said):
    """One error, and no row asked."""
    asked = []
    mine = model(lambda prompt: asked.append(prompt) or prompt)
    with pytest.raises(UsageError) as caught:
        generate(rows(3), "{text}", model=mine, parameters=wrong)
    assert said in str(caught.value) and not asked


def test_the_report_says_what_helps_where_rows_failed():
    """Beside the reason; an error that ended the run shows its own hint."""
    with Server() as server:
        gone = server.url
    out = generate(rows(2), "{text}", model=BackendSpec("custom_url", "m", base_url=gone), retries=0)
    assert out["generation_status"].tolist() == ["failed", "failed"]
    assert "2 failed: nothing answers at" in current().last.report()
    assert "\n  Is the server running, and the URL right?" in current().last.report()


@pytest.mark.checklist("D1", "C7", "G6", "X6")
def test_in_cells_the_preview_and_the_code_know_the_function(tmp_path):
    """``-n`` shows the prompt as it will be sent, ``--show-code`` code that gives the same frame."""
    with (
        Server(lambda asked: asked["prompt"].upper()) as server,
        kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k,
    ):
        k.run("%load_ext llm_magics\nimport pandas as pd\ninputs = pd.DataFrame({'input': ['one', 'two']})")
        k.run("def headed(prompt):\n    return f'### {prompt.formatted_prompt}\\n### Answer:'")
        k.run(f"%llm_config add fast --openai {server.url} --id small\n%llm_config use fast")
        line = "%%llm generate inputs --as answer -p prompt_formatting_fn=headed"
        seen = k.run(f"{line} -n\nSay {{input}}").text
        assert "First prompt (headed#" in seen and "):\n### Say one\n### Answer:" in seen
        formatted = k.run(
            "%%llm generate inputs -p prompt_format=chatml -n --system kindly\nSay {input}"
        ).text
        assert "<|im_start|>system\nkindly<|im_end|>\n<|im_start|>user\nSay one<|im_end|>" in formatted
        assert server.count == 0
        k.run(f"{line} -o first\nSay {{input}}")
        assert server.bodies[0]["prompt"] == "### Say one\n### Answer:"
        code = k.run(f"{line} -o again --show-code\nSay {{input}}").value["text/plain"]
        k.run(code)
        k.run("assert again.equals(first), again")
        code = k.run("%%llm chat -p prompt_formatting_fn=headed -o said --show-code\nhello").value[
            "text/plain"
        ]
        k.run(code)
        k.run("assert said == '### HELLO\\n### ANSWER:', said")
        slip = k.run(f"{line[:-1]}\nSay {{input}}", check=False).text
        assert "no function of this notebook 'heade'" in slip and "'headed'" in slip
