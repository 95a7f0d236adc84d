"""Fixtures shared by the tests: the shipped configuration, a tiny random policy, and a small prompt pool."""

from __future__ import annotations

import copy
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: more threads are slower on busy cores

import pytest
import torch
import yaml

from dopr.config.data import Pool
from dopr.config.schema import Config, Verify
from dopr.data.arithmetic import vocabulary
from dopr.data.splits import prompt_pool
from dopr.data.tokenizer import build_tokenizer
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.network import Policy
from project import SMOKE, Project

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker begins one when the other has nothing left."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shipped() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def raw(shipped) -> dict:
    """The mapping in config.yaml, to be changed at will."""
    return copy.deepcopy(shipped)


@pytest.fixture(scope="session")
def config(shipped) -> Config:
    return Config.parse(shipped)


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(vocabulary())


@pytest.fixture(scope="session")
def tiny(config, tokenizer, tmp_path_factory) -> Path:
    """A folder with a randomly initialised policy and its tokenizer."""
    from dopr.training.toy_policy import create  # imports transformers, which takes seconds

    folder = tmp_path_factory.mktemp("models") / "tiny"
    small = {"hidden_size": 32, "intermediate_size": 48, "layers": 2, "heads": 4, "max_length": 96}
    create(config.base.warm_start.model_copy(update=small), tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def pool() -> list:
    """Twelve prompts, three of which can never earn a reward."""
    families = {"chain1": 1.0, "mul2": 1.0, "eq1": 1.0}
    return prompt_pool("easy", Pool(size=12, zero_signal=0.25, families=families), 0, set())


@pytest.fixture(scope="session")
def limits() -> Verify:
    return Verify(seconds=1, memory_mb=1024, max_error_share=0.05, extraction="boxed")  # as in config.yaml


@pytest.fixture(scope="session")
def grader(limits):
    with Grader(limits) as shared:
        yield shared


@dataclass(frozen=True)
class Reference:
    """A network with random weights and eager attention, the folder it is saved in, and the policy loaded from it."""

    model: Any
    folder: Path
    policy: Policy


SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "eos_token_id": 1,
}
REFERENCES = {
    "qwen2-tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "qwen2-grouped": {"num_key_value_heads": 2, "tie_word_embeddings": False},
    "llama-grouped": {"num_key_value_heads": 1, "tie_word_embeddings": False},
    "llama-tied": {"num_key_value_heads": 2, "tie_word_embeddings": True, "head_dim": 16, "rms_norm_eps": 1e-5},
}


@pytest.fixture(scope="session", params=REFERENCES)
def reference(request, tiny, tmp_path_factory) -> Reference:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    known = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
    shape, network = known[request.param.partition("-")[0]]
    torch.manual_seed(0)
    theirs = network._from_config(shape(**SHAPE, **REFERENCES[request.param]), attn_implementation="eager").eval()
    for name, parameter in theirs.named_parameters():  # biases and norms too, which start as zeros and ones
        torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    shutil.copyfile(tiny / "tokenizer.json", folder / "tokenizer.json")
    return Reference(theirs, folder, checkpoint_io.load(folder))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which everything was run once, by the first of the test processes that needs it.

    DOPR_FINISHED names a folder that several test commands share, so that it is run once for all of them.
    """
    own = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("DOPR_FINISHED") or (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own))
    folder = shared / "finished"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            code, output = Project.copy(folder).snakemake(*SMOKE)
            assert code == 0, output
            (folder / "done").touch()
    assert (folder / "done").exists(), "the run failed in another test process"
    return Project(folder)


@pytest.fixture
def edited(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished copy, to be changed; times of modification are kept."""
    without = shutil.ignore_patterns(
        "log", "locks", "*.socket"
    )  # which Snakemake writes when others plan in that folder
    shutil.copytree(finished.folder, tmp_path / "edited", ignore=without)
    return Project(tmp_path / "edited")
