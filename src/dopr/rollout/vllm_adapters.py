"""vLLM for several runs with adapters on one base, each prompt with its own run's.

vLLM reads adapters from files, once under each number; so at each step they are written, and numbered anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dopr.policy.lora import adapters, save_adapter
from dopr.rollout.together import Groups, Request
from dopr.rollout.vllm_engine import VllmEngine, VllmError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for


class VllmAdapters:
    """See AdapterEngine; the base is that of the folder."""

    def __init__(self, folder: Path, dtype: str, cache_gb: float, runs: int, rank: int) -> None:
        """runs: whose adapters, of a rank, are there at once; the rest is as in VllmEngine.

        Raises:
            VllmError: see VllmEngine; or the rank is too high.
        """
        if rank > RANKS[-1]:
            raise VllmError(f"lora.rank: {rank} is more than vllm has room for; set it to {RANKS[-1]} or less")
        room = next(size for size in RANKS if size >= rank)
        self.engine = VllmEngine(folder, dtype, cache_gb, adapters=(runs, room))
        self.numbers = count(1)

    def generate_each(self, requests: Sequence[Request]) -> list[Groups]:
        """See AdapterEngine; requests for equally many samples of a prompt are one batch."""
        found: dict[int, Groups] = {}
        for n in dict.fromkeys(request.n for request in requests):
            alike = {i: request for i, request in enumerate(requests) if request.n == n}
            groups = iter(self._generate(list(alike.values()), n))
            found.update({i: [next(groups) for _ in request.prompts] for i, request in alike.items()})
        return [found[i] for i in range(len(requests))]

    def _generate(self, requests: Sequence[Request], n: int) -> Groups:
        """The samples of all prompts of some requests, one after another."""
        with TemporaryDirectory() as folder:
            return self.engine.complete(
                [prompt for request in requests for prompt in request.prompts],
                [settings for request in requests for settings in self._settings(request)],
                n,
                [adapter for request in requests for adapter in self._adapter(request, Path(folder))],
            )

    def _settings(self, request: Request) -> list[Any]:
        return self.engine.settings(
            request.prompts, request.n, request.temperature, request.max_new_tokens, request.seed
        )

    def _adapter(self, request: Request, folder: Path) -> list[Any]:
        """vLLM's name of a run's adapters, for each prompt."""
        from vllm.lora.request import LoRARequest

        number, policy = next(self.numbers), request.weights.policy
        save_adapter(policy, adapters(policy), folder / str(number))
        return [LoRARequest(str(number), number, str(folder / str(number)))] * len(request.prompts)
