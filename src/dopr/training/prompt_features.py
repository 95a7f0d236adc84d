"""Vectors that say which prompts are alike, for selectors that share what they learn between prompts.

On a large pool most prompts are visited less than twice, so that a prompt's own history says nothing; that of similar
prompts may. Three kinds:

    text    character n-grams of the text, weighted by TF-IDF, every digit read as 0 (a number counts by its length);
            what all prompts begin and end with, such as a chat template, is left out
    hidden  the starting policy's last hidden states, averaged over the prompt's tokens, less their mean over the pool
    label   the family the generator gave the prompt: knowledge that no real pool has, so an upper bound and no method
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from dopr.data.encoding import encode_prompt
from dopr.models.network import Policy
from dopr.records import Prompt
from dopr.selection.selector import Features

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIMENSIONS = 512  # of hashed n-grams
BATCH = 256  # prompts in one forward pass


def prompt_features(kind: str, prompts: Sequence[Prompt], load: Callable[[], Policy], tokenizer: Tokenizer) -> Features:
    """Unit vectors [prompts, dimensions]; a prompt without any feature is a zero vector, like no other.

    load: gives the starting policy; called where it is read.

    Raises:
        ValueError: an unknown kind.
    """
    match kind:
        case "text":
            return unit(text_features([prompt.text for prompt in prompts]))
        case "hidden":
            hidden = hidden_features([encode_prompt(tokenizer, prompt.text) for prompt in prompts], load())
            return unit(hidden - hidden.mean(axis=0))
        case "label":
            families = sorted({prompt.family for prompt in prompts})
            return np.array([[prompt.family == family for family in families] for prompt in prompts], dtype=np.float32)
    raise ValueError(f"similarity {kind!r} is unknown; known are text, hidden, label")


def text_features(texts: Sequence[str]) -> Features:
    """TF-IDF of hashed n-grams of one to three characters within words, [texts, DIMENSIONS]."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer  # its import takes a second

    shapes = without_common_ends([re.sub(r"\d", "0", text) for text in texts])
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=DIMENSIONS, alternate_sign=False)
    weighted = TfidfTransformer().fit_transform(counts.transform(shapes))
    return np.asarray(weighted.todense(), dtype=np.float32)


def without_common_ends(texts: Sequence[str]) -> list[str]:
    """The texts without what all of them begin and end with; as they are where nothing else is in them."""
    start = common_start(texts)
    rests = [text[start:] for text in texts]
    end = common_start([rest[::-1] for rest in rests])
    left = [rest[: len(rest) - end] for rest in rests]
    return left if any(left) else list(texts)


def common_start(texts: Sequence[str]) -> int:
    """How many characters all of them begin with; the first and the last in order differ soonest."""
    first, last = min(texts), max(texts)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


@torch.no_grad()
def hidden_features(prompts: Sequence[Sequence[int]], policy: Policy) -> Features:
    """Mean over each prompt's tokens of the last hidden states, [prompts, hidden size]."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = np.zeros((len(prompts), policy.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        lengths = torch.tensor([len(prompts[i]) for i in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for row, i in enumerate(rows):
            ids[row, : len(prompts[i])] = torch.tensor(prompts[i])
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        inputs = {"input_ids": ids.to(policy.device), "attention_mask": real.long().to(policy.device)}
        states = policy.network.base_model(**inputs, use_cache=False).last_hidden_state
        summed = (states.float().cpu() * real[..., None]).sum(1)
        found[rows] = (summed / lengths[:, None]).numpy()
    return found


def unit(vectors: Features) -> Features:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
