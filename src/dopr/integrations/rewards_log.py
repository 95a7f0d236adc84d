"""The log of a selector in another trainer: one JSON line for each group of rollouts, which `dopr replay` reads.

{"step": 0, "prompt": "124", "rewards": [1.0, 0.0, 0.0, 1.0]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dopr.files import DataError, write_text
from dopr.selection.selector import GroupResult


@dataclass(frozen=True)
class LoggedGroup:
    """A group of rollouts and the selector's step, counted from 0, at which it was sampled."""

    step: int
    group: GroupResult

    def line(self) -> str:
        """Return the group as a JSON line; an unknown entropy is left out."""
        fields: dict[str, Any] = {"step": self.step, "prompt": self.group.prompt, "rewards": list(self.group.rewards)}
        if math.isfinite(self.group.entropy):
            fields["entropy"] = self.group.entropy
        return json.dumps(fields) + "\n"


class RewardsLog:
    """A log that a run appends to.

    A run that starts anew or resumes does some steps a second time, so its first line removes the lines of that step
    and of later ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_cut = False

    def append(self, step: int, groups: Sequence[GroupResult]) -> None:
        """Add the groups of a step."""
        if not self.is_cut:
            write_text(self.path, "".join(logged.line() for logged in self.read() if logged.step < step))
            self.is_cut = True
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(LoggedGroup(step, group).line() for group in groups)

    def read(self) -> list[LoggedGroup]:
        """Return the groups logged so far, of this run and of those it resumes."""
        return read_groups(self.path) if self.path.is_file() else []


def read_groups(path: Path) -> list[LoggedGroup]:
    """Read a log; a last line without an end, of a run that was killed, is left out.

    Raises:
        DataError: If the file is missing, or a line is not a group; the message names the line.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give its path")
    groups = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], 1):
        try:
            fields = json.loads(line)
            group = GroupResult(
                str(fields["prompt"]), tuple(map(float, fields["rewards"])), fields.get("entropy", math.nan)
            )
            groups.append(LoggedGroup(int(fields["step"]), group))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: line {number} is not a group of rewards ({error}); remove it") from None
    return groups
