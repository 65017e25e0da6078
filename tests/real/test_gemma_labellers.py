"""gemma-3-270m through transformers beside llama.cpp, with its prior and its bias removed; and ``extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llm_magics
from llm_magics.runs import session as sessions
from llm_magics.settings.config import embedded_default
from tests.kernels import kernel
from tests.real.test_gemma import TEXTS, TOPICS

TRUE = [TOPICS[i] for i in (0, 1, 2, 3, 0, 1)]
NOISE = 0.1
"""Between two libraries' probabilities with the same quantised weights, before any bias is removed."""


def labelled(model: str, **options: Any) -> Any:
    frame = pd.DataFrame({"t": TEXTS, "true": TRUE})
    return llm_magics.label(
        frame, list(TOPICS), on="t", model=model, truth="true", scores=True, progress=False, **options
    )


def scores(frame: Any) -> Any:
    return frame[[f"label_score_{name}" for name in TOPICS]].to_numpy(dtype=float)


@pytest.mark.checklist("Q1", "Q2", "X2")
@pytest.mark.timeout(300)
def test_transformers_score_as_llama_cpp_does(gemma_gguf: Path, gemma_folder: Path) -> None:
    """The same completion and the same probabilities; the bias is removed in both, with as good labels."""
    models = f"gguf::{gemma_gguf}", f"transformers::{gemma_folder}"
    raw, prompts = [], []
    for model in models:
        raw.append(scores(labelled(model, raw=True)))
        prompts.append(list(sessions.current().last.prompts()))
    assert prompts[0] == prompts[1]
    assert abs(raw[0] - raw[1]).max() < NOISE
    for model in models:
        labelled(model, raw=True)
        before = sessions.current().last.evaluation.accuracy
        labelled(model, prior="none")
        run = sessions.current().last
        assert run.manifest()["bias"]["label_names"] == 4
        assert run.manifest()["prompt_form"] == "completion"
        assert run.evaluation.accuracy >= max(before, 4 / 6)


@pytest.mark.checklist("Q3")
@pytest.mark.timeout(300)
def test_transformers_have_the_default_prior(gemma_folder: Path) -> None:
    """Found by the size in the folder's name; rows that the vectors are sure of are not shown to it."""
    found = labelled(f"transformers::{gemma_folder}")
    assert sessions.current().last.evaluation.accuracy >= 5 / 6
    assert any(str(name).startswith(embedded_default()) for name in found["label_by"])
    assert "bias removed" in sessions.current().last.report()


@pytest.mark.checklist("Q2", "Q3")
@pytest.mark.timeout(300)
def test_flags_keep_the_prior_of_a_real_model(gemma_gguf: Path, tmp_path: Path) -> None:
    """In a kernel: votes, examples and calibration give labels of both; --explain says that it can't."""
    setup = f"""
import pandas as pd
%load_ext llm_magics
frame = pd.DataFrame({{"t": {TEXTS!r}}})
%llm_config add local --gguf {gemma_gguf} --ctx 512
"""
    line = f"%llm label frame.t -m local --labels '{','.join(TOPICS)}' -o out"
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run(setup)
        plain = k.run(line).text
        assert "bias removed (6 rows)" in plain
        first = k.run("print(out.label.tolist(), out.label_by.tolist())").stdout
        assert f"{embedded_default()} + local" in first
        assert "3 answers would be the same" in k.run(f"{line} --votes 3").text
        assert k.run("print(out.label.tolist(), out.label_by.tolist())").stdout == first
        for flags in ("--calibrate", "--too-long truncate --room 400"):
            assert "label_by: " in k.run(f"{line} {flags}").text
        why = "--explain: local labels without its prior"
        assert why in k.run(f"{line} --explain -n").text
        assert why in k.run(f"{line} --explain --head 1 -p max_new_tokens=40").text


FIELDS = """topic one of sports|business|other: what it is about
count int: a number in the text
done bool: whether it is over"""


@pytest.mark.checklist("G5")
@pytest.mark.timeout(300)
def test_extract_is_valid_whatever_a_base_model_would_write(gemma_gguf: Path) -> None:
    """Every row has values of the fields' types, though it is sampled at a high temperature."""
    found = llm_magics.extract(
        pd.DataFrame({"t": TEXTS[:2]}),
        FIELDS,
        on="t",
        model=f"gguf::{gemma_gguf}",
        parameters={"max_new_tokens": 60, "temperature": 1.2, "seed": 3},
        progress=False,
    )
    assert set(found["extract_status"]) == {"ok"}
    assert set(found["topic"].dropna()) <= {"sports", "business", "other"}
    assert all(float(value).is_integer() for value in found["count"].dropna())
    assert set(found["done"].dropna()) <= {True, False}
    assert sessions.current().last.meter.failed == 0


@pytest.mark.checklist("G5")
@pytest.mark.timeout(300)
def test_extract_through_transformers_invents_nothing(gemma_folder: Path) -> None:
    """Without a grammar a base model's text is read as far as it goes: typed values, or null and an error."""
    frame = pd.DataFrame({"t": TEXTS[:1]})
    found = llm_magics.extract(
        frame,
        FIELDS,
        on="t",
        model=f"transformers::{gemma_folder}",
        parameters={"max_new_tokens": 16},
        progress=False,
    )
    for row in found.to_dict("records"):
        assert row["extract_status"] in ("ok", "repaired", "failed")
        if row["extract_status"] == "failed":
            assert row["extract_error"]
            assert pd.isna(row["topic"])
            assert pd.isna(row["count"])
        else:
            assert row["topic"] in ("sports", "business", "other") or pd.isna(row["topic"])
