"""AdamW on float32 weights, whatever type the network computes in.

A bfloat16 weight cannot take a step of less than 1/256 of its size, so at the learning rates of reinforcement learning
it would mostly stand still. A network in bfloat16 is therefore a working copy: gradients are taken over to float32
masters, which the optimiser moves, and the copy is refreshed from them after every step. Checkpoints keep the masters.
With recipe.offload_optimizer masters, their gradients and AdamW's means are in the processor's memory and not a GPU's.
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


def schedule(recipe: Recipe, step: int) -> float:
    """The factor of every learning rate, steps counted from 0: it rises linearly over recipe.warmup_steps, and from
    first to last step it falls linearly towards recipe.final_rate."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    return warm * (1.0 - (1.0 - recipe.final_rate) * step / recipe.steps)


def learning_rate(recipe: Recipe, step: int) -> float:
    """The policy's learning rate at a step."""
    return recipe.learning_rate * schedule(recipe, step)


def trainable_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The weights that take gradients."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def master_weights(weight: Tensor, offload: bool) -> Tensor:
    """A copy of a weight in float32, on its device or the processor."""
    return weight.detach().to("cpu" if offload else weight.device, torch.float32, copy=True)


class Optimiser:
    """Optimises a network in place, those of its weights that take gradients; casts it to `dtype` first."""

    def __init__(self, network: nn.Module, recipe: Recipe, rate: float, dtype: torch.dtype) -> None:
        self.network, self.recipe, self.rate = network, recipe, rate
        exact: list[nn.Parameter] = []
        if dtype != torch.float32 or recipe.offload_optimizer:
            exact = [
                nn.Parameter(master_weights(weight, recipe.offload_optimizer))
                for weight in trainable_parameters(network)
            ]
        network.to(dtype)
        self.weights = trainable_parameters(network)
        self.masters = exact or self.weights
        self.adam = torch.optim.AdamW(self.masters, lr=rate, betas=recipe.betas, weight_decay=recipe.weight_decay)

    def step(self, losses: Iterable[Tensor], step: int) -> tuple[float, float]:
        """One step down the gradient of the sum of `losses`; returns that sum, and the gradient's norm before it was
        clipped. Each loss's graph is let go before the next one is asked for; gradients add up in float32.

        Raises:
            FloatingPointError: the loss or its gradient is not finite; nothing was changed.
        """
        self.adam.zero_grad()
        total = 0.0
        for loss in losses:
            loss.backward()
            self._take_gradients()
            total += loss.item() / world_size()
        total = sum(all_gather(total))
        norm = float(full_tensor(nn.utils.clip_grad_norm_(self.masters, self.recipe.max_grad_norm)))
        if not math.isfinite(total) or not norm < float("inf"):
            raise FloatingPointError(
                f"step {step + 1}: the loss is {total} and its gradient norm {norm}; lower learning_rate"
            )
        for group in self.adam.param_groups:
            group["lr"] = self.rate * schedule(self.recipe, step)
        self.adam.step()
        self._refresh()
        return total, norm

    def _take_gradients(self) -> None:
        """Add the network's gradients to the masters'; where it is its own master there is nothing to do."""
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
        """The weights that are trained, in float32, and what AdamW remembers; whole, if they are sharded."""
        adam = tree_map_only(Tensor, full_tensor, self.adam.state_dict())
        return {"weights": [full_tensor(master_weights.detach()) for master_weights in self.masters], "adam": adam}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict; the network has its weights again."""
        for master, kept in zip(self.masters, state["weights"], strict=True):
            master.copy_(shard_like(kept, master))
        means = {
            place: {name: shard_like(value, self.masters[place]) for name, value in known.items()}
            for place, known in state["adam"]["state"].items()
        }
        self.adam.load_state_dict({**state["adam"], "state": means})
        self._refresh()
