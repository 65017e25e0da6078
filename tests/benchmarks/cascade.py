"""The cascade's promise and price, beside the rules people use instead.

    python tests/benchmarks/cascade.py [--runs 200] [--data ../shared/data] [--part oracle] [--embedders] [--small]

Simulated proxies: their confidence is drawn from a Beta distribution whose mean is the accuracy and whose
spread says how well they know their errors. Then real proxies: the project's own, taught on the labels of
real sets. "Missed" is the share of runs in which fewer than the target's share of all rows got the
label that the model gives; 10% are allowed. "Calls" is the share of rows that the model labelled.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llm_magics.tasks.label.cascade.design import Design, best_design
from llm_magics.tasks.label.cascade.guarantee import Guarantee, MissChance
from llm_magics.tasks.label.cascade.proxies import isotonic
from llm_magics.tasks.label.cascade.strategy import first_rows, unsure_rows

Rule = Callable[[np.ndarray, np.ndarray, float, np.random.Generator, int], tuple[float, bool]]
CONFIDENCE = 0.9
LABELLED = 200


def by_sample(
    agrees: np.ndarray, sure: np.ndarray, target: float, chance: np.random.Generator, rows: int
) -> tuple[float, bool]:
    """Ours, with a proxy that was taught; ``rows`` includes those it learnt from."""
    guarantee = Guarantee(rows, target, CONFIDENCE)
    kept = len(agrees) - unsure_rows(guarantee, sure, rows - len(agrees))
    return divided(guarantee, agrees[:kept], best_design(guarantee, sure[:kept]), chance)


def divided(
    guarantee: Guarantee, agrees: np.ndarray, design: Design, chance: np.random.Generator, worth: float = 0.1
) -> tuple[float, bool]:
    """What comes of a sample of this design; as in the cascade a tenth of the calls must be saved, or none is."""
    places = np.arange(len(agrees))
    drawn = design.strata.drawn(places, chance.random(len(agrees)))
    size = guarantee.certified(design.strata, design.limits, places[drawn], agrees[drawn])
    taken = np.flatnonzero(~drawn[:size])
    if len(taken) < worth * guarantee.rows:
        taken = taken[:0]
    return outcome(agrees, taken, guarantee.target, guarantee.rows)


def by_naive(
    agrees: np.ndarray, sure: np.ndarray, target: float, chance: np.random.Generator, rows: int
) -> tuple[float, bool]:
    """Label a fixed sample, take the lowest threshold whose agreement in it reaches the target."""
    drawn = chance.permutation(len(agrees))[:LABELLED]
    needed = naive(agrees[drawn], sure[drawn], target)
    return outcome(agrees, np.setdiff1d(np.flatnonzero(sure >= needed), drawn), target, rows)


def by_hoeffding(
    agrees: np.ndarray, sure: np.ndarray, target: float, chance: np.random.Generator, rows: int
) -> tuple[float, bool]:
    """A fixed sample of a tenth, Hoeffding's bound, the error split among twenty prefixes."""
    count = max(LABELLED, len(agrees) // 10)
    drawn = chance.permutation(len(agrees))[:count]
    best, allowed = 0, (1 - target) * rows
    for step in range(1, 21):
        size = len(agrees) * step // 20
        inside = drawn[drawn < size]
        bound = hoeffding(int(agrees[inside].sum()), len(inside), (1 - CONFIDENCE) / 20)
        if (1 - bound) * size <= allowed:
            best = size
    return outcome(agrees, np.setdiff1d(np.arange(best), drawn), target, rows)


def naive(agrees: np.ndarray, sure: np.ndarray, target: float) -> float:
    """The lowest confidence from which on the sample's agreement reaches the target: no promise at all."""
    order = np.argsort(-sure, kind="stable")
    shares = np.cumsum(agrees[order], dtype=float) / np.arange(1, order.size + 1)
    good = np.flatnonzero(shares >= target)
    return float(sure[order[good[-1]]]) if good.size else math.inf


def hoeffding(agrees: int, draws: int, delta: float) -> float:
    """A lower bound of a share from a sample of fixed size (Hoeffding 1963)."""
    return agrees / draws - math.sqrt(math.log(1 / delta) / (2 * draws)) if draws else 0.0


def outcome(agrees: np.ndarray, taken: np.ndarray, target: float, rows: int) -> tuple[float, bool]:
    """The share of calls, and whether the promise was missed."""
    wrong = int((~agrees[taken]).sum())
    return 1 - len(taken) / rows, wrong > Guarantee(rows, target).allowed


RULES: dict[str, Rule] = {
    "exact strata (ours)": by_sample,
    "hand-set threshold": by_naive,
    "Hoeffding": by_hoeffding,
}


def simulated(
    rows: int, accuracy: float, spread: float, run: int, apart: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Agreements and confidences in order of confidence; ``apart`` rows (default: of step 1) are left out."""
    chance = np.random.default_rng(run)
    left = rows - (first_rows(rows) if apart is None else apart)
    sure = np.sort(chance.beta(spread * accuracy, spread * (1 - accuracy), left))[::-1]
    return chance.random(left) < sure, sure


def table(runs: int) -> None:
    """Rules side by side."""
    print(
        "| rows | proxy accuracy | target | " + " | ".join(f"{name}: calls (missed)" for name in RULES) + " |"
    )
    print("|---|---|---|" + "---|" * len(RULES))
    for rows, accuracy, target in [
        (1_000, 0.92, 0.95),
        (2_000, 0.92, 0.95),
        (2_000, 0.85, 0.90),
        (10_000, 0.92, 0.90),
        (10_000, 0.92, 0.95),
        (10_000, 0.85, 0.95),
    ]:
        cells = []
        for rule in RULES.values():
            found = []
            for run in range(runs):
                agrees, sure = simulated(rows, accuracy, 3.0, run)
                found.append(rule(agrees, sure, target, np.random.default_rng(10**6 + run), rows))
            cells.append(f"{np.mean([c for c, _ in found]):.2f} ({np.mean([m for _, m in found]):.0%})")
        print(f"| {rows:,} | {accuracy} | {target} | " + " | ".join(cells) + " |", flush=True)


def oracle(agrees: np.ndarray, target: float, rows: int) -> float:
    """The fewest calls that would have kept the promise: the largest prefix with few enough errors, known."""
    allowed = math.floor((1 - target) * rows + 1e-9)
    return 1 - int(np.searchsorted(np.cumsum(~agrees), allowed, side="right")) / rows


def floor(sure: np.ndarray, target: float, rows: int, quantile: float = 1.28) -> float:
    """The calls of a rule that knows each row's chance of an error, but not which rows err.

    It asks row i with probability p and may miss the target in 10% of runs. Asked and found errors are taken
    as normal: sum(e (1 - p)) + 1.28 sqrt(sum(e (1 - e) (1 - p) / p)) must be allowed. The design with the
    fewest calls has p proportional to sqrt(e (1 - e) / (1 - k e)).
    """
    e, allowed, best = 1 - sure, (1 - target) * rows, 1.0
    taught_rows = rows - len(sure)
    for k in np.linspace(0, 4, 81):
        shape = np.sqrt(e * (1 - e) / np.where(k * e < 1, 1 - k * e, np.nan))
        for scale in np.geomspace(0.01, 2, 60):
            p = np.where(k * e < 1, np.clip(scale * shape, 1e-4, 1), 1.0)
            calls = (taught_rows + p.sum()) / rows
            if calls < best:
                error = np.sqrt((e * (1 - e) * (1 - p) / p).sum())
                if (e * (1 - p)).sum() + quantile * error <= allowed:
                    best = calls
    return best


def beside_the_oracle(runs: int) -> None:
    """Calls over those of a rule that knows every error, 10,000 rows.

    The oracle asks about 5% of the rows whatever they are, as it did in the first edition's figures.
    """
    print(
        "\n| proxy accuracy | target | oracle's calls | least possible, about | taught proxy: calls | ratio "
        "| missed |\n|---|---|---|---|---|---|---|"
    )
    rows = 10_000
    for accuracy, target in [(a, t) for a in (0.85, 0.9, 0.95) for t in (0.9, 0.95)]:
        found, least = [], []
        for run in range(runs):
            agrees, _ = simulated(rows, accuracy, 3.0, run, apart=rows // 20)
            least.append(oracle(agrees, target, rows))
            agrees, sure = simulated(rows, accuracy, 3.0, run)
            found.append(by_sample(agrees, sure, target, np.random.default_rng(10**6 + run), rows))
        base = float(np.mean(least))
        lowest = floor(simulated(rows, accuracy, 3.0, 0)[1], target, rows)
        print(
            f"| {accuracy} | {target} | {base:.3f} | {lowest:.3f} | {beside(found, base)} |",
            flush=True,
        )


def untaught(runs: int) -> None:
    """The same for a small model, which isn't taught, and whose chances of errors must be found out, too."""
    print("\n| proxy accuracy | target | small model: calls | ratio | missed |\n|---|---|---|---|---|")
    rows = 10_000
    for accuracy, target in [(a, t) for a in (0.85, 0.9, 0.95) for t in (0.9, 0.95)]:
        worlds = [simulated(rows, accuracy, 3.0, run, apart=rows // 20)[0] for run in range(runs)]
        base = float(np.mean([oracle(agrees, target, rows) for agrees in worlds]))
        found = [by_small_model(accuracy, target, rows, run) for run in range(runs)]
        print(f"| {accuracy} | {target} | {beside(found, base)} |", flush=True)


def by_small_model(accuracy: float, target: float, rows: int, run: int) -> tuple[float, bool]:
    """A proxy that isn't taught; all that is known of it is the agreement of the first rows, by its confidence."""
    chance, guarantee = np.random.default_rng(run), Guarantee(rows, target, CONFIDENCE)
    sure = chance.beta(3.0 * accuracy, 3.0 * (1 - accuracy), rows)
    agrees, first = chance.random(rows) < sure, first_rows(rows)
    pool = first + np.argsort(-sure[first:])
    design = best_design(guarantee, isotonic(sure[:first], agrees[:first]).predict(sure[pool]))
    return divided(guarantee, agrees[pool], design, np.random.default_rng(10**6 + run))


def hostile(rows: int, allowed: int, run: int) -> dict[str, np.ndarray]:
    """Which rows disagree, by place in the order of a confidence that misleads."""
    places, chance = np.arange(rows), np.random.default_rng(run)
    few = np.zeros(rows, dtype=bool)
    few[chance.choice(rows, int(1.1 * allowed), replace=False)] = True
    return {
        "upside down: the surer, the more errors": chance.random(rows) < np.linspace(0.3, 0.0, rows),
        "all errors among the surest rows": places < 1.1 * allowed,
        "errors in one clump in the middle": (places >= rows // 2) & (places < rows // 2 + 1.1 * allowed),
        "errors at both ends": (places < 0.55 * allowed) | (places >= rows - 0.55 * allowed),
        "a tenth more errors than allowed, anywhere": few,
        "confidence says nothing": chance.random(rows) < 0.1,
        "always right": np.zeros(rows, dtype=bool),
        "always wrong": np.ones(rows, dtype=bool),
    }


def worst_worlds(runs: int) -> None:
    """Proxies whose confidence misleads, sampled as if they were right in .90 of rows and knew their errors.

    In the last line the errors lie where the count of chances has its maximum: so many in the first stratum,
    all rows of the second. What the proxy takes is kept, however few calls it saves.
    """
    print("\n| confidence | rows | target | calls | missed |\n|---|---|---|---|---|")
    for rows, target in [(1_000, 0.95), (10_000, 0.9), (10_000, 0.95)]:
        guarantee = Guarantee(rows, target, CONFIDENCE)
        design = best_design(guarantee, np.sort(np.random.default_rng(0).beta(2.7, 0.3, rows))[::-1])
        bad = worst(guarantee, design)
        for name in [*hostile(rows, guarantee.allowed, 0), "as bad as can be"]:
            found = []
            for run in range(runs):
                wrong = hostile(rows, guarantee.allowed, run) | {"as bad as can be": bad}
                chance = np.random.default_rng(10**6 + run)
                found.append(divided(guarantee, ~wrong[name], design, chance, worth=0.0))
            calls, missed = np.mean(found, axis=0)
            print(f"| {name} | {rows:,} | {target} | {calls:.2f} | {missed:.1%} |", flush=True)


def worst(guarantee: Guarantee, design: Design) -> np.ndarray:
    """The errors with the largest chance of a miss for these samples."""
    most = (len(design.limits), max(design.limits))
    chance = MissChance(design.strata, guarantee.allowed, most)
    first = int(chance.wrong[int(chance.by_wrong(design.limits).argmax())])
    places = np.arange(design.strata.pool)
    return (places < first) | (places >= design.strata.sizes[0])


def beside(found: list[tuple[float, bool]], base: float) -> str:
    """Calls, their ratio to ``base``, misses."""
    calls = np.mean([c for c, _ in found])
    return f"{calls:.3f} | {calls / base:.2f} | {np.mean([m for _, m in found]):.1%}"


def curve(runs: int) -> None:
    """Calls saved over rows and quality of the proxy, at target 0.95."""
    sizes = (1_000, 3_000, 10_000, 30_000, 100_000)
    print("\n| proxy accuracy, spread | " + " | ".join(f"{size:,} rows" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for accuracy, spread in [(0.98, 3.0), (0.95, 3.0), (0.90, 3.0), (0.90, 1.0), (0.90, 20.0), (0.80, 3.0)]:
        cells = []
        for rows in sizes:
            found = []
            for run in range(max(30, runs * 1_000 // rows)):
                agrees, sure = simulated(rows, accuracy, spread, run)
                found.append(by_sample(agrees, sure, 0.95, np.random.default_rng(10**6 + run), rows))
            cells.append(f"{1 - np.mean([c for c, _ in found]):.0%} ({np.mean([m for _, m in found]):.0%})")
        print(f"| {accuracy}, {spread:g} | " + " | ".join(cells) + " |", flush=True)


def real(folder: Path, runs: int) -> None:
    """The project's proxy on real sets, their labels in the model's place."""
    import pandas as pd

    from llm_magics.backends.embedded.word_vectors import StaticVectors
    from llm_magics.tasks.label.cascade.proxies import LabelRegression

    sets = {
        "news_topics": "label",
        "review_sentiment": "label",
        "banking_intents": "label",
        "bill_summaries": "label",
    }
    print("\n| set | rows | proxy agreement | target 0.90: calls (missed) | target 0.95: calls (missed) |")
    print("|---|---|---|---|---|")
    vectors_of = StaticVectors.load()
    for name, column in sets.items():
        frame = pd.read_csv(folder / f"{name}.csv").dropna(subset=["text", column])
        vectors, labels = vectors_of.embed(frame["text"].tolist()), frame[column].astype(str).to_numpy()
        kept: dict[float, list[tuple[float, bool]]] = {0.9: [], 0.95: []}
        agreement = []
        for run in range(runs):
            order = np.random.default_rng(run).permutation(len(labels))
            lessons = order[: first_rows(len(labels))]
            first = LabelRegression(vectors[lessons], labels[lessons].tolist(), run)
            for target, found in kept.items():
                result, agreed = with_regression(vectors, labels, order, first, target, run)
                found.append(result)
                agreement.append(agreed)
        cells = [
            f"{np.mean([c for c, _ in f]):.2f} ({np.mean([m for _, m in f]):.0%})" for f in kept.values()
        ]
        print(
            f"| {name} | {len(labels):,} | {np.mean(agreement):.2f} | " + " | ".join(cells) + " |", flush=True
        )


def proxies(folder: Path, runs: int, *, embedders: bool, small: bool) -> None:
    """Other proxies on the same sets and rows: more embedders, and a small model with its prior.

    Each embedder's regression is taught by the rows that the cascade would take. Of the small model only what
    its probabilities mean is learned from those rows.
    """
    import json

    import pandas as pd

    import llm_magics

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests import real_models

    described = json.loads((folder / "labels.json").read_text())
    names = ["embedded::wordllama+use"]
    if embedders:
        names += ["embedded::use", f"transformers::{real_models.minilm()}"]
    print("\n| set | proxy | agreement | target .90: calls (missed) | target .95: calls (missed) |")
    print("|---|---|---|---|---|")
    for name in ("news_topics", "review_sentiment", "banking_intents"):
        frame = pd.read_csv(folder / f"{name}.csv").dropna(subset=["text", "label"])
        frame = frame[["text", "label"]].sample(SIZE, random_state=2)
        truth = frame["label"].astype(str).to_numpy()
        for model in names:
            vectors = np.stack(llm_magics.embed(frame["text"], model=model, progress=False)["embedding"])
            report(f"{name} | {model.rpartition('/')[2]}", by_regression(vectors, truth), runs)
        if small:
            labels = {label: said["description"] for label, said in described[name].items() if label in truth}
            found = llm_magics.label(
                frame["text"], labels, model=f"gguf::{real_models.gemma()}", progress=False
            )
            guesses = found["label"].astype(str).to_numpy()
            sure = found["label_confidence"].to_numpy(float)
            report(
                f"{name} | gemma-3-270m with its prior",
                by_itself(guesses, sure, truth),
                runs,
            )


Draw = Callable[[int, float], tuple[float, bool, float]]
"""By run and target: the share of calls, whether the promise was missed, how often the proxy agreed."""
SIZE = 1_000


def by_regression(vectors: np.ndarray, truth: np.ndarray) -> Draw:
    """A regression on vectors, taught by random rows and by those it is least sure of, tested on others."""
    from llm_magics.tasks.label.cascade.proxies import LabelRegression

    def draw(run: int, target: float) -> tuple[float, bool, float]:
        order = np.random.default_rng(run).permutation(SIZE)
        lessons = order[: first_rows(SIZE)]
        first = LabelRegression(vectors[lessons], truth[lessons].tolist(), run)
        (calls, missed), agreed = with_regression(vectors, truth, order, first, target, run)
        return calls, missed, agreed

    return draw


def by_itself(guesses: np.ndarray, sure: np.ndarray, truth: np.ndarray) -> Draw:
    """A model's own labels; random rows show what its probabilities mean, and others test it."""

    def draw(run: int, target: float) -> tuple[float, bool, float]:
        order = np.random.default_rng(run).permutation(SIZE)
        known, pool = order[: first_rows(SIZE)], order[first_rows(SIZE) :]
        pool, agrees = pool[np.argsort(-sure[pool], kind="stable")], guesses == truth
        guarantee = Guarantee(SIZE, target, CONFIDENCE)
        design = best_design(guarantee, isotonic(sure[known], agrees[known]).predict(sure[pool]))
        result = divided(guarantee, agrees[pool], design, np.random.default_rng(10**6 + run))
        return (*result, agrees[pool].mean())

    return draw


def report(title: str, draw: Draw, runs: int) -> None:
    """A line of the table."""
    found = {target: [draw(run, target) for run in range(runs)] for target in (0.9, 0.95)}
    cells = [
        f"{np.mean([calls for calls, _, _ in each]):.2f} ({np.mean([missed for _, missed, _ in each]):.0%})"
        for each in found.values()
    ]
    agreement = np.mean([agreed for _, _, agreed in found[0.9]])
    print(f"| {title} | {agreement:.2f} | " + " | ".join(cells) + " |", flush=True)


def with_regression(
    vectors: np.ndarray, labels: np.ndarray, order: np.ndarray, first: Any, target: float, run: int
) -> tuple[tuple[float, bool], float]:
    """One run as the cascade does it: random rows, the least sure ones, samples. And the last agreement."""
    from llm_magics.tasks.label.cascade.proxies import LabelRegression

    guarantee, proxy = Guarantee(len(labels), target, CONFIDENCE), first
    known, pool = order[: first_rows(len(labels))], order[first_rows(len(labels)) :]
    for lesson in (True, False):
        guesses, confidence = proxy.label(vectors[pool])
        place = np.argsort(-confidence, kind="stable")
        expected = proxy.expected(confidence[place])
        if lesson and (count := unsure_rows(guarantee, expected, len(known))) >= 10:
            known, pool = np.concatenate([known, pool[place[-count:]]]), pool[place[:-count]]
            proxy = LabelRegression(vectors[known], labels[known].tolist(), run)
    agrees = (np.array(guesses) == labels[pool])[place]
    design = best_design(guarantee, expected)
    return divided(guarantee, agrees, design, np.random.default_rng(10**6 + run)), float(agrees.mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument(
        "--part", choices=["rules", "oracle", "small", "hostile", "curve", "real"], help="one table"
    )
    parser.add_argument("--embedders", action="store_true", help="compare embedding models, nothing else")
    parser.add_argument("--small", action="store_true", help="compare the 270M model as proxy, nothing else")
    given = parser.parse_args()
    if given.embedders or given.small:
        proxies(given.data, given.runs, embedders=given.embedders, small=given.small)
        raise SystemExit
    parts: dict[str, Callable[[], None]] = {
        "rules": lambda: table(given.runs),
        "oracle": lambda: beside_the_oracle(given.runs),
        "small": lambda: untaught(given.runs),
        "hostile": lambda: worst_worlds(given.runs),
        "curve": lambda: curve(given.runs),
    }
    if given.data.is_dir():
        parts["real"] = lambda: real(given.data, given.runs)
    for name, make in parts.items():
        if given.part in (None, name):
            make()
