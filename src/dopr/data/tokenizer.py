"""A lossless word-and-digit tokenizer for the arithmetic task, in the Hugging Face format.

Each digit is a token, a word's token includes its leading space, and decoding restores the exact text.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
PATTERN = r"\\boxed\{| ?[A-Za-z]+|[0-9]|\n| [^A-Za-z0-9\n\\ ]|[^\n]"


def build_tokenizer(vocabulary: list[str]) -> Tokenizer:
    """Build a tokenizer over `vocabulary`, with pad = 0 and end of text = 1."""
    ids = {token: index for index, token in enumerate([PAD, EOS, UNKNOWN, *dict.fromkeys(vocabulary)])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([PAD, EOS, UNKNOWN])
    return tokenizer
