"""How often corrected intervals hold the true share, and how wide they are: ``python tests/benchmarks/measure.py``.

500 simulations a line: three labels, a model that errs in one direction, 200 gold rows of 2,000 and 500 of 50,000,
equal chances and more gold rows where errors are likely, common labels and one with 2% of the rows. Printed are
the share of intervals that hold the truth (the worst label; differences between two groups of the same shares),
the same for the uncorrected count, and the mean width over that of the gold rows alone.
"""

from __future__ import annotations

import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from llm_magics import measure
from tests.measure.simulation import LABELS, World


def main(turns: int = 500) -> None:
    """Print a line a world."""
    print("shares accuracy rows gold design | covered a b c | differences | uncorrected a b c | width a b c")
    shares = ((0.5, 0.3, 0.2), (0.7, 0.28, 0.02))
    for share, accuracy, (rows, gold), lean in product(
        shares, (0.75, 0.9, 0.95), ((2000, 200), (50_000, 500)), (False, True)
    ):
        world = World(share, accuracy, rows, gold, lean)
        line = " | ".join(" ".join(f"{value:.3f}" for value in values) for values in simulate(world, turns))
        print(*share, accuracy, rows, gold, "lean" if lean else "equal", "|", line, flush=True)
    speed()


def simulate(world: World, turns: int) -> list[np.ndarray]:
    """Coverage of shares, of differences, of uncorrected shares; relative widths. One value a label."""
    chance, true = np.random.default_rng(1), np.array(world.shares)
    held, apart, plain, widths = [], [], [], []
    before = None
    for _ in range(turns):
        frame = world.draw(chance)
        found = _measured(frame)
        low, high, share = (found[name].to_numpy() for name in ("low", "high", "share"))
        held.append((low <= true) & (true <= high))
        count = found["uncorrected"].to_numpy()
        plain.append(np.abs(count - true) <= 1.96 * np.sqrt(count * (1 - count) / world.rows))
        if before is not None:
            pair = pd.concat([before.assign(group=0), frame.assign(group=1)])
            both = measure(pair, "topic", by="group", random=True).differences()
            ends = both.set_index("topic").loc[list(LABELS)]
            apart.append(((ends["low"] <= 0) & (ends["high"] >= 0)).to_numpy())
        before = frame if before is None else None
        if len(widths) < 100:
            alone = _measured(frame.assign(topic=LABELS[0]))
            widths.append((high - low) / (alone["high"] - alone["low"]).to_numpy())
        assert ((low >= 0) & (high <= 1) & (low <= share) & (share <= high)).all()
    return [np.mean(each, axis=0) for each in (held, apart, plain)] + [np.nanmean(widths, axis=0)]


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    return measure(frame, "topic", random=True).set_index("topic").reindex(list(LABELS))


def speed() -> None:
    """Seconds for a million rows in twenty groups."""
    chance, rows = np.random.default_rng(0), 1_000_000
    truth = chance.choice(list("abcde"), rows).astype(object)
    gold = np.full(rows, None, dtype=object)
    drawn = chance.choice(rows, 2000, replace=False)
    gold[drawn] = truth[drawn]
    group = chance.choice([f"g{i}" for i in range(20)], rows)
    frame = pd.DataFrame({"label": truth, "gold": gold, "group": group})
    begun = time.perf_counter()
    measure(frame, "label", truth="gold", by="group")
    print(f"1,000,000 rows, 20 groups, 5 labels: {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
