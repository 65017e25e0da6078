"""Dask frames: labelled a partition at a time, on workers that share limits and the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from llm_magics import embed, generate, label
from llm_magics.core import errors
from llm_magics.core.types import BackendSpec, Limits, Price
from llm_magics.runs.dask_partitions import share_of_limits
from llm_magics.runs.session import current
from llm_magics.testing import Server
from tests.kernels import kernel

dd = pytest.importorskip("dask.dataframe", reason="dask is not installed: pip install llm_magics[dask]")

LABELS = {"calm": "at ease", "angry": "in a rage"}


def answer(request: dict[str, Any]) -> str:
    text = request["messages"][-1]["content"]
    return '{"label": "angry"}' if "rage" in text else '{"label": "calm"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(answer=answer) as server:
        yield server


@pytest.fixture
def frame(server: Server, own_home: Any) -> pd.DataFrame:
    """Rows of text, some empty, some equal; a backend of the session's for them."""
    server.forget()
    server.latency = 0.0
    current().registry.add(BackendSpec("custom_url", "small", name="mine", base_url=server.url))
    texts = [f"row {i} in a rage" if i % 3 else f"row {i // 4} at ease" for i in range(24)]
    return pd.DataFrame({"text": [None, *texts[1:]], "n": range(24)})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of two threads, as a person would start them."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as made:
        yield made


@pytest.mark.checklist("X8")
def test_a_cluster_gives_what_pandas_gives(frame: pd.DataFrame, server: Server, cluster: Any) -> None:
    """Two processes, one store, one share of the limits each; the second time nothing is sent."""
    from distributed import Client

    parts = dd.from_pandas(frame, npartitions=6)
    server.latency = 0.05
    with Client(cluster):
        made = label(parts, LABELS, on="text", model="mine", concurrency=4)
        assert server.count == 0
        got = made.compute()
        sent = server.count
        assert made.compute().label.equals(got.label)
    assert server.count == sent
    assert server.peak <= 4
    server.forget()
    whole = label(frame, LABELS, on="text", model="mine")
    assert server.count == 0  # the notebook reads the workers' store
    assert list(got.columns) == [*whole.columns, "label_finish"]
    for name in whole.columns:
        assert [None if pd.isna(v) else v for v in got[name]] == [
            None if pd.isna(v) else v for v in whole[name]
        ]
    assert got.index.equals(whole.index)
    assert got.label_confidence.dtype == "float64"
    assert got.label.dtype == whole.label.dtype == made.dtypes["label"]
    assert sent == 22


def test_a_worker_that_fails_says_what_the_notebook_would(
    frame: pd.DataFrame, server: Server, cluster: Any
) -> None:
    """An error of the backend, a key that stays in the notebook, a limit too small for two."""
    from distributed import Client

    parts = dd.from_pandas(frame, npartitions=2)
    current().keys.set("typed", "loopback-0123456789-abcdef")
    current().registry.add(
        BackendSpec("custom_url", "small", name="keyed", base_url=server.url, key="session:typed")
    )
    with Client(cluster):
        with pytest.raises(errors.UsageError, match="typed in the notebook"):
            label(parts, LABELS, on="text", model="keyed").compute()
        with pytest.raises(errors.UsageError, match="requests in flight: 1 can't be shared by 2"):
            label(parts, LABELS, on="text", model="mine", concurrency=1).compute()
    assert server.count == 0


