"""gemma-3-270m as a folder of transformers, its quantised weights unpacked from the GGUF file.

No package of the index has the model in that format. The weights are those of the GGUF file, so that both
backends can be compared; the names of tensors are llama.cpp's, turned into transformers' own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "token_embd": "embed_tokens",
    "output_norm": "norm",
}


def unpack(gguf: Path, folder: Path) -> None:
    """Write the model and its tokenizer into ``folder``."""
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    reader = GGUFReader(gguf)
    model = Gemma3ForCausalLM(_config(reader))
    weights = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).float()
        # llama.cpp keeps a norm's factor, transformers what is added to one.
        weights[_name(tensor.name)] = values - 1 if "norm" in tensor.name else values
    missing, unknown = model.load_state_dict(weights, strict=False)
    assert missing == ["lm_head.weight"], missing  # it is the embedding's
    assert not unknown, unknown
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def _name(theirs: str) -> str:
    parts = theirs.removesuffix(".weight").split(".")
    layer = f"layers.{parts[1]}." if parts[0] == "blk" else ""
    return f"model.{layer}{NAMES[parts[-1]]}.weight"


def _config(reader: Any) -> Any:
    from transformers import Gemma3TextConfig

    def said(name: str) -> Any:
        return reader.fields[f"gemma3.{name}"].contents()

    return Gemma3TextConfig(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
        hidden_size=said("embedding_length"),
        num_hidden_layers=said("block_count"),
        intermediate_size=said("feed_forward_length"),
        num_attention_heads=said("attention.head_count"),
        num_key_value_heads=said("attention.head_count_kv"),
        head_dim=said("attention.key_length"),
        query_pre_attn_scalar=said("attention.key_length"),
        sliding_window=said("attention.sliding_window"),
        max_position_embeddings=said("context_length"),
        rms_norm_eps=said("attention.layer_norm_rms_epsilon"),
    )
