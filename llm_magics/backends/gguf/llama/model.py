"""One loaded GGUF file: its weights, its vocabulary and its metadata."""

from __future__ import annotations

import ctypes
import re
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.native import last_message, library
from llm_magics.backends.in_kernel.chat_template import lookalikes
from llm_magics.backends.in_kernel.model_cache import ModelCleared
from llm_magics.core.errors import ModelLoadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"GGUF"
LONGEST_PIECE = 1024
CONTROL = 1 << 3  # LLAMA_TOKEN_ATTR_CONTROL


class Model:
    """The weights of one file. Loading takes seconds to minutes; raises ModelLoadError.

    ``gpu_layers``: 0 none, -1 all, n that many. Tokenising is safe from any thread.
    """

    def __init__(self, path: Path, gpu_layers: int = 0, *, mmap: bool = True) -> None:
        _check(path)
        self.path = path
        self.gpu_layers = gpu_layers
        self._lock = threading.Lock()
        self._llama = library()
        parameters = self._llama.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers if gpu_layers >= 0 else 0x7FFF
        if not mmap:
            parameters.load_mode = getattr(self._llama, "LLAMA_LOAD_MODE_NONE", 0)
        last_message()
        self.pointer: Any = self._llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.pointer:
            raise ModelLoadError(
                f"llama.cpp can't load {path.name}: {_reason(last_message())}.",
                hint="Cut short, or of a newer kind: download it again, or upgrade llama-cpp-python.",
            )
        self._vocabulary = self._llama.llama_model_get_vocab(self.pointer)

    def close(self) -> None:
        """Free the weights; every later call raises ModelCleared."""
        with self._lock:
            if self.pointer:
                self._llama.llama_model_free(self.pointer)
                self.pointer = None

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call llama.cpp while the model is open: a row may be tokenised while another thread clears it."""
        with self._lock:
            if not self.pointer:
                raise cleared(self.path)
            return getattr(self._llama, name)(*arguments)

    # -- what the file says

    def meta(self, key: str) -> str:
        """One entry of the file's metadata as text, empty where it is absent."""
        size = 1 << 10
        while True:
            room = ctypes.create_string_buffer(size)
            got = self._call("llama_model_meta_val_str", self.pointer, key.encode(), room, size)
            if got < size:
                return room.value.decode("utf-8", "replace") if got >= 0 else ""
            size = got + 1

    @cached_property
    def template(self) -> str:
        """The chat template, Jinja; empty where the file has none."""
        return self.meta("tokenizer.chat_template")

    @cached_property
    def trained_context(self) -> int:
        """The length the model was trained on, in tokens."""
        return int(self._call("llama_model_n_ctx_train", self.pointer))

    @cached_property
    def size(self) -> int:
        """Bytes of the weights."""
        return int(self._call("llama_model_size", self.pointer))

    @cached_property
    def cell(self) -> int:
        """The size of float16 keys and values of one token in bytes, at most."""
        name = self.meta("general.architecture")
        heads = int(self._call("llama_model_n_head_kv", self.pointer))
        width = int(self._call("llama_model_n_embd", self.pointer))
        each = self.meta(f"{name}.attention.key_length")
        every = max(int(self._call("llama_model_n_head", self.pointer)), 1)
        return (
            int(self._call("llama_model_n_layer", self.pointer))
            * heads
            * (int(each) if each else width // every)
            * 4
        )

    @cached_property
    def writes(self) -> bool:
        """False for models that only embed."""
        return self.meta(f"{self.meta('general.architecture')}.attention.causal") != "false" and not (
            self._call("llama_model_has_encoder", self.pointer)
        )

    @property
    def pools(self) -> bool:
        """True where the file defines how to pool one vector from a text."""
        return self.meta(f"{self.meta('general.architecture')}.pooling_type") not in ("", "0")

    @cached_property
    def forgets(self) -> bool:
        """True for recurrent and hybrid models, whose memory can't be rewound to a shared prefix."""
        return bool(
            self._call("llama_model_is_recurrent", self.pointer)
            or self._call("llama_model_is_hybrid", self.pointer)
        )

    # -- the vocabulary

    @cached_property
    def vocabulary_size(self) -> int:
        """Number of tokens, the width of a row of logits."""
        return int(self._call("llama_vocab_n_tokens", self._vocabulary))

    @property
    def vocabulary(self) -> Any:
        """llama.cpp's own handle."""
        return self._vocabulary

    def tokens(self, text: str, *, start: bool = True, special: bool = True) -> NDArray[Any]:
        """``text`` as token ids, int32.

        ``start``: the vocabulary's begin token where it asks for one and the text has none yet.
        ``special``: texts of control tokens (``<|im_end|>``) become those tokens.
        """
        import numpy as np

        raw = text.encode("utf-8", "replace")
        begin = start and self._begins and not (special and text.startswith(self.begin))
        found = np.empty(len(raw) + 2, np.int32)
        pointer = found.ctypes.data_as(self._llama.llama_token_p)
        count = self._call(
            "llama_tokenize", self._vocabulary, raw, len(raw), pointer, len(found), begin, special
        )
        return found[: max(count, 0)]

    def document(self, text: str) -> NDArray[Any]:
        """``text`` as tokens for an embedding model, with its vocabulary's marks around a text.

        Never empty: an empty text becomes the end mark.
        """
        import numpy as np

        raw = text.encode("utf-8", "replace")
        found = np.empty(len(raw) + 4, np.int32)
        pointer = found.ctypes.data_as(self._llama.llama_token_p)
        count = self._call(
            "llama_tokenize", self._vocabulary, raw, len(raw), pointer, len(found), True, False
        )
        return found[:count] if count > 0 else np.array([max(self.end, 0)], np.int32)

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes one token stands for; a control token's only with ``special``."""
        room = ctypes.create_string_buffer(LONGEST_PIECE)
        got = self._call("llama_token_to_piece", self._vocabulary, token, room, LONGEST_PIECE, 0, special)
        return room.raw[: max(got, 0)]

    def text(self, tokens: NDArray[Any]) -> str:
        """The text of ``tokens``; bytes that are no UTF-8 (an incomplete character) are left out.

        Joined piece by piece: the library's own detokenizer removes blanks before punctuation.
        """
        whole = b"".join(self.piece(token, special=True) for token in tokens.tolist())
        return whole.decode("utf-8", "ignore")

    def ends(self, token: int) -> bool:
        """True for the tokens that end an answer."""
        return token in self._ends

    @cached_property
    def end(self) -> int:
        """The token that ends a turn, -1 where the vocabulary has none."""
        turn = int(self._call("llama_vocab_eot", self._vocabulary))
        return turn if turn >= 0 else int(self._call("llama_vocab_eos", self._vocabulary))

    @cached_property
    def begin(self) -> str:
        """The text of the begin token."""
        token = int(self._call("llama_vocab_bos", self._vocabulary))
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    @cached_property
    def end_text(self) -> str:
        """The text of the end-of-sequence token."""
        token = int(self._call("llama_vocab_eos", self._vocabulary))
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    @cached_property
    def control(self) -> re.Pattern[str]:
        """A pattern for texts of control tokens: a row's text must never become one."""
        kinds = ((token, self._kind(token)) for token in range(self.vocabulary_size))
        ids = [token for token, kind in kinds if kind & CONTROL]
        return lookalikes({self.piece(token, special=True).decode("utf-8", "replace") for token in ids})

    def _kind(self, token: int) -> int:
        return int(self._call("llama_vocab_get_attr", self._vocabulary, token))

    @cached_property
    def _begins(self) -> bool:
        return bool(self._call("llama_vocab_get_add_bos", self._vocabulary)) and bool(self.begin)

    @cached_property
    def _ends(self) -> frozenset[int]:
        ids = range(self.vocabulary_size)
        return frozenset(token for token in ids if self._call("llama_vocab_is_eog", self._vocabulary, token))


def _reason(log: str) -> str:
    """The reason of a failed load in llama.cpp's log, without names of functions."""
    words = LOADING.sub("", log).strip(" .")
    return words or "it gives no reason"


LOADING = re.compile(r"\b\w+: (?=[a-z])|error loading model: |failed to load model( from \S+)?")


def cleared(path: Path) -> ModelCleared:
    """The error of rows whose model was cleared."""
    return ModelCleared(
        f"{path.name} was cleared from the model cache before this row was answered.",
        hint="Answered rows are kept: run the cell again for the others.",
    )


def _check(path: Path) -> None:
    """Raises for a file that is no readable GGUF, before llama.cpp opens it."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ModelLoadError(f"can't read {path}: {error.strerror or error}.") from None
    if start == b"":
        raise ModelLoadError(f"{path.name} is empty.", hint="Download it again.")
    if start == b"vers":
        raise ModelLoadError(
            f"{path.name} is a Git LFS pointer: the model itself was not fetched.",
            hint="In its repository: git lfs pull",
        )
    if start != MAGIC:
        raise ModelLoadError(
            f"{path.name} is not a GGUF file (it starts with {start!r}).",
            hint="Models for llama.cpp end in .gguf; the repository page lists them under Files.",
        )
