"""GGUF files made on the spot: a real architecture, a real tokenizer, random weights.

For tests, docs and speed measurements where no weights can be downloaded. What such a model says is
noise; how exactly and how fast it is evaluated is not. Needs the packages ``gguf`` and ``tokenizers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""OpenAI's ChatML as a Jinja template."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NORMAL, CONTROL = 1, 3  # llama.cpp's token types


@dataclass(frozen=True)
class Shape:
    """A model's size: ``width`` of a token's vector, ``feed`` of the inner layer, ``heads`` of attention.

    ``architecture`` is ``llama``, ``gemma2`` (sliding window of ``window``), ``mamba`` (recurrent) or
    ``bert`` (embeddings only). ``context`` is the length the model claims to be trained on.
    """

    architecture: str = "llama"
    layers: int = 2
    width: int = 64
    feed: int = 160
    heads: int = 4
    kv_heads: int = 2
    context: int = 2048
    window: int = 16


TINY = Shape()
TINY_BERT = Shape("bert", kv_heads=4, context=128)
TINY_MAMBA = Shape("mamba", width=32)
TINY_GEMMA = Shape("gemma2")
SMOL_135M = Shape(layers=30, width=576, feed=1536, heads=9, kv_heads=3, context=8192)
"""SmolLM2-135M's shape."""
LLAMA_1B = Shape(layers=16, width=2048, feed=8192, heads=32, kv_heads=8, context=8192)
"""Llama-3.2-1B's shape."""


