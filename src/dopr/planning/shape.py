"""The sizes of a model, from its config.json."""

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
KNOWN_SHAPES = Path(__file__).parents[3] / "resources" / "model_shapes.json"


@dataclass(frozen=True)
class Shape:
    """The sizes of a model.

    Args:
        parameters: Number of parameters.
        layers: Number of transformer layers.
        heads: Number of query heads.
        hidden_size: Width of the residual stream.
        intermediate_size: Width of the MLP.
        query_size: Width of all query heads together.
        key_size: Width of all key heads together.
        vocab_size: Tokens of the vocabulary.
        max_length: The most tokens of a sequence.
    """

    parameters: int
    layers: int
    heads: int
    hidden_size: int
    intermediate_size: int
    query_size: int
    key_size: int
    vocab_size: int
    max_length: int

    @property
    def cache_per_token(self) -> int:
        """Return how many numbers the key-value cache holds for each token."""
        return 2 * self.layers * self.key_size

    def adapter_parameters(self, settings: Lora) -> int:
        """Return the number of LoRA parameters. Targets that these models do not have are ignored."""
        hidden, inner, queries, keys = self.hidden_size, self.intermediate_size, self.query_size, self.key_size
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
        """Count the sizes of a Llama, a Qwen2 or a model with the same layers, from its config.json.

        Raises:
            UserError: If the configuration lacks a key that these models have.
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
    """Return the sizes of the starting policy.

    They are read from a model folder, a GGUF file or resources/model_shapes.json, or from the warm-start settings.

    Raises:
        UserError: If the model is in none of these.
    """
    model = config.base.model
    if model is None:
        return Shape.of(warm_start_config(config.base.warm_start))
    if config.base.converted:
        return Shape.of(gguf_shape(locate(model)))
    if (Path(model) / "config.json").is_file():
        return Shape.of(read_shape(Path(model)))
    shapes = read_json(KNOWN_SHAPES)
    if model not in shapes:
        raise UserError(f"base.model: nothing is known of the size of {model}; get it and name its folder")
    return Shape.of(shapes[model])


def warm_start_config(settings: WarmStart) -> dict[str, Any]:
    """Return the config.json of the policy that the warm start trains, with the keys that decide its size."""
    return {
        "model_type": "qwen2",
        "hidden_size": settings.hidden_size,
        "intermediate_size": settings.intermediate_size,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "vocab_size": build_tokenizer(vocabulary()).get_vocab_size(),
        "tie_word_embeddings": True,
        "max_position_embeddings": settings.max_length,
    }
