"""The tokenizer of a GGUF file: byte-level BPE, built from the file's tokens and merges."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import PreTokenizer

from dopr.files import DataError
from dopr.models.gguf.file import GgufFile

CONTROL, USER_DEFINED = 3, 4  # types of tokens that are found in a text before it is split
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def tokenizer_of(file: GgufFile) -> Tokenizer:
    """The tokenizer.

    Raises:
        DataError: it is of another kind; names it.
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
    made = Tokenizer(BPE(vocabulary, merges, ignore_merges=split == "llama-bpe"))
    made.pre_tokenizer = SPLITS[split]
    made.decoder = decoders.ByteLevel()
    if split == "qwen2":
        made.normalizer = normalizers.NFC()
    made.add_tokens(added(tokens, file.get("tokenizer.ggml.token_type")))
    if file.metadata.get("tokenizer.ggml.add_bos_token", split == "llama-bpe"):
        begin = file.get("tokenizer.ggml.bos_token_id")
        made.post_processor = processors.TemplateProcessing(
            f"{tokens[begin]} $A", special_tokens=[(tokens[begin], begin)]
        )
    return made


def added(tokens: list[str], types: list[int]) -> list[AddedToken]:
    """The tokens that stand for themselves in a text; those of control are no part of what is said."""
    return [
        AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]


def end_tokens_of(file: GgufFile) -> list[int]:
    """What ends a completion: the end of a text, and that of a turn where it is another."""
    ids = [file.get("tokenizer.ggml.eos_token_id"), file.metadata.get("tokenizer.ggml.eot_token_id")]
    return list(dict.fromkeys(i for i in ids if i is not None))


def settings_of(file: GgufFile, context: int | None) -> dict[str, Any]:
    """The content of tokenizer_config.json, with the chat template if the file has one."""
    tokens = file.get("tokenizer.ggml.tokens")
    ids = {role: file.metadata.get(f"tokenizer.ggml.{name}_token_id") for role, name in ROLES.items()}
    template = file.metadata.get("tokenizer.chat_template")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **({"model_max_length": context} if context else {}),
        "clean_up_tokenization_spaces": False,
        **{role: tokens[i] for role, i in ids.items() if i is not None},
        **({"chat_template": template} if template else {}),
    }


def by_words(numbers: str) -> PreTokenizer:
    """Words, punctuation and white space apart, and numbers as the expression finds them."""
    split = pre_tokenizers.Split(Regex(WORDS.format(numbers=numbers)), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
SPLITS: dict[str, PreTokenizer] = {  # tokenizer.ggml.pre -> what is kept apart before merges
    "gpt-2": BYTES,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]),
    "qwen2": by_words(r"\p{N}"),
    "llama-bpe": by_words(r"\p{N}{1,3}"),
}
