"""The methods paragraph: what the manifest knows, nothing else, in Markdown and LaTeX."""

from __future__ import annotations

import pandas as pd
import pytest

import llm_magics
from llm_magics import agreement, label, measure, sample
from llm_magics.backends.registry import create
from llm_magics.core.types import BackendSpec, Price
from llm_magics.runs.methods import methods
from llm_magics.testing import Server
from tests.kernels import kernel


def labelled(server: Server) -> pd.DataFrame:
    spec = BackendSpec("custom_url", "small_model&co", base_url=server.url, price=Price(1.0, 2.0))
    frame = pd.DataFrame({"text": [f"text {i} {'win' if i % 2 else 'bank'}" for i in range(60)]})
    frame["ben"] = frame["anna"] = ["sport" if i % 2 else "money" for i in range(60)]
    labels = {"sport": "games_and `players`", "money": "banks | shares"}
    asked = {"model": create(spec), "parameters": {"top_p": 0.5}, "progress": False, "rpm": 1e9}
    return label(frame, labels, on="text", output="topic", **asked)


@pytest.mark.checklist("X14")
def test_it_reports_the_run_and_what_followed() -> None:
    """Model, host, parameters, rows, cost, prompt; then the sample, the correction, the agreement."""
    with Server("first") as server:
        made = labelled(server)
        alone = llm_magics.last.methods()
        text = alone.markdown
        assert "small\\_model&amp;co" in text and server.url.rpartition("//")[2] in text.replace("\\", "")
        assert "60 rows" in text and "temperature = 0" in text and "top\\_p = 0.5" in text
        cost = f"{llm_magics.last.usage.cost:.4f}"
        assert f"for {cost} US dollars" in text and f"| {cost} |" in text and "SHA-256" in text
        assert "{text}" in text and "text 0" not in text, "the appendix has the prompt, and no row"
        for word in ("gold", "Codebook", "accuracy", "Agreement", "References"):
            assert word not in text
        drawn = sample(made, "topic", 30, blind=True)
        for place, row in enumerate(drawn.rows):
            drawn.review.correct(place, made["anna"].iloc[row])
        measure(drawn.df, "topic")
        agreement(made, ["topic", "anna", "ben"], resamples=50)
        whole = llm_magics.last.methods()
    text = whole.markdown
    assert "A gold sample of 30 of 60 rows was drawn at random (seed 0)" in text
    assert "labelled without sight of the model's labels" in text
    assert "PPI++; Angelopoulos et al., 2023" in text and "Egami" not in text
    assert "On the gold labels the model's accuracy was 0." in text
    assert "Krippendorff's alpha" in text and "Gwet, K. L. (2008)" in text and "50 resamples" in text


@pytest.mark.checklist("X14")
def test_latex_and_markdown_mean_what_they_say() -> None:
    """Signs of both are escaped; a prompt can't leave its block."""
    with Server("first") as server:
        labelled(server)
        made = llm_magics.last.methods()
    assert r"small\_model\&co" in made.latex and r"\begin{verbatim}" in made.latex
    assert "games_and `players`" in made.latex and "games_and `players`" in made.prompt
    manifest = llm_magics.last.manifest()
    trap = "a ```` b \\end{verbatim} c"
    other = methods(manifest, None, trap)
    assert f"`````text\n{trap}\n`````" in other.markdown
    assert other.latex.count(r"\end{verbatim}") == 1
    hostile = methods({**manifest, "model": "<img src=x> $x$ \\input{y} | z"}, None, "")
    assert "<img" not in hostile.markdown and "\\|" in hostile.markdown
    assert "\\input{" not in hostile.latex and "Appendix" not in hostile.markdown


def test_other_frames_and_other_labels_are_not_taken_for_the_runs() -> None:
    """A measurement of another frame with the same column is not the run's."""
    with Server("first") as server:
        made = labelled(server)
        other = made.assign(text=[f"other {i}" for i in range(60)], gold=made["anna"])
        measure(other, "topic", truth="gold")
        assert "measured" not in llm_magics.last.manifest()
        measure(made.assign(gold=made["anna"]), "topic", truth="gold")
        assert llm_magics.last.manifest()["measured"]["design"] == "every row"


@pytest.mark.checklist("X14")
@pytest.mark.timeout(120)
def test_the_cell() -> None:
    """``%llm last methods`` shows Markdown; a truth column brings its accuracy."""
    with kernel() as shell:
        shell.run("%load_ext llm_magics\nimport pandas as pd")
        shell.run("posts = pd.DataFrame({'text': ['a goal', 'a bank', 'a match'], 't': list('sms')})")
        shell.run("%llm label posts.text --labels s,m --truth t -q")
        found = shell.run("%llm last methods")
        assert "text/markdown" in found.value and "Against the true labels of 3 rows" in found.text
        assert "Appendix" not in found.text, "word vectors read no prompt"
        assert "Did you mean 'methods'" in shell.run("%llm last method", check=False).text
