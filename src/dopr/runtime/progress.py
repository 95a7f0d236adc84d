"""Progress lines of a job."""

from __future__ import annotations

import sys
import time
from typing import TextIO

EVERY_SECONDS = 5.0


class Progress:
    """A printer of lines `NAME: step STEP/STEPS, TEXT, TIME left`, at most one per EVERY_SECONDS, and the last step."""

    def __init__(self, name: str, steps: int, stream: TextIO = sys.stderr) -> None:
        self.name, self.steps, self.stream = name, steps, stream
        self._printed = time.monotonic()

    def report(self, step: int, text: str, seconds_left: float) -> None:
        """Print a line, unless the last one is too recent.

        Args:
            step: Steps done.
            text: Numbers to show.
            seconds_left: Estimated time to the end.
        """
        now = time.monotonic()
        if step < self.steps and now - self._printed < EVERY_SECONDS:
            return
        self._printed = now
        remaining = f"{_clock(seconds_left)} left" if step < self.steps else "done"
        print(f"{self.name}: step {step}/{self.steps}, {text}, {remaining}", file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
