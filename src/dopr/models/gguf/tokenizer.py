"""The tokenizer of a GGUF file: byte-level BPE, built from the file's tokens and merges."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import PreTokenizer

from dopr.files import DataError
from dopr.models.gguf.file import GgufFile

CONTROL, USER_DEFINED = 3, 4  # types of tokens that are matched before the text is split
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def build_tokenizer(file: GgufFile) -> Tokenizer:
    """Build the tokenizer of a file.

    Raises:
        DataError: It is not byte-level BPE, or splits text in an unknown way.
    """
    tokens = file.get("tokenizer.ggml.tokens")
    kind, split = file.get("tokenizer.ggml.model"), file.metadata.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or split not in SPLITS:
        raise DataError(
            f"{file.path}: tokenizer {kind} with splitting {split} is not supported; known is gpt2 with "
            f"{', '.join(SPLITS)}; use the model's folder in the Hugging Face layout"
        )
    merges = [tuple(merge.split(" ", 1)) for merge in file.get("tokenizer.ggml.merges")]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
    tokenizer.pre_tokenizer = SPLITS[split]
    tokenizer.decoder = decoders.ByteLevel()
    if split == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens(added_tokens(tokens, file.get("tokenizer.ggml.token_type")))
    if file.metadata.get("tokenizer.ggml.add_bos_token", split == "llama-bpe"):
        bos = file.get("tokenizer.ggml.bos_token_id")
        tokenizer.post_processor = processors.TemplateProcessing(
            f"{tokens[bos]} $A", special_tokens=[(tokens[bos], bos)]
        )
    return tokenizer


def added_tokens(tokens: list[str], types: list[int]) -> list[AddedToken]:
    """Return the tokens that are matched as a whole; control tokens are special, so decoding leaves them out."""
    return [
        AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]


def end_token_ids(file: GgufFile) -> list[int]:
    """Return the tokens that end a completion: the end of a text, and the end of a turn if it is another token."""
    ids = [file.get("tokenizer.ggml.eos_token_id"), file.metadata.get("tokenizer.ggml.eot_token_id")]
    return list(dict.fromkeys(i for i in ids if i is not None))


def tokenizer_config(file: GgufFile, context: int | None) -> dict[str, Any]:
    """Return the content of tokenizer_config.json, with the chat template if the file has one."""
    tokens = file.get("tokenizer.ggml.tokens")
    ids = {role: file.metadata.get(f"tokenizer.ggml.{name}_token_id") for role, name in SPECIAL_TOKENS.items()}
    template = file.metadata.get("tokenizer.chat_template")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **({"model_max_length": context} if context else {}),
        "clean_up_tokenization_spaces": False,
        **{role: tokens[i] for role, i in ids.items() if i is not None},
        **({"chat_template": template} if template else {}),
    }


def word_splitter(numbers: str) -> PreTokenizer:
    """Make a pre-tokenizer that splits words, punctuation, white space, and numbers by a regular expression."""
    split = pre_tokenizers.Split(Regex(WORDS.format(numbers=numbers)), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
SPLITS: dict[str, PreTokenizer] = {  # tokenizer.ggml.pre -> how text is split before merges
    "gpt-2": BYTES,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "qwen2": word_splitter(r"\p{N}"),
    "llama-bpe": word_splitter(r"\p{N}{1,3}"),
}
