"""Fixtures shared by the tests: the shipped configuration, a tiny random policy, and a small prompt pool."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import yaml

from dopr.config import Config, Pool, Verify
from dopr.data.arithmetic import vocabulary
from dopr.data.splits import prompt_pool
from dopr.data.tokenizer import build_tokenizer
from dopr.policy.create import create
from dopr.verify.grader import Grader

ROOT = Path(__file__).parents[1]
torch.set_num_threads(1)


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
    return Verify(seconds=1, memory_mb=1024, max_error_share=0.05)


@pytest.fixture(scope="session")
def grader(limits):
    with Grader(limits) as shared:
        yield shared
