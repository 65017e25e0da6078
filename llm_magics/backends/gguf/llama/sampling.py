"""The next token of one row: greedy, or drawn from what llama.cpp's samplers leave, by the row's own seed.

llama.cpp's own draw walks down the candidates by rank. Batches of other sizes round differently, near
equals change ranks, and the same seed gave another text beside other rows. Here each candidate gets
Gumbel noise of its own from seed, step and token, and the highest wins: the same distribution, and a
rounding changes the winner only where two were as good as equal.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.native import last_message, library
from llm_magics.backends.in_kernel.json_loops import JsonLoops
from llm_magics.core.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARAMETERS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "seed",
)
DEFAULTS = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "typical_p": 1.0}
"""llama.cpp's defaults (common.h) for what the user did not set."""
NOT_UNDERSTOOD: set[str] = set()
"""Grammars that llama.cpp has refused."""
PENALTY_WINDOW = 64  # llama.cpp's penalty_last_n


class Sampler:
    """Chooses the tokens of one text; ``table`` belongs to the worker thread. ``close`` frees it."""

    def __init__(
        self, model: Model, table: Candidates, parameters: Mapping[str, Any], grammar: str = ""
    ) -> None:
        self._llama = library()
        self._model = model
        self._table = table
        self._grammar: Any = self._new_grammar(grammar) if grammar else None
        self._chain: Any = None
        self._noise: GumbelNoise | None = None
        whole = {**DEFAULTS, **parameters}
        if not _greedy(parameters):
            self._chain = self._new_chain(whole)
            self._noise = GumbelNoise(int(whole.get("seed", 0))) if float(whole["temperature"]) > 0 else None

    def next(self, logits: NDArray[Any], json: JsonLoops | None = None) -> int:
        """The next token, from a row of logits; ``json`` knows what a JSON text should go on with."""
        token = self._token_of(json.wanted) if json is not None else -1
        if token < 0:
            token = self._choose(logits)
            if self._grammar and not self._allowed(token):
                token = self._choose_within(logits)
            other = self._token_of(json.instead(self._model.piece(token))) if json is not None else -1
            token = token if other < 0 else other
        if self._grammar:
            self._llama.llama_sampler_accept(self._grammar, token)
        if self._chain:
            self._llama.llama_sampler_accept(self._chain, token)
        if self._noise:
            self._noise.step += 1
        return token

    def close(self) -> None:
        """Free llama.cpp's samplers."""
        for sampler in filter(None, (self._chain, self._grammar)):
            self._llama.llama_sampler_free(sampler)
        self._chain = self._grammar = None

    def _choose(self, logits: NDArray[Any]) -> int:
        if not self._chain:
            return int(logits.argmax())
        return self._table.fill(logits).apply(self._chain).best(self._noise)

    def _token_of(self, text: bytes) -> int:
        """The one token of a text that the grammar allows here, -1 for none."""
        if not text:
            return -1
        found = self._model.tokens(text.decode(), start=False, special=False).tolist()
        alone = len(found) == 1 and self._model.piece(found[0]) == text
        return found[0] if alone and (not self._grammar or self._allowed(found[0])) else -1

    def _allowed(self, token: int) -> bool:
        """Whether the grammar allows the token.

        Checked for one token, since checking all takes milliseconds.
        """
        return self._table.single(token).apply(self._grammar).first_logit > REFUSED

    def _choose_within(self, logits: NDArray[Any]) -> int:
        table = self._table.fill(logits).apply(self._grammar)
        return (table.apply(self._chain) if self._chain else table).best(self._noise)

    def _new_grammar(self, grammar: str) -> Any:
        last_message()
        if grammar not in NOT_UNDERSTOOD:  # llama.cpp prints its complaint; once is enough for all rows
            made = self._llama.llama_sampler_init_grammar(self._model.vocabulary, grammar.encode(), b"root")
            if made:
                return made
            NOT_UNDERSTOOD.add(grammar)
        raise UsageError(
            f"llama.cpp does not understand the grammar {grammar[:80]!r}.",
            hint="""It is GBNF, and begins with its root: -p grammar='root ::= "yes" | "no"'""",
        )

    def _new_chain(self, p: Mapping[str, Any]) -> Any:
        llama = self._llama
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        penalties = [float(p.get(name, neutral)) for name, neutral in PENALTIES.items()]
        if penalties != list(PENALTIES.values()):
            llama.llama_sampler_chain_add(chain, self._penalties(penalties))
        if float(p["temperature"]) <= 0:
            return chain
        for sampler in (
            llama.llama_sampler_init_top_k(int(p["top_k"])),
            llama.llama_sampler_init_typical(float(p["typical_p"]), 1),
            llama.llama_sampler_init_top_p(float(p["top_p"]), 1),
            llama.llama_sampler_init_min_p(float(p["min_p"]), 1),
            llama.llama_sampler_init_temp(float(p["temperature"])),
        ):
            llama.llama_sampler_chain_add(chain, sampler)
        return chain

    def _penalties(self, strengths: list[float]) -> Any:
        init = self._llama.llama_sampler_init_penalties
        window = (
            [PENALTY_WINDOW] if len(init.argtypes) == 4 else [self._model.vocabulary_size, PENALTY_WINDOW]
        )
        return init(*window, *strengths)


