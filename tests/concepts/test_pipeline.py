"""From texts to scored concepts, with a scripted model over real HTTP and with none at all."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llm_magics.core.errors import LLMError, NotFound, UsageError
from llm_magics.core.types import BackendSpec, Concept, Limits, Price
from llm_magics.runs import session as sessions
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.pipeline import concepts
from llm_magics.testing import Chaos, Server
from tests.concepts.scripted import TOPICS, answer, kind, texts, topic_of

PRICE = Price(1.0, 2.0)


def use(server: Server, **more: Any) -> None:
    """Make the server the session's default model."""
    spec = BackendSpec("custom_url", "m", "scripted", server.url, **{"price": PRICE, **more})
    sessions.current().registry.add(spec)
    sessions.current().config.set("model", "scripted")


def calls(server: Server) -> Counter[str]:
    """Requests by step."""
    return Counter(kind(request.json) for request in server.requests if "chat" in request.path)


def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"id": range(100, 100 + n), "text": texts(n), "shop": ["ab"[i % 2] for i in range(n)]}
    )


@pytest.mark.checklist("N1", "N5", "K2")
def test_one_call_goes_from_texts_to_scores_and_asks_nothing_twice() -> None:
    """Distill once a document, score once a document and batch, and the ledger is the true sum."""
    with Server(answer=answer) as server:
        use(server)
        made = concepts(frame(60), on="text", groups=3, batch=2, progress=False)
        counts = calls(server)
        assert counts["distill_summarize"] == 60
        assert counts["score"] == 60 * math.ceil(len(made.selected) / 2)
        assert "distill_filter" not in counts  # a text of one sentence needs no filter
        assert counts["review_remove"] == counts["review_merge"] == 1
        bodies = [json.dumps(request.json, sort_keys=True) for request in server.requests]
        assert len(set(bodies)) == len(bodies)
        costs = made.scorer.runner.costs
        ledger = sessions.current().ledger["scripted"]
        assert costs["cost_usd"].sum() == pytest.approx(ledger["cost_usd"]) and ledger["cost_usd"] > 0
    assert {name.casefold() for name in made.names} <= set(TOPICS)
    for concept in made.selected:
        right = [topic_of(text) == concept.name.casefold() for text in made.documents.texts]
        assert [value == 1.0 for value in made.column(concept.id).values] == right
        assert concept.summary.startswith("They say")


@pytest.mark.checklist("N1")
def test_each_stage_stops_where_it_says_and_the_next_one_pays_only_for_itself() -> None:
    """Stages restart from stored answers; edited points go on without asking for them again."""
    with Server(answer=answer) as server:
        use(server)
        data = frame(30)
        points = concepts(data, on="text", stage="distill", progress=False)
        assert list(points.columns) == ["row", "document", "point"] and len(points) == 60
        sent = server.count
        grouped = concepts(data, on="text", stage="cluster", groups=3, progress=False)
        assert server.count == sent and set(grouped["cluster"]) == {0, 1, 2}
        found = concepts(data, on="text", stage="synthesize", points=grouped, progress=False)
        assert server.count == sent + 3 and not found.scores.notna().any().any()
        reviewed = concepts(data, on="text", stage="review", points=grouped, progress=False)
        assert server.count <= sent + 3 + 2
        scored = concepts(data, concepts=reviewed, on="text", progress=False)
        assert scored.names == reviewed.names and scored.scores.notna().all().all()


@pytest.mark.checklist("N3")
def test_noise_is_no_topic() -> None:
    """Points in no group never reach the model; they are not one more cluster."""
    with Server(answer=answer) as server:
        use(server)
        data = frame(30)
        grouped = concepts(data, on="text", stage="cluster", groups=3, progress=False)
        grouped.loc[grouped["row"] < 12, "cluster"] = -1
        server.forget()
        concepts(data, on="text", stage="synthesize", points=grouped, progress=False)
        asked = [request.json["messages"][1]["content"] for request in server.requests]
    assert len(asked) == 3 and not any(f"number {n}:" in text for text in asked for n in range(12))


