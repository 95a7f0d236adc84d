"""Memory of an update's activations, counted from what the network keeps for its gradient (dopr.policy.transformer).

A layer keeps for each token, in the network's type: the input of its projections twice, the gated layer's inside four
times, queries three times (turned, gathered, mixed), keys and values once; and in float32 both norms' input and what it
is multiplied with. Where completions share the reading of their prompts (dopr.policy.layout), it keeps attention's
scores too. A test holds all this to what autograd is seen to keep; a GPU's fused norms keep less.
"""

from __future__ import annotations

from dopr.planning.shape import Shape
from dopr.policy.layout import SHARED_AT_MOST
from dopr.policy.transformer import scored_at_once
from dopr.recipe import Recipe

FLOAT = 4  # bytes


def activations(recipe: Recipe, shape: Shape, prompt: float, completion: float, rows: float, weight: int) -> float:
    """Bytes at the peak of an update of so many rows. prompt, completion: tokens of a row; weight: bytes of a number.

    The peak is where the gradient reaches the logits, or with checkpointing one layer if that takes more; the logits
    are then there in pieces.
    """
    row = prompt + completion
    tokens = rows * row
    if recipe.micro_batch_tokens:
        tokens = min(tokens, max(recipe.micro_batch_tokens, row))
    scored = tokens * completion / row
    if recipe.gradient_checkpointing:
        scored = min(scored, scored_at_once(shape.vocabulary))
    logits = scored * logit_bytes(recipe, shape)
    scores = tokens * completion  # of one head: a row's completion against the whole row
    layer = tokens * layer_bytes(shape, weight) + (scores * shape.heads * weight if scores <= SHARED_AT_MOST else 0)
    if not recipe.gradient_checkpointing:
        return shape.layers * layer + logits
    return shape.layers * tokens * shape.hidden * weight + max(layer, logits)


def layer_bytes(shape: Shape, weight: int) -> int:
    """What a layer keeps for a token."""
    own = 2 * shape.hidden + 3 * shape.queries + 2 * shape.keys + 4 * shape.inner
    return own * weight + 4 * shape.hidden * FLOAT


def logit_bytes(recipe: Recipe, shape: Shape) -> int:
    """What the output head takes for a completion token: log-probabilities of the vocabulary, with the entropy term
    probabilities too, and two gradients of theirs."""
    return (3 + bool(recipe.loss.entropy)) * shape.vocabulary * FLOAT