def test_without_a_cluster_the_partitions_share_the_session(frame: pd.DataFrame, server: Server) -> None:
    """Dask's own threads, the notebook's loop; text and vectors too, an empty partition as well."""
    parts = dd.from_pandas(frame, npartitions=3, sort=False)
    said = generate(parts, "{n}: {text}", model="mine", num_generations=2).compute(scheduler="threads")
    assert [len(texts) for texts in said.generation] == [2] * 24
    vectors = embed(parts[parts.n > 100].text).compute(scheduler="threads")
    assert list(vectors.columns) == ["text", "embedding", "embedding_status", "embedding_error"]
    assert len(vectors) == 0
    assert len(embed(parts.text).compute(scheduler="threads").embedding.dropna()) == 23
    assert current().ledger["mine"]["rows"] == 24


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": ["a", "a"]}, "stands twice"),
        ({"on": "txt"}, "Did you mean 'text'"),
        ({"on": None, "labels_from": "text"}, "needs all rows at once"),
        ({"truth": "text"}, "--truth needs all rows"),
        ({"where": "n < 3"}, "--where needs all rows"),
        ({"head": 3}, "--head needs all rows"),
        ({"dry_run": True}, "an estimate needs all rows"),
        ({"agree": 0.9}, "--agree, --calibrate or --dynamic needs all rows"),
        ({"background": True}, "Leave --background out"),
        ({"inplace": True}, "works on pandas frames"),
    ],
)
def test_what_a_partition_can_not_know_is_refused_before_any_is_read(
    frame: pd.DataFrame, server: Server, more: dict[str, Any], said: str
) -> None:
    """When the cell runs, not in the middle of a cluster's work."""
    parts = dd.from_pandas(frame, npartitions=2)
    arguments = {
        "labels": LABELS if "labels_from" not in more else None,
        "on": "text",
        "model": "mine",
    } | more
    with pytest.raises(errors.UsageError) as raised:
        label(parts, **arguments)
    assert said in str(raised.value)
    assert server.count == 0


def test_money_is_not_spent_unasked(frame: pd.DataFrame, server: Server) -> None:
    """What a dask frame costs nobody knows: above ``confirm_above`` somebody agrees; a budget is shared."""
    spec = BackendSpec("custom_url", "small", name="paid", base_url=server.url, price=Price(1.0, 2.0))
    current().registry.add(spec)
    current().config.set("confirm_above", 1.0)
    parts = dd.from_pandas(frame, npartitions=2)
    with pytest.raises(errors.UsageError, match="not known before it is read"):
        label(parts, LABELS, on="text", model="paid")
    poor = label(parts, LABELS, on="text", model="paid", max_cost=1e-9).compute(scheduler="threads")
    assert poor.label_error.dropna().str.startswith("--max-cost 0.0000000005 would be passed").all()
    assert server.count == 0
    assert label(parts, LABELS, on="text", model="paid", yes=True).npartitions == 2


@pytest.mark.checklist("K5")
def test_limits_are_shared_out() -> None:
    """Together the processes ask no more than one may."""
    whole = Limits(rpm=120, tpm=9000, window=(5, 2.0), concurrency=9, retries=3, timeout=7)
    assert share_of_limits(whole, 3) == Limits(40, 3000, (1, 2.0), 3, 3, 7)
    assert share_of_limits(Limits(), 8) == Limits()
    with pytest.raises(errors.UsageError, match="requests in a window: 5 can't be shared by 6"):
        share_of_limits(whole, 6)


@pytest.mark.checklist("X8")
def test_a_cell_takes_a_dask_frame(server: Server, own_home: Any) -> None:
    """Found by its name, shown without being read, bound, and computed when the notebook asks."""
    with kernel({"LLM_MAGICS_HOME": str(own_home)}) as k:
        k.run(
            "%load_ext llm_magics\nimport pandas as pd, dask.dataframe as dd\n"
            "parts = dd.from_pandas(pd.DataFrame({'text': ['in a rage', None, 'at ease', 'a rage']}), npartitions=2)"
        )
        k.run(f"%llm_config add mine --openai {server.url} --id small")
        server.forget()
        out = k.run("%%llm label parts.text -m mine -o labelled\ncalm: at ease\nangry: in a rage")
        assert "label: 2 partitions, asked as they are computed" in out.text
        assert server.count == 0
        assert (
            "['angry', None, 'calm', 'angry']"
            in k.run(
                "print(labelled.compute(scheduler='threads').label.astype(object).replace({float('nan'): None}).tolist())"
            ).text
        )
        assert "Did you mean 'parts'" in k.run("%llm label part.text --labels a,b", check=False).text
        assert (
            "comparison of models"
            in k.run("%llm label parts.text --labels a,b -m mine,embedded::tfidf", check=False).text
        )
