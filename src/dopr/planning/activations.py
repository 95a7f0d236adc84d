"""Activation memory of an update, counted from the tensors that a Llama or Qwen2 of transformers saves for backward.

For each token, a layer saves:

- in the dtype of the network: the output of each norm, before and after its weight; queries, keys and values; the
  output of attention, as computed and as the output projection takes it; four tensors of the MLP's intermediate size
- in float32: the input and the scale of both norms, and one number per head of attention, which is fused and saves no
  scores

A test compares this with the tensors that autograd saves. Fused norms on a GPU save less. The bias of packed attention,
at most MAX_SHARED_SCORES numbers for each query head that shares a key head, is not counted.
"""

from __future__ import annotations

from dopr.config.recipe import Recipe
from dopr.models.network import scored_at_once
from dopr.planning.shape import Shape

FLOAT32 = 4  # bytes


def activations(recipe: Recipe, shape: Shape, prompt: float, completion: float, rows: float, weight: int) -> float:
    """Return the peak activation memory of an update, in bytes.

    The peak is at the start of the backward pass, when one chunk of the logits exists. With gradient checkpointing it
    is at the recomputation of a layer, if that takes more.

    Args:
        recipe: The recipe of the run.
        shape: The sizes of the model.
        prompt: Tokens of the prompt of a row.
        completion: Tokens of the completion of a row.
        rows: Rows of the update.
        weight: Bytes of a number in the dtype of the network.
    """
    row_tokens = prompt + completion
    tokens = rows * row_tokens
    if recipe.micro_batch_tokens:
        tokens = min(tokens, max(recipe.micro_batch_tokens, row_tokens))
    logits = min(tokens * completion / row_tokens, scored_at_once(shape.vocab_size)) * logit_bytes(recipe, shape)
    layer = tokens * layer_bytes(shape, weight)
    saved = tokens * shape.hidden_size * weight if recipe.gradient_checkpointing else layer
    final_norm = tokens * final_norm_bytes(shape, weight)
    return shape.layers * saved + final_norm + max(layer if recipe.gradient_checkpointing else 0, logits)


def layer_bytes(shape: Shape, weight: int) -> int:
    """Return the bytes that a layer saves for a token."""
    numbers = 4 * shape.hidden_size + 3 * shape.query_size + 2 * shape.key_size + 4 * shape.intermediate_size
    return numbers * weight + (2 * (shape.hidden_size + 1) + shape.heads) * FLOAT32


def final_norm_bytes(shape: Shape, weight: int) -> int:
    """Return the bytes saved for a token after the layers: the input of the last norm in float32, and its outputs."""
    return shape.hidden_size * (FLOAT32 + 2 * weight)


def logit_bytes(recipe: Recipe, shape: Shape) -> int:
    """Return the bytes of the output head for a completion token.

    These are the log-probabilities of the vocabulary, two of their gradients, and the probabilities if the loss has an
    entropy term.
    """
    return (3 + bool(recipe.loss.entropy)) * shape.vocab_size * FLOAT32
