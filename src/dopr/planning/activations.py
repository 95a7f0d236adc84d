"""Memory of an update's activations, counted from what a Llama or Qwen2 of transformers keeps for its gradient.

A layer keeps for each token, in the network's type: what each norm made, before and after its weight; queries, keys and
values as attention takes them; what attention gave, as it came and as the output projection takes it; the gated layer's
inside four times. In float32 it keeps both norms' input with its scale, and a number a head of attention, which is
fused and keeps no scores. A test holds all this to what autograd is seen to keep; a GPU's fused norms keep less.

The bias of packed attention, at most SHARED_AT_MOST numbers for each query head that shares a key head, is left out.
"""

from __future__ import annotations

from dopr.config.recipe import Recipe
from dopr.models.network import scored_at_once
from dopr.planning.shape import Shape

FLOAT = 4  # bytes


def activations(recipe: Recipe, shape: Shape, prompt: float, completion: float, rows: float, weight: int) -> float:
    """Bytes at the peak of an update of so many rows. prompt, completion: tokens of a row; weight: bytes of a number.

    The peak is where the gradient reaches the logits, of which a piece is there at a time, or with checkpointing one
    layer if that takes more.
    """
    row = prompt + completion
    tokens = rows * row
    if recipe.micro_batch_tokens:
        tokens = min(tokens, max(recipe.micro_batch_tokens, row))
    logits = min(tokens * completion / row, scored_at_once(shape.vocabulary)) * logit_bytes(recipe, shape)
    layer = tokens * layer_bytes(shape, weight)
    kept = tokens * shape.hidden * weight if recipe.gradient_checkpointing else layer
    last = tokens * end_bytes(shape, weight)
    return shape.layers * kept + last + max(layer if recipe.gradient_checkpointing else 0, logits)


def layer_bytes(shape: Shape, weight: int) -> int:
    """What a layer keeps for a token."""
    own = 4 * shape.hidden + 3 * shape.queries + 2 * shape.keys + 4 * shape.inner
    return own * weight + (2 * (shape.hidden + 1) + shape.heads) * FLOAT


def end_bytes(shape: Shape, weight: int) -> int:
    """What follows the layers for a token: the last norm's input in float32, what it made, and what the head takes."""
    return shape.hidden * (FLOAT + 2 * weight)


def logit_bytes(recipe: Recipe, shape: Shape) -> int:
    """What the output head takes for a completion token: log-probabilities of the vocabulary, with the entropy term
    probabilities too, and two gradients of theirs."""
    return (3 + bool(recipe.loss.entropy)) * shape.vocabulary * FLOAT
