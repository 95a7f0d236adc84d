"""How large a policy is, from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dopr.config.recipe import Lora
from dopr.config.schema import Config, WarmStart
from dopr.data.arithmetic import vocabulary
from dopr.data.tokenizer import build_tokenizer
from dopr.errors import UserError
from dopr.files import read_json
from dopr.models.gguf.folder import shape_of as gguf_shape
from dopr.models.gguf.place import locate
from dopr.models.model_folder import read_shape

KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
    "max_position_embeddings",
)
KNOWN = Path(__file__).parents[3] / "resources" / "model_shapes.json"


@dataclass(frozen=True)
class Shape:
    """parameters: of the network. hidden, inner, queries, keys: columns of the residual stream, of the gated layer, of
    all query heads and all key heads. context: most tokens a sequence."""

    parameters: int
    layers: int
    heads: int
    hidden: int
    inner: int
    queries: int
    keys: int
    vocabulary: int
    context: int

    @property
    def cache(self) -> int:
        """Numbers kept in the cache for each token."""
        return 2 * self.layers * self.keys

    def adapters(self, settings: Lora) -> int:
        """Parameters of low-rank adapters; targets that are none of these layers are there in none of these models."""
        hidden, inner, queries, keys = self.hidden, self.inner, self.queries, self.keys
        sides = {
            "q_proj": hidden + queries,
            "k_proj": hidden + keys,
            "v_proj": hidden + keys,
            "o_proj": queries + hidden,
            "gate_proj": hidden + inner,
            "up_proj": hidden + inner,
            "down_proj": inner + hidden,
        }
        targets = sides.keys() if settings.targets == "all-linear" else set(settings.targets) & sides.keys()
        return self.layers * settings.rank * sum(sides[name] for name in targets)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """Of a Llama or Qwen2, or another model whose layers are of the same parts, by its config.json.

        Raises:
            UserError: it does not have the keys of theirs.
        """
        missing = next((key for key in KEYS if key not in config), None)
        if missing:
            raise UserError(
                f"config.json of model type {config.get('model_type')!r} has no {missing}: sizes are counted for "
                "models built like Llama alone"
            )
        hidden, inner, layers = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or hidden // heads
        queries, keys = heads * head, config.get("num_key_value_heads", heads) * head
        biased = config.get("attention_bias", config.get("model_type") == "qwen2")
        attention = 2 * hidden * queries + 2 * hidden * keys + (queries + 2 * keys if biased else 0)
        layer = attention + 3 * hidden * inner + 2 * hidden
        vocabulary, context = config["vocab_size"], config["max_position_embeddings"]
        embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings", False) else 2)
        parameters = layers * layer + embeddings + hidden
        return cls(parameters, layers, heads, hidden, inner, queries, keys, vocabulary, context)


def shape_of(config: Config) -> Shape:
    """Of the starting policy: of a local folder, of a GGUF file, of a model listed in resources/model_shapes.json, or
    of the embedded.

    Raises:
        UserError: nothing is known of the model.
    """
    model = config.base.model
    if model is None:
        return Shape.of(embedded(config.base.warm_start))
    if config.base.converted:
        return Shape.of(gguf_shape(locate(model)))
    if (Path(model) / "config.json").is_file():
        return Shape.of(read_shape(Path(model)))
    known = read_json(KNOWN)
    if model not in known:
        raise UserError(f"base.model: nothing is known of the size of {model}; get it and name its folder")
    return Shape.of(known[model])


def embedded(shape: WarmStart) -> dict[str, Any]:
    """The config.json of the warm-started policy, as far as its size goes."""
    return {
        "model_type": "qwen2",
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "vocab_size": build_tokenizer(vocabulary()).get_vocab_size(),
        "tie_word_embeddings": True,
        "max_position_embeddings": shape.max_length,
    }
