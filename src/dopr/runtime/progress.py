"""One line now and then that says how far a job is."""

from __future__ import annotations

import sys
import time
from typing import TextIO

EVERY_SECONDS = 5.0


class Progress:
    """Prints `name: step/steps, numbers, time left`, at most every few seconds, and once at the end."""

    def __init__(self, name: str, steps: int, stream: TextIO = sys.stderr) -> None:
        self.name, self.steps, self.stream = name, steps, stream
        self._printed = time.monotonic()

    def report(self, step: int, text: str, seconds_left: float) -> None:
        """Note that `step` steps are done; `text` holds the numbers worth seeing."""
        now = time.monotonic()
        if step < self.steps and now - self._printed < EVERY_SECONDS:
            return
        self._printed = now
        ending = f"{_clock(seconds_left)} left" if step < self.steps else "done"
        print(f"{self.name}: step {step}/{self.steps}, {text}, {ending}", file=self.stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
