"""The decoding benchmark: what it times is what it says, on a random model; times are not asserted."""

from __future__ import annotations

import re

import pytest
import torch

from dopr.cli import main
from dopr.commands import bench_decode
from dopr.commands.bench_decode import Bench, draw, prompts_of, random_policy, shape, timed_step
from dopr.commands.workload import grpo
from dopr.errors import UserError
from dopr.policy.learner import Learner
from dopr.roofline import Load, Machine

LOAD = Load(2, 8, 5, 6)


@pytest.fixture
def bench(monkeypatch) -> Bench:
    monkeypatch.setattr(Machine, "measured", lambda device, dtype: Machine(1e10, 1e11))
    return Bench.prepare("embedded", "float32", "cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_tables_are_printed(capsys, monkeypatch, dtype):
    monkeypatch.setattr("dopr.roofline.COPIED", {"cpu": 2**22})
    options = ["--sequences", "4", "16", "--prompt", "3", "--new", "4", "--grpo", "2", "--repeats", "1"]
    main(["bench-decode", "--device", "cpu", "--dtype", dtype, *options])
    title, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert re.match(rf"embedded, {dtype}, one thread, .* measured: \d+\.\d GB/s, \d+ GFLOP/s$", title)
    assert head.startswith("| sequences | ms a token | tokens/s | of bandwidth | of arithmetic |")
    assert [row.split(" | ")[0] for row in rows[:2]] == ["| 4", "| 16"]
    assert [row.split(" | ")[:2] for row in rows[5:]] == [["| GRPO", "2 x 8"], ["| DoPR", "1 x 8"]]
    assert all(re.search(r"( \| [\d.,]+){3,} \|$", row) for row in (*rows[:2], *rows[5:]))


def test_all_completions_run_to_the_limit_from_different_prompts(bench):
    groups = draw(bench, LOAD, LOAD.new)
    assert [len(group) for group in groups] == [8, 8]
    assert {len(sample.tokens) for group in groups for sample in group} == {6}
    assert len({tuple(prompt) for prompt in prompts_of(LOAD, bench.config)}) == 2


def test_a_step_samples_from_the_policy_and_trains_it_on_every_completion(bench, monkeypatch):
    seen = []
    learn = Learner.learn
    monkeypatch.setattr(Learner, "learn", lambda *given: seen.append((given[1], learn(*given))))
    before = bench.policy.model.embed_tokens.weight.detach().clone()
    bench_decode.timed_steps(bench, LOAD, 1, None)
    (groups, (statistics, updates)), _ = seen
    assert updates == 1
    assert statistics.logprob_gap < 1e-4
    assert statistics.grad_norm > 0
    assert [len({rollout.reward for rollout in group}) for group in groups] == [2, 2]
    assert not torch.equal(before, bench.policy.model.embed_tokens.weight)
    assert all(lap > 0 for lap in timed_step(bench, Learner(bench.policy, *limits()), LOAD, 0))


def limits():
    recipe = grpo(LOAD.prompts, LOAD.samples, 2, micro_batch_tokens=16)
    return recipe, bench_decode.Sampling(temperature=1.0, max_new_tokens=6), 0


def test_random_weights_are_small_and_norms_are_one():
    policy = random_policy(shape("embedded"), "cpu")
    assert policy.model.embed_tokens.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(policy.model.norm.weight, torch.ones(64))


def test_the_network_is_of_the_family_that_the_shape_says():
    assert shape("Qwen/Qwen2.5-Math-1.5B")["model_type"] == "qwen2"
    assert shape("meta-llama/Llama-3.2-3B-Instruct")["model_type"] == "llama"
    with pytest.raises(UserError, match=r"--model: .*model_shapes.json has no 'embeded'.*embedded"):
        shape("embeded")
