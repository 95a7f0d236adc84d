"""A small policy with random weights, made by transformers."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.utils.logging import disable_progress_bar

from dopr.config.schema import WarmStart
from dopr.data.tokenizer import EOS, PAD, UNKNOWN


def create(settings: WarmStart, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a randomly initialised Qwen2 with tied embeddings, and its tokenizer; settings.seed decides the weights."""
    disable_progress_bar()
    torch.manual_seed(settings.seed)
    config = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.token_to_id(PAD),
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(EOS),
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN)
    wrapped.save_pretrained(folder)
