"""The policy: a transformers causal language model, made small or loaded from a folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from dopr.config import WarmStart
from dopr.data.tokenizer import EOS, PAD, UNKNOWN
from dopr.files import DataError

# transformers loads scikit-learn for assisted decoding, which nothing here uses; hiding it saves 1.5 s a job.
_hidden = sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM  # noqa: E402
from transformers.utils.logging import disable_progress_bar  # noqa: E402

if _hidden is None:
    del sys.modules["sklearn"]

disable_progress_bar()

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def create(shape: WarmStart, vocabulary_size: int) -> Qwen2ForCausalLM:
    """A randomly initialised Qwen2 of the given shape, with tied embeddings; deterministic in shape.seed."""
    torch.manual_seed(shape.seed)
    config = Qwen2Config(
        vocab_size=vocabulary_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.max_length,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        attn_implementation="eager",
    )
    return Qwen2ForCausalLM(config)


def load(folder: Path) -> PreTrainedModel:
    """A checkpoint in the Hugging Face layout: safetensors only, no remote code.

    Raises:
        DataError: the folder holds no checkpoint.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} is no model folder: {name} is missing")
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, dtype="auto", attn_implementation="eager", local_files_only=True
    )
    return model


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the embedded tokenizer as transformers loads it."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN)
    wrapped.save_pretrained(folder)


def save(model: PreTrainedModel, folder: Path, like: Path) -> None:
    """Write a checkpoint that transformers loads as it is, with the tokenizer of the folder `like`."""
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
