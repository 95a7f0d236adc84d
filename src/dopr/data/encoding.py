"""Prompts as token ids, in one way everywhere, and whether the model can read them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dopr.errors import UserError
from dopr.models.model_folder import context_of, read_shape, read_tokenizer
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


def decode_completion(tokenizer: Tokenizer, tokens: Sequence[int], finish: str) -> str:
    """The text of a completion, without the end token of one that ended by itself: not every tokenizer knows it as one.

    Args:
        tokens, finish: as an engine gives them (dopr.rollout.engine.Sample).
    """
    text: str = tokenizer.decode(list(tokens[:-1] if finish == "stop" else tokens))
    return text


def check_fit(prompts: Iterable[Prompt], tokenizer: Tokenizer, context: int | None, max_new_tokens: int) -> None:
    """The longest prompt and a completion fit the model's context, where it has a limit.

    Raises:
        ContextError: they do not; names the prompt, the numbers, and the key to lower.
    """
    lengths = {prompt.id: len(encode_prompt(tokenizer, prompt.text)) for prompt in prompts}
    longest = max(lengths, key=lambda prompt: lengths[prompt])
    if context is not None and lengths[longest] + max_new_tokens > context:
        raise ContextError(
            f"prompt {longest} has {lengths[longest]} tokens; with rollout.max_new_tokens {max_new_tokens} that is "
            f"more than the model's context of {context}: lower rollout.max_new_tokens to "
            f"{max(0, context - lengths[longest])} or less"
        )


def check_prompts(prompts: Sequence[Prompt], folder: Path, max_new_tokens: int) -> None:
    """The model in a folder can read these prompts, and has room for their completions.

    Characters that its tokenizer does not know are told on stderr: the policy cannot see what they stood for.

    Raises:
        ContextError: it cannot; names the prompt and what to do.
    """
    tokenizer, shape = read_tokenizer(folder), read_shape(folder)
    for prompt in prompts:
        check_readable(prompt, tokenizer, shape["vocab_size"], folder)
    check_fit(prompts, tokenizer, context_of(shape), max_new_tokens)
    lost = {prompt.id: found for prompt in prompts if (found := unknown_text(tokenizer, prompt.text))}
    if lost:
        name, found = next(iter(lost.items()))
        told = f"{folder}: its tokenizer does not know all of {len(lost)} of {len(prompts)} prompts"
        print(f"{told}, such as {found!r} in {name}", file=sys.stderr)


def check_readable(prompt: Prompt, tokenizer: Tokenizer, vocabulary: int, folder: Path) -> None:
    """A prompt has tokens, and the model has an embedding for each.

    Raises:
        ContextError: it has none, or one beyond the vocabulary.
    """
    try:
        ids = encode_prompt(tokenizer, prompt.text)
    except Exception as error:  # tokenizers raises nothing narrower
        raise ContextError(f"prompt {prompt.id} cannot be read by the tokenizer of {folder} ({error})") from None
    if not ids:
        raise ContextError(f"prompt {prompt.id} has no tokens; the tokenizer of {folder} knows nothing in it")
    if max(ids) >= vocabulary:
        raise ContextError(
            f"prompt {prompt.id} has token {max(ids)}, but the model in {folder} a vocabulary of {vocabulary}; its "
            "tokenizer belongs to another model"
        )


def unknown_text(tokenizer: Tokenizer, text: str) -> str:
    """The characters of a text that the tokenizer reads as unknown or passes over; white space apart."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    unknown = getattr(tokenizer.model, "unk_token", None)
    pairs = zip(encoding.tokens, encoding.offsets, strict=True)
    known = {i for token, (start, end) in pairs if token != unknown for i in range(start, end)}
    return "".join(character for i, character in enumerate(text) if i not in known and not character.isspace())
