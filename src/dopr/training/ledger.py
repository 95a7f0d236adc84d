"""The ledger: one row for every rollout that training or profiling generated, whatever became of it.

During a run it consists of Parquet parts, one per checkpoint, each named by the number of finished steps. A resumed run
drops the parts after its checkpoint. At the end the parts are joined into one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from dopr.parquet_files import read_parquet, write_parquet
from dopr.records import Phase, Rollout
from dopr.runtime.distributed import is_main_process

SCHEMA = pa.schema(
    {
        "run": pa.string(),
        "phase": pa.string(),
        "step": pa.int32(),
        "prompt": pa.string(),
        "sample": pa.int32(),
        "prompt_tokens": pa.int32(),
        "completion_tokens": pa.int32(),
        "reward": pa.float32(),
        "verdict": pa.string(),
        "finish": pa.string(),
    }
)


class Ledger:
    """The rows of one run, flushed to numbered parts in `folder`."""

    def __init__(self, folder: Path, run: str, steps_done: int) -> None:
        """Continue after `steps_done` steps; later parts are deleted, because their steps will be run again."""
        self.folder, self.run = folder, run
        self._rows: list[dict[str, object]] = []
        for part in folder.glob("*.parquet") if is_main_process() else ():
            if int(part.stem) > steps_done:
                part.unlink()

    def add(self, step: int, rollouts: Sequence[Rollout], phase: Phase) -> None:
        """Add the rollouts of a step, counted from 0."""
        for rollout in rollouts:
            self._rows.append(
                {
                    "run": self.run,
                    "phase": phase,
                    "step": step,
                    "prompt": rollout.prompt.id,
                    "sample": rollout.sample,
                    "prompt_tokens": len(rollout.prompt_tokens),
                    "completion_tokens": len(rollout.tokens),
                    "reward": rollout.reward,
                    "verdict": rollout.verdict,
                    "finish": rollout.finish,
                }
            )

    def flush(self, steps_done: int) -> None:
        """Write the rows since the last flush as one part; all processes have the same rows, the main one writes."""
        table = pa.Table.from_pylist(self._rows, SCHEMA)
        if is_main_process():
            write_parquet(self.folder / f"{steps_done:08d}.parquet", table)
        self._rows = []

    def write(self, path: Path) -> None:
        """Join all parts into one file at `path`.

        Raises:
            DataError: A part is damaged.
        """
        parts = sorted(self.folder.glob("*.parquet"))
        table = pa.concat_tables([read_parquet(part, SCHEMA.names, may_be_empty=True) for part in parts])
        write_parquet(path, table.combine_chunks())
