"""The benchmark against TRL: both sides run the steps asked for, on completions that end as the case says."""

from __future__ import annotations

import pytest

import step
from dopr.models import checkpoint_io
from dopr.rollout.torch_engine import TorchEngine
from step import (
    ENDS,
    BenchmarkError,
    Case,
    Lap,
    lines,
    make_model,
    parse,
    prompt_numbers,
    prompt_tokens,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The model of each kind of ends."""
    found = {ends: tmp_path_factory.mktemp(ends) for ends in ENDS}
    for ends, folder in found.items():
        make_model(folder, ends)
    return found


def test_the_model_has_the_size_it_is_said_to_have(folders):
    policy = checkpoint_io.load(folders["fixed"])
    assert sum(parameter.numel() for parameter in policy.parameters()) == pytest.approx(0.8e6, rel=0.02)


def test_completions_end_as_the_case_says(folders):
    def lengths(ends):
        prompts = [prompt_tokens(i) for i in range(16)]
        groups = TorchEngine.from_folder(folders[ends]).generate(prompts, 8, 1.0, step.NEW, seed=0)
        return [len(sample.tokens) for group in groups for sample in group]

    assert set(lengths("fixed")) == {64}
    assert 25 < sum(lengths("random")) / 128 < 41
    assert len(set(lengths("random"))) > 30


def test_half_the_prompts_of_a_step_have_a_signal_and_a_single_one_always_has():
    for at_once in (16, 1):
        numbers = prompt_numbers(at_once)
        odd = [prompt_tokens(next(numbers))[0] % 2 for _ in range(16)]
        assert sum(odd) == (8 if at_once == 16 else 16)
    assert step.reward((3, 4), (6,), "random") == 0.0
    assert step.reward((3, 4), (6,), "fixed") == step.reward((3, 4), (7,), "random") == 1.0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_our_side_takes_each_step_and_says_how_many_tokens_it_drew(folders, monkeypatch, dtype):
    monkeypatch.setattr(step, "NEW", 30)  # bfloat16 rows of 64 fail where PyTorch is told to do without AVX-512
    laps = step.ours(Case(2, 4, "fixed", dtype), folders["fixed"], 2, 0)
    assert [lap.tokens for lap in laps] == [2 * 4 * 30] * 2
    assert all(0 < lap.rollout < lap.seconds for lap in laps)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["TRL, defaults", "TRL, best"])
def test_trl_takes_each_step(folders, side):
    laps = step.theirs(Case(2, 4, "random", "float32"), folders["random"], 2, side)
    assert len(laps) == 2
    assert all(lap.seconds > 0 for lap in laps)


def test_the_table_has_medians_and_ratios():
    laps = {
        "TRL, best": [Lap(4.0, 0.0, 0), Lap(2.0, 0.0, 0), Lap(3.0, 0.0, 0)],
        "dopr": [Lap(1.5, 0.5, 1024), Lap(1.5, 0.5, 1024)],
    }
    theirs, ours = lines(Case(2, 8, "fixed", "float32"), laps)
    assert theirs == "| float32 | 2 x 8 | fixed | TRL, best | 3.000 [2.000-4.000] | 0.50 | - |"
    assert ours.endswith("| 1.500 [1.500-1.500] | 1.00 | 0.500 / 1.000 (2048 tokens/s, 64 a completion) |")


@pytest.mark.parametrize("shape", ["16x8", "16:fixed", "ax8:fixed", "16x8:short"])
def test_a_shape_that_is_none_is_refused(shape):
    assert parse("16x8:random", "float32") == Case(16, 8, "random", "float32")
    with pytest.raises(BenchmarkError, match=r"--shapes: '.*' is no shape; write 16x8:fixed"):
        parse(shape, "float32")


def test_without_trl_the_command_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(step, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="TRL, which is not installed: pip install"):
        step.main([])
