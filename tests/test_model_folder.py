"""Models of others: in shards, in bfloat16, from the hub's cache, and what is refused (kinds are in test_kinds)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from dopr.files import DataError
from dopr.models import checkpoint_io
from dopr.models.hub import HubError, fetch
from dopr.models.model_folder import check_folder, end_tokens, read_shape, read_tokenizer, read_weights, weight_files

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "eos_token_id": 1,
    "bos_token_id": None,
}
KINDS = {
    "Qwen2.5-Math": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": True}),
    "R1-Distill-Qwen": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": False}),
    "Llama-3.2": (LlamaForCausalLM, LlamaConfig, {"head_dim": 16, "tie_word_embeddings": True}),
}
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def write_tokenizer(folder: Path) -> None:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, 50)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    network, settings, changes = KINDS[request.param]
    torch.manual_seed(0)
    theirs = network(settings(**SMALL | changes)).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    theirs.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    write_tokenizer(tmp_path / "model")
    return tmp_path / "model", theirs


def test_every_kind_says_what_transformers_does_from_shards(kind):
    folder, theirs = kind
    check_folder(folder)
    assert len(weight_files(folder)) > 1
    ids = torch.randint(0, 50, (2, 40), generator=torch.Generator().manual_seed(0))
    ours = checkpoint_io.load(folder)
    with torch.no_grad():
        torch.testing.assert_close(ours.network(ids).logits, theirs(ids).logits, **CLOSE)


def test_a_checkpoint_that_was_saved_loads_in_transformers(kind, tmp_path):
    folder, theirs = kind
    checkpoint_io.save(checkpoint_io.load(folder), tmp_path / "again", like=folder)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again").state_dict()
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(again[name], weight)


def test_stored_bfloat16_is_read_as_its_exact_values(kind, tmp_path):
    theirs = kind[1]
    theirs.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    write_tokenizer(tmp_path / "half")
    ours = checkpoint_io.load(tmp_path / "half")
    for name, weight in ours.network.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, theirs.state_dict()[name].float())


# --- what is refused ---


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("config.json", {"vocab_size": None}, r"config.json: vocab_size: missing; get the whole checkpoint"),
        ("config.json", {"eos_token_id": 99}, r"end token 99 is beyond the vocabulary of 50"),
        ("config.json", None, r"config.json is missing; give a folder with a checkpoint"),
        ("tokenizer.json", None, r"tokenizer.json is missing; .*AutoTokenizer"),
        ("model.safetensors", None, r"model.safetensors is missing; .*save_pretrained"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(tiny, tmp_path, name, change, problem):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    shape = json.loads((folder / "config.json").read_text()) | {"vocab_size": 50}
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(shape))
    if change is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(json.dumps({**shape, **change}))
    with pytest.raises(DataError, match=problem):
        check_folder(folder)


def test_a_shard_that_is_missing_is_named(kind):
    folder, _ = kind
    weight_files(folder)[1].unlink()
    with pytest.raises(DataError, match=r"names model-00002-of-\d+.safetensors, which is missing"):
        read_weights(folder)


def test_pickles_are_never_read(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "model/model.safetensors").rename(tmp_path / "model/pytorch_model.bin")
    with pytest.raises(DataError, match="give a folder with a checkpoint in safetensors"):
        check_folder(tmp_path / "model")


def test_the_end_tokens_are_those_of_the_generation_settings_or_else_of_the_model_and_the_tokenizers_own(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 7, "vocab_size": 50}))
    assert end_tokens(tmp_path) == [7]
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4]}))
    assert end_tokens(tmp_path) == [3, 4]
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<eos>"}}))
    assert end_tokens(tmp_path) == [3, 4, 1]


def test_a_model_without_an_end_token_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": None, "vocab_size": 50}))
    with pytest.raises(DataError, match=r"nothing says what ends a completion; set eos_token_id in config\.json"):
        end_tokens(tmp_path)


# --- the hub ---


def cached(hub: Path, source: Path, commit: str = "a" * 40) -> None:
    """A model as the hub's cache holds it after a download."""
    folder = hub / "models--owner--name"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    shutil.copytree(source, folder / "snapshots" / commit)


def test_a_model_of_the_hub_is_linked_from_its_cache(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached(tmp_path / "hub", tiny)
    fetch("owner/name", "a" * 40, tmp_path / "base")
    assert read_shape(tmp_path / "base") == read_shape(tiny)
    assert (tmp_path / "base/model.safetensors").is_symlink()
    assert read_tokenizer(tmp_path / "base").get_vocab_size() == read_tokenizer(tiny).get_vocab_size()


def test_a_kind_that_cannot_be_trained_is_refused_before_its_weights_are_looked_for(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "only").mkdir()
    (tmp_path / "only/config.json").write_text(json.dumps({"model_type": "t5", "is_encoder_decoder": True}))
    cached(tmp_path / "hub", tmp_path / "only")
    with pytest.raises(DataError, match=r"base.model: owner/name: model type 't5' has an encoder and a decoder"):
        fetch("owner/name", "a" * 40, tmp_path / "base")


def test_weights_that_the_checkpoint_lacks_are_named(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks model.layers.1.mlp.up_proj.weight; get the whole of it"):
        checkpoint_io.load(tmp_path / "model")


def test_a_model_that_cannot_be_had_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        HubError, match=r"owner/name at main cannot be downloaded .*hf download owner/name --revision main"
    ):
        fetch("owner/name", "main", tmp_path / "base")
    assert not os.path.lexists(tmp_path / "base")
