"""A model folder in the Hugging Face layout, made from a GGUF file by transformers.

The same file gives the same bytes. Quantised weights are written as the float32 numbers they stand for. The tokenizer
is made here (dopr.models.gguf.tokenizer): transformers takes minutes for one of 50,000 tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dopr.files import DataError, write_json
from dopr.models.gguf.file import read
from dopr.models.gguf.tokenizer import end_tokens_of, settings_of, tokenizer_of
from dopr.models.model_folder import check_folder, context_of

ROPE_FACTORS = "rope_freqs.weight"


def write_model_folder(gguf_file: Path, folder: Path) -> None:
    """Write config.json, the tokenizer with its chat template, and the weights of a GGUF file.

    Raises:
        DataError: the file is damaged, or transformers cannot read a network of its kind, or its tokenizer is of
            another kind than byte-level BPE.
    """
    file = read(gguf_file)
    if any(tensor.name == ROPE_FACTORS for tensor in file.tensors):
        raise DataError(
            f"{gguf_file}: {ROPE_FACTORS}, the rotary factors of Llama 3.1 and later, would be lost: transformers "
            "passes over them; give the model's own folder"
        )
    tokenizer = tokenizer_of(file)
    network = load_network(gguf_file)
    network.generation_config.eos_token_id = end_tokens_of(file)
    network.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", settings_of(file, context_of(network.config.to_dict())))
    check_folder(folder)


def shape_of(gguf_file: Path) -> dict[str, Any]:
    """Read the content of config.json, without the weights.

    Raises:
        DataError: the file is damaged, or transformers cannot read a network of its kind.
    """
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    read(gguf_file)  # its own message where it is damaged
    try:
        shape: dict[str, Any] = load_gguf_checkpoint(str(gguf_file), return_tensors=False)["config"]
    except (ValueError, KeyError, NotImplementedError) as error:
        raise DataError(refusal(gguf_file, error)) from None
    return shape


def refusal(gguf_file: Path, error: Exception) -> str:
    """What is said of a file that transformers cannot read."""
    said = " ".join(str(error).split())[:200]
    return f"{gguf_file}: transformers cannot read it ({said}); give the model's own folder"


def load_network(gguf_file: Path) -> Any:
    """Load the network of a GGUF file in float32, as one that was never quantised.

    Raises:
        DataError: transformers cannot read it.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network: Any = AutoModelForCausalLM.from_pretrained(
            gguf_file.parent, gguf_file=gguf_file.name, dtype=torch.float32
        )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise DataError(refusal(gguf_file, error)) from None
    if hasattr(network.config, "quantization_config"):  # with which it refuses to be saved
        del network.config.quantization_config
    network.hf_quantizer, network.is_quantized = None, False
    return network
