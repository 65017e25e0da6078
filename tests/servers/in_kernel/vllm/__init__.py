"""A stand-in for the package ``vllm``: its offline engine as documented, over a tokenizer and no model.

``LLM``, its ``generate``, ``get_tokenizer`` and ``get_default_sampling_params``; ``SamplingParams`` and its
structured outputs in ``vllm.sampling_params``. What the documentation does not have is refused.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from vllm import sampling_params
from vllm.sampling_params import SamplingParams

__version__ = "0.11.0"

ENGINE_ARGUMENTS = frozenset(
    [
        "model",
        "tokenizer",
        "tokenizer_mode",
        "trust_remote_code",
        "tensor_parallel_size",
        "dtype",
        "quantization",
        "revision",
        "seed",
        "gpu_memory_utilization",
        "swap_space",
        "cpu_offload_gb",
        "enforce_eager",
        "hf_token",
        "max_model_len",
        "max_num_seqs",
        "download_dir",
        "max_logprobs",
    ]
)


State = SimpleNamespace(said=None, fault="", engines=[], generation_defaults={})
"""What a test says: the answer to everything, a fault; the engines made; the model's generation settings."""


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list
    finish_reason: str | None
    logprobs: list | None = None
    cumulative_logprob: float | None = None
    stop_reason: str | int | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list
    outputs: list = field(default_factory=list)
    finished: bool = True


class LLM:
    """The offline engine. ``calls`` are the batches it was given."""

    def __init__(self, model, **arguments):
        from transformers import AutoTokenizer

        strange = arguments.keys() - ENGINE_ARGUMENTS
        if strange:
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument {min(strange)!r}")
        if State.fault == "memory":
            raise ValueError("No available memory for the cache blocks.")
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.arguments = arguments
        self.core = SimpleNamespace(ended=False, shutdown=lambda: setattr(self.core, "ended", True))
        config = SimpleNamespace(max_model_len=arguments.get("max_model_len", 512))
        self.llm_engine = SimpleNamespace(model_config=config, engine_core=self.core)
        self.calls = []
        State.engines.append(self)

    def get_tokenizer(self):
        return self.tokenizer

    def get_default_sampling_params(self):
        return SamplingParams(**State.generation_defaults)

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None, priority=None):
        assert not self.core.ended, "the engine was shut down"
        several = sampling_params if isinstance(sampling_params, list) else [sampling_params] * len(prompts)
        if len(several) != len(prompts):
            raise ValueError("The lengths of prompts and sampling_params must be the same.")
        self.calls.append((prompts, several))
        if State.fault == "bad_request":
            raise ValueError("temperature must be non-negative, got -1.0.")
        longest = self.llm_engine.model_config.max_model_len
        for prompt in prompts:
            if len(prompt["prompt_token_ids"]) >= longest:
                raise ValueError(f"The decoder prompt is longer than the maximum model length of {longest}.")
        return [self._answer(str(n), *pair) for n, pair in enumerate(zip(prompts, several, strict=True))]

    def _answer(self, number, prompt, params):
        ids = prompt["prompt_token_ids"]
        read = self.tokenizer.decode(ids)
        text = State.said if State.said is not None else _default(read, params)
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        finish = "stop"
        if State.fault == "length" or (State.said is None and len(tokens) > params.max_tokens):
            tokens = tokens[: len(tokens) // 2 if State.fault == "length" else params.max_tokens]
            text, finish = self.tokenizer.decode(tokens), "length"
        chances = [self._chances(token, params.logprobs) for token in tokens] if params.logprobs else None
        return RequestOutput(number, None, ids, [CompletionOutput(0, text, tokens, finish, chances)])

    def _chances(self, token, most):
        """Nine tenths for the token, the rest for another."""
        other = token + 1
        named = {token: -0.105, other: -2.303}
        listed = list(named.items())[:most]
        return {
            key: Logprob(value, n + 1, self.tokenizer.decode([key])) for n, (key, value) in enumerate(listed)
        }


def _default(read, params):
    """The choice that the prompt's last turn holds, a filled schema, or an echo of it."""
    from llm_magics.testing.answers import schema_instance

    turn = read.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]
    held = params.structured_outputs
    if held is None:
        return f"echo: {turn}"
    if held.choice:
        return next((name for name in held.choice if name in turn), held.choice[0])
    import json

    return json.dumps(schema_instance(held.json, turn))


__all__ = ["LLM", "SamplingParams", "sampling_params"]
