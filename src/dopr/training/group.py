"""A group of rollouts on its way from the sampler to the update."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dopr.records import Rollout
from dopr.selection.selector import GroupResult, RolloutRequest


@dataclass(frozen=True, eq=False)
class Group(GroupResult):
    """All rollouts of one group; of them, `new` are this step's. Selectors see what GroupResult has."""

    rollouts: tuple[Rollout, ...] = ()
    new: tuple[Rollout, ...] = ()

    @classmethod
    def of(cls, rollouts: Iterable[Rollout], new: Iterable[Rollout] = ()) -> Group:
        """Make a group of the rollouts it had and the new ones."""
        new = tuple(new)
        every = (*rollouts, *new)
        tokens = sum(len(rollout.tokens) for rollout in every)
        surprise = -sum(sum(rollout.logprobs) for rollout in every)
        return cls(every[0].prompt.id, tuple(rollout.reward for rollout in every), surprise / tokens, every, new)

    @property
    def result(self) -> GroupResult:
        """What the new rollouts alone show."""
        return Group.of(self.new)


def merge_held(
    held: Sequence[Group], requests: Sequence[RolloutRequest], sampled: Sequence[Sequence[Rollout]]
) -> list[Group]:
    """Put each request's rollouts into the held group it names, or into a group of its own.

    Returns:
        The held groups, in their order, then the new ones.
    """
    grown: dict[GroupResult, list[Rollout]] = {group: [] for group in held}
    fresh: list[Group] = []
    for request, rollouts in zip(requests, sampled, strict=True):
        if request.group is None:
            fresh.append(Group.of((), rollouts))
        else:
            grown[request.group] += rollouts
    return [*(Group.of(group.rollouts, grown[group]) for group in held), *fresh]
