"""Convert a GGUF file into a model folder in the Hugging Face layout, with transformers.

The same file gives the same bytes. Quantised weights are written in float32. The tokenizer is built here
(dopr.models.gguf.tokenizer), because transformers takes minutes for one of 50,000 tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dopr.files import DataError, write_json
from dopr.models.gguf.file import read
from dopr.models.gguf.tokenizer import build_tokenizer, end_token_ids, tokenizer_config
from dopr.models.model_folder import check_folder, context_of

ROPE_FACTORS = "rope_freqs.weight"


def write_model_folder(gguf_file: Path, folder: Path) -> None:
    """Write config.json, the tokenizer with its chat template, and the weights of a GGUF file.

    Raises:
        DataError: The file is damaged, transformers cannot read a network of its type, or its tokenizer is not
            byte-level BPE.
    """
    file = read(gguf_file)
    if any(tensor.name == ROPE_FACTORS for tensor in file.tensors):
        raise DataError(
            f"{gguf_file}: {ROPE_FACTORS}, the rotary factors of Llama 3.1 and later, would be lost: transformers "
            "ignores them; give the model's own folder"
        )
    tokenizer = build_tokenizer(file)
    network = load_network(gguf_file)
    network.generation_config.eos_token_id = end_token_ids(file)
    network.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", tokenizer_config(file, context_of(network.config.to_dict())))
    check_folder(folder)


def shape_of(gguf_file: Path) -> dict[str, Any]:
    """Return what config.json would contain, without reading the weights.

    Raises:
        DataError: The file is damaged, or transformers cannot read a network of its type.
    """
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    read(gguf_file)  # raises a clear error if the file is damaged
    try:
        shape: dict[str, Any] = load_gguf_checkpoint(str(gguf_file), return_tensors=False)["config"]
    except (ValueError, KeyError, NotImplementedError) as error:
        raise DataError(unreadable_message(gguf_file, error)) from None
    return shape


def unreadable_message(gguf_file: Path, error: Exception) -> str:
    """Return the message for a file that transformers cannot read."""
    reason = " ".join(str(error).split())[:200]
    return f"{gguf_file}: transformers cannot read it ({reason}); give the model's own folder"


def load_network(gguf_file: Path) -> Any:
    """Load the network of a GGUF file in float32, without the marks of quantisation.

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
        raise DataError(unreadable_message(gguf_file, error)) from None
    if hasattr(network.config, "quantization_config"):  # with it, transformers refuses to save the network
        del network.config.quantization_config
    network.hf_quantizer, network.is_quantized = None, False
    return network
