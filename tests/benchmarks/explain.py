"""What a reason beside each label takes: tokens, money, time; before the label, after it, and without.

    python tests/benchmarks/explain.py [--rows 500]

A scripted server labels every row rightly and gives a reason of 24 words where one is asked for. It takes
0.2 s and 10 ms an output token for an answer, 16 requests at a time. Whether reasons make a real model's
labels better is not measured: no real model is here. `--truth` on your own rows tells.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paced import AT_ONCE, LABELS, Paced, label_of, texts

REASON = (
    "The text is about this topic because it names it in the middle of a longer complaint, and nothing else "
    "in it points to another label."
)
WAYS: Mapping[str, Any] = {"no reason": False, "--explain": "before", "--explain-after": "after"}


def answer(request: Mapping[str, Any]) -> str:
    """In the order that was asked for."""
    label = f'"label": "{label_of(request["messages"][1]["content"])}"'
    said = request["messages"][0]["content"]
    if "explanation" not in said:
        return f"{{{label}}}"
    reason = f'"explanation": "{REASON}"'
    first, then = (
        (reason, label) if said.index("explanation,") < said.index("label, one") else (label, reason)
    )
    return f"{{{first}, {then}}}"


def measure(rows: int, explain: Any) -> tuple[int, int, float, float]:
    """Input tokens, output tokens, dollars, seconds of one run in a store of its own."""
    from llm_magics import label
    from llm_magics.backends.registry import create
    from llm_magics.core.types import BackendSpec, Price
    from llm_magics.runs import session as sessions

    with tempfile.TemporaryDirectory() as folder, Paced(answer, record=False) as server:
        os.environ["LLM_MAGICS_HOME"] = str(Path(folder))
        spec = BackendSpec("custom_url", "test-model", base_url=server.url, price=Price(0.15, 0.60))
        model = create(spec, None)
        began = time.perf_counter()
        done = label(texts(rows), LABELS, model=model, explain=explain, concurrency=AT_ONCE, progress=False)
        wall = time.perf_counter() - began
        assert done["label"].tolist() == [label_of(text) for text in texts(rows)]
        used = sessions.current().last.usage
        sessions.current().loop.run(model.close())
        sessions.end()
        return used.input_tokens, used.output_tokens, used.cost or 0.0, wall


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    print("| | input tokens a row | output tokens a row | $ a 1,000 rows at 0.15/0.60 | wall s |")
    print("|---|---|---|---|---|")
    for name, explain in WAYS.items():
        inputs, outputs, dollars, wall = measure(given.rows, explain)
        n = given.rows
        print(f"| {name} | {inputs / n:.0f} | {outputs / n:.0f} | {1000 * dollars / n:.3f} | {wall:.1f} |")
