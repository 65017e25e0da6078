"""The default prior and bias removal of a small local model, beside every option that decides labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llm_magics
from llm_magics.backends.registry import create
from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec
from llm_magics.runs import session as sessions
from llm_magics.settings.config import embedded_default
from llm_magics.testing.gguf import build
from tests.kernels import kernel

LABELS = {"sports": "games, teams, players, matches", "finance": "money, banks, stocks, markets"}
CLEAR = "The team won the match, its players and other teams play games"
TEXTS = [f"{said} {i}" for i in range(30) for said in (CLEAR, "it rained on the mountain", "a red door")]
PRIOR = embedded_default()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model without a chat template: how it labels means nothing, who is asked does."""
    return str(build(tmp_path_factory.mktemp("gguf") / "base.gguf", precision="float32", template=None))


def labelled(tiny: str, data: Any = None, **options: Any) -> Any:
    frame = pd.DataFrame({"t": TEXTS}) if data is None else data
    return llm_magics.label(frame, LABELS, on="t", model=f"gguf::{tiny}", progress=False, **options)


def values(frame: Any) -> dict[str, tuple[Any, ...]]:
    """Label, rounded confidence and who decided, by text."""
    confidence = [round(float(value), 2) for value in frame["label_confidence"]]
    return dict(zip(frame["t"], zip(frame["label"], confidence, frame["label_by"], strict=True), strict=True))


@pytest.mark.checklist("Q2", "Q3")
@pytest.mark.parametrize(
    "more",
    [
        {"calibrate": True},
        {"too_long": "truncate", "room": 2000},
        {"votes": 3},
        {"examples": [("The bank lends money", "finance"), ("Players play", "sports")]},
        {"examples": [("The bank lends money", "finance"), ("Players play", "sports")], "dynamic": True},
    ],
    ids=str,
)
def test_the_prior_acts_beside_what_keeps_scores_over_all_labels(tiny: str, more: dict[str, Any]) -> None:
    """Clear rows are the prior's, the others both's, and the model's bias is removed."""
    found = labelled(tiny, **more)
    by = dict(zip(TEXTS, found["label_by"], strict=True))
    assert set(found["label_status"]) == {"ok"}
    assert by[f"{CLEAR} 1"] == PRIOR
    assert f"{PRIOR} + " in "".join(by.values())
    manifest = sessions.current().last.manifest()
    assert manifest["committee"]["rows"][PRIOR] >= 30
    assert "bias" in manifest or "bias" in manifest["calibration"]
    shown = repr(labelled(tiny, dry_run=True, **more))
    assert f"Labelled together with {PRIOR}; gguf::" in shown
    assert "--prior none" in shown


@pytest.mark.checklist("Q3")
def test_a_temperature_is_fitted_on_what_both_say(tiny: str) -> None:
    """With true labels the committee's probabilities are the ones calibrated."""
    frame = pd.DataFrame({"t": TEXTS, "gold": ["sports", "finance", None] * 30})
    found = labelled(tiny, frame, calibrate=True, truth="gold")
    run = sessions.current().last
    assert found["label_by"].iloc[0] == PRIOR
    assert run.manifest()["calibration"]["rows"] == 60
    assert run.manifest()["bias"]["rows"] == 32


@pytest.mark.checklist("Q3")
def test_rows_in_parts_are_labelled_by_both(tiny: str) -> None:
    """The parts of a long row are labelled by who is sure of them; the row names all of those."""
    long = f"{CLEAR}. " * 10 + "it rained on the mountain. " * 20
    found = labelled(tiny, pd.DataFrame({"t": [long, CLEAR]}), too_long="split", room=60)
    assert found["label_cut"].iloc[0] > 2
    assert found["label_by"].iloc[0].startswith(f"{PRIOR} + ")
    assert found["label_by"].iloc[1] == PRIOR
    assert found["label"].tolist()[1] == "sports"


@pytest.mark.checklist("Q2", "Q3")
@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"multi": True}, "--multi"),
        ({"explain": True, "head": 1}, "--explain"),
        ({"rows_per_request": 5, "head": 5}, "--rows-per-request"),
    ],
)
def test_where_it_cannot_act_that_is_said(tiny: str, more: dict[str, Any], why: str) -> None:
    """In the estimate and under the result, in one sentence; with --raw it is what was asked for."""
    said = f"{why}: gguf::{tiny} labels without its prior {PRIOR}, with its bias left in"
    assert said in repr(labelled(tiny, dry_run=True, **more))
    assert ("Small models hardly tell which" in repr(labelled(tiny, dry_run=True, **more))) is (
        why == "--multi"
    )
    labelled(tiny, parameters={"max_new_tokens": 60}, **more)
    assert said in sessions.current().last.report()
    assert "bias" not in sessions.current().last.manifest()
    assert why not in repr(labelled(tiny, dry_run=True, raw=True, **more)).split("First prompt")[0]


