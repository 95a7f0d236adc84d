"""Vectors that say which prompts are alike, for selectors that share what they learn between prompts.

On a large pool most prompts are visited less than twice, so that a prompt's own history says nothing; that of similar
prompts may. Three kinds:

    text    character n-grams of the text, weighted by TF-IDF, every digit read as 0 (a number counts by its length)
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
from dopr.policy.transformer import Transformer
from dopr.records import Prompt
from dopr.selection.selector import Features

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIMENSIONS = 512  # of hashed n-grams
BATCH = 256  # prompts in one forward pass


def prompt_features(
    kind: str, prompts: Sequence[Prompt], load: Callable[[], Transformer], tokenizer: Tokenizer
) -> Features:
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

    shapes = [re.sub(r"\d", "0", text) for text in texts]
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=DIMENSIONS, alternate_sign=False)
    weighted = TfidfTransformer().fit_transform(counts.transform(shapes))
    return np.asarray(weighted.todense(), dtype=np.float32)


@torch.no_grad()
def hidden_features(prompts: Sequence[Sequence[int]], policy: Transformer) -> Features:
    """Mean over each prompt's tokens of the last hidden states, [prompts, hidden size]."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = np.zeros((len(prompts), policy.config["hidden_size"]), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        lengths = torch.tensor([len(prompts[i]) for i in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for row, i in enumerate(rows):
            ids[row, : len(prompts[i])] = torch.tensor(prompts[i])
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        summed = (policy(ids.to(policy.device)).float().cpu() * real[..., None]).sum(1)
        found[rows] = (summed / lengths[:, None]).numpy()
    return found


def unit(vectors: Features) -> Features:
    """Rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
