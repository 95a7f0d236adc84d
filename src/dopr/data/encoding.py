"""Encoding prompts, decoding completions, and checks that a model can read its prompts."""

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
    """Return the token ids of a prompt.

    Special tokens in the text are single ids. A begin token that the tokenizer adds occurs once, since a chat template
    may have written it already. An end token that the tokenizer adds is left out.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    with_special = tokenizer.encode(text)
    mask = with_special.special_tokens_mask
    num_begin = mask.index(0) if 0 in mask else 0
    begin: list[int] = with_special.ids[:num_begin]
    return ids if ids[:num_begin] == begin else begin + ids


def decode_completion(tokenizer: Tokenizer, tokens: Sequence[int], finish: str) -> str:
    """Return the text of a completion without the end token, which not every tokenizer marks as special.

    Args:
        tokenizer: The policy's tokenizer.
        tokens, finish: From an engine's Sample (dopr.rollout.engine).
    """
    text: str = tokenizer.decode(list(tokens[:-1] if finish == "stop" else tokens))
    return text


def check_fit(prompts: Iterable[Prompt], tokenizer: Tokenizer, context: int | None, max_new_tokens: int) -> None:
    """Check that the longest prompt and its completion fit the model's context. None is no limit.

    Raises:
        ContextError: They do not. The message names the prompt, the numbers, and the key to lower.
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
    """Check that the model in a folder can read these prompts, and has room for their completions.

    Characters that the tokenizer does not know give a warning on stderr, since the policy cannot see them.

    Raises:
        ContextError: It cannot. The message names the prompt and the fix.
    """
    tokenizer, shape = read_tokenizer(folder), read_shape(folder)
    for prompt in prompts:
        check_readable(prompt, tokenizer, shape["vocab_size"], folder)
    check_fit(prompts, tokenizer, context_of(shape), max_new_tokens)
    unknown = {prompt.id: text for prompt in prompts if (text := unknown_text(tokenizer, prompt.text))}
    if unknown:
        name, text = next(iter(unknown.items()))
        warning = f"{folder}: its tokenizer does not know all of {len(unknown)} of {len(prompts)} prompts"
        print(f"{warning}, such as {text!r} in {name}", file=sys.stderr)


def check_readable(prompt: Prompt, tokenizer: Tokenizer, vocabulary: int, folder: Path) -> None:
    """Check that a prompt has tokens, and that the model has an embedding for each.

    Raises:
        ContextError: It has no token, or one beyond the vocabulary.
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
    """Return the characters of a text, apart from white space, that the tokenizer reads as unknown or drops."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    unk_token = getattr(tokenizer.model, "unk_token", None)
    pairs = zip(encoding.tokens, encoding.offsets, strict=True)
    known = {position for token, (start, end) in pairs if token != unk_token for position in range(start, end)}
    return "".join(char for position, char in enumerate(text) if position not in known and not char.isspace())
