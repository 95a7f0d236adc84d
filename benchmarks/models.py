"""Random models of the sizes that benchmarks are made with."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config

from dopr.models.attention import PACKED

SIZES = {  # name: hidden size, inner size, layers, heads, key-value heads
    "0.9M": (128, 416, 4, 4, 2),
    "26M": (512, 1600, 8, 8, 4),
}


def random_network(size: str, attention: str = PACKED) -> PreTrainedModel:
    """Make a Qwen2 with random weights and 128 tokens, in float32."""
    hidden, inner, layers, heads, kv_heads = SIZES[size]
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=128,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