@pytest.mark.checklist("N5")
def test_a_failed_score_is_nan_and_only_it_is_asked_again() -> None:
    """Ten per cent unusable answers lose no document; the rest is asked for by rescore."""

    def moody(request: Mapping[str, Any]) -> str:
        bad = kind(request) == "score" and "number 7:" in request["messages"][1]["content"] and not healed
        return "no idea" if bad else answer(request)

    healed: list[bool] = []
    with Server(answer=moody) as server:
        use(server)
        given = {name: f"Is it about {name}?" for name in TOPICS}
        made = concepts(frame(20), on="text", concepts=given, progress=False)
        assert made.scores.iloc[7].isna().all() and made.scores.drop(index=7).notna().all().all()
        long = made.scores_long
        assert set(long[long.status == "failed"].doc_id) == {7} and (long.error != "").sum() == 3
        assert not any(7 in made.rows(name) for name in TOPICS)
        healed.append(True)
        sent = server.count
        made.scorer.runner.options = replace(made.scorer.runner.options, refresh=True)
        made.rescore().result(30)
        assert server.count == sent + 1 and made.scores.notna().all().all()


@pytest.mark.checklist("N5")
def test_faults_of_the_host_lose_no_document() -> None:
    """One answer in ten breaks in some way; every document ends with every score."""
    chaos = Chaos({"reset": 0.04, "truncated": 0.03, "error": 0.03}, seed=5)
    with Server(answer=answer, chaos=chaos) as server:
        use(server, limits=Limits(retries=6))
        given = {name: f"Is it about {name}?" for name in TOPICS}
        made = concepts(frame(80), on="text", concepts=given, progress=False, retries=6)
        assert made.scores.notna().all().all() and server.count > 80


@pytest.mark.checklist("K5")
def test_the_rate_window_holds_while_scoring() -> None:
    """LLooM's own failure: (n, seconds) counts over all concepts of a scoring step together."""
    with Server(answer=answer) as server:
        use(server, limits=Limits(window=(8, 0.5)))
        given = {name: f"Is it about {name}?" for name in TOPICS}
        concepts(frame(12), on="text", concepts=given, batch=1, progress=False)
        at = sorted(request.at for request in server.requests)
    assert len(at) == 36 + 3  # and a summary each
    # Sent in time; under load one may arrive a little after the one before it was sent.
    assert all(at[i + 8] - at[i] >= 0.5 - 0.1 for i in range(len(at) - 8))


@pytest.mark.checklist("N4")
def test_review_works_by_number_and_a_bad_reply_keeps_the_concepts() -> None:
    """Merging twice is impossible; a review that can't be read changes nothing; seed and examples stay."""

    def reviewer(request: Mapping[str, Any]) -> str:
        if kind(request) == "review_merge":
            one = {"ids": ["1", "2"], "name": "Both", "criterion": "Is it one of the two?"}
            two = {"ids": ["2", "3"], "name": "Other", "criterion": "Is it another?"}
            return json.dumps({"merge": [one, two]})
        if kind(request) == "review_remove":
            return "I would remove the second, perhaps."
        return answer(request)

    with Server(answer=reviewer) as server:
        use(server)
        made = concepts(frame(45), on="text", groups=3, stage="review", seed_term="reviews", progress=False)
        before = concepts(
            frame(45), on="text", groups=3, stage="synthesize", seed_term="reviews", progress=False
        )
    assert len(before) == 3 and len(made) == 2 and made.concepts[0].name == "Both"
    assert made.concepts[0].seed == "reviews"
    assert set(made.concepts[0].examples) == {row for c in before.concepts[:2] for row in c.examples}
    assert made.last_edit is None, "what review did is nobody's edit: the explorer offers no undo"
    again = ConceptSet.from_json(made.to_json())
    assert again.last_edit is None and again.to_code() == made.to_code()
    made.lock("Both")
    assert made.last_edit is not None and made.last_edit.verb == "lock"
    made.undo()
    made.undo()
    assert made.concepts == before.concepts
    made.redo()
    assert made.last_edit is not None and made.last_edit.verb == "merge"


