"""dopr plan: sizes of known models, rollouts held to a finished run's ledgers, and costs worked out by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from dopr.cli import main
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.files import DataError, read_json, write_prompts
from dopr.models import checkpoint_io
from dopr.planning.cost import COLUMNS, TABLE, Throughput, disk, memory
from dopr.planning.shape import KNOWN_SHAPES, Shape, shape_of, warm_start_config
from dopr.planning.work import Lengths, Work, questions_of_benchmarks, trained_rows, work_of
from dopr.records import Prompt
from fixture_gguf import tensors, write
from project import ROOT, SMOKE, Project

LENGTHS = Lengths(prompt=10, completion=20)


# --- sizes ---


@pytest.mark.parametrize(
    ("name", "parameters", "cache_bytes"),
    [
        ("Qwen/Qwen2.5-Math-1.5B", 1_543_714_304, 28_672),
        ("Qwen/Qwen2.5-Math-7B", 7_615_616_512, 57_344),
        ("meta-llama/Llama-3.2-3B-Instruct", 3_212_749_824, 114_688),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1_777_088_000, 28_672),
    ],
)
def test_a_listed_model_has_as_many_parameters_as_its_card_says(name: str, parameters: int, cache_bytes: int) -> None:
    shape = Shape.of(read_json(KNOWN_SHAPES)[name])
    assert shape.parameters == parameters
    assert 2 * shape.cache_per_token == cache_bytes  # in bfloat16


def test_the_size_of_a_folder_is_that_of_its_network(raw: dict, tiny: Path) -> None:
    raw["base"]["model"] = str(tiny)
    assert shape_of(Config.parse(raw)).parameters == sum(p.numel() for p in checkpoint_io.load(tiny).parameters())


def test_the_size_of_a_gguf_file_is_known_before_it_is_a_folder(raw: dict, tmp_path: Path) -> None:
    raw["base"]["model"] = str(write(tmp_path / "small.gguf", tied=False))
    parameters = sum(math.prod(shape) for shape in tensors("llama", tied=False).values())
    assert shape_of(Config.parse(raw)).parameters == parameters


def test_the_size_of_a_reference_model_is_that_of_transformers(reference) -> None:
    found = Shape.of(read_json(reference.folder / "config.json"))
    assert found.parameters == sum(p.numel() for p in reference.model.parameters())


def test_a_model_that_nothing_is_known_of_is_refused(raw: dict, config: Config) -> None:
    assert Shape.of(warm_start_config(config.base.warm_start)).max_length == config.base.warm_start.max_length
    raw["base"]["model"] = "someone/something"
    with pytest.raises(UserError, match=r"base.model: nothing is known of the size of someone/something"):
        shape_of(Config.parse(raw))


def test_a_model_of_other_parts_is_refused() -> None:
    with pytest.raises(UserError, match=r"config.json of model type 'gpt2' has no hidden_size: sizes are counted for"):
        Shape.of({"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "vocab_size": 10})


# --- work ---


def rows_of(works: list[Work]) -> dict[tuple[str, str], Work]:
    return {(work.rule, work.method): work for work in works}


def test_rollouts_and_tokens_by_hand(raw: dict) -> None:
    raw |= {"pools": ["easy"], "methods": ["grpo", "dopr_reuse"], "seeds": [0, 1], "seeds_per_job": 1}
    raw["complexity"] = {**raw["complexity"], "methods": {1: "one_shot", "all": "grpo"}}
    found = rows_of(work_of(Config.parse(raw), LENGTHS))
    grpo = found["train", "grpo"]
    assert (grpo.jobs, grpo.runs, grpo.rollouts) == (2, 2, 2 * 16 * 16 * 8)
    assert (grpo.prompt_tokens, grpo.completion_tokens) == (10 * grpo.rollouts, 20 * grpo.rollouts)
    assert grpo.trained_tokens == 30 * grpo.rollouts
    assert found["train", "one_shot"].runs == 2  # for the sample-complexity figure
    assert found["profile", "profile"].rollouts == 96 * 16 * 8
    # Evaluated after 32 to 1024 rollouts, 6 points, of which GRPO with 128 a step has 32 and 64 in its first step too:
    # 128, 256, 512, 1024; and at its end, 2048.
    assert grpo.snapshots == 2 * 5
    policies, runs = sum(work.snapshots for work in found.values()), found["evaluate", ""].runs
    last, between = 8 * 24 * (1 + 2), 8 * 24 * 1
    assert found["evaluate", ""].rollouts == runs * last + (policies - runs) * between
    assert found["evaluate_base", ""].rollouts == last
    cold = next(name for name in Config.parse(raw).data.group_of)
    raw["evaluate"] |= {"between": 2, "samples": {"default": 3, cold: 1}, "temperature": {"default": 1, cold: 0}}
    # Of 8 benchmarks one is decoded greedily alone; the others have 2 samples between, and 3 and a greedy one last.
    found = rows_of(work_of(Config.parse(raw), LENGTHS))
    last, between = 24 * (1 + 7 * (1 + 3)), 24 * (1 + 7 * 2)
    assert found["evaluate", ""].rollouts == runs * last + (policies - runs) * between
    raw["evaluate"] |= {"between": None, "samples": None, "temperature": None}
    raw["evaluate"]["profile"] = "rigorous"  # every checkpoint alike
    found = rows_of(work_of(Config.parse(raw), LENGTHS))
    assert found["evaluate", ""].rollouts == policies * 8 * 24 * (1 + 8)


def test_replayed_rollouts_are_trained_on_and_not_counted_as_rollouts(raw: dict) -> None:
    raw |= {"pools": ["easy"], "methods": ["grpo_reuse"], "seeds": [0]}
    raw["complexity"]["pools"] = []
    # A step samples 8 prompts x 2, and its 8 passes each use these 16 and 16 replayed groups of 2.
    config = Config.parse(raw)
    recipe, work = config.recipes["grpo_reuse"], rows_of(work_of(config, LENGTHS))["train", "grpo_reuse"]
    assert trained_rows(recipe) == 8 * (16 + 16 * 2)
    assert trained_rows(recipe.model_copy(update={"epochs": 3})) == 3 * 8 * (16 + 16 * 2)
    assert trained_rows(recipe.model_copy(update={"reuse": None, "epochs": 3})) == 3 * 16
    assert (work.rollouts, work.trained_tokens) == (16 * 16, 30 * 16 * 384)


def test_in_an_overlay_only_methods_that_read_it_cost_a_profile(raw: dict) -> None:
    raw |= {"ablation": "mine", "methods": ["grpo", "dopr_cold"]}
    assert ("profile", "profile") not in rows_of(work_of(Config.parse(raw), LENGTHS))
    raw["methods"] = ["grpo", "dopr_profile"]
    assert rows_of(work_of(Config.parse(raw), LENGTHS))["profile", "profile"].runs == 2


def test_without_bounds_to_draw_only_methods_that_read_it_cost_a_profile(raw: dict) -> None:
    raw["methods"] = ["grpo", "dopr_cold"]
    assert rows_of(work_of(Config.parse(raw), LENGTHS))["profile", "profile"].runs == 2
    raw["complexity"]["pools"] = []
    assert ("profile", "profile") not in rows_of(work_of(Config.parse(raw), LENGTHS))


def test_questions_of_sources_are_counted_where_they_can_be(raw: dict, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "1", "answer": 1}\n{"question": "2", "answer": 2}\n')
    raw["data"]["sources"]["mine"] = {"file": str(tmp_path / "a.jsonl")}
    raw["data"]["sources"]["far"] = {"url": "https://example.org/a.jsonl", "sha256": "0" * 64}
    raw["data"]["benchmarks"] = {"a": ["chain3", "math500"], "b": ["mine"]}
    assert questions_of_benchmarks(Config.parse(raw)) == {"chain3": 24, "math500": 500, "mine": 2}
    raw["data"]["benchmarks"]["b"].append("far")
    with pytest.raises(UserError, match=r"data.sources.far.prompts: missing; say how many"):
        questions_of_benchmarks(Config.parse(raw))


@pytest.mark.slow
@pytest.mark.pipeline
def test_the_plan_of_the_smallest_run_is_what_its_ledgers_hold(finished: Project) -> None:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    from snakemake.utils import update_config

    update_config(raw, yaml.safe_load((ROOT / SMOKE[1]).read_text()))
    works = work_of(Config.parse(raw), LENGTHS)
    results = finished.folder / "results"

    def rows(pattern: str) -> int:
        return sum(pq.read_metadata(path).num_rows for path in results.glob(pattern))

    planned: dict[str, int] = {}
    for work in works:
        planned[work.rule] = planned.get(work.rule, 0) + work.rollouts
    assert planned["train"] == rows("train/*/*/*/ledger.parquet")
    assert planned["profile"] == rows("profile/*/ledger.parquet")
    bases = rows("base_completions/*/test.parquet")
    assert planned["evaluate_base"] == bases
    runs = len(list(results.glob("evaluate/*/*/*/completions.parquet")))  # each holds the base's again
    assert planned["evaluate"] == rows("evaluate/*/*/*/completions.parquet") - runs * bases

    code, output = finished.snakemake("-n", "--forceall", *SMOKE)
    assert code == 0, output
    stats = dict(re.findall(r"^([a-z_]+?)(?:_0(?:_1)?)? +(\d+)$", output, re.MULTILINE))
    for rule in planned:
        assert int(stats[rule]) == sum(work.jobs for work in works if work.rule == rule), rule


# --- cost ---


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = [",".join(COLUMNS), "2,G,10,100,50,mine", "2,G,1000,10000,50,mine", "8,G,10,40,9,yours", "2,H,1,1,1,x"]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    return tmp_path / "table.csv"


def test_hours_come_from_the_nearest_size_scaled_and_the_sequences_at_once(table: Path) -> None:
    found = Throughput.read(table, "G", 1_000_000_000)  # half of 2 billion: twice as fast
    assert [found.sampling_at(n) for n in (1, 10, 100, 1000, 5000)] == pytest.approx([200, 200, 2000, 20000, 20000])
    assert found.sources == ("mine",)
    work = Work("train", 1, rollouts=1, concurrent_samples=100, completion_tokens=7_200_000, trained_tokens=360_000)
    assert found.hours(work) == pytest.approx(1.0 + 1.0)  # 7.2 M at 2000 a second, 0.36 M at 100 a second
    assert Throughput.read(table, "G", 9_000_000_000).sources == ("yours",)


def test_a_table_that_lacks_something_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--gpu: .* has no 'B'; known are G, H"):
        Throughput.read(table, "B", 10**9)
    with pytest.raises(DataError, match="no such file; give its path"):
        Throughput.read(tmp_path / "none.csv", "G", 10**9)
    table.write_text("billions,gpu\n1,G\n")
    with pytest.raises(DataError, match="has no column 'sequences'"):
        Throughput.read(table, "G", 10**9)


def test_every_row_of_the_table_has_a_source() -> None:
    for line in TABLE.read_text().splitlines()[1:]:
        assert line.split(",", 5)[5].startswith(("assumption: ", "measured: ", "published: "))


def test_disk_and_memory_by_hand(config: Config) -> None:
    shape = Shape(
        parameters=1000,
        layers=1,
        heads=2,
        hidden_size=10,
        intermediate_size=40,
        query_size=8,
        key_size=2,
        vocab_size=100,
        max_length=100,
    )
    works = [
        Work("evaluate_base", 1, rollouts=1, completion_tokens=5),
        Work("train", 1, "a", rollouts=10, completion_tokens=7, snapshots=3),
        Work("train", 1, "b", rollouts=10, completion_tokens=7, snapshots=1),
        Work("evaluate", 1, rollouts=2, completion_tokens=10),
    ]
    found = disk(works, shape, "bfloat16", concurrent_runs=2)
    assert found == {"checkpoints": 24_000, "snapshots": 4 * 2000, "completions": 30, "ledgers": 23 * 30}
    recipe = config.recipes["grpo"]  # 128 rollouts a step
    half = recipe.model_copy(update={"dtype": "bfloat16", "loss": recipe.loss.model_copy(update={"kl": 0.1})})
    cache = 128 * 30 * 4
    needed = {"weights": 4000, "reference": 0, "gradients": 4000, "optimiser": 8000, "cache": 4 * cache}
    found = memory(recipe, config.rollout, shape, LENGTHS, 1)
    assert found == {**needed, "sampler": 0, "activations": found["activations"]}
    needed = {"weights": 1000, "reference": 1000, "gradients": 3000, "optimiser": 6000, "cache": cache}
    found = memory(half, config.rollout, shape, LENGTHS, 2)
    assert found == {**needed, "sampler": 2000, "activations": found["activations"]}


# --- the command ---


def test_one_gpu_of_24_gb_is_enough_for_its_overlay_and_about_an_hour(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "experiments/gpu24.yaml", "--gpu", "RTX-4090"])
    printed = capsys.readouterr().out
    hours = float(re.findall(r"\| all .*\| ([\d.]+) \|", printed)[0])
    assert 0.5 < hours < 1.5
    assert all(float(size) < 20 for size in re.findall(r"Memory of one GPU, \S+: ([\d.]+) GB", printed))


def test_an_optimiser_elsewhere_takes_nothing_of_a_gpu(config: Config) -> None:
    recipe = config.recipes["grpo"].model_copy(update={"dtype": "bfloat16"})
    shape = Shape(1000, 2, 2, 8, 16, 8, 8, 100, 64)
    here, there = (
        memory(recipe.model_copy(update={"offload_optimizer": offload}), config.rollout, shape, Lengths(8, 8), 1)
        for offload in (False, True)
    )
    assert (here["gradients"], here["optimiser"]) == (6000, 12000)
    assert (there["gradients"], there["optimiser"]) == (2000, 0)


def test_the_command_prints_every_part(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    main(["plan", "experiments/papers/one_shot_rlvr.yaml", "--gpu", "H100", "--mean-tokens", "1000"])
    printed = capsys.readouterr().out
    assert "Qwen/Qwen2.5-Math-1.5B, 1,543.7 M parameters" in printed
    assert "| train, grpo | 4 | 4 | 8,192,000 |" in printed  # four sets, 2000 steps of 1024
    assert "assumption: " in printed
    assert "Disk: " in printed
    assert re.search(r"Memory of one GPU, grpo: .*activations [\d,.]+, cache [\d,.]+\)\.", printed)


def test_the_length_of_prompts_is_measured_where_they_are(
    tiny: Path, raw: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw |= {"pools": ["easy"], "base": {**raw["base"], "model": str(tiny)}}
    raw["complexity"]["pools"] = ["easy"]
    Path("config.yaml").write_text(json.dumps(raw))
    main(["plan"])
    assert "Prompt: 150 tokens on average, assumed, as results/data has no pools yet" in capsys.readouterr().out
    prompts = [Prompt("a", "compute 1 + 2\n", "3", "chain1"), Prompt("b", "compute 1\n", "1", "chain1")]
    write_prompts(Path("results/data/easy.jsonl"), prompts)
    main(["plan"])  # compute, space, 1, +, space, 2, line break: 7; and 4
    assert "Prompt: 6 tokens on average, measured" in capsys.readouterr().out


def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match=f"error: none.yaml: no such file in {ROOT}; give its path"):
        main(["plan", "none.yaml"])
    (tmp_path / "mine.yaml").write_text("sedes: [1]\n")
    with pytest.raises(SystemExit, match=r"mine.yaml: sedes: unknown key; did you mean 'seeds'\?"):
        main(["plan", str(tmp_path / "mine.yaml")])
    (tmp_path / "mine.yaml").write_text("recipes: {dopr: {options: {exploraton: 1}}}\n")
    with pytest.raises(SystemExit, match=r"options.exploraton: selector dopr has no option .* did you mean 'explor"):
        main(["plan", str(tmp_path / "mine.yaml")])