PENALTIES = {"repeat_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
"""The penalties in llama.cpp's order, with the values that change nothing."""


def _greedy(parameters: Mapping[str, Any]) -> bool:
    plain = all(float(parameters.get(name, neutral)) == neutral for name, neutral in PENALTIES.items())
    return plain and (
        float(parameters.get("temperature", DEFAULTS["temperature"])) <= 0 or parameters.get("top_k") == 1
    )


class GumbelNoise:
    """Gumbel noise by token for each step of one text, independent of the rest of the batch."""

    def __init__(self, seed: int) -> None:
        self.step = 0
        self._seed = seed

    def of(self, tokens: NDArray[Any]) -> NDArray[Any]:
        """The noise of these tokens at this step, float32; from SplitMix64 of seed, step and token."""
        import numpy as np

        place = _mixed(np.array([self._seed & MASK], np.uint64)) ^ np.uint64(self.step)
        bits = _mixed(_mixed(place) ^ tokens.astype(np.uint64))
        even = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54  # in (0, 1)
        noise: NDArray[Any] = (-np.log(-np.log(even))).astype(np.float32)
        return noise


MASK = 0xFFFFFFFFFFFFFFFF


def _mixed(bits: NDArray[Any]) -> NDArray[Any]:
    """The step of SplitMix64: each input bit changes half of the output's."""
    import numpy as np

    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[Any] = bits ^ (bits >> np.uint64(31))
    return mixed


REFUSED = -1e30
"""Logits below this are excluded by the grammar, which sets minus infinity."""


class Candidates:
    """A ``llama_token_data_array`` over numpy's memory: token, logit and probability of each candidate."""

    def __init__(self, vocabulary: int) -> None:
        import numpy as np

        self._llama = library()
        kind = [("id", np.int32), ("logit", np.float32), ("p", np.float32)]
        self._table = np.zeros(vocabulary, kind)
        self._ids = np.arange(vocabulary, dtype=np.int32)
        self._struct = self._llama.llama_token_data_array()

    def fill(self, logits: NDArray[Any]) -> Candidates:
        """Every token with its logit."""
        self._table["id"] = self._ids
        self._table["logit"] = logits
        return self._reset(len(logits))

    def single(self, token: int) -> Candidates:
        """One token alone."""
        self._table[0] = (token, 0.0, 0.0)
        return self._reset(1)

    def apply(self, sampler: Any) -> Candidates:
        """Run a sampler over the table."""
        self._llama.llama_sampler_apply(sampler, ctypes.byref(self._struct))
        return self

    def best(self, noise: GumbelNoise | None = None) -> int:
        """The candidate with the highest logit, or logit and noise; samplers may have left only a few."""
        left = self._table[: self._struct.size]
        logits = left["logit"] if noise is None else left["logit"] + noise.of(left["id"])
        return int(left["id"][logits.argmax()])

    @property
    def first_logit(self) -> float:
        """The first candidate's logit."""
        return float(self._table["logit"][0])

    def _reset(self, size: int) -> Candidates:
        pointer = ctypes.POINTER(self._llama.llama_token_data)
        self._struct.data = ctypes.cast(self._table.ctypes.data, pointer)
        self._struct.size = size
        self._struct.selected = -1
        self._struct.sorted = False
        return self