@pytest.mark.checklist("N2")
def test_custom_prompts_are_checked_and_a_step_can_be_left_out() -> None:
    """A wording without its text, or with an unknown field, is refused before anything is sent."""
    with Server(answer=answer) as server:
        use(server)
        with pytest.raises(UsageError, match=r"has no \{text\}"):
            concepts(frame(6), on="text", prompts={"distill_summarize": "Say it shorter, {n_words}"})
        with pytest.raises(NotFound, match="distil_filter"):
            concepts(frame(6), on="text", prompts={"distil_filter": None})
        assert server.count == 0
        own = {
            "distill_summarize": None,
            "review_remove": None,
            "score": "<text>\n{text}\n</text>\n{criteria}",
        }
        made = concepts(frame(30), on="text", groups=3, prompts=own, guidance="Be bold.", progress=False)
        assert set(calls(server)) == {"synthesize", "review_merge", "score", "summarize_concept"}
        asked = [r.json["messages"][1]["content"] for r in server.requests if "chat" in r.path]
        assert any("Be bold." in text for text in asked)
        assert made.scores.notna().all().all()


@pytest.mark.checklist("N6")
def test_concepts_of_a_sample_score_all_documents_and_new_ones() -> None:
    """induce_on distills so many documents; every one is scored; apply() scores others."""
    with Server(answer=answer) as server:
        use(server)
        made = concepts(frame(60), on="text", induce_on=18, groups=3, progress=False)
        assert calls(server)["distill_summarize"] == 18
        assert made.scores.notna().all().all() and len(made.scores) == 60
        other = made.apply(texts(70)[60:]).result(30)
        assert isinstance(other, ConceptSet) and len(other.documents) == 10
        assert other.scores.notna().all().all() and len(made.documents) == 60


@pytest.mark.checklist("N7")
def test_only_what_changed_is_scored_again() -> None:
    """A rename asks nothing, a new concept once a document, a merge keeps its parts' scores."""
    with Server(answer=answer) as server:
        use(server)
        given = {name: f"Is it about {name}?" for name in TOPICS}
        made = concepts(frame(12), on="text", concepts=given, progress=False)
        sent = server.count
        made.rename("price", "money")
        made.merge("money", "taste", name="either")
        made.rescore().result(30)
        assert server.count == sent and len(made.rows("either")) == 8
        made.add("courier", "Is it about delivery by courier?")
        assert [c.name for c in made.stale] == ["courier"]
        assert made.estimate().calls == 12
        made.rescore().result(30)
        assert server.count == sent + 12


@pytest.mark.checklist("N8")
def test_the_uncovered_are_looked_at_again_and_a_reference_is_covered() -> None:
    """grow() distills only documents without a match; cover() names what has a concept."""
    with Server(answer=answer) as server:
        use(server)
        made = concepts(frame(30), on="text", concepts={"Price": "Is it about price?"}, progress=False)
        assert len(made.uncovered) == 20
        made.grow().result(30)
        assert calls(server)["distill_summarize"] == 20
        assert len(made.uncovered) < 20 and len(made) > 1
        assert made.cover(["cost", "weather"]).result(30) == {"cost": "Price", "weather": None}
        made.lock("Price")
        gone = made.refine(generic=0.3)
        assert set(gone) == set(made.names) - {"Price"} and [c.name for c in made.selected] == ["Price"]


@pytest.mark.checklist("N10")
def test_a_prefilter_asks_about_the_nearest_documents_only() -> None:
    """The others stay without a score: not zero, not failed."""
    with Server(answer=answer) as server:
        use(server)
        made = concepts(
            frame(30), on="text", concepts={"price": "Is it about price?"}, nearest=9, progress=False
        )
        assert calls(server)["score"] == 9
        assert made.scores["price"].notna().sum() == 9 and len(made.scores_long) == 9


