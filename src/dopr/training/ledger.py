"""The ledger: one row for every rollout generated for any reason. Every count in any figure comes from it.

During a run it is kept as parts beside the checkpoints, each named by the steps it covers, so that a resumed run
appends where its checkpoint stands; at the end the parts become one Parquet file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dopr.files import write_atomically
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
    """Rows of one run, flushed to numbered parts in `folder`."""

    def __init__(self, folder: Path, run: str, step: int) -> None:
        """Continue at `step`: parts beyond it belong to steps that will be run again."""
        self.folder, self.run = folder, run
        self.flushed = step
        self._rows: list[dict[str, object]] = []
        for part in folder.glob("*.parquet") if is_main_process() else ():
            if int(part.stem) > step:
                part.unlink()

    def add(self, step: int, rollouts: Sequence[Rollout], phase: Phase) -> None:
        """Note the rollouts of a step (counted from 0)."""
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

    def flush(self, step: int) -> None:
        """Write the rows since the last flush as the part that ends with `step` steps done; of several processes, which
        all have the same rows, the first writes."""
        table = pa.Table.from_pylist(self._rows, SCHEMA)
        if is_main_process():
            write_atomically(self.folder / f"{step:08d}.parquet", lambda path: pq.write_table(table, path))
        self._rows = []

    def write(self, path: Path) -> None:
        """Join all parts into one file."""
        table = pa.concat_tables([pq.read_table(part) for part in sorted(self.folder.glob("*.parquet"))])
        write_atomically(path, lambda temporary: pq.write_table(table.combine_chunks(), temporary))
