"""A group of rollouts, from the sampler to the update."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dopr.records import Rollout
from dopr.selection.selector import GroupResult, RolloutRequest


@dataclass(frozen=True, eq=False)
class Group(GroupResult):
    """A group with its rollouts, of which a selector sees the fields of GroupResult.

    Attributes:
        rollouts: All rollouts of the group, those that were held first.
        new: Those of them that were generated in this step.
    """

    rollouts: tuple[Rollout, ...] = ()
    new: tuple[Rollout, ...] = ()

    @classmethod
    def from_rollouts(cls, held: Iterable[Rollout], new: Iterable[Rollout] = ()) -> Group:
        """Make a group of held and new rollouts of one prompt."""
        new = tuple(new)
        rollouts = (*held, *new)
        tokens = sum(len(rollout.tokens) for rollout in rollouts)
        entropy = -sum(sum(rollout.logprobs) for rollout in rollouts) / tokens
        return cls(rollouts[0].prompt.id, tuple(rollout.reward for rollout in rollouts), entropy, rollouts, new)

    @property
    def new_result(self) -> GroupResult:
        """The result of the new rollouts alone."""
        return Group.from_rollouts(self.new)


def merge_held(
    held: Sequence[Group], requests: Sequence[RolloutRequest], sampled: Sequence[Sequence[Rollout]]
) -> list[Group]:
    """Add each request's rollouts to the held group that it names, or make a new group of them.

    Returns:
        The held groups, in their order, then the new groups.
    """
    added: dict[GroupResult, list[Rollout]] = {group: [] for group in held}
    new_groups: list[Group] = []
    for request, rollouts in zip(requests, sampled, strict=True):
        if request.group is None:
            new_groups.append(Group.from_rollouts((), rollouts))
        else:
            added[request.group] += rollouts
    return [*(Group.from_rollouts(group.rollouts, added[group]) for group in held), *new_groups]
