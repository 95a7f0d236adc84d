"""The starting policy of the embedded task as a file of this repository, so that nobody has to train it first.

The warm start takes minutes of one core, and on every kind of processor it ends with other digits. A shipped policy
costs nothing and is the same everywhere. `made_from.json` beside it records the settings, a hash of each question that
it was not trained on, and the hash of its weights. It stands in for a warm start that would have the same settings, and
whose held-out questions are among those. `make policy` makes it anew.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dopr.config.grading import Verify
from dopr.config.schema import WarmStart
from dopr.errors import UserError
from dopr.file_hashes import write_hashes
from dopr.files import read_json, sha256, write_atomically, write_json
from dopr.records import Prompt

SHIPPED = Path(__file__).parents[3] / "resources/toy_policy"
RECORD, WEIGHTS = "made_from.json", "model.safetensors"


def make_or_copy(settings: WarmStart, verify: Verify, held_out: Sequence[Prompt], output: Path, threads: int) -> None:
    """Write the policy of a warm start as a model folder, with its hashes: a copy of the shipped one, or a new one.

    Args:
        held_out: Questions that it must not be trained on.
        threads: For PyTorch, if it is made.

    Raises:
        UserError: The shipped weights are not those of their record.
    """
    if settings.shipped and is_made_from(SHIPPED, settings, held_out):
        write_atomically(output, partial(shutil.copytree, SHIPPED))
    else:
        from dopr.runtime.threads import use_threads  # imports PyTorch, which takes seconds
        from dopr.training.warm_start import make_base

        use_threads(threads)
        make_base(settings, verify, held_out, output)
        write_record(output, settings, held_out)
    write_hashes(output)


def is_made_from(folder: Path, settings: WarmStart, held_out: Sequence[Prompt]) -> bool:
    """Return whether the policy in a folder was made by these settings, and without the held-out questions.

    Raises:
        UserError: The weights are not those of the record.
    """
    if not (folder / RECORD).is_file():
        return False
    record = read_json(folder / RECORD)
    if record["settings"] != _described(settings) or not set(_hashes(held_out)) <= set(record["held_out"]):
        return False
    if sha256(folder / WEIGHTS) != record["weights"]:
        raise UserError(
            f"{folder / WEIGHTS}: not the file that {folder / RECORD} describes; take both from git again, or make "
            "them anew: make policy"
        )
    return True


def write_record(folder: Path, settings: WarmStart, held_out: Sequence[Prompt]) -> None:
    """Write down what the policy in a folder was made from."""
    weights = sha256(folder / WEIGHTS)
    record = {"settings": _described(settings), "weights": weights, "held_out": sorted(set(_hashes(held_out)))}
    write_json(folder / RECORD, record)


def _described(settings: WarmStart) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude={"shipped"})


def _hashes(prompts: Sequence[Prompt]) -> list[str]:
    return [hashlib.sha256(prompt.text.strip().encode()).hexdigest()[:12] for prompt in prompts]
