"""The token trie against arithmetic done by hand, and trees that keep what they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_magics.backends.in_kernel.label_trie import (
    Trie,
    label_branches,
    log_sum_exp,
    path_branches,
    paths,
    split,
)
from llm_magics.core.errors import UsageError

VOCABULARY = 12
END = 11

labels = st.lists(
    st.lists(st.integers(0, 10), min_size=1, max_size=5).map(tuple), min_size=1, max_size=8, unique=True
).map(lambda found: [[*path, END] for path in found])


def logits_after(path: tuple[int, ...]) -> np.ndarray:
    """A made-up model: any row of logits, the same for the same tokens before it."""
    return np.random.default_rng([7, *path]).normal(0, 3, VOCABULARY).astype(np.float32)


def scored(trie: Trie, joint: bool) -> list[float]:
    prefix: dict[int, tuple[int, ...]] = {0: ()}
    for node in range(1, len(trie.token)):
        prefix[node] = (*prefix[trie.parent[node]], trie.token[node])
    pieces = {node: trie.read(node, logits_after(prefix[node]), joint) for node in trie.asked(joint)}
    return trie.totals(pieces)


@pytest.mark.checklist("X2")
@given(labels)
def test_joint_is_the_whole_label_under_the_whole_vocabulary(found: list[list[int]]) -> None:
    """The joint log-probability is the sum of the model's own log-probabilities along the label."""
    by_hand = []
    for path in found:
        total = 0.0
        for place, token in enumerate(path):
            row = logits_after(tuple(path[:place])).astype(np.float64)
            total += row[token] - math.log(np.exp(row).sum())
        by_hand.append(total)
    assert scored(Trie(found), joint=True) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.checklist("X2")
@given(labels)
def test_constrained_is_what_masked_sampling_draws_from(found: list[list[int]]) -> None:
    """At each token only continuations that are still a label count, and the labels add up to one."""
    by_hand = []
    for path in found:
        total = 0.0
        for place, token in enumerate(path):
            allowed = sorted({other[place] for other in found if other[:place] == path[:place]})
            row = logits_after(tuple(path[:place])).astype(np.float64)
            total += row[token] - math.log(np.exp(row[allowed]).sum())
        by_hand.append(total)
    result = scored(Trie(found), joint=False)
    assert result == pytest.approx(by_hand, abs=1e-5)
    assert sum(map(math.exp, result)) == pytest.approx(1)


@given(labels, st.booleans(), st.integers(1, 4), st.integers(8, 40))
def test_parts_and_paths_of_a_tree_answer_every_output_once(
    found: list[list[int]], joint: bool, lanes: int, cells: int
) -> None:
    """However a tree is split, each output is asked once, behind the tokens it belongs to."""
    branches = label_branches(Trie(found), joint)
    tree = branches.behind(np.array([3, 1, 4], np.int32))
    behind = {number: path for path, answers in whole_paths(tree) for number, path in answers.items()}
    parts = split(tree, lanes, cells)
    assert sorted(number for _, numbers in parts for number in numbers) == list(range(len(tree.wanted)))
    for part, numbers in parts:
        assert part.tips <= lanes
        again = {place: path for path, answers in whole_paths(part) for place, path in answers.items()}
        assert {number: again[place] for place, number in enumerate(numbers)} == {
            n: behind[n] for n in numbers
        }


def whole_paths(tree: object) -> list[tuple[object, dict[int, tuple[int, ...]]]]:
    return [
        (tokens, {number: tuple(tokens[: place + 1].tolist()) for place, number in answers.items()})
        for tokens, answers in paths(tree)  # type: ignore[arg-type]
    ]


@given(labels)
def test_only_choices_are_evaluated(found: list[list[int]]) -> None:
    """Constrained scoring evaluates no token from which only one label is left."""
    trie = Trie(found)
    branches = label_branches(trie, joint=False)
    for tokens, _ in paths(branches.behind(np.array([99], np.int32))):
        path = tokens[1:].tolist()
        assert not path or sum(other[: len(path)] == path for other in found) >= 2


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=6))
@settings(max_examples=50)
def test_paths_behind_one_chain_keep_their_numbers(found: list[list[int]]) -> None:
    """Whole paths, one maybe the beginning of another, are each read at their own end."""
    unique = [list(path) for path in dict.fromkeys(map(tuple, found))]
    branches = path_branches(unique)
    tree = branches.behind(np.array([7], np.int32))
    ends = {number: path for path, answers in whole_paths(tree) for number, path in answers.items()}
    assert {branches.order[number]: list(path[1:]) for number, path in ends.items()} == dict(
        enumerate(unique)
    )


def test_equal_labels_are_refused() -> None:
    """Two labels with the same tokens can't be told apart."""
    with pytest.raises(UsageError):
        Trie([[1, END], [1, END]])


def test_log_sum_exp_survives_large_logits() -> None:
    """No overflow where exp would."""
    assert log_sum_exp(np.array([1000.0, 1000.0])) == pytest.approx(1000 + math.log(2))
