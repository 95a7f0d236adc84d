"""A model folder in the Hugging Face layout: which files it must hold, and what can be read from them.

Weights are safetensors, in one file or in shards: nothing is ever unpickled, and no code that came with a model is run.
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
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")  # in config.json, by kind
LEFT_OUT = "rotary_emb.inv_freq"  # in checkpoints of old versions of transformers; it follows from config.json


def check_folder(folder: Path) -> None:
    """A folder holds a checkpoint in safetensors, a tokenizer, and says what ends a completion.

    Raises:
        DataError: it does not; names the file and what to do.
    """
    read_shape(folder)
    weight_files(folder)
    read_tokenizer(folder)
    end_tokens(folder)


def read_shape(folder: Path) -> dict[str, Any]:
    """The content of config.json; of a model with several parts, with that of its language model.

    Raises:
        DataError: it is missing, or damaged.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is no model folder: config.json is missing; give a folder with a checkpoint")
    shape: dict[str, Any] = read_json(folder / "config.json")
    shape |= shape.get("text_config") or {}
    if not isinstance(shape.get("vocab_size"), int):
        raise DataError(f"{folder / 'config.json'}: vocab_size: missing; get the whole checkpoint")
    return shape


def context_of(shape: Mapping[str, Any]) -> int | None:
    """The most tokens that a model of a config.json reads; None where it has no such limit."""
    return next((shape[key] for key in CONTEXT if shape.get(key)), None)


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights: one, or the shards that the index names.

    Raises:
        DataError: one is missing, or there are none in the one format that is read.
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
    """The weights by name, as they are stored; a tied model has no output head of its own. For engines that take names
    as they are in files; networks are loaded by transformers (dopr.models.checkpoint_io).

    Raises:
        DataError: a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            found |= load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path}: not a usable checkpoint ({str(error).splitlines()[0]})") from None
    tied = read_json(folder / "config.json").get("tie_word_embeddings", False)
    if tied:
        found.pop("lm_head.weight", None)
    return {name: weight for name, weight in found.items() if not name.endswith(LEFT_OUT)}


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, which neither pads nor cuts.

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
    read_json(path)  # its own message where it is damaged
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def end_tokens(folder: Path) -> list[int]:
    """The ids that end a completion: those of generation_config.json or else config.json, and the tokenizer's own.

    Raises:
        DataError: none names one, or it is beyond the vocabulary.
    """
    ids: list[int] = []
    for name in ("generation_config.json", "config.json"):
        given = _optional(folder / name).get("eos_token_id") if not ids else None
        if given is not None:
            ids = list(given) if isinstance(given, list) else [given]
    own = _own_end(folder)
    ids += [own] if own is not None and own not in ids else []
    if not ids:
        raise DataError(f"{folder}: nothing says what ends a completion; set eos_token_id in config.json")
    size = read_shape(folder)["vocab_size"]
    if max(ids) >= size:
        raise DataError(f"{folder}: end token {max(ids)} is beyond the vocabulary of {size}; mend eos_token_id")
    return ids


def _own_end(folder: Path) -> int | None:
    """The id of the end token that tokenizer_config.json names."""
    named = _optional(folder / "tokenizer_config.json").get("eos_token")
    text = named["content"] if isinstance(named, Mapping) else named
    if text is None:
        return None
    number: int | None = read_tokenizer(folder).token_to_id(text)
    return number


def _optional(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found
