"""AdamW on float32 master weights, whatever dtype the network computes in.

A bfloat16 weight cannot change by less than 1/256 of its size, so at the learning rates of reinforcement learning most
updates would be lost. Therefore the optimiser updates float32 master weights: the network's gradients are added to
theirs, and the network is refreshed from them after every step. Checkpoints contain the master weights.

With recipe.offload_optimizer, master weights, their gradients and AdamW's moments are in CPU memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from dopr.config.recipe import Recipe
from dopr.runtime.distributed import all_gather, full_tensor, shard_like, world_size


def learning_rate_factor(recipe: Recipe, step: int) -> float:
    """Return what every learning rate is multiplied by at a step, counted from 0.

    It is a linear warm-up over recipe.warmup_steps, times a linear decay to recipe.final_rate over all steps.
    """
    warmup = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    return warmup * (1.0 - (1.0 - recipe.final_rate) * step / recipe.steps)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the policy's learning rate at a step."""
    return recipe.learning_rate * learning_rate_factor(recipe, step)


def trainable_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require a gradient."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def master_weight(weight: Tensor, offload: bool) -> Tensor:
    """Copy a weight in float32, on its own device or, with offload, on the CPU."""
    return weight.detach().to("cpu" if offload else weight.device, torch.float32, copy=True)


class Optimiser:
    """AdamW for the trainable parameters of a network, which is cast to `dtype` first and updated in place."""

    def __init__(self, network: nn.Module, recipe: Recipe, rate: float, dtype: torch.dtype) -> None:
        self.network, self.recipe, self.rate = network, recipe, rate
        masters: list[nn.Parameter] = []
        if dtype != torch.float32 or recipe.offload_optimizer:
            masters = [
                nn.Parameter(master_weight(weight, recipe.offload_optimizer))
                for weight in trainable_parameters(network)
            ]
        network.to(dtype)
        self.weights = trainable_parameters(network)
        self.masters = masters or self.weights
        self.adam = torch.optim.AdamW(self.masters, lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay)

    def step(self, losses: Iterable[Tensor], step: int) -> tuple[float, float]:
        """Make one step on the sum of losses.

        Args:
            losses: Is consumed one by one: the graph of a loss is freed before the next loss is computed. The gradients
                are added up in float32.

        Returns:
            The sum of the losses, and the norm of its gradient before clipping.

        Raises:
            FloatingPointError: The loss or its gradient is not finite; no weight was changed.
        """
        self.adam.zero_grad()
        total = 0.0
        for loss in losses:
            loss.backward()
            self._move_gradients()
            total += loss.item() / world_size()
        total = sum(all_gather(total))
        norm = float(full_tensor(nn.utils.clip_grad_norm_(self.masters, self.recipe.max_grad_norm)))
        if not math.isfinite(total) or not norm < float("inf"):
            raise FloatingPointError(
                f"step {step + 1}: the loss is {total} and its gradient norm {norm}; lower learning_rate"
            )
        for group in self.adam.param_groups:
            group["lr"] = self.rate * learning_rate_factor(self.recipe, step)
        self.adam.step()
        self._refresh()
        return total, norm

    def _move_gradients(self) -> None:
        """Move the network's gradients to the master weights, unless the network's weights are the master weights."""
        for master, weight in zip(self.masters, self.weights, strict=True):
            if master is not weight and weight.grad is not None:
                gradient = weight.grad.to(master.device, torch.float32)
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                weight.grad = None

    @torch.no_grad()
    def _refresh(self) -> None:
        for master, weight in zip(self.masters, self.weights, strict=True):
            if master is not weight:
                weight.copy_(master)

    def state_dict(self) -> dict[str, Any]:
        """Return the trained weights in float32 and the state of AdamW, gathered from all shards."""
        adam = tree_map_only(Tensor, full_tensor, self.adam.state_dict())
        return {"weights": [full_tensor(master.detach()) for master in self.masters], "adam": adam}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, in the network too."""
        for master, saved in zip(self.masters, state["weights"], strict=True):
            master.copy_(shard_like(saved, master))
        moments = {
            index: {name: shard_like(value, self.masters[index]) for name, value in saved.items()}
            for index, saved in state["adam"]["state"].items()
        }
        self.adam.load_state_dict({**state["adam"], "state": moments})
        self._refresh()