@pytest.mark.checklist("Q3")
def test_votes_of_a_model_that_computes_probabilities_are_one_answer(tiny: str) -> None:
    """The same labels as without --votes, computed once, and said."""
    plain = values(labelled(tiny))
    assert values(labelled(tiny, votes=5)) == plain
    report = sessions.current().last.report()
    assert "5 answers would be the same" in report
    assert len(sessions.current().last.plan) == len(TEXTS)


@pytest.mark.checklist("Q3", "X3")
def test_a_cascade_asks_the_model_with_its_prior(tiny: str, tmp_path: Path) -> None:
    """Rows that the proxy leaves have the labels that they have without --agree; in a real kernel."""
    with kernel({"LLM_MAGICS_HOME": str(tmp_path)}) as k:
        k.run("%load_ext llm_magics\nimport pandas as pd")
        k.run(f"%llm_config add small --gguf {tiny} --ctx 256")
        k.run(
            f"frame = pd.DataFrame({{'t': [f'{{said}} {{i}}' for i in range(200) "
            f"for said in ({CLEAR!r}, 'it rained on the mountain', 'stocks of banks fell')]}})"
        )
        labels = "sports: games, teams, players\nfinance: money, banks, stocks"
        alone = k.run(f"%%llm label frame.t -m small -o plain\n{labels}")
        out = k.run(f"%%llm label frame.t -m small --agree 0.9 -o out\n{labels}")
        assert "bias removed (32 rows)" in alone.text
        assert "bias removed (32 rows)" in out.text
        assert f"by {PRIOR}" in out.text
        shown = (
            "import collections; print(collections.Counter(out.label_by), (out.label == plain.label).mean())"
        )
        text = k.run(shown).stdout
        assert f"{PRIOR} + regression" in text
        assert f"'{PRIOR} + small'" in text or f"'{PRIOR}'" in text
        assert float(text.split()[-1]) >= 0.9


@pytest.mark.checklist("Q3", "X3")
def test_a_small_model_with_its_prior_is_the_proxy(tiny: str) -> None:
    """Its labels are those of both, its bias is removed, and the rows that it takes are signed by both."""
    banks = "Stocks of banks fell, money left the markets"
    frame = pd.DataFrame({"t": [f"{said} {n}" for n in range(300) for said in (CLEAR, banks, "a red door")]})

    def strong(prompt: str) -> str:
        return "sports" if CLEAR in prompt else "finance"

    model = create(BackendSpec("custom", "strong", name="strong", options={"fn": strong}), None)
    found = llm_magics.label(
        frame, LABELS, on="t", model=model, agree=0.8, cheap=f"gguf::{tiny}", progress=False
    )
    report = sessions.current().last.report()
    assert f"{PRIOR} + gguf::{tiny}" in set(found["label_by"]), report
    assert "calls saved" in report


@pytest.mark.checklist("Q2", "Q3")
def test_partitions_label_as_one_frame(tiny: str) -> None:
    """A dask frame: the prior acts, and the bias is the same in every partition, whatever its rows are."""
    dask = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame({"t": TEXTS})
    several = labelled(tiny, dask.from_pandas(frame, npartitions=3)).compute(scheduler="threads")
    whole = labelled(tiny, dask.from_pandas(frame, npartitions=1)).compute(scheduler="threads")
    assert values(several) == values(whole)
    assert set(several["label_by"]) > {PRIOR}


@pytest.mark.checklist("Q3")
def test_other_processes_find_the_prior_by_its_name(tiny: str) -> None:
    """A committee travels without its backends."""
    dask = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame({"t": TEXTS[:30]})
    apart = labelled(tiny, dask.from_pandas(frame, npartitions=2)).compute(
        scheduler="processes", num_workers=1
    )
    here = labelled(tiny, dask.from_pandas(frame, npartitions=2)).compute(scheduler="threads")
    assert values(apart) == values(here)
    backend = sessions.current().backend(PRIOR, "label")
    with pytest.raises(UsageError, match="by its name"):
        labelled(tiny, dask.from_pandas(frame, npartitions=2), prior=[backend])


@pytest.mark.checklist("Q5")
def test_gemini_says_how_to_ask_for_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its API limits them a day, so that they are not asked for by default; the estimate says how."""
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    plain = llm_magics.label(["a"], ["x", "y"], model="gemini::gemini-2.5-flash", dry_run=True)
    assert "--scores adds them" in repr(plain)
    asked = llm_magics.label(["a"], ["x", "y"], model="gemini::gemini-2.5-flash", scores=True, dry_run=True)
    assert "--scores adds them" not in repr(asked)
