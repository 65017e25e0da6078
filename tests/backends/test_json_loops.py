"""Strings of JSON that repeat themselves: found, closed, and nothing but what was said twice left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.sampling import Candidates, Sampler
from llm_magics.backends.in_kernel.json_loops import PASSAGE, JsonLoops

ONCE = "The writer likes it, but it's not at all. The Buffet was far from what I anticipated."
CYCLE = (
    " It's a bit of a disappointment, but it's not a major issue, and nobody there was to be blamed for it."
)


def read(text: str, size: int = 3) -> JsonLoops:
    loops, raw = JsonLoops(), text.encode()
    for start in range(0, len(raw), size):
        loops.read(raw[start : start + size])
    return loops


def kept(text: str, size: int = 3) -> str:
    """The text with what ends its loops, as it is kept."""
    loops = read(text, size)
    while loops.wanted:
        loops.read(loops.wanted)
    return loops.text.decode()


def test_what_is_left_out_is_told() -> None:
    """Only where something is: a text that ends of itself is whole."""
    loops = read('{"reason": "' + ONCE + CYCLE + CYCLE)
    assert not loops.shortened
    loops.read(b'"')
    assert loops.shortened
    assert not read(json.dumps({"first": ONCE + CYCLE, "second": ONCE + CYCLE})).shortened


def test_a_refrain_is_no_loop() -> None:
    """A long passage may come again after another one: only what follows on itself goes on without end."""
    song = '{"lyrics": "' + CYCLE + ONCE + CYCLE + " And so it goes." + CYCLE
    assert not any(read(song[:end]).wanted for end in range(0, len(song) + 1, 7))


def test_a_loop_is_found_and_what_was_said_twice_is_left_out() -> None:
    begun = '{"rating": 1, "reason": "' + ONCE + CYCLE
    assert not read(begun).wanted
    assert read(begun + CYCLE).wanted == b'"'
    assert kept(begun + CYCLE + CYCLE[:20]) == begun + '"'
    half = '{"reason": "' + ONCE + " It was hot, which" + " was hot, which" * 12
    assert kept(half) == '{"reason": "' + ONCE + '"', "a sentence that has no end of its own is left out"
    assert kept('{"reason": "' + "very " * 60) == '{"reason": "very"'
    assert kept('{"reason": "' + "好看" * 60) == '{"reason": "好看"'


@pytest.mark.parametrize(
    ("block", "more"),
    [
        (["soccer"], '"soc'),
        (["a, b", "c]"], ""),
        ([1, 2, 3], "1"),
        ([{"label": "person", "text": "Ann"}], '{"label": "person'),
        ([["x", "y"], []], '["x", '),
    ],
)
def test_a_list_that_repeats_its_items_ends(block: list[object], more: str) -> None:
    """Seven times are a list; the eighth ends it, and each item stays once in its place."""
    head = '{"name": null, "people": ["Bea", '
    if isinstance(block[0], int):
        head = '{"name": null, "people": [9, '
    again = json.dumps(block)[1:-1] + ", "
    assert not read(head + again * 7).wanted
    closed = kept(head + again * 8 + more)
    first = json.loads(head + "0]}")["people"][0]
    whole = closed if closed.endswith("]}") else closed + "}"
    assert json.loads(whole)["people"] == [first, *block]


def test_two_answers_that_say_the_same_are_no_loop() -> None:
    """A passage counts within its own string only, and not where the string has ended."""
    said = json.dumps({"first": ONCE + CYCLE, "second": ONCE + CYCLE})
    assert not any(read(said[:end]).wanted for end in range(len(said) + 1))
    assert not read(json.dumps({"first": CYCLE * 3})).wanted


@given(st.text(max_size=12), st.text(min_size=1, max_size=140), st.integers(1, 7))
def test_what_is_kept_is_json(head: str, cycle: str, size: int) -> None:
    """Whatever repeats itself: closed there, the string can be read and is a beginning of what was said."""
    whole = json.dumps(head + cycle * (2 * PASSAGE // len(cycle) + 3))
    assert read(whole[:-1], size).wanted == b'"'
    closed = kept(whole[:-1], size)
    assert json.loads(whole).startswith(json.loads(closed))
    assert len(json.loads(closed)) <= len(head) + 3 * max(len(cycle), PASSAGE)


@pytest.mark.parametrize("spelt", ["\\", "\\u00e", "\\u"])
def test_an_escape_is_not_broken(spelt: str) -> None:
    text = '{"reason": "' + "\\u00e9\\n" * 30 + spelt
    closed = kept(text)
    assert closed == text or json.loads(closed + "}")


def test_a_quotation_that_begins_is_no_end() -> None:
    """Behind a blank, a mark that was not escaped; a string of blanks, an end and an escape stay as they are."""
    assert read('{"reason": "He said').instead(b' "') == b' \\"'
    assert read('{"reason": "He said ').instead(b'"') == b'\\"'
    for begun, piece in (('"He said.', b'"'), ('"He said', b' ",'), ('" ', b'"'), ('"He \\', b'"')):
        assert read('{"reason": ' + begun).instead(piece) == b""
    assert read('{"reason":').instead(b' "') == b""


def test_what_is_wanted_is_chosen_where_the_grammar_allows_it(tiny_gguf: Path) -> None:
    """A looping string ends with the next token, whatever the logits say, where the grammar lets it."""
    model = Model(tiny_gguf)
    table = Candidates(model.vocabulary_size)
    looping = read('{"reason": "' + ONCE + CYCLE + CYCLE)
    for grammar, end in (('root ::= "a" [a-z"]*', False), ('root ::= [a-z"]+', True)):
        sampler = Sampler(model, table, {"temperature": 0}, grammar)
        token = sampler.next(np.zeros(model.vocabulary_size, np.float32), looping)
        assert (model.piece(token) == b'"') == end
        sampler.close()
    model.close()