def build(
    path: str | Path,
    shape: Shape = TINY,
    *,
    seed: int = 0,
    template: str | None = CHATML,
    vocabulary: str | Path | int = 1024,
    sharpness: float = 1.0,
    precision: str = "float16",
) -> Path:
    """Write a model to ``path`` and return it.

    ``vocabulary`` is a size, for a byte-level BPE trained on the spot, or a GGUF file whose tokenizer is
    taken. ``sharpness`` scales the embeddings, and with them how far apart the logits lie. ``precision``
    is that of the matrices: with ``float32`` llama.cpp rounds nothing on the way, for tests of exactness.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), shape.architecture)
    writer.add_name(f"random {shape.architecture}")
    _write_shape(writer, shape)
    if isinstance(vocabulary, int):
        size = _write_vocabulary(writer, vocabulary, bert=shape.architecture == "bert")
    else:
        size = _copy_vocabulary(writer, Path(vocabulary))
    if template is not None and shape.architecture != "bert":
        writer.add_chat_template(template)
    for name, value in _tensors(shape, size, seed, sharpness, precision):
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def quantize(source: str | Path, target: str | Path, kind: str = "Q8_0", threads: int = 2) -> Path:
    """Write ``source`` in a quantised format (``Q8_0``, ``Q4_K_M``) to ``target`` and return it."""
    from llama_cpp import llama_cpp as llama

    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.nthread = threads
    if llama.llama_model_quantize(str(source).encode(), str(target).encode(), parameters) != 0:
        raise ValueError(f"llama.cpp could not quantise {source} to {kind}")
    return Path(target)


def _write_shape(writer: Any, shape: Shape) -> None:
    """The architecture's numbers."""
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(0 if shape.architecture == "mamba" else shape.feed)
    writer.add_head_count(0 if shape.architecture == "mamba" else shape.heads)
    if shape.architecture == "mamba":
        writer.add_ssm_conv_kernel(4)
        writer.add_ssm_inner_size(2 * shape.width)
        writer.add_ssm_state_size(8)
        writer.add_ssm_time_step_rank(4)
    else:
        writer.add_head_count_kv(shape.kv_heads)
    if shape.architecture == "bert":
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        writer.add_pooling_type(_mean())
    else:
        writer.add_layer_norm_rms_eps(1e-5)
    if shape.architecture == "gemma2":
        writer.add_sliding_window(shape.window)
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)
        writer.add_key_length(shape.width // shape.heads)
        writer.add_value_length(shape.width // shape.heads)


def _mean() -> Any:
    """The pooling type ``mean`` as the writer wants it."""
    import gguf

    return gguf.PoolingType.MEAN


def _write_vocabulary(writer: Any, size: int, *, bert: bool) -> int:
    """A byte-level BPE of ``size`` tokens, the special ones first; returns the size reached."""
    import json

    made = json.loads(_tokenizer(size).to_str())["model"]
    tokens = sorted(made["vocab"], key=made["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in SPECIAL else NORMAL for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in made["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0 if bert else 2)
    writer.add_add_bos_token(False)
    if bert:
        writer.add_token_type_count(1)
    return len(tokens)


def _tokenizer(size: int) -> Any:
    """A byte-level BPE trained on English prose and the standard library's documentation."""
    import argparse
    import inspect

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*PROSE * 20, inspect.getsource(argparse)], trainer)
    return tokenizer


PROSE = (
    "The film was better than I had expected, and the ending was wonderful.",
    "I was charged twice for the same order and nobody answered my message.",
    "How do I change my password? The service has been down since noon today.",
    "Choose the label that fits the text best: positive, negative or neutral.",
    "Answer with one label name, exactly as written in the list, and nothing else.",
    "The team won the match in the last minute; the markets fell after the news.",
)


def _copy_vocabulary(writer: Any, source: Path) -> int:
    """The tokenizer of another GGUF file; returns its number of tokens."""
    import gguf

    fields = gguf.GGUFReader(str(source)).fields
    for name, field in fields.items():
        if not name.startswith("tokenizer.") or name == gguf.Keys.Tokenizer.CHAT_TEMPLATE:
            continue
        if field.types[0] is gguf.GGUFValueType.ARRAY:
            writer.add_array(name, field.contents())
        else:
            writer.add_key_value(name, field.contents(), field.types[0])
    return len(fields["tokenizer.ggml.tokens"].data)


def _tensors(
    shape: Shape, vocabulary: int, seed: int, sharpness: float, precision: str
) -> Iterator[tuple[str, Any]]:
    """Every tensor of the architecture by llama.cpp's name; all but the matrices are float32."""
    import numpy as np

    chance = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> Any:
        drawn = chance.standard_normal((rows, columns), dtype=np.float32)
        return (drawn * (scale / columns**0.5)).astype(precision)

    yield "token_embd.weight", matrix(vocabulary, shape.width, sharpness * shape.width**0.25)
    yield from ARCHITECTURES[shape.architecture](shape, matrix)


def _transformer(shape: Shape, matrix: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Llama's tensors, and Gemma 2's with its norms behind each half."""
    import numpy as np

    one = np.ones(shape.width, np.float32)
    narrow = shape.width // shape.heads * shape.kv_heads
    yield "output_norm.weight", one
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", one
        yield block + "ffn_norm.weight", one
        if shape.architecture == "gemma2":
            yield block + "post_attention_norm.weight", one
            yield block + "post_ffw_norm.weight", one
        yield block + "attn_q.weight", matrix(shape.width, shape.width)
        yield block + "attn_k.weight", matrix(narrow, shape.width)
        yield block + "attn_v.weight", matrix(narrow, shape.width)
        yield block + "attn_output.weight", matrix(shape.width, shape.width)
        yield block + "ffn_gate.weight", matrix(shape.feed, shape.width)
        yield block + "ffn_up.weight", matrix(shape.feed, shape.width)
        yield block + "ffn_down.weight", matrix(shape.width, shape.feed)


def _recurrent(shape: Shape, matrix: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Mamba's tensors."""
    import numpy as np

    inner, state, rank = 2 * shape.width, 8, 4
    yield "output_norm.weight", np.ones(shape.width, np.float32)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", np.ones(shape.width, np.float32)
        yield block + "ssm_in.weight", matrix(2 * inner, shape.width)
        yield block + "ssm_conv1d.weight", matrix(inner, 4).astype(np.float32)
        yield block + "ssm_conv1d.bias", np.zeros(inner, np.float32)
        yield block + "ssm_x.weight", matrix(rank + 2 * state, inner)
        yield block + "ssm_dt.weight", matrix(inner, rank)
        yield block + "ssm_dt.bias", np.zeros(inner, np.float32)
        yield block + "ssm_a", -np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1))
        yield block + "ssm_d", np.ones(inner, np.float32)
        yield block + "ssm_out.weight", matrix(shape.width, inner)


def _encoder(shape: Shape, matrix: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """BERT's tensors."""
    import numpy as np

    def norm(name: str) -> Iterator[tuple[str, Any]]:
        yield name + ".weight", np.ones(shape.width, np.float32)
        yield name + ".bias", np.zeros(shape.width, np.float32)

    yield "position_embd.weight", matrix(shape.context, shape.width).astype(np.float32)
    yield "token_types.weight", matrix(1, shape.width).astype(np.float32)
    yield from norm("token_embd_norm")
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", matrix(shape.width, shape.width)
            yield f"{block}{name}.bias", np.zeros(shape.width, np.float32)
        yield from norm(block + "attn_output_norm")
        yield block + "ffn_up.weight", matrix(shape.feed, shape.width)
        yield block + "ffn_up.bias", np.zeros(shape.feed, np.float32)
        yield block + "ffn_down.weight", matrix(shape.width, shape.feed)
        yield block + "ffn_down.bias", np.zeros(shape.width, np.float32)
        yield from norm(block + "layer_output_norm")


ARCHITECTURES = {
    "llama": _transformer,
    "gemma2": _transformer,
    "mamba": _recurrent,
    "bert": _encoder,
}
