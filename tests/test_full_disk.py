"""A disk that refuses to take more costs one line that names the file, whatever library writes it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from dopr.files import write_atomically, write_json
from dopr.models import checkpoint_io
from dopr.models.network import Policy
from dopr.parquet_files import write_parquet
from dopr.runtime.run_state import RunState
from project import ROOT

LIMIT = 4096  # bytes of a file


@pytest.fixture
def limited() -> Iterator[None]:
    """Refuse files of more than LIMIT bytes, as a full disk does, to root too; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_policy(path: Path) -> None:
    policy: Policy = checkpoint_io.load(ROOT / "resources/toy_policy")
    write_atomically(path, lambda temporary: checkpoint_io.save(policy, temporary, ROOT / "resources/toy_policy"))


WRITERS: dict[str, Callable[[Path], object]] = {
    "a checkpoint": lambda path: RunState(path.parent).save(7, {"weights": torch.zeros(5000)}),
    "a policy": save_policy,
    "a table": lambda path: write_parquet(path, pa.table({"a": torch.randn(5000).numpy()})),
    "JSON": lambda path: write_json(path, list(range(5000))),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.usefixtures("limited")
def test_a_file_that_the_disk_refuses_is_named_and_nothing_is_left(tmp_path: Path, writer: str) -> None:
    with pytest.raises(OSError, match="File too large") as caught:
        WRITERS[writer](tmp_path / "written")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
