"""One's own model, data and reward through experiments/own.yaml: what it plans, what it says, and a run of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from dopr.evaluation.completions import reward_settings
from project import ROOT, Project, edit, rules_in

pytestmark = pytest.mark.slow
OWN = ("--configfile", "experiments/own.yaml")
REWARD = """\
def right(prompt, text):
    return sum(a == b for a, b in zip(prompt["answer"], text)) / max(len(text), len(prompt["answer"]))
"""
SELECTOR = """\
from dataclasses import dataclass

from dopr.selection.selector import Setup, StatelessSelector


@dataclass
class Halves(StatelessSelector):
    setup: Setup
    part: int = 1

    def select(self, step):
        half = len(self.setup.pool) // 2
        return [self.setup.pool[self.part * half + step % half]]
"""


def make_model(folder: Path) -> None:
    """A Llama of four layers in bfloat16 and shards, with 15 tokens, an end token that its tokenizer does not know as
    one, and no chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    tokens = [*"0123456789+=", "<s>", "</s>", "<pad>"]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    shape = LlamaConfig(
        vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=32, eos_token_id=13, bos_token_id=12, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
    (folder / "generation_config.json").unlink()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the files are there, and the lines of own.yaml that name them are edited."""
    project = Project.copy(tmp_path_factory.mktemp("own"))
    make_model(project.folder / "models/sums")
    lines = [json.dumps({"ask": f"{i}+{j}=", "sum": i + j}) + "\n" for i in range(4) for j in range(4)]
    (project.folder / "sums.jsonl").write_text("".join(lines))
    for old, new in (
        ("models/mine", "models/sums"),
        ("template: own", "template: plain"),
        ("data/train.jsonl", "sums.jsonl"),
        ("data/exam.jsonl", "sums.jsonl"),
        ("question: question, answer: answer", "question: ask, answer: sum"),
        ("max_new_tokens: 512", "max_new_tokens: 3"),
    ):
        edit(project, "experiments/own.yaml", old, new)
    return project


def test_the_overlay_is_twenty_lines_and_a_few(own: Project) -> None:
    lines = (ROOT / "experiments/own.yaml").read_text().splitlines()
    assert sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines) <= 25


def test_it_plans_what_it_needs_and_nothing_of_the_demonstration(own: Project) -> None:
    code, output = own.snakemake("-n", "--quiet", "progress", *OWN)
    assert code == 0, output
    assert rules_in(output) == {
        *(
            "code",
            "data",
            "store",
            "evaluate_base",
            "train",
            "evaluate",
            "trained",
            "evaluated",
            "tables",
            "track",
            "all",
        ),
        *(f"accuracy_vs_{cost}_figure" for cost in ("rollouts", "tokens", "cpu_seconds", "wall_seconds")),
        *("selection_figure", "performance_profile_figure", "training_figure", "responses_figure"),
    }
    assert set(re.findall(r"results/data/\w+\.jsonl", output)) == {
        f"results/data/{name}.jsonl" for name in ("test", "validation", "mine")
    }


def test_a_method_that_reads_it_brings_the_profile(own: Project) -> None:
    (own.folder / "dopr.yaml").write_text("methods: [grpo, dopr_profile]\n")
    added = {"profile", "profile_figure", "replay_figure", "informative_figure", "acquisition_figure"}
    assert own.planned(*OWN, "dopr.yaml") & (added | {"bounds", "claims", "published_tables"}) == added


@pytest.fixture(scope="module")
def shipped_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copy(tmp_path_factory.mktemp("shipped"))


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("seeds: [0]", "experiments/own.yaml: data.sources.exam.file: data/exam.jsonl: no such file"),
        ("train: {learning_rat: 1}", "mine.yaml: train.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("rollout: {temperature: -1}", "mine.yaml: rollout.temperature: -1 is refused"),
        ("evaluate: {reward: mine.py:f}", "mine.yaml: evaluate.reward: 'mine.py:f' cannot be loaded"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(shipped_as_it_is: Project, overlay: str, message: str) -> None:
    (shipped_as_it_is.folder / "mine.yaml").write_text(overlay)
    code, output = shipped_as_it_is.snakemake("-n", *OWN, "mine.yaml")
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert error.startswith(f"error: {message}")


def test_a_model_of_foreign_make_learns_digits_and_is_evaluated_by_a_reward_of_ones_own(own: Project) -> None:
    """By configuration alone: the reward's two lines, and a shorter run than own.yaml has."""
    (own.folder / "my_reward.py").write_text(REWARD)
    for line in ("reward: {kind: function, function: &score my_reward.py:score}", "reward: *score"):
        edit(own, "experiments/own.yaml", f"# {line}", line)
    edit(own, "experiments/own.yaml", "my_reward.py:score", "my_reward.py:right")
    short = {
        "methods": ["grpo"],
        "recipes": {"grpo": {"prompts_per_step": 8, "steps": 60, "learning_rate": 0.003}},
        "evaluate": {"bootstrap": 20},
    }
    (own.folder / "short.yaml").write_text(yaml.safe_dump(short))
    code, output = own.snakemake("--cores", "1", "results/tables/main.csv", *OWN, "short.yaml")
    assert code == 0, output
    metrics = pd.read_csv(own.folder / "results/train/mine/grpo/0/metrics.csv")
    assert metrics["reward"].iloc[-10:].mean() > 2 * metrics["reward"].iloc[:10].mean()

    # Each reward is the function's, on the text without its end token, and accuracy is their mean.
    table = pq.read_table(own.folder / "results/evaluate/mine/grpo/0/completions.parquet")
    assert reward_settings(table)["exam"]["function"] == "my_reward.py:right"
    frame = table.to_pandas()
    assert sorted(frame["rollouts"].unique()) == [0, 256, 512, 960, 1920, 3840]  # whole steps of 64
    scope: dict = {}
    exec(REWARD, scope)
    rewards = [scope["right"]({"answer": row.answer}, row.text) for row in frame.itertuples()]
    assert rewards == frame["reward"].tolist()
    assert frame["reward"].between(0, 1, inclusive="neither").any()
    assert not frame["text"].str.contains("</s>").any()
    assert ((frame["verdict"] == "correct") == (frame["reward"] == 1)).all()
    main = pd.read_csv(own.folder / "results/tables/main.csv").set_index("method")["all"]
    sampled = frame[frame["mode"] == "sampled"].groupby("rollouts")["reward"].mean()
    assert main["base"] == pytest.approx(sampled[0], abs=1e-6)
    assert main["grpo"] == pytest.approx(sampled[3840], abs=1e-6)
    assert main["grpo"] > 2 * main["base"]


def test_a_selector_in_a_file_of_ones_own_trains_and_is_trained_again_when_it_changes(own: Project) -> None:
    (own.folder / "my selectors").mkdir()
    file = own.folder / "my selectors/halves.py"
    file.write_text(SELECTOR)
    recipe = {"selector": "my selectors/halves.py:Halves", "options": {"part": 0}, "steps": 3}
    overlay = {"methods": ["grpo", "halves"], "recipes": {"halves": recipe}}
    (own.folder / "halves.yaml").write_text(yaml.safe_dump(overlay))
    target = "results/train/mine/halves/0/metrics.csv"
    asked = ("--cores", "1", target, *OWN, "halves.yaml", "--config", "on_code_change=restart")
    code, output = own.snakemake(*asked)
    assert code == 0, output
    ledger = pd.read_parquet((own.folder / target).with_name("ledger.parquet"))
    pool = [json.loads(line)["id"] for line in (own.folder / "results/data/mine.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(ledger["prompt"])) == pool[:3]

    file.write_text(SELECTOR.replace("self.part * half + step % half", "self.part * half + (step + 1) % half"))
    code, output = own.snakemake(*asked)
    assert code == 0, output
    ledger = pd.read_parquet((own.folder / target).with_name("ledger.parquet"))
    assert list(dict.fromkeys(ledger["prompt"])) == pool[1:4]
    assert own.snakemake(*asked)[1].count("Nothing to be done") == 1
