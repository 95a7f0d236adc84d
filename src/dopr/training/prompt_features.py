"""Feature vectors of prompts, for selectors that share rewards between similar prompts.

On a large pool most prompts are visited less than twice, so a prompt's own history says little; the histories of
similar prompts may say more. There are three kinds of features:

    text    character n-grams of the text, weighted by TF-IDF; every digit is read as 0, so a number counts by its
            length; the beginning and the end that all prompts share, such as a chat template, are left out
    hidden  the starting policy's last hidden states, averaged over the prompt's tokens, minus their mean over the pool
    label   the family that the generator gave the prompt: no real pool has it, so it shows an upper bound
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from dopr.data.encoding import encode_prompt
from dopr.models.network import Policy
from dopr.records import Prompt
from dopr.selection.selector import Features

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIMENSIONS = 512  # of hashed n-grams
BATCH = 256  # prompts in one forward pass


def prompt_features(kind: str, prompts: Sequence[Prompt], load: Callable[[], Policy], tokenizer: Tokenizer) -> Features:
    """Compute a unit vector for each prompt, [prompts, dimensions].

    A prompt without any feature has a zero vector, which is similar to none.

    Args:
        load: Loads the starting policy; called for `hidden` only.

    Raises:
        ValueError: The kind is unknown.
    """
    match kind:
        case "text":
            return unit_rows(text_features([prompt.text for prompt in prompts]))
        case "hidden":
            hidden = hidden_features([encode_prompt(tokenizer, prompt.text) for prompt in prompts], load())
            return unit_rows(hidden - hidden.mean(axis=0))
        case "label":
            families = sorted({prompt.family for prompt in prompts})
            return np.array([[prompt.family == family for family in families] for prompt in prompts], dtype=np.float32)
    raise ValueError(f"similarity {kind!r} is unknown; known are text, hidden, label")


def text_features(texts: Sequence[str]) -> Features:
    """Compute TF-IDF of hashed n-grams of one to three characters within words, [texts, DIMENSIONS]."""
    masked = without_common_ends([re.sub(r"\d", "0", text) for text in texts])
    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=DIMENSIONS, alternate_sign=False)
    tf_idf = TfidfTransformer().fit_transform(vectorizer.transform(masked))
    return np.asarray(tf_idf.todense(), dtype=np.float32)


def without_common_ends(texts: Sequence[str]) -> list[str]:
    """Remove the common beginning and end of all texts; if nothing else is left, return them unchanged."""
    prefix = common_prefix_length(texts)
    rests = [text[prefix:] for text in texts]
    suffix = common_prefix_length([rest[::-1] for rest in rests])
    middles = [rest[: len(rest) - suffix] for rest in rests]
    return middles if any(middles) else list(texts)


def common_prefix_length(texts: Sequence[str]) -> int:
    """Return the length of the longest common prefix."""
    first, last = min(texts), max(texts)  # of sorted texts, these two have the shortest common prefix
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


@torch.no_grad()
def hidden_features(prompts: Sequence[Sequence[int]], policy: Policy) -> Features:
    """Compute the mean of the last hidden states over each prompt's tokens, [prompts, hidden size]."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # by length, to save padding
    features = np.zeros((len(prompts), policy.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        prompt_indices = order[start : start + BATCH]
        lengths = torch.tensor([len(prompts[i]) for i in prompt_indices])
        ids = torch.zeros(len(prompt_indices), int(lengths.max()), dtype=torch.long)
        for row, i in enumerate(prompt_indices):
            ids[row, : len(prompts[i])] = torch.tensor(prompts[i])
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        inputs = {"input_ids": ids.to(policy.device), "attention_mask": mask.long().to(policy.device)}
        states = policy.network.base_model(**inputs, use_cache=False).last_hidden_state
        summed = (states.float().cpu() * mask[..., None]).sum(1)
        features[prompt_indices] = (summed / lengths[:, None]).numpy()
    return features


def unit_rows(vectors: Features) -> Features:
    """Scale rows to length 1; rows of zeros stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
