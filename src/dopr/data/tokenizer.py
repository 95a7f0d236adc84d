"""A lossless word-and-digit tokenizer for the arithmetic task, in the Hugging Face format.

Digits are single tokens, a word takes its leading space along, and decoding gives the text back exactly.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
PATTERN = r"\\boxed\{| ?[A-Za-z]+|[0-9]|\n| [^A-Za-z0-9\n\\ ]|[^\n]"


def build_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """A tokenizer over `vocabulary`, with pad = 0 and end of text = 1."""
    ids = {token: i for i, token in enumerate([PAD, EOS, UNKNOWN, *dict.fromkeys(vocabulary)])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([PAD, EOS, UNKNOWN])
    return tokenizer
