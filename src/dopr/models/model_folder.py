"""Model folders in the Hugging Face layout: which files they must contain, and how to read them.

Weights are safetensors, in one file or in shards. Nothing is unpickled, and code that comes with a model is never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dopr.files import DataError, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARED_FILES = (  # of a checkpoint and of the model that it was trained from
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")  # by model type
REDUNDANT = "rotary_emb.inv_freq"  # saved by old versions of transformers; it is computed from config.json


def check_folder(folder: Path) -> None:
    """Check that a folder contains a checkpoint in safetensors, a tokenizer and an end token.

    Raises:
        DataError: It does not; the message names the file and what to do.
    """
    read_shape(folder)
    weight_files(folder)
    read_tokenizer(folder)
    end_tokens(folder)


def read_shape(folder: Path) -> dict[str, Any]:
    """Read config.json; of a multimodal model, the keys of the language model are moved to the top.

    Raises:
        DataError: It is missing or damaged.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is no model folder: config.json is missing; give a folder with a checkpoint")
    shape: dict[str, Any] = read_json(folder / "config.json")
    shape |= shape.get("text_config") or {}
    if not isinstance(shape.get("vocab_size"), int):
        raise DataError(f"{folder / 'config.json'}: vocab_size: missing; get the whole checkpoint")
    return shape


def context_of(shape: Mapping[str, Any]) -> int | None:
    """Return the context length in tokens, from config.json; None if there is no limit."""
    return next((shape[key] for key in CONTEXT_KEYS if shape.get(key)), None)


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights: one, or the shards that the index names.

    Raises:
        DataError: One is missing, or there are none in safetensors.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise DataError(
            f"{folder} is no model folder: {WEIGHTS} is missing; give a folder with a checkpoint in safetensors, or "
            "write one with save_pretrained"
        )
    names = sorted(set(read_json(folder / INDEX)["weight_map"].values()))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise DataError(f"{folder / INDEX}: names {name}, which is missing; get the whole checkpoint")
    return [folder / name for name in names]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights by their names in the files, without the output head if it is tied.

    It is for engines that use these names; networks are loaded by transformers (dopr.models.loading).

    Raises:
        DataError: A file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            weights |= load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path}: not a usable checkpoint ({str(error).splitlines()[0]})") from None
    if read_json(folder / "config.json").get("tie_word_embeddings", False):
        weights.pop("lm_head.weight", None)
    return {name: weight for name, weight in weights.items() if not name.endswith(REDUNDANT)}


def read_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer, without padding and truncation.

    Raises:
        DataError: tokenizer.json is missing or damaged.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise DataError(
            f"{folder} is no model folder: tokenizer.json is missing; if it has a tokenizer in another form, write it "
            f"with AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    read_json(path)  # raises a clear error if the file is damaged
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises no other class
        raise DataError(f"{path}: not a usable tokenizer ({str(error).splitlines()[0]}); get it again") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def end_tokens(folder: Path) -> list[int]:
    """Return the token ids that end a completion.

    They are those of generation_config.json, or else of config.json, and the tokenizer's eos_token.

    Raises:
        DataError: There is none, or one is beyond the vocabulary.
    """
    ids: list[int] = []
    for name in ("generation_config.json", "config.json"):
        eos = _read_optional(folder / name).get("eos_token_id") if not ids else None
        if eos is not None:
            ids = list(eos) if isinstance(eos, list) else [eos]
    tokenizer_eos = _tokenizer_eos(folder)
    ids += [tokenizer_eos] if tokenizer_eos is not None and tokenizer_eos not in ids else []
    if not ids:
        raise DataError(f"{folder}: nothing says what ends a completion; set eos_token_id in config.json")
    vocab_size = read_shape(folder)["vocab_size"]
    if max(ids) >= vocab_size:
        raise DataError(f"{folder}: end token {max(ids)} is beyond the vocabulary of {vocab_size}; fix eos_token_id")
    return ids


def _tokenizer_eos(folder: Path) -> int | None:
    """Return the id of eos_token in tokenizer_config.json, if there is one."""
    eos = _read_optional(folder / "tokenizer_config.json").get("eos_token")
    text = eos["content"] if isinstance(eos, Mapping) else eos
    if text is None:
        return None
    token_id: int | None = read_tokenizer(folder).token_to_id(text)
    return token_id


def _read_optional(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content
