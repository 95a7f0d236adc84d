"""Small GGUF files with random weights, some of them quantised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from tokenizers.pre_tokenizers import ByteLevel

HIDDEN, INNER, HEADS, KEYS, LAYERS = 64, 96, 4, 2, 2
SPECIAL = ["<unk>", "<s>", "</s>", "<end>"]
CHAT = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>{% endfor %}<s>assistant"
MERGES = ["1 2", "a b", "ab c", "Ġ 1"]
Change = Callable[[GGUFWriter], None]


def tensors(kind: str, tied: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes, rows first."""
    size = HIDDEN // HEADS
    vocabulary = len(SPECIAL) + 256 + len(MERGES)
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (HIDDEN,),
        "attn_q.weight": (HEADS * size, HIDDEN),
        "attn_k.weight": (KEYS * size, HIDDEN),
        "attn_v.weight": (KEYS * size, HIDDEN),
        "attn_output.weight": (HIDDEN, HEADS * size),
        "ffn_norm.weight": (HIDDEN,),
        "ffn_gate.weight": (INNER, HIDDEN),
        "ffn_up.weight": (INNER, HIDDEN),
        "ffn_down.weight": (HIDDEN, INNER),
    }
    if kind == "qwen2":
        layer |= {f"attn_{part}.bias": layer[f"attn_{part}.weight"][:1] for part in "qkv"}
    found = {"token_embd.weight": (vocabulary, HIDDEN), "output_norm.weight": (HIDDEN,)}
    found |= {f"blk.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()}
    return found if tied else found | {"output.weight": (vocabulary, HIDDEN)}


def write(
    path: Path,
    kind: str = "llama",
    tied: bool = True,
    split: str = "smollm",
    context: int = 128,
    change: Change = lambda writer: None,
) -> Path:
    """A file with random weights, some of them quantised; `change` adds or replaces what is in it."""
    writer = GGUFWriter(path, kind)
    writer.add_block_count(LAYERS)
    writer.add_context_length(context)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    merged = [merge.replace(" ", "") for merge in MERGES]
    writer.add_token_list([*SPECIAL, *sorted(ByteLevel.alphabet()), *merged])
    writer.add_token_types([3] * len(SPECIAL) + [1] * (256 + len(MERGES)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)
    random = np.random.default_rng(0)
    stored = [GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_1, GGMLQuantizationType.F16]
    for i, (name, shape) in enumerate(tensors(kind, tied).items()):
        values = random.normal(0, 0.2, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, stored[i % 3]), raw_dtype=stored[i % 3])
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