@pytest.mark.checklist("K1")
def test_the_estimate_counts_documents_and_batches_of_concepts() -> None:
    """Twice the concepts is twice the scoring; nothing is sent; the budget stops the pipeline."""
    with Server(answer=answer) as server:
        use(server)
        few = concepts(frame(20), on="text", max_concepts=4, batch=4, dry_run=True)
        many = concepts(frame(20), on="text", max_concepts=8, batch=4, dry_run=True)
        assert server.count == 0
        assert few.steps[-1].calls == 20 and many.steps[-1].calls == 40
        assert few.dollars is not None and many.dollars is not None and few.dollars[1] < many.dollars[1]
        with pytest.raises(LLMError, match="max-cost"):
            concepts(frame(20), on="text", max_cost=0.000001, progress=False)


@pytest.mark.checklist("X1", "N1")
def test_with_no_model_at_all_the_whole_pipeline_runs_and_says_what_it_is() -> None:
    """Sentences, keywords, similarity: same seed, same result; the footer says that no model was asked."""
    data = frame(90)
    kept = data.copy(deep=True)
    first = concepts(data, on="text", slice="shop", progress=False)
    again = concepts(data, on="text", slice="shop", progress=False)
    assert len(first) >= 3 and first.concepts == again.concepts
    assert first.scores.equals(again.scores) and first.scores.notna().all().all()
    assert (first.places == again.places).all()
    assert "no language model" in first.report
    for topic in TOPICS:
        best = max(
            first.selected,
            key=lambda c: sum(topic_of(first.documents.texts[r]) == topic for r in first.rows(c.id)),
        )
        hits = [topic_of(first.documents.texts[row]) == topic for row in first.rows(best.id)]
        assert sum(hits) / len(hits) > 0.6
    pd.testing.assert_frame_equal(data, kept)


@pytest.mark.checklist("N11", "W9")
def test_unicode_repeated_index_and_a_column_called_id_survive() -> None:
    """The user's frame is untouched; texts come back as they were; highlights find their rows."""
    data = frame(12).set_index(pd.Index([1] * 12))
    data.loc[:, "text"] = [f"{text} – naïve Übergröße 寿司" for text in data["text"]]
    with Server(answer=answer) as server:
        use(server)
        made = concepts(data, on="text", concepts={"Größe": "Is it about price?"}, progress=False)
    long = made.scores_long
    assert long.index.is_unique and list(long.text) == list(data.text)
    assert (long[long.score == 1].highlight == long[long.score == 1].text).all()
    assert list(made.matches("Größe")["id"]) == list(data["id"].iloc[made.rows("Größe")])


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_a_handful_of_texts_is_enough(n: int) -> None:
    """From one row up there is an answer, not a crash."""
    made = concepts(texts(n), progress=False)
    assert len(made) >= 1 and len(made.scores) == n


def test_blank_rows_are_never_asked_about() -> None:
    """Nulls and blanks have no score, and count in no share."""
    data = pd.DataFrame({"text": [*texts(9), None, "  "]})
    made = concepts(data, on="text", concepts={"price": "Is it about price?"}, progress=False)
    assert made.scores["price"].isna().tolist() == [False] * 9 + [True] * 2
    assert not set(made.uncovered) & {9, 10}
    with pytest.raises(UsageError, match="any text"):
        concepts(pd.DataFrame({"text": ["", None]}), on="text", progress=False)


def test_polars_frames_come_back_as_polars() -> None:
    """Matches are rows of the user's own library."""
    pl = pytest.importorskip("polars")
    data = pl.DataFrame({"text": texts(12), "n": list(range(12))})
    made = concepts(data, on="text", concepts=[Concept("", "price", "Is it about price?")], progress=False)
    assert isinstance(made.matches("price"), pl.DataFrame)


def test_files_bring_everything_back(tmp_path: Path) -> None:
    """JSON round trip: concepts, edits, scores, places; a file of other documents is refused."""
    made = concepts(texts(12), progress=False)
    made.add("x", "Is it x?")
    made.save(tmp_path / "set.json")
    back = ConceptSet.load(tmp_path / "set.json")
    assert back.concepts == made.concepts and back.scores.equals(made.scores)
    assert back.to_code() == made.to_code() and back.documents.texts == made.documents.texts
    with pytest.raises(UsageError, match="12 documents"):
        ConceptSet.load(tmp_path / "set.json", texts(5))
