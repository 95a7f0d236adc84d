"""Load networks with transformers, from safetensors alone; code that comes with a model is never run."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from dopr.files import DataError
from dopr.models.attention import PACKED, is_plain
from dopr.models.fast_matmul import use_fast_matmul
from dopr.models.model_folder import weight_files


def load_network(folder: Path, dtype: str, device: str = "cpu", attention: str | None = None) -> PreTrainedModel:
    """Load the network in a folder.

    Args:
        dtype: float32 or bfloat16, whatever the stored dtype is.
        attention: transformers' attn_implementation; None selects sdpa if the model type supports it. Plain sdpa is
            replaced by packed attention (dopr.models.attention).

    Raises:
        DataError: The folder contains no checkpoint, or a damaged one, or one that transformers cannot load.
    """
    weight_files(folder)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        supports_packing = attention in (None, "sdpa") and is_plain(config.get_text_config())
        network, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=getattr(torch, dtype),
            attn_implementation=PACKED if supports_packing else attention,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise DataError(f"{folder}: not a usable checkpoint ({' '.join(str(error).split())[:300]})") from None
    if report["missing_keys"]:
        raise DataError(f"{folder}: the checkpoint lacks {min(report['missing_keys'])}; get the whole of it")
    network.to(device).eval()
    use_fast_matmul(network)
    return network


def reload_weights(network: PreTrainedModel, folder: Path) -> bool:
    """Copy the weights in a folder into a network of the same shape, which takes a tenth of the time of load_network.

    Returns:
        Whether that was possible: the files have the network's own names and shapes. If not, nothing was changed.
    """
    try:
        saved = {name: weight for path in weight_files(folder) for name, weight in load_file(path).items()}
    except SafetensorError:
        return False
    own, tied = network.state_dict(), set(network.all_tied_weights_keys)
    same_names = own.keys() - tied == saved.keys() - tied
    if not same_names or any(own[name].shape != weight.shape for name, weight in saved.items()):
        return False
    network.load_state_dict(saved, strict=False)
    return True
