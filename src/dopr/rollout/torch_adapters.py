"""The torch engine for several runs with adapters on one base: each row of a batch has its own run's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dopr.rollout.static import rows_at_once, uniform_numbers
from dopr.rollout.together import Groups, Request
from dopr.rollout.torch_engine import TorchEngine


class TorchAdapters:
    """See AdapterEngine; the base is that of the engine."""

    def __init__(self, engine: TorchEngine) -> None:
        self.engine = engine

    @torch.inference_mode()
    def generate_each(self, requests: Sequence[Request]) -> list[Groups]:
        """See AdapterEngine; requests of one shape are one batch, where there is room."""
        found: dict[int, Groups] = {}
        for shape in dict.fromkeys(map(shape_of, requests)):
            alike = [i for i, request in enumerate(requests) if shape_of(request) == shape]
            longest = max(len(prompt) for i in alike for prompt in requests[i].prompts)
            _, n, _, new = shape
            room = max(1, rows_at_once(self.engine.decoder, longest + new) // n)
            for start in range(0, len(alike), room):
                chosen = alike[start : start + room]
                groups = self._generate([requests[i] for i in chosen], max(1, room // len(chosen)))
                found.update(zip(chosen, groups, strict=True))
        return [found[i] for i in range(len(requests))]

    def _generate(self, requests: Sequence[Request], at_once: int) -> list[Groups]:
        """Requests of one shape, `at_once` prompts of each in a batch."""
        count, n, temperature, new = shape_of(requests[0])
        self.engine.decoder.adapt([request.weights.factors() for request in requests])
        found: list[Groups] = [[] for _ in requests]
        for start in range(0, count, at_once):
            places = range(start, min(start + at_once, count))
            seeds = [request.seed + i * n + j for request in requests for i in places for j in range(n)]
            prompts = [request.prompts[i] for request in requests for i in places]
            uniform = uniform_numbers(seeds, new)
            groups = self.engine.generate_static(prompts, n, temperature, uniform, len(requests))
            for i, mine in enumerate(found):
                mine += groups[i * len(places) : (i + 1) * len(places)]
        return found


def shape_of(request: Request) -> tuple[int, int, float, int]:
    """Requests that agree in it can be one batch."""
    return len(request.prompts), request.n, request.temperature, request.max_new_tokens
