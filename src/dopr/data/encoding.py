"""Prompts as token ids, in one way everywhere, and whether they fit the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dopr.errors import UserError
from dopr.records import Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class ContextError(UserError):
    """A prompt that leaves no room for its completion."""


def encode_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """The token ids of a prompt.

    Special tokens in the text are single ids. What the tokenizer puts in front of a text (a begin token) stands in
    front, once: a chat template may have written it already. What it puts behind (an end token) is left out.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    whole = tokenizer.encode(text)
    added = whole.special_tokens_mask.index(0) if 0 in whole.special_tokens_mask else 0
    front: list[int] = whole.ids[:added]
    return ids if ids[:added] == front else front + ids


def check_fit(prompts: Iterable[Prompt], tokenizer: Tokenizer, context: int, max_new_tokens: int) -> None:
    """The longest prompt and a completion fit the model's context.

    Raises:
        ContextError: they do not; names the prompt, the numbers, and the key to lower.
    """
    lengths = {prompt.id: len(encode_prompt(tokenizer, prompt.text)) for prompt in prompts}
    longest = max(lengths, key=lambda prompt: lengths[prompt])
    if lengths[longest] + max_new_tokens > context:
        raise ContextError(
            f"prompt {longest} has {lengths[longest]} tokens; with rollout.max_new_tokens {max_new_tokens} that is "
            f"more than the model's context of {context}: lower rollout.max_new_tokens to "
            f"{max(0, context - lengths[longest])} or less"
        )
